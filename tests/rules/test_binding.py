"""The binding table (section 3 of the rules), against a copy written by hand."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules import binding as rules
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import LAST_INSTANT, Environment, UserId
from tests.proof.reference import tables
from tests.support import specimens
from tests.support.specimens import BOUND, NOW, bind, binding_in
from tests.support.strategies import COORDINATE, TICK, at


@pytest.mark.parametrize("state", AccountState)
def test_account_state_is_that_of_the_binding_or_unlinked(state: AccountState) -> None:
    assert rules.account_state(binding_in(state)) is state


OTHER = UserId("u-other")
FREE = ("UNLINKED", "TOMBSTONED")
"""The states in which a new user starts the next generation of the coordinate."""


def test_binding_of_another_coordinate_raises_argument_error() -> None:
    elsewhere = attrs.evolve(COORDINATE, environment=Environment.TEST)
    bound = binding_in("LIMITED")
    calls: tuple[Callable[[], object], ...] = (
        lambda: rules.provision(bound, elsewhere, BOUND),
        lambda: rules.complete_sign_up(bound, elsewhere, BOUND),
        lambda: rules.graduate(bound, elsewhere, BOUND),
        lambda: rules.tombstone(bound, elsewhere, NOW),
    )
    for call in calls:
        with pytest.raises(ArgumentError, match="binding: must be the binding of the coordinate"):
            call()


@pytest.mark.parametrize(("key", "expected"), tables.BINDING.items())
def test_each_trigger_moves_a_binding_as_the_table_says(
    key: tuple[str, str, str], expected: str
) -> None:
    trigger, state, beside = key
    user = BOUND if beside == "same user" else OTHER
    binding = binding_in(state)
    before = deepcopy(binding)
    if (trigger, state, user) == ("provision", "TOMBSTONED", BOUND):
        with pytest.raises(ArgumentError, match="user_id"):
            bind(trigger, binding, user)
        return
    answer = bind(trigger, binding, user)
    assert binding == before
    assert bind(trigger, binding, user) == answer
    if expected == "ignore":
        assert isinstance(answer, Ignored)
        assert answer.value is binding
    elif expected.startswith("refuse "):
        assert isinstance(answer, Refused)
        assert specimens.refusal(answer) == expected
        assert answer.problem.details == {"lifecycleState": state}
    else:
        assert isinstance(answer, Done)
        new = state in FREE and trigger != "tombstone"
        generation = {"UNLINKED": 1}.get(state, 4) if new else 3
        held = None if binding is None else BOUND
        after = LimitedAccountAppBinding(
            coordinate=COORDINATE,
            user_id=user if new else held,
            state=AccountState(expected),
            generation=0 if held is None and not new else generation,
            version=1 if binding is None else 6,
        )
        if trigger == "tombstone":
            after = attrs.evolve(after, era=NOW, tombstoned_at=NOW, swept=False)
        assert answer.value == after
    is_bound = binding is not None and (trigger == "tombstone" or user == BOUND)
    same = rules.UserMatch.SAME if is_bound else rules.UserMatch.OTHER
    assert (
        answer.rules
        == rules.BINDING[rules.BindingTrigger(trigger), AccountState(state), same].rules
    )


@pytest.mark.parametrize(("cell", "expected"), tables.GRADUATION_HANDOFF.items())
def test_account_graduation_is_refused_unless_state_is_limited(
    cell: tuple[str], expected: str
) -> None:
    (state,) = cell
    answer = rules.decide_graduation_start(binding_in(state))
    assert answer.rules == rules.GRADUATION_HANDOFF[AccountState(state)].rules
    if expected == "proceed":
        assert answer == Done(AccountState.LIMITED, answer.rules)
    else:
        assert isinstance(answer, Refused)
        assert specimens.refusal(answer) == expected
        assert answer.problem.details == {"lifecycleState": state}


ERA = NOW - timedelta(hours=1)


@pytest.mark.parametrize("now", [NOW, at(1) - timedelta(days=365)])
@pytest.mark.parametrize("state", [each for each in AccountState if each != "UNLINKED"])
def test_repeated_tombstone_with_equal_happened_at_is_ignored(
    state: AccountState, now: datetime
) -> None:
    held = binding_in(state)
    assert held is not None
    bound = attrs.evolve(held, era=ERA, tombstone_reported_at=at(1))
    answer = rules.tombstone(bound, COORDINATE, now, happened_at=at(1))
    assert answer == Ignored(bound, ("tombstone-report.copy",))
    assert answer.value is bound


@pytest.mark.parametrize("state", AccountState)
@pytest.mark.parametrize(
    ("last", "reported"), [(None, None), (at(1), None), (at(1), at(2)), (None, at(1))]
)
def test_tombstone_is_recorded_unless_its_happened_at_repeats(
    state: AccountState, last: datetime | None, reported: datetime | None
) -> None:
    bound = binding_in(state)
    if bound is not None:
        bound = attrs.evolve(bound, era=ERA, tombstone_reported_at=last)
    answer = rules.tombstone(bound, COORDINATE, NOW, happened_at=reported)
    assert isinstance(answer, Done)
    after = answer.value
    assert (after.era, after.state, after.swept) == (NOW, AccountState.TOMBSTONED, False)
    assert (after.tombstone_reported_at, after.tombstoned_at) == (reported, reported or NOW)
    assert answer.rules == (f"binding.tombstone.{state.lower()}",)


@pytest.mark.parametrize(("last", "era"), [(NOW, NOW + TICK), (NOW + TICK, NOW + 2 * TICK)])
def test_era_of_a_tombstone_is_later_than_the_previous_era(last: datetime, era: datetime) -> None:
    held = binding_in("ACTIVE")
    assert held is not None
    bound = attrs.evolve(held, era=last)
    answer = rules.tombstone(bound, COORDINATE, NOW)
    assert isinstance(answer, Done)
    assert (answer.value.era, answer.value.tombstoned_at) == (era, NOW)


def test_tombstone_raises_if_the_era_is_the_last_instant_of_9999() -> None:
    last_era = rules.tombstone(None, COORDINATE, LAST_INSTANT).value
    assert last_era is not None
    assert last_era.era == LAST_INSTANT
    for now in (LAST_INSTANT, NOW):
        with pytest.raises(ArgumentError, match=r"^now: must be early enough for another era"):
            rules.tombstone(last_era, COORDINATE, now)


@pytest.mark.parametrize("wrong", [specimens.NAIVE, specimens.ELSEWHERE])
@pytest.mark.parametrize("state", AccountState)
def test_tombstone_raises_if_now_is_not_utc(state: AccountState, wrong: datetime) -> None:
    with pytest.raises(ArgumentError) as caught:
        rules.tombstone(binding_in(state), COORDINATE, wrong)
    assert caught.value.argument == "now"


def test_tombstone_dated_up_to_5_minutes_ahead_counts_as_now() -> None:
    ahead = NOW + timedelta(minutes=5)
    answer = rules.tombstone(None, COORDINATE, NOW, happened_at=ahead)
    assert isinstance(answer, Done)
    assert (answer.value.tombstoned_at, answer.value.tombstone_reported_at) == (NOW, ahead)
    with pytest.raises(ArgumentError, match="five minutes"):
        rules.tombstone(None, COORDINATE, NOW, happened_at=ahead + TICK)


def test_binding_of_the_next_user_keeps_tombstone_timestamps() -> None:
    gone = rules.tombstone(binding_in("ACTIVE"), COORDINATE, NOW, happened_at=at(1)).value
    bound = rules.provision(gone, COORDINATE, OTHER)
    assert isinstance(bound, Done)
    graduated = rules.graduate(bound.value, COORDINATE, OTHER)
    assert isinstance(graduated, Done)
    for each in (bound.value, graduated.value):
        assert rules.present_era(each) == NOW
        assert (each.tombstoned_at, each.tombstone_reported_at) == (at(1), at(1))


def test_present_era_function_returns_none_without_a_binding() -> None:
    assert rules.present_era(None) is None


RANK = {"LIMITED": 0, "ACTIVE": 1, "TOMBSTONED": 2}
happenings = st.lists(
    st.tuples(
        st.sampled_from(["provision", "complete sign-up", "graduate", "tombstone"]),
        st.sampled_from(["the bound user", "a new user"]),
    ),
    max_size=12,
)


@given(happenings)
def test_account_state_never_moves_back_for_the_same_user(
    happened: list[tuple[str, str]],
) -> None:
    binding: LimitedAccountAppBinding | None = None
    for step, (trigger, whose) in enumerate(happened):
        new = trigger == "provision" or whose == "a new user"
        held = None if binding is None or new else binding.user_id
        user = held or UserId(f"u-{step}")
        answer = bind(trigger, binding, user)
        if not isinstance(answer, Done):
            assert isinstance(answer, Refused) or answer.value is binding
            continue
        after = answer.value
        assert after.coordinate is COORDINATE
        assert after.version == (1 if binding is None else binding.version + 1)
        if binding is None:
            assert after.generation == (0 if trigger == "tombstone" else 1)
        elif trigger == "tombstone":
            assert after.state is AccountState.TOMBSTONED
            assert (after.user_id, after.generation) == (binding.user_id, binding.generation)
            assert after.era is not None
            assert binding.era is None or after.era > binding.era
        elif after.user_id == binding.user_id:
            assert RANK[after.state] > RANK[binding.state]
            assert after.generation == binding.generation
        else:
            assert binding.state is AccountState.TOMBSTONED
            assert after.generation == binding.generation + 1
        binding = after
