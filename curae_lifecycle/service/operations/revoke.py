"""Revoke: ends the access of one connection, for ever [S]."""

from __future__ import annotations

import attrs

from curae_lifecycle.rules import credentials, outcomes, triggers, values
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.service.changes import NO_CHANGES, live_head_changes, revocation_changes
from curae_lifecycle.service.members import CONNECTION_ID
from curae_lifecycle.service.operations import example_values, operation
from curae_lifecycle.service.snapshot import Snapshot


@attrs.frozen
class ConnectionRevoked(operation.Reply):
    """The reply to a revoke: `{connection, revokedNow}`."""

    connection: Connection
    revoked_now: bool


@attrs.frozen
class Revoke(operation.ConnectionOperation):
    """The operation that revokes one connection for the app [S]."""

    connection_id: values.ConnectionId

    reply = ConnectionRevoked
    trigger = triggers.Trigger.REVOKE
    rule = operation.OperationRule(
        name="revoke",
        why="[S] Ends the access of one connection, for ever.",
        summary="Revoke a connection, for ever",
        method="POST",
        path=f"{operation.BASE_PATH}/connections/{{connectionId}}:revoke",
        scope=credentials.CONNECTION_WRITE,
        key=operation.KeyUse.NEEDED,
        status=200,
        ids=(CONNECTION_ID,),
        body=(),
    )

    @classmethod
    def examples(cls) -> tuple[operation.Example, ...]:
        """Return two examples: a first and a repeated revocation."""
        return (
            operation.Example(
                "revoked",
                cls(example_values.CONNECTION.id),
                Snapshot(connection=example_values.CONNECTION),
            ),
            operation.Example(
                "revokedBefore",
                cls(example_values.REVOKED_CONNECTION.id),
                Snapshot(connection=example_values.REVOKED_CONNECTION),
            ),
        )

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        """Reply with the connection after its revocation, unchanged if it was revoked before."""
        connection = context.connection
        answer = triggers.revoke(connection, context.now, actor=Actor.APP)
        changes = NO_CHANGES
        if isinstance(answer, outcomes.Done):
            changes = revocation_changes((connection,), (answer,))
            changes += live_head_changes(connection, context.snapshot.head, context.now)
        reply = ConnectionRevoked(answer.value, isinstance(answer, outcomes.Done))
        return operation.Ruling(reply, answer.rules, changes)
