"""Tests that bindings, sessions and histories of a coordinate are drawn as the rules make them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import pytest
from hypothesis import strategies as st

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.rules.session import (
    ENTRY_PATHS,
    CuraeConnectSession,
    EntryPath,
    HandoffState,
)
from curae_lifecycle.rules.values import Coordinate, check_uuid
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.cells import count_cell_lookups
from curae_lifecycle.testing.strategies import (
    START,
    CoordinateAct,
    CoordinateHistory,
    CoordinateStep,
    binding,
    values,
)
from curae_lifecycle.testing.strategies.values import NEXT_ACTION_LIFETIME
from tests.support.drawing import drawn_examples
from tests.support.strategies import COORDINATE, at, uuid
from tests.testing.strategies.drawing import HOUR, reached

MINUTE: Final = timedelta(minutes=1)
NOW: Final = timedelta(0)
INITIATE, SIGN_UP, LAND, GRADUATE, TOMBSTONE = CoordinateAct
LIMITED, ACTIVE, TOMBSTONED = AccountState.LIMITED, AccountState.ACTIVE, AccountState.TOMBSTONED


def play(*moves: tuple[timedelta, CoordinateAct, int, bool]) -> CoordinateHistory:
    return binding._play(COORDINATE, [*moves])


def play_acts(*acts: CoordinateAct) -> CoordinateHistory:
    """Play acts one minute apart, each by the bound user and about the newest session."""
    return play(*((number * MINUTE, act, 0, False) for number, act in enumerate(acts)))


def users_of(past: CoordinateHistory) -> list[tuple[str | None, str]]:
    """Return the bound user and the state of the account after each step."""
    return [(each.user_id, each.state) for each in past.bindings]


# --- Bindings -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("state", [LIMITED, ACTIVE, TOMBSTONED])
def test_drawn_binding_has_the_requested_state_and_coordinate(state: AccountState) -> None:
    drawn = drawn_examples(draw.bindings(COORDINATE, state), count=40)
    assert {each.coordinate for each in drawn} == {COORDINATE}
    assert {each.state for each in drawn} == {state}
    assert {each.generation for each in drawn} - {0} == {1, 2, 3, 4}
    for each in drawn:
        assert each.user_id == (f"u-{each.generation}" if each.generation else None)
        assert each.generation > 0 or state is TOMBSTONED
        # Each generation was provisioned, perhaps graduated, and tombstoned but for the last.
        fewest = max(1, 2 * each.generation - (state is not TOMBSTONED))
        assert each.version >= fewest
        assert each.version <= fewest + each.generation - (state is LIMITED)
        assert each.era is None or each.era >= START
        assert (each.era is None) == (each.generation == 1 and state is not TOMBSTONED)
    assert len({each.version for each in drawn if each.generation == 4}) > 1


def test_active_bindings_are_drawn_after_sign_up_or_graduation() -> None:
    signed_up = reached(draw.bindings(COORDINATE, ACTIVE), lambda each: each.version == 1)
    assert (signed_up.user_id, signed_up.generation) == ("u-1", 1)
    graduated = reached(
        draw.bindings(COORDINATE, ACTIVE), lambda each: (each.generation, each.version) == (1, 2)
    )
    assert graduated.user_id == "u-1"


@pytest.mark.parametrize(("generation", "user_id"), [(0, None), (1, "u-1")])
@pytest.mark.parametrize("reported_at", [None, START])
def test_drawn_tombstoned_bindings_vary_user_and_reported_date(
    generation: int, user_id: str | None, reported_at: datetime | None
) -> None:
    found = reached(
        draw.bindings(COORDINATE, TOMBSTONED),
        lambda each: (each.generation, each.tombstone_reported_at) == (generation, reported_at),
    )
    assert (found.user_id, found.state) == (user_id, TOMBSTONED)
    assert (found.era, found.tombstoned_at) == (START, START)


@pytest.mark.slow
def test_bindings_are_drawn_of_several_coordinates_and_states() -> None:
    drawn = drawn_examples(draw.bindings(), count=40)
    assert len({each.coordinate for each in drawn}) > 1
    assert {each.state for each in drawn} == {LIMITED, ACTIVE, TOMBSTONED}


# --- Sessions -------------------------------------------------------------------------------


def drawn_sessions(path: EntryPath) -> list[CuraeConnectSession]:
    """Return drawn sessions, after checking that they are of all cells of a path and have ids."""
    with count_cell_lookups([ENTRY_PATHS]) as counts:
        drawn = drawn_examples(draw.sessions(path), count=120)
    of_path = {key for key, row in ENTRY_PATHS.items() if row.outcome.path is path}
    assert {cell[1:] for cell in counts} == of_path
    assert {each.path for each in drawn} == {path}
    for each in drawn:
        check_uuid("id", each.id)
        assert isinstance(each.coordinate, Coordinate)
    return drawn


@pytest.mark.slow
def test_drawn_sessions_include_every_entry_path() -> None:
    assert {each.path for each in drawn_examples(draw.sessions(), count=40)} == set(EntryPath)


@pytest.mark.slow
def test_drawn_session_of_active_user_has_a_user_id_u_1_to_u_4() -> None:
    drawn = drawn_sessions(EntryPath.EXISTING_ACTIVE_HANDOFF)
    assert {each.user_id for each in drawn} == {"u-1", "u-2", "u-3", "u-4"}
    assert {each.era is None for each in drawn} == {True, False}


@pytest.mark.slow
def test_drawn_sign_up_is_awaited_or_completed_before_expiry() -> None:
    drawn = drawn_sessions(EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF)
    # The simplest one is drawn first.
    assert drawn[0].handoff is HandoffState.AWAITED
    assert {each.user_id for each in drawn} > {None, "u-1", "u-2"}
    waits = {each.landed_at - each.created_at for each in drawn if each.landed_at is not None}
    assert len(waits) > 9
    assert max(waits) < NEXT_ACTION_LIFETIME


@pytest.mark.slow
def test_drawn_silent_limited_session_has_user_id_u_1_to_u_5() -> None:
    drawn = drawn_sessions(EntryPath.SILENT_LIMITED)
    # The simplest one is drawn first: its user is the first of the coordinate.
    assert (drawn[0].user_id, drawn[0].era) == ("u-1", None)
    # The fifth user follows one of the fourth generation, who was tombstoned.
    users = {each.user_id for each in drawn}
    assert users == {"u-1", "u-2", "u-3", "u-4", "u-5"}
    # Only a user of the first generation can have no era, whether LIMITED before or new.
    assert {each.user_id for each in drawn if each.era is None} == {"u-1"}


# --- Histories ------------------------------------------------------------------------------


@pytest.mark.slow
def test_drawn_coordinate_history_has_up_to_6_steps_of_all_kinds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(values, "coordinates", lambda: st.just(COORDINATE))
    monkeypatch.setattr(binding, "_play", lambda *played: played)
    # A history is its moves here, since `_play` is replaced.
    drawn: list[object] = [*drawn_examples(draw.coordinate_histories(), count=110)]
    lengths, seen = set[int](), set[object]()
    for each in drawn:
        assert isinstance(each, tuple)
        coordinate, moves = each
        assert coordinate is COORDINATE
        lengths.add(len(moves))
        for offset, act, place, by_other_user in moves:
            assert timedelta(0) <= offset <= 3 * HOUR
            assert act in CoordinateAct
            seen |= {act, ("place", place), ("other", by_other_user)}
    assert (min(lengths), max(lengths)) == (0, 6)
    places = {("place", place) for place in range(3)}
    assert seen == {*CoordinateAct, *places, ("other", False), ("other", True)}


def test_drawn_coordinate_histories_are_of_several_coordinates() -> None:
    drawn = drawn_examples(draw.coordinate_histories(max_steps=1), count=20)
    assert len({each.coordinate for each in drawn}) > 1
    assert {len(each.steps) for each in drawn} == {0, 1}


def test_history_without_a_step_has_no_binding() -> None:
    past = play()
    assert (past.coordinate, past.steps, past.sessions) == (COORDINATE, (), ())
    assert past.binding is None
    assert past.bindings == ()


def test_history_applies_the_steps_of_a_user_in_time_order() -> None:
    past = play(
        (3 * MINUTE, TOMBSTONE, 0, False),
        (1 * MINUTE, GRADUATE, 0, False),
        (NOW, INITIATE, 0, False),
        (1 * MINUTE, INITIATE, 0, False),
    )
    assert [each.act for each in past.steps] == [INITIATE, GRADUATE, INITIATE, TOMBSTONE]
    assert [each.now for each in past.steps] == [at(0), at(1), at(1), at(3)]
    assert {type(each.answer) for each in past.steps} == {Done}
    assert users_of(past) == [
        ("u-1", LIMITED),
        ("u-1", ACTIVE),
        ("u-1", ACTIVE),
        ("u-1", TOMBSTONED),
    ]
    assert past.binding is past.steps[-1].binding is past.bindings[-1]
    assert [(each.id, each.path) for each in past.sessions] == [
        (uuid(1), EntryPath.SILENT_LIMITED),
        (uuid(3), EntryPath.EXISTING_ACTIVE_HANDOFF),
    ]
    assert [(each.created_at, each.expires_at) for each in past.sessions] == [
        (at(0), at(30)),
        (at(1), at(31)),
    ]
    assert {each.coordinate for each in past.sessions} == {COORDINATE}


def test_history_binds_a_new_user_after_a_tombstone() -> None:
    past = play_acts(INITIATE, TOMBSTONE, INITIATE)
    assert users_of(past) == [("u-1", LIMITED), ("u-1", TOMBSTONED), ("u-3", LIMITED)]
    assert [each.generation for each in past.bindings] == [1, 1, 2]


def test_history_lists_no_binding_before_the_first_bound_user() -> None:
    past = play_acts(SIGN_UP, LAND)
    assert [each.binding for each in past.steps] == [None, past.binding]
    assert users_of(past) == [("u-100", ACTIVE)]
    [session] = past.sessions
    assert session.path is EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF
    assert (session.handoff, session.landed_at) == (HandoffState.LANDED, at(1))
    assert session.user_id == "u-100"


def test_history_omits_a_handoff_before_the_first_session() -> None:
    past = play((NOW, LAND, 0, False), (MINUTE, INITIATE, 0, False))
    assert [each.act for each in past.steps] == [INITIATE]
    assert [each.id for each in past.sessions] == [uuid(2)]


@pytest.mark.parametrize(("place", "landed"), [(0, 2), (1, 1), (2, 0)])
def test_history_completes_the_handoff_of_the_chosen_session(place: int, landed: int) -> None:
    signs_up = [(NOW, SIGN_UP, 0, False)] * 3
    past = play(*signs_up, (MINUTE, LAND, place, False))
    states = [each.handoff is HandoffState.LANDED for each in past.sessions]
    assert states == [number == landed for number in range(3)]


def test_too_large_session_number_completes_the_oldest_session() -> None:
    past = play((NOW, SIGN_UP, 0, False), (NOW, SIGN_UP, 0, False), (MINUTE, LAND, 2, False))
    assert [each.handoff for each in past.sessions] == [HandoffState.LANDED, HandoffState.AWAITED]


def test_history_refuses_a_second_sign_up_by_another_user() -> None:
    past = play((NOW, SIGN_UP, 0, False), (NOW, LAND, 0, False), (NOW, LAND, 0, True))
    answers = [each.answer for each in past.steps]
    assert [type(each) for each in answers] == [Done, Done, Refused]
    assert past.sessions[0].user_id == past.bindings[-1].user_id == "u-100"
    repeated = play((NOW, SIGN_UP, 0, False), (NOW, LAND, 0, False), (NOW, LAND, 0, False))
    assert isinstance(repeated.steps[-1].answer, Ignored)
    other = play((NOW, SIGN_UP, 0, False), (NOW, LAND, 0, True))
    assert users_of(other) == [("u-99", ACTIVE)]


def test_history_refuses_a_handoff_if_the_binding_changed() -> None:
    past = play((NOW, SIGN_UP, 0, False), (NOW, INITIATE, 0, False), (NOW, LAND, 1, False))
    last = past.steps[-1]
    assert isinstance(last.answer, Refused)
    assert last.answer.problem.code is ProblemCode.BINDING_CHANGED
    assert last.binding == past.bindings[0]


def graduation_of(past: CoordinateHistory) -> CoordinateStep:
    last = past.steps[-1]
    assert last.act is GRADUATE
    return last


def test_graduation_step_activates_only_the_bound_user() -> None:
    own = graduation_of(play((NOW, INITIATE, 0, False), (NOW, GRADUATE, 0, False)))
    assert isinstance(own.answer, Done)
    assert own.binding is own.answer.value
    other = graduation_of(play((NOW, INITIATE, 0, False), (NOW, GRADUATE, 0, True)))
    assert isinstance(other.answer, Refused)
    assert other.answer.problem.code is ProblemCode.BINDING_CONFLICT
    assert other.binding is not None
    assert other.binding.state is LIMITED
    unbound = graduation_of(play((NOW, GRADUATE, 0, False)))
    assert isinstance(unbound.answer, Refused)
    assert unbound.answer.problem.code is ProblemCode.BINDING_CHANGED
    assert unbound.binding is None


def test_user_history_ignores_tombstone_with_same_happened_at() -> None:
    past = play(
        (NOW, INITIATE, 0, False),
        (MINUTE, TOMBSTONE, 0, False),
        (2 * MINUTE, TOMBSTONE, 0, False),
        (3 * MINUTE, TOMBSTONE, 0, True),
    )
    answers = [type(each.answer) for each in past.steps]
    assert answers == [Done, Done, Ignored, Done]
    first, reported, copy, last = past.bindings
    assert (reported.era, reported.tombstone_reported_at) == (at(1), START)
    assert copy is reported
    assert (last.era, last.tombstone_reported_at) == (at(3), None)
    assert [each.version for each in (first, reported, last)] == [1, 2, 3]


def test_tombstone_before_any_user_gives_state_tombstoned() -> None:
    past = play((MINUTE, TOMBSTONE, 0, True), (2 * MINUTE, GRADUATE, 0, False))
    assert users_of(past) == [(None, TOMBSTONED), (None, TOMBSTONED)]
    assert {each.coordinate for each in past.bindings} == {COORDINATE}
