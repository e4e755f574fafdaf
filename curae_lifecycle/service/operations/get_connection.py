"""Get: one connection as it is now; an authorization that the server learned of is recorded [P]."""

from __future__ import annotations

import attrs

from curae_lifecycle.rules import outcomes, triggers, values
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.service.changes import connection_write_changes
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.members import CONNECTION_ID
from curae_lifecycle.service.operations import example_values, operation
from curae_lifecycle.service.snapshot import Snapshot


@attrs.frozen
class ConnectionShown(operation.Reply):
    """The reply to a get: `{connection}`."""

    connection: Connection


@attrs.frozen
class GetConnection(operation.ConnectionOperation):
    """The operation that gets one connection, as it is now [P]."""

    connection_id: values.ConnectionId

    reply = ConnectionShown
    rule = operation.OperationRule(
        name="get-connection",
        why="[P] A pending connection whose hand-off has landed heals.",
        summary="Get a connection",
        method="GET",
        path=f"{operation.BASE_PATH}/connections/{{connectionId}}",
        scope=None,
        key=operation.KeyUse.UNUSED,
        status=200,
        ids=(CONNECTION_ID,),
    )

    @classmethod
    def examples(cls) -> tuple[operation.Example, ...]:
        """Return an example for the OpenAPI document: a pending connection."""
        return (
            operation.Example(
                "shown",
                cls(example_values.CONNECTION.id),
                Snapshot(connection=example_values.CONNECTION),
            ),
        )

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        """Reply with the connection.

        The snapshot can have a `landed_handoff`, an authorization that the connection does not yet
        record. The changes then record the authorization, and the reply shows the connection after
        it. If the rules ignore or refuse the authorization, the connection is shown as it is.
        """
        connection, landed = context.connection, context.snapshot.landed_handoff
        if landed is None:
            return operation.Ruling(ConnectionShown(connection))
        healed = triggers.authorize(
            connection,
            context.now,
            era=context.snapshot.era,
            expires_at=landed.expires_at,
            happened_at=landed.happened_at,
            successor=context.snapshot.successor,
        )
        if not isinstance(healed, outcomes.Done):
            return operation.Ruling(ConnectionShown(connection), healed.rules)
        changes = connection_write_changes(
            EventKind.CONNECTION_AUTHORIZED, connection, healed.value
        )
        return operation.Ruling(ConnectionShown(healed.value), healed.rules, changes)
