"""Wrong limiters whose mistakes no client can see: costs, clocks, several rules at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.ratelimit import (
    FULL_BUCKET,
    Admitted,
    Bucket,
    BucketState,
    Charge,
    CostError,
    ExactLog,
    LogState,
    RateLimited,
    RateState,
    admit,
    fresh_state,
)
from curae_lifecycle.rules.values import SECOND
from curae_lifecycle.testing.laws import (
    LawBrokenError,
    check_nothing_changed,
    check_rate_limit,
    check_retry_after,
)
from tests.proof.bugs.bug import HiddenBug
from tests.proof.bugs.service import START

Charges = tuple[Charge, ...]
Admit = Callable[[Charges, datetime, int], Admitted | RateLimited]

LOG: Final = ExactLog("initiate", 10, 60)
BUCKET: Final = Bucket(name="platform", capacity=10, refill=10, seconds=60)


def _right(charges: Charges, now: datetime, cost: int) -> Admitted | RateLimited:
    return admit(charges, now, cost=cost)


class _Limiter:
    """One rule and its state under repeated requests."""

    def __init__(self, ask: Admit, policy: ExactLog | Bucket) -> None:
        self.ask = ask
        self.policy = policy
        self.state = fresh_state(policy)

    def __call__(self, now: datetime, cost: int = 1) -> bool:
        try:
            answer = self.ask((Charge(self.policy, self.state),), now, cost)
        except (ArgumentError, CostError):
            return False
        self.state = answer.states[0]
        return isinstance(answer, Admitted)


def probe_costs(ask: Admit) -> None:
    """Check that no cost, however odd, adds quota or locks a key."""
    for policy in (LOG, BUCKET):
        for odd in (-5, 0, 11):
            limiter = _Limiter(ask, policy)
            admitted = [START for _ in range(5) if limiter(START)]
            limiter(START, odd)
            admitted += [START for _ in range(20) if limiter(START)]
            check_rate_limit(admitted)
            if len(admitted) < 10:
                raise LawBrokenError(10, f"only {len(admitted)} admitted", f"after a cost of {odd}")


def probe_clocks(ask: Admit) -> None:
    """Check that clocks that disagree, step back or jump admit nothing extra."""
    # Two workers, one half a minute behind, within one second.
    for policy in (LOG, BUCKET):
        limiter = _Limiter(ask, policy)
        readings = [START, START - timedelta(seconds=30)] * 50
        admitted = [START for reading in readings if limiter(reading)]
        check_rate_limit(admitted)
    # One reading is an hour ahead.
    limiter = _Limiter(ask, LOG)
    readings = [START] * 10 + [START + timedelta(hours=1)] + [START + timedelta(seconds=1)] * 10
    check_rate_limit(reading for reading in readings if limiter(reading))


def probe_wait(ask: Admit) -> None:
    """Check that the wait is long enough for both rules that refuse."""
    rules = (ExactLog("burst", 1, 7), ExactLog("minute", 5, 60))
    states: tuple[RateState, ...] = tuple(fresh_state(rule) for rule in rules)
    now = START
    for _ in range(5):
        answer = ask(tuple(map(Charge, rules, states)), now, 1)
        assert isinstance(answer, Admitted)
        states = answer.states
        now += timedelta(seconds=7)
    now -= timedelta(seconds=6)
    refused = ask(tuple(map(Charge, rules, states)), now, 1)
    assert isinstance(refused, RateLimited)
    check_retry_after(
        lambda then: isinstance(ask(tuple(map(Charge, rules, states)), then, 1), Admitted),
        now,
        timedelta(microseconds=refused.retry_after),
    )


def probe_all_or_nothing(ask: Admit) -> None:
    """Check that a refusal returns the given states unchanged."""
    narrow = ExactLog("narrow", 1, 60)
    states: tuple[RateState, ...] = (fresh_state(LOG), LogState.of((START,)))
    answer = ask((Charge(LOG, states[0]), Charge(narrow, states[1])), START, 1)
    check_nothing_changed(states, answer.states)


# --- The mistakes -----------------------------------------------------------------------------


def _any_cost(charges: Charges, now: datetime, cost: int) -> Admitted | RateLimited:
    # A cost below 1 would return earlier charges.
    if cost >= 1:
        return admit(charges, now, cost=cost)
    states: list[RateState] = []
    for charge in charges:
        state = charge.state
        if isinstance(state, LogState):
            states.append(LogState.of(state.instants[: len(state.instants) + cost]))
        else:
            states.append(BucketState(state.full_at + cost * 6 * SECOND))
    return Admitted(tuple(states))


def _impossible_cost_locks(charges: Charges, now: datetime, cost: int) -> Admitted | RateLimited:
    try:
        return admit(charges, now, cost=cost)
    except CostError:
        full = tuple(
            LogState.of((now,) * 10)
            if isinstance(charge.policy, ExactLog)
            else admit((charge,), now, cost=5).states[0]
            for charge in charges
        )
        return RateLimited(full, charges[0].policy, 60 * SECOND)


def _impossible_cost_passes(charges: Charges, now: datetime, cost: int) -> Admitted | RateLimited:
    try:
        return admit(charges, now, cost=cost)
    except CostError:
        full = tuple(fresh_state(charge.policy) for charge in charges)
        return Admitted(full)


def _refill_runs_backwards(charges: Charges, now: datetime, cost: int) -> Admitted | RateLimited:
    # Remember the last reading and its state: a reading in the past moves the last one back.
    charge = charges[0]
    state = charge.state
    if not isinstance(state, BucketState) or not isinstance(charge.policy, Bucket):
        return admit(charges, now, cost=cost)
    per_token = charge.policy.seconds * SECOND // charge.policy.refill
    last, tokens = state
    at = int(now.timestamp()) * SECOND
    tokens = 10 if state == FULL_BUCKET else min(10, tokens + max(0, at - last) // per_token)
    if tokens < cost:
        return RateLimited((BucketState(at, tokens),), charge.policy, per_token)
    return Admitted((BucketState(at, tokens - cost),))


def _jump_prunes(charges: Charges, now: datetime, cost: int) -> Admitted | RateLimited:
    pruned: list[Charge] = []
    for charge in charges:
        state = charge.state
        if isinstance(state, LogState):
            window = timedelta(seconds=60)
            state = LogState.of(at for at in state.instants if now - at < window)
        pruned.append(Charge(charge.policy, state))
    return admit(tuple(pruned), now, cost=cost)


def _first_refusal_decides(charges: Charges, now: datetime, cost: int) -> Admitted | RateLimited:
    for charge in charges:
        answer = admit((charge,), now, cost=cost)
        if isinstance(answer, RateLimited):
            states = tuple(each.state for each in charges)
            return RateLimited(states, answer.policy, answer.retry_after)
    return admit(charges, now, cost=cost)


def _charged_one_by_one(charges: Charges, now: datetime, cost: int) -> Admitted | RateLimited:
    states: list[RateState] = []
    refused: RateLimited | None = None
    for charge in charges:
        answer = admit((charge,), now, cost=cost)
        states.append(answer.states[0])
        refused = answer if isinstance(answer, RateLimited) else refused
    if refused is None:
        return Admitted(tuple(states))
    return RateLimited(tuple(states), refused.policy, refused.retry_after)


BUGS: Final = (
    HiddenBug(
        name="negative-cost-buys-quota",
        wrong="A negative cost is taken and gives quota back.",
        breaks="law 10",
        seen="limits, PyrateLimiter and upstash admit five extra after a cost of -5",
        found_by="laws.check_rate_limit",
        probe=probe_costs,
        right=_right,
        mistaken=_any_cost,
    ),
    HiddenBug(
        name="impossible-cost-locks",
        wrong="A cost that can never be admitted uses up the whole limit.",
        breaks="law 10",
        seen="limits, throttled-py and upstash lock the key",
        found_by="bugs.admission.probe_costs",
        probe=probe_costs,
        right=_right,
        mistaken=_impossible_cost_locks,
    ),
    HiddenBug(
        name="impossible-cost-passes",
        wrong="A cost above the limit is admitted, and the count starts again.",
        breaks="law 10",
        seen="limits#151, limits#112",
        found_by="laws.check_rate_limit",
        probe=probe_costs,
        right=_right,
        mistaken=_impossible_cost_passes,
    ),
    HiddenBug(
        name="refill-runs-backwards",
        wrong="A bucket of tokens and a last reading refills each time that clocks disagree.",
        breaks="law 10",
        seen="golang/go#56287, golang/go#71360; throttled-py admitted 2000 instead of 10",
        found_by="laws.check_rate_limit",
        probe=probe_clocks,
        right=_right,
        mistaken=_refill_runs_backwards,
    ),
    HiddenBug(
        name="jump-prunes",
        wrong="One reading an hour ahead empties the log, and then the clock is right again.",
        breaks="law 10",
        seen="django-ratelimit and upstash admitted 20 extra after a step back",
        found_by="laws.check_rate_limit",
        probe=probe_clocks,
        right=_right,
        mistaken=_jump_prunes,
    ),
    HiddenBug(
        name="first-refusal-decides",
        wrong="Of two rules that refuse, the wait of the first is answered.",
        breaks="law 10",
        seen="vutran1710/PyrateLimiter#184",
        found_by="laws.check_retry_after",
        probe=probe_wait,
        right=_right,
        mistaken=_first_refusal_decides,
    ),
    HiddenBug(
        name="charged-one-by-one",
        wrong="A call that the second rule refuses is charged to the first.",
        breaks="law 10; law 11",
        seen="mailgun/gubernator#45, slowapi#169",
        found_by="laws.check_nothing_changed",
        probe=probe_all_or_nothing,
        right=_right,
        mistaken=_charged_one_by_one,
    ),
)
