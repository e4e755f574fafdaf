"""The binding table (section 3 of the rules), against a copy written by hand."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules import binding as rules
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import Environment, UserId
from tests.proof.reference import tables
from tests.support import specimens
from tests.support.specimens import BOUND, bind, binding_in
from tests.support.strategies import COORDINATE


@pytest.mark.parametrize("state", AccountState)
def test_account_state_without_a_binding_is_unlinked(state: AccountState) -> None:
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
        lambda: rules.tombstone(bound, elsewhere),
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
        new = state in FREE
        generation = {"UNLINKED": 1}.get(state, 4) if new else 3
        assert answer.value == LimitedAccountAppBinding(
            coordinate=COORDINATE,
            user_id=user if new else BOUND,
            state=AccountState(expected),
            generation=generation,
            version=1 if binding is None else 6,
        )
    which = BOUND if trigger == "tombstone" else user
    same = rules.UserMatch.SAME if binding is not None and which == BOUND else rules.UserMatch.OTHER
    assert (
        answer.rules
        == rules.BINDING[rules.BindingTrigger(trigger), AccountState(state), same].rules
    )


@pytest.mark.parametrize(("cell", "expected"), tables.GRADUATION_HANDOFF.items())
def test_start_graduation_is_refused_unless_account_is_limited(
    cell: tuple[str], expected: str
) -> None:
    (state,) = cell
    answer = rules.start_graduation(binding_in(state))
    assert answer.rules == rules.GRADUATION_HANDOFF[AccountState(state)].rules
    if expected == "proceed":
        assert answer == Done(AccountState.LIMITED, answer.rules)
    else:
        assert isinstance(answer, Refused)
        assert specimens.refusal(answer) == expected
        assert answer.problem.details == {"lifecycleState": state}


RANK = {"LIMITED": 0, "ACTIVE": 1, "TOMBSTONED": 2}
happenings = st.lists(
    st.tuples(
        st.sampled_from(["provision", "complete sign-up", "graduate", "tombstone"]),
        st.sampled_from(["the bound user", "a new user"]),
    ),
    max_size=12,
)


@given(happenings)
def test_binding_state_never_falls_until_a_tombstone_is_rebound(
    happened: list[tuple[str, str]],
) -> None:
    binding: LimitedAccountAppBinding | None = None
    for step, (trigger, whose) in enumerate(happened):
        new = trigger == "provision" or whose == "a new user"
        user = UserId(f"u-{step}") if binding is None or new else binding.user_id
        answer = bind(trigger, binding, user)
        if not isinstance(answer, Done):
            assert isinstance(answer, Refused) or answer.value is binding
            continue
        after = answer.value
        assert after.coordinate is COORDINATE
        assert after.version == (1 if binding is None else binding.version + 1)
        if binding is None:
            assert after.generation == 1
        elif after.user_id == binding.user_id:
            assert RANK[after.state] > RANK[binding.state]
            assert after.generation == binding.generation
        else:
            assert binding.state is AccountState.TOMBSTONED
            assert after.generation == binding.generation + 1
        binding = after
