"""Revoke: ends the access of one connection, for ever [S]."""

from __future__ import annotations

from typing import ClassVar

import attrs

from curae_lifecycle.rules.chain import revoke_chain
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import revocation_changes
from curae_lifecycle.service.members import CONNECTION_ID, Given
from curae_lifecycle.service.operations.operation import (
    BASE_PATH,
    Asked,
    KeyUse,
    Operation,
    OperationRule,
    Reply,
    Ruling,
)


@attrs.frozen
class ConnectionRevoked(Reply):
    """Answers a revoke: `{connection, revokedNow}`."""

    connection: Connection
    revoked_now: bool


@attrs.frozen
class Revoke(Operation):
    """Revoke a connection [S]."""

    connection_id: ConnectionId

    reply: ClassVar = ConnectionRevoked
    rule: ClassVar = OperationRule(
        name="revoke",
        why="[S] Ends the access of one connection, for ever.",
        summary="Revoke a connection, for ever",
        method="POST",
        path=f"{BASE_PATH}/connections/{{connectionId}}:revoke",
        scope=CONNECTION_WRITE,
        key=KeyUse.NEEDED,
        status=200,
        ids=(CONNECTION_ID,),
        body=(),
    )

    @classmethod
    def read(cls, given: Given) -> Revoke:
        """The operation of a path."""
        return cls(given[CONNECTION_ID])

    def connection(self) -> ConnectionId:
        """The connection of the path."""
        return self.connection_id

    def decide(self, asked: Asked) -> Ruling:
        """REVOKED, or the same as before where it was revoked already."""
        connection, following = asked.connection, asked.snapshot.following
        # A clock behind the one that created the connection revokes it all the same.
        now = max(asked.now, connection.identity.created_at)
        answers = revoke_chain(connection, following, now, actor=Actor.APP)
        named = answers[0]
        reply = ConnectionRevoked(named.value, isinstance(named, Done))
        changes = revocation_changes(connection, following, answers, now, Actor.APP)
        return Ruling(reply, named.rules, changes)
