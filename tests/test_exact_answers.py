"""Whole answers, member for member: what other tests look at from one side is spelled out here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules import chain as chains
from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules import idempotency as records
from curae_lifecycle.rules import ratelimit, triggers, values
from curae_lifecycle.rules.binding import (
    AccountState,
    LimitedAccountAppBinding,
    complete_sign_up,
    provision,
)
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import Attempt, Fingerprint, IdempotencyKey, RecordKey
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.ratelimit import (
    GRADUATION_LIMIT,
    INITIATE_LIMIT,
    Bucket,
    BucketState,
    Charge,
    ExactLog,
    Limited,
    LogState,
)
from curae_lifecycle.rules.session import (
    CuraeConnectSession,
    EntryPath,
    Handoff,
    complete_handoff,
    initiate,
)
from curae_lifecycle.rules.tables import Axis, Row, Table, TableError
from curae_lifecycle.rules.values import ConnectionId, Coordinate, SessionId, UserId
from curae_lifecycle.service import response as responses
from curae_lifecycle.service.call import Decision
from curae_lifecycle.service.changes import (
    AccessEnded,
    BindingWrite,
    BucketKey,
    Changes,
    ConnectionWrite,
    Event,
    EventKind,
    HandoffCancelled,
    LimitKey,
    NextActionReplaced,
    RateWrite,
    SessionWrite,
    UserProvisioned,
)
from curae_lifecycle.service.decide import decide, fingerprint
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import FactSnapshot, record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.account_state import AccountStateShown, GetAccountState
from curae_lifecycle.service.operations.create_connection import ConnectionCreated, CreateConnection
from curae_lifecycle.service.operations.get_connection import ConnectionShown, GetConnection
from curae_lifecycle.service.operations.graduation_handoff import GraduationStarted, StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate, SessionInitiated
from curae_lifecycle.service.operations.operation import Operation, ProblemReply, Replayed
from curae_lifecycle.service.operations.reconnect import ConnectionReconnected, Reconnect
from curae_lifecycle.service.operations.revoke import ConnectionRevoked, Revoke
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import LandedHandoff, Snapshot
from curae_lifecycle.web.respond import policy_header
from tests.server import CALLER, ID, LIMITED, PACKAGES, USER, call, new_ids, successor
from tests.strategies import COORDINATE, START, TICK, apply_event, at, next_action, pending, uuid

KEY: Final = RecordKey(CALLER.api_key_id, IdempotencyKey("k-1"))
BUCKET: Final = Bucket("platform", 2, 1, 60)
SETTINGS: Final = Settings(buckets=(BUCKET,))
NOW: Final = at(10)
NEW: Final = new_ids(2, NOW)
# Microseconds since 1970 at `NOW`, and one token later.
ARRIVAL: Final = 1_767_226_200_000_000
CHARGED: Final = RateWrite(
    BucketKey(CALLER.api_key_id, "platform"),
    BUCKET,
    BucketState(ARRIVAL),
    BucketState(ARRIVAL + 60_000_000),
)
ACTIVE: Final = apply_event(pending(), "authorize", at(5))
REVOKED: Final = apply_event(pending(), "PATIENT", START)
NEXT: Final = successor(START)


def asked(operation: Operation, snapshot: Snapshot, *, keyed: bool = True) -> Decision:
    """What a request is answered where one token of two is left."""
    stored = attrs.evolve(snapshot, buckets=(BucketState(ARRIVAL),))
    return decide(call(operation, "k-1" if keyed else None), stored, NOW, NEW, SETTINGS)


def attempt(operation: Operation) -> Attempt:
    return Attempt(KEY, fingerprint(operation), 1, NOW, NOW, ("idempotency.absent",))


def event(kind: str, subject: str | None, now_at: int = 10) -> Event:
    subject_id = None if subject is None else ConnectionId(subject)
    return Event(EventKind(kind), COORDINATE, subject_id, at(now_at))


# --- Requests ----------------------------------------------------------------------------------


def test_a_create_is_answered_exactly() -> None:
    operation = CreateConnection(USER, PACKAGES)
    made = pending(NOW, number=2)
    assert asked(operation, Snapshot()) == Decision(
        ConnectionCreated(made, NEW.next_action),
        201,
        NOW,
        Changes(
            (CHARGED, ConnectionWrite(None, made)), (), (event("connection.created", uuid(2)),)
        ),
        ("idempotency.absent", "operation.create-connection"),
        attempt(operation),
        None,
    )


def test_a_get_is_answered_exactly() -> None:
    assert asked(GetConnection(ID), Snapshot(connection=ACTIVE), keyed=False) == Decision(
        ConnectionShown(ACTIVE), 200, NOW, Changes((CHARGED,)), ("operation.get-connection",)
    )


def test_a_get_that_heals_is_answered_exactly() -> None:
    landed = LandedHandoff(at(7), at(90))
    healed = attrs.evolve(
        pending(), status=Status.ACTIVE, updated_at=NOW, authorized_at=at(7), expires_at=at(90)
    )
    snapshot = Snapshot(connection=pending(), landed=landed)
    assert asked(GetConnection(ID), snapshot, keyed=False) == Decision(
        ConnectionShown(healed),
        200,
        NOW,
        Changes(
            (CHARGED, ConnectionWrite(pending(), healed, is_head=True)),
            (),
            (event("connection.authorized", uuid(1)),),
        ),
        ("operation.get-connection", "connection.authorize.pending"),
    )


def test_a_reconnect_that_mints_is_answered_exactly() -> None:
    operation = Reconnect(ID)
    identity = attrs.evolve(
        REVOKED.identity, id=ConnectionId(uuid(2)), created_at=NOW, predecessor_id=ID
    )
    made = Connection(identity, Status.PENDING, NOW, at(40))
    assert asked(operation, Snapshot(connection=REVOKED)) == Decision(
        ConnectionReconnected(made, ID, NEW.next_action),
        201,
        NOW,
        Changes(
            (
                CHARGED,
                ConnectionWrite(REVOKED, REVOKED, is_head=True),
                ConnectionWrite(None, made),
            ),
            (),
            (event("connection.created", uuid(2)),),
        ),
        (
            "idempotency.absent",
            "operation.reconnect",
            "connection.reconnect.revoked",
            "recovery.revoked.none",
        ),
        attempt(operation),
        None,
    )


def test_a_reconnect_that_reissues_is_answered_exactly() -> None:
    operation = Reconnect(ID)
    again = attrs.evolve(NEXT, updated_at=NOW, handoff_deadline=at(40))
    assert asked(operation, Snapshot(connection=REVOKED, following=(NEXT,))) == Decision(
        ConnectionReconnected(again, ID, NEW.next_action),
        201,
        NOW,
        Changes(
            (CHARGED, ConnectionWrite(NEXT, again)),
            (NextActionReplaced(NEXT.id),),
            (event("connection.reissued", NEXT.id),),
        ),
        (
            "idempotency.absent",
            "operation.reconnect",
            "connection.reconnect.revoked",
            "recovery.revoked.pending",
        ),
        attempt(operation),
        None,
    )


def test_a_revoke_is_answered_exactly() -> None:
    operation = Revoke(ID)
    ended = attrs.evolve(
        ACTIVE, status=Status.REVOKED, updated_at=NOW, revoked_at=NOW, revoked_by=Actor.APP
    )
    assert asked(operation, Snapshot(connection=ACTIVE)) == Decision(
        ConnectionRevoked(ended, revoked_now=True),
        200,
        NOW,
        Changes(
            (CHARGED, ConnectionWrite(ACTIVE, ended)),
            (AccessEnded(ID, NOW),),
            (event("connection.revoked", uuid(1)),),
        ),
        ("idempotency.absent", "operation.revoke", "connection.revoke.active"),
        attempt(operation),
        None,
    )


def test_an_initiate_is_answered_exactly() -> None:
    operation = Initiate(USER)
    bound = LimitedAccountAppBinding(COORDINATE, UserId("limited-2"), AccountState.LIMITED, 1)
    session = CuraeConnectSession(
        SessionId(uuid(1002)),
        COORDINATE,
        EntryPath.SILENT_LIMITED,
        Handoff.NOT_REQUIRED,
        NOW,
        at(40),
        None,
        UserId("limited-2"),
    )
    before = LogState((at(9),))
    charge = RateWrite(
        LimitKey(COORDINATE.app_user, "initiate"), INITIATE_LIMIT, before, LogState((at(9), NOW))
    )
    assert asked(operation, Snapshot(limit=before)) == Decision(
        SessionInitiated(session, NEW.next_action),
        201,
        NOW,
        Changes(
            (CHARGED, charge, SessionWrite(None, session), BindingWrite(None, bound)),
            (UserProvisioned(UserId("limited-2"), COORDINATE),),
            (event("connect_session.initiated", uuid(1002)), event("binding.provisioned", None)),
        ),
        (
            "idempotency.absent",
            "operation.initiate",
            "entry-path.unlinked.silent",
            "binding.provision.unlinked",
        ),
        attempt(operation),
        None,
    )


@pytest.mark.parametrize(("known", "status"), [(True, 304), (False, 200)])
def test_an_account_state_is_answered_exactly(*, known: bool, status: int) -> None:
    states = frozenset({AccountState.LIMITED} if known else {AccountState.ACTIVE})
    answer = asked(GetAccountState(USER, states), Snapshot(binding=LIMITED), keyed=False)
    assert answer == Decision(
        AccountStateShown(AccountState.LIMITED, known),
        status,
        NOW,
        Changes((CHARGED,)),
        ("operation.account-state",),
    )
    assert isinstance(answer.reply, AccountStateShown)
    assert answer.reply.known is known


def test_a_graduation_is_answered_exactly() -> None:
    charge = RateWrite(
        LimitKey(COORDINATE.app_user, "graduation"), GRADUATION_LIMIT, None, LogState((NOW,))
    )
    assert asked(StartGraduation(USER), Snapshot(binding=LIMITED), keyed=False) == Decision(
        GraduationStarted(NEW.next_action),
        201,
        NOW,
        Changes((CHARGED, charge)),
        ("operation.graduation-handoff", "graduation-handoff.limited"),
    )


def test_a_replay_is_answered_exactly() -> None:
    operation = Revoke(ID)
    kept = Response(200, (), b"{}")
    record = records.completed_record(attempt(operation), kept)
    answer = asked(operation, Snapshot(connection=ACTIVE, record=record))
    assert answer == Decision(
        Replayed(kept), 200, NOW, Changes((CHARGED,)), ("idempotency.completed.same",)
    )


def test_a_reused_key_is_answered_exactly() -> None:
    record = records.completed_record(
        attempt(Revoke(ConnectionId(uuid(5)))), Response(200, (), b"{}")
    )
    assert asked(Revoke(ID), Snapshot(connection=ACTIVE, record=record)) == Decision(
        ProblemReply(Problem(ProblemCode.IDEMPOTENCY_KEY_REUSED, ("values",))),
        422,
        NOW,
        Changes((CHARGED,)),
        ("idempotency.completed.other",),
    )


def test_the_app_user_s_limit_refuses_exactly() -> None:
    full = LogState((at(10) - timedelta(seconds=59, microseconds=1),) * 10)
    assert asked(Initiate(USER), Snapshot(limit=full)) == Decision(
        ProblemReply(
            Problem(ProblemCode.RATE_LIMITED, ("initiate", 1)),
            Limited((full,), INITIATE_LIMIT, 999_999),
        ),
        429,
        NOW,
        Changes(),
        ("request.limit",),
    )


def test_a_bucket_refuses_exactly() -> None:
    spent = BucketState(ARRIVAL + 60_000_001)
    answer = decide(call(GetConnection(ID), None), Snapshot(buckets=(spent,)), NOW, None, SETTINGS)
    assert answer == Decision(
        ProblemReply(
            Problem(ProblemCode.RATE_LIMITED, ("platform", 1)), Limited((spent,), BUCKET, 1)
        ),
        429,
        NOW,
        Changes(),
        ("request.buckets",),
    )


# --- Fingerprints ------------------------------------------------------------------------------


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("operation", "name", "text"),
    [
        (CreateConnection(USER, PACKAGES), "create-connection", "user-1\nclinical_summary\nlabs"),
        (GetConnection(ID), "get-connection", uuid(1)),
        (Reconnect(ID), "reconnect", uuid(1)),
        (Revoke(ID), "revoke", uuid(1)),
        (Initiate(USER), "initiate", "user-1\nfalse"),
        (Initiate(USER, prefer_signup=True), "initiate", "user-1\ntrue"),
        (GetAccountState(USER), "account-state", "user-1"),
        (StartGraduation(USER), "graduation-handoff", "user-1"),
    ],
    ids=str,
)
def test_a_fingerprint_stays_what_stored_records_hold(
    operation: Operation, name: str, text: str
) -> None:
    assert fingerprint(operation) == Fingerprint(name, sha256(text))


def test_values_with_line_feeds_are_told_apart_by_their_lengths() -> None:
    assert Fingerprint.of("a", "b\n", "c") == Fingerprint("a", "lengths:" + sha256("2:b\n1:c"))
    assert Fingerprint.of("a", "b", "\nc") == Fingerprint("a", "lengths:" + sha256("1:b2:\nc"))


# --- Facts -------------------------------------------------------------------------------------


def test_an_authorization_is_recorded_exactly() -> None:
    after = attrs.evolve(
        pending(), status=Status.ACTIVE, updated_at=NOW, authorized_at=at(7), expires_at=at(90)
    )
    fact = Authorized(ID, expires_at=at(90), happened_at=at(7))
    assert record_fact(fact, FactSnapshot(connection=pending()), NOW) == Done(
        Changes(
            (ConnectionWrite(pending(), after, is_head=True),),
            (),
            (event("connection.authorized", uuid(1)),),
        ),
        ("connection.authorize.pending",),
    )


def test_a_required_action_is_recorded_exactly() -> None:
    after = attrs.evolve(
        ACTIVE, status=Status.ACTION_REQUIRED, updated_at=NOW, action_required_reason="why"
    )
    fact = ActionRequired(ID, "why", happened_at=at(7))
    assert record_fact(fact, FactSnapshot(connection=ACTIVE), NOW) == Done(
        Changes(
            (ConnectionWrite(ACTIVE, after),),
            (AccessEnded(ID, NOW),),
            (event("connection.action_required", uuid(1)),),
        ),
        ("connection.require-action.active",),
    )


def test_an_expiry_is_recorded_or_ignored_exactly() -> None:
    after = attrs.evolve(ACTIVE, status=Status.EXPIRED, updated_at=NOW)
    assert record_fact(Expired(ID), FactSnapshot(connection=ACTIVE), NOW) == Done(
        Changes(
            (ConnectionWrite(ACTIVE, after),),
            (AccessEnded(ID, NOW),),
            (event("connection.expired", uuid(1)),),
        ),
        ("connection.expire.active",),
    )
    assert record_fact(Expired(ID), FactSnapshot(connection=pending()), NOW) == Ignored(
        Changes(), ("connection.expire.pending",)
    )


def test_a_revocation_is_recorded_or_ignored_exactly() -> None:
    after = attrs.evolve(
        pending(),
        status=Status.REVOKED,
        updated_at=NOW,
        revoked_at=at(7),
        revoked_by=Actor.UPSTREAM,
    )
    fact = Revoked(ID, Actor.UPSTREAM, happened_at=at(7))
    assert record_fact(fact, FactSnapshot(connection=pending()), NOW) == Done(
        Changes(
            (ConnectionWrite(pending(), after),),
            (HandoffCancelled(ID),),
            (event("connection.revoked", uuid(1)),),
        ),
        ("connection.revoke.pending",),
    )
    assert record_fact(fact, FactSnapshot(connection=REVOKED), NOW) == Ignored(
        Changes(), ("connection.revoke.revoked",)
    )


def ended(connection: Connection) -> Connection:
    return attrs.evolve(
        connection,
        status=Status.REVOKED,
        updated_at=NOW,
        revoked_at=NOW,
        revoked_by=Actor.PATIENT,
    )


def test_a_patient_s_revocation_reaches_the_head_of_the_chain_exactly() -> None:
    fact = Revoked(ID, Actor.PATIENT)
    assert record_fact(fact, FactSnapshot(connection=ACTIVE), NOW) == Done(
        Changes(
            (ConnectionWrite(ACTIVE, ended(ACTIVE), is_head=True),),
            (AccessEnded(ID, NOW),),
            (event("connection.revoked", uuid(1)),),
        ),
        ("connection.revoke.active",),
    )
    head = attrs.evolve(
        NEXT, identity=attrs.evolve(NEXT.identity, id=ConnectionId(uuid(3)), predecessor_id=NEXT.id)
    )
    following = (NEXT, head)
    assert record_fact(fact, FactSnapshot(connection=ACTIVE, following=following), NOW) == Done(
        Changes(
            (
                ConnectionWrite(ACTIVE, ended(ACTIVE)),
                ConnectionWrite(NEXT, ended(NEXT)),
                ConnectionWrite(head, ended(head), is_head=True),
            ),
            (AccessEnded(ID, NOW), HandoffCancelled(NEXT.id), HandoffCancelled(head.id)),
            tuple(event("connection.revoked", uuid(number)) for number in (1, 2, 3)),
        ),
        ("connection.revoke.active", "connection.revoke.pending", "connection.revoke.pending"),
    )
    gone = ended(head)
    assert record_fact(fact, FactSnapshot(connection=ACTIVE, following=(NEXT, gone)), NOW) == Done(
        Changes(
            (
                ConnectionWrite(ACTIVE, ended(ACTIVE)),
                ConnectionWrite(NEXT, ended(NEXT)),
                ConnectionWrite(gone, gone, is_head=True),
            ),
            (AccessEnded(ID, NOW), HandoffCancelled(NEXT.id)),
            tuple(event("connection.revoked", uuid(number)) for number in (1, 2)),
        ),
        ("connection.revoke.active", "connection.revoke.pending", "connection.revoke.revoked"),
    )


WAITING: Final = CuraeConnectSession(
    SessionId(uuid(1001)),
    COORDINATE,
    EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF,
    Handoff.AWAITED,
    START,
    at(30),
    None,
    None,
)
LANDED: Final = attrs.evolve(
    WAITING, handoff=Handoff.LANDED, landed_at=at(7), user_id=UserId("u-1")
)
BOUND: Final = LimitedAccountAppBinding(COORDINATE, UserId("u-1"), AccountState.ACTIVE, 1)
COMPLETED: Final = HandoffCompleted(WAITING.id, UserId("u-1"), happened_at=at(7))
SESSION_LANDED: Final = event("connect_session.landed", uuid(1001))


def test_a_hand_off_is_recorded_exactly() -> None:
    assert record_fact(COMPLETED, FactSnapshot(session=WAITING), NOW) == Done(
        Changes(
            (SessionWrite(WAITING, LANDED), BindingWrite(None, BOUND)),
            (),
            (SESSION_LANDED, event("binding.signed_up", None)),
        ),
        ("completion.waiting", "binding.complete-sign-up.unlinked"),
    )
    assert record_fact(COMPLETED, FactSnapshot(session=WAITING, binding=BOUND), NOW) == Done(
        Changes((SessionWrite(WAITING, LANDED),), (), (SESSION_LANDED,)),
        ("completion.waiting", "binding.complete-sign-up.active.same"),
    )
    assert record_fact(COMPLETED, FactSnapshot(session=LANDED, binding=BOUND), NOW) == Ignored(
        Changes(), ("completion.landed.same",)
    )


def test_a_binding_s_facts_are_recorded_exactly() -> None:
    active = attrs.evolve(LIMITED, state=AccountState.ACTIVE)
    buried = attrs.evolve(LIMITED, state=AccountState.TOMBSTONED)
    bound, nobody = FactSnapshot(binding=LIMITED), FactSnapshot()
    assert record_fact(Graduated(COORDINATE), bound, NOW) == Done(
        Changes((BindingWrite(LIMITED, active),), (), (event("binding.graduated", None),)),
        ("binding.graduate.limited.same",),
    )
    assert record_fact(Graduated(COORDINATE), FactSnapshot(binding=active), NOW) == Ignored(
        Changes(), ("binding.graduate.active.same",)
    )
    assert record_fact(Tombstoned(COORDINATE), bound, NOW) == Done(
        Changes((BindingWrite(LIMITED, buried),), (), (event("binding.tombstoned", None),)),
        ("binding.tombstone.limited",),
    )
    assert record_fact(Tombstoned(COORDINATE), nobody, NOW) == Ignored(
        Changes(), ("binding.tombstone.unlinked",)
    )


def test_a_repeated_completion_names_its_rule() -> None:
    answer = complete_handoff(LANDED, BOUND, UserId("u-1"), NOW)
    assert isinstance(answer, Ignored)
    assert answer.rules == ("completion.landed.same",)


# --- Mistakes ----------------------------------------------------------------------------------

ELSEWHERE: Final = Coordinate(
    COORDINATE.environment,
    COORDINATE.app_id,
    COORDINATE.customer_account_id,
    values.AppUserId("user-2"),
)
NAIVE: Final = START.replace(tzinfo=None)
STRANGE: Final = attrs.evolve(LIMITED, coordinate=ELSEWHERE)
BURIED: Final = attrs.evolve(LIMITED, state=AccountState.TOMBSTONED)
ORPHAN: Final = attrs.evolve(NEXT, identity=attrs.evolve(NEXT.identity, predecessor_id=None))
OWN: Final = attempt(Revoke(ID))
RUNNING: Final = records.in_flight_record(OWN)
OTHER_KEY: Final = RecordKey(CALLER.api_key_id, IdempotencyKey("k-2"))
LOG: Final = ExactLog("log", 1, 1)


def minted(binding: LimitedAccountAppBinding, user: str = "u-9") -> object:
    return initiate(
        binding,
        COORDINATE,
        NOW,
        prefer_signup=False,
        id=SessionId(uuid(1)),
        user_id=UserId(user),
        next_action=next_action(NOW),
    )


def got(snapshot: Snapshot, settings: Settings | None = None) -> object:
    chosen = Settings() if settings is None else settings
    return decide(call(GetConnection(ID), None), snapshot, NOW, None, chosen)


MISTAKES: Final[list[tuple[str, Callable[[], object]]]] = [
    ("reason", lambda: values.parse_reason("")),
    ("now", lambda: rules.standing(ACTIVE, NAIVE)),
    ("next_action.expires_at", lambda: rules.check_next_action(next_action(START), at(31))),
    ("expires_at", lambda: triggers.authorize(pending(), NOW, expires_at=NOW)),
    ("happened_at", lambda: triggers.expire(ACTIVE, NOW, happened_at=START - TICK)),
    ("user_id", lambda: provision(BURIED, COORDINATE, LIMITED.user_id)),
    ("binding", lambda: complete_sign_up(STRANGE, COORDINATE, LIMITED.user_id)),
    ("binding", lambda: minted(STRANGE)),
    ("happened_at", lambda: complete_handoff(LANDED, None, UserId("u"), START - TICK)),
    ("Idempotency-Key", lambda: records.parse_key("")),
    ("record", lambda: records.begin(RUNNING, OTHER_KEY, OWN.fingerprint, NOW)),
    ("lease", lambda: records.in_flight_record(OWN, lease=0)),
    ("response", lambda: records.completed_record(OWN, Response(500, (), b""))),
    ("capacity", lambda: Bucket("b", 999_999_999_999_999, 1, 2)),
    ("now", lambda: ratelimit.admit((), NAIVE)),
    ("cost", lambda: ratelimit.admit((), NOW, cost=0)),
    ("now", lambda: ratelimit.admit_one(LOG, LogState(), NAIVE)),
    ("state of 'log'", lambda: ratelimit.admit_one(LOG, BucketState(), NOW)),
    ("state of 'platform'", lambda: ratelimit.admit_one(BUCKET, LogState(), NOW)),
    ("name", lambda: ExactLog("", 1, 1)),
    ("limit", lambda: ExactLog("log", 0, 1)),
    ("api key", lambda: ApiKey("a b")),
    ("api key", lambda: ApiKey("")),
    ("buckets", lambda: Settings(buckets=(BUCKET, BUCKET))),
    ("now", lambda: decide(call(GetConnection(ID), None), Snapshot(), NAIVE)),
    ("binding", lambda: asked(Initiate(USER), Snapshot(binding=STRANGE))),
    ("binding", lambda: asked(GetAccountState(USER), Snapshot(binding=STRANGE), keyed=False)),
    (
        "landed.happened_at",
        lambda: got(Snapshot(connection=ACTIVE, landed=LandedHandoff(NAIVE, None))),
    ),
    ("snapshot.connection", lambda: got(Snapshot(connection=NEXT))),
    ("snapshot.following", lambda: got(Snapshot(connection=REVOKED, following=(ORPHAN,)))),
    ("snapshot.buckets", lambda: got(Snapshot(), SETTINGS)),
    ("new_ids", lambda: decide(call(CreateConnection(USER, PACKAGES)), Snapshot(), NOW)),
]


@pytest.mark.parametrize(("argument", "mistake"), MISTAKES)
def test_a_mistake_names_its_argument_and_says_what_it_may_be(
    argument: str, mistake: Callable[[], object]
) -> None:
    with pytest.raises(ArgumentError) as caught:
        mistake()
    assert caught.value.argument == argument
    assert caught.value.allowed
    assert str(caught.value) == f"{argument}: must be {caught.value.allowed}"


def test_a_cost_that_no_wait_could_admit_says_so() -> None:
    with pytest.raises(ratelimit.CostError) as caught:
        ratelimit.admit((Charge(LOG, LogState()),), NOW, cost=2)
    assert (caught.value.policy, caught.value.cost, caught.value.most) == ("log", 2, 1)
    assert all(fact in str(caught.value) for fact in ("'log'", "2", "1"))


# --- The rest ----------------------------------------------------------------------------------


def test_the_shortest_lease_is_a_microsecond() -> None:
    record = records.in_flight_record(OWN, lease=1)
    assert record.lease_until == OWN.at + TICK


def test_headers_that_the_connection_names_are_dropped_with_and_without_spaces() -> None:
    headers = (("connection", "x-one,x-two , X-Three"), ("x-two", "2"), ("x-four", "4"))
    assert responses.kept_headers((*headers, ("x-one", "1"), ("X-THREE", "3"))) == (
        ("x-four", "4"),
    )


def test_a_policy_s_name_is_quoted_in_its_header() -> None:
    assert policy_header(Bucket('a"b\\c', 1, 1, 1)) == r'"a\"b\\c";q=1;w=1'


def test_a_tick_before_it_is_admitted_a_bucket_says_to_wait_a_tick() -> None:
    state = BucketState(ARRIVAL + 60_000_001)
    assert ratelimit.admit_one(BUCKET, state, NOW) == Limited((state,), BUCKET, 1)
    assert ratelimit.admit((Charge(BUCKET, state),), NOW) == Limited((state,), BUCKET, 1)
    assert ratelimit.admit_one(BUCKET, state, NOW + TICK) == BucketState(ARRIVAL + 120_000_001)


def test_no_bucket_holds_less_than_nothing() -> None:
    assert ratelimit.available(BUCKET, BucketState(ARRIVAL + 10**15), NOW) == 0
    assert ratelimit.available(LOG, BucketState(ARRIVAL), NOW) == 1
    assert ratelimit.available(BUCKET, LogState((NOW,)), NOW) == 2
    assert ratelimit.available(Bucket("b", 1, 1, 1), BucketState(0), NOW) == 1


def test_a_rate_write_may_be_dropped_when_its_state_is_as_good_as_new() -> None:
    assert CHARGED.expires_at == at(11)
    key = LimitKey(COORDINATE.app_user, "log")
    assert RateWrite(key, LOG, None, LogState((NOW,))).expires_at == NOW + timedelta(seconds=1)
    assert RateWrite(key, LOG, None, LogState()).expires_at == values.LAST_INSTANT


def test_an_id_in_upper_case_comes_back_in_lower() -> None:
    text = "D8C60791-7301-441C-98E8-5BEA9A162D9B"
    assert values.parse_uuid("id", text) == text.lower()


def test_one_package_is_a_set_of_packages() -> None:
    assert values.parse_data_packages(["labs"]) == ("labs",)


def test_the_refusal_of_a_superseded_connection_names_both_ids() -> None:
    later = apply_event(NEXT, "authorize", at(5))
    answer = chains.reconnect(
        REVOKED, later, NOW, id=ConnectionId(uuid(9)), next_action=NEW.next_action
    )
    assert answer == Refused(
        Problem(ProblemCode.CONNECTION_SUPERSEDED, (ID, NEXT.id)),
        ("connection.reconnect.revoked", "recovery.revoked.other"),
    )


# --- Tables ------------------------------------------------------------------------------------


class Letter(StrEnum):
    A = "a"
    X = "X"


class Number(StrEnum):
    ONE = "one"


def small(state: str | None = "letter") -> Table[tuple[Letter, Number, Number], Move | str]:
    return Table(
        "small",
        "What it is for: ü.",
        (Axis.of("letter", Letter), Axis.of("number", Number), Axis.of("other", Number)),
        (
            Row("small.a", (Letter.A, Number.ONE, Number.ONE), Move(Letter.X), "Why: ä."),
            Row("small.x", (Letter.X, Number.ONE, Number.ONE), "stays", "Why | not."),
        ),
        state=state,
    )


@attrs.frozen
class Move:
    to: Letter
    how: tuple[int, ...] = (1, 2)
    far: bool = False
    cause: str | None = None


def test_an_axis_holds_its_name_and_every_member() -> None:
    assert Axis.of("letter", Letter) == Axis("letter", (Letter.A, Letter.X))


def test_a_table_prints_a_diagram_whose_labels_are_the_other_axes() -> None:
    assert small().to_mermaid() == "stateDiagram-v2\n    a --> X: one one\n"
    assert small().to_markdown().endswith("\n```mermaid\n" + small().to_mermaid() + "```\n")


def test_a_table_s_json_is_indented_and_keeps_every_letter() -> None:
    text = small().to_json()
    document = json.loads(text)
    key = {"number": "one", "other": "one"}
    assert document == {
        "name": "small",
        "law": "What it is for: ü.",
        "state": "letter",
        "axes": {"letter": ["a", "X"], "number": ["one"], "other": ["one"]},
        "cells": [
            {
                "key": {"letter": "a", **key},
                "rule": "small.a",
                "outcome": {
                    "kind": "Move",
                    "to": "X",
                    "how": ["1", "2"],
                    "far": False,
                    "cause": None,
                },
                "why": "Why: ä.",
            },
            {
                "key": {"letter": "X", **key},
                "rule": "small.x",
                "outcome": {"kind": "str"},
                "why": "Why | not.",
            },
        ],
    }
    assert text == json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    assert "ü" in text


def test_a_table_that_cannot_be_built_names_itself() -> None:
    with pytest.raises(TableError) as caught:
        small("weather")
    assert (caught.value.table, caught.value.cells) == ("small", ("weather",))
    with pytest.raises(TableError) as caught:
        Table("empty", "Law.", (Axis("none", ()),), ())
    assert (caught.value.table, caught.value.cells) == ("empty", ("none",))
    assert str(caught.value) == f"table 'empty': {caught.value.fault}: none"
