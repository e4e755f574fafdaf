"""Section 6: one request, decided purely, in one order."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime
from itertools import combinations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import Attempt as BegunAttempt
from curae_lifecycle.rules.idempotency import (
    Fingerprint,
    IdempotencyKey,
    Record,
    RecordKey,
    begin,
    completed_record,
    in_flight_record,
)
from curae_lifecycle.rules.ratelimit import FULL_BUCKET, Admitted, Bucket, Charge, LogState, admit
from curae_lifecycle.rules.values import AppId, AppUserId, ConnectionId, Environment, UserId
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import (
    AccessEnded,
    BindingWrite,
    BucketKey,
    Changes,
    ConnectionWrite,
    Effect,
    HandoffCancelled,
    LimitKey,
    NextActionReplaced,
    SessionWrite,
    SuccessorsLive,
    UserProvisioned,
    Write,
)
from curae_lifecycle.service.decide import decide, fingerprint, needs
from curae_lifecycle.service.gates import ORDER
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import ConnectionCreated, CreateConnection
from curae_lifecycle.service.operations.get_connection import ConnectionShown, GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate, SessionInitiated
from curae_lifecycle.service.operations.operation import Operation, ProblemReply, Replayed
from curae_lifecycle.service.operations.reconnect import ConnectionReconnected, Reconnect
from curae_lifecycle.service.operations.registry import OPERATION_TABLE
from curae_lifecycle.service.operations.revoke import ConnectionRevoked, Revoke
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import LandedHandoff, Needs, Snapshot
from curae_lifecycle.testing import laws
from curae_lifecycle.web.read import read
from curae_lifecycle.web.respond import Answer, respond
from tests.server import (
    CALLER,
    ID,
    LIMITED,
    PACKAGES,
    STRANGERS,
    USER,
    call,
    code,
    decisions,
    new_ids,
    request,
    successor,
    written,
)
from tests.server import OPERATION_TABLE as NAMES
from tests.strategies import (
    COORDINATE,
    START,
    TICK,
    apply_event,
    at,
    connections,
    instants,
    next_action,
    pending,
    uuid,
)

KEY = IdempotencyKey("k-1")
BUCKET = Bucket("platform", 1, 1, 60)
FRESH = new_ids(2)


def event_names(decision: Decision) -> list[str]:
    return [event.kind for event in decision.changes.events]


def other_record() -> Record:
    """The record of another request under the same key."""
    attempt = begin(None, RecordKey(CALLER.api_key_id, KEY), Fingerprint.of("other"), START)
    assert isinstance(attempt, BegunAttempt)
    return completed_record(attempt, Response(200, (), b"{}"))


def spent_bucket() -> Admitted:
    spent = admit((Charge(BUCKET, FULL_BUCKET),), START)
    assert isinstance(spent, Admitted)
    return spent


# --- The order of the gates ----------------------------------------------------------------

APPLIES = {
    "create": "credentials route environment scope body key buckets idempotency",
    "get": "credentials route environment body buckets ownership",
    "reconnect": "credentials route environment scope body key buckets idempotency ownership rule",
    "revoke": "credentials route environment scope body key buckets idempotency ownership",
    "initiate": "credentials route environment scope body key buckets idempotency limit",
    "account-state": "credentials route environment body buckets",
    "graduation": "credentials route environment scope body key buckets limit rule",
}
"""Which gates an operation has, in the order of section 6."""

ANSWERED = {
    "credentials": ("UNAUTHENTICATED", 401),
    "route": ("NOT_FOUND", 404),
    "environment": ("WRONG_ENVIRONMENT", 403),
    "scope": ("SCOPE_INSUFFICIENT", 403),
    "body": ("BAD_REQUEST", 400),
    "key": ("IDEMPOTENCY_KEY_REQUIRED", 400),
    "key of graduation": ("IDEMPOTENCY_KEY_NOT_ALLOWED", 400),
    "buckets": ("RATE_LIMITED", 429),
    "idempotency": ("IDEMPOTENCY_KEY_REUSED", 422),
    "limit": ("RATE_LIMITED", 429),
    "ownership": ("NOT_FOUND", 404),
    "rule of reconnect": ("CONNECTION_NOT_RECONNECTABLE", 409),
    "rule of graduation": ("BINDING_NOT_LIMITED", 409),
}

WRITTEN = {
    "idempotency": ["platform"],
    "ownership of get": ["platform"],
    "ownership": ["platform", "record"],
    "rule of reconnect": ["platform", "record"],
    "rule of graduation": ["platform", "graduation"],
}
"""What a refusal stores; nothing at every gate that is not named."""

SUCCESS = {
    "create": (201, ["platform", "connection", "record"]),
    "get": (200, ["platform"]),
    "reconnect": (201, ["platform", "connection", "connection", "record"]),
    "revoke": (200, ["platform", "connection", "record"]),
    "initiate": (201, ["platform", "initiate", "session", "binding", "record"]),
    "account-state": (200, ["platform"]),
    "graduation": (201, ["platform", "graduation"]),
}


def ask(operation: str, failing: frozenset[str]) -> Answer:
    """Answer a request that fails at these gates and at no other."""
    caller = attrs.evolve(CALLER, scopes=frozenset()) if "scope" in failing else CALLER
    served = Environment.TEST if "environment" in failing else None
    settings = Settings(served, (BUCKET,))
    asked = request(operation, key=None if "key" in failing else KEY)
    if operation == "graduation" and "key" in failing:
        asked = attrs.evolve(asked, headers=(*asked.headers, ("Idempotency-Key", KEY)))
    if "body" in failing:
        target = {"get": asked.target[:-1], "account-state": asked.target.partition("?")[0]}
        asked = attrs.evolve(asked, target=target.get(operation, asked.target), body=b'{"nope":1}')
    if "route" in failing:
        asked = attrs.evolve(asked, method="PATCH")
    reading = read(asked, None if "credentials" in failing else caller, START, settings)
    if isinstance(reading, Decision):
        return respond(reading, settings)
    connection = pending() if "rule" in failing else apply_event(pending(), "PATIENT", START)
    if "ownership" in failing:
        identity = attrs.evolve(connection.identity, coordinate=STRANGERS[0].coordinate(USER))
        connection = attrs.evolve(connection, identity=identity)
    if operation == "revoke" and "ownership" not in failing:
        connection = pending()
    snapshot = Snapshot(
        other_record() if "idempotency" in failing else None,
        spent_bucket().states if "buckets" in failing else (None,),
        LogState((START,) * 10) if "limit" in failing else None,
        connection,
        binding=LIMITED if operation == "graduation" and "rule" not in failing else None,
    )
    return respond(decide(reading, snapshot, START, FRESH, settings), settings)


def _failures() -> list[tuple[str, tuple[str, ...]]]:
    return [
        (operation, failing)
        for operation, gates in APPLIES.items()
        for size in (1, 2)
        for failing in combinations(gates.split(), size)
    ]


@pytest.mark.parametrize(("operation", "failing"), _failures(), ids=str)
def test_a_request_that_fails_at_two_gates_is_answered_by_the_earlier(
    operation: str, failing: tuple[str, ...]
) -> None:
    first = next(gate for gate in APPLIES[operation].split() if gate in failing)
    exact = f"{first} of {operation}"
    answer = ask(operation, frozenset(failing))
    expected = ANSWERED.get(exact) or ANSWERED[first]
    assert (code(answer), answer.response.status) == expected
    assert written(answer.changes.writes) == WRITTEN.get(exact, WRITTEN.get(first, []))
    assert (answer.changes.effects, answer.changes.events) == ((), ())


@pytest.mark.parametrize("operation", NAMES)
def test_a_request_that_fails_nowhere_is_answered_by_its_rule(operation: str) -> None:
    answer = ask(operation, frozenset())
    assert (answer.response.status, written(answer.changes.writes)) == SUCCESS[operation]


def test_a_request_that_fails_everywhere_is_told_only_that_it_has_no_credentials() -> None:
    for operation, gates in APPLIES.items():
        assert code(ask(operation, frozenset(gates.split()))) == "UNAUTHENTICATED"


def test_a_bucket_that_refuses_is_named_and_the_app_user_s_limit_is_not() -> None:
    answer = ask("initiate", frozenset({"buckets", "limit"}))
    assert answer.rules == ("request.buckets",)
    assert dict(answer.response.headers)["ratelimit"] == '"platform";r=0;t=60'
    answer = ask("initiate", frozenset({"limit"}))
    assert answer.rules == ("request.limit",)
    assert dict(answer.response.headers)["ratelimit"] == '"initiate";r=0;t=60'


# --- What is loaded --------------------------------------------------------------------------

NEEDED: list[tuple[Operation, bool, str, bool, bool]] = [
    (CreateConnection(USER, PACKAGES), True, "", False, False),
    (GetConnection(ID), False, "", True, False),
    (Reconnect(ID), True, "", True, False),
    (Revoke(ID), True, "", True, False),
    (Initiate(USER), True, "initiate", False, True),
    (GetAccountState(USER), False, "", False, True),
    (StartGraduation(USER), False, "graduation", False, True),
]


@pytest.mark.parametrize(("operation", "record", "limit", "connection", "binding"), NEEDED)
def test_what_each_operation_needs_loaded(
    operation: Operation, limit: str, *, record: bool, connection: bool, binding: bool
) -> None:
    assert needs(call(operation, "k-1" if record else None), Settings(buckets=(BUCKET,))) == Needs(
        RecordKey(CALLER.api_key_id, KEY) if record else None,
        (BucketKey(CALLER.api_key_id, "platform"),),
        LimitKey(COORDINATE.app_user, limit) if limit else None,
        ID if connection else None,
        COORDINATE if binding else None,
    )


def test_the_seven_operations_have_names_of_their_own() -> None:
    assert [operation_name(operation) for operation, *_ in NEEDED] == [
        "create-connection",
        "get-connection",
        "reconnect",
        "revoke",
        "initiate",
        "account-state",
        "graduation-handoff",
    ]


# --- What each operation decides -----------------------------------------------------------


def test_create_mints_a_pending_connection() -> None:
    decision = decide(call(CreateConnection(USER, PACKAGES)), Snapshot(), START, FRESH)
    made = pending(number=2)
    assert decision.reply == ConnectionCreated(made, FRESH.next_action)
    assert decision.changes.writes == (ConnectionWrite(None, made),)
    assert event_names(decision) == ["connection.created"]
    assert decision.status == 201


def decide_reconnect(connection: Connection, *following: Connection) -> Decision:
    snapshot = Snapshot(connection=connection, following=following)
    return decide(call(Reconnect(ID)), snapshot, at(31), new_ids(3, at(31)))


def test_reconnect_mints_a_successor_and_leaves_the_predecessor_alone() -> None:
    revoked = apply_event(pending(), "PATIENT", START)
    decision = decide_reconnect(revoked)
    reply = decision.reply
    assert isinstance(reply, ConnectionReconnected)
    made = reply.connection
    assert (made.status, made.updated_at, made.handoff_deadline) == (Status.PENDING, at(31), at(61))
    assert made.identity == attrs.evolve(
        revoked.identity, id=ConnectionId(uuid(3)), created_at=at(31), predecessor_id=ID
    )
    assert reply.previous_connection_id == ID
    relied_on = ConnectionWrite(revoked, revoked, is_head=True)
    assert decision.changes.writes == (relied_on, ConnectionWrite(None, made))
    assert (decision.changes.effects, event_names(decision)) == ((), ["connection.created"])


def test_reconnect_reissues_the_successor_that_still_waits() -> None:
    waiting = successor(at(10))
    decision = decide_reconnect(apply_event(pending(), "APP", START), waiting)
    moved = attrs.evolve(waiting, updated_at=at(31), handoff_deadline=at(61))
    reply = ConnectionReconnected(moved, ID, next_action(at(31)))
    assert decision.reply == reply
    assert decision.changes.writes == (ConnectionWrite(waiting, moved),)
    assert decision.changes.effects == (NextActionReplaced(waiting.id),)
    assert event_names(decision) == ["connection.reissued"]


def test_reconnect_refuses_where_the_chain_went_on() -> None:
    decision = decide_reconnect(apply_event(pending(), "APP", START), successor())
    assert isinstance(decision.reply, ProblemReply)
    assert decision.reply.problem.details == {"connectionId": ID, "nextConnectionId": uuid(2)}
    assert decision.changes.writes == ()


REVOKED: list[tuple[list[str], str, tuple[Effect, ...], bool]] = [
    (["authorize"], "none", (AccessEnded(ID, at(40)),), True),
    (["require action"], "none", (AccessEnded(ID, at(40)),), True),
    ([], "none", (HandoffCancelled(ID),), True),
    (["PATIENT"], "none", (), False),
    (["PATIENT"], "live", (), False),
    (["authorize"], "live", (AccessEnded(ID, at(40)), SuccessorsLive(ID, (successor().id,))), True),
    (["authorize"], "dead", (AccessEnded(ID, at(40)),), True),
]


def test_revoke_ends_one_connection_and_says_what_goes_on() -> None:
    following = {"none": (), "live": (successor(at(20)),), "dead": (successor(),)}
    for past, chain, effects, now_revoked in REVOKED:
        connection = pending()
        for event in past:
            connection = apply_event(connection, event, START)
        decision = decide(
            call(Revoke(ID)),
            Snapshot(connection=connection, following=following[chain]),
            at(40),
        )
        reply = decision.reply
        assert isinstance(reply, ConnectionRevoked)
        assert reply.revoked_now is now_revoked
        assert reply.connection.status is Status.REVOKED
        assert decision.status == 200
        assert decision.changes.effects == effects
        if now_revoked:
            assert decision.changes.writes == (ConnectionWrite(connection, reply.connection),)
            assert event_names(decision) == ["connection.revoked"]
        else:
            assert reply.connection is connection
            assert (decision.changes.writes, event_names(decision)) == ((), [])


HEALED: list[tuple[str, LandedHandoff | None, bool, tuple[str, ...]]] = [
    ("waiting", None, False, ()),
    ("waiting", LandedHandoff(at(29), None), True, ("connection.authorize.pending",)),
    ("waiting", LandedHandoff(at(30), None), False, ("connection.authorize.lapsed",)),
    ("active", LandedHandoff(at(29), None), False, ("connection.authorize.active",)),
    ("recovered", LandedHandoff(at(29), None), False, ("authorization.successor-pending",)),
]


@pytest.mark.parametrize(("stored", "landed", "heals", "rules"), HEALED)
def test_get_heals_a_pending_connection_whose_hand_off_has_landed(
    stored: str, landed: LandedHandoff | None, rules: tuple[str, ...], *, heals: bool
) -> None:
    connection = pending()
    if stored == "active":
        connection = apply_event(connection, "authorize for ever", at(5))
    following = (successor(at(35)),) if stored == "recovered" else ()
    snapshot = Snapshot(connection=connection, following=following, landed=landed)
    decision = decide(call(GetConnection(ID), None), snapshot, at(40))
    assert isinstance(decision.reply, ConnectionShown)
    shown = decision.reply.connection
    assert decision.rules == ("operation.get-connection", *rules)
    if heals:
        assert (shown.status, shown.authorized_at) == (Status.ACTIVE, at(29))
        assert decision.changes.writes == (ConnectionWrite(connection, shown, is_head=True),)
        assert event_names(decision) == ["connection.authorized"]
    else:
        assert shown is connection
        assert (decision.changes.writes, event_names(decision)) == ((), [])


def test_a_clock_behind_the_one_that_created_a_connection_revokes_it_all_the_same() -> None:
    connection = pending(at(10))
    decision = decide(call(Revoke(ID)), Snapshot(connection=connection), at(9))
    assert isinstance(decision.reply, ConnectionRevoked)
    assert decision.reply.connection.revoked_at == at(10)


def test_a_hand_off_that_landed_by_a_clock_ahead_of_ours_heals_at_its_own_instant() -> None:
    landed = LandedHandoff(at(21), None)
    decision = decide(
        call(GetConnection(ID), None), Snapshot(connection=pending(), landed=landed), at(20)
    )
    assert isinstance(decision.reply, ConnectionShown)
    healed = decision.reply.connection
    assert (healed.authorized_at, healed.updated_at) == (at(21), at(21))
    naive = LandedHandoff(at(21).replace(tzinfo=None), None)
    with pytest.raises(ArgumentError):
        decide(call(GetConnection(ID), None), Snapshot(connection=pending(), landed=naive), at(20))


INITIATED = [
    (AccountState.ACTIVE, True, "EXISTING_ACTIVE_HANDOFF", "LANDED", "u-1", None),
    (AccountState.ACTIVE, False, "EXISTING_ACTIVE_HANDOFF", "LANDED", "u-1", None),
    (None, True, "NEW_ACTIVE_SIGNUP_HANDOFF", "AWAITED", None, None),
    (None, False, "SILENT_LIMITED", "NOT_REQUIRED", "limited-2", 1),
    (AccountState.LIMITED, True, "SILENT_LIMITED", "NOT_REQUIRED", "u-1", None),
    (AccountState.LIMITED, False, "SILENT_LIMITED", "NOT_REQUIRED", "u-1", None),
    (AccountState.TOMBSTONED, True, "SILENT_LIMITED", "NOT_REQUIRED", "limited-2", 2),
    (AccountState.TOMBSTONED, False, "SILENT_LIMITED", "NOT_REQUIRED", "limited-2", 2),
]


@pytest.mark.parametrize(("state", "prefer", "path", "handoff", "user", "generation"), INITIATED)
def test_initiate_mints_a_session_and_binds_whom_it_provisions(
    state: AccountState | None,
    path: str,
    handoff: str,
    user: str | None,
    generation: int | None,
    *,
    prefer: bool,
) -> None:
    binding = None if state is None else attrs.evolve(LIMITED, state=state)
    decision = decide(call(Initiate(USER, prefer)), Snapshot(binding=binding), START, FRESH)
    reply = decision.reply
    assert isinstance(reply, SessionInitiated)
    session = reply.session
    assert (session.path, session.handoff, session.user_id) == (path, handoff, user)
    assert (session.created_at, session.expires_at) == (START, at(30))
    assert session.landed_at == (START if handoff == "LANDED" else None)
    writes: tuple[Write, ...] = (SessionWrite(None, session),)
    effects: tuple[Effect, ...] = ()
    events = ["connect_session.initiated"]
    if generation is not None and user is not None:
        provisioned = LimitedAccountAppBinding(
            COORDINATE, UserId(user), AccountState.LIMITED, generation
        )
        writes = (*writes, BindingWrite(binding, provisioned))
        effects = (UserProvisioned(UserId(user), COORDINATE),)
        events.append("binding.provisioned")
    assert decision.changes.writes[1:] == writes, "after the charge of the app user's limit"
    assert decision.changes.effects == effects
    assert event_names(decision) == events


# --- The key's record ----------------------------------------------------------------------


def test_an_attempt_in_flight_is_waited_for_and_charges_the_bucket_alone() -> None:
    asked = call(Initiate(USER))
    key = RecordKey(CALLER.api_key_id, KEY)
    attempt = begin(None, key, fingerprint(asked.operation), START)
    assert isinstance(attempt, BegunAttempt)
    running = in_flight_record(attempt, lease=60_000_000)
    snapshot = Snapshot(record=running, buckets=(None,))
    decision = decide(asked, snapshot, START + TICK, FRESH, Settings(buckets=(BUCKET,)))
    assert isinstance(decision.reply, ProblemReply)
    assert decision.reply.problem.details == {"retryAfter": 60}
    assert written(decision.changes.writes) == ["platform"]
    assert (decision.status, decision.attempt, decision.record) == (409, None, None)


def test_the_next_attempt_replaces_the_record_that_was_loaded() -> None:
    old = other_record()
    asked = call(CreateConnection(USER, PACKAGES))
    later = at(24 * 60)
    answer = respond(decide(asked, Snapshot(record=old), later, new_ids(2, later)))
    write = answer.changes.writes[-1]
    assert written((write,)) == ["record"]
    assert write.before is old
    assert isinstance(write.after, Record)
    assert (write.after.token, write.after.first_used_at) == (2, later)


different = st.sampled_from(
    [
        CreateConnection(USER, PACKAGES),
        CreateConnection(USER, PACKAGES[:1]),
        CreateConnection(AppUserId("user-2"), PACKAGES),
        Initiate(USER),
        Initiate(USER, prefer_signup=True),
        GetConnection(ID),
        Reconnect(ID),
        Revoke(ID),
        Revoke(ConnectionId(uuid(2))),
        GetAccountState(USER),
        StartGraduation(USER),
    ]
)


@given(different, different)
def test_two_fingerprints_are_equal_just_where_the_operations_are(
    one: Operation, other: Operation
) -> None:
    assert (fingerprint(one) == fingerprint(other)) is (one == other)


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_fingerprint_tells_its_values_apart(one: str, other: str) -> None:
    assert Fingerprint.of("x", one, other) != Fingerprint.of("x", one + other)
    assert Fingerprint.of("x", one, other) != Fingerprint.of("x", one, other, "")


# --- A programmer's mistake ------------------------------------------------------------------


def test_a_mutation_without_fresh_ids_is_a_mistake() -> None:
    for operation in (CreateConnection(USER, PACKAGES), Initiate(USER), Reconnect(ID)):
        with pytest.raises(ArgumentError, match="new_ids"):
            decide(call(operation), Snapshot(connection=pending()), START)
    with pytest.raises(ArgumentError, match="new_ids"):
        decide(call(StartGraduation(USER), None), Snapshot(binding=LIMITED), START)


def test_a_snapshot_of_something_else_is_a_mistake() -> None:
    with pytest.raises(ArgumentError, match=r"snapshot\.connection"):
        decide(call(Revoke(ID)), Snapshot(connection=pending(number=2)), START)
    stranger = pending(number=3)
    with pytest.raises(ArgumentError, match=r"snapshot\.following"):
        decide(call(Revoke(ID)), Snapshot(connection=pending(), following=(stranger,)), START)
    elsewhere = attrs.evolve(LIMITED, coordinate=attrs.evolve(COORDINATE, app_id=AppId("app-2")))
    with pytest.raises(ArgumentError, match="binding"):
        decide(call(Initiate(USER)), Snapshot(binding=elsewhere), START, new_ids())
    with pytest.raises(ArgumentError, match=r"snapshot\.buckets"):
        decide(call(Revoke(ID)), Snapshot(), START, None, Settings(buckets=(BUCKET,)))


@pytest.mark.parametrize("operation", [row[0] for row in NEEDED])
def test_a_naive_instant_is_a_mistake_whatever_is_asked(operation: Operation) -> None:
    naive = START.replace(tzinfo=None)
    snapshot = Snapshot(connection=pending(), binding=LIMITED)
    with pytest.raises(ArgumentError, match="now"):
        decide(call(operation, None), snapshot, naive, new_ids(2))


def test_settings_that_could_not_work_are_mistakes() -> None:
    with pytest.raises(ArgumentError, match="buckets"):
        Settings(buckets=(BUCKET, attrs.evolve(BUCKET, capacity=2)))
    with pytest.raises(ValueError, match="active_spelling"):
        Settings(active_spelling="authorized")


def test_every_verdict_of_the_order_and_of_the_operations_reads_well() -> None:
    assert str(ORDER.rows[0].outcome) == "refuse UNAUTHENTICATED"
    assert str(ORDER.rows[2].outcome) == "see permission"
    assert [str(row.outcome) for row in OPERATION_TABLE.rows][4:6] == [
        "POST /api/sdk/v1/curae-connect/initiate → 201; connection:write, key needed, 10 a minute",
        "GET /api/sdk/v1/curae-connect/account-state → 200; no scope, key not looked at, no limit",
    ]


# --- Laws -------------------------------------------------------------------------------------


def afterwards(stored: tuple[object, ...], changes: Changes) -> tuple[object, ...]:
    """What is stored once the writes are."""
    after = {id(write.before): write.after for write in changes.writes if write.before is not None}
    return tuple(after.get(id(each), each) for each in stored)


@given(decisions())
def test_law_11_what_is_refused_or_ignored_changes_nothing_and_emits_nothing(
    case: tuple[Call, Snapshot, datetime],
) -> None:
    asked, snapshot, now = case
    decision = decide(asked, snapshot, now, new_ids(9, now))
    match decision.reply:
        case ProblemReply():
            quiet = True
        case ConnectionRevoked(connection):
            quiet = connection is snapshot.connection
        case ConnectionShown(connection):
            quiet = connection is snapshot.connection
        case reply:
            quiet = isinstance(reply, Replayed)
    stored = (snapshot.connection, *snapshot.following, snapshot.limit, snapshot.binding)
    for write in decision.changes.writes:
        known = (None, *stored)
        assert any(write.before is each for each in known), "a write says what was there before"
    if quiet:
        kept = (snapshot.connection, *snapshot.following, snapshot.binding)
        laws.check_nothing_changed(kept, afterwards(kept, decision.changes), decision.changes)
        # A record is not even asked for here: `respond` writes it, once there is a response.
        assert set(written(decision.changes.writes)) <= {"initiate", "graduation"}


@given(decisions())
def test_law_14_the_same_inputs_give_the_same_outputs_and_stay_as_they_were(
    case: tuple[Call, Snapshot, datetime],
) -> None:
    asked, snapshot, now = case
    ids = new_ids(9, now)
    before = deepcopy((asked, snapshot, now, ids))
    decision = laws.check_deterministic(decide, asked, snapshot, now, ids)
    laws.check_deterministic(respond, decision)
    assert (asked, snapshot, now, ids) == before


@given(connections(), instants)
def test_law_15_another_tenant_s_connection_is_decided_like_an_unknown_one(
    connection: Connection, now: datetime
) -> None:
    for caller in STRANGERS:
        for operation in (GetConnection(ID), Reconnect(ID), Revoke(ID)):
            asked = Call(caller, operation)
            known = decide(asked, Snapshot(connection=connection), now, new_ids(9, now))
            unknown = decide(asked, Snapshot(), now, new_ids(9, now))
            laws.check_indistinguishable(respond(known).response, respond(unknown).response)
            assert known == unknown
