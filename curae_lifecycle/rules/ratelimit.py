"""How often: an exact log for app users, token buckets for API keys.

The laws of this module: **in any half-open window at most the limit is admitted**, whatever
the order in which instants arrive; **`retry_after` is exact** (at that instant it is admitted,
one microsecond earlier it is not); **several rules are all or nothing**, and a refusal hands
back the very same states; **what a state says holds whatever the numbers of its rule become**.
Integers throughout.

Two kinds of rule. An `ExactLog` keeps the instants of the last admissions, newest last. It drops
one only where the one in the way is a full window old and a place is needed, so a clock that
jumps ahead and back finds every instant that still counts. Of a log that is longer than the limit
the newest count: servers side by side that differ in the limit, or in the window, each hold their
own, exactly. Where they differ in both, no window as long as the shortest holds more than the
largest limit.

A `Bucket` (GCRA) keeps the instant at which it is full again. Each charge moves that instant on
by what a token takes to come back, as a whole number of microseconds and a fraction whose parts
are the refill's, so nothing is rounded. Where another refill wrote the fraction it is rounded up,
by less than one part: by less than a millionth of a token, and never in the caller's favour.

A log only gains admissions and a bucket's instant only moves on, so time that runs backwards
admits nothing extra.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from struct import Struct
from typing import Final, NamedTuple, final

import attrs

from curae_lifecycle.rules.errors import ArgumentError, LifecycleError
from curae_lifecycle.rules.values import (
    MINUTE,
    SECOND,
    check_instant,
    elapsed,
    from_epoch_microseconds,
    to_epoch_microseconds,
)

MAX_INTEGER: Final = 999_999_999_999_999
"""The largest integer that a size may be, and that the wire can carry."""


class CostError(LifecycleError, ValueError):
    """A cost that a rule could never admit, however long the caller waited.

    It names the `policy`, what was asked, and the `limit` that it admits at once.
    """

    def __init__(self, policy: str, cost: int, limit: int) -> None:
        super().__init__(policy, cost, limit)
        self.policy = policy
        self.cost = cost
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"cost {self.cost} can never be admitted by {self.policy!r}, at most {self.limit} can"
        )


@final
@attrs.frozen
class ExactLog:
    """A rule: at most `limit` in any half-open window of so many `seconds`.

    Callers see its `name`.
    """

    name: str
    limit: int
    seconds: int

    def __attrs_post_init__(self) -> None:
        """Check the name and the sizes once, where the rule is made."""
        _check_policy(self.name, limit=self.limit, seconds=self.seconds)

    @property
    def window(self) -> int:
        """In how many seconds the limit counts."""
        return self.seconds


@final
@attrs.frozen
class Bucket:
    """A rule: `capacity` at once, refilled by `refill` every `seconds`; full at the start.

    Callers see its `name`.
    """

    name: str
    capacity: int
    refill: int
    seconds: int

    def __attrs_post_init__(self) -> None:
        """Check the name and the sizes once, where the rule is made."""
        _check_policy(self.name, capacity=self.capacity, refill=self.refill, seconds=self.seconds)
        if self.window > MAX_INTEGER:
            raise ArgumentError("capacity", "small enough to fill in 10^15 seconds")

    @property
    def limit(self) -> int:
        """How many at once."""
        return self.capacity

    @property
    def window(self) -> int:
        """Seconds from empty to full, rounded up [O]."""
        return -(-self.capacity * self.seconds // self.refill)


Policy = ExactLog | Bucket
"""A rule of either kind."""


class LogState(bytes):
    """The instants of the last admissions, oldest first, packed to eight bytes each.

    They are microseconds since 1970, signed, the greatest byte first. A full log of ten takes
    136 bytes of memory.
    """

    __slots__ = ()

    @classmethod
    def of(cls, instants: Iterable[datetime]) -> LogState:
        """The state of a log after admissions at these instants, in any order."""
        return cls.of_microseconds(sorted(map(to_epoch_microseconds, instants)))

    @classmethod
    def of_microseconds(cls, instants: Iterable[int]) -> LogState:
        """The same of microseconds since 1970, oldest first."""
        return cls(_packed(instants))

    @property
    def instants(self) -> tuple[datetime, ...]:
        """When the admissions were, oldest first."""
        return tuple(map(from_epoch_microseconds, _unpacked(self)))

    @property
    def microseconds(self) -> list[int]:
        """The same in microseconds since 1970."""
        return _unpacked(self)

    def __repr__(self) -> str:
        return f"LogState.of({self.instants})"


class BucketState(NamedTuple):
    """When a bucket is full again: exact, and the same whatever numbers its rule has by then.

    Attributes:
        full_at: Whole microseconds since 1970.
        part: How many parts of a microsecond after that.
        parts: Into how many parts a microsecond is divided: the refill of the last charge.
    """

    full_at: int
    part: int = 0
    parts: int = 1


RateState = LogState | BucketState
"""The state of a rule of either kind, as it is stored."""

FRESH_LOG: Final = LogState()
"""The state of an exact log that was never charged."""

FULL_BUCKET: Final = BucketState(to_epoch_microseconds(datetime.min.replace(tzinfo=UTC)))
"""Full for as long as there are instants."""

DAY: Final = 86_400
"""A day in seconds."""

_INSTANT: Final = Struct(">q")
_SIZE: Final = _INSTANT.size
_NEWEST: Final = -_SIZE
_pack: Final = _INSTANT.pack
_unpack_from: Final = _INSTANT.unpack_from


@attrs.frozen
class Charge:
    """A rule and its state: what `admit` asks.

    A store that has no state for the rule passes `fresh_state(policy)`.
    """

    policy: Policy
    state: RateState


@attrs.frozen
class Admitted:
    """Every rule admits it: `states` are theirs after the charge, in the order they were asked."""

    states: tuple[RateState, ...]


@attrs.frozen
class RateLimited:
    """At least one rule refuses; none is charged.

    Attributes:
        states: The very same states that were passed in.
        policy: The rule with the longest wait; the first of those that wait equally long.
        retry_after: Microseconds until that rule admits it, exact.
    """

    states: tuple[RateState, ...]
    policy: Policy
    retry_after: int


@attrs.frozen
class LimitLeft:
    """What a caller may still ask of a rule.

    Attributes:
        policy: The rule.
        remaining: How many calls it would admit at once.
        reset_seconds: In how many whole seconds, rounded up, it is as if it was never charged.
    """

    policy: Policy
    remaining: int
    reset_seconds: int


def fresh_state(policy: Policy) -> RateState:
    """The state of a rule that was never charged, or whose state expired."""
    return FRESH_LOG if isinstance(policy, ExactLog) else FULL_BUCKET


def admit(charges: tuple[Charge, ...], now: datetime, *, cost: int = 1) -> Admitted | RateLimited:
    """Charge each rule so much, or none of them [S: limits exist; exactness O].

    No rules admit everything.

    Raises:
        ArgumentError: A cost below 1, or `now` is no UTC instant.
        CostError: A cost that one of the rules could never admit.
    """
    at = _microseconds_at(now)
    if cost != 1:
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
    """Charge one rule by one: `admit` for the common case, without the tuples.

    Args:
        policy: The rule.
        state: Its state as it is stored.
        now: The instant at which it is asked, in UTC.

    Returns:
        The state after the charge, or for how many microseconds to wait, exact.

    Raises:
        ArgumentError: `now` is no UTC instant.
    """
    at = _microseconds_at(now)
    if isinstance(policy, ExactLog):
        return _charge_log(policy, state=state, at=at, cost=1)
    return _charge_bucket(policy, state=state, at=at, cost=1)


def state_expires_at(policy: Policy, state: RateState) -> datetime | None:
    """When the state equals one that was never charged; a store drops it then, never before.

    Args:
        policy: The rule.
        state: Its state as it is stored.

    Returns:
        The instant; `None` for a state that was never charged.
    """
    if isinstance(state, BucketState):
        return (
            None
            if state == FULL_BUCKET
            else from_epoch_microseconds(state.full_at + (state.part > 0))
        )
    if not state:
        return None
    last: int = _unpack_from(state, _NEWEST)[0]
    return from_epoch_microseconds(last + policy.seconds * SECOND)


def count_remaining(policy: Policy, state: RateState, now: datetime) -> int:
    """How much the rule would admit at once, at `now`, without charging it.

    Args:
        policy: The rule.
        state: Its state as it is stored.
        now: The instant at which it is asked, in UTC.
    """
    at, period = to_epoch_microseconds(now), policy.seconds * SECOND
    if isinstance(policy, ExactLog):
        instants = _unpacked(state) if isinstance(state, LogState) else []
        return max(0, policy.limit - sum(at - instant < period for instant in instants))
    missing = _missing(policy, state, at) if isinstance(state, BucketState) else 0
    return max(0, policy.capacity * period - missing) // period


def limit_left(policy: Policy, state: RateState, now: datetime) -> LimitLeft:
    """What is left of the rule at `now` [O].

    Args:
        policy: The rule.
        state: Its state as it is stored.
        now: The instant at which it is asked, in UTC.
    """
    over = state_expires_at(policy, state)
    reset = 0 if over is None else max(0, -(-elapsed(now, over) // SECOND))
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
    # The new state, or the microseconds to wait; so does `_charge_bucket`.
    if not isinstance(state, LogState):
        raise ArgumentError(f"state of {policy.name!r}", "a LogState")
    added = cost * _SIZE
    surplus = len(state) + added - policy.limit * _SIZE
    if surplus > 0:
        # The youngest of those that must make room decides for all of them.
        decides: int = _unpack_from(state, surplus - _SIZE)[0]
        wait = decides + policy.seconds * SECOND - at
        if wait > 0:
            return wait
        # A log that a larger limit left stays as long: a server that has it still counts them.
        after = (state[surplus:] if surplus < added else state[added:]) + _pack(at) * cost
    else:
        after = state + _pack(at) * cost
    if state and _unpack_from(state, _NEWEST)[0] > at:
        # The clock stepped back.
        after = _packed(sorted(_unpacked(after)))
    return LogState(after)


def _charge_bucket(policy: Bucket, state: RateState, at: int, cost: int) -> BucketState | int:
    if not isinstance(state, BucketState):
        raise ArgumentError(f"state of {policy.name!r}", "a BucketState")
    token, refill = policy.seconds * SECOND, policy.refill
    missing = _missing(policy, state, at) + cost * token
    excess = missing - policy.capacity * token
    if excess > 0:
        return -(-excess // refill)
    return BucketState(full_at=at + missing // refill, part=missing % refill, parts=refill)


def _missing(policy: Bucket, state: BucketState, at: int) -> int:
    # The time until it is full, in parts of a microsecond: as many as the refill, so that a token
    # takes as many parts as the period has microseconds.
    full_at, part, parts = state
    if full_at < at:
        return 0
    if parts != policy.refill:
        # Rounded up: what another refill left comes back a little later, never earlier.
        part = -(-part * policy.refill // parts)
    return (full_at - at) * policy.refill + part


def _packed(instants: Iterable[int]) -> bytes:
    return b"".join(map(_pack, instants))


def _unpacked(state: bytes) -> list[int]:
    return [instant for (instant,) in _INSTANT.iter_unpack(state)]


def _check_policy(name: str, **sizes: int) -> None:
    if not (name and name.isascii() and name.isprintable()):
        raise ArgumentError("name", "printable ASCII, since callers see it")
    for size, value in sizes.items():
        # The exact type: a bool is an int to Python and no size to anyone.
        if type(value) is not int or not 1 <= value <= MAX_INTEGER:
            raise ArgumentError(size, f"an integer from 1 to {MAX_INTEGER}")


INITIATE_LIMIT: Final = ExactLog("initiate", 10, MINUTE // SECOND)
"""Ten initiates of one app user in any minute, across apps [S; "any" is O]."""

GRADUATION_LIMIT: Final = ExactLog("graduation", 10, MINUTE // SECOND)
"""Ten graduation hand-offs of one app user in any minute [P]."""
