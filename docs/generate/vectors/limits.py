"""Vectors of rate limits: the exact log, token buckets, several at once, and their headers.

The law of this module: **every wait is exact**. After a refusal, the next cases are tried one
microsecond before the end of the wait, at its end, and one microsecond after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.ratelimit import (
    FRESH_LOG,
    FULL_BUCKET,
    INITIATE_LIMIT,
    Admitted,
    Bucket,
    BucketState,
    Charge,
    CostError,
    ExactLog,
    LogState,
    Policy,
    RateLimited,
    RateState,
    admit,
    count_remaining,
    fresh_state,
    state_expires_at,
)
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    HOUR,
    SECOND,
    add_microseconds,
    ceil_seconds,
    format_time,
    to_epoch_microseconds,
)
from curae_lifecycle.web.respond import format_rate_limit, format_rate_limit_policy
from docs.generate.vectors.cases import (
    BOUNDARY,
    START,
    Case,
    Members,
    make_case,
    show_mistake,
    stored,
    time_or_null,
)

_YEAR: Final = 365 * 24 * HOUR
_WINDOW: Final = INITIATE_LIMIT.seconds * SECOND
_FULL: Final = LogState.of(add_microseconds(START, second * SECOND) for second in range(10))
_BURST: Final = LogState.of((START,) * 10)
_FOUR: Final = Bucket(name="four", capacity=10, refill=4, seconds=2)
_FAST: Final = Bucket(name="fast", capacity=5, refill=2_000_000, seconds=1)
_BUCKETS: Final = (
    Bucket(name="platform", capacity=3, refill=1, seconds=1),
    Bucket(name="odd", capacity=7, refill=3, seconds=10),
    Bucket(name="one", capacity=1, refill=1, seconds=60),
)


def logs() -> Iterator[Case]:
    """Yield charges of the app user's limit: ten in any half-open minute."""
    for used in range(11):
        state = LogState.of(_FULL.instants[:used])
        yield _admit(
            f"exact-log/used/{used}",
            ((INITIATE_LIMIT, state),),
            add_microseconds(START, 9 * SECOND),
        )
    for name, state in (("spread", _FULL), ("burst", _BURST)):
        for word, ticks in BOUNDARY.items():
            at = add_microseconds(START, _WINDOW + ticks)
            yield _admit(f"exact-log/window/{name}/{word}", ((INITIATE_LIMIT, state),), at)
    for cost in (0, 1, 2, 9, 10, 11):
        for word, ticks in BOUNDARY.items():
            at = add_microseconds(START, _WINDOW + SECOND * max(0, cost - 1) + ticks)
            name = f"exact-log/cost/{cost}/{word}"
            yield _admit(name, ((INITIATE_LIMIT, _FULL),), at, cost=cost)
    nine = LogState.of(_FULL.instants[1:])
    for back in (1, 5 * SECOND, _WINDOW):
        at = add_microseconds(_FULL.instants[5], -back)
        comment = "The clock stepped back: nothing extra is admitted, and the log stays sorted."
        charges = ((INITIATE_LIMIT, nine),)
        yield _admit(f"exact-log/clock-back/{back}", charges, at, comment=comment)
    full = ((INITIATE_LIMIT, _FULL),)
    yield _admit("exact-log/clock-back/full", full, add_microseconds(START, -SECOND))
    second = ExactLog("second", 1, 1)
    for word, ticks in BOUNDARY.items():
        at = add_microseconds(START, SECOND + ticks)
        yield _admit(f"exact-log/one-a-second/{word}", ((second, LogState.of((START,))),), at)
    twelve = LogState.of(add_microseconds(START, second * SECOND) for second in range(12))
    for name, seconds, cost in (
        ("full", 12, 1),
        ("some-expired", 61, 1),
        ("room-for-one", 63, 1),
        ("room-for-one-asked-two", 63, 2),
        ("all-expired", 120, 3),
    ):
        yield _admit(
            f"exact-log/lowered/{name}",
            ((INITIATE_LIMIT, twelve),),
            add_microseconds(START, seconds * SECOND),
            cost=cost,
            comment="A log that is longer than the limit keeps its length.",
        )
    five = LogState.of(_FULL.instants[:5])
    expired = add_microseconds(START, 2 * _WINDOW)
    yield _admit(
        "exact-log/expired-with-room",
        ((INITIATE_LIMIT, five),),
        expired,
        comment="Expired instants stay until a new one needs their place.",
    )
    yield _admit("exact-log/expired-with-room/most", ((INITIATE_LIMIT, five),), expired, cost=10)
    ahead = LogState.of(add_microseconds(START, _WINDOW * 10) for _ in range(10))
    yield _admit("exact-log/clock-ahead", ((INITIATE_LIMIT, ahead),), START)
    half = add_microseconds(START, 9 * SECOND + SECOND // 2)
    yield _admit("exact-log/retry-after-rounded-up", ((INITIATE_LIMIT, _FULL),), half)


def buckets() -> Iterator[Case]:
    """Yield charges of token buckets: full at the start, refilled without rounding."""
    for bucket in _BUCKETS:
        yield _admit(f"token-bucket/{bucket.name}/full", ((bucket, FULL_BUCKET),), START)
        state: RateState = FULL_BUCKET
        for used in range(bucket.capacity + 1):
            name = f"token-bucket/{bucket.name}/used/{used}"
            yield _admit(name, ((bucket, state),), START)
            answer = admit((Charge(bucket, state),), START)
            if isinstance(answer, Admitted):
                state = answer.states[0]
                continue
            for word, ticks in BOUNDARY.items():
                at = add_microseconds(START, answer.retry_after + ticks)
                name = f"token-bucket/{bucket.name}/wait/{word}"
                yield _admit(name, ((bucket, state),), at)
        over = state_expires_at(bucket, state) or START
        for word, ticks in BOUNDARY.items():
            at = add_microseconds(over, ticks)
            name = f"token-bucket/{bucket.name}/refilled/{word}"
            yield _admit(name, ((bucket, state),), at, cost=bucket.capacity)
        for cost in (0, bucket.capacity, bucket.capacity + 1):
            name = f"token-bucket/{bucket.name}/cost/{cost}"
            yield _admit(name, ((bucket, FULL_BUCKET),), START, cost=cost)
        back = add_microseconds(START, -SECOND)
        yield _admit(f"token-bucket/{bucket.name}/clock-back", ((bucket, state),), back)
        yield from _clock_put_right(bucket)
    for bucket in (_FOUR, _FAST):
        state = FULL_BUCKET
        for used in range(3):
            yield _admit(f"token-bucket/{bucket.name}/used/{used}", ((bucket, state),), START)
            state = _charged(bucket, used + 1)
        spent = _charged(bucket, bucket.capacity)
        yield _admit(f"token-bucket/{bucket.name}/spent", ((bucket, spent),), START)
        before = add_microseconds(START, 1)
        yield _admit(f"token-bucket/{bucket.name}/a-tick-later", ((bucket, spent),), before, cost=2)
    part = BucketState(to_epoch_microseconds(START) + 10_000_000, 2)
    for cost in (4, 5):
        yield _admit(
            f"token-bucket/odd/part/{cost}",
            ((_BUCKETS[1], part),),
            START,
            cost=cost,
            comment="Two of three parts of a microsecond count.",
        )


def _clock_put_right(bucket: Bucket) -> Iterator[Case]:
    # The last state that the bucket believes, one part of a microsecond later, and far ahead.
    most = bucket.capacity * bucket.seconds * SECOND
    tolerance = CLOCK_TOLERANCE * bucket.refill
    comment = (
        "The clock ran ahead and was put right: the bucket admits one request and is then empty."
    )
    for name, parts in (
        ("window", most),
        ("believed", most + tolerance),
        ("not-believed", most + tolerance + 1),
        ("an-hour", most + HOUR * bucket.refill),
        ("a-year", most + _YEAR * bucket.refill),
    ):
        whole, part = divmod(parts, bucket.refill)
        state = BucketState(to_epoch_microseconds(START) + whole, part)
        said = comment if parts > most + tolerance else None
        for cost in sorted({1, bucket.capacity}):
            case = f"token-bucket/{bucket.name}/clock-put-right/{name}/{cost}"
            yield _admit(case, ((bucket, state),), START, cost=cost, comment=said)


def several() -> Iterator[Case]:
    """Yield charges of several limits: all or none, with the longest wait."""
    quick, odd, slow = _BUCKETS
    empty = {bucket: _charged(bucket, bucket.capacity) for bucket in _BUCKETS}
    twin = Bucket(name="twin", capacity=3, refill=1, seconds=1)
    every: dict[str, tuple[tuple[Policy, RateState], ...]] = {
        "none": (),
        "all-admit": ((quick, FULL_BUCKET), (odd, FULL_BUCKET), (INITIATE_LIMIT, FRESH_LOG)),
        "first-refuses": ((quick, empty[quick]), (odd, FULL_BUCKET)),
        "last-refuses": ((quick, FULL_BUCKET), (odd, empty[odd])),
        "longest-wait-last": ((quick, empty[quick]), (slow, empty[slow])),
        "longest-wait-first": ((slow, empty[slow]), (quick, empty[quick])),
        "equal-waits": ((twin, empty[quick]), (quick, empty[quick])),
        "log-refuses": ((quick, FULL_BUCKET), (INITIATE_LIMIT, _BURST)),
    }
    for name, charges in every.items():
        yield _admit(f"several-limits/{name}", charges, START)
    costs: dict[str, tuple[tuple[Policy, RateState], ...]] = {
        "first-too-small": ((slow, FULL_BUCKET), (quick, FULL_BUCKET)),
        "second-too-small": ((odd, FULL_BUCKET), (slow, FULL_BUCKET)),
        "refusing-and-too-small": ((odd, empty[odd]), (slow, empty[slow])),
        "two-of-each": ((odd, FULL_BUCKET), (quick, FULL_BUCKET), (INITIATE_LIMIT, FRESH_LOG)),
    }
    for name, charges in costs.items():
        yield _admit(f"several-limits/cost/{name}", charges, START, cost=2)
    yield _admit("several-limits/cost/none-to-charge", (), START, cost=0)
    slow_log = ExactLog("log", 1, 60)
    full_log = LogState.of((START,))
    for name, charges in (
        ("log-first", ((slow_log, full_log), (slow, empty[slow]))),
        ("bucket-first", ((slow, empty[slow]), (slow_log, full_log))),
    ):
        yield _admit(f"several-limits/equal-waits/{name}", charges, START)
    far = BucketState(to_epoch_microseconds(START) + _YEAR)
    charges = ((quick, far), (odd, FULL_BUCKET))
    comment = "The first bucket admits by a clock that was put right, and is left empty."
    yield _admit("several-limits/clock-put-right/all-admit", charges, START, comment=comment)
    charges = ((quick, far), (odd, empty[odd]))
    comment = "The first bucket admits by a clock that was put right, and keeps its state."
    yield _admit("several-limits/clock-put-right", charges, START, comment=comment)
    quoted = Bucket(name='a "b" \\ c', capacity=1, refill=1, seconds=1)
    spent = _charged(quoted, 1)
    comment = "The policy's name is a quoted string of a structured field."
    yield _admit("several-limits/quoted-name", ((quoted, spent),), START, comment=comment)


def _charged(policy: Policy, cost: int) -> RateState:
    answer = admit((Charge(policy, fresh_state(policy)),), START, cost=cost)
    return answer.states[0]


def _admit(
    id: str,  # noqa: A002 - see `Case`
    charges: tuple[tuple[Policy, RateState], ...],
    now: datetime,
    *,
    cost: int = 1,
    comment: str | None = None,
) -> Case:
    given = {
        "charges": [
            {"policy": show_policy(policy), "state": _state(state)} for policy, state in charges
        ],
        "now": format_time(now),
        "cost": cost,
    }
    answer: Members
    try:
        result = admit(tuple(Charge(*charge) for charge in charges), now, cost=cost)
    except ArgumentError as error:
        answer = show_mistake(error)
    except CostError as error:
        answer = {"outcome": "error", "policy": error.policy, "most": error.limit}
    else:
        left = [count_remaining(policy, state, now) for policy, state in charges]
        answer = {**_answer(result), "availableBefore": left}
        if isinstance(result, Admitted):
            answer = {
                **answer,
                "stateExpiresAt": [
                    time_or_null(state_expires_at(policy, state))
                    for (policy, _), state in zip(charges, result.states, strict=True)
                ],
            }
    return make_case(id, given=given, answer=answer, comment=comment)


def _answer(result: Admitted | RateLimited) -> Members:
    if isinstance(result, Admitted):
        return {"outcome": "admitted", "states": [_state(state) for state in result.states]}
    return {
        "outcome": "limited",
        "policy": result.policy.name,
        "retryAfterMicroseconds": result.retry_after,
        "states": [_state(state) for state in result.states],
        "headers": {
            "retry-after": str(ceil_seconds(result.retry_after)),
            "ratelimit-policy": format_rate_limit_policy(result.policy),
            "ratelimit": format_rate_limit(result),
        },
    }


def _state(state: RateState) -> Members | None:
    return None if state == FULL_BUCKET else stored(state)


def show_policy(policy: Policy) -> Members:
    """Return a limit as a JSON object."""
    if isinstance(policy, ExactLog):
        sizes = {"limit": policy.limit, "seconds": policy.seconds}
        return {"kind": "exact log", "name": policy.name, **sizes}
    return {
        "kind": "token bucket",
        "name": policy.name,
        "capacity": policy.capacity,
        "refill": policy.refill,
        "seconds": policy.seconds,
    }
