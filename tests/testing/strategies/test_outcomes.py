"""Tests that outcomes of rules are drawn from their documented domain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import pytest
from hypothesis import strategies as st

from curae_lifecycle.rules.access import DenialReason, Denied, Granted
from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.binding import AccountState, provision
from curae_lifecycle.rules.chain import Minted, Reissued
from curae_lifecycle.rules.connection import Actor, Connection, Standing, Status
from curae_lifecycle.rules.idempotency import KnownResponse, RecordState
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.preview import PreviewOutcome, TriggerPreview, preview_triggers
from curae_lifecycle.rules.problems import CATALOGUE, Fault, Problem, ProblemCode
from curae_lifecycle.rules.session import EntryPath, HandoffState, Initiated, Landing
from curae_lifecycle.rules.triggers import Trigger
from curae_lifecycle.rules.values import Environment, parse_uuid
from curae_lifecycle.service.problem_details import DETAILS
from curae_lifecycle.service.response import Response, ResponseReference
from curae_lifecycle.service.rulebook import reasons_of
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.strategies import (
    NEXT_ACTION_LIFETIME,
    START,
    TICK,
    ConnectionHistory,
    connection,
    outcome,
    values,
)
from tests.support.drawing import drawn_examples
from tests.support.strategies import COORDINATE, apply_trigger, pending, uuid
from tests.testing.strategies.drawing import HOUR, reached
from tests.testing.strategies.playing import AUTHORIZE, LAPSED, NOW, REVOKE

LATER: Final = START + 4 * HOUR
"""An instant after every drawn history."""
PENDING: Final = pending()
ACTIVE: Final = apply_trigger(PENDING, "authorize for ever", START)

# --- Transitions ----------------------------------------------------------------------------

EMPTY: Final = connection._play(PENDING, [])
EVENTFUL: Final = connection._play(
    PENDING,
    [(NOW, AUTHORIZE), (TICK, AUTHORIZE), (2 * TICK, REVOKE), (3 * TICK, REVOKE)],
)
"""Two `Done` answers and two `Ignored` ones."""
TOO_LATE: Final = connection._play(
    PENDING, [(LAPSED, AUTHORIZE), (LAPSED, REVOKE), (HOUR, AUTHORIZE)]
)
"""Two `Refused` answers, since the hand-off lapsed and since a revocation came."""


@pytest.fixture
def set_history(monkeypatch: pytest.MonkeyPatch) -> Callable[[ConnectionHistory], None]:
    """Make every drawn history the given one."""

    def set_to(history: ConnectionHistory) -> None:
        monkeypatch.setattr(outcome, "connection_histories", lambda: st.just(history))

    return set_to


@pytest.mark.parametrize(
    ("strategy", "history", "kind"),
    [
        (draw.done_transitions, EVENTFUL, Done),
        (draw.ignored_transitions, EVENTFUL, Ignored),
        (draw.refused_transitions, TOO_LATE, Refused),
    ],
)
def test_drawn_transition_is_last_of_its_outcome_in_the_history(
    set_history: Callable[[ConnectionHistory], None],
    strategy: Callable[[], st.SearchStrategy[object]],
    history: ConnectionHistory,
    kind: type[object],
) -> None:
    set_history(history)
    first, last = [each.answer for each in history.steps if isinstance(each.answer, kind)]
    assert first != last
    assert drawn_examples(strategy()) == [last]


def test_each_outcome_has_one_fallback_if_the_history_is_empty(
    set_history: Callable[[ConnectionHistory], None],
) -> None:
    set_history(EMPTY)
    [done] = drawn_examples(draw.done_transitions())
    revoked = done.value
    assert (revoked.id, revoked.status) == (PENDING.id, Status.REVOKED)
    assert (revoked.revoked_at, revoked.revoked_by) == (START, Actor.APP)
    [ignored] = drawn_examples(draw.ignored_transitions())
    assert ignored.value == revoked
    [refused] = drawn_examples(draw.refused_transitions())
    assert refused.rules == ("connection.authorize.lapsed",)


@pytest.mark.slow
def test_transitions_are_drawn_with_every_outcome() -> None:
    kinds = set(map(type, drawn_examples(draw.transitions(), count=40)))
    assert kinds == {Done, Ignored, Refused}


# --- Recoveries -----------------------------------------------------------------------------


@pytest.mark.slow
def test_drawn_reconnect_makes_a_successor_after_every_history() -> None:
    for each in drawn_examples(draw.minted(), count=40):
        assert isinstance(each, Minted)
        successor = each.connection
        assert successor.status is Status.PENDING
        assert parse_uuid("id", successor.id) == successor.id
        assert successor.identity.created_at == LATER
        assert successor.handoff_deadline == LATER + NEXT_ACTION_LIFETIME
        assert successor.identity.predecessor_id not in {None, successor.id}


@pytest.mark.slow
def test_drawn_reconnect_reissues_the_pending_successor() -> None:
    for each in drawn_examples(draw.reissued(), count=40):
        assert isinstance(each, Reissued)
        assert each.connection.id == each.before.id
        assert each.before.status is each.connection.status is Status.PENDING
        assert each.connection.handoff_deadline == LATER + NEXT_ACTION_LIFETIME


@pytest.mark.slow
def test_drawn_recoveries_are_new_successors_or_reissued_pages() -> None:
    assert set(map(type, drawn_examples(draw.recoveries(), count=40))) == {Minted, Reissued}


# --- Previews and notices -------------------------------------------------------------------


@pytest.mark.slow
def test_previews_cover_each_trigger_with_and_without_successor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    previews = drawn_examples(draw.trigger_previews(), count=20)
    assert set(map(type, previews)) == {TriggerPreview}
    monkeypatch.setattr(outcome, "connections", lambda: st.just(PENDING))
    monkeypatch.setattr(outcome, "_preview", lambda *arguments: arguments)
    drawn = drawn_examples(draw.trigger_previews(), count=150)
    subjects, instants, triggers, recovered = map(set, zip(*drawn, strict=True))
    assert subjects == {PENDING}
    assert all(isinstance(each, datetime) for each in instants)
    assert triggers == set(Trigger)
    assert recovered == {True, False}


def test_drawn_connection_views_vary_era_and_successor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcome, "connections", lambda: st.just(PENDING))
    views = drawn_examples(draw.connection_views(), count=40)
    assert {view.connection for view in views} == {PENDING}
    assert {(view.era is None, view.successor) for view in views} == {
        (without_era, successor)
        for without_era in (True, False)
        for successor in (None, outcome._mint(PENDING).connection)
    }
    assert {view.head for view in views} == {None}


@pytest.mark.parametrize("trigger", Trigger)
@pytest.mark.parametrize("recovered", [True, False])
def test_drawn_preview_equals_that_of_preview_triggers(
    trigger: Trigger, *, recovered: bool
) -> None:
    now = LATER + HOUR
    successor = outcome._mint(PENDING).connection if recovered else None
    [expected] = [
        each
        for each in preview_triggers(PENDING, now, era=None, successor=successor)
        if each.trigger is trigger
    ]
    assert outcome._preview(PENDING, now=now, trigger=trigger, recovered=recovered) == expected


def test_successor_changes_the_rules_of_a_reconnect_preview() -> None:
    alone = outcome._preview(ACTIVE, START, Trigger.RECONNECT, recovered=False)
    assert alone.outcome is PreviewOutcome.REFUSED
    lapsed = [
        outcome._preview(PENDING, now=LATER, trigger=Trigger.RECONNECT, recovered=recovered)
        for recovered in (False, True)
    ]
    assert [each.outcome for each in lapsed] == [PreviewOutcome.DONE, PreviewOutcome.DONE]
    assert lapsed[0].rules != lapsed[1].rules


@pytest.mark.slow
def test_expiry_notices_are_drawn_1_to_60_days_before_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for each in drawn_examples(draw.notices(), count=20):
        assert each.due_at == START
    monkeypatch.setattr(outcome, "new_connections", lambda: st.just(PENDING))
    notices = drawn_examples(draw.notices(), count=100)
    assert {each.due_at for each in notices} == {START}
    assert {each.ends_at - START for each in notices} == {
        timedelta(days=days) for days in range(1, 61)
    }


# --- Sessions -------------------------------------------------------------------------------


@pytest.mark.slow
def test_drawn_initiate_creates_a_session_at_the_start_instant() -> None:
    drawn = drawn_examples(draw.initiations(), count=100)
    for each in drawn:
        assert isinstance(each, Initiated)
        session = each.session
        assert parse_uuid("id", session.id) == session.id
        assert session.created_at == START
        assert session.expires_at == START + NEXT_ACTION_LIFETIME
        if each.binding is not None:
            assert session.coordinate == each.binding.coordinate
    assert len({each.session.path for each in drawn}) > 1
    # A new user is one that no drawn binding has had.
    users = {each.binding.user_id for each in drawn if each.binding is not None}
    assert "u-99" in users
    assert users - {"u-99"}
    assert any(each.binding is None for each in drawn)


@pytest.mark.slow
def test_initiate_session_has_coordinate_and_user_of_its_binding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provisioned = provision(None, COORDINATE, values.user_of(7))
    assert isinstance(provisioned, Done)
    monkeypatch.setattr(outcome, "bindings", lambda: st.just(provisioned.value))
    drawn = drawn_examples(draw.initiations(), count=60)
    kept = [each for each in drawn if each.binding == provisioned.value]
    assert {each.session.coordinate for each in kept} == {COORDINATE}
    assert {each.session.user_id for each in kept} == {"u-7"}
    others = [each for each in drawn if each.binding != provisioned.value]
    assert len({each.session.coordinate for each in others}) > 3


@pytest.mark.slow
def test_drawn_completed_sign_up_binds_its_user_as_active() -> None:
    landings = drawn_examples(draw.landings())
    for each in landings:
        assert isinstance(each, Landing)
        session, binding = each.session, each.binding
        assert session.path is EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF
        assert session.handoff is HandoffState.LANDED
        assert binding is not None
        assert binding.coordinate == session.coordinate
        assert binding.state is AccountState.ACTIVE
        assert session.user_id == binding.user_id == "u-1"
    assert {each.session.landed_at for each in landings} == {
        START,
        START + NEXT_ACTION_LIFETIME - TICK,
    }
    assert len({each.session.coordinate for each in landings}) > 3
    assert len({each.session.id for each in landings}) > 3


# --- Access ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_grants_are_drawn_for_half_an_hour_or_without_an_end() -> None:
    grants = drawn_examples(draw.grants(), count=40)
    assert set(map(type, grants)) == {Granted}
    assert {each.valid_until for each in grants} == {None, START + NEXT_ACTION_LIFETIME}


@pytest.mark.slow
def test_denials_are_drawn_for_several_reasons() -> None:
    denials = drawn_examples(draw.denials(), count=40)
    assert set(map(type, denials)) == {Denied}
    assert len({each.reason for each in denials}) > 1


@pytest.mark.slow
def test_access_decisions_are_drawn_for_any_package_and_instant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[Connection, str, datetime]] = []

    def note(subject: Connection, package: str, now: datetime, *, era: datetime | None) -> None:
        assert era is None
        asked.append((subject, package, now))

    assert set(map(type, drawn_examples(draw.access_decisions()))) <= {Granted, Denied}
    monkeypatch.setattr(outcome, "decide_access", note)
    drawn_examples(draw.access_decisions())
    connections, packages, instants = map(set, zip(*asked, strict=True))
    assert all(isinstance(each, Connection) for each in connections)
    assert "labs" in packages
    assert START in instants
    assert max(instants) <= START + 3 * HOUR
    assert min(map(len, (connections, packages, instants))) > 3


# --- Idempotency ----------------------------------------------------------------------------


@pytest.mark.slow
def test_drawn_replay_has_the_stored_response() -> None:
    replays = drawn_examples(draw.replays(), count=40)
    assert set(map(type, replays)) == {KnownResponse}
    assert {type(each.response) for each in replays} == {Response, ResponseReference}


@pytest.mark.slow
def test_drawn_lost_lease_has_a_forgotten_idempotency_record() -> None:
    for each in drawn_examples(draw.lost_leases(), count=40):
        assert isinstance(each, LeaseLost)
        assert each.record is not None
        assert each.record.state is RecordState.FORGOTTEN


# --- Problems -------------------------------------------------------------------------------


@pytest.mark.slow
def test_drawn_problem_has_each_detail_of_its_code() -> None:
    problems = drawn_examples(draw.problems(), count=150)
    assert set(map(type, problems)) == {Problem}
    assert len({each.code for each in problems}) > len(ProblemCode) // 2
    for each in problems:
        assert len(each.detail_values) == len(CATALOGUE[each.code].outcome.details)
    denied = reached(
        draw.problems(), lambda each: each.code is ProblemCode.CONNECTION_ACCESS_DENIED
    )
    assert isinstance(denied.details["reason"], DenialReason)


ENUMS: Final[dict[str, type[StrEnum]]] = {
    "fault": Fault,
    "environment": Environment,
    "standing": Standing,
    "path": EntryPath,
    "lifecycleState": AccountState,
}
FIXED_DETAILS: Final[dict[str, set[object]]] = {
    **{name: set(kind) for name, kind in ENUMS.items()},
    "member": {None, "dataPackages"},
    "scope": {"connection:write"},
    "dataPackage": {"clinical_summary"},
    "retryAfter": set(range(1, 61)),
    "differs": {"values"},
    "policy": {"initiate"},
}
IDS: Final = ("connectionId", "nextConnectionId", "headConnectionId", "sessionId")
INSTANTS: Final = ("deadline", "expiresAt")


def drawn_details(name: str) -> set[object]:
    """Return the values that are drawn for one key of the details."""
    return set(drawn_examples(outcome._detail(ProblemCode.BAD_REQUEST, name), count=100))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DETAILS.keys() - {"reason"}))
def test_drawn_problem_detail_is_an_id_a_time_or_a_listed_value(name: str) -> None:
    drawn = drawn_details(name)
    if name in IDS:
        assert {parse_uuid(name, each) for each in drawn} == drawn
        assert uuid(1) in drawn
        assert len(drawn) > 10
    elif name in INSTANTS:
        assert all(isinstance(each, datetime) for each in drawn)
        assert drawn >= {START, START + 3 * HOUR}
    else:
        assert drawn == FIXED_DETAILS[name]


@pytest.mark.slow
@pytest.mark.parametrize("code", ProblemCode)
def test_each_reason_of_a_problem_code_in_the_tables_is_drawn(code: ProblemCode) -> None:
    drawn = drawn_examples(outcome._detail(code, "reason"))
    assert set(drawn) == set(reasons_of(code) or [None])
