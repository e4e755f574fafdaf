"""What each operation decides, once every gate before its rule is passed."""

from __future__ import annotations

import attrs
import pytest

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.tables import Axis
from curae_lifecycle.rules.values import ConnectionId, UserId
from curae_lifecycle.service import changes
from curae_lifecycle.service.call import Decision
from curae_lifecycle.service.changes import ConnectionWrite
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.operations.create_connection import ConnectionCreated, CreateConnection
from curae_lifecycle.service.operations.get_connection import ConnectionShown, GetConnection
from curae_lifecycle.service.operations.initiate import Initiate, SessionInitiated
from curae_lifecycle.service.operations.operation import ProblemReply
from curae_lifecycle.service.operations.reconnect import ConnectionReconnected, Reconnect
from curae_lifecycle.service.operations.registry import (
    OPERATION_TABLE,
    OPERATIONS,
    operation_table,
)
from curae_lifecycle.service.operations.revoke import ConnectionRevoked, Revoke
from curae_lifecycle.service.snapshot import LandedHandoff, Snapshot
from tests.server import ID, LIMITED, PACKAGES, USER, call, new_ids, successor
from tests.strategies import COORDINATE, START, apply_trigger, at, next_action, pending, uuid


def event_names(decision: Decision) -> list[str]:
    return [event.kind for event in decision.changes.events]


def test_create_mints_a_pending_connection() -> None:
    decision = decide(call(CreateConnection(USER, PACKAGES)), Snapshot(), START, new_ids(2))
    made = pending(number=2)
    assert decision.reply == ConnectionCreated(made, next_action(START))
    assert decision.changes.writes == (ConnectionWrite(None, made),)
    assert event_names(decision) == ["connection.created"]
    assert decision.status == 201


def decide_reconnect(connection: Connection, *following: Connection) -> Decision:
    snapshot = Snapshot(connection=connection, following=following)
    return decide(call(Reconnect(ID)), snapshot, at(31), new_ids(3, at(31)))


def test_reconnect_mints_a_successor_and_leaves_the_predecessor_alone() -> None:
    revoked = apply_trigger(pending(), "PATIENT", START)
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
    decision = decide_reconnect(apply_trigger(pending(), "APP", START), waiting)
    moved = attrs.evolve(waiting, updated_at=at(31), handoff_deadline=at(61))
    reply = ConnectionReconnected(moved, ID, next_action(at(31)))
    assert decision.reply == reply
    assert decision.changes.writes == (ConnectionWrite(waiting, moved),)
    assert decision.changes.effects == (changes.NextActionReplaced(waiting.id),)
    assert event_names(decision) == ["connection.reissued"]


def test_reconnect_refuses_where_the_chain_went_on() -> None:
    decision = decide_reconnect(apply_trigger(pending(), "APP", START), successor())
    assert isinstance(decision.reply, ProblemReply)
    assert decision.reply.problem.details == {"connectionId": ID, "nextConnectionId": uuid(2)}
    assert decision.changes.writes == ()


REVOKED: list[tuple[list[str], str, tuple[changes.Effect, ...], bool]] = [
    (["authorize"], "none", (changes.AccessEnded(ID, at(40)),), True),
    (["require action"], "none", (changes.AccessEnded(ID, at(40)),), True),
    ([], "none", (changes.HandoffCancelled(ID),), True),
    (["PATIENT"], "none", (), False),
    (["PATIENT"], "live", (), False),
    (
        ["authorize"],
        "live",
        (changes.AccessEnded(ID, at(40)), changes.SuccessorsLive(ID, (successor().id,))),
        True,
    ),
    (["authorize"], "dead", (changes.AccessEnded(ID, at(40)),), True),
]


def test_revoke_ends_one_connection_and_says_what_goes_on() -> None:
    following = {"none": (), "live": (successor(at(20)),), "dead": (successor(),)}
    for past, chain, effects, now_revoked in REVOKED:
        connection = pending()
        for trigger in past:
            connection = apply_trigger(connection, trigger, START)
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
        connection = apply_trigger(connection, "authorize for ever", at(5))
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
    decision = decide(call(Initiate(USER, prefer)), Snapshot(binding=binding), START, new_ids(2))
    reply = decision.reply
    assert isinstance(reply, SessionInitiated)
    session = reply.session
    assert (session.path, session.handoff, session.user_id) == (path, handoff, user)
    assert (session.created_at, session.expires_at) == (START, at(30))
    assert session.landed_at == (START if handoff == "LANDED" else None)
    writes: tuple[changes.Write, ...] = (changes.SessionWrite(None, session),)
    effects: tuple[changes.Effect, ...] = ()
    events = ["connect_session.initiated"]
    if generation is not None and user is not None:
        provisioned = LimitedAccountAppBinding(
            COORDINATE, UserId(user), AccountState.LIMITED, generation
        )
        writes = (*writes, changes.BindingWrite(binding, provisioned))
        effects = (changes.UserProvisioned(UserId(user), COORDINATE),)
        events.append("binding.provisioned")
    assert decision.changes.writes[1:] == writes, "after the charge of the app user's limit"
    assert decision.changes.effects == effects
    assert event_names(decision) == events


# --- All of them -----------------------------------------------------------------------------


def test_the_seven_operations_have_names_of_their_own() -> None:
    assert [operation.rule.name for operation in OPERATIONS] == [
        "create-connection",
        "get-connection",
        "reconnect",
        "revoke",
        "initiate",
        "account-state",
        "graduation-handoff",
    ]


def test_the_table_of_operations_reads_well() -> None:
    assert list(OPERATION_TABLE) == [operation.rule.name for operation in OPERATIONS]
    assert [str(row.outcome) for row in OPERATION_TABLE.rows][4:6] == [
        "POST /api/sdk/v1/curae-connect/initiate → 201; connection:write, key needed, 10 a minute",
        "GET /api/sdk/v1/curae-connect/account-state → 200; no scope, key not looked at, no limit",
    ]


def test_the_table_of_operations_is_made_of_their_rules() -> None:
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
