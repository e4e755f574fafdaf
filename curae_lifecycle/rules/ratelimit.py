"""How often: an exact log for app users, token buckets for API keys.

The laws of this module: **in any half-open window at most the limit is admitted**, whatever
the order in which instants arrive; **`retry_after` is exact** (at that instant it is admitted,
one microsecond earlier it is not); **several rules are all or nothing**, and a refusal hands
back the very same states. Integers throughout.

Two kinds of rule. An `ExactLog` keeps the instants of the last admissions, at most as many as
its limit. It drops one only where that one is a full window old and its place is needed, so a
clock that jumps ahead and back finds every instant that still counts. A `Bucket` (GCRA) is one
integer: the theoretical arrival time, in microseconds times the refill, so that nothing is
ever rounded. Both only grow, so time that runs backwards admits nothing extra.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.errors import ArgumentError, LifecycleError
from curae_lifecycle.rules.values import (
    MINUTE,
    SECOND,
    check_instant,
    elapsed,
    instant_at,
    later,
    microseconds,
)

MOST: Final = 999_999_999_999_999
"""The largest integer that a size may be, and that the wire can carry."""


class CostError(LifecycleError, ValueError):
    """A cost that a rule could never admit, however long the caller waited.

    Attributes:
        policy: The rule's name.
        cost: What was asked.
        most: What the rule admits at once.
    """

    def __init__(self, policy: str, cost: int, most: int) -> None:
        """Name the rule, the cost and the most it admits."""
        super().__init__(policy, cost, most)
        self.policy = policy
        self.cost = cost
        self.most = most

    def __str__(self) -> str:
        return f"cost {self.cost} can never be admitted by {self.policy!r}, at most {self.most} can"


@attrs.frozen
class ExactLog:
    """A rule: at most `limit` in any half-open window.

    Attributes:
        name: The policy's name, as callers see it.
        limit: How many.
        seconds: The window's length.
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


@attrs.frozen
class Bucket:
    """A rule: `capacity` at once, refilled by `refill` every `seconds`; full at the start.

    Attributes:
        name: The policy's name, as callers see it.
        capacity: How many at once.
        refill: How many come back.
        seconds: In how many seconds they come back.
    """

    name: str
    capacity: int
    refill: int
    seconds: int

    def __attrs_post_init__(self) -> None:
        """Check the name and the sizes once, where the rule is made."""
        _check_policy(self.name, capacity=self.capacity, refill=self.refill, seconds=self.seconds)
        if self.window > MOST:
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


@attrs.frozen
class LogState:
    """The instants of the last admissions, oldest first, at most the rule's limit."""

    instants: tuple[datetime, ...] = ()


@attrs.frozen
class BucketState:
    """The theoretical arrival time, in microseconds since 1970 times the rule's refill."""

    arrival: int | None = None


RateState = LogState | BucketState

FRESH_LOG: Final = LogState()
FULL_BUCKET: Final = BucketState()


@attrs.frozen
class Charge:
    """A rule and its state: what `admit` asks.

    A store that has no state for the rule passes `fresh_state(policy)`.
    """

    policy: Policy
    state: RateState


@attrs.frozen
class Admitted:
    """Every rule admits it.

    Attributes:
        states: The state of each rule after the charge, in the order they were asked.
    """

    states: tuple[RateState, ...]


@attrs.frozen
class Limited:
    """At least one rule refuses; none is charged.

    Attributes:
        states: The very same states that were passed in.
        policy: The rule with the longest wait; the first of those that wait equally long.
        retry_after: Microseconds until that rule admits it, exact.
    """

    states: tuple[RateState, ...]
    policy: Policy
    retry_after: int


def fresh_state(policy: Policy) -> RateState:
    """The state of a rule that was never charged, or whose state expired."""
    return FRESH_LOG if isinstance(policy, ExactLog) else FULL_BUCKET


def admit(charges: tuple[Charge, ...], now: datetime, *, cost: int = 1) -> Admitted | Limited:
    """Charge every rule, or none [S: limits exist; exactness O].

    Args:
        charges: The rules and their states. No rules admit everything.
        now: The instant of the request.
        cost: How much to charge each rule.

    Raises:
        ArgumentError: A cost below 1, or `now` is no UTC instant.
        CostError: A cost that one of the rules could never admit.
    """
    check_instant("now", now)
    if cost < 1:
        raise ArgumentError("cost", "at least 1")
    states: list[RateState] = []
    refusing: Policy | None = None
    longest = 0
    for charge in charges:
        policy = charge.policy
        if cost > policy.limit:
            raise CostError(policy.name, cost, policy.limit)
        charged = _charge(policy, charge.state, now, cost)
        if not isinstance(charged, int):
            states.append(charged)
        elif charged > longest:
            refusing, longest = policy, charged
    if refusing is None:
        return Admitted(tuple(states))
    return Limited(tuple(charge.state for charge in charges), refusing, longest)


def admit_one(policy: Policy, state: RateState, now: datetime) -> RateState | Limited:
    """Charge one rule by one: `admit` for the common case, without the tuples.

    Returns:
        The state after the charge, or why there is none.

    Raises:
        ArgumentError: `now` is no UTC instant.
    """
    check_instant("now", now)
    charged = _charge(policy, state, now, 1)
    return Limited((state,), policy, charged) if isinstance(charged, int) else charged


def state_expires_at(policy: Policy, state: RateState) -> datetime | None:
    """When the state equals one that was never charged; a store drops it then, never before.

    Returns:
        The instant; `None` for a state that was never charged.
    """
    if isinstance(state, LogState):
        return later(state.instants[-1], policy.seconds * SECOND) if state.instants else None
    if state.arrival is None or isinstance(policy, ExactLog):
        return None
    return instant_at(-(-state.arrival // policy.refill))


def available(policy: Policy, state: RateState, now: datetime) -> int:
    """How much the rule would admit at once, at `now`, without charging it."""
    if isinstance(policy, ExactLog):
        instants = state.instants if isinstance(state, LogState) else ()
        window = policy.seconds * SECOND
        return policy.limit - sum(elapsed(instant, now) < window for instant in instants)
    arrival = state.arrival if isinstance(state, BucketState) else None
    per_unit = policy.seconds * SECOND
    owed = 0 if arrival is None else max(0, arrival - microseconds(now) * policy.refill)
    return max(0, policy.capacity * per_unit - owed) // per_unit


def _charge(policy: Policy, state: RateState, now: datetime, cost: int) -> RateState | int:
    # The new state, or the microseconds to wait.
    if isinstance(policy, ExactLog):
        if not isinstance(state, LogState):
            raise ArgumentError(f"state of {policy.name!r}", "a LogState")
        return _charge_log(policy, state, now, cost)
    if not isinstance(state, BucketState):
        raise ArgumentError(f"state of {policy.name!r}", "a BucketState")
    return _charge_bucket(policy, state, now, cost)


def _charge_log(policy: ExactLog, state: LogState, now: datetime, cost: int) -> LogState | int:
    instants = state.instants
    window = policy.seconds * SECOND
    surplus = len(instants) + cost - policy.limit
    if surplus > 0:
        # The youngest of those that must make room decides for all of them.
        wait = window - elapsed(instants[surplus - 1], now)
        if wait > 0:
            return wait
        instants = instants[surplus:]
    admitted = instants + (now,) * cost
    return LogState(tuple(sorted(admitted)) if instants and now < instants[-1] else admitted)


def _charge_bucket(
    policy: Bucket, state: BucketState, now: datetime, cost: int
) -> BucketState | int:
    per_unit = policy.seconds * SECOND
    scaled_now = microseconds(now) * policy.refill
    arrival = scaled_now if state.arrival is None else max(state.arrival, scaled_now)
    arrival += cost * per_unit
    excess = arrival - scaled_now - policy.capacity * per_unit
    if excess > 0:
        return -(-excess // policy.refill)
    return BucketState(arrival)


def _check_policy(name: str, **sizes: int) -> None:
    if not (name and name.isascii() and name.isprintable()):
        raise ArgumentError("name", "printable ASCII, since callers see it")
    for size, value in sizes.items():
        # The exact type: a bool is an int to Python and no size to anyone.
        if type(value) is not int or not 1 <= value <= MOST:
            raise ArgumentError(size, f"an integer from 1 to {MOST}")


INITIATE_LIMIT: Final = ExactLog("initiate", 10, MINUTE // SECOND)
"""Ten initiates of one app user in any minute, across apps [S; "any" is O]."""

GRADUATION_LIMIT: Final = ExactLog("graduation", 10, MINUTE // SECOND)
"""Ten graduation hand-offs of one app user in any minute [P]."""
