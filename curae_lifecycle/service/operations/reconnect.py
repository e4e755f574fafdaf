"""Reconnect: a new connection recovers one that lapsed, ended or needs action [S]."""

from __future__ import annotations

import attrs

from curae_lifecycle.rules import chain, credentials, outcomes, values
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.triggers import Trigger
from curae_lifecycle.service.changes import connection_write_changes, recovery_changes
from curae_lifecycle.service.effects import NextActionReplaced
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.members import CONNECTION_ID
from curae_lifecycle.service.operations import example_values, operation
from curae_lifecycle.service.snapshot import Snapshot


@attrs.frozen
class ConnectionReconnected(operation.Reply):
    """The reply to a reconnect: `{connection, previousConnectionId, nextAction}`.

    Attributes:
        connection: The PENDING successor: a new connection, or that of an earlier reconnect.
        previous_connection_id: The id of the recovered connection.
        next_action: The hosted page to show the patient.
    """

    connection: Connection
    previous_connection_id: values.ConnectionId
    next_action: values.NextAction


@attrs.frozen
class Reconnect(operation.ConnectionOperation):
    """The operation that recovers a connection, which it does not change [S].

    It creates a successor, a new PENDING connection. If there is a pending successor already, that
    one gets a fresh hosted page.
    """

    connection_id: values.ConnectionId

    reply = ConnectionReconnected
    trigger = Trigger.RECONNECT
    rule = operation.OperationRule(
        name="reconnect",
        why="[S] Starts a recovery.",
        summary="Recover a connection that has lapsed, ended or needs action",
        method="POST",
        path=f"{operation.BASE_PATH}/connections/{{connectionId}}:reconnect",
        scope=credentials.CONNECTION_WRITE,
        key=operation.KeyUse.NEEDED,
        status=201,
        ids=(CONNECTION_ID,),
        body=(),
        asks=("connection.reconnect", "recovery"),
    )

    @classmethod
    def examples(cls) -> tuple[operation.Example, ...]:
        """Return an example for the OpenAPI document: a recovered connection."""
        return (
            operation.Example(
                "recovered",
                cls(example_values.REVOKED_CONNECTION.id),
                Snapshot(connection=example_values.REVOKED_CONNECTION),
            ),
        )

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        """Reply with a connection that recovers the requested one, and a next action; or refuse.

        The recovering connection is a new one. If an earlier reconnect made one that is still
        PENDING, the reply has that earlier one, with a fresh next action.
        """
        connection, new_ids = context.connection, context.new_ids
        answer = chain.reconnect(
            connection,
            context.snapshot.successor,
            context.now,
            era=context.snapshot.era,
            id=new_ids.connection_id,
            next_action=new_ids.next_action,
            head=context.snapshot.head,
        )
        if isinstance(answer, outcomes.Refused):
            return operation.ruling_from_refusal(answer)
        recovery = answer.value
        successor = recovery.connection
        if isinstance(recovery, chain.Minted):
            changes = recovery_changes(connection, successor)
        else:
            replaced = NextActionReplaced(successor.id)
            changes = connection_write_changes(
                EventKind.CONNECTION_REISSUED, recovery.before, successor, replaced
            )
        reply = ConnectionReconnected(successor, connection.id, new_ids.next_action)
        return operation.Ruling(reply, answer.rules, changes)
