"""Claims about the rate limits: exact logs and token buckets of any size, at any instant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final, cast

import attrs

from curae_lifecycle.rules import ratelimit, values
from curae_lifecycle.rules.ratelimit import MOST, Bucket, BucketState, ExactLog, LogState
from tests.symbolic.claims import (
    Claim,
    Mistake,
    as_datetime,
    as_int,
    as_number,
    since_epoch,
    span,
)
from tests.symbolic.integers import Instant, Number, assume, instant, number, require

# --- The exact log ---------------------------------------------------------------------------


def _log(limit: int, seconds: Number) -> ExactLog:
    return cast("ExactLog", _Sizes(seconds, limit))


def _charge_log(policy: ExactLog, held: list[Instant], now: Instant) -> list[Instant] | Number:
    state = LogState(tuple(map(as_datetime, held)))
    charged = ratelimit._charge_log(policy, state, as_datetime(now), 1)
    if isinstance(charged, LogState):
        return cast("list[Instant]", list(charged.instants))
    return as_number(charged)


def _sorted_log(length: int) -> list[Instant]:
    held = [instant(f"held{at}") for at in range(length)]
    for earlier, after in pairwise(held):
        assume(span(earlier, after) >= 0)
    return held


def log_step(limit: int) -> Callable[[], None]:
    def check() -> None:
        seconds = number("seconds", 1, MOST)
        for length in (0, limit - 1, limit):
            _log_step(limit, seconds, length)

    return check


def _log_step(limit: int, seconds: Number, length: int) -> None:
    held, now = _sorted_log(length), instant("now")
    window = seconds * values.SECOND
    after = _charge_log(_log(limit, seconds), held, now)
    if isinstance(after, Number):
        require(length == limit, "refused only where the log is full")
        require(span(held[0], now) < window, "refused only within the window of the oldest")
        require(after >= 1, "a wait is at least a microsecond")
        require(span(held[0], now) + after == window, "at the wait's end it is a window old")
        return
    require(
        len(after) == min(length + 1, limit), "an admission is kept, and no more than the limit"
    )
    for earlier, later in pairwise(after):
        require(span(earlier, later) >= 0, "the log is in order")
    if length == limit:
        require(span(held[0], now) >= window, "what is dropped is a full window old")


def log_window(limit: int, calls: int) -> Callable[[], None]:
    def check() -> None:
        seconds = number("seconds", 1, MOST)
        window = seconds * values.SECOND
        policy = _log(limit, seconds)
        held: list[Instant] = []
        admitted: list[Instant] = []
        for at in range(calls):
            now = instant(f"now{at}")
            after = _charge_log(policy, held, now)
            if isinstance(after, list):
                held = after
                admitted.append(now)
        # The clock may have run backwards, so every choice of limit + 1 is looked at.
        start = instant("start")
        inside = [
            each for each in admitted if span(start, each) >= 0 and span(start, each) < window
        ]
        require(len(inside) <= limit, "more than the limit in a half-open window")

    return check


def log_wait(limit: int) -> Callable[[], None]:
    def check() -> None:
        seconds = number("seconds", 1, MOST)
        policy = _log(limit, seconds)
        held, now, then = _sorted_log(limit), instant("now"), instant("then")
        wait = _charge_log(policy, held, now)
        if isinstance(wait, Number):
            waited = span(now, then)
            assume(waited >= 0)
            again = _charge_log(policy, held, then)
            if waited < wait:
                require(isinstance(again, Number), "admitted before the wait is over")
            else:
                require(isinstance(again, list), "refused after the wait is over")

    return check


# --- The bucket ------------------------------------------------------------------------------


@attrs.frozen
class _Sizes:
    """The sizes of a rule, unchecked, since the checks ask for the exact type `int`."""

    seconds: Number
    limit: int = 0
    capacity: Number | int = 0
    refill: Number | int = 0


@attrs.frozen
class _AnyBucket:
    """A bucket of any sizes, a cost that it could admit, and one token in the bucket's integers."""

    policy: Bucket
    capacity: Number
    refill: Number
    cost: Number
    per_unit: Number

    def charge(self, arrival: Number | None, now: Instant) -> tuple[bool, Number]:
        """Whether it admits; the arrival then, or how long to wait."""
        state = BucketState(None if arrival is None else as_int(arrival))
        cost = as_int(self.cost)
        charged = ratelimit._charge_bucket(self.policy, state, as_datetime(now), cost)
        if isinstance(charged, BucketState):
            assert charged.arrival is not None
            return True, as_number(charged.arrival)
        return False, as_number(charged)

    def owed(self, arrival: Number, now: Instant) -> Number:
        """What is missing from a full bucket: the token bucket's reading of the integer."""
        owed = arrival - since_epoch(now) * self.refill
        return owed if owed > 0 else owed - owed


def _bucket() -> _AnyBucket:
    capacity, refill, seconds = (
        number(name, 1, MOST) for name in ("capacity", "refill", "seconds")
    )
    cost = number("cost", 1)
    assume(cost <= capacity)
    policy = cast("Bucket", _Sizes(seconds, capacity=capacity, refill=refill))
    return _AnyBucket(policy, capacity, refill, cost, seconds * values.SECOND)


def bucket_is_tokens() -> None:
    bucket, arrival, now, then = _bucket(), number("arrival"), instant("now"), instant("then")
    owed, full = bucket.owed(arrival, now), bucket.capacity * bucket.per_unit
    assume(owed <= full)
    tokens, price = full - owed, bucket.cost * bucket.per_unit
    admitted, result = bucket.charge(arrival, now)
    if not admitted:
        require(tokens < price, "refused though the tokens are there")
        return
    require(tokens >= price, "admitted though the tokens are not there")
    assume(span(now, then) >= 0)
    refilled = tokens - price + span(now, then) * bucket.refill
    if full < refilled:  # noqa: PLR1730 - `min` of numbers that are many is a branch all the same
        refilled = full
    require(full - bucket.owed(result, then) == refilled, "refilled otherwise, or rounded")


def bucket_bound() -> None:
    # By induction over admissions: each moves the arrival on by what it costs, from no earlier
    # than its own instant, and never past a full bucket; so all between two instants fit into
    # the capacity and what came back in between.
    bucket, arrival, now = _bucket(), number("arrival"), instant("now")
    admitted, result = bucket.charge(arrival, now)
    if admitted:
        price, scaled = bucket.cost * bucket.per_unit, since_epoch(now) * bucket.refill
        require(result >= arrival + price, "an admission moves the arrival by less than it costs")
        require(result >= scaled + price, "tokens were saved up past the capacity")
        require(result <= scaled + bucket.capacity * bucket.per_unit, "past a full bucket")


def bucket_wait() -> None:
    bucket, arrival, now, then = _bucket(), number("arrival"), instant("now"), instant("then")
    admitted, wait = bucket.charge(arrival, now)
    waited = span(now, then)
    assume(waited >= 0)
    again, _ = bucket.charge(arrival, then)
    if admitted:
        require(again, "admitted, and later no more")
        return
    require(wait >= 1, "a wait of less than a microsecond")
    if waited < wait:
        require(not again, "admitted before the wait is over")
    else:
        require(again, "refused after the wait is over")


def bucket_clock() -> None:
    bucket, arrival = _bucket(), number("arrival")
    now, earlier = instant("now"), instant("earlier")
    admitted, charged = bucket.charge(arrival, now)
    if admitted:
        assume(span(earlier, now) >= 0)
        back, there = bucket.charge(charged, earlier)
        here, forth = bucket.charge(charged, now)
        if back:
            require(here, "admitted only by a clock that stepped back")
            require(there == forth, "a clock that stepped back pays less")


def bucket_starts_full() -> None:
    bucket, now = _bucket(), instant("now")
    assume(bucket.cost == bucket.capacity)
    admitted, arrival = bucket.charge(None, now)
    require(admitted, "not full at the start")
    again, _ = attrs.evolve(bucket, cost=number("one", 1, 1)).charge(arrival, now)
    require(not again, "fuller than its capacity")


# --- All of them -----------------------------------------------------------------------------

_WAIT: Final = Mistake(ratelimit, "_charge_log", "if wait > 0", "if wait >= 0")
_EARLY: Final = Mistake(ratelimit, "_charge_log", "if wait > 0", "if wait > 1")
_LATE: Final = Mistake(ratelimit, "_charge_log", "return wait", "return wait + 1")
_ROOM: Final = Mistake(ratelimit, "_charge_log", "+ cost - policy.limit", "- policy.limit")
_ORDER: Final = Mistake(
    ratelimit,
    "_charge_log",
    "LogState(tuple(sorted(admitted)) if instants and now < instants[-1] else admitted)",
    "LogState(admitted)",
)
_EXCESS: Final = Mistake(ratelimit, "_charge_bucket", "if excess > 0", "if excess >= 0")
_EXTRA: Final = Mistake(ratelimit, "_charge_bucket", "if excess > 0", "if excess > per_unit")
_DOWN: Final = Mistake(
    ratelimit, "_charge_bucket", "-(-excess // policy.refill)", "excess // policy.refill"
)
_MORE: Final = Mistake(
    ratelimit, "_charge_bucket", "-(-excess // policy.refill)", "excess // policy.refill + 1"
)
_FORGOTTEN: Final = Mistake(
    ratelimit, "_charge_bucket", "max(state.arrival, scaled_now)", "scaled_now"
)


def claims() -> Iterator[Claim]:
    """What is proven of the rate limits."""
    for limit in (1, 2, 3, 10):
        yield Claim(
            f"exact log of {limit}, any window: a step keeps order and size, drops only the old",
            log_step(limit),
            (_EARLY, _WAIT, _ROOM) if limit == 1 else (_EARLY, _WAIT, _ROOM, _ORDER),
        )
        yield Claim(
            f"exact log of {limit}, any window: retry_after is exact",
            log_wait(limit),
            (_EARLY, _LATE),
        )
    for limit, calls in ((1, 3), (1, 4), (2, 4), (3, 5)):
        yield Claim(
            f"exact log of {limit}, any window, any {calls} calls in any order: no window too full",
            log_window(limit, calls),
            (_EARLY, _ROOM),
        )
    yield Claim(
        "any bucket, any cost: its integer is a token bucket's level, and nothing is rounded",
        bucket_is_tokens,
        (_EXCESS, _EXTRA, _FORGOTTEN),
    )
    yield Claim(
        "any bucket, any cost: never more than the capacity and what came back",
        bucket_bound,
        (_EXTRA, _FORGOTTEN),
    )
    yield Claim(
        "any bucket, any cost: retry_after is exact, and what is admitted stays admitted",
        bucket_wait,
        (_DOWN, _MORE),
    )
    yield Claim(
        "any bucket, any cost: a clock that steps back gains nothing", bucket_clock, (_FORGOTTEN,)
    )
    yield Claim("any bucket: full at the start", bucket_starts_full, (_EXCESS, _EXTRA))
