"""Every table of the package by name, and every rule by its own.

The law of this module: **a table that is not listed here is a rule that no reviewer sees**; a
test holds the list against the modules.
"""

from __future__ import annotations

from typing import Final

import attrs

from curae_lifecycle.rules.access import ACCESS
from curae_lifecycle.rules.attempt import ATTEMPT, UPKEEP
from curae_lifecycle.rules.binding import BINDING, GRADUATION_HANDOFF
from curae_lifecycle.rules.chain import LIFE, RECOVERY, REVOCATION_REACH
from curae_lifecycle.rules.connection import DEADLINE, STANDING
from curae_lifecycle.rules.credentials import PERMISSION
from curae_lifecycle.rules.idempotency import IDEMPOTENCY, RECORD_STANDING
from curae_lifecycle.rules.problems import CATALOGUE
from curae_lifecycle.rules.session import COMPLETION, ENTRY_PATHS
from curae_lifecycle.rules.tables import AnyTable, Row
from curae_lifecycle.rules.triggers import AUTHORIZATION, ENDING, EXPIRY_RECORD, TRIGGERS
from curae_lifecycle.rules.wire_status import STORED_STATUS, WIRE_STATUS
from curae_lifecycle.service.gates import REQUEST_GATES
from curae_lifecycle.service.operations.registry import OPERATION_TABLE
from curae_lifecycle.service.status import PROBLEM_STATUS

TABLES: Final[dict[str, AnyTable]] = {
    table.name: table
    for table in (
        *(DEADLINE, STANDING, TRIGGERS, EXPIRY_RECORD, AUTHORIZATION),
        *(RECOVERY, REVOCATION_REACH, LIFE, ENDING, ACCESS),
        *(ENTRY_PATHS, BINDING, COMPLETION, GRADUATION_HANDOFF),
        *(RECORD_STANDING, IDEMPOTENCY, ATTEMPT, UPKEEP, PERMISSION),
        *(REQUEST_GATES, OPERATION_TABLE, CATALOGUE, PROBLEM_STATUS, WIRE_STATUS, STORED_STATUS),
    )
}
"""Every table, in the order of the printed pages."""


@attrs.frozen
class FoundRule:
    """A rule and the table it stands in.

    Attributes:
        table: The table.
        row: The rule.
    """

    table: AnyTable
    row: Row[object]


def find_rule(name: str) -> FoundRule | None:
    """The rule of a trail, by its name; `None` for a name that no table has."""
    rules = (FoundRule(table, row) for table in TABLES.values() for row in table.rows)
    return next((rule for rule in rules if rule.row.rule == name), None)
