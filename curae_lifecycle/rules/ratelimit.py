"""Rate limits: an exact log for app users, token buckets for API keys.

The laws of this module:

- **In any half-open window at most the limit is admitted**, in whatever order instants arrive.
- **`retry_after` is exact**: after that wait the request is admitted; one microsecond earlier it
  is refused.
- **Several limits are all or nothing**: a refusal charges none and returns the very same states.
- **A bucket recovers from a clock that was put right.** A wait is never longer than the bucket's
  window and five minutes.

All arithmetic is with integers. There are two kinds of rate limit.

An `ExactLog` keeps the instants of the last admissions, newest last. It drops an instant only when
it needs the place and the instant is at least a full window old. So a clock that jumps ahead and
back still finds every instant that counts. In a log that is longer than the limit, the newest
instants count. Servers that share a log and differ in the limit, or in the window, each enforce
their own value exactly. If they differ in both, no window of the shortest length holds more
admissions than the largest limit. A store may drop a log once the longest window that charged it
has passed. So after a window grows, a server may admit the limit once more.

A `Bucket` (GCRA) keeps the instant at which it is full again. Each charge moves that instant later
by the time that the tokens take to refill. The instant is stored as whole microseconds and a
fraction whose denominator is the refill, so nothing is rounded. A state therefore belongs to the
name, capacity, refill and period of its bucket. If one of these changes, the bucket starts full.

A clock that steps back by less than five minutes admits nothing extra: a log drops no instant that
still counts, and a bucket's instant only moves later. A bucket does not believe an instant that is
further ahead than its window and five minutes. Only a clock that ran ahead can have written that
instant, so the bucket admits the request and is empty afterwards. Each such step back of the clock
costs one request and one capacity at most. A log believes every instant: if the clock ran ahead by
a span and was put right, the instants that were logged meanwhile count until that span and the
window have passed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from struct import Struct
from typing import Final, NamedTuple, final

import attrs

from curae_lifecycle.rules.errors import ArgumentError, LifecycleError
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    MINUTE,
    SECOND,
    check_instant,
    elapsed,
    from_epoch_microseconds,
    to_epoch_microseconds,
)

MAX_INTEGER: Final = 999_999_999_999_999
"""The maximum of every size of a rate limit, and of every integer on the wire."""


class CostError(LifecycleError, ValueError):
    """The error for a request whose cost is larger than a rate limit could ever admit.

    Attributes:
        policy: The name of the rate limit.
        cost: The cost of the request.
        limit: The most that the rate limit admits at once.
    """

    def __init__(self, policy: str, cost: int, limit: int) -> None:
        super().__init__(policy, cost, limit)
        self.policy = policy
        self.cost = cost
        self.limit = limit

    def __str__(self) -> str:
        return f"cost {self.cost}: must be at most {self.limit}, the limit of {self.policy!r}"


@final
@attrs.frozen
class ExactLog:
    """A rate limit: at most `limit` admissions in any half-open window of `seconds`.

    Attributes:
        name: The name that callers see: printable ASCII, not empty.
        limit: The most admissions in a window, from 1 to `MAX_INTEGER`.
        seconds: The length of the window in seconds, from 1 to `MAX_INTEGER`.
    """

    name: str
    limit: int
    seconds: int

    def __attrs_post_init__(self) -> None:
        """Check the name and the sizes.

        Raises:
            ArgumentError: The name or a size is not allowed.
        """
        _check_policy(self.name, limit=self.limit, seconds=self.seconds)

    @property
    def window(self) -> int:
        """The span in which admissions are counted, in seconds; the same as `seconds`."""
        return self.seconds


@final
@attrs.frozen
class Bucket:
    """A rate limit that holds `capacity` tokens and regains `refill` tokens every `seconds`.

    A bucket is full at the start.

    Attributes:
        name: The name that callers see: printable ASCII, not empty.
        capacity: The most tokens that the bucket holds, from 1 to `MAX_INTEGER`.
        refill: The tokens that the bucket regains in each period, from 1 to `MAX_INTEGER`.
        seconds: The length of the period in seconds, from 1 to `MAX_INTEGER`.
    """

    name: str
    capacity: int
    refill: int
    seconds: int

    def __attrs_post_init__(self) -> None:
        """Check the name, the sizes and the time to fill, which is at most `MAX_INTEGER` seconds.

        Raises:
            ArgumentError: The name, a size or the time to fill is not allowed.
        """
        _check_policy(self.name, capacity=self.capacity, refill=self.refill, seconds=self.seconds)
        if self.window > MAX_INTEGER:
            raise ArgumentError("capacity", "small enough to fill in 10^15 seconds")

    @property
    def limit(self) -> int:
        """The most tokens that one request may cost: the capacity of the bucket."""
        return self.capacity

    @property
    def window(self) -> int:
        """The time in which an empty bucket fills, in seconds, rounded up [O]."""
        return -(-self.capacity * self.seconds // self.refill)


Policy = ExactLog | Bucket
"""A rate limit of either kind: an exact log or a bucket."""


class LogState(bytes):
    """The state of an `ExactLog`: the instants of the last admissions, oldest first, 8 bytes each.

    An instant is a signed, big-endian count of microseconds since 1970. A full log of ten takes 136
    bytes of memory.
    """

    __slots__ = ()

    @classmethod
    def of(cls, instants: Iterable[datetime]) -> LogState:
        """Return the state of a log after admissions at `instants`, in any order."""
        return cls.of_microseconds(sorted(map(to_epoch_microseconds, instants)))

    @classmethod
    def of_microseconds(cls, instants: Iterable[int]) -> LogState:
        """Return the state of a log from `instants` in microseconds since 1970, oldest first."""
        return cls(_packed(instants))

    @property
    def instants(self) -> tuple[datetime, ...]:
        """The instants of the admissions, oldest first."""
        return tuple(map(from_epoch_microseconds, _unpacked(self)))

    @property
    def microseconds(self) -> list[int]:
        """The instants of the admissions in microseconds since 1970, oldest first."""
        return _unpacked(self)

    def __repr__(self) -> str:
        return f"LogState.of({self.instants})"


class BucketState(NamedTuple):
    """The state of a `Bucket`: the exact instant at which the bucket is full again.

    A bucket with another capacity, refill or period cannot use the state.

    Attributes:
        full_at: The instant in microseconds since 1970, rounded down.
        part: The fraction of a microsecond that rounding took off `full_at`, as a numerator over
            the bucket's `refill`.
    """

    full_at: int
    part: int = 0


RateState = LogState | BucketState
"""The state of a rate limit of either kind, as it is stored."""

FRESH_LOG: Final = LogState()
"""The state of an exact log that was never charged."""

FULL_BUCKET: Final = BucketState(to_epoch_microseconds(datetime.min.replace(tzinfo=UTC)))
"""The state of a bucket that was never charged.

It is full since the first instant that a datetime can hold.
"""

_INSTANT: Final = Struct(">q")
_SIZE: Final = _INSTANT.size
_NEWEST: Final = -_SIZE
_pack: Final = _INSTANT.pack
_unpack_from: Final = _INSTANT.unpack_from


@attrs.frozen
class Charge:
    """A rate limit for `admit` to charge, with the limit's stored state.

    Attributes:
        policy: The rate limit.
        state: The stored state; `fresh_state(policy)` if the store has none.
    """

    policy: Policy
    state: RateState


@attrs.frozen
class Admitted:
    """The answer of `admit` if every rate limit lets the request pass.

    Attributes:
        states: The new states to store, in the order of the charges.
    """

    states: tuple[RateState, ...]


@attrs.frozen
class RateLimited:
    """The answer of `admit` if at least one rate limit refuses the request; none is charged.

    Attributes:
        states: The very same states that were passed in.
        policy: The refusing limit with the longest wait; the first one if several waits are equal.
        retry_after: The exact wait until `policy` admits the request, in microseconds.
    """

    states: tuple[RateState, ...]
    policy: Policy
    retry_after: int


@attrs.frozen
class LimitLeft:
    """The remaining allowance of a rate limit, for the caller to see.

    Attributes:
        policy: The rate limit.
        remaining: The number of requests of cost 1 that the rate limit would admit at once.
        reset_seconds: The time until the full allowance is back, in whole seconds, rounded up.
    """

    policy: Policy
    remaining: int
    reset_seconds: int


def fresh_state(policy: Policy) -> RateState:
    """Return the state of a rate limit that was never charged, or whose state expired."""
    return FRESH_LOG if isinstance(policy, ExactLog) else FULL_BUCKET


def admit(charges: tuple[Charge, ...], now: datetime, *, cost: int = 1) -> Admitted | RateLimited:
    """Charge a request to every rate limit, or to none if one refuses [S; exactness O].

    Without `charges` the request is admitted.

    Args:
        charges: The rate limits to charge, with their states.
        now: The instant of the request, in UTC.
        cost: The number of admissions or tokens to charge, at least 1.

    Returns:
        Admitted: every limit is charged. RateLimited: at least one limit refuses; none is charged.

    Raises:
        ArgumentError: `cost` is below 1, `now` is not a UTC instant, or a state is of the other
            kind of rate limit.
        CostError: `cost` is above the most that a limit admits, so it could never be admitted.
    """
    at = _microseconds_at(now)
    _check_cost(charges, cost)
    states: list[RateState] = []
    refusing: Policy | None = None
    longest = 0
    for charge in charges:
        policy = charge.policy
        if isinstance(policy, ExactLog):
            charged: RateState | int = _charge_log(policy, state=charge.state, at=at, cost=cost)
        else:
            charged = _charge_bucket(policy, state=charge.state, at=at, cost=cost)
        if not isinstance(charged, int):
            states.append(charged)
        elif charged > longest:
            refusing, longest = policy, charged
    if refusing is None:
        return Admitted(tuple(states))
    return RateLimited(tuple([charge.state for charge in charges]), refusing, longest)


def admit_one(policy: Policy, state: RateState, now: datetime) -> RateState | int:
    """Charge a request of cost 1 to one rate limit, and return the new state of the limit.

    The decision is that of `admit` for this limit alone.

    Args:
        policy: The rate limit.
        state: The stored state of the rate limit.
        now: The instant of the request, in UTC.

    Returns:
        The state after the charge, or the exact wait in microseconds if the rate limit refuses.

    Raises:
        ArgumentError: `now` is not a UTC instant, or the state is of the other kind of rate limit.
    """
    at = _microseconds_at(now)
    if isinstance(policy, ExactLog):
        return _charge_log(policy, state=state, at=at, cost=1)
    return _charge_bucket(policy, state=state, at=at, cost=1)


def state_expires_at(policy: Policy, state: RateState) -> datetime | None:
    """Return when the state of a rate limit expires: from then on, it acts like a fresh state.

    A store may drop the state from that instant, and never before.

    Args:
        policy: The rate limit.
        state: The stored state of the rate limit.

    Returns:
        The instant; `None` for a state that was never charged.
    """
    if state in (FULL_BUCKET, FRESH_LOG):
        return None
    if isinstance(state, BucketState):
        return from_epoch_microseconds(state.full_at + (state.part > 0))
    last: int = _unpack_from(state, _NEWEST)[0]
    return from_epoch_microseconds(last + policy.seconds * SECOND)


def count_remaining(policy: Policy, state: RateState, now: datetime) -> int:
    """Return the greatest cost that a rate limit would admit at `now`; 0 if it admits none.

    Nothing is charged. A bucket's state is the instant at which the bucket is full again. An
    instant that is later than `now` by more than the bucket's window (the time to fill) plus five
    minutes was written by a clock that ran ahead. Such a state is not believed: the bucket admits
    any cost up to its capacity.

    Args:
        policy: The rate limit.
        state: The stored state of the rate limit.
        now: The instant of the question, in UTC.
    """
    at, period = to_epoch_microseconds(now), policy.seconds * SECOND
    if isinstance(policy, ExactLog):
        instants = _unpacked(state) if isinstance(state, LogState) else []
        return max(0, policy.limit - sum(at - instant < period for instant in instants))
    missing = _missing(policy, state, at) if isinstance(state, BucketState) else 0
    if _is_disbelieved(policy, missing):
        return policy.capacity
    return max(0, policy.capacity * period - missing) // period


def limit_left(policy: Policy, state: RateState, now: datetime) -> LimitLeft:
    """Return the remaining allowance of a rate limit at `now` [O].

    A bucket's state is the instant at which the bucket is full again. An instant that is later than
    `now` by more than the bucket's window (the time to fill) plus five minutes was written by a
    clock that ran ahead. Such a state is not believed: one request remains. Whatever it costs, it
    leaves the bucket empty.

    Args:
        policy: The rate limit.
        state: The stored state of the rate limit.
        now: The instant of the question, in UTC.
    """
    if isinstance(policy, Bucket) and isinstance(state, BucketState):
        missing = _missing(policy, state, to_epoch_microseconds(now))
        if _is_disbelieved(policy, missing):
            return LimitLeft(policy, 1, policy.window)
    expires_at = state_expires_at(policy, state)
    reset = 0 if expires_at is None else max(0, -(-elapsed(now, expires_at) // SECOND))
    return LimitLeft(policy, count_remaining(policy, state, now), reset)


def _microseconds_at(now: datetime) -> int:
    check_instant("now", now)
    return to_epoch_microseconds(now)


def _check_cost(charges: tuple[Charge, ...], cost: int) -> None:
    if cost < 1:
        raise ArgumentError("cost", "at least 1")
    for charge in charges:
        if cost > charge.policy.limit:
            raise CostError(charge.policy.name, cost, charge.policy.limit)


def _charge_log(policy: ExactLog, state: RateState, at: int, cost: int) -> LogState | int:
    # Like `_charge_bucket`, returns the new state, or the wait in microseconds.
    if not isinstance(state, LogState):
        raise ArgumentError(f"state of {policy.name!r}", "a LogState")
    added = cost * _SIZE
    surplus = len(state) + added - policy.limit * _SIZE
    if surplus > 0:
        # Only the newest of the instants to drop matters: the others are older.
        newest_dropped: int = _unpack_from(state, surplus - _SIZE)[0]
        wait = newest_dropped + policy.seconds * SECOND - at
        if wait > 0:
            return wait
        # A log from a larger limit keeps its length, because servers with that limit still count
        # all its instants.
        after = (state[surplus:] if surplus < added else state[added:]) + _pack(at) * cost
    else:
        after = state + _pack(at) * cost
    if state and _unpack_from(state, _NEWEST)[0] > at:
        # The clock stepped back, so the new instants are not the latest.
        after = _packed(sorted(_unpacked(after)))
    return LogState(after)


def _charge_bucket(policy: Bucket, state: RateState, at: int, cost: int) -> BucketState | int:
    if not isinstance(state, BucketState):
        raise ArgumentError(f"state of {policy.name!r}", "a BucketState")
    token, refill = policy.seconds * SECOND, policy.refill
    most = policy.capacity * token
    missing = _missing(policy, state, at)
    if _is_disbelieved(policy, missing):
        missing = most
    else:
        missing += cost * token
        if missing > most:
            return -(-(missing - most) // refill)
    return BucketState(full_at=at + missing // refill, part=missing % refill)


def _missing(policy: Bucket, state: BucketState, at: int) -> int:
    # Returns the time until the bucket is full, in parts of a microsecond. A microsecond has as
    # many parts as the refill, so a token takes as many parts as the period has microseconds.
    full_at, part = state
    return 0 if full_at < at else (full_at - at) * policy.refill + part


def _is_disbelieved(policy: Bucket, missing: int) -> bool:
    # Returns whether more is missing than any clock within five minutes of this one can have left.
    # Then the clock ran ahead and was put back, and the state says nothing about the bucket.
    tolerance = CLOCK_TOLERANCE * policy.refill
    return missing > policy.capacity * policy.seconds * SECOND + tolerance


def _packed(instants: Iterable[int]) -> bytes:
    return b"".join(map(_pack, instants))


def _unpacked(state: bytes) -> list[int]:
    return [instant for (instant,) in _INSTANT.iter_unpack(state)]


def _check_policy(name: str, **sizes: int) -> None:
    if not (name and name.isascii() and name.isprintable()):
        raise ArgumentError("name", "printable ASCII and not empty, since callers see it")
    for size, value in sizes.items():
        # Compares the exact type, because a bool is an int in Python.
        if type(value) is not int or not 1 <= value <= MAX_INTEGER:
            raise ArgumentError(size, f"an integer from 1 to {MAX_INTEGER}")


INITIATE_LIMIT: Final = ExactLog("initiate", 10, MINUTE // SECOND)
"""Ten initiates of one app user in any minute, across apps [S; "any" is O]."""

GRADUATION_LIMIT: Final = ExactLog("graduation", 10, MINUTE // SECOND)
"""Ten graduation hand-offs of one app user in any minute [P]."""
