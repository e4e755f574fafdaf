"""Create: a new connection, pending until its patient has authorized it [P]."""

from __future__ import annotations

from typing import ClassVar

import attrs

from curae_lifecycle.rules.connection import Connection, create
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.values import AppUserId, DataPackage, NextAction
from curae_lifecycle.service.changes import created_changes
from curae_lifecycle.service.members import APP_USER_ID, DATA_PACKAGES, Given
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
class ConnectionCreated(Reply):
    """Answers a create: `{connection, nextAction}`."""

    connection: Connection
    next_action: NextAction


@attrs.frozen
class CreateConnection(Operation):
    """`{appUserId, dataPackages}` to a PENDING connection and a next action [P]."""

    app_user_id: AppUserId
    data_packages: tuple[DataPackage, ...]

    reply: ClassVar = ConnectionCreated
    rule: ClassVar = OperationRule(
        name="create-connection",
        why="[P] Mints a PENDING connection.",
        summary="Create a pending connection",
        method="POST",
        path=f"{BASE_PATH}/connections",
        scope=CONNECTION_WRITE,
        key=KeyUse.NEEDED,
        status=201,
        body=(APP_USER_ID, DATA_PACKAGES),
    )

    @classmethod
    def read(cls, given: Given) -> CreateConnection:
        """The operation of a body."""
        return cls(given[APP_USER_ID], given[DATA_PACKAGES])

    def decide(self, asked: Asked) -> Ruling:
        """A new connection; earlier ones of the coordinate are not looked at [P]."""
        new_ids = asked.new_ids
        made = create(
            id=new_ids.connection_id,
            coordinate=asked.caller.coordinate(self.app_user_id),
            data_packages=self.data_packages,
            now=asked.now,
            next_action=new_ids.next_action,
        )
        return Ruling(ConnectionCreated(made, new_ids.next_action), (), created_changes(made))
