"""The registry of operations, in the order of the pages; a new operation gets its line here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from curae_lifecycle.rules.tables import Axis, Row, Table
from curae_lifecycle.rules.triggers import Trigger
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation, OperationRule
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke

OPERATIONS: Final[tuple[type[Operation], ...]] = (
    CreateConnection,
    GetConnection,
    Reconnect,
    Revoke,
    Initiate,
    GetAccountState,
    StartGraduation,
)
"""Every class of operations in the package, in the order of the table `operation`."""

OPERATION_BY_TRIGGER: Final[dict[Trigger, type[Operation]]] = {
    each.trigger: each for each in OPERATIONS if each.trigger is not None
}
"""The class of the operation that fires each trigger; triggers without an operation are missing."""


def operation_table(operations: Iterable[type[Operation]]) -> Table[str, OperationRule]:
    """Build the table `operation`, which maps each operation's name to its `OperationRule`.

    A rule holds the method, path, scope, limit, status and members. `operations` are the classes to
    include.
    """
    rules = [each.rule for each in operations]
    return Table(
        "operation",
        "What each operation needs before its own rule is asked, and its status of success.",
        Axis("operation", tuple(rule.name for rule in rules)),
        *(Row(rule.name, rule, rule.why) for rule in rules),
    )


OPERATION_TABLE: Final = operation_table(OPERATIONS)
"""The table `operation`: the rule of each operation."""
