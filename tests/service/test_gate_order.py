"""The order of the gates: swapping any two neighbours changes an answer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, pairwise

import pytest

from curae_lifecycle.rules.tables import Axis, Table
from curae_lifecycle.service import decide, gates
from curae_lifecycle.service.gates import REQUEST_GATES, Gate
from curae_lifecycle.service.operations.operation import KeyUse, Operation
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.web import read
from tests.service.test_gates import APPLIES, ask


def test_gates_run_in_the_order_of_their_table_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    backwards = Axis.of("gate", tuple(reversed(Gate)))
    monkeypatch.setattr(
        gates, "REQUEST_GATES", Table("request", REQUEST_GATES.law, backwards, *REQUEST_GATES.rows)
    )
    assert gates.sort_gates(*Gate) == tuple(reversed(Gate))
    assert gates.sort_gates(Gate.ROUTE, Gate.RULE, Gate.BODY) == (Gate.RULE, Gate.BODY, Gate.ROUTE)


REQUESTS = [
    (operation, frozenset(failing))
    for operation, passed in APPLIES.items()
    for size in (1, 2)
    for failing in combinations(passed.split(), size)
]
"""Every operation, failing at each one and each two of its gates."""

APART: dict[tuple[Gate, Gate], Callable[[type[Operation]], tuple[bool, bool]]] = {
    (Gate.KEY_ALLOWED, Gate.KEY_GIVEN): lambda kind: (
        kind.rule.key is KeyUse.NOT_ALLOWED,
        kind.rule.key is KeyUse.NEEDED,
    ),
    (Gate.LIMIT, Gate.OWNERSHIP): lambda kind: (kind.rule.limit is not None, bool(kind.rule.ids)),
}
"""Pairs of gates that no operation has both of, so their order cannot be observed."""


def answers() -> list[str]:
    return [_answer(operation, failing) for operation, failing in REQUESTS]


def _answer(operation: str, failing: frozenset[str]) -> str:
    try:
        answer = ask(operation, failing)
    except (AssertionError, AttributeError) as early:
        # The gate relies on a result of an earlier one.
        return f"raises {early}"
    return repr((answer.response, answer.rules, answer.changes))


@pytest.mark.slow
@pytest.mark.parametrize("pair", [*pairwise(read.READ_GATES), *pairwise(decide.DECIDE_GATES)])
def test_swapping_two_neighbouring_gates_changes_an_answer(
    pair: tuple[Gate, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = answers()
    swapped = {pair[0]: pair[1], pair[1]: pair[0]}
    in_reading, in_deciding = (
        [swapped.get(gate, gate) for gate in gates]
        for gates in (read.READ_GATES, decide.DECIDE_GATES)
    )
    monkeypatch.setattr(read, "_CHECKS_BY_KEY_USE", read._checks_by_key_use(tuple(in_reading)))
    monkeypatch.setattr(
        decide, "DECIDE_GATES", {gate: decide.DECIDE_GATES[gate] for gate in in_deciding}
    )
    if pair in APART:
        assert not any(all(APART[pair](kind)) for kind in OPERATIONS)
        assert answers() == right
    else:
        assert answers() != right
