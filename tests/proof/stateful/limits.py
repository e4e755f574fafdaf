"""A state machine of rate limits: an exact log and token buckets, alone and together."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from curae_lifecycle.rules import ratelimit as rules
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.ratelimit import (
    Admitted,
    Bucket,
    Charge,
    CostError,
    ExactLog,
    RateLimited,
    RateState,
)
from curae_lifecycle.testing.laws import check_rate_limit, check_retry_after
from tests.proof.reference.limits import Log, TokenBucket, admit
from tests.proof.stateful.running import START, TICK, CountedMachine, agree, ticks

SITUATIONS: Final = (
    "admitted",
    "admitted although the clock is behind",
    "admitted at the instant that was named",
    "limited by the bucket",
    "limited by the log",
    "limited one tick before the instant that was named",
    "limited since the clock is behind",
    "limited by several, equally long",
    "mistake: a cost below one",
    "never: a cost beyond the rule",
    "state dropped at its own instant",
    "state still there one tick earlier",
)
"""The situations that a run must reach, since no table decides a rate limit."""

Policy = tuple[str, str, int, int, int]
"""The kind (log or bucket), name, capacity, refill, and seconds."""

logs = st.tuples(
    st.just("log"), st.just("log"), st.integers(1, 4), st.just(1), st.sampled_from([1, 2])
)
buckets = st.tuples(st.just("bucket"), st.just("bucket"), *map(st.integers, [1] * 3, [4, 3, 7]))
even = st.sampled_from(
    [
        [("log", "log", 1, 1, 1), ("bucket", "bucket", 1, 1, 1)],
        [("bucket", "bucket", 1, 2, 2), ("log", "log", 1, 1, 1)],
    ]
)
"""Rules with equally long waits."""
SPANS: Final = [0, 0, 1, 142_857, 333_333, 500_000, 1_000_000, -1, -300_000, -2_000_000]


class LimitsMachine(CountedMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.latest = START
        self.floor: datetime | None = None
        self.named: datetime | None = None
        self.policies: list[ExactLog | Bucket] = []
        self.states: list[RateState] = []
        self.model: dict[str, Log | TokenBucket] = {}

    @initialize(
        policies=st.one_of(even, st.tuples(logs, buckets).map(list), logs.map(lambda it: [it]))
    )
    def configure(self, policies: list[Policy]) -> None:
        for kind, name, most, refill, seconds in policies:
            if kind == "log":
                self.policies.append(ExactLog(name, most, seconds))
                self.model[name] = Log(most, seconds)
            else:
                self.policies.append(
                    Bucket(name=name, capacity=most, refill=refill, seconds=seconds)
                )
                self.model[name] = TokenBucket(most, refill, seconds)
        self.states = [rules.fresh_state(policy) for policy in self.policies]

    # Time -----------------------------------------------------------------------------------

    @rule(by=st.sampled_from(SPANS))
    def time_passes_or_the_clock_steps_back(self, by: int) -> None:
        self._move(self.now + by * TICK)

    @precondition(lambda self: self.named is not None)
    @rule(tick=ticks)
    def wait_as_named(self, tick: int) -> None:
        assert self.named is not None
        self._move(self.named + tick * TICK)

    def _move(self, to: datetime) -> None:
        # Before the instant at which a state was dropped, no store could still know it.
        self.now = to if self.floor is None else max(to, self.floor)

    # Requests -------------------------------------------------------------------------------

    @rule(cost=st.sampled_from([1, 1, 1, 2, 3, 5, 0]))
    def ask(self, cost: int) -> None:
        now, before = self.now, list(self.states)
        expected = admit(self.model, now, cost)
        answer = self._ask(now, cost)
        agree(f"cost {cost} at {now.isoformat()}", expected, answer)
        outcome, name, wait = expected
        behind = now < self.latest
        if outcome == "limited":
            agree("law 11: what is refused charges nothing", before, self.states)
            waits = timedelta(microseconds=wait)
            check_retry_after(lambda then: self._admits(then, cost), now, waits)
            self.seen[f"limited by the {name}"] += 1
            self.seen["limited since the clock is behind"] += behind
            waiting = [each.wait(now, cost) for each in self.model.values()]
            self.seen["limited by several, equally long"] += waiting.count(wait) > 1
            if self.named is not None:
                self.seen["limited one tick before the instant that was named"] += (
                    now + TICK == self.named
                )
            self.named = now + waits
        elif outcome == "admitted":
            self.seen["admitted"] += 1
            self.seen["admitted although the clock is behind"] += behind
            self.seen["admitted at the instant that was named"] += now == self.named
            self.latest = max(self.latest, now)
        else:
            agree(f"{outcome} charges nothing", before, self.states)
            beyond = "a cost below one" if outcome == "mistake" else "a cost beyond the rule"
            self.seen[f"{outcome}: {beyond}"] += 1

    def _charges(self) -> tuple[Charge, ...]:
        return tuple(map(Charge, self.policies, self.states))

    def _ask(self, now: datetime, cost: int) -> tuple[str, str, int]:
        try:
            answer = rules.admit(self._charges(), now, cost=cost)
        except CostError as error:
            return "never", error.policy, 0
        except ArgumentError:
            return "mistake", "", 0
        if len(self.policies) == 1 and cost == 1:
            one = rules.admit_one(self.policies[0], self.states[0], now)
            same = (
                RateLimited((self.states[0],), self.policies[0], one)
                if isinstance(one, int)
                else Admitted((one,))
            )
            agree("one rule asked by itself", answer, same)
        if isinstance(answer, RateLimited):
            handed_back = zip(answer.states, self.states, strict=True)
            assert all(after is before for after, before in handed_back)
            return "limited", answer.policy.name, answer.retry_after
        self.states = list(answer.states)
        return "admitted", "", 0

    def _admits(self, then: datetime, cost: int) -> bool:
        return isinstance(rules.admit(self._charges(), then, cost=cost), Admitted)

    # The store ------------------------------------------------------------------------------

    @rule(n=st.integers(0, 1), tick=ticks)
    def a_state_expires(self, n: int, tick: int) -> None:
        """Let a store drop an expired state, which must be invisible; the model drops nothing."""
        position = n % len(self.policies)
        policy, state = self.policies[position], self.states[position]
        model = self.model[policy.name]
        ends = rules.state_expires_at(policy, state)
        expected = model.as_new_at()
        if ends is None:
            new = expected is None or (self.floor is not None and expected <= self.floor)
            agree("a state that nobody charged since it was dropped", True, new)
            return
        agree("when a state is as good as new", expected, ends)
        self._move(ends + tick * TICK)
        if self.now >= ends:
            self.states[position] = rules.fresh_state(policy)
            self.floor = self.now
            self.seen["state dropped at its own instant"] += self.now == ends
        else:
            full = rules.count_remaining(policy, state, self.now) == policy.limit
            agree("one tick earlier it was not as good as new", False, full)
            self.seen["state still there one tick earlier"] += self.now + TICK == ends

    # What always holds ----------------------------------------------------------------------

    @invariant()
    def what_is_available_is_the_model_s(self) -> None:
        for policy, state in zip(self.policies, self.states, strict=True):
            expected = self.model[policy.name].available(self.now)
            agree(
                f"available by {policy.name}",
                expected,
                rules.count_remaining(policy, state, self.now),
            )

    @invariant()
    def law_10_no_window_holds_more_than_the_limit(self) -> None:
        for policy in self.policies:
            model = self.model[policy.name]
            if isinstance(model, Log) and isinstance(policy, ExactLog):
                check_rate_limit(model.admitted, limit=policy.limit, seconds=policy.seconds)
