"""Get: one connection as it is now; a pending one whose hand-off has landed heals [P]."""

from __future__ import annotations

from typing import ClassVar

import attrs

from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.triggers import authorize
from curae_lifecycle.rules.values import ConnectionId, check_instant
from curae_lifecycle.service.changes import authorization_changes
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
class ConnectionShown(Reply):
    """Answers a get: `{connection}`."""

    connection: Connection


@attrs.frozen
class GetConnection(Operation):
    """One connection, without a next action [P]."""

    connection_id: ConnectionId

    reply: ClassVar = ConnectionShown
    rule: ClassVar = OperationRule(
        name="get-connection",
        why="[P] A pending connection whose hand-off has landed heals.",
        summary="Get a connection",
        method="GET",
        path=f"{BASE_PATH}/connections/{{connectionId}}",
        scope=None,
        key=KeyUse.UNUSED,
        status=200,
        ids=(CONNECTION_ID,),
    )

    @classmethod
    def read(cls, given: Given) -> GetConnection:
        """The operation of a path."""
        return cls(given[CONNECTION_ID])

    def connection(self) -> ConnectionId:
        """The connection of the path."""
        return self.connection_id

    def decide(self, asked: Asked) -> Ruling:
        """The connection, healed where its hand-off is known to have landed."""
        connection, landed = asked.connection, asked.snapshot.landed
        if landed is None:
            return Ruling(ConnectionShown(connection))
        check_instant("landed.happened_at", landed.happened_at)
        # A clock ahead of ours may have seen it land: it is recorded no earlier than it happened.
        healed = authorize(
            connection,
            max(asked.now, landed.happened_at),
            expires_at=landed.expires_at,
            happened_at=landed.happened_at,
            successor=asked.snapshot.successor,
        )
        if not isinstance(healed, Done):
            return Ruling(ConnectionShown(connection), healed.rules)
        changes = authorization_changes(connection, healed.value)
        return Ruling(ConnectionShown(healed.value), healed.rules, changes)
