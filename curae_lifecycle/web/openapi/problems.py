"""Which problems an operation can be answered with, read from the tables that refuse."""

from __future__ import annotations

from typing import Final

from curae_lifecycle.rules.outcomes import RefuseWith
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.service.gates import ORDER, Ask, Gate
from curae_lifecycle.service.operations.operation import KeyUse, Operation, OperationRule
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.web.read import BY_KEY


def problem_codes(kind: type[Operation]) -> tuple[ProblemCode, ...]:
    """Every problem code that an operation can be answered with, in the catalogue's order.

    They are read from the gates that it passes, and from the tables that these ask.
    """
    rule = kind.rule
    codes: set[ProblemCode] = set()
    for gate, row in ORDER.items():
        if _passes(gate, rule):
            verdict = row.outcome
            codes |= _asked(verdict, rule) if isinstance(verdict, Ask) else {verdict.code}
    if rule.scope is None:
        codes.discard(ProblemCode.SCOPE_INSUFFICIENT)
    return tuple(code for code in ProblemCode if code in codes)


def _passes(gate: Gate, rule: OperationRule) -> bool:
    if gate in _BY_KEY:
        return rule.key is _BY_KEY[gate]
    if gate is Gate.OWNERSHIP:
        return bool(rule.ids)
    # A request of this operation has found its path.
    return gate is not Gate.ROUTE


_BY_KEY: Final = {**BY_KEY, Gate.IDEMPOTENCY: KeyUse.NEEDED}


def _asked(ask: Ask, rule: OperationRule) -> set[ProblemCode]:
    beginnings = (ask.table,) if ask.table else rule.asks
    return {
        row.outcome.code
        for table in TABLES.values()
        for row in table.rows
        if isinstance(row.outcome, RefuseWith)
        and any(row.rule.startswith(f"{each}.") for each in beginnings)
    }
