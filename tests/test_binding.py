"""Section 3 of the rules, the binding: its table, written out a second time by hand."""

from __future__ import annotations

from copy import deepcopy

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules.binding import (
    BINDING,
    GRADUATION_HANDOFF,
    AccountState,
    BindingTransition,
    BindingTrigger,
    LimitedAccountAppBinding,
    User,
    account_state,
    complete_sign_up,
    graduate,
    provision,
    start_graduation,
    tombstone,
)
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.rules.values import Environment, UserId
from tests.strategies import COORDINATE

BOUND = UserId("u-bound")
OTHER = UserId("u-other")

# The spec's table, transcribed. Each cell is "for the same user / for another user".
SPEC = """
event            | UNLINKED        | LIMITED                          | ACTIVE                           | TOMBSTONED
provision        | LIMITED new     | ignore                           | ignore                           | LIMITED new
complete sign-up | ACTIVE new      | BINDING_CHANGED                  | ignore / BINDING_CONFLICT        | BINDING_CHANGED
graduate         | BINDING_CHANGED | ACTIVE / BINDING_CONFLICT        | ignore / BINDING_CONFLICT        | BINDING_CHANGED
tombstone        | ignore          | TOMBSTONED                       | TOMBSTONED                       | ignore
"""  # noqa: E501 - a table is read by its columns


def test_a_binding_of_another_coordinate_is_a_mistake() -> None:
    elsewhere = attrs.evolve(COORDINATE, environment=Environment.TEST)
    for event in (provision, complete_sign_up, graduate):
        with pytest.raises(ArgumentError, match="binding: must be the binding of the coordinate"):
            event(binding_in("LIMITED"), elsewhere, BOUND)


def spec_cells() -> list[tuple[str, str, UserId, str]]:
    head, *lines = [[cell.strip() for cell in line.split("|")] for line in SPEC.split("\n")[1:-1]]
    cells: list[tuple[str, str, UserId, str]] = []
    for event, *columns in lines:
        for state, cell in zip(head[1:], columns, strict=True):
            same, _, other = cell.partition(" / ")
            cells.append((event, state, BOUND, same))
            cells.append((event, state, OTHER, other or same))
    return cells


def binding_in(state: str, *, generation: int = 3) -> LimitedAccountAppBinding | None:
    if state == "UNLINKED":
        return None
    return LimitedAccountAppBinding(COORDINATE, BOUND, AccountState(state), generation)


def happens(
    event: str, binding: LimitedAccountAppBinding | None, user: UserId
) -> BindingTransition:
    match event:
        case "provision":
            return provision(binding, COORDINATE, user)
        case "complete sign-up":
            return complete_sign_up(binding, COORDINATE, user)
        case "graduate":
            return graduate(binding, COORDINATE, user)
        case _:
            return tombstone(binding)


def test_the_spec_was_transcribed_whole() -> None:
    assert {(event, state) for event, state, _, _ in spec_cells()} == {
        (event, state)
        for event in ("provision", "complete sign-up", "graduate", "tombstone")
        for state in ("UNLINKED", "LIMITED", "ACTIVE", "TOMBSTONED")
    }
    assert len(spec_cells()) == 32 == len(BINDING)


@pytest.mark.parametrize(("event", "state", "user", "cell"), spec_cells())
def test_every_cell_does_what_the_spec_says(
    event: str, state: str, user: UserId, cell: str
) -> None:
    binding = binding_in(state)
    before = deepcopy(binding)
    if (event, state, user) == ("provision", "TOMBSTONED", BOUND):
        with pytest.raises(ArgumentError, match="user_id"):
            happens(event, binding, user)
        return
    answer = happens(event, binding, user)
    assert binding == before
    assert happens(event, binding, user) == answer
    if cell == "ignore":
        assert isinstance(answer, Ignored)
        assert answer.value is binding
    elif cell.startswith("BINDING_"):
        assert isinstance(answer, Refused)
        assert answer.problem.code == cell
        assert answer.problem.details == {"lifecycleState": state}
    else:
        assert isinstance(answer, Done)
        to, _, new = cell.partition(" ")
        # The bound user rises; a new one is the coordinate's next generation.
        generation = {"UNLINKED": 1}.get(state, 4) if new else 3
        assert answer.value == LimitedAccountAppBinding(
            COORDINATE, user if new else BOUND, AccountState(to), generation
        )
    which = BOUND if event == "tombstone" else user
    beside = User.SAME if binding is not None and which == BOUND else User.OTHER
    assert answer.rules == BINDING[BindingTrigger(event), AccountState(state), beside].rules


@pytest.mark.parametrize("state", ["UNLINKED", "LIMITED", "ACTIVE", "TOMBSTONED"])
def test_the_account_state_is_the_bindings_or_unlinked(state: str) -> None:
    assert account_state(binding_in(state)) == state


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("UNLINKED", "BINDING_NOT_LIMITED"),
        ("LIMITED", None),
        ("ACTIVE", "BINDING_NOT_LIMITED"),
        ("TOMBSTONED", "BINDING_NOT_LIMITED"),
    ],
)
def test_a_graduation_hand_off_starts_from_limited_only(state: str, code: str | None) -> None:
    answer = start_graduation(binding_in(state))
    assert answer.rules == GRADUATION_HANDOFF[AccountState(state)].rules
    if code is None:
        assert answer == Done(AccountState.LIMITED, answer.rules)
    else:
        assert isinstance(answer, Refused)
        assert answer.problem.code is ProblemCode(code)
        assert answer.problem.details == {"lifecycleState": state}


RANK = {"LIMITED": 0, "ACTIVE": 1, "TOMBSTONED": 2}
happenings = st.lists(
    st.tuples(
        st.sampled_from(["provision", "complete sign-up", "graduate", "tombstone"]),
        st.sampled_from(["the bound user", "somebody new"]),
    ),
    max_size=12,
)


@given(happenings)
def test_a_binding_only_rises_and_is_rebound_only_after_a_tombstone(
    events: list[tuple[str, str]],
) -> None:
    binding: LimitedAccountAppBinding | None = None
    for step, (event, whose) in enumerate(events):
        new = event == "provision" or whose == "somebody new"
        user = UserId(f"u-{step}") if binding is None or new else binding.user_id
        answer = happens(event, binding, user)
        if not isinstance(answer, Done):
            assert isinstance(answer, Refused) or answer.value is binding
            continue
        after = answer.value
        assert after.coordinate is COORDINATE
        if binding is None:
            assert after.generation == 1
        elif after.user_id == binding.user_id:
            assert RANK[after.state] > RANK[binding.state]
            assert after.generation == binding.generation
        else:
            assert binding.state is AccountState.TOMBSTONED
            assert after.generation == binding.generation + 1
        binding = after
