"""Checks of the standard buckets, the rate limits of an API key."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, refusal, require, success
from curae_lifecycle.testing.conformance.connections import HOUR, MINUTE, MOMENT, NO_TIME
from curae_lifecycle.testing.conformance.limits import FEW, expect_initiate_limited, limited
from curae_lifecycle.testing.conformance.steps import Steps, send, use, wait
from curae_lifecycle.web.request import Request

SMALL: Final = Bucket(name="kit", capacity=4, refill=1, seconds=60)
"""A rate limit of an API key that admits four requests at once and one more every minute."""

_SLOW: Final = Bucket(name="slow", capacity=1, refill=1, seconds=7200)


def use_up_bucket(app: App, count: int = SMALL.capacity) -> Steps[None]:
    """Send `count` requests of `app`, which use up a full bucket (a rate limit) of that capacity.

    Raises `NotConformingError` if the server refuses one of them.
    """
    for _ in range(count):
        yield from success(app.account_state("user"), client.OK)


def _refused_by(bucket: Bucket, request: Request, turned_back: timedelta = NO_TIME) -> Steps[int]:
    # Returns the seconds of the `Retry-After`.
    return limited(
        (yield from send(request)),
        policy=bucket.name,
        window=bucket.window,
        quota=bucket.capacity,
        turned_back=turned_back.seconds,
    )


def _expect_empty(app: App, turned_back: timedelta = NO_TIME) -> Steps[int]:
    return _refused_by(SMALL, app.account_state("user"), turned_back)


CHECKS: Final = Checks()

_BUCKETS: Final = ("request.buckets", "problem.rate-limited")


@CHECKS.add("request.buckets", rules=_BUCKETS, hooks=("replace_buckets",))
def _one_bucket_per_key(app: App) -> Steps[None]:
    """Buckets belong to one API key, admit their capacity, and then say how long to wait."""
    yield from use("replace_buckets", (SMALL,))
    other = yield from app.second_key()
    yield from use_up_bucket(app)
    seconds = SMALL.window
    for _ in range(3):
        seconds = yield from _expect_empty(app)
    yield from success(other.account_state("user"), client.OK)
    yield from use("replace_buckets", (_SLOW,))
    yield from use_up_bucket(app, _SLOW.capacity)
    longer = yield from _refused_by(_SLOW, app.account_state("user"))
    for bucket, wait_time in ((SMALL, seconds), (_SLOW, longer)):
        least, most = bucket.seconds - FEW.seconds, bucket.seconds
        require(
            least <= wait_time <= most,
            f"Retry-After is {wait_time} s instead of {least} to {most} s",
        )


@CHECKS.add(
    "bucket.refills",
    rules=_BUCKETS,
    hooks=("replace_buckets", "pass_time"),
    time_needed=9 * MINUTE + MOMENT,
)
def _bucket_refills(app: App) -> Steps[None]:
    """Buckets refill with time alone, and never beyond their capacity."""
    yield from use("replace_buckets", (SMALL,))
    yield from use_up_bucket(app)
    # A part of a second, so that `Retry-After` has to be rounded up also where the clock is simulated.
    yield from wait(MOMENT / 2)
    seconds = 0
    for _ in range(3):
        seconds = yield from _expect_empty(app)
    yield from wait(timedelta(seconds=seconds))
    yield from success(app.account_state("user"), client.OK)
    yield from _expect_empty(app)
    yield from wait(2 * SMALL.window * MOMENT)
    yield from use_up_bucket(app)
    yield from _expect_empty(app)


@CHECKS.add(
    "bucket.clock-corrected",
    rules=_BUCKETS,
    hooks=("replace_buckets", "pass_time", "turn_clock_back"),
    time_needed=HOUR,
)
def _clock_corrected(app: App) -> Steps[None]:
    """Buckets emptied an hour ahead admit one request after the correction, and are then empty."""
    yield from use("replace_buckets", (SMALL,))
    yield from wait(HOUR)
    yield from use_up_bucket(app)
    yield from use("turn_clock_back", HOUR)
    yield from success(app.account_state("user"), client.OK)
    seconds = yield from _expect_empty(app)
    require(
        seconds <= SMALL.seconds, f"Retry-After is {seconds} s instead of at most {SMALL.seconds} s"
    )


@CHECKS.add(
    "bucket.clock-corrected-slightly",
    rules=_BUCKETS,
    hooks=("replace_buckets", "pass_time", "turn_clock_back"),
    time_needed=9 * MINUTE,
)
def _clock_corrected_slightly(app: App) -> Steps[None]:
    """Buckets admit nothing extra after a correction by 4 minutes; Retry-After stays exact."""
    yield from use("replace_buckets", (SMALL,))
    step = 4 * MINUTE
    yield from wait(step)
    yield from use_up_bucket(app)
    yield from use("turn_clock_back", step)
    seconds = yield from _expect_empty(app, turned_back=step)
    most = step.seconds + SMALL.seconds
    least = most - FEW.seconds
    require(least <= seconds <= most, f"Retry-After is {seconds} s instead of {least} to {most} s")
    yield from wait(timedelta(seconds=seconds))
    yield from success(app.account_state("user"), client.OK)
    yield from _expect_empty(app)


@CHECKS.add("bucket.charges", rules=_BUCKETS, hooks=("replace_buckets",))
def _charged_requests(app: App) -> Steps[None]:
    """Buckets charge all requests except 400, 401, 403, and 404 for an unknown path."""
    reader = yield from app.second_key(frozenset())
    pending = yield from app.created_id()
    key = app.new_key()
    replayed = app.revoke(pending, key=key)
    yield from send(replayed)
    for request in (
        replayed,
        app.get(app.names.uuid()),
        app.graduate("user"),
        app.create("user", key=key),
        app.account_state("user", ("If-None-Match", "*")),
    ):
        yield from _expect_charge(app, request, charged=True)
    for request in (
        app.get("nonsense"),
        app.request("POST", f"/connections/{pending}:revoke"),
        app.request("GET", "/nothing"),
    ):
        yield from _expect_charge(app, request, charged=False)
    yield from use("replace_buckets", (SMALL,))
    for _ in range(2 * SMALL.capacity):
        yield from refusal(reader.create("user"), 403, "SCOPE_INSUFFICIENT")
    yield from success(reader.account_state("user"), client.OK)


def _expect_charge(app: App, request: Request, *, charged: bool) -> Steps[None]:
    name = f"{request.method} {request.target}"
    yield from use("replace_buckets", (SMALL,))
    for _ in range(SMALL.capacity):
        answer = yield from send(request)
        require(client.in_short(answer) != "429 RATE_LIMITED", f"{name} was charged more than once")
    answer = yield from send(app.account_state("user"))
    require(charged or answer.status == client.OK, f"{name} was charged")
    require(not charged or answer.status != client.OK, f"{name} was not charged")


@CHECKS.add("bucket.all-or-nothing", rules=_BUCKETS, hooks=("replace_buckets",))
def _all_or_nothing(app: App) -> Steps[None]:
    """Requests that a limit refuses are charged to no limit, and the 429 names that limit."""
    wide = Bucket(name="wide", capacity=2 * client.INITIATES_PER_MINUTE, refill=1, seconds=3600)
    yield from use("replace_buckets", (wide,))
    yield from app.use_up_initiates("user")
    for _ in range(client.INITIATES_PER_MINUTE):
        yield from expect_initiate_limited(app, "user")
    yield from use_up_bucket(app, client.INITIATES_PER_MINUTE)
    yield from use("replace_buckets", (SMALL, wide))
    yield from use_up_bucket(app)
    for _ in range(2 * client.INITIATES_PER_MINUTE):
        yield from _expect_empty(app)
    yield from use("replace_buckets", (wide, SMALL))
    yield from use_up_bucket(app)
    yield from _expect_empty(app)


@CHECKS.add(
    "bucket.refusals-drain-no-other",
    rules=_BUCKETS,
    hooks=("replace_buckets", "pass_time"),
    time_needed=4 * FEW,
)
def _other_bucket_is_not_drained(app: App) -> Steps[None]:
    """Refusals by one bucket drain no other bucket."""
    tight, wide = (
        Bucket(name="tight", capacity=1, refill=1, seconds=5),
        Bucket(name="wide", capacity=4, refill=1, seconds=3600),
    )
    yield from use("replace_buckets", (tight, wide))
    left = wide.capacity
    while left > 0:
        yield from success(app.account_state("user"), client.OK)
        left -= 1
        for _ in range(2 * wide.capacity):
            answer = yield from send(app.account_state("user"))
            # If the server paused meanwhile, the tight bucket may have refilled.
            left -= answer.status == client.OK
        yield from wait(FEW)
    yield from refusal(app.account_state("user"), 429, "RATE_LIMITED")


@CHECKS.add("order.buckets", rules=("request.buckets",), hooks=("replace_buckets",))
def _bucket_order(app: App) -> Steps[None]:
    """Buckets come after the body, and before the idempotency key and the app user's limit."""
    request = app.initiate("user")
    yield from send(request)
    yield from app.use_up_initiates("user", client.INITIATES_PER_MINUTE - 1)
    yield from use("replace_buckets", (SMALL,))
    yield from use_up_bucket(app)
    stranger = attrs.evolve(app, api_key="cae_live_nobody")
    yield from refusal(stranger.get("x"), 401, "UNAUTHENTICATED")
    yield from refusal(app.request("GET", "/x"), 404, "NOT_FOUND")
    yield from refusal(app.get("x"), 400, "BAD_REQUEST")
    for each in (request, app.initiate("user"), app.get(app.names.uuid())):
        yield from _refused_by(SMALL, each)
