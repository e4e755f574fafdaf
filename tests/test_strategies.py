"""What the strategies draw: reachable, of every kind, and small when it fails."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import TypeVar, get_args

import attrs
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from curae_lifecycle import facts as fact_rules
from curae_lifecycle.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.connection import Actor, Connection, Standing, Status, standing
from curae_lifecycle.credentials import Caller
from curae_lifecycle.facts import (
    ActionRequired,
    Authorized,
    Expired,
    Fact,
    Revoked,
    fact_needs,
)
from curae_lifecycle.http import Request, bearer, read, respond
from curae_lifecycle.idempotency import (
    Attempt,
    Fingerprint,
    Record,
    RecordStanding,
    RecordState,
    Response,
    ResponseReference,
    is_kept,
    kept_headers,
    record_standing,
)
from curae_lifecycle.operations import (
    OPERATIONS,
    Call,
    Fresh,
    KeyUse,
    Operation,
    Settings,
    needs,
    operation_name,
)
from curae_lifecycle.outcomes import Done, Ignored, Refused
from curae_lifecycle.problems import Problem
from curae_lifecycle.ratelimit import Bucket, BucketState, Charge, ExactLog, LogState, available
from curae_lifecycle.session import CuraeConnectSession, EntryPath, Handoff
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.strategies import START, TICK, BrokenRequest, History
from curae_lifecycle.values import (
    AppUser,
    AppUserId,
    NextAction,
    check_instant,
    parse_app_user_id,
    parse_data_packages,
    parse_uuid,
)
from curae_lifecycle.wire import dump, load

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
        assert step.answer == draw.apply_event(connection, step.fact, now)
        if isinstance(step.answer, Refused | Ignored):
            assert step.connection is connection
        connection = step.connection
        check_connection(connection)
    assert history.connection is connection
    assert history.snapshots[-1] is connection
    assert len(history.snapshots) == len(history.steps) + 1
    # Whatever may come next may be recorded, and raises nothing.
    event = data.draw(draw.events(connection, now))
    assert event.connection_id == connection.id
    draw.apply_event(connection, event, now)


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
def test_a_binding_is_reachable(binding: LimitedAccountAppBinding) -> None:
    assert binding.state is not AccountState.UNLINKED
    assert binding.user_id == f"u-{binding.generation}"


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
        record, now = drawn
        assert record_standing(record, now) is standing
        assert record.first_used_at <= record.seen_at
        assert (record.response is not None) == (record.state is RecordState.COMPLETED)
        assert 1 <= record.token <= 3

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
    used = OPERATIONS[operation_name(call.operation),].outcome.key
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
    answer = fact_rules.record_fact(fact, fact_rules.FactSnapshot(), START)
    assert isinstance(answer, Ignored | Refused)


@given(draw.problems())
def test_a_problem_has_the_facts_of_its_code(problem: Problem) -> None:
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


@given(st.tuples(draw.attempts(), draw.fresh(), draw.server_settings(), draw.callers()))
def test_the_other_values_are_allowed(
    drawn: tuple[Attempt, Fresh, Settings, Caller],
) -> None:
    attempt, fresh, chosen, _ = drawn
    assert attempt.first_used_at <= attempt.at
    assert attempt.fingerprint == Fingerprint(
        attempt.fingerprint.operation, attempt.fingerprint.values
    )
    assert fresh.next_action.expires_at >= START
    assert len({bucket.name for bucket in chosen.buckets}) == len(chosen.buckets)


def test_what_no_past_leads_to_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="binding's past cannot be played: None"):
        draw._bound(None)
    with pytest.raises(TypeError, match="record's past cannot be played: None"):
        draw._moved(None)
    record, now = reached(
        draw.records_with(RecordStanding.COMPLETED), lambda drawn: isinstance(drawn[0], Record)
    )
    with pytest.raises(TypeError, match="record's past cannot be played: Replay"):
        draw._begun(record, record.key, record.fingerprint, now)
    with pytest.raises(TypeError, match="'initiate' has another kind of state"):
        draw._of(BucketState, Charge(ExactLog("initiate", 1, 1), LogState()))


# --- Everything is reached ------------------------------------------------------------------


@pytest.mark.parametrize("wanted", Standing)
def test_every_standing_is_drawn(wanted: Standing) -> None:
    drawn = st.tuples(draw.connections(), draw.instants())
    connection, now = reached(drawn, lambda pair: standing(*pair) is wanted)
    assert standing(connection, now) is wanted


@pytest.mark.parametrize("wanted", draw._LINKED)
@pytest.mark.parametrize("generation", range(1, 5))
def test_every_state_and_generation_is_drawn(wanted: AccountState, generation: int) -> None:
    binding = reached(
        draw.bindings(), lambda each: each.state is wanted and each.generation == generation
    )
    assert binding.state is wanted


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


@pytest.mark.parametrize("wanted", get_args(Operation))
def test_every_operation_is_drawn(wanted: type[Operation]) -> None:
    assert isinstance(
        reached(draw.calls(), lambda call: type(call.operation) is wanted).operation, wanted
    )
    assert wanted in draw.OPERATION_STRATEGIES


@pytest.mark.parametrize("wanted", get_args(Fact))
def test_every_fact_is_drawn(wanted: type[Fact]) -> None:
    assert isinstance(reached(draw.facts(), lambda fact: type(fact) is wanted), wanted)
    assert wanted in draw.FACT_STRATEGIES


@pytest.mark.parametrize("wanted", [Authorized, ActionRequired, Expired, Revoked])
@pytest.mark.parametrize("late", [False, True])
def test_every_event_is_drawn_on_time_and_late(wanted: type[Fact], late: bool) -> None:  # noqa: FBT001 - a parameter
    connection = reached(draw.new_connections(), lambda _: True)
    now = START + HOUR
    event = reached(
        draw.events(connection, now),
        lambda fact: type(fact) is wanted and (fact.happened_at is not None) is late,
    )
    assert event.happened_at is None or event.happened_at < now


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
    assert attrs.evolve(step.fact, happened_at=None) == Revoked(history.created.id, Actor.APP)
    assert isinstance(step.answer, Done)


def test_an_expiry_shrinks_to_an_authorization_and_its_expiry() -> None:
    history = smallest(draw.histories(), lambda each: each.connection.status is Status.EXPIRED)
    connection_id = history.created.id
    assert [attrs.evolve(step.fact, happened_at=None) for step in history.steps] == [
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
    binding = smallest(draw.bindings(), lambda each: each.generation > 1)
    assert attrs.astuple(binding, recurse=False)[1:] == ("u-2", AccountState.LIMITED, 2)


# --- Registered -----------------------------------------------------------------------------

REGISTERED = """
import attrs
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from curae_lifecycle.binding import LimitedAccountAppBinding
from curae_lifecycle.connection import Actor, Connection, Status
from curae_lifecycle.facts import Fact
from curae_lifecycle.http import Request
from curae_lifecycle.idempotency import Record
from curae_lifecycle.operations import Call, Operation
from curae_lifecycle.ratelimit import BucketState, LogState, Policy
from curae_lifecycle.session import CuraeConnectSession
from curae_lifecycle.testing import strategies
from curae_lifecycle.values import AppUserId, ConnectionId, Coordinate, parse_uuid

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


def test_register_here_names_every_type_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: dict[object, st.SearchStrategy[object]] = {}
    monkeypatch.setattr(st, "register_type_strategy", registered.__setitem__)
    draw.register()
    assert {Connection, Record, Request, History, AppUserId, *get_args(Operation)} <= {*registered}
    for kind, strategy in registered.items():
        drawn = reached(strategy, lambda _: True)
        assert not isinstance(kind, type) or isinstance(drawn, kind)
