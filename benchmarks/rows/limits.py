"""Benchmarks of rate limits: an exact log, alone and beside two buckets, admitted and refused.

Every side finds its state by a key and stores the new one. Ours and the floor, the least code that
could decide, are given the instant. The peers read the clock themselves, which takes about a tenth
of a microsecond of their time. The thread of `limits` that drops expired entries is not counted.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.measure import Row, Side, Work
from benchmarks.rows.subjects import NOW
from curae_lifecycle.rules.ratelimit import (
    INITIATE_LIMIT,
    Admitted,
    Bucket,
    Charge,
    Policy,
    RateLimited,
    RateState,
    admit,
    admit_one,
    fresh_state,
)
from curae_lifecycle.rules.values import SECOND, to_epoch_microseconds

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import MovingWindowRateLimiter
    from token_bucket import Limiter

SMALL: Final = Bucket(name="small", capacity=100, refill=50, seconds=1)
WIDE: Final = Bucket(name="wide", capacity=1000, refill=7, seconds=3)
RULES: Final[tuple[Policy, ...]] = (INITIATE_LIMIT, SMALL, WIDE)

LAST: Final = NOW + timedelta(seconds=9)
"""The instant of the last charge of a full log, which was charged once a second."""

OVER: Final = NOW + timedelta(seconds=60)
"""The instant from which the first charge of a full log no longer counts."""


def full_log() -> RateState:
    """Return a log of ten after ten admissions, one second apart."""
    state = fresh_state(INITIATE_LIMIT)
    for number in range(INITIATE_LIMIT.limit):
        charged = admit_one(INITIATE_LIMIT, state, NOW + timedelta(seconds=number))
        assert not isinstance(charged, int)
        state = charged
    return state


# --- Ours -------------------------------------------------------------------------------------


def _ours(calls: int, *, refused: bool) -> Work:
    # Every call finds the same full log. Its first charge counts at LAST, and no longer at OVER.
    del calls
    logs, after = {"user-1": full_log()}, dict[str, RateState]()
    now = LAST if refused else OVER

    def work() -> RateState | int:
        charged = admit_one(INITIATE_LIMIT, logs["user-1"], now)
        if not isinstance(charged, int):
            after["user-1"] = charged
        return charged

    return work


def _charged(answer: object) -> str:
    return "refused" if isinstance(answer, int) else "admitted"


def _three_rules(calls: int, *, refused: bool) -> Work:
    del calls
    now = LAST if refused else OVER
    states: dict[str, RateState] = {
        INITIATE_LIMIT.name: full_log(),
        SMALL.name: fresh_state(SMALL),
        WIDE.name: fresh_state(WIDE),
    }
    after = dict[str, RateState]()
    log, small, wide = RULES

    def work() -> Admitted | RateLimited:
        charges = (
            Charge(log, states["initiate"]),
            Charge(small, states["small"]),
            Charge(wide, states["wide"]),
        )
        answer = admit(charges, now)
        if isinstance(answer, Admitted):
            after["initiate"], after["small"], after["wide"] = answer.states
        return answer

    return work


def _admitted(answer: object) -> str:
    return "admitted" if isinstance(answer, Admitted) else "refused"


# --- The floors: integers in a dict -----------------------------------------------------------

_WINDOW: Final = 60 * SECOND


def _instants() -> tuple[int, ...]:
    return tuple(to_epoch_microseconds(NOW) + number * SECOND for number in range(10))


def _floor(calls: int, *, refused: bool) -> Work:
    del calls
    logs, after = {"user-1": _instants()}, dict[str, tuple[int, ...]]()
    now = to_epoch_microseconds(LAST if refused else OVER)

    def work() -> int:
        log = logs["user-1"]
        wait = log[0] + _WINDOW - now
        if wait > 0:
            return wait
        after["user-1"] = (*log[1:], now)
        return 0

    return work


def _floor_of_three(calls: int, *, refused: bool) -> Work:
    del calls
    logs, log_after = {"user-1": _instants()}, dict[str, tuple[int, ...]]()
    full_at, full_after = {"small": 0, "wide": 0}, dict[str, int]()
    now = to_epoch_microseconds(LAST if refused else OVER)
    small_token, small_most = SECOND // 50, 2 * SECOND
    wide_token, wide_most = 3 * SECOND // 7, 3000 * SECOND // 7

    def work() -> int:
        log = logs["user-1"]
        small = max(full_at["small"], now) + small_token
        wide = max(full_at["wide"], now) + wide_token
        wait = max(log[0] + _WINDOW, small - small_most, wide - wide_most) - now
        if wait > 0:
            return wait
        log_after["user-1"] = (*log[1:], now)
        full_after["small"], full_after["wide"] = small, wide
        return 0

    return work


def _waits(answer: object) -> str:
    return "refused" if answer else "admitted"


# --- limits -----------------------------------------------------------------------------------


def _limits(rules: int) -> tuple[MovingWindowRateLimiter, tuple[RateLimitItem, ...]]:
    from limits import RateLimitItemPerMinute
    from limits.storage import MemoryStorage
    from limits.strategies import MovingWindowRateLimiter

    items = tuple(RateLimitItemPerMinute(10, namespace=f"rule{each}") for each in range(rules))
    return MovingWindowRateLimiter(MemoryStorage()), items


def limits_hits(calls: int, *, rules: int, before: int) -> Work:
    """Return work that hits some limits of ten, for another user in each call.

    A user's tenth hit is admitted, the eleventh refused. After a refusal, no further limit is hit.

    Args:
        calls: The number of calls.
        rules: The number of limits, 1 or 3.
        before: The number of earlier hits of each user.
    """
    limiter, items = _limits(rules)
    users = [f"user-{number}" for number in range(calls)]
    for user in users:
        for item in items:
            for _ in range(before):
                limiter.hit(item, user)
    asking = iter(users)
    if rules == 1:
        (only,) = items
        return lambda: limiter.hit(only, next(asking))
    first, second, third = items

    def work() -> bool:
        user = next(asking)
        return limiter.hit(first, user) and limiter.hit(second, user) and limiter.hit(third, user)

    return work


# --- token-bucket -----------------------------------------------------------------------------


def _token_bucket(rate: float) -> Limiter:
    from token_bucket import Limiter, MemoryStorage

    return Limiter(rate, 10, MemoryStorage())


def _tokens(calls: int, *, rules: int, refused: bool) -> Work:
    del calls
    # The bucket is full again before the next call, or not within a year.
    limiter = _token_bucket(1e-9 if refused else 1e9)
    keys = tuple(f"user-{each}" for each in range(rules))
    if refused:
        for _ in range(10):
            limiter.consume(keys[0])
    if rules == 1:
        (key,) = keys
        return lambda: limiter.consume(key)
    first, second, third = keys
    return lambda: limiter.consume(first) and limiter.consume(second) and limiter.consume(third)


def _true(answer: object) -> str:
    return "admitted" if answer else "refused"


# --- The rows ---------------------------------------------------------------------------------

_OF_LIMITS: Final = "says no wait; its log holds nine, so none is dropped"
_OF_BUCKET: Final = "inexact: floats, no window, no wait; threads can race"
_EACH_ALONE: Final = "each rule alone: what the first took stays taken where another refuses"


def rows() -> list[Row]:
    """Return the rows of rate limits."""
    return [
        Row(
            family="limits",
            name="a full exact log of ten, admitted",
            answer="admitted",
            sides=(
                Side("ours", partial(_ours, refused=False), _charged),
                Side("floor: integers in a dict", partial(_floor, refused=False), _waits),
                Side(
                    name="limits, moving window",
                    make=partial(limits_hits, rules=1, before=9),
                    says=_true,
                    lacks=_OF_LIMITS,
                    package="limits",
                ),
                Side(
                    name="token-bucket",
                    make=partial(_tokens, rules=1, refused=False),
                    says=_true,
                    lacks=_OF_BUCKET,
                    package="token-bucket",
                ),
            ),
        ),
        Row(
            family="limits",
            name="a full exact log of ten, refused",
            answer="refused",
            sides=(
                Side("ours", partial(_ours, refused=True), _charged),
                Side("floor: integers in a dict", partial(_floor, refused=True), _waits),
                Side(
                    name="limits, moving window",
                    make=partial(limits_hits, rules=1, before=10),
                    says=_true,
                    lacks="says no wait",
                    package="limits",
                ),
                Side(
                    name="token-bucket",
                    make=partial(_tokens, rules=1, refused=True),
                    says=_true,
                    lacks=_OF_BUCKET,
                    package="token-bucket",
                ),
            ),
        ),
        Row(
            family="limits",
            name="the log and two buckets, admitted",
            answer="admitted",
            sides=(
                Side("ours", partial(_three_rules, refused=False), _admitted),
                Side(
                    name="floor: integers in a dict",
                    make=partial(_floor_of_three, refused=False),
                    says=_waits,
                    lacks="a bucket's tokens are rounded to microseconds",
                ),
                Side(
                    name="limits, three moving windows",
                    make=partial(limits_hits, rules=3, before=9),
                    says=_true,
                    lacks=_EACH_ALONE,
                    package="limits",
                ),
                Side(
                    name="token-bucket, three keys",
                    make=partial(_tokens, rules=3, refused=False),
                    says=_true,
                    lacks=_EACH_ALONE,
                    package="token-bucket",
                ),
            ),
        ),
        Row(
            family="limits",
            name="the log and two buckets, refused",
            answer="refused",
            sides=(
                Side("ours", partial(_three_rules, refused=True), _admitted),
                Side(
                    name="floor: integers in a dict",
                    make=partial(_floor_of_three, refused=True),
                    says=_waits,
                    lacks="as above",
                ),
                Side(
                    name="limits, three moving windows",
                    make=partial(limits_hits, rules=3, before=10),
                    says=_true,
                    lacks="asks no rule after the first that refuses; says no wait",
                    package="limits",
                ),
                Side(
                    name="token-bucket, three keys",
                    make=partial(_tokens, rules=3, refused=True),
                    says=_true,
                    lacks="asks no rule after the first that refuses; says no wait",
                    package="token-bucket",
                ),
            ),
        ),
    ]
