"""What the strategies draw: reachable, of every kind, and small when it fails."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from enum import Enum
from random import Random
from types import ModuleType
from typing import NewType, TypeVar, cast, get_args

import attrs
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.vendor.pretty import pretty

from curae_lifecycle import rules, service, web
from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.access import DenialReason, decide_access
from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.chain import Minted, Reissued
from curae_lifecycle.rules.connection import Actor, Connection, Standing, Status, standing
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    KnownResponse,
    Record,
    RecordStanding,
    RecordState,
    record_standing,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.problems import Problem
from curae_lifecycle.rules.ratelimit import (
    Bucket,
    BucketState,
    Charge,
    ExactLog,
    LogState,
    available,
)
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, Handoff
from curae_lifecycle.rules.values import (
    AppUser,
    AppUserId,
    NextAction,
    check_instant,
    parse_app_user_id,
    parse_data_packages,
    parse_uuid,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import (
    Changes,
    Effect,
    HandoffCancelled,
    NextActionReplaced,
    RateKey,
    SuccessorsLive,
    Write,
)
from curae_lifecycle.service.decide import decide, needs
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, FactSnapshot, fact_needs, record_fact
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.operations.create_connection import ConnectionCreated, CreateConnection
from curae_lifecycle.service.operations.operation import (
    KeyUse,
    NotModified,
    Operation,
    ProblemReply,
    Replayed,
    Reply,
)
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.response import Response, ResponseReference, kept_headers
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import LandedHandoff, NewIds
from curae_lifecycle.service.status import is_kept
from curae_lifecycle.stores.codec import Storable, dump, load
from curae_lifecycle.testing import laws
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.making import happened
from curae_lifecycle.testing.strategies import (
    START,
    TICK,
    BrokenArgument,
    BrokenDocument,
    BrokenLog,
    BrokenRequest,
    CoordinateAct,
    CoordinatePast,
    Exchange,
    History,
    Log,
    RecordAct,
    Recording,
    RecordPast,
    Traffic,
    binding,
    limit,
    log,
    record,
    registry,
    within,
)
from curae_lifecycle.web.json import MalformedError
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, bearer
from curae_lifecycle.web.respond import respond

Drawn = TypeVar("Drawn")

HOUR = timedelta(hours=1)


def reached(strategy: st.SearchStrategy[Drawn], wanted: Callable[[Drawn], bool]) -> Drawn:
    """A value drawn that is wanted, as soon as there is one."""
    quick = settings(
        database=None,
        derandomize=True,
        deadline=None,
        max_examples=5_000,
        phases=(Phase.generate,),
    )
    return find(strategy, wanted, settings=quick)


def smallest(strategy: st.SearchStrategy[Drawn], wanted: Callable[[Drawn], bool]) -> Drawn:
    """The smallest value drawn that is wanted, the same in every run."""
    exact = settings(
        database=None,
        derandomize=True,
        deadline=None,
        max_examples=5_000,
        phases=(Phase.generate, Phase.shrink),
    )
    return find(strategy, wanted, settings=exact, random=Random(0))  # noqa: S311 - a fixed draw


# --- Reachable ------------------------------------------------------------------------------


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
    # It survives a store, members and types.
    assert load(Connection, dump(connection)) == connection


@given(draw.connections())
def test_a_connection_is_reachable(connection: Connection) -> None:
    check_connection(connection)


@given(draw.histories(), st.data())
def test_a_history_is_what_its_facts_make(history: History, data: st.DataObject) -> None:
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
    # Whatever may come next may be recorded, and raises nothing.
    fact = data.draw(draw.facts_about(connection, now))
    assert fact.needs().connection == connection.id
    draw.apply_fact(connection, fact, now)


@given(draw.chains())
def test_a_chain_is_one(chain: tuple[Connection, ...]) -> None:
    older: Connection | None = None
    for each in chain:
        check_connection(each)
        assert each.identity.predecessor_id == (None if older is None else older.id)
        assert each.identity.root_id == chain[0].id
        older = each
    assert len({each.id for each in chain}) == len(chain)


@given(draw.bindings())
def test_a_binding_is_reachable(bound: LimitedAccountAppBinding) -> None:
    assert bound.state is not AccountState.UNLINKED
    assert bound.user_id == f"u-{bound.generation}"


@given(draw.sessions())
def test_a_session_is_reachable(session: CuraeConnectSession) -> None:
    landed = session.handoff is Handoff.LANDED
    assert (session.landed_at is not None) == landed
    assert session.created_at < session.expires_at
    assert (session.user_id is None) == (session.handoff is Handoff.AWAITED)
    if session.path is EntryPath.SILENT_LIMITED:
        assert session.handoff is Handoff.NOT_REQUIRED
    if session.landed_at is not None:
        assert session.created_at <= session.landed_at < session.expires_at


@pytest.mark.parametrize("standing", RecordStanding)
def test_a_record_has_the_standing_asked_for(standing: RecordStanding) -> None:
    @given(draw.records_with(standing))
    def holds(drawn: tuple[Record, datetime]) -> None:
        stored, now = drawn
        assert record_standing(stored, now) is standing
        assert stored.first_used_at <= stored.seen_at
        assert (stored.response is not None) == (stored.state is RecordState.COMPLETED)
        assert 1 <= stored.token <= 3

    holds()


@given(draw.charges())
def test_a_charge_is_within_its_rule(charge: Charge) -> None:
    matches = {ExactLog: LogState, Bucket: BucketState}
    assert isinstance(charge.state, matches[type(charge.policy)])
    assert 0 <= available(charge.policy, charge.state, START) <= charge.policy.limit


@given(draw.calls())
def test_a_call_is_what_its_request_reads_as(call: Call) -> None:
    request = draw.print_request(call, "Bearer cae_live_k1")
    assert read(request, call.caller, START) == call
    assert bearer(request) is not None
    asked = needs(call)
    used = call.operation.rule.key
    assert (asked.record is not None) == (call.key is not None) == (used is KeyUse.NEEDED)


@given(draw.requests(), draw.writers())
def test_a_request_is_well_formed(request: Request, caller: Caller) -> None:
    assert isinstance(read(request, caller, START), Call)


@given(draw.broken_requests(), draw.writers())
def test_a_broken_request_is_refused_as_it_says(broken: BrokenRequest, caller: Caller) -> None:
    known = caller if bearer(broken.request) is not None else None
    decision = read(broken.request, known, START)
    assert not isinstance(decision, Call), broken.how
    answer = respond(decision)
    assert f'"code":"{broken.code}"'.encode() in answer.response.body
    assert not answer.changes.writes


@given(draw.facts())
def test_a_fact_of_nothing_is_judged(fact: Fact) -> None:
    asked = fact_needs(fact)
    assert asked.connection or asked.session or asked.binding
    answer = record_fact(fact, FactSnapshot(), START)
    assert isinstance(answer, Ignored | Refused)


@given(draw.problems())
def test_a_problem_has_the_values_of_its_code(problem: Problem) -> None:
    assert problem.detail
    assert tuple(problem.details) == problem.type.details


@given(st.one_of(draw.responses(), draw.response_references()))
def test_a_response_may_be_kept(response: Response | ResponseReference) -> None:
    assert is_kept(response.status)
    if isinstance(response, Response):
        assert kept_headers(response.headers) == response.headers


@given(draw.app_user_ids(), draw.instants(), draw.app_users())
def test_the_small_values_are_allowed(user: AppUserId, now: datetime, whose: AppUser) -> None:
    assert parse_app_user_id(user) == user
    check_instant("now", now)
    assert START <= now <= START + 3 * HOUR
    assert parse_app_user_id(whose.app_user_id)


@given(st.tuples(draw.attempts(), draw.new_ids(), draw.server_settings(), draw.callers()))
def test_the_other_values_are_allowed(
    drawn: tuple[Attempt, NewIds, Settings, Caller],
) -> None:
    attempt, new_ids, chosen, _ = drawn
    assert attempt.first_used_at <= attempt.at
    assert attempt.fingerprint == Fingerprint(
        attempt.fingerprint.operation, attempt.fingerprint.values
    )
    assert new_ids.next_action.expires_at >= START
    assert len({bucket.name for bucket in chosen.buckets}) == len(chosen.buckets)


def test_what_no_past_leads_to_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="binding's past cannot be played: None"):
        binding._bound(None)
    with pytest.raises(TypeError, match="record's past cannot be played: None"):
        record._moved(None)
    stored, now = reached(
        draw.records_with(RecordStanding.COMPLETED), lambda drawn: isinstance(drawn[0], Record)
    )
    with pytest.raises(TypeError, match="record's past cannot be played: KnownResponse"):
        record._begun(stored, stored.key, stored.fingerprint, now)
    with pytest.raises(TypeError, match="'initiate' has another kind of state"):
        limit._of(BucketState, Charge(ExactLog("initiate", 1, 1), LogState()))
    told = draw.Traffic((), (reached(draw.exchanges(), lambda _: True),))
    with pytest.raises(TypeError, match="no run of traffic ends with a History"):
        within._last(told, History)
    for answered in (within._done, within._ignored):
        with pytest.raises(TypeError, match=r"a run of traffic ends with Exchange\("):
            answered(told)


# --- Whole pasts ----------------------------------------------------------------------------


@given(draw.coordinate_pasts())
def test_a_coordinate_s_binding_and_sessions_agree(past: CoordinatePast) -> None:
    # A user never comes back, and one user's state never falls.
    order = [AccountState.LIMITED, AccountState.ACTIVE, AccountState.TOMBSTONED]
    seen = [(each.generation, order.index(each.state)) for each in past.bindings]
    assert seen == sorted(seen)
    users = {(each.generation, each.user_id) for each in past.bindings}
    assert len(users) == len({generation for generation, _ in users})
    assert [step.now for step in past.steps] == sorted(step.now for step in past.steps)
    assert {each.coordinate for each in past.bindings} <= {past.coordinate}
    assert {each.coordinate for each in past.sessions} <= {past.coordinate}
    # Whoever landed is whom the coordinate was bound to.
    bound = {each.user_id for each in past.bindings}
    for session in past.sessions:
        assert session.user_id is None or session.user_id in bound
        assert (session.user_id is None) == (session.handoff is Handoff.AWAITED)
    assert past.binding is (past.steps[-1].binding if past.steps else None)


@given(draw.record_pasts())
def test_a_record_s_past_is_what_its_acts_make(past: RecordPast) -> None:
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


@given(draw.traffic())
def test_traffic_is_what_a_server_would_do(told: Traffic) -> None:
    times = [each.now for each in told.happenings]
    assert times == sorted(times)
    chosen = Settings(buckets=told.buckets)
    for each in told.happenings:
        match each:
            case Exchange():
                assert read(each.request, each.call.caller, each.now, chosen) == each.call
                assert needs(each.call) == each.needs
                decision = decide(each.call, each.snapshot, each.now, each.new_ids)
                assert decision == each.decision
                assert respond(decision) == each.answer
                laws.check_documented(each.answer.response)
            case Recording():
                assert fact_needs(each.fact) == each.needs
                assert record_fact(each.fact, each.snapshot, each.now) == each.answer
            case draw.Question():
                assert decide_access(each.connection, each.package, each.now) == each.answer


@given(draw.logs())
def test_a_log_is_replayed_without_a_broken_line(drawn: Log) -> None:
    answers = list(replay(drawn.lines, check=True))
    assert [each.answer["error"] for each in answers if each.broken] == []
    assert [each.divergences for each in answers if each.divergences] == []
    told = [each.answer.response.status for each in drawn.traffic.exchanges]
    assert [each.answer["status"] for each in answers if "status" in each.answer] == told
    assert any(b'"response"' in line for line in drawn.lines) == (drawn.recorded and bool(told))


@given(draw.broken_logs())
def test_a_broken_log_is_broken_in_that_line_alone(drawn: BrokenLog) -> None:
    answers = list(replay(drawn.lines))
    assert [number for number, each in enumerate(answers, 1) if each.broken] == [drawn.number]
    broken = answers.pop(drawn.number - 1)
    assert str(broken.answer["error"]).startswith(drawn.error), drawn.how
    # It did nothing: the rest is answered as if it were not there.
    others = [{**each.answer, "line": 0} for each in replay(drawn.others)]
    assert [{**each.answer, "line": 0} for each in answers] == others


@given(draw.broken_arguments())
def test_a_broken_argument_is_a_mistake(broken: BrokenArgument) -> None:
    with pytest.raises(ArgumentError):
        broken.parse(broken.value)
    assert broken.how


@given(draw.broken_documents())
def test_a_broken_document_is_malformed(broken: BrokenDocument) -> None:
    with pytest.raises(MalformedError):
        load(broken.kind, broken.document)
    assert broken.how


# --- Everything is reached ------------------------------------------------------------------


@pytest.mark.parametrize("wanted", Standing)
def test_every_standing_is_drawn(wanted: Standing) -> None:
    drawn = st.tuples(draw.connections(), draw.instants())
    connection, now = reached(drawn, lambda pair: standing(*pair) is wanted)
    assert standing(connection, now) is wanted


@pytest.mark.parametrize("wanted", binding._LINKED)
@pytest.mark.parametrize("generation", range(1, 5))
def test_every_state_and_generation_is_drawn(wanted: AccountState, generation: int) -> None:
    bound = reached(
        draw.bindings(), lambda each: each.state is wanted and each.generation == generation
    )
    assert bound.state is wanted


@pytest.mark.parametrize("wanted", EntryPath)
def test_every_path_is_drawn(wanted: EntryPath) -> None:
    assert reached(draw.sessions(), lambda session: session.path is wanted).path is wanted
    assert reached(draw.sessions(wanted), lambda _: True).path is wanted


def test_a_sign_up_lands_or_waits() -> None:
    path_b = draw.sessions(EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF)
    assert reached(path_b, lambda each: each.handoff is Handoff.AWAITED).user_id is None
    assert reached(path_b, lambda each: each.handoff is Handoff.LANDED).user_id is not None


@pytest.mark.parametrize("wanted", RecordState)
def test_every_record_state_is_drawn(wanted: RecordState) -> None:
    assert reached(draw.records(), lambda record: record.state is wanted).state is wanted


@pytest.mark.parametrize("wanted", OPERATIONS)
def test_every_operation_is_drawn(wanted: type[Operation]) -> None:
    assert isinstance(
        reached(draw.calls(), lambda call: type(call.operation) is wanted).operation, wanted
    )
    assert wanted in draw.OPERATION_STRATEGIES


@pytest.mark.parametrize("wanted", FACTS)
def test_every_fact_is_drawn(wanted: type[Fact]) -> None:
    assert isinstance(reached(draw.facts(), lambda fact: type(fact) is wanted), wanted)
    assert wanted in draw.FACT_STRATEGIES


@pytest.mark.parametrize("wanted", [Authorized, ActionRequired, Expired, Revoked])
@pytest.mark.parametrize("late", [False, True])
def test_every_fact_of_a_connection_is_drawn_on_time_and_late(
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
def test_every_act_at_a_coordinate_is_drawn_with_every_answer(
    act: CoordinateAct, answer: type[object]
) -> None:
    past = reached(
        draw.coordinate_pasts(),
        lambda past: any(
            step.act is act and isinstance(step.answer, answer) for step in past.steps
        ),
    )
    assert past.steps


@pytest.mark.parametrize("wanted", RecordAct)
def test_every_act_on_a_record_is_drawn(wanted: RecordAct) -> None:
    past = reached(draw.record_pasts(), lambda past: any(s.act is wanted for s in past.steps))
    assert past.steps


@pytest.mark.parametrize("wanted", [Attempt, KnownResponse, Refused, Done, LeaseLost, Ignored])
def test_every_answer_to_an_act_on_a_record_is_drawn(wanted: type[object]) -> None:
    past = reached(
        draw.record_pasts(), lambda past: any(isinstance(s.answer, wanted) for s in past.steps)
    )
    assert past.steps


@pytest.mark.parametrize("wanted", FACTS)
def test_every_fact_is_told_in_traffic(wanted: type[Fact]) -> None:
    told = reached(
        draw.traffic(),
        lambda told: any(
            isinstance(each, Recording) and type(each.fact) is wanted for each in told.happenings
        ),
    )
    assert told.happenings


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


@pytest.mark.parametrize("wanted", LINES)
def test_every_kind_of_line_is_drawn(wanted: bytes) -> None:
    drawn = reached(draw.logs(), lambda each: any(wanted in line for line in each.lines))
    assert not any(each.broken for each in replay(drawn.lines))


def test_a_landed_hand_off_is_told_as_a_fact_before_the_request_that_found_it() -> None:
    run = reached(within._ending(draw.ENDINGS[LandedHandoff]), lambda _: True)
    *_, fact, request = draw.print_log(run, recorded=True)
    assert b"connection.authorize" in fact
    assert b'"status\\":\\"ACTIVE' in request
    # A connection for ever is told without an end.
    assert b"expiresAt" not in fact


@pytest.mark.parametrize("kind", [Exchange, Recording, draw.Question])
def test_a_happening_is_printed_short(kind: type[draw.Happening]) -> None:
    run = reached(draw.logs(), lambda each: kind in set(map(type, each.traffic.happenings)))
    assert pretty(run) == repr(run)
    for each in run.traffic.happenings:
        assert pretty(each) == repr(each)
        assert len(repr(each)) < 1000


REPLIES = (*(kind.reply for kind in OPERATIONS), ProblemReply, NotModified, Replayed)


@pytest.mark.parametrize("wanted", REPLIES)
def test_every_reply_is_drawn(wanted: type[Reply]) -> None:
    assert isinstance(reached(draw.replies(), lambda reply: type(reply) is wanted), wanted)


@pytest.mark.parametrize("wanted", get_args(Write))
def test_every_write_is_drawn(wanted: type[Write]) -> None:
    assert isinstance(reached(draw.writes(), lambda write: type(write) is wanted), wanted)


@pytest.mark.parametrize("wanted", get_args(Effect))
def test_every_effect_is_drawn(wanted: type[Effect]) -> None:
    assert isinstance(reached(draw.effects(), lambda effect: type(effect) is wanted), wanted)


@pytest.mark.parametrize("wanted", get_args(RateKey))
def test_every_key_of_a_rate_limit_is_drawn(wanted: type[RateKey]) -> None:
    assert isinstance(reached(draw.rate_keys(), lambda key: type(key) is wanted), wanted)


def test_an_event_of_a_creation_is_drawn() -> None:
    assert reached(draw.outbox_events(), lambda _: True).kind == "connection.created"


@pytest.mark.parametrize("how", [how for _, how, _ in log._BREAKAGES])
def test_every_broken_line_is_drawn(how: str) -> None:
    assert reached(draw.broken_logs(), lambda each: each.how == how).how == how


@pytest.mark.parametrize("wanted", get_args(Storable))
def test_a_broken_document_of_every_kind_is_drawn(wanted: type[Storable]) -> None:
    assert reached(draw.broken_documents(), lambda each: each.kind is wanted).kind is wanted


@pytest.mark.parametrize("wanted", [Done, Ignored, Refused])
def test_every_transition_is_drawn(wanted: type[object]) -> None:
    assert isinstance(reached(draw.transitions(), lambda each: isinstance(each, wanted)), wanted)


@pytest.mark.parametrize("wanted", [Minted, Reissued])
def test_every_recovery_is_drawn(wanted: type[object]) -> None:
    assert isinstance(reached(draw.recoveries(), lambda each: isinstance(each, wanted)), wanted)


@pytest.mark.parametrize("reason", DenialReason)
def test_every_reason_of_a_denial_is_drawn(reason: DenialReason) -> None:
    assert reached(draw.denials(), lambda denied: denied.reason is reason).reason is reason


def test_states_of_limits_are_drawn() -> None:
    state = reached(draw.log_states(), lambda each: len(each.instants) > 1)
    assert state.instants == tuple(sorted(state.instants))
    assert reached(draw.bucket_states(), lambda state: state.arrival is not None).arrival


# --- Small ----------------------------------------------------------------------------------


def test_the_simplest_values_are_plain() -> None:
    assert smallest(draw.instants(), lambda _: True) == START
    assert smallest(draw.connection_ids(), lambda _: True).endswith("-000000000001")
    assert smallest(draw.app_user_ids(), lambda _: True) == "user-1"
    assert smallest(draw.data_packages(), lambda _: True) == ("labs",)
    action = NextAction("https://connect.example/1", START + HOUR / 2)
    assert smallest(draw.next_actions(), lambda _: True) == action
    history = smallest(draw.histories(), lambda _: True)
    assert history.steps == ()
    assert history.connection is history.created


def test_a_revoked_connection_shrinks_to_one_revocation_at_once() -> None:
    history = smallest(draw.histories(), lambda each: each.connection.status is Status.REVOKED)
    [step] = history.steps
    assert step.now == START
    # When it happened may be said or not: it is the same instant.
    assert happened(step.fact, None) == Revoked(history.created.id, Actor.APP)
    assert isinstance(step.answer, Done)


def test_an_expiry_shrinks_to_an_authorization_and_its_expiry() -> None:
    history = smallest(draw.histories(), lambda each: each.connection.status is Status.EXPIRED)
    connection_id = history.created.id
    assert [happened(step.fact, None) for step in history.steps] == [
        Authorized(connection_id),
        Expired(connection_id),
    ]
    assert {step.now for step in history.steps} == {START}


def test_a_lapsed_connection_shrinks_to_its_deadline() -> None:
    drawn = st.tuples(draw.connections(), draw.instants())
    connection, now = smallest(drawn, lambda pair: standing(*pair) is Standing.LAPSED)
    assert connection == smallest(draw.new_connections(), lambda _: True)
    assert now == START + timedelta(minutes=30)


def test_a_successor_shrinks_to_a_lapse_and_a_reconnect() -> None:
    older, newer = smallest(
        draw.chains(), lambda chain: len(chain) > 1 and chain[0].status is Status.PENDING
    )
    assert older == smallest(draw.new_connections(), lambda _: True)
    assert newer.identity.created_at == START + timedelta(minutes=30)
    assert newer.identity.predecessor_id == older.id


def test_a_reissue_is_reached() -> None:
    chain = smallest(
        draw.chains(), lambda chain: chain[-1].updated_at > chain[-1].identity.created_at
    )
    assert chain[-1].updated_at - START >= TICK


def test_a_binding_of_the_second_generation_shrinks_to_two_users() -> None:
    bound = smallest(draw.bindings(), lambda each: each.generation > 1)
    assert attrs.astuple(bound, recurse=False)[1:] == ("u-2", AccountState.LIMITED, 2)


def test_the_simplest_pasts_are_empty() -> None:
    assert smallest(draw.coordinate_pasts(), lambda _: True).steps == ()
    assert smallest(draw.record_pasts(), lambda _: True).steps == ()
    assert smallest(draw.traffic(), lambda _: True).happenings == ()
    assert len(smallest(draw.logs(), lambda _: True).lines) == len(draw.CALLERS)


def test_a_landed_sign_up_shrinks_to_a_session_and_its_landing() -> None:
    past = smallest(
        draw.coordinate_pasts(),
        lambda past: any(
            each.path is EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF and each.handoff is Handoff.LANDED
            for each in past.sessions
        ),
    )
    # Some releases of Hypothesis leave a second session; the landing is last, and at once.
    acts = [step.act for step in past.steps]
    assert acts[-1] is CoordinateAct.LAND
    assert set(acts[:-1]) == {CoordinateAct.INITIATE_SIGN_UP}
    assert len(acts) <= 3
    assert {step.now for step in past.steps} == {START}


def test_a_takeover_shrinks_to_two_begins_a_lease_apart() -> None:
    past = smallest(
        draw.record_pasts(),
        lambda past: len(past.records) > 1 and past.records[-1].token > past.records[0].token,
    )
    first, second = past.steps
    assert (first.act, second.act) == (RecordAct.BEGIN, RecordAct.BEGIN)
    assert second.now - first.now == timedelta(minutes=1)


def test_a_replay_shrinks_to_the_same_request_twice() -> None:
    told = smallest(
        draw.traffic(), lambda told: any(each.answer.replayed for each in told.exchanges)
    )
    # Two members cannot be made simpler at once, so a third request may stay.
    assert len(told.happenings) <= 3
    first, again = told.exchanges[-2:]
    assert first.request == again.request
    assert first.answer.response == again.answer.response


def test_an_exchange_shrinks_to_a_create() -> None:
    exchange = smallest(draw.exchanges(), lambda _: True)
    assert isinstance(exchange.call.operation, CreateConnection)
    assert exchange.now == START
    assert exchange.answer.response.status == 201


@pytest.mark.parametrize(
    ("kind", "operation"),
    [(SuccessorsLive, Revoke), (NextActionReplaced, Reconnect), (Replayed, CreateConnection)],
)
def test_what_comes_up_in_traffic_shrinks_to_its_ending(
    kind: type[object], operation: type[Operation]
) -> None:
    run = smallest(within._ending(draw.ENDINGS[kind]), lambda _: True)
    assert len(run.happenings) == len(draw.ENDINGS[kind])
    assert isinstance(run.exchanges[-1].call.operation, operation)


def test_a_broken_log_shrinks_to_a_blank_line_after_the_first() -> None:
    broken = smallest(draw.broken_logs(), lambda _: True)
    assert (broken.number, broken.how) == (2, "blank")
    assert len(broken.lines) == len(draw.CALLERS) + 1


def test_the_simplest_answers_are_plain() -> None:
    assert smallest(draw.done_transitions(), lambda _: True).value.status is Status.REVOKED
    assert smallest(draw.denials(), lambda _: True).reason is DenialReason.PENDING
    assert smallest(draw.grants(), lambda _: True).valid_until is None
    assert smallest(draw.broken_arguments(), lambda _: True).how == "a naive instant"
    assert smallest(draw.broken_documents(), lambda _: True).how == "a list"
    assert isinstance(smallest(draw.replies(), lambda _: True), ConnectionCreated)
    assert isinstance(smallest(draw.effects(), lambda _: True), HandoffCancelled)


# --- Registered -----------------------------------------------------------------------------

REGISTERED = """
import attrs
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.rules.idempotency import Record
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.rules.ratelimit import BucketState, LogState, Policy
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.testing import strategies
from curae_lifecycle.rules.values import AppUserId, ConnectionId, Coordinate, parse_uuid

strategies.register()
strategies.register()


@attrs.frozen
class Mine:
    connection: Connection
    id: ConnectionId
    user: AppUserId


few = settings(max_examples=20, database=None, derandomize=True, deadline=None)


@few
@given(st.builds(Mine))
def mine(drawn):
    assert drawn.connection.identity.created_at.tzinfo is not None
    assert (drawn.connection.status is Status.REVOKED) == (drawn.connection.revoked_at is not None)
    assert parse_uuid("id", drawn.id) == drawn.id


@few
@given(st.from_type(Operation), st.from_type(Fact), st.from_type(Policy), st.from_type(Record))
def unions(operation, fact, policy, record):
    assert isinstance(operation, Operation)
    assert isinstance(fact, Fact)
    assert isinstance(policy, Policy)
    assert record.token >= 1


@few
@given(st.from_type(LimitedAccountAppBinding), st.from_type(CuraeConnectSession))
def others(binding, session):
    assert binding.generation >= 1
    assert session.created_at < session.expires_at


mine()
unions()
others()
print("registered")
"""


def test_register_makes_from_type_and_builds_draw_reachable_values() -> None:
    # In a process of its own: a registration is global and stays.
    done = subprocess.run(
        [sys.executable, "-c", REGISTERED], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("registered\n", "")


ROOMS = (rules, service, web)


def modules() -> Iterator[ModuleType]:
    for room in ROOMS:
        for found in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            yield importlib.import_module(found.name)


def public_types() -> list[tuple[str, object]]:
    """Every attrs class, enum and NewType of the rooms that decide, where it is defined."""
    found: list[tuple[str, object]] = []
    for module in modules():
        for name, held in sorted(vars(module).items()):
            is_type = isinstance(held, NewType) or (
                isinstance(held, type) and (attrs.has(held) or issubclass(held, Enum))
            )
            own = getattr(held, "__module__", None) == module.__name__
            if is_type and own and not name.startswith("_"):
                found.append((f"{module.__name__}.{name}", held))
    return found


ALL_TYPES = """
from hypothesis import Phase, find, settings
from hypothesis import strategies as st

from curae_lifecycle.service.changes import Changes
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.testing import strategies
from tests.test_strategies import public_types

strategies.register()
quick = settings(database=None, derandomize=True, max_examples=50, phases=(Phase.generate,))
for name, kind in public_types():
    drawn = find(st.from_type(kind), lambda _: True, settings=quick)
    assert isinstance(drawn, kind if isinstance(kind, type) else str), name
for outcome in (Done, Ignored):
    for kind in (Changes, Connection):
        drawn = find(st.from_type(outcome[kind]), lambda _: True, settings=quick)
        assert isinstance(drawn, outcome)
        assert isinstance(drawn.value, kind)
print("drawn")
"""


def test_from_type_draws_every_public_type() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALL_TYPES], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("drawn\n", "")
    assert len(public_types()) > 100


def check_storable(drawn: object) -> None:
    # It survives a store, where a store holds such a value.
    if isinstance(drawn, get_args(Storable)):
        stored = cast("Storable", drawn)
        assert load(type(stored), dump(stored)) == stored


def test_register_here_names_every_type_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: dict[object, object] = {}
    monkeypatch.setattr(st, "register_type_strategy", registered.__setitem__)
    draw.register()
    named = {held for _, held in public_types()}
    # Hypothesis draws an enum's members by itself.
    enums = {held for held in named if isinstance(held, type) and issubclass(held, Enum)}
    assert named - enums - {*registered} == set()
    for kind, strategy in registered.items():
        if isinstance(strategy, st.SearchStrategy):
            drawn: object = reached(strategy, lambda _: True)
            assert not isinstance(kind, type) or isinstance(drawn, kind)
            check_storable(drawn)


def test_done_and_ignored_are_drawn_of_what_is_asked() -> None:
    assert isinstance(reached(registry._done(Done[Changes]), lambda _: True).value, Changes)
    assert isinstance(reached(registry._done(Done), lambda _: True).value, Connection)
    assert isinstance(reached(registry._ignored(Ignored[Changes]), lambda _: True).value, Changes)
    assert isinstance(reached(registry._ignored(Ignored), lambda _: True).value, Connection)
