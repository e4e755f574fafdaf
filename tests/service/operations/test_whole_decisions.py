"""Whole decisions of each operation, member by member."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import attrs
import pytest

from curae_lifecycle.rules import chain as chains
from curae_lifecycle.rules import idempotency as records
from curae_lifecycle.rules import ratelimit, values
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.idempotency import Fingerprint
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.ratelimit import (
    GRADUATION_LIMIT,
    INITIATE_LIMIT,
    Bucket,
    BucketState,
    Charge,
    ExactLog,
    LogState,
    RateLimited,
)
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.values import ConnectionId, SessionId, UserId
from curae_lifecycle.service import response as responses
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide, fingerprint
from curae_lifecycle.service.effects import AccessEnded, NextActionReplaced, UserProvisioned
from curae_lifecycle.service.operations.account_state import AccountStateShown, GetAccountState
from curae_lifecycle.service.operations.create_connection import ConnectionCreated, CreateConnection
from curae_lifecycle.service.operations.get_connection import ConnectionShown, GetConnection
from curae_lifecycle.service.operations.graduation_handoff import GraduationStarted, StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate, SessionInitiated
from curae_lifecycle.service.operations.operation import (
    NotModified,
    Operation,
    ProblemReply,
    Replayed,
    Reply,
)
from curae_lifecycle.service.operations.reconnect import ConnectionReconnected, Reconnect
from curae_lifecycle.service.operations.revoke import ConnectionRevoked, Revoke
from curae_lifecycle.service.rate_keys import LimitKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import LandedHandoff, Snapshot
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, RateWrite, SessionWrite
from curae_lifecycle.web.respond import format_rate_limit_policy
from tests.service.exact import (
    ACTIVE,
    ARRIVAL,
    BUCKET,
    CHARGED,
    NEW,
    NEXT,
    NOW,
    REVOKED,
    attempt,
    call_with_bucket,
    decide_request,
    event,
    expected_decision,
    with_next_version,
)
from tests.support.server import ID, LIMITED, PACKAGES, USER
from tests.support.strategies import COORDINATE, TICK, apply_trigger, at, pending, uuid

# --- Requests ----------------------------------------------------------------------------------


def test_create_decision_is_201_and_writes_a_pending_connection() -> None:
    operation = CreateConnection(USER, PACKAGES)
    made = pending(NOW, number=2)
    assert decide_request(operation, Snapshot()) == expected_decision(
        ConnectionCreated(made, NEW.next_action),
        status=201,
        changes=Changes(
            (CHARGED, ConnectionWrite(None, made)), (), (event("connection.created", made),)
        ),
        rules=("idempotency.absent", "operation.create-connection"),
        attempt=attempt(operation),
    )


def test_get_decision_is_200_and_writes_only_the_bucket() -> None:
    assert decide_request(
        GetConnection(ID), Snapshot(connection=ACTIVE), keyed=False
    ) == expected_decision(
        ConnectionShown(ACTIVE),
        status=200,
        changes=Changes((CHARGED,)),
        rules=("operation.get-connection",),
    )


def test_get_decision_authorizes_after_a_completed_handoff() -> None:
    landed = LandedHandoff(at(7), at(90))
    healed = attrs.evolve(
        with_next_version(pending()),
        status=Status.ACTIVE,
        updated_at=NOW,
        authorized_at=at(7),
        expires_at=at(90),
    )
    snapshot = Snapshot(connection=pending(), landed_handoff=landed)
    assert decide_request(GetConnection(ID), snapshot, keyed=False) == expected_decision(
        ConnectionShown(healed),
        status=200,
        changes=Changes(
            (CHARGED, ConnectionWrite(pending(), healed)),
            (),
            (event("connection.authorized", healed),),
        ),
        rules=("operation.get-connection", "connection.authorize.pending"),
    )


def test_reconnect_decision_of_a_chain_head_writes_a_successor() -> None:
    operation = Reconnect(ID)
    identity = attrs.evolve(
        REVOKED.identity, id=ConnectionId(uuid(2)), created_at=NOW, predecessor_id=ID, position=2
    )
    made = Connection(
        identity=identity, status=Status.PENDING, updated_at=NOW, handoff_deadline=at(40)
    )
    assert decide_request(operation, Snapshot(connection=REVOKED)) == expected_decision(
        ConnectionReconnected(made, ID, NEW.next_action),
        status=201,
        changes=Changes(
            (
                CHARGED,
                ConnectionWrite(REVOKED, with_next_version(REVOKED)),
                ConnectionWrite(None, made),
            ),
            (),
            (event("connection.created", made),),
        ),
        rules=(
            "idempotency.absent",
            "operation.reconnect",
            "connection.reconnect.revoked",
            "recovery.revoked.none",
        ),
        attempt=attempt(operation),
    )


def test_reconnect_decision_reissues_the_pending_successor() -> None:
    operation = Reconnect(ID)
    again = attrs.evolve(with_next_version(NEXT), updated_at=NOW, handoff_deadline=at(40))
    assert decide_request(
        operation, Snapshot(connection=REVOKED, successor=NEXT, head=NEXT)
    ) == expected_decision(
        ConnectionReconnected(again, ID, NEW.next_action),
        status=201,
        changes=Changes(
            (CHARGED, ConnectionWrite(NEXT, again)),
            (NextActionReplaced(NEXT.id),),
            (event("connection.reissued", again),),
        ),
        rules=(
            "idempotency.absent",
            "operation.reconnect",
            "connection.reconnect.revoked",
            "recovery.revoked.pending",
        ),
        attempt=attempt(operation),
    )


def test_revoke_decision_is_200_and_ends_access() -> None:
    operation = Revoke(ID)
    ended = attrs.evolve(
        with_next_version(ACTIVE),
        status=Status.REVOKED,
        updated_at=NOW,
        revoked_at=NOW,
        revoked_by=Actor.APP,
    )
    assert decide_request(operation, Snapshot(connection=ACTIVE)) == expected_decision(
        ConnectionRevoked(ended, revoked_now=True),
        status=200,
        changes=Changes(
            (CHARGED, ConnectionWrite(ACTIVE, ended)),
            (AccessEnded(ID, NOW),),
            (event("connection.revoked", ended),),
        ),
        rules=(
            "idempotency.absent",
            "operation.revoke",
            "revocation-reach.app",
            "connection.revoke.active",
        ),
        attempt=attempt(operation),
    )


def test_initiate_decision_writes_session_binding_and_rate_limit() -> None:
    operation = Initiate(USER)
    bound = LimitedAccountAppBinding(
        coordinate=COORDINATE, user_id=UserId("limited-2"), state=AccountState.LIMITED, generation=1
    )
    session = CuraeConnectSession(
        id=SessionId(uuid(1002)),
        coordinate=COORDINATE,
        path=EntryPath.SILENT_LIMITED,
        handoff=HandoffState.NOT_REQUIRED,
        created_at=NOW,
        expires_at=at(40),
        landed_at=None,
        user_id=UserId("limited-2"),
    )
    before = LogState.of((at(9),))
    charge = RateWrite(
        key=LimitKey(COORDINATE.app_user, "initiate"),
        policy=INITIATE_LIMIT,
        before=before,
        after=LogState.of((at(9), NOW)),
    )
    assert decide_request(operation, Snapshot(limit=before)) == expected_decision(
        SessionInitiated(session, NEW.next_action),
        status=201,
        changes=Changes(
            (CHARGED, charge, SessionWrite(None, session), BindingWrite(None, bound)),
            (UserProvisioned(UserId("limited-2"), COORDINATE),),
            (event("connect_session.initiated", session), event("binding.provisioned", bound)),
        ),
        rules=(
            "idempotency.absent",
            "operation.initiate",
            "entry-path.unlinked.silent",
            "binding.provision.unlinked",
        ),
        attempt=attempt(operation),
    )


@pytest.mark.parametrize(
    ("held", "reply", "status"),
    [
        (AccountState.LIMITED, NotModified('"account-limited"'), 304),
        (AccountState.ACTIVE, AccountStateShown(AccountState.LIMITED), 200),
    ],
)
def test_account_state_is_304_if_client_has_that_state_else_200(
    held: AccountState, reply: Reply, status: int
) -> None:
    operation = GetAccountState(USER, frozenset({held}))
    expected = expected_decision(
        reply, status=status, changes=Changes((CHARGED,)), rules=("operation.account-state",)
    )
    decision = decide_request(operation, Snapshot(binding=LIMITED), keyed=False)
    assert decision == attrs.evolve(expected, binding=LIMITED)


def test_graduation_decision_is_201_and_charges_app_user_limit() -> None:
    charge = RateWrite(
        key=LimitKey(COORDINATE.app_user, "graduation"),
        policy=GRADUATION_LIMIT,
        before=None,
        after=LogState.of((NOW,)),
    )
    expected = expected_decision(
        GraduationStarted(NEW.next_action),
        status=201,
        changes=Changes((CHARGED, charge)),
        rules=("operation.graduation-handoff", "graduation-handoff.limited"),
    )
    decision = decide_request(StartGraduation(USER), Snapshot(binding=LIMITED), keyed=False)
    assert decision == attrs.evolve(expected, binding=LIMITED)


def test_replay_decision_returns_the_stored_response_unchanged() -> None:
    operation = Revoke(ID)
    kept = Response(200, (), b"{}")
    record = records.completed_record(attempt(operation), kept)
    answer = decide_request(operation, Snapshot(connection=ACTIVE, record=record))
    assert answer == expected_decision(
        Replayed(kept),
        status=200,
        changes=Changes((CHARGED,)),
        rules=("idempotency.completed.same",),
    )


def test_idempotency_key_reused_with_other_values_gets_422() -> None:
    record = records.completed_record(
        attempt(Revoke(ConnectionId(uuid(5)))), Response(200, (), b"{}")
    )
    assert decide_request(
        Revoke(ID), Snapshot(connection=ACTIVE, record=record)
    ) == expected_decision(
        ProblemReply(Problem(ProblemCode.IDEMPOTENCY_KEY_REUSED, ("values",))),
        status=422,
        changes=Changes((CHARGED,)),
        rules=("idempotency.completed.other",),
    )


def test_exhausted_app_user_limit_gets_429_and_writes_nothing() -> None:
    full = LogState.of((at(10) - timedelta(seconds=59, microseconds=1),) * 10)
    assert decide_request(Initiate(USER), Snapshot(limit=full)) == expected_decision(
        ProblemReply(
            Problem(ProblemCode.RATE_LIMITED, ("initiate", 1)),
            RateLimited((full,), INITIATE_LIMIT, 999_999),
        ),
        status=429,
        changes=Changes(),
        rules=("request.limit",),
    )


def test_empty_bucket_gets_429_and_writes_nothing() -> None:
    spent = BucketState(ARRIVAL + 60_000_001)
    answer = decide(
        call_with_bucket(GetConnection(ID), keyed=False), Snapshot(buckets=(spent,)), NOW
    )
    assert answer == expected_decision(
        ProblemReply(
            Problem(ProblemCode.RATE_LIMITED, ("platform", 1)), RateLimited((spent,), BUCKET, 1)
        ),
        status=429,
        changes=Changes(),
        rules=("request.buckets",),
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
def test_fingerprints_equal_those_in_records_already_stored(
    operation: Operation, name: str, text: str
) -> None:
    assert fingerprint(operation) == Fingerprint(name, sha256(text))


def test_fingerprint_hashes_lengths_of_values_with_line_feeds() -> None:
    assert Fingerprint.of("a", ["b\n", "c"]) == Fingerprint("a", "lengths:" + sha256("2:b\n1:c"))
    assert Fingerprint.of("a", ["b", "\nc"]) == Fingerprint("a", "lengths:" + sha256("1:b2:\nc"))


# --- Other exact values ------------------------------------------------------------------------

LOG = ExactLog("log", 1, 1)


def test_lease_of_one_microsecond_is_accepted() -> None:
    begun = attempt(Revoke(ID))
    record = records.in_flight_record(begun, lease=1)
    assert record.lease_until == begun.started_at + TICK


def test_header_named_by_http_connection_header_is_not_stored() -> None:
    headers = (("connection", "x-one,x-two , X-Three"), ("x-two", "2"), ("x-four", "4"))
    assert responses.kept_headers((*headers, ("x-one", "1"), ("X-THREE", "3"))) == (
        ("x-four", "4"),
    )


def test_rate_limit_name_is_quoted_and_escaped_in_its_header() -> None:
    assert (
        format_rate_limit_policy(Bucket(name='a"b\\c', capacity=1, refill=1, seconds=1))
        == r'"a\"b\\c";q=1;w=1'
    )


def test_bucket_admits_exactly_when_its_next_token_is_due() -> None:
    state = BucketState(ARRIVAL + 60_000_001)
    assert ratelimit.admit_one(BUCKET, state, NOW) == 1
    assert ratelimit.admit((Charge(BUCKET, state),), NOW) == RateLimited((state,), BUCKET, 1)
    assert ratelimit.admit_one(BUCKET, state, NOW + TICK) == BucketState(ARRIVAL + 120_000_001)


def test_remaining_rate_limit_count_is_between_0_and_the_limit() -> None:
    assert ratelimit.count_remaining(BUCKET, BucketState(ARRIVAL + 400_000_000), NOW) == 0
    assert ratelimit.count_remaining(LOG, BucketState(ARRIVAL), NOW) == 1
    assert ratelimit.count_remaining(BUCKET, LogState.of((NOW,)), NOW) == 2
    assert (
        ratelimit.count_remaining(
            Bucket(name="b", capacity=1, refill=1, seconds=1), BucketState(0), NOW
        )
        == 1
    )


def test_rate_limit_state_expires_at_full_bucket_or_window_end() -> None:
    assert CHARGED.expires_at == at(11)
    key = LimitKey(COORDINATE.app_user, "log")
    assert RateWrite(
        key=key, policy=LOG, before=None, after=LogState.of((NOW,))
    ).expires_at == NOW + timedelta(seconds=1)
    assert (
        RateWrite(key=key, policy=LOG, before=None, after=LogState()).expires_at
        == values.LAST_INSTANT
    )


def test_upper_case_uuid_is_parsed_to_lower_case() -> None:
    text = "D8C60791-7301-441C-98E8-5BEA9A162D9B"
    assert values.parse_uuid("id", text) == text.lower()


def test_single_data_package_is_accepted() -> None:
    assert values.parse_data_packages(["labs"]) == ("labs",)


def test_superseded_reconnect_names_connection_and_successor() -> None:
    later = apply_trigger(NEXT, "authorize", at(5))
    answer = chains.reconnect(
        REVOKED, later, NOW, id=ConnectionId(uuid(9)), next_action=NEW.next_action, era=None
    )
    assert answer == Refused(
        Problem(ProblemCode.CONNECTION_SUPERSEDED, (ID, NEXT.id, NEXT.id)),
        ("connection.reconnect.revoked", "recovery.revoked.other"),
    )
