"""Checks of the app user's limit and of graduation's."""

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
from curae_lifecycle.testing.laws import check_rate_limit

FEW: Final = timedelta(seconds=5)


def limited(answer: Response, policy: str, window: int, quota: int) -> int:
    """The seconds that a 429 tells to wait, once its parts agree with each other."""
    details = client.expect_problem(answer, 429, "RATE_LIMITED")
    told_wait = _only(answer, "retry-after")
    if re.fullmatch(r"[1-9][0-9]*", told_wait) is None:
        raise NotConformingError(f"Retry-After is {told_wait!r}, no whole seconds")
    seconds = int(told_wait)
    same(dict(details), {"policy": policy, "retryAfter": seconds}, "details")
    expected = f'"{policy}";q={quota};w={window}'
    same(_only(answer, "ratelimit-policy"), expected, "RateLimit-Policy")
    same(_only(answer, "ratelimit"), f'"{policy}";r=0;t={seconds}', "RateLimit")
    same(_only(answer, "cache-control"), "no-store", "Cache-Control")
    require(seconds <= window, f"it is to wait {seconds} s in a window of {window} s")
    return seconds


def _only(answer: Response, name: str) -> str:
    values = client.headers(answer, name)
    require(len(values) == 1, f"{len(values)} headers {name}")
    return values[0]


def expect_initiate_limited(app: App, user: str) -> Steps[int]:
    """The seconds that an initiate beyond the limit is to wait."""
    return limited(
        (yield from send(app.initiate(user))),
        policy="initiate",
        window=60,
        quota=client.INITIATES_PER_MINUTE,
    )


def _made_at(answer: Document) -> datetime:
    return client.instant(answer, "session.createdAt")


CHECKS: Final = Checks()

_LIMIT: Final = ("request.limit", "problem.rate-limited")


@CHECKS.add("request.limit", laws=(10,), rules=_LIMIT)
def _eleventh(app: App) -> Steps[None]:
    """At most ten initiates of one user are admitted in a minute; the refusal says how long."""
    instants: list[datetime] = []
    for _ in range(client.INITIATES_PER_MINUTE + 1):
        answer = yield from send(app.initiate("user"))
        if answer.status != client.CREATED:
            break
        instants.append(_made_at(client.expect(answer, client.CREATED)))
    check_rate_limit(instants)
    require(len(instants) >= client.INITIATES_PER_MINUTE, f"refused after {len(instants)}")
    if len(instants) == client.INITIATES_PER_MINUTE:
        yield from expect_initiate_limited(app, "user")


@CHECKS.add("limit.across-apps", laws=(10,), rules=_LIMIT)
def _across_apps(app: App) -> Steps[None]:
    """The limit counts a user across the apps and keys of one customer account, and no other."""
    other = yield from client.new_app(app.context, account=app.key_request.customer_account_id)
    sibling = yield from app.second_key()
    for each, count in ((app, 4), (other, 3), (sibling, 3)):
        yield from each.filled("user", count)
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
    """A refused initiate is not charged and makes no wait longer."""
    yield from app.filled("user", client.INITIATES_PER_MINUTE - 1)
    yield from wait(2 * FEW)
    yield from app.filled("user", 1)
    seconds = 0
    for _ in range(2 * client.INITIATES_PER_MINUTE):
        seconds = yield from expect_initiate_limited(app, "user")
    # What is told is of the first of nine, which a server that stood still admitted not all at
    # once; what was refused is in no minute before some seconds more.
    yield from wait(timedelta(seconds=seconds) + FEW)
    yield from app.filled("user", client.INITIATES_PER_MINUTE - 1)


@CHECKS.add("limit.retry-after", laws=(10,), rules=_LIMIT, hooks=("pass_time",), time_needed=MINUTE)
def _retry_after(app: App) -> Steps[None]:
    """After the wait that a refusal tells one more is admitted, and not before."""
    first = _made_at((yield from app.initiated("user")))
    yield from wait(2 * FEW)
    yield from app.filled("user", client.INITIATES_PER_MINUTE - 1)
    yield from wait(2 * FEW)
    seconds = yield from expect_initiate_limited(app, "user")
    left = timedelta(seconds=seconds) - 2 * MOMENT
    if left > timedelta(0):
        yield from wait(left)
        early = yield from send(app.initiate("user"))
        if early.status == client.CREATED:
            # A server that stood still meanwhile may: by its own clock the wait was over.
            gap = _made_at(client.document(early)) - first
            require(gap >= MINUTE, f"one more was admitted {gap} after the first")
            yield from expect_initiate_limited(app, "user")
            return
        limited(early, policy="initiate", window=60, quota=client.INITIATES_PER_MINUTE)
        yield from wait(2 * MOMENT)
    yield from success(app.initiate("user"), client.CREATED)
    yield from expect_initiate_limited(app, "user")


@CHECKS.add("limit.half-open", laws=(10,), rules=_LIMIT, hooks=("pass_time",), time_needed=MINUTE)
def _half_open(app: App) -> Steps[None]:
    """A minute after ten initiates ten more are admitted."""
    yield from app.filled("user")
    yield from wait(MINUTE)
    yield from app.filled("user")
    yield from expect_initiate_limited(app, "user")


@CHECKS.add(
    "limit.any-window",
    laws=(10,),
    rules=_LIMIT,
    hooks=("pass_time",),
    time_needed=3 * (MINUTE + 4 * FEW),
)
def _any_window(app: App) -> Steps[None]:
    # A window that starts with the clock's minute admits twenty around its start: of three
    # users who begin at different moments at least two meet one.
    """No minute holds more than ten, wherever it begins."""
    for number in range(3):
        user = f"user-{number}"
        yield from app.filled(user)
        yield from wait(MINUTE - 2 * FEW)
        yield from expect_initiate_limited(app, user)
        yield from wait(6 * FEW)


@CHECKS.add("limit.sliding", laws=(10,), rules=_LIMIT, hooks=("pass_time",), time_needed=MINUTE)
def _sliding(app: App) -> Steps[None]:
    """What was admitted a minute ago makes room, and nothing else does."""
    yield from app.filled("user", client.INITIATES_PER_MINUTE // 2)
    yield from wait(MINUTE / 2)
    yield from app.filled("user", client.INITIATES_PER_MINUTE // 2)
    yield from expect_initiate_limited(app, "user")
    yield from wait(MINUTE / 2)
    yield from app.filled("user", client.INITIATES_PER_MINUTE // 2)
    yield from expect_initiate_limited(app, "user")


@CHECKS.add("limit.costs-nothing", laws=(10,), rules=("request.limit", "operation.account-state"))
def _what_costs_nothing(app: App) -> Steps[None]:
    """Answers 400, 403 and 422 and account states cost the app user nothing."""
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
    yield from app.filled("user")


@CHECKS.add("limit.at-once", laws=(10,), rules=_LIMIT)
def _at_once(app: App) -> Steps[None]:
    """Of twenty initiates at once exactly ten are admitted."""
    requests = tuple([app.initiate("user") for _ in range(2 * client.INITIATES_PER_MINUTE)])
    answers = yield from send_concurrently(requests)
    for each in answers:
        if each.status != client.CREATED:
            client.expect_problem(each, 429, "RATE_LIMITED")
    admitted = sum(each.status == client.CREATED for each in answers)
    same(admitted, client.INITIATES_PER_MINUTE, "how many were admitted")


@CHECKS.add("limit.graduation", laws=(10,), rules=("request.limit", "operation.graduation-handoff"))
def _graduations(app: App) -> Steps[None]:
    """Graduation hand-offs have a limit of their own, counted like the initiates'."""
    other = yield from client.new_app(app.context, account=app.key_request.customer_account_id)
    yield from app.filled("user")
    for _ in range(client.INITIATES_PER_MINUTE):
        yield from success(app.graduate("user"), client.CREATED)
    for each in (app, other):
        answer = yield from send(each.graduate("user"))
        limited(answer, policy="graduation", window=60, quota=client.INITIATES_PER_MINUTE)
    yield from refusal(app.graduate("another"), 409, "BINDING_NOT_LIMITED")


@CHECKS.add("limit.graduation-leaves-initiates", rules=("request.limit",))
def _graduations_leave_initiates(app: App) -> Steps[None]:
    """Graduation hand-offs use up no initiate."""
    for _ in range(client.INITIATES_PER_MINUTE + 1):
        yield from send(app.graduate("user"))
    yield from success(app.initiate("user"), client.CREATED)


@CHECKS.add("limit.reads-are-free", rules=("operation.account-state",))
def _reads_are_free(app: App) -> Steps[None]:
    """An account state is answered also at the limit."""
    yield from app.filled("user")
    for _ in range(3 * client.INITIATES_PER_MINUTE):
        yield from success(app.account_state("user"), client.OK)
