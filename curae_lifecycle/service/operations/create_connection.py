"""Create: a new connection, pending until its patient has authorized it [P]."""

from __future__ import annotations

import attrs

from curae_lifecycle.rules.connection import Connection, create
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.values import AppUserId, DataPackage, NextAction
from curae_lifecycle.service.changes import connection_write_changes
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.members import APP_USER_ID, DATA_PACKAGES
from curae_lifecycle.service.operations import example_values, operation


@attrs.frozen
class ConnectionCreated(operation.Reply):
    """The reply to a create: `{connection, nextAction}`."""

    connection: Connection
    next_action: NextAction


@attrs.frozen
class CreateConnection(operation.UserOperation):
    """The operation that creates a PENDING connection from `{appUserId, dataPackages}` [P]."""

    app_user_id: AppUserId
    data_packages: tuple[DataPackage, ...]

    reply = ConnectionCreated
    rule = operation.OperationRule(
        name="create-connection",
        why="[P] Mints a PENDING connection.",
        summary="Create a pending connection",
        method="POST",
        path=f"{operation.BASE_PATH}/connections",
        scope=CONNECTION_WRITE,
        key=operation.KeyUse.NEEDED,
        status=201,
        body=(APP_USER_ID, DATA_PACKAGES),
    )

    @classmethod
    def examples(cls) -> tuple[operation.Example, ...]:
        """Return an example for the OpenAPI document: a created connection."""
        return (operation.Example("created", cls(example_values.USER, example_values.PACKAGES)),)

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        """Reply with a new connection; the coordinate may have earlier connections [P]."""
        new_ids = context.new_ids
        made = create(
            id=new_ids.connection_id,
            coordinate=context.coordinate,
            data_packages=self.data_packages,
            now=context.now,
            next_action=new_ids.next_action,
            era=context.snapshot.era,
        )
        changes = connection_write_changes(EventKind.CONNECTION_CREATED, None, made)
        return operation.Ruling(ConnectionCreated(made, new_ids.next_action), (), changes)
