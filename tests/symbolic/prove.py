"""`python -m tests.symbolic.prove`: what is proven of the arithmetic, and that each proof can fail.

Each claim runs the production functions on numbers that stand for all values. Then it runs them
again with one mistake built in, and must be refuted: a claim that no mistake breaks says nothing.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from textwrap import dedent
from time import perf_counter
from types import ModuleType
from typing import Final, cast

import attrs

from curae_lifecycle.rules import connection, idempotency, ratelimit, values
from curae_lifecycle.rules.connection import Connection, ConnectionIdentity, Standing, Status
from curae_lifecycle.rules.idempotency import LostLease, Record, RecordStanding, RecordState
from curae_lifecycle.rules.ratelimit import Bucket, BucketState, ExactLog, LogState
from tests.symbolic.integers import (
    Instant,
    Number,
    Refuted,
    assume,
    instant,
    number,
    prove,
    require,
)


@attrs.frozen
class Mistake:
    """A text in a production function, and what a mutant has in its place."""

    module: ModuleType
    function: str
    right: str
    wrong: str


@attrs.frozen
class Claim:
    """Something that holds for all values.

    Attributes:
        says: What.
        check: A function for `prove`.
        mistakes: Each must refute it.
    """

    says: str
    check: Callable[[], None]
    mistakes: tuple[Mistake, ...]


@contextmanager
def built_in(mistake: Mistake) -> Iterator[None]:
    """The module with the mistake in its function."""
    module, name = mistake.module, mistake.function
    function: object = getattr(module, name)
    source = dedent(inspect.getsource(cast("Callable[[], object]", function)))
    assert source.count(mistake.right) == 1, f"{name} no longer says {mistake.right!r}"
    setattr(module, name, _compiled(source.replace(mistake.right, mistake.wrong), module, name))
    try:
        yield
    finally:
        setattr(module, name, function)


def _compiled(source: str, module: ModuleType, name: str) -> object:
    # The future import keeps annotations unread, as they are in the module.
    names = dict(vars(module))
    exec(f"from __future__ import annotations\n{source}", names)  # noqa: S102 - the mutant
    return names[name]


MOST: Final = ratelimit._MOST
"""The largest size of a rule."""


# --- The numbers themselves ------------------------------------------------------------------


def numbers_are_pythons() -> None:
    for left in range(-12, 13):
        for right in range(-12, 13):
            first, second = number(f"l{left}", left, left), number(f"r{right}", right, right)
            require(first + second == left + right, "a sum")
            require(first - second == left - right, "a difference")
            require(first * second == left * right, "a product")
            require((first < second) if left < right else (first >= second), "an order")
            if right > 0:
                require(first // second == left // right, "a quotient, rounded down")


# --- Spans -----------------------------------------------------------------------------------


def whole_seconds() -> None:
    span = number("span")
    seconds = _number(values.ceil_seconds(_int(span)))
    require(seconds >= 1, "at least 1")
    require(seconds * values.SECOND >= span, "no less than the span")
    if seconds > 1:
        require((seconds - 1) * values.SECOND < span, "the fewest that are no less")


def spans_add_up() -> None:
    first, second, third = instant("first"), instant("second"), instant("third")
    through = _elapsed(first, second) + _elapsed(second, third)
    require(through == _elapsed(first, third), "two spans are the span of both")
    backwards = _elapsed(first, second) < 0
    require(backwards if second < first else _elapsed(first, second) >= 0, "negative backwards")


# --- The exact log ---------------------------------------------------------------------------


def _log(limit: int, seconds: Number) -> ExactLog:
    return cast("ExactLog", _Sizes(seconds, limit))


def _charge_log(policy: ExactLog, held: list[Instant], now: Instant) -> list[Instant] | Number:
    state = LogState(tuple(map(_datetime, held)))
    charged = ratelimit._charge_log(policy, state, _datetime(now), 1)
    if isinstance(charged, LogState):
        return cast("list[Instant]", list(charged.instants))
    return _number(charged)


def _sorted_log(length: int) -> list[Instant]:
    held = [instant(f"held{at}") for at in range(length)]
    for earlier, after in pairwise(held):
        assume(_elapsed(earlier, after) >= 0)
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
        require(_elapsed(held[0], now) < window, "refused only within the window of the oldest")
        require(after >= 1, "a wait is at least a microsecond")
        require(_elapsed(held[0], now) + after == window, "at the wait's end it is a window old")
        return
    require(
        len(after) == min(length + 1, limit), "an admission is kept, and no more than the limit"
    )
    for earlier, later in pairwise(after):
        require(_elapsed(earlier, later) >= 0, "the log is in order")
    if length == limit:
        require(_elapsed(held[0], now) >= window, "what is dropped is a full window old")


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
            each
            for each in admitted
            if _elapsed(start, each) >= 0 and _elapsed(start, each) < window
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
            waited = _elapsed(now, then)
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
        state = BucketState(None if arrival is None else _int(arrival))
        cost = _int(self.cost)
        charged = ratelimit._charge_bucket(self.policy, state, _datetime(now), cost)
        if isinstance(charged, BucketState):
            assert charged.arrival is not None
            return True, _number(charged.arrival)
        return False, _number(charged)

    def owed(self, arrival: Number, now: Instant) -> Number:
        """What is missing from a full bucket: the token bucket's reading of the integer."""
        owed = arrival - _since_epoch(now) * self.refill
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
    assume(_elapsed(now, then) >= 0)
    refilled = tokens - price + _elapsed(now, then) * bucket.refill
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
        price, scaled = bucket.cost * bucket.per_unit, _since_epoch(now) * bucket.refill
        require(result >= arrival + price, "an admission moves the arrival by less than it costs")
        require(result >= scaled + price, "tokens were saved up past the capacity")
        require(result <= scaled + bucket.capacity * bucket.per_unit, "past a full bucket")


def bucket_wait() -> None:
    bucket, arrival, now, then = _bucket(), number("arrival"), instant("now"), instant("then")
    admitted, wait = bucket.charge(arrival, now)
    waited = _elapsed(now, then)
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
        assume(_elapsed(earlier, now) >= 0)
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


# --- Intervals -------------------------------------------------------------------------------


def standing_ends(status: Status, before: Standing, over: Standing) -> Callable[[], None]:
    def check() -> None:
        now, end = instant("now"), instant("end")
        held = Connection(
            cast("ConnectionIdentity", None),
            status,
            _datetime(now),
            handoff_deadline=_datetime(end) if status is Status.PENDING else None,
            expires_at=None if status is Status.PENDING else _datetime(end),
        )
        at = connection._standing(held, _datetime(now))
        require(at is (before if now < end else over), "half-open: at its end it is over")

    return check


def record_ends() -> None:
    now, first, seen, lease = (instant(name) for name in ("now", "first", "seen", "lease"))
    assume(_elapsed(first, seen) >= 0)
    for lost in LostLease:
        record = Record(
            cast("idempotency.RecordKey", None),
            idempotency.Fingerprint("create", ""),
            RecordState.IN_FLIGHT,
            1,
            _datetime(first),
            _datetime(seen),
            _datetime(lease),
            lost,
            None,
        )
        at = idempotency.record_standing(record, _datetime(now))
        latest = _latest(now, seen)
        over = RecordStanding.LEASE_OVER if lost is LostLease.EXECUTE else RecordStanding.UNKNOWN
        if _elapsed(first, latest) >= idempotency.RETENTION:
            require(at is RecordStanding.ABSENT, "retention is over at its end")
        else:
            running = latest < lease
            require(at is (RecordStanding.IN_FLIGHT if running else over), "a lease is half-open")


def _latest(first: Instant, second: Instant) -> Instant:
    if first < second:
        return second
    return first


# --- What stands for what --------------------------------------------------------------------


def _elapsed(since: Instant, now: Instant) -> Number:
    return _number(values.elapsed(_datetime(since), _datetime(now)))


def _since_epoch(now: Instant) -> Number:
    return _number(values.microseconds(_datetime(now)))


def _int(value: Number) -> int:
    return cast("int", value)


def _number(value: int) -> Number:
    return cast("Number", value)


def _datetime(value: Instant) -> datetime:
    return cast("datetime", value)


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
    """All that is proven."""
    yield Claim("the solver's integers are Python's, from -12 to 12", numbers_are_pythons, ())
    yield Claim(
        "ceil_seconds is the fewest whole seconds, at least 1",
        whole_seconds,
        (
            Mistake(values, "ceil_seconds", "-(-span // SECOND)", "span // SECOND"),
            Mistake(values, "ceil_seconds", "-(-span // SECOND)", "span // SECOND + 1"),
            Mistake(values, "ceil_seconds", "max(1, -(-span // SECOND))", "-(-span // SECOND)"),
        ),
    )
    yield Claim(
        "elapsed adds up, and is negative exactly where the clock ran backwards",
        spans_add_up,
        (Mistake(values, "elapsed", "(now - since)", "(since - now)"),),
    )
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
    for status, before, over in (
        (Status.PENDING, Standing.PENDING, Standing.LAPSED),
        (Status.ACTIVE, Standing.ACTIVE, Standing.EXPIRED),
        (Status.ACTION_REQUIRED, Standing.ACTION_REQUIRED, Standing.EXPIRED),
    ):
        yield Claim(
            f"a connection stored {status} is over at its end and not a tick before",
            standing_ends(status, before, over),
            (Mistake(connection, "_standing", "now < deadline", "now <= deadline"),),
        )
    yield Claim(
        "a record's lease and retention are over at their ends and not a tick before",
        record_ends,
        (
            Mistake(idempotency, "record_standing", ">= RETENTION", "> RETENTION"),
            Mistake(idempotency, "record_standing", "max(now, record.seen_at)", "now"),
            Mistake(idempotency, "record_standing", "now < record.lease", "now <= record.lease"),
        ),
    )


def main() -> int:
    """Prove every claim and refute every mistake.

    Returns:
        The exit status: 1 where a claim is refuted, or a mistake is not.
    """
    failed = proven = refuted = 0
    for claim in claims():
        started = perf_counter()
        try:
            proof = prove(claim.check)
        except Refuted as found:
            _say(f"REFUTED {claim.says}\n    {found}")
            failed += 1
            continue
        proven += 1
        for mistake in claim.mistakes:
            if is_refuted(claim, mistake):
                refuted += 1
            else:
                _say(f"NOT REFUTED {claim.says}\n    with {mistake.wrong!r} built in")
                failed += 1
        _say(
            f"proven  {claim.says} ({proof.paths} paths, {proof.questions} questions, "
            f"{len(claim.mistakes)} mistakes refuted, {perf_counter() - started:.1f} s)"
        )
    _say(f"{proven} claims proven, {refuted} mistakes refuted, {failed} failures")
    return 1 if failed else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def is_refuted(claim: Claim, mistake: Mistake) -> bool:
    """Whether the claim fails with the mistake built in."""
    with built_in(mistake):
        try:
            prove(claim.check)
        except Refuted:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
