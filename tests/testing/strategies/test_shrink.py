"""Tests that values of the strategies shrink to small ones."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest
from hypothesis import strategies as st

from curae_lifecycle.rules.access import DenialReason
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Actor, Standing, Status, standing
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.session import EntryPath, HandoffState
from curae_lifecycle.rules.values import NextAction
from curae_lifecycle.service.effects import (
    AccessEnded,
    HandoffCancelled,
    NextActionReplaced,
    SuccessorsLive,
)
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.operations.create_connection import ConnectionCreated, CreateConnection
from curae_lifecycle.service.operations.operation import Operation, Replayed
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.factories import with_happened_at
from curae_lifecycle.testing.strategies import START, TICK, CoordinateAct, RecordAct, from_traffic
from tests.testing.strategies.drawing import HOUR, smallest


@pytest.mark.slow
def test_drawn_ids_and_values_shrink_to_simple_examples() -> None:
    assert smallest(draw.instants(), lambda _: True) == START
    assert smallest(draw.connection_ids(), lambda _: True).endswith("-000000000001")
    assert smallest(draw.app_user_ids(), lambda _: True) == "user-1"
    assert smallest(draw.data_packages(), lambda _: True) == ("labs",)
    action = NextAction("https://connect.example/1", START + HOUR / 2)
    assert smallest(draw.next_actions(), lambda _: True) == action
    history = smallest(draw.connection_histories(), lambda _: True)
    assert history.steps == ()
    assert history.connection is history.created


@pytest.mark.slow
def test_revoked_connection_shrinks_to_one_revocation() -> None:
    history = smallest(
        draw.connection_histories(), lambda each: each.connection.status is Status.REVOKED
    )
    [step] = history.steps
    assert step.now == START
    # `happened_at` may be given or not: it is the same instant.
    assert with_happened_at(step.fact, None) == Revoked(history.created.id, Actor.APP)
    assert isinstance(step.answer, Done)


@pytest.mark.heavy
def test_expired_connection_shrinks_to_authorize_then_expire() -> None:
    history = smallest(
        draw.connection_histories(), lambda each: each.connection.status is Status.EXPIRED
    )
    connection_id = history.created.id
    assert [with_happened_at(step.fact, None) for step in history.steps] == [
        Authorized(connection_id),
        Expired(connection_id),
    ]
    assert {step.now for step in history.steps} == {START}


@pytest.mark.slow
def test_lapsed_connection_shrinks_to_a_new_one_at_its_deadline() -> None:
    drawn = st.tuples(draw.connections(), draw.instants())
    connection, now = smallest(drawn, lambda pair: standing(*pair, era=None) is Standing.LAPSED)
    assert connection == smallest(draw.new_connections(), lambda _: True)
    assert now == START + timedelta(minutes=30)


@pytest.mark.heavy
def test_successor_shrinks_to_a_lapse_and_a_reconnect() -> None:
    older, newer = smallest(
        draw.chains(), lambda chain: len(chain) > 1 and chain[0].status is Status.PENDING
    )
    assert older == smallest(draw.new_connections(), lambda _: True)
    assert newer.identity.created_at == START + timedelta(minutes=30)
    assert newer.identity.predecessor_id == older.id


@pytest.mark.slow
def test_strategies_draw_a_chain_with_a_reissued_next_action() -> None:
    chain = smallest(
        draw.chains(), lambda chain: chain[-1].updated_at > chain[-1].identity.created_at
    )
    assert chain[-1].updated_at - START >= TICK


@pytest.mark.slow
def test_second_generation_binding_shrinks_to_limited_user_u_2() -> None:
    bound = smallest(draw.bindings(), lambda each: each.generation > 1)
    assert attrs.astuple(bound, recurse=False)[1:5] == ("u-2", AccountState.LIMITED, 2, 3)


@pytest.mark.slow
def test_drawn_histories_shrink_to_an_empty_history() -> None:
    assert smallest(draw.coordinate_histories(), lambda _: True).steps == ()
    assert smallest(draw.record_histories(), lambda _: True).steps == ()
    assert smallest(draw.traffic_runs(), lambda _: True).interactions == ()
    assert len(smallest(draw.logs(), lambda _: True).lines) == len(draw.CALLERS)


@pytest.mark.heavy
def test_completed_sign_up_shrinks_to_sign_ups_and_one_handoff() -> None:
    past = smallest(
        draw.coordinate_histories(),
        lambda past: any(
            each.path is EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF and each.handoff is HandoffState.LANDED
            for each in past.sessions
        ),
    )
    # Some releases of Hypothesis leave a second session; the landing is last and immediate.
    acts = [step.act for step in past.steps]
    assert acts[-1] is CoordinateAct.LAND
    assert set(acts[:-1]) == {CoordinateAct.INITIATE_SIGN_UP}
    assert len(acts) <= 3
    assert {step.now for step in past.steps} == {START}


@pytest.mark.slow
def test_second_attempt_shrinks_to_two_attempts_a_minute_apart() -> None:
    past = smallest(
        draw.record_histories(),
        lambda past: len(past.records) > 1 and past.records[-1].token > past.records[0].token,
    )
    first, second = past.steps
    assert (first.act, second.act) == (RecordAct.BEGIN, RecordAct.BEGIN)
    assert second.now - first.now == timedelta(minutes=1)


@pytest.mark.slow
def test_drawn_replay_shrinks_to_the_same_request_twice() -> None:
    run = smallest(
        draw.traffic_runs(), lambda run: any(each.answer.replayed for each in run.exchanges)
    )
    assert len(run.interactions) == 2
    first, again = run.exchanges
    assert first.request == again.request
    assert first.answer.response == again.answer.response


@pytest.mark.slow
def test_drawn_exchange_shrinks_to_a_create_request() -> None:
    exchange = smallest(draw.exchanges(), lambda _: True)
    assert isinstance(exchange.call.operation, CreateConnection)
    assert exchange.now == START
    assert exchange.answer.response.status == 201


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "operation"),
    [(SuccessorsLive, Revoke), (NextActionReplaced, Reconnect), (Replayed, CreateConnection)],
)
def test_drawn_traffic_shrinks_to_its_final_steps(
    kind: type[object], operation: type[Operation]
) -> None:
    run = smallest(from_traffic._runs_ending_with(draw.FINAL_STEPS[kind]), lambda _: True)
    assert len(run.interactions) == len(draw.FINAL_STEPS[kind])
    assert isinstance(run.exchanges[-1].call.operation, operation)


def test_drawn_broken_log_shrinks_to_a_blank_second_line() -> None:
    broken = smallest(draw.broken_logs(), lambda _: True)
    assert (broken.number, broken.defect) == (2, "blank")
    assert len(broken.lines) == len(draw.CALLERS) + 1


@pytest.mark.slow
def test_drawn_outcomes_shrink_to_simple_examples() -> None:
    assert smallest(draw.done_transitions(), lambda _: True).value.status is Status.REVOKED
    assert smallest(draw.denials(), lambda _: True).reason is DenialReason.PENDING
    assert smallest(draw.grants(), lambda _: True).valid_until is None
    assert smallest(draw.broken_arguments(), lambda _: True).defect == "a naive instant"
    assert smallest(draw.broken_documents(), lambda _: True).defect == "a list"
    assert isinstance(smallest(draw.replies(), lambda _: True), ConnectionCreated)
    assert isinstance(smallest(draw.effects(), lambda _: True), HandoffCancelled | AccessEnded)
