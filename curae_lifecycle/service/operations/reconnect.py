"""Reconnect: a new connection recovers one that lapsed, ended or needs action [S]."""

from __future__ import annotations

from typing import ClassVar

import attrs

from curae_lifecycle.rules.chain import Minted, reconnect
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.values import ConnectionId, NextAction
from curae_lifecycle.service.changes import recovery_changes, reissue_changes
from curae_lifecycle.service.members import CONNECTION_ID, Given
from curae_lifecycle.service.operations.operation import (
    BASE_PATH,
    Asked,
    KeyUse,
    Operation,
    OperationRule,
    Reply,
    Ruling,
    refusal,
)


@attrs.frozen
class ConnectionReconnected(Reply):
    """Answers a reconnect: `{connection, previousConnectionId, nextAction}`."""

    connection: Connection
    previous_connection_id: ConnectionId
    next_action: NextAction


@attrs.frozen
class Reconnect(Operation):
    """Recover a connection [S]."""

    connection_id: ConnectionId

    reply: ClassVar = ConnectionReconnected
    rule: ClassVar = OperationRule(
        name="reconnect",
        why="[S] Starts a recovery.",
        summary="Recover a connection that has lapsed, ended or needs action",
        method="POST",
        path=f"{BASE_PATH}/connections/{{connectionId}}:reconnect",
        scope=CONNECTION_WRITE,
        key=KeyUse.NEEDED,
        status=201,
        ids=(CONNECTION_ID,),
        body=(),
        asks=("connection.reconnect", "recovery"),
    )

    @classmethod
    def read(cls, given: Given) -> Reconnect:
        """The operation of a path."""
        return cls(given[CONNECTION_ID])

    def connection(self) -> ConnectionId:
        """The connection of the path."""
        return self.connection_id

    def decide(self, asked: Asked) -> Ruling:
        """A successor: minted, or the pending one again with a fresh next action."""
        connection, new_ids = asked.connection, asked.new_ids
        answer = reconnect(
            connection,
            asked.snapshot.successor,
            asked.now,
            id=new_ids.connection_id,
            next_action=new_ids.next_action,
        )
        if isinstance(answer, Refused):
            return refusal(answer)
        recovery = answer.value
        successor = recovery.connection
        if isinstance(recovery, Minted):
            changes = recovery_changes(connection, successor)
        else:
            changes = reissue_changes(recovery.before, successor)
        reply = ConnectionReconnected(successor, connection.id, new_ids.next_action)
        return Ruling(reply, answer.rules, changes)
