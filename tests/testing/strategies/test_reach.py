"""Tests that the strategies draw values of every kind."""

from __future__ import annotations

from datetime import datetime
from typing import get_args

import pytest
from hypothesis import strategies as st
from hypothesis.vendor.pretty import pretty

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.access import DenialReason
from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.chain import Minted, Reissued
from curae_lifecycle.rules.connection import Connection, Standing, standing
from curae_lifecycle.rules.idempotency import Attempt, KnownResponse, RecordState
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.session import EntryPath, HandoffState
from curae_lifecycle.service.effects import Effect
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.operations.operation import (
    NotModified,
    Operation,
    ProblemReply,
    Replayed,
    Reply,
)
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.rate_keys import RateKey
from curae_lifecycle.service.snapshot import LandedHandoff
from curae_lifecycle.service.writes import Write
from curae_lifecycle.stores.codec import Storable
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.strategies import (
    START,
    CoordinateAct,
    Exchange,
    RecordAct,
    RecordedFact,
    binding,
    from_traffic,
    log,
)
from tests.testing.strategies.drawing import HOUR, among, reached


def at_an_instant() -> st.SearchStrategy[tuple[Connection, datetime]]:
    return st.tuples(draw.connections(), draw.instants())


@pytest.mark.parametrize("wanted", Standing)
@pytest.mark.heavy
def test_strategies_draw_every_connection_standing(wanted: Standing) -> None:
    connection, now = among(at_an_instant, lambda pair: standing(*pair, era=None) is wanted)
    assert standing(connection, now, era=None) is wanted


@pytest.mark.parametrize("wanted", binding._BOUND_STATES)
@pytest.mark.parametrize("generation", range(1, 5))
@pytest.mark.heavy
def test_strategies_draw_every_binding_state_and_generation(
    wanted: AccountState, generation: int
) -> None:
    bound = among(
        draw.bindings, lambda each: each.state is wanted and each.generation == generation
    )
    assert bound.state is wanted


@pytest.mark.parametrize("wanted", EntryPath)
def test_strategies_draw_every_entry_path(wanted: EntryPath) -> None:
    assert among(draw.sessions, lambda session: session.path is wanted).path is wanted
    assert reached(draw.sessions(wanted), lambda _: True).path is wanted


@pytest.mark.slow
def test_strategies_draw_completed_and_awaited_sign_up_sessions() -> None:
    path_b = draw.sessions(EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF)
    assert reached(path_b, lambda each: each.handoff is HandoffState.AWAITED).user_id is None
    assert reached(path_b, lambda each: each.handoff is HandoffState.LANDED).user_id is not None


@pytest.mark.parametrize("wanted", RecordState)
@pytest.mark.heavy
def test_strategies_draw_every_idempotency_record_state(wanted: RecordState) -> None:
    assert among(draw.records, lambda record: record.state is wanted).state is wanted


@pytest.mark.slow
@pytest.mark.parametrize("wanted", OPERATIONS)
def test_strategies_draw_every_operation(wanted: type[Operation]) -> None:
    assert isinstance(
        among(draw.calls, lambda call: type(call.operation) is wanted).operation, wanted
    )
    assert wanted in draw.OPERATION_STRATEGIES


@pytest.mark.slow
@pytest.mark.parametrize("wanted", FACTS)
def test_strategies_draw_every_fact_type(wanted: type[Fact]) -> None:
    assert isinstance(among(draw.facts, lambda fact: type(fact) is wanted), wanted)
    assert wanted in draw.FACT_STRATEGIES


@pytest.mark.parametrize("wanted", [Authorized, ActionRequired, Expired, Revoked])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.heavy
def test_strategies_draw_every_connection_fact_on_time_and_late(
    wanted: type[Fact],
    late: bool,  # noqa: FBT001 - a parameter
) -> None:
    connection = reached(draw.new_connections(), lambda _: True)
    now = START + HOUR
    drawn = reached(
        draw.facts_about(connection, now),
        lambda fact: type(fact) is wanted and (fact.happened_at is not None) is late,
    )
    assert drawn.happened_at is None or drawn.happened_at < now


ANSWERED = [
    *((act, Done) for act in CoordinateAct),
    *((act, Ignored) for act in list(CoordinateAct)[2:]),
    *((act, Refused) for act in (CoordinateAct.LAND, CoordinateAct.GRADUATE)),
]


@pytest.mark.parametrize(("act", "answer"), ANSWERED)
@pytest.mark.heavy
def test_strategies_draw_each_coordinate_step_with_each_outcome(
    act: CoordinateAct, answer: type[object]
) -> None:
    past = among(
        draw.coordinate_histories,
        lambda past: any(
            step.act is act and isinstance(step.answer, answer) for step in past.steps
        ),
    )
    assert past.steps


@pytest.mark.parametrize("wanted", RecordAct)
@pytest.mark.heavy
def test_strategies_draw_every_step_on_an_idempotency_record(wanted: RecordAct) -> None:
    past = among(draw.record_histories, lambda past: any(s.act is wanted for s in past.steps))
    assert past.steps


@pytest.mark.parametrize("wanted", [Attempt, KnownResponse, Refused, Done, LeaseLost, Ignored])
@pytest.mark.heavy
def test_strategies_draw_every_outcome_on_an_idempotency_record(wanted: type[object]) -> None:
    past = among(
        draw.record_histories, lambda past: any(isinstance(s.answer, wanted) for s in past.steps)
    )
    assert past.steps


@pytest.mark.parametrize("wanted", FACTS)
@pytest.mark.heavy
def test_drawn_traffic_records_every_fact_type(wanted: type[Fact]) -> None:
    run = among(
        draw.traffic_runs,
        lambda run: any(
            isinstance(each, RecordedFact) and type(each.fact) is wanted
            for each in run.interactions
        ),
    )
    assert run.interactions


LINES = [
    b'"type":"access"',
    b'"type":"connection.authorize","connectionId"',
    b'"type":"connection.require_action"',
    b'"type":"connection.expire"',
    b'"type":"connection.revoke"',
    b'"type":"handoff.complete"',
    b'"type":"binding.graduate"',
    b'"type":"binding.tombstone"',
    b'"happenedAt"',
    b'"expiresAt"',
    b'"buckets"',
    b".connection.id}",
    b".session.id}",
]


@pytest.mark.slow
@pytest.mark.parametrize("wanted", LINES)
def test_strategies_draw_every_kind_of_log_line(wanted: bytes) -> None:
    drawn = among(draw.logs, lambda each: any(wanted in line for line in each.lines))
    assert not any(each.broken for each in replay(drawn.lines))


def test_drawn_log_has_a_handoff_before_the_get_that_finds_it() -> None:
    run = reached(from_traffic._runs_ending_with(draw.FINAL_STEPS[LandedHandoff]), lambda _: True)
    *_, fact, request = draw.format_log(run, with_responses=True)
    assert b"connection.authorize" in fact
    assert b'"status\\":\\"ACTIVE' in request
    # A connection without an end is logged without `expiresAt`.
    assert b"expiresAt" not in fact


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Exchange, RecordedFact, draw.AccessQuestion])
def test_repr_of_a_logged_interaction_is_under_1000_characters(
    kind: type[draw.Interaction],
) -> None:
    run = among(draw.logs, lambda each: kind in set(map(type, each.traffic.interactions)))
    assert pretty(run) == repr(run)
    for each in run.traffic.interactions:
        assert pretty(each) == repr(each)
        assert len(repr(each)) < 1000


REPLIES = (*(kind.reply for kind in OPERATIONS), ProblemReply, NotModified, Replayed)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", REPLIES)
def test_strategies_draw_every_reply_type(wanted: type[Reply]) -> None:
    assert isinstance(among(draw.replies, lambda reply: type(reply) is wanted), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", get_args(Write))
def test_strategies_draw_every_write_type(wanted: type[Write]) -> None:
    assert isinstance(among(draw.writes, lambda write: type(write) is wanted), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", get_args(Effect))
def test_strategies_draw_every_effect_type(wanted: type[Effect]) -> None:
    assert isinstance(among(draw.effects, lambda effect: type(effect) is wanted), wanted)


@pytest.mark.parametrize("wanted", get_args(RateKey))
def test_strategies_draw_every_rate_limit_key_type(wanted: type[RateKey]) -> None:
    assert isinstance(among(draw.rate_keys, lambda key: type(key) is wanted), wanted)


def test_strategies_draw_an_event_of_a_created_connection() -> None:
    assert reached(draw.outbox_events(), lambda _: True).kind == "connection.created"


@pytest.mark.slow
@pytest.mark.parametrize("how", [how for _, how, _ in log._BREAKAGES])
def test_strategies_draw_every_defect_of_a_log_line(how: str) -> None:
    assert among(draw.broken_logs, lambda each: each.defect == how).defect == how


@pytest.mark.slow
@pytest.mark.parametrize("wanted", get_args(Storable))
def test_strategies_draw_a_broken_document_of_every_kind(wanted: type[Storable]) -> None:
    assert among(draw.broken_documents, lambda each: each.kind is wanted).kind is wanted


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [Done, Ignored, Refused])
def test_strategies_draw_every_outcome_of_a_transition(wanted: type[object]) -> None:
    assert isinstance(among(draw.transitions, lambda each: isinstance(each, wanted)), wanted)


@pytest.mark.parametrize("wanted", [Minted, Reissued])
def test_strategies_draw_every_recovery_of_a_connection(wanted: type[object]) -> None:
    assert isinstance(among(draw.recoveries, lambda each: isinstance(each, wanted)), wanted)


@pytest.mark.parametrize("reason", DenialReason)
@pytest.mark.heavy
def test_strategies_draw_every_denial_reason(reason: DenialReason) -> None:
    assert among(draw.denials, lambda denied: denied.reason is reason).reason is reason


@pytest.mark.slow
def test_strategies_draw_long_rate_limit_logs_and_part_tokens() -> None:
    state = reached(draw.log_states(), lambda each: len(each) > 8)
    assert state.instants == tuple(sorted(state.instants))
    assert reached(draw.bucket_states(), lambda state: state.part > 0)
