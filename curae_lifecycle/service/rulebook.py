"""Tables and rules of the package by their names.

The law of this module: **reviewers see only the tables that are listed here**, so a test compares
the list with the modules.
"""

from __future__ import annotations

from typing import Final

import attrs

from curae_lifecycle.rules.access import ACCESS, Deny
from curae_lifecycle.rules.attempt import ATTEMPT, UPKEEP
from curae_lifecycle.rules.binding import BINDING, GRADUATION_HANDOFF, TOMBSTONE_REPORT
from curae_lifecycle.rules.chain import LIFE, RECOVERY, REVOCATION_REACH
from curae_lifecycle.rules.connection import DEADLINE, STANDING
from curae_lifecycle.rules.credentials import PERMISSION
from curae_lifecycle.rules.idempotency import IDEMPOTENCY, RECORD_STANDING
from curae_lifecycle.rules.outcomes import Reason, RefuseWith
from curae_lifecycle.rules.problems import CATALOGUE, ProblemCode
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
        *(ENTRY_PATHS, BINDING, TOMBSTONE_REPORT, COMPLETION, GRADUATION_HANDOFF),
        *(RECORD_STANDING, IDEMPOTENCY, ATTEMPT, UPKEEP, PERMISSION),
        *(REQUEST_GATES, OPERATION_TABLE, CATALOGUE, PROBLEM_STATUS, WIRE_STATUS, STORED_STATUS),
    )
}
"""Every table by its name, in the order of the printed pages."""


@attrs.frozen
class FoundRule:
    """A rule with its table.

    Attributes:
        table: The table that holds the rule.
        row: The rule.
    """

    table: AnyTable
    row: Row[object]


def find_rule(name: str) -> FoundRule | None:
    """Return the rule with the full name `name`, and its table; `None` if there is no such rule."""
    for table in TABLES.values():
        for row in table.rows:
            if row.rule == name:
                return FoundRule(table, row)
    return None


def find_refusals(code: ProblemCode) -> tuple[FoundRule, ...]:
    """Return the rules that refuse, or deny access, with a problem code.

    They are in the order of `TABLES`, and within a table in the order of its rows.
    """
    return tuple(
        FoundRule(table, row)
        for table in TABLES.values()
        for row in table.rows
        if _code_of(row.outcome) is code
    )


def reasons_of(code: ProblemCode) -> tuple[Reason, ...]:
    """Return the reasons, such as STILL_PENDING, for which rules refuse with a problem code."""
    found = [_reason_of(each.row.outcome) for each in find_refusals(code)]
    return tuple(dict.fromkeys(reason for reason in found if reason is not None))


def _code_of(outcome: object) -> ProblemCode | None:
    if isinstance(outcome, Deny):
        return ProblemCode.CONNECTION_ACCESS_DENIED
    return outcome.code if isinstance(outcome, RefuseWith) else None


def _reason_of(outcome: object) -> Reason | None:
    return outcome.reason if isinstance(outcome, Deny | RefuseWith) else None
