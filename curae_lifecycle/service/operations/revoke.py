"""Revoke: ends the access of one connection, for ever [S]."""

from __future__ import annotations

import attrs

from curae_lifecycle.rules import chain, credentials, outcomes, values
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.service.changes import revocation_changes
from curae_lifecycle.service.members import CONNECTION_ID
from curae_lifecycle.service.operations import operation


@attrs.frozen
class ConnectionRevoked(operation.Reply):
    """Answers a revoke: `{connection, revokedNow}`."""

    connection: Connection
    revoked_now: bool


@attrs.frozen
class Revoke(operation.ConnectionOperation):
    """Revoke a connection [S]."""

    connection_id: values.ConnectionId

    reply = ConnectionRevoked
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

    def decide(self, asked: operation.Asked) -> operation.Ruling:
        """REVOKED, or the same as before where it was revoked already."""
        connection, following = asked.connection, asked.snapshot.following
        # A clock behind the one that created the connection revokes it all the same.
        now = max(asked.now, connection.identity.created_at)
        answers = chain.revoke_chain(connection, following, now, actor=Actor.APP)
        named = answers[0]
        reply = ConnectionRevoked(named.value, isinstance(named, outcomes.Done))
        changes = revocation_changes(connection, following, answers, now, Actor.APP)
        return operation.Ruling(reply, named.rules, changes)
