"""Claims about the rate limits: exact logs and token buckets of any size, at any instant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from typing import Final, cast
from unittest.mock import patch

import attrs

from curae_lifecycle.rules import ratelimit, values
from curae_lifecycle.rules.ratelimit import MAX_INTEGER, Bucket, BucketState, ExactLog, LogState
from tests.proof.symbolic.claims import Claim, Mistake, as_int, as_number, since_epoch, span
from tests.proof.symbolic.integers import Instant, Number, assume, instant, number, require

# --- The exact log ---------------------------------------------------------------------------


def _log(limit: int, seconds: Number) -> ExactLog:
    return cast("ExactLog", _Sizes(seconds, limit))


class _Log:
    """A log of symbolic instants, eight bytes each, as in a `LogState`."""

    def __init__(self, instants: Iterable[Number] = ()) -> None:
        self.instants = list(instants)

    def __iter__(self) -> Iterator[Number]:
        return iter(self.instants)

    def __len__(self) -> int:
        return 8 * len(self.instants)

    def __getitem__(self, part: slice[int, None, None]) -> _Log:
        return _Log(self.instants[part.start // 8 :])

    def __add__(self, other: _Log) -> _Log:
        return _Log([*self.instants, *other.instants])

    def __mul__(self, times: int) -> _Log:
        return _Log(self.instants * times)

    def unpack_from(self, offset: int) -> tuple[Number]:
        """Return the number at an offset in bytes."""
        return (self.instants[offset // 8],)


_UNPACKED: Final = {
    "LogState": _Log,
    "_pack": lambda at: _Log([at]),
    "_unpack_from": _Log.unpack_from,
    "_packed": _Log,
    "_unpacked": iter,
}
"""Replacements of the byte functions of a log, since bytes hold no symbolic numbers."""


def _charge_log(
    policy: ExactLog, held: list[Instant], now: Instant, cost: int = 1
) -> list[Instant] | Number:
    state = cast("LogState", cast("object", _Log(map(since_epoch, held))))
    # Its own globals: a mutant has other ones than the module.
    with patch.dict(ratelimit._charge_log.__globals__, _UNPACKED):
        charged: object = ratelimit._charge_log(
            policy, state=state, at=as_int(since_epoch(now)), cost=cost
        )
    if isinstance(charged, _Log):
        return [Instant(each.term) for each in charged]
    return as_number(cast("int", charged))


def _sorted_log(length: int) -> list[Instant]:
    held = [instant(f"held{at}") for at in range(length)]
    for earlier, after in pairwise(held):
        assume(span(earlier, after) >= 0)
    return held


def log_step(limit: int) -> Callable[[], None]:
    def check() -> None:
        seconds = number("seconds", 1, MAX_INTEGER)
        for length in (0, limit - 1, limit, limit + 2):
            _log_step(limit, seconds, length)

    return check


def _log_step(limit: int, seconds: Number, length: int) -> None:
    held, now = _sorted_log(length), instant("now")
    window = seconds * values.SECOND
    after = _charge_log(_log(limit, seconds), held, now)
    if isinstance(after, Number):
        require(length >= limit, "refused only where the log is full")
        aged = span(held[length - limit], now)
        require(aged < window, "refused only within the window of the oldest that counts")
        require(after >= 1, "a wait is at least a microsecond")
        require(aged + after == window, "at the wait's end it is a window old")
        return
    require(
        len(after) == max(length, min(length + 1, limit)),
        "an admission is kept, and a full log stays as long",
    )
    for earlier, later in pairwise(after):
        require(span(earlier, later) >= 0, "the log is in order")
    if length >= limit:
        aged = span(held[length - limit], now)
        require(aged >= window, "what no longer counts is a full window old")


def log_window(limit: int, calls: int) -> Callable[[], None]:
    def check() -> None:
        seconds = number("seconds", 1, MAX_INTEGER)
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
        # The clock may run backwards, so every choice of limit + 1 is checked.
        start = instant("start")
        inside = [
            each for each in admitted if span(start, each) >= 0 and span(start, each) < window
        ]
        require(len(inside) <= limit, "more than the limit in a half-open window")

    return check


def log_wait(limit: int) -> Callable[[], None]:
    def check() -> None:
        seconds = number("seconds", 1, MAX_INTEGER)
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
    """The sizes of a rule, unchecked, since the checks require the exact type `int`."""

    seconds: Number
    limit: int = 0
    capacity: Number | int = 0
    refill: Number | int = 0


@attrs.frozen
class _AnyBucket:
    """A bucket of symbolic sizes, a cost that it could admit, and one token in parts."""

    policy: Bucket
    capacity: Number
    refill: Number
    cost: Number
    per_unit: Number

    def charge(self, full: _Full, now: Instant) -> tuple[bool, _Full | Number]:
        """Return whether it admits; then the next full instant, or the wait."""
        state = BucketState(as_int(full.at), as_int(full.part))
        at, cost = as_int(since_epoch(now)), as_int(self.cost)
        charged = ratelimit._charge_bucket(self.policy, state=state, at=at, cost=cost)
        if isinstance(charged, BucketState):
            return True, _Full(*map(as_number, charged))
        return False, as_number(charged)

    def owed(self, full: _Full, now: Instant) -> Number:
        """Return what is missing from a full bucket, in parts of a microsecond."""
        owed = (full.at - since_epoch(now)) * self.refill + full.part
        return owed if owed > 0 else owed - owed

    def most(self) -> Number:
        """Return what an empty bucket is missing, in parts of a microsecond."""
        return self.capacity * self.per_unit

    def believed(self) -> Number:
        """Return the most that a bucket believes to be missing, in parts of a microsecond."""
        return self.most() + self.refill * values.CLOCK_TOLERANCE


@attrs.frozen
class _Full:
    """The instant at which a bucket is full again, as in a `BucketState`."""

    at: Number
    part: Number


def _full(refill: Number) -> _Full:
    part = number("part", 0)
    assume(part < refill)
    return _Full(number("full_at"), part)


def _bucket() -> _AnyBucket:
    capacity, refill, seconds = (
        number(name, 1, MAX_INTEGER) for name in ("capacity", "refill", "seconds")
    )
    cost = number("cost", 1)
    assume(cost <= capacity)
    policy = cast("Bucket", _Sizes(seconds, capacity=capacity, refill=refill))
    return _AnyBucket(
        policy=policy, capacity=capacity, refill=refill, cost=cost, per_unit=seconds * values.SECOND
    )


def bucket_is_tokens() -> None:
    bucket, now, then = _bucket(), instant("now"), instant("then")
    before = _full(bucket.refill)
    owed, full = bucket.owed(before, now), bucket.capacity * bucket.per_unit
    assume(owed <= full)
    tokens, price = full - owed, bucket.cost * bucket.per_unit
    admitted, result = bucket.charge(before, now)
    if not isinstance(result, _Full):
        require(tokens < price, "refused though the tokens are there")
        return
    require(admitted, "a state where it refuses")
    require(tokens >= price, "admitted though the tokens are not there")
    assume(span(now, then) >= 0)
    refilled = tokens - price + span(now, then) * bucket.refill
    if full < refilled:  # noqa: PLR1730 - `min` of numbers that are many is a branch all the same
        refilled = full
    require(full - bucket.owed(result, then) == refilled, "refilled otherwise, or rounded")


def bucket_bound() -> None:
    # By induction over admissions: each moves the instant on by its cost, from no earlier than its
    # own, and never past a full bucket; so all admissions between two instants fit into the
    # capacity and the refill in between.
    bucket, now = _bucket(), instant("now")
    before = _full(bucket.refill)
    assume(bucket.owed(before, now) <= bucket.believed())
    _, result = bucket.charge(before, now)
    if isinstance(result, _Full):
        price, scaled = bucket.cost * bucket.per_unit, since_epoch(now) * bucket.refill
        held = before.at * bucket.refill + before.part
        after = result.at * bucket.refill + result.part
        require(result.part >= 0, "a part below nothing")
        require(result.part < bucket.refill, "a part that is a whole")
        require(after >= held + price, "an admission moves the instant by less than it costs")
        require(after >= scaled + price, "tokens were saved up past the capacity")
        require(after <= scaled + bucket.capacity * bucket.per_unit, "past a full bucket")


def bucket_recovers() -> None:
    bucket, now = _bucket(), instant("now")
    before = _full(bucket.refill)
    owed = bucket.owed(before, now)
    _, result = bucket.charge(before, now)
    if owed > bucket.believed():
        require(
            isinstance(result, _Full), "refused by an instant that no clock nearby can have left"
        )
        assert isinstance(result, _Full)
        require(bucket.owed(result, now) == bucket.most(), "not empty after a reset")
    elif isinstance(result, Number):
        require(
            result * bucket.refill < bucket.believed() + bucket.refill, "a wait that is too long"
        )
    elif owed + bucket.cost * bucket.per_unit > bucket.most():
        require(owed < 0, "admitted by an instant that a clock nearby can have left")


def bucket_wait() -> None:
    bucket, now, then = _bucket(), instant("now"), instant("then")
    before = _full(bucket.refill)
    _, wait = bucket.charge(before, now)
    waited = span(now, then)
    assume(waited >= 0)
    assume(bucket.owed(before, now) <= bucket.believed())
    again, _ = bucket.charge(before, then)
    if isinstance(wait, _Full):
        require(again, "admitted, and later no more")
        return
    require(wait >= 1, "a wait of less than a microsecond")
    if waited < wait:
        require(not again, "admitted before the wait is over")
    else:
        require(again, "refused after the wait is over")


def bucket_clock() -> None:
    bucket = _bucket()
    now, earlier = instant("now"), instant("earlier")
    _, charged = bucket.charge(_full(bucket.refill), now)
    if isinstance(charged, _Full):
        assume(span(earlier, now) >= 0)
        assume(span(earlier, now) <= values.CLOCK_TOLERANCE)
        _, there = bucket.charge(charged, earlier)
        _, forth = bucket.charge(charged, now)
        if isinstance(there, _Full):
            require(isinstance(forth, _Full), "admitted only by a clock that stepped back")
            assert isinstance(forth, _Full)
            one, other = (full.at * bucket.refill + full.part for full in (there, forth))
            require(one == other, "a clock that stepped back pays less")


def bucket_starts_full() -> None:
    bucket, now = _bucket(), instant("now")
    assume(bucket.cost == bucket.capacity)
    fresh = ratelimit.FULL_BUCKET
    _, after = bucket.charge(
        _Full(*(number(name, value, value) for name, value in fresh._asdict().items())), now
    )
    require(isinstance(after, _Full), "not full at the start")
    assert isinstance(after, _Full)
    again, _ = attrs.evolve(bucket, cost=number("one", 1, 1)).charge(after, now)
    require(not again, "fuller than its capacity")


# --- All of them -----------------------------------------------------------------------------

_in_log: Final = partial(Mistake, module=ratelimit, function="_charge_log")
_in_bucket: Final = partial(Mistake, module=ratelimit, function="_charge_bucket")
_WAIT: Final = _in_log(right="if wait > 0", wrong="if wait >= 0")
_EARLY: Final = _in_log(right="if wait > 0", wrong="if wait > 1")
_LATE: Final = _in_log(right="return wait", wrong="return wait + 1")
_ROOM: Final = _in_log(right="+ added - policy.limit", wrong="- policy.limit")
_SHORTER: Final = _in_log(
    right="if surplus < added else state[added:]", wrong="if surplus else state"
)
_ORDER: Final = _in_log(right="after = _packed(sorted(_unpacked(after)))", wrong="pass")
_EXCESS: Final = _in_bucket(right="if missing > most", wrong="if missing >= most")
_EXTRA: Final = _in_bucket(right="if missing > most", wrong="if missing > most + token")
_DOWN: Final = _in_bucket(
    right="-(-(missing - most) // refill)", wrong="(missing - most) // refill"
)
_MORE: Final = _in_bucket(
    right="-(-(missing - most) // refill)", wrong="(missing - most) // refill + 1"
)
_FORGOTTEN: Final = _in_bucket(right="_missing(policy, state, at)", wrong="0")
_BELIEVED: Final = Mistake(
    module=ratelimit, function="_is_disbelieved", right="return missing >", wrong="return 0 >"
)
_EXACTLY: Final = Mistake(
    module=ratelimit, function="_is_disbelieved", right="missing >", wrong="missing >="
)
_INTOLERANT: Final = Mistake(
    module=ratelimit, function="_is_disbelieved", right=" + tolerance", wrong=""
)
_FULL_AGAIN: Final = _in_bucket(right="missing = most", wrong="missing = cost * token")


def claims() -> Iterator[Claim]:
    """Yield the claims about the rate limits."""
    for limit in (1, 2, 3, 10):
        yield Claim(
            f"exact log of {limit}, any window: a step keeps order and size, drops only the old",
            log_step(limit),
            (_EARLY, _WAIT, _ROOM, _SHORTER, *([_ORDER] if limit > 1 else [])),
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
        "any bucket, any cost: what lies too far ahead leaves it empty, and no wait is longer",
        bucket_recovers,
        (_BELIEVED, _EXACTLY, _INTOLERANT, _FULL_AGAIN),
    )
    yield Claim(
        "any bucket, any cost: retry_after is exact, and what is admitted stays admitted",
        bucket_wait,
        (_DOWN, _MORE),
    )
    yield Claim(
        "any bucket, any cost: a clock that steps back by five minutes gains nothing",
        bucket_clock,
        (_FORGOTTEN,),
    )
    yield Claim("any bucket: full at the start", bucket_starts_full, (_EXCESS,))
