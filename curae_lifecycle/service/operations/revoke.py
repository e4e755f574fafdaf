"""Revoke: ends the access of one connection, for ever [S]."""

from __future__ import annotations

import attrs

from curae_lifecycle.rules import credentials, outcomes, triggers, values
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.service.members import CONNECTION_ID
from curae_lifecycle.service.operations import example_values, operation
from curae_lifecycle.service.revocation import join_rules, revocation_needs, revoke_by_actor
from curae_lifecycle.service.snapshot import Needs, Snapshot


@attrs.frozen
class ConnectionRevoked(operation.Reply):
    """The reply to a revoke: `{connection, revokedNow}`.

    Attributes:
        connection: The connection, which is REVOKED.
        revoked_now: Whether this request revoked the connection; False if it was revoked before.
    """

    connection: Connection
    revoked_now: bool


@attrs.frozen
class Revoke(operation.ConnectionOperation):
    """The operation by which an app revokes one of its connections [S]."""

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
        """Return two examples for the OpenAPI document: a first and a repeated revocation."""
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

    def needs(self, caller: credentials.Caller) -> Needs:
        """Return the keys to load: the connection's id, without the later ones of its chain."""
        del caller
        return revocation_needs(self.connection_id, Actor.APP)

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        """Reply with the connection after its revocation, unchanged if it was revoked before."""
        answers, changes = revoke_by_actor(
            context.connection, context.snapshot, context.now, actor=Actor.APP
        )
        answer = answers[0]
        reply = ConnectionRevoked(answer.value, isinstance(answer, outcomes.Done))
        return operation.Ruling(reply, join_rules(answers), changes)
