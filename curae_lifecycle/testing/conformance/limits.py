"""Checks of the limit on an app user's initiates, and of the limit on graduation hand-offs."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import (
    App,
    Document,
    refusal,
    require,
    same,
    success,
)
from curae_lifecycle.testing.conformance.connections import MINUTE, MOMENT
from curae_lifecycle.testing.conformance.steps import (
    NotConformingError,
    Steps,
    send,
    send_concurrently,
    wait,
)
from curae_lifecycle.testing.conformance.wording import format_value
from curae_lifecycle.testing.laws import check_rate_limit

FEW: Final = timedelta(seconds=5)
"""The unit of the waits, and of the tolerances, in the checks of rate limits.

A correct server that pauses for less than one unit still passes.
"""


def limited(answer: Response, policy: str, *, window: int, quota: int, turned_back: int = 0) -> int:
    """Check that a response is the 429 of a rate limit, and return its `Retry-After`.

    Args:
        answer: The response.
        policy: The name of the limit that must have refused.
        window: The length of the limit's window in seconds.
        quota: How many requests the limit admits in a window.
        turned_back: How many seconds the server's clock was turned back after the last request that
            the limit admitted.

    Returns:
        The seconds of `Retry-After`.

    Raises:
        NotConformingError: The response is no 429 of this limit, its headers and details disagree,
            or `Retry-After` is more than `window + turned_back`.
    """
    details = client.expect_problem(answer, 429, "RATE_LIMITED")
    retry_after = _only_header(answer, "retry-after")
    # Python refuses to read thousands of digits; HTTP's structured fields allow 15.
    if re.fullmatch(r"[1-9][0-9]{0,14}", retry_after) is None:
        raise NotConformingError(
            f"Retry-After is {format_value(retry_after)}, not whole seconds of at least 1"
        )
    seconds = int(retry_after)
    same(dict(details), {"policy": policy, "retryAfter": seconds}, "details")
    expected = f'"{policy}";q={quota};w={window}'
    same(_only_header(answer, "ratelimit-policy"), expected, "RateLimit-Policy")
    same(_only_header(answer, "ratelimit"), f'"{policy}";r=0;t={seconds}', "RateLimit")
    same(_only_header(answer, "cache-control"), "no-store", "Cache-Control")
    most = window + turned_back
    require(seconds <= most, f"Retry-After is {seconds} s instead of at most {most} s")
    return seconds


def _only_header(answer: Response, name: str) -> str:
    values = client.headers(answer, name)
    require(len(values) == 1, f"the response has {len(values)} headers {name} instead of 1")
    return values[0]


def expect_initiate_limited(app: App, user: str) -> Steps[int]:
    """Send an initiate for a user whose limit is used up, and return the wait in seconds.

    The wait is the `Retry-After` of the response.

    Args:
        app: The app that sends the request.
        user: The app user's id.

    Raises:
        NotConformingError: The response is not a correct 429 of the limit `initiate`, as `limited`
            checks.
    """
    return limited(
        (yield from send(app.initiate(user))),
        policy="initiate",
        window=60,
        quota=client.INITIATES_PER_MINUTE,
    )


def _created_at(answer: Document) -> datetime:
    return client.instant(answer, "session.createdAt")


CHECKS: Final = Checks()

_LIMIT: Final = ("request.limit", "problem.rate-limited")


@CHECKS.add("request.limit", laws=(10,), rules=_LIMIT)
def _eleventh(app: App) -> Steps[None]:
    """After ten initiates of a user in a minute the next is refused, with the time to wait."""
    instants: list[datetime] = []
    for _ in range(client.INITIATES_PER_MINUTE + 1):
        answer = yield from send(app.initiate("user"))
        if answer.status != client.CREATED:
            break
        instants.append(_created_at(client.expect(answer, client.CREATED)))
    check_rate_limit(instants)
    require(
        len(instants) >= client.INITIATES_PER_MINUTE,
        f"refused after {len(instants)} initiates instead of 10",
    )
    if len(instants) == client.INITIATES_PER_MINUTE:
        yield from expect_initiate_limited(app, "user")


@CHECKS.add("limit.across-apps", laws=(10,), rules=_LIMIT)
def _across_apps(app: App) -> Steps[None]:
    """Initiates of a user count across all apps and keys of a customer account."""
    other = yield from client.new_app(app.context, account=app.key_request.customer_account_id)
    sibling = yield from app.second_key()
    for each, count in ((app, 4), (other, 3), (sibling, 3)):
        yield from each.use_up_initiates("user", count)
    for each in (app, other, sibling):
        yield from expect_initiate_limited(each, "user")
    stranger = yield from client.new_app(app.context, app_id=app.key_request.app_id)
    yield from stranger.initiated("user")
    yield from app.initiated("another")


@CHECKS.add(
    "limit.refusals-are-free",
    laws=(10,),
    rules=_LIMIT,
    hooks=("pass_time",),
    time_needed=MINUTE + FEW,
)
def _refusals_are_free(app: App) -> Steps[None]:
    """Refused initiates are not charged and do not lengthen the wait."""
    yield from app.use_up_initiates("user", client.INITIATES_PER_MINUTE - 1)
    yield from wait(2 * FEW)
    yield from app.use_up_initiates("user", 1)
    seconds = 0
    for _ in range(2 * client.INITIATES_PER_MINUTE):
        seconds = yield from expect_initiate_limited(app, "user")
    # The wait ends a minute after the first of the nine. A server that paused admitted the others
    # up to a few seconds later.
    yield from wait(timedelta(seconds=seconds) + FEW)
    yield from app.use_up_initiates("user", client.INITIATES_PER_MINUTE - 1)


@CHECKS.add(
    "limit.retry-after",
    laws=(10,),
    rules=_LIMIT,
    hooks=("pass_time",),
    time_needed=MINUTE + MOMENT,
)
def _retry_after(app: App) -> Steps[None]:
    """After the wait of `Retry-After` exactly one more initiate is admitted, and none before."""
    first = _created_at((yield from app.initiated("user")))
    # Half a second more, so that `Retry-After` has to be rounded up also where the clock is simulated.
    yield from wait(2 * FEW + MOMENT / 2)
    yield from app.use_up_initiates("user", client.INITIATES_PER_MINUTE - 1)
    yield from wait(2 * FEW)
    seconds = yield from expect_initiate_limited(app, "user")
    # Only a server that paused sends a `Retry-After` of less than `rest`.
    rest = min(2 * MOMENT, timedelta(seconds=seconds))
    yield from wait(timedelta(seconds=seconds) - rest)
    early = yield from send(app.initiate("user"))
    if early.status == client.CREATED:
        # This is right if the server paused and its own clock had reached the end of the wait.
        gap = _created_at(client.document(early)) - first
        require(gap >= MINUTE, f"an eleventh initiate was admitted {gap} after the first")
        yield from expect_initiate_limited(app, "user")
        return
    limited(early, policy="initiate", window=60, quota=client.INITIATES_PER_MINUTE)
    yield from wait(rest)
    yield from success(app.initiate("user"), client.CREATED)
    yield from expect_initiate_limited(app, "user")


@CHECKS.add("limit.half-open", laws=(10,), rules=_LIMIT, hooks=("pass_time",), time_needed=MINUTE)
def _half_open(app: App) -> Steps[None]:
    """After exactly a minute, ten initiates make room for ten more."""
    yield from app.use_up_initiates("user")
    yield from wait(MINUTE)
    yield from app.use_up_initiates("user")
    yield from expect_initiate_limited(app, "user")


@CHECKS.add(
    "limit.any-window",
    laws=(10,),
    rules=_LIMIT,
    hooks=("pass_time",),
    time_needed=3 * (MINUTE + 4 * FEW),
)
def _any_window(app: App) -> Steps[None]:
    """At most ten initiates are admitted in any window of 60 seconds, not only in clock minutes."""
    # A limit per clock minute admits twenty around the start of a minute. The three users begin at
    # different moments, so at least two of them cross one.
    for number in range(3):
        user = f"user-{number}"
        yield from app.use_up_initiates(user)
        yield from wait(MINUTE - 2 * FEW)
        yield from expect_initiate_limited(app, user)
        yield from wait(6 * FEW)


@CHECKS.add("limit.sliding", laws=(10,), rules=_LIMIT, hooks=("pass_time",), time_needed=MINUTE)
def _sliding(app: App) -> Steps[None]:
    """Initiates make room again exactly a minute after they were admitted."""
    yield from app.use_up_initiates("user", client.INITIATES_PER_MINUTE // 2)
    yield from wait(MINUTE / 2)
    yield from app.use_up_initiates("user", client.INITIATES_PER_MINUTE // 2)
    yield from expect_initiate_limited(app, "user")
    yield from wait(MINUTE / 2)
    yield from app.use_up_initiates("user", client.INITIATES_PER_MINUTE // 2)
    yield from expect_initiate_limited(app, "user")


@CHECKS.add("limit.costs-nothing", laws=(10,), rules=("request.limit", "operation.account-state"))
def _uncharged_requests(app: App) -> Steps[None]:
    """Reads, and requests refused with 400, 403 or 422, are not charged to the app user."""
    reader = yield from app.second_key(frozenset())
    key = app.new_key()
    yield from send(app.create("user", key=key))
    bad = {"appUserId": "user", "extra": 1}
    for _ in range(client.INITIATES_PER_MINUTE):
        for request in (
            app.request("POST", "/curae-connect/initiate", bad, key=app.new_key()),
            app.initiate("user", key="k k"),
            app.initiate("user", key=key),
            reader.initiate("user"),
            app.account_state("user"),
        ):
            yield from send(request)
    yield from app.use_up_initiates("user")


@CHECKS.add("limit.at-once", laws=(10,), rules=_LIMIT)
def _concurrent_initiates(app: App) -> Steps[None]:
    """Exactly ten of twenty concurrent initiates are admitted."""
    requests = tuple([app.initiate("user") for _ in range(2 * client.INITIATES_PER_MINUTE)])
    answers = yield from send_concurrently(requests)
    for each in answers:
        if each.status != client.CREATED:
            client.expect_problem(each, 429, "RATE_LIMITED")
    admitted = sum(each.status == client.CREATED for each in answers)
    same(admitted, client.INITIATES_PER_MINUTE, "the number of admitted initiates")


@CHECKS.add("limit.graduation", laws=(10,), rules=("request.limit", "operation.graduation-handoff"))
def _graduation_limit(app: App) -> Steps[None]:
    """Graduation hand-offs have a separate limit of ten a minute, counted like the initiates."""
    other = yield from client.new_app(app.context, account=app.key_request.customer_account_id)
    yield from app.use_up_initiates("user")
    for _ in range(client.INITIATES_PER_MINUTE):
        yield from success(app.graduate("user"), client.CREATED)
    for each in (app, other):
        answer = yield from send(each.graduate("user"))
        limited(answer, policy="graduation", window=60, quota=client.INITIATES_PER_MINUTE)
    yield from refusal(app.graduate("another"), 409, "BINDING_NOT_LIMITED")


@CHECKS.add("limit.graduation-leaves-initiates", rules=("request.limit",))
def _graduations_leave_initiates(app: App) -> Steps[None]:
    """Graduation hand-offs are not charged to the limit of initiates."""
    for _ in range(client.INITIATES_PER_MINUTE + 1):
        yield from send(app.graduate("user"))
    yield from success(app.initiate("user"), client.CREATED)


@CHECKS.add("limit.reads-are-free", rules=("operation.account-state",))
def _reads_are_free(app: App) -> Steps[None]:
    """Account states can be read by an app user who is at the limit."""
    yield from app.use_up_initiates("user")
    for _ in range(3 * client.INITIATES_PER_MINUTE):
        yield from success(app.account_state("user"), client.OK)
