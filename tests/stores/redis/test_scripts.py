"""Tests of the Redis scripts: they charge as `rules.ratelimit` does and never return too much."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Final

import attrs
import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from curae_lifecycle.rules.ratelimit import (
    FULL_BUCKET,
    MAX_INTEGER,
    Bucket,
    BucketState,
    RateState,
    admit_one,
)
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    SECOND,
    from_epoch_microseconds,
    to_epoch_microseconds,
)
from curae_lifecycle.stores.redis import limits
from curae_lifecycle.stores.redis.clients import Redis, create_client
from curae_lifecycle.stores.redis.scripts import CHARGE, GIVE_BACK
from tests.support.patiently import PATIENCE
from tests.support.redis_limits import BUCKET_KEY, redis_url

EXAMPLES: Final = settings().max_examples
"""The examples of the profile; most tests here need several times as many."""

FIRST: Final = to_epoch_microseconds(datetime.min.replace(tzinfo=UTC))
LAST: Final = to_epoch_microseconds(datetime.max.replace(tzinfo=UTC))

__all__ = ["redis_url"]


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with create_client(redis_url, timeout=PATIENCE) as made:
        yield made


sizes = st.one_of(
    st.integers(1, 12), st.integers(1, MAX_INTEGER), st.integers(MAX_INTEGER - 3, MAX_INTEGER)
)


@st.composite
def rules(draw: st.DrawFn) -> Bucket:
    capacity, refill, seconds = draw(sizes), draw(sizes), draw(sizes)
    if capacity * seconds > refill * MAX_INTEGER:
        capacity = max(1, refill * MAX_INTEGER // seconds)
        seconds = min(seconds, refill * MAX_INTEGER)
    return Bucket(name="platform", capacity=capacity, refill=refill, seconds=seconds)


@st.composite
def states(draw: st.DrawFn, rule: Bucket, at: int) -> BucketState:
    window, part = divmod(rule.capacity * rule.seconds * SECOND, rule.refill)
    close = st.integers(-3, 3)
    near = st.integers(-3 * SECOND, 10**7)
    edges = close.map(window.__add__) | close.map((window + CLOCK_TOLERANCE).__add__)
    far = st.integers(FIRST, 10**15 * SECOND)
    parts = close.map(part.__add__) | st.integers(0, rule.refill - 1)
    return BucketState(
        draw((near | edges).map(at.__add__) | far),
        draw(parts.filter(lambda each: 0 <= each < rule.refill)),
    )


instants = st.one_of(
    st.integers(FIRST, LAST), st.integers(-3, 3), st.integers(2**53 - 3, 2**53 + 3)
)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=4 * EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_redis_script_charges_a_bucket_like_the_rules(
    client: redis.Redis, data: st.DataObject
) -> None:
    at = data.draw(instants)
    rule = data.draw(rules())
    state = data.draw(st.none() | states(rule, at))
    now = from_epoch_microseconds(at)
    held = Held(client)
    held.put(state)
    charged = held.charge(rule, now)
    expected = admit_one(rule, FULL_BUCKET if state is None else state, now)
    if isinstance(expected, int):
        assert not charged
        assert held.state() == state
    else:
        assert charged
        assert held.state() == expected


@pytest.mark.slow
@given(st.data())
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_redis_scripts_match_the_rules_when_the_clock_steps(
    client: redis.Redis, data: st.DataObject
) -> None:
    small = st.integers(1, 9)
    rule = data.draw(st.builds(Bucket, st.just("b"), small, small, small))
    held = Held(client)
    state: RateState = FULL_BUCKET
    at = 0
    for _ in range(data.draw(st.integers(0, 12))):
        at += data.draw(STEPS_OF_A_CLOCK)
        expected = admit_one(rule, state, from_epoch_microseconds(at))
        assert held.charge(rule, from_epoch_microseconds(at)) is not isinstance(expected, int)
        state = state if isinstance(expected, int) else expected
        assert held.state() == (None if state == FULL_BUCKET else state)


STEPS_OF_A_CLOCK: Final = st.integers(-SECOND, 3 * SECOND) | st.sampled_from(
    [sign * span * SECOND for sign in (-1, 1) for span in (60, 3600, 365 * 86_400)]
)

_NUMBERS: Final = count(1)


@attrs.define
class Held:
    """One bucket in Redis under a unique name."""

    client: redis.Redis
    name: str = attrs.field(factory=lambda: f"bucket-{next(_NUMBERS)}")
    answers: list[tuple[limits._Charge, object]] = attrs.field(factory=list)
    instants: list[datetime] = attrs.field(factory=list)

    @property
    def asked(self) -> Redis:
        return self.client

    def put(self, state: BucketState | None, last: int = FIRST) -> None:
        if state is not None:
            seconds, micros = divmod(state.full_at, SECOND)
            numbers = (1, seconds, micros, state.part, *divmod(last, SECOND), 0, 0, 0, 0)
            self.client.set(self.name, " ".join(map(str, numbers)))

    def state(self) -> RateState | None:
        held = self.client.get(self.name)
        return limits._state(BUCKET_KEY, *limits._texts([held]))

    def charge(self, rule: Bucket, now: datetime) -> bool:
        charge = limits._Charge(
            at=to_epoch_microseconds(now), names=(self.name,), buckets=(rule,), log=None
        )
        given = charge.charge_arguments()
        answer = self.asked.execute_command("EVAL", CHARGE.text, 1, self.name, *given)
        if answer is not None:
            self.answers.append((charge, answer))
            self.instants.append(now)
        return answer is not None

    def give_back(self, number: int) -> None:
        charge, answer = self.answers[number]
        given = charge.give_back_arguments(answer)
        self.asked.execute_command("EVAL", GIVE_BACK.text, 1, self.name, *given)


# --- Given back -------------------------------------------------------------------------------


@pytest.mark.slow
@given(st.data())
@settings(max_examples=2 * EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_refunding_the_last_charge_restores_its_redis_bucket(
    client: redis.Redis, data: st.DataObject
) -> None:
    rule, at = data.draw(rules()), data.draw(st.integers(0, 10 * SECOND))
    state = data.draw(st.none() | states(rule, 0))
    held, now = Held(client), from_epoch_microseconds(at)
    held.put(state)
    if held.charge(rule, now):
        held.give_back(0)
        # It equals the state before, or one that was full by then. A bucket that was reset has the
        # token of that charge only.
        after = held.state()
        assert isinstance(after, BucketState)
        assert admit_one(rule, after, now) == admit_one(
            rule, FULL_BUCKET if state is None else state, now
        )


Step = tuple[str, int]
"""A charge some microseconds after the one before, or the return of a charge that was kept."""

steps = st.lists(
    st.tuples(
        st.just("charge"),
        st.sampled_from((0, 0, 1, 10_000, SECOND)) | st.integers(-SECOND, 2 * SECOND),
    )
    | st.tuples(st.just("back"), st.integers(0, 9)),
    max_size=16,
)


@pytest.mark.slow
@given(
    rule=st.builds(Bucket, st.just("b"), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)),
    steps=steps,
)
# Earlier returns count: the second charge would have refilled by itself.
@example(
    rule=Bucket(name="b", capacity=5, refill=1, seconds=1),
    steps=[("charge", 0), ("charge", 0), ("back", 0), ("charge", 1), ("back", 0)],
)
# The latest instant counts, not the last one in order.
@example(
    rule=Bucket(name="b", capacity=5, refill=1, seconds=1),
    steps=[("charge", 0), ("charge", 10_000), ("charge", -10_000), ("back", 0)],
)
@settings(max_examples=3 * EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_refunded_charges_never_overfill_a_redis_bucket(
    client: redis.Redis, rule: Bucket, steps: list[Step]
) -> None:
    held, kept = play(client, rule, steps)
    without: RateState = FULL_BUCKET
    for instant in kept:
        charged = admit_one(rule, without, instant)
        # It was admitted when more had been charged.
        assert not isinstance(charged, int)
        without = charged
    latest = max(held.instants, default=from_epoch_microseconds(0))
    assert wait(rule, held.state(), latest) >= wait(rule, without, latest)


@pytest.mark.slow
@given(
    rule=st.builds(Bucket, st.just("b"), st.integers(5, 9), st.integers(1, 4), st.integers(1, 4)),
    after=st.integers(0, SECOND // 4),
    steps=steps,
)
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_refund_before_a_refill_leaves_no_trace_in_redis_bucket(
    client: redis.Redis, rule: Bucket, after: int, steps: list[Step]
) -> None:
    # The first charge is kept, and all others come before it has refilled.
    first: list[Step] = [("charge", 0), ("charge", after)]
    others = [(what, 0 if what == "charge" else 1 + number) for what, number in steps]
    held, kept = play(client, rule, [*first, *others])
    assert kept[0] == held.instants[0]
    without: RateState = FULL_BUCKET
    for instant in kept:
        charged = admit_one(rule, without, instant)
        assert not isinstance(charged, int)
        without = charged
    assert held.state() == without


def play(client: redis.Redis, rule: Bucket, steps: list[Step]) -> tuple[Held, list[datetime]]:
    """Charge and return; give the bucket and the instants of the charges that were kept."""
    held = Held(client)
    at, kept = 0, list[int]()
    for what, number in steps:
        if what == "charge":
            at += number
            if held.charge(rule, from_epoch_microseconds(at)):
                kept.append(len(held.answers) - 1)
        elif number < len(kept):
            held.give_back(kept.pop(number))
    return held, [held.instants[number] for number in kept]


def wait(rule: Bucket, state: RateState | None, now: datetime) -> int:
    """Return the time until the bucket is full, in parts of a microsecond."""
    if state is None or state == FULL_BUCKET:
        return 0
    assert isinstance(state, BucketState)
    return max(0, (state.full_at - to_epoch_microseconds(now)) * rule.refill + state.part)


RULE: Final = Bucket(name="b", capacity=10, refill=3, seconds=1)


@pytest.mark.parametrize("ahead", [3600, 365 * 86_400])
def test_refund_of_charge_made_before_bucket_reset_does_nothing(
    client: redis.Redis, ahead: int
) -> None:
    held, now = Held(client), from_epoch_microseconds(0)
    assert held.charge(RULE, now)
    assert held.charge(RULE, from_epoch_microseconds(ahead * SECOND))
    # The clock was put right: this charge leaves the bucket empty.
    assert held.charge(RULE, now)
    empty = held.state()
    assert wait(RULE, empty, now) == RULE.capacity * SECOND
    for before in (0, 1):
        held.give_back(before)
        assert held.state() == empty
    # The charge that reset the bucket gives its own token back, at the instant of the reset.
    held.give_back(2)
    assert wait(RULE, held.state(), now) == (RULE.capacity - 1) * SECOND


def test_refund_to_a_deleted_redis_bucket_changes_nothing(client: redis.Redis) -> None:
    held, now = Held(client), from_epoch_microseconds(0)
    assert held.charge(RULE, now)
    held.give_back(0)
    assert held.charge(RULE, now)
    client.delete(held.name)
    held.give_back(1)
    assert held.state() is None
    assert held.charge(RULE, now)
    after = held.state()
    held.give_back(1)
    assert held.state() == after


LONGEST: Final = 4 * 10**15
"""The most milliseconds that Redis is asked to keep a state for."""


def milliseconds_kept(client: redis.Redis, name: str) -> int:
    """Return how much longer Redis keeps a state."""
    kept = client.pttl(name)
    assert isinstance(kept, int)
    return kept


def test_redis_charges_a_bucket_in_year_1_and_a_very_slow_bucket(client: redis.Redis) -> None:
    # In more years than Redis can count, and by a clock before the first of them.
    slow, early = Held(client), Held(client)
    assert slow.charge(
        Bucket(name="b", capacity=1, refill=1, seconds=MAX_INTEGER), from_epoch_microseconds(0)
    )
    assert LONGEST - 60_000 < milliseconds_kept(client, slow.name) <= LONGEST
    assert early.charge(
        Bucket(name="b", capacity=1, refill=1, seconds=1),
        from_epoch_microseconds(FIRST),
    )
    assert early.state() == BucketState(FIRST + SECOND)
    assert 301_000 - 60_000 < milliseconds_kept(client, early.name) <= 301_000
