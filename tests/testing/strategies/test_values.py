"""Tests that drawn values are consistent, and that broken ones state their defect."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import cast

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.access import decide_access
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    IdempotencyKey,
    Record,
    RecordStanding,
    RecordState,
    record_standing,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.preview import ExpiryNotice, PreviewOutcome, TriggerPreview
from curae_lifecycle.rules.problems import Problem
from curae_lifecycle.rules.ratelimit import (
    Bucket,
    BucketState,
    Charge,
    ExactLog,
    LogState,
    count_remaining,
)
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.values import (
    AppUser,
    AppUserId,
    ConnectionId,
    check_instant,
    parse_app_user_id,
    parse_data_packages,
    parse_uuid,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import NO_CHANGES
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, record_fact
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.members import ParsedMembers
from curae_lifecycle.service.operations.operation import KeyUse
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.response import Response, ResponseReference, kept_headers
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import LandedHandoff, NewIds, Snapshot
from curae_lifecycle.service.status import is_kept
from curae_lifecycle.stores.codec import dump, load
from curae_lifecycle.testing import laws
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.factories import build, can_build
from curae_lifecycle.testing.log_format import format_fact
from curae_lifecycle.testing.strategies import (
    START,
    BrokenArgument,
    BrokenDocument,
    BrokenLog,
    BrokenRequest,
    ConnectionHistory,
    CoordinateHistory,
    Exchange,
    Log,
    RecordedFact,
    RecordHistory,
    Traffic,
    expect,
    fields,
    from_traffic,
    log,
)
from curae_lifecycle.web.json import MalformedError
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, bearer
from curae_lifecycle.web.respond import respond
from curae_lifecycle.web.wire_format import parse_members
from tests.support.eighth import EIGHT, ConsentWithdrawn, Relabel
from tests.support.strategies import pending, uuid
from tests.testing.strategies.drawing import HOUR, check_storable, reached


def check_connection(connection: Connection) -> None:
    identity = connection.identity
    assert parse_uuid("id", identity.id) == identity.id
    assert parse_data_packages(identity.data_packages) == identity.data_packages
    assert identity.created_at <= connection.updated_at
    assert connection.handoff_deadline is not None
    assert (identity.predecessor_id is None) == (identity.root_id == identity.id)
    revoked = connection.status is Status.REVOKED
    assert (connection.revoked_at is not None) == (connection.revoked_by is not None) == revoked
    if connection.status is Status.PENDING:
        assert connection.authorized_at is None
        assert connection.action_required_reason is None
    if connection.status is Status.ACTIVE:
        assert connection.authorized_at is not None
        assert connection.authorized_at < connection.handoff_deadline
    if connection.status is Status.ACTION_REQUIRED:
        assert connection.action_required_reason is not None
    if connection.expires_at is not None:
        assert connection.authorized_at is not None
        assert connection.authorized_at < connection.expires_at
    # The connection survives dump and load with its types.
    assert load(Connection, dump(connection)) == connection


@pytest.mark.slow
@given(draw.connections())
def test_times_and_actor_of_a_drawn_connection_fit_its_status(connection: Connection) -> None:
    check_connection(connection)


@pytest.mark.slow
@given(draw.connection_histories(), st.data())
def test_drawn_history_has_the_results_of_applying_its_facts(
    history: ConnectionHistory, data: st.DataObject
) -> None:
    connection = history.created
    assert connection.status is Status.PENDING
    now = connection.identity.created_at
    for step in history.steps:
        assert now <= step.now
        now = step.now
        assert step.answer == draw.apply_fact(connection, step.fact, now)
        if isinstance(step.answer, Refused | Ignored):
            assert step.connection is connection
        connection = step.connection
        check_connection(connection)
    assert history.connection is connection
    assert history.snapshots[-1] is connection
    assert len(history.snapshots) == len(history.steps) + 1
    # Any next fact can be recorded and raises nothing.
    fact = data.draw(draw.facts_about(connection, now))
    asked = fact.needs()
    assert (asked.connection or asked.chain) == connection.id
    draw.apply_fact(connection, fact, now)


@pytest.mark.slow
@given(draw.chains())
def test_drawn_chain_links_its_connections(chain: tuple[Connection, ...]) -> None:
    older: Connection | None = None
    for each in chain:
        check_connection(each)
        assert each.identity.predecessor_id == (None if older is None else older.id)
        assert each.identity.root_id == chain[0].id
        older = each
    assert len({each.id for each in chain}) == len(chain)


@pytest.mark.slow
@given(draw.bindings())
def test_drawn_binding_has_the_user_id_of_its_generation(bound: LimitedAccountAppBinding) -> None:
    assert bound.state is not AccountState.UNLINKED
    assert bound.user_id == (f"u-{bound.generation}" if bound.generation else None)
    assert bound.generation or bound.state is AccountState.TOMBSTONED


@pytest.mark.slow
@given(draw.sessions())
def test_drawn_session_has_times_and_user_that_fit_its_handoff(
    session: CuraeConnectSession,
) -> None:
    landed = session.handoff is HandoffState.LANDED
    assert (session.landed_at is not None) == landed
    assert session.created_at < session.expires_at
    assert (session.user_id is None) == (session.handoff is HandoffState.AWAITED)
    if session.path is EntryPath.SILENT_LIMITED:
        assert session.handoff is HandoffState.NOT_REQUIRED
    if session.landed_at is not None:
        assert session.created_at <= session.landed_at < session.expires_at


@pytest.mark.slow
@pytest.mark.parametrize("standing", RecordStanding)
def test_drawn_record_has_the_requested_standing(standing: RecordStanding) -> None:
    @given(draw.records_in_standing(standing))
    def holds(drawn: tuple[Record, datetime]) -> None:
        stored, now = drawn
        assert record_standing(stored, now) is standing
        assert stored.first_used_at <= stored.seen_at
        assert (stored.response is not None) == (stored.state is RecordState.COMPLETED)
        assert 1 <= stored.token <= 3

    holds()


@pytest.mark.slow
@given(draw.trigger_previews())
def test_drawn_preview_has_a_refusal_only_if_refused(prospect: TriggerPreview) -> None:
    assert (prospect.refused is not None) == (prospect.outcome is PreviewOutcome.REFUSED)
    assert prospect.rules
    if prospect.refused is not None:
        assert prospect.refused.rules == prospect.rules


@pytest.mark.slow
@given(draw.notices())
def test_drawn_expiry_notice_is_due_before_the_connections_end(notice: ExpiryNotice) -> None:
    assert notice.due_at < notice.ends_at
    assert ".ends-in." in notice.id


@pytest.mark.slow
@given(draw.charges())
def test_drawn_charge_has_at_most_the_policys_limit_left(charge: Charge) -> None:
    matches = {ExactLog: LogState, Bucket: BucketState}
    assert isinstance(charge.state, matches[type(charge.policy)])
    assert 0 <= count_remaining(charge.policy, charge.state, START) <= charge.policy.limit


@pytest.mark.slow
@given(draw.calls())
def test_drawn_call_equals_its_parsed_request(call: Call) -> None:
    request = draw.format_request(call, "Bearer cae_live_k1")
    assert read(request, call.caller, START) == call
    assert bearer(request) is not None
    asked = call.needs
    used = call.operation.rule.key
    assert (asked.record is not None) == (call.key is not None) == (used is KeyUse.NEEDED)


@pytest.mark.slow
@given(draw.requests(), draw.callers_with_write_scope())
def test_drawn_request_is_parsed_to_a_call(request: Request, caller: Caller) -> None:
    assert isinstance(read(request, caller, START), Call)


@pytest.mark.slow
@given(draw.broken_requests(), draw.callers_with_write_scope())
def test_drawn_broken_request_is_refused_with_its_expected_code(
    broken: BrokenRequest, caller: Caller
) -> None:
    known = caller if bearer(broken.request) is not None else None
    decision = read(broken.request, known, START)
    assert not isinstance(decision, Call), broken.defect
    answer = respond(decision)
    assert f'"code":"{broken.expected_code}"'.encode() in answer.response.body
    assert not answer.changes.writes


@pytest.mark.slow
@given(draw.facts())
def test_only_a_tombstone_fact_takes_effect_on_an_empty_store(fact: Fact) -> None:
    asked = fact.needs()
    assert asked.connection or asked.chain or asked.session or asked.binding
    answer = record_fact(fact, Snapshot(), START)
    # A tombstone needs no bound user.
    assert isinstance(answer, Ignored | Refused) or isinstance(fact, Tombstoned)


@pytest.mark.slow
@given(draw.problems())
def test_drawn_problem_has_the_details_of_its_code(problem: Problem) -> None:
    assert problem.detail
    assert tuple(problem.details) == problem.problem_type.details


@pytest.mark.slow
@given(st.one_of(draw.responses(), draw.response_references()))
def test_drawn_response_can_be_stored(response: Response | ResponseReference) -> None:
    assert is_kept(response.status)
    if isinstance(response, Response):
        assert kept_headers(response.headers) == response.headers


@pytest.mark.slow
@given(draw.app_user_ids(), draw.instants(), draw.app_users())
def test_drawn_ids_and_instants_are_valid(user: AppUserId, now: datetime, whose: AppUser) -> None:
    assert parse_app_user_id(user) == user
    check_instant("now", now)
    assert START <= now <= START + 3 * HOUR
    assert parse_app_user_id(whose.app_user_id)


@pytest.mark.slow
@given(st.tuples(draw.attempts(), draw.new_ids(), draw.server_settings(), draw.callers()))
def test_drawn_attempts_ids_and_settings_are_valid(
    drawn: tuple[Attempt, NewIds, Settings, Caller],
) -> None:
    attempt, new_ids, chosen, _ = drawn
    assert attempt.first_used_at <= attempt.started_at
    assert attempt.fingerprint == Fingerprint(
        attempt.fingerprint.operation, attempt.fingerprint.values
    )
    assert new_ids.next_action.expires_at >= START
    assert len({bucket.name for bucket in chosen.buckets}) == len(chosen.buckets)


def test_strategy_raises_type_error_if_steps_give_another_type() -> None:
    with pytest.raises(TypeError, match="cannot be played: None must be of the type Record"):
        expect.expect_type(Record, None)
    for answer in (Ignored(None, ()), Done(None, ()), None):
        with pytest.raises(TypeError, match=r"cannot be played: .* must be of the type Record"):
            expect.expect_done(Record, answer)
    run = draw.Traffic((), (reached(draw.exchanges(), lambda _: True),))
    with pytest.raises(TypeError, match="no run of traffic ends with a ConnectionHistory"):
        from_traffic._find_last(run, ConnectionHistory)
    with pytest.raises(
        TypeError, match=r"cannot be played: Exchange\(.* must be of the type RecordedFact"
    ):
        from_traffic._fact_answer(Done, run)


@pytest.mark.slow
@given(draw.coordinate_histories())
def test_drawn_coordinate_history_never_lowers_a_users_state(past: CoordinateHistory) -> None:
    # A user is never bound again, and the state of a user never falls.
    order = [AccountState.LIMITED, AccountState.ACTIVE, AccountState.TOMBSTONED]
    seen = [(each.generation, order.index(each.state)) for each in past.bindings]
    assert seen == sorted(seen)
    users = {(each.generation, each.user_id) for each in past.bindings}
    assert len(users) == len({generation for generation, _ in users})
    assert [step.now for step in past.steps] == sorted(step.now for step in past.steps)
    assert {each.coordinate for each in past.bindings} <= {past.coordinate}
    assert {each.coordinate for each in past.sessions} <= {past.coordinate}
    # A landed session belongs to a user that was bound.
    bound = {each.user_id for each in past.bindings}
    for session in past.sessions:
        assert session.user_id is None or session.user_id in bound
        assert (session.user_id is None) == (session.handoff is HandoffState.AWAITED)
    assert past.binding is (past.steps[-1].binding if past.steps else None)


@pytest.mark.slow
@given(draw.record_histories())
def test_drawn_record_history_ends_with_record_of_its_last_step(past: RecordHistory) -> None:
    assert past.record is (past.steps[-1].record if past.steps else None)
    tokens = [each.token for each in past.records]
    assert tokens == sorted(tokens)
    before: Record | None = None
    for step in past.steps:
        match step.answer:
            case Done(value=after):
                assert step.record is after
            case Attempt():
                assert step.record is not None
                assert step.record.token == step.answer.token
            case _:
                assert step.record is before
        if step.record is not None:
            assert step.record.key == past.key
            assert step.record.fingerprint in {past.fingerprint, past.other}
            check_storable(step.record)
        before = step.record


@pytest.mark.slow
@given(draw.traffic_runs())
def test_drawn_traffic_equals_the_decisions_of_a_server(run: Traffic) -> None:
    times = [each.now for each in run.interactions]
    assert times == sorted(times)
    chosen = Settings(buckets=run.buckets)
    for each in run.interactions:
        match each:
            case Exchange():
                assert (
                    read(each.request, caller=each.call.caller, now=each.now, settings=chosen)
                    == each.call
                )
                assert each.call.needs == each.needs
                decision = decide(
                    each.call, snapshot=each.snapshot, now=each.now, new_ids=each.new_ids
                )
                assert decision == each.decision
                assert respond(decision) == each.answer
                laws.check_documented(each.answer.response)
            case RecordedFact():
                assert each.fact.needs() == each.needs
                assert record_fact(each.fact, each.snapshot, each.now) == each.answer
            case draw.AccessQuestion():
                assert (
                    decide_access(each.connection, each.package, each.now, era=None) == each.answer
                )


@pytest.mark.slow
@given(draw.logs())
def test_drawn_log_is_replayed_with_every_line_accepted(drawn: Log) -> None:
    answers = list(replay(drawn.lines, check=True))
    assert [each.answer["error"] for each in answers if each.broken] == []
    assert [each.divergences for each in answers if each.divergences] == []
    statuses = [each.answer.response.status for each in drawn.traffic.exchanges]
    assert [each.answer["status"] for each in answers if "status" in each.answer] == statuses
    assert any(b'"response"' in line for line in drawn.lines) == (
        drawn.with_responses and bool(statuses)
    )


def test_drawn_log_omits_a_handoff_that_no_request_recorded() -> None:
    landed = Snapshot(connection=pending(), landed_handoff=LandedHandoff(START, None))
    refused = SimpleNamespace(
        now=START, snapshot=landed, decision=SimpleNamespace(changes=NO_CHANGES)
    )
    assert log._landing_facts(cast("Exchange", refused)) == []


@pytest.mark.slow
@given(draw.broken_logs())
def test_drawn_broken_log_has_exactly_one_broken_line(drawn: BrokenLog) -> None:
    answers = list(replay(drawn.lines))
    assert [number for number, each in enumerate(answers, 1) if each.broken] == [drawn.number]
    broken = answers.pop(drawn.number - 1)
    assert str(broken.answer["error"]).startswith(drawn.error), drawn.defect
    # The broken line had no effect on the others.
    others = [{**each.answer, "line": 0} for each in replay(drawn.others)]
    assert [{**each.answer, "line": 0} for each in answers] == others


@given(draw.broken_arguments())
def test_drawn_broken_argument_raises_argument_error(broken: BrokenArgument) -> None:
    with pytest.raises(ArgumentError):
        broken.parse(broken.value)
    assert broken.defect


@pytest.mark.slow
@given(draw.broken_documents())
def test_drawn_broken_document_is_malformed(broken: BrokenDocument) -> None:
    with pytest.raises(MalformedError):
        load(broken.kind, broken.document)
    assert broken.defect


@pytest.mark.slow
@given(fields.build_from_fields(Relabel), draw.callers_with_write_scope(), draw.idempotency_keys())
def test_formatted_custom_operation_parses_to_the_same_call(
    operation: Relabel, caller: Caller, key: IdempotencyKey
) -> None:
    settings = Settings(operations=EIGHT)
    call = Call(caller=caller, operation=operation, key=key, settings=settings)
    printed = draw.format_request(call, "Bearer cae_live_k1")
    assume(operation.label)
    assert read(printed, caller=caller, now=START, settings=settings) == call


@pytest.mark.slow
@given(draw.connection_histories(), fields.build_from_fields(ConsentWithdrawn))
def test_drawn_custom_fact_can_be_applied_and_parsed_back(
    history: ConnectionHistory, drawn: ConsentWithdrawn
) -> None:
    before = history.connection
    fact = attrs.evolve(drawn, connection_id=before.id)
    answer = draw.apply_fact(before, fact, before.updated_at)
    assert not isinstance(answer, Refused)
    assert answer.value.status is Status.REVOKED
    assert answer == draw.apply_fact(before, fact, before.updated_at, successor=None)
    printed = format_fact(fact)
    assert printed.pop("type") == "connection.withdraw_consent"
    assume(fact.form_number)
    assert (
        ConsentWithdrawn.from_members(
            ParsedMembers(parse_members(printed, ConsentWithdrawn.members))
        )
        == fact
    )


def test_class_cannot_be_built_if_a_required_field_has_no_value() -> None:
    assert can_build(Revoke, ["connection_id"])
    assert can_build(Expired, ["connection_id"])
    assert not can_build(Relabel, ["connection_id"])
    made_of = build(Relabel, {"connection_id": uuid(1), "label": "x", "reason": "portal_login"})
    assert made_of == Relabel(ConnectionId(uuid(1)), "x")
