"""Decisions of each operation after every gate is passed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.tables import Axis
from curae_lifecycle.rules.values import UserId
from curae_lifecycle.service import changes
from curae_lifecycle.service.call import Decision
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.effects import (
    AccessEnded,
    Effect,
    HandoffCancelled,
    SuccessorsLive,
    UserProvisioned,
)
from curae_lifecycle.service.members import APP_USER_ID, CONNECTION_ID, DATA_PACKAGES, PREFER_SIGNUP
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import ConnectionShown, GetConnection
from curae_lifecycle.service.operations.initiate import Initiate, SessionInitiated
from curae_lifecycle.service.operations.operation import (
    Operation,
    OperationContext,
    ProblemReply,
    Ruling,
)
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.registry import OPERATION_TABLE, OPERATIONS, operation_table
from curae_lifecycle.service.operations.revoke import ConnectionRevoked, Revoke
from curae_lifecycle.service.snapshot import LandedHandoff, Needs, Snapshot
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, SessionWrite, Write
from tests.support.server import ID, LIMITED, PACKAGES, USER, call, new_ids, successor, third
from tests.support.strategies import COORDINATE, START, TICK, apply_trigger, at, pending, uuid


def event_names(decision: Decision) -> list[str]:
    return [event.kind for event in decision.changes.events]


@pytest.mark.parametrize("era", [None, at(-5)])
def test_created_connection_copies_era_of_the_unchanged_binding(era: datetime | None) -> None:
    for state in (AccountState.LIMITED, AccountState.ACTIVE, AccountState.TOMBSTONED):
        binding = attrs.evolve(LIMITED, state=state, era=era)
        snapshot = Snapshot(binding=binding)
        decision = decide(
            call(CreateConnection(USER, PACKAGES)), snapshot=snapshot, now=START, new_ids=new_ids(2)
        )
        made = pending(number=2)
        made = attrs.evolve(made, identity=attrs.evolve(made.identity, era=era))
        assert decision.changes.writes == (ConnectionWrite(None, made),)
        assert event_names(decision) == ["connection.created"], (
            "there is no event about the binding"
        )


def decide_reconnect(
    connection: Connection, recovered: Connection | None = None, head: Connection | None = None
) -> Decision:
    snapshot = Snapshot(connection=connection, successor=recovered, head=head or recovered)
    return decide(call(Reconnect(ID)), snapshot=snapshot, now=at(31), new_ids=new_ids(3, at(31)))


def test_superseded_reconnect_names_successor_and_chain_head() -> None:
    last = third(successor(), at(5))
    for head in (successor(), last):
        decision = decide_reconnect(apply_trigger(pending(), "APP", START), successor(), head)
        assert isinstance(decision.reply, ProblemReply)
        assert decision.reply.problem.details == {
            "connectionId": ID,
            "nextConnectionId": uuid(2),
            "headConnectionId": head.id,
        }
        assert decision.changes.writes == ()


LAST = third(successor(), at(20))
REVOKED: list[tuple[list[str], str, tuple[Effect, ...], bool]] = [
    (["authorize"], "none", (AccessEnded(ID, at(40)),), True),
    (["authorize", "require action"], "none", (AccessEnded(ID, at(40)),), True),
    ([], "none", (HandoffCancelled(ID),), True),
    (["PATIENT"], "none", (), False),
    (["PATIENT"], "live", (), False),
    (
        ["authorize"],
        "live",
        (AccessEnded(ID, at(40)), SuccessorsLive(ID, successor().id)),
        True,
    ),
    (
        ["authorize"],
        "head lives",
        (AccessEnded(ID, at(40)), SuccessorsLive(ID, LAST.id)),
        True,
    ),
    (["PATIENT"], "head lives", (), False),
    (["authorize"], "dead", (AccessEnded(ID, at(40)),), True),
]


def test_revoke_ends_one_connection_and_reports_a_live_successor() -> None:
    live, dead = successor(at(20)), successor()
    lines = {
        "none": (None, None),
        "live": (live, live),
        "dead": (dead, dead),
        "head lives": (dead, LAST),
    }
    for past, chain, effects, now_revoked in REVOKED:
        connection = pending()
        for trigger in past:
            connection = apply_trigger(connection, trigger, START)
        decision = decide(
            call(Revoke(ID)),
            Snapshot(connection=connection, successor=lines[chain][0], head=lines[chain][1]),
            at(40),
        )
        reply = decision.reply
        assert isinstance(reply, ConnectionRevoked)
        assert reply.revoked_now is now_revoked
        assert reply.connection.status is Status.REVOKED
        assert decision.status == 200
        assert decision.changes.effects == effects
        if now_revoked:
            head, written = lines[chain][1], [ConnectionWrite(connection, reply.connection)]
            if head is not None and any(isinstance(e, SuccessorsLive) for e in effects):
                written.append(ConnectionWrite(head, changes.bump_version(head)))
            assert decision.changes.writes == tuple(written)
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
def test_get_authorizes_only_if_handoff_was_completed_in_time(
    stored: str, landed: LandedHandoff | None, rules: tuple[str, ...], *, heals: bool
) -> None:
    connection = pending()
    if stored == "active":
        connection = apply_trigger(connection, "authorize for ever", at(5))
    recovered = successor(at(35)) if stored == "recovered" else None
    snapshot = Snapshot(
        connection=connection, successor=recovered, head=recovered, landed_handoff=landed
    )
    decision = decide(call(GetConnection(ID), None), snapshot, at(40))
    assert isinstance(decision.reply, ConnectionShown)
    shown = decision.reply.connection
    assert decision.rules == ("operation.get-connection", *rules)
    if heals:
        assert (shown.status, shown.authorized_at) == (Status.ACTIVE, at(29))
        assert decision.changes.writes == (ConnectionWrite(connection, shown),)
        assert event_names(decision) == ["connection.authorized"]
    else:
        assert shown is connection
        assert (decision.changes.writes, event_names(decision)) == ((), [])


def test_revoke_with_now_before_created_at_uses_created_at() -> None:
    connection = pending(at(10))
    decision = decide(call(Revoke(ID)), Snapshot(connection=connection), at(9))
    assert isinstance(decision.reply, ConnectionRevoked)
    assert decision.reply.connection.revoked_at == at(10)


def healed_at(happened_at: datetime, now: datetime) -> Connection:
    """Return the connection that a get shows after its hand-off landed."""
    landed = LandedHandoff(happened_at, None)
    decision = decide(
        call(GetConnection(ID), None), Snapshot(connection=pending(), landed_handoff=landed), now
    )
    assert isinstance(decision.reply, ConnectionShown)
    return decision.reply.connection


def test_get_sets_authorized_at_to_now_for_a_near_future_handoff() -> None:
    for ahead in (TICK, timedelta(minutes=5)):
        healed = healed_at(at(20) + ahead, at(20))
        assert (healed.authorized_at, healed.updated_at) == (at(20), at(20))
    healed = healed_at(START - TICK, START)
    assert (healed.authorized_at, healed.updated_at) == (START, START)
    for mistaken in (at(25) + TICK, at(21).replace(tzinfo=None)):
        with pytest.raises(ArgumentError):
            healed_at(mistaken, at(20))


def test_get_with_a_slow_clock_sets_authorized_at_to_created_at() -> None:
    healed = healed_at(at(-3), at(-5))
    assert (healed.authorized_at, healed.updated_at) == (START, START)


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
def test_initiate_creates_a_session_and_binds_a_user_if_needed(
    state: AccountState | None,
    path: str,
    handoff: str,
    user: str | None,
    generation: int | None,
    *,
    prefer: bool,
) -> None:
    binding = None if state is None else attrs.evolve(LIMITED, state=state, version=7)
    decision = decide(
        call(Initiate(USER, prefer)),
        snapshot=Snapshot(binding=binding),
        now=START,
        new_ids=new_ids(2),
    )
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
            coordinate=COORDINATE,
            user_id=UserId(user),
            state=AccountState.LIMITED,
            generation=generation,
            version=8 if binding else 1,
        )
        writes = (*writes, BindingWrite(binding, provisioned))
        effects = (UserProvisioned(UserId(user), COORDINATE),)
        events.append("binding.provisioned")
    if handoff == "LANDED" and binding is not None:
        writes = (*writes, BindingWrite(binding, attrs.evolve(binding, version=8)))
    assert decision.changes.writes[1:] == writes, "after the charge of the app user's limit"
    assert decision.changes.effects == effects
    assert event_names(decision) == events


# --- All operations --------------------------------------------------------------------------


def test_seven_operations_are_listed_in_the_order_of_the_rules() -> None:
    assert [operation.rule.name for operation in OPERATIONS] == [
        "create-connection",
        "get-connection",
        "reconnect",
        "revoke",
        "initiate",
        "account-state",
        "graduation-handoff",
    ]


def test_operation_members_are_ids_then_query_then_body() -> None:
    body = (PREFER_SIGNUP, DATA_PACKAGES)
    rule = attrs.evolve(GetConnection.rule, ids=(CONNECTION_ID,), query=(APP_USER_ID,), body=body)
    assert rule.members == (CONNECTION_ID, APP_USER_ID, PREFER_SIGNUP, DATA_PACKAGES)
    for none in ((), None):
        assert attrs.evolve(rule, body=none).members == (CONNECTION_ID, APP_USER_ID)


def test_operation_row_prints_method_path_status_scope_and_limit() -> None:
    assert list(OPERATION_TABLE) == [operation.rule.name for operation in OPERATIONS]
    assert [str(row.outcome) for row in OPERATION_TABLE.rows][4:6] == [
        "POST /api/sdk/v1/curae-connect/initiate → 201; connection:write, key needed, 10 a minute",
        "GET /api/sdk/v1/curae-connect/account-state → 200; no scope, key not looked at, no limit",
    ]


def test_operation_table_has_one_row_per_operation_rule() -> None:
    again = operation_table(OPERATIONS)
    assert again.name == "operation"
    assert again.law == (
        "What each operation needs before its own rule is asked, and its status of success."
    )
    assert again.axes == (Axis("operation", tuple(each.rule.name for each in OPERATIONS)),)
    assert [(row.outcome, row.why) for row in again.values()] == [
        (each.rule, each.rule.why) for each in OPERATIONS
    ]
    assert again == OPERATION_TABLE


@attrs.frozen
class Schedule(Operation):
    """An operation with a field of every type that a fingerprint supports."""

    name: str
    count: int
    is_daily: bool
    is_over: bool
    starts_at: datetime
    ends_at: datetime | None
    packages: tuple[str, ...]

    def needs(self, caller: Caller) -> Needs:
        raise NotImplementedError  # only `fingerprint_values` is called

    def decide(self, context: OperationContext) -> Ruling:
        raise NotImplementedError  # as above


def test_fingerprint_values_are_all_fields_as_text_in_order() -> None:
    schedule = Schedule(
        name="n",
        count=2,
        is_daily=True,
        is_over=False,
        starts_at=datetime(2026, 1, 5, 9, 30, tzinfo=UTC),
        ends_at=None,
        packages=("labs", "clinical_summary"),
    )
    assert schedule.fingerprint_values() == [
        "n",
        "\0=2",
        "true",
        "false",
        "\0=2026-01-05T09:30:00Z",
        "\0",
        "labs",
        "clinical_summary",
    ]
