"""The laws and the tests that hold a rule.

The law of this module: **laws and tests are looked up, not listed**. The laws come from the links on
the correctness page, the tests from the tables that the tests write by hand.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from curae_lifecycle.rules.tables import AnyTable, Row
from curae_lifecycle.service.rulebook import TABLES
from tests.proof.oracles import oracle, test_table_mutants
from tests.proof.reference import tables
from tests.support.specimens import Key

ROOT: Final = Path(__file__).resolve().parents[3]
CORRECTNESS: Final = (ROOT / "docs/correctness.md").read_text(encoding="utf-8")


def laws(text: str = CORRECTNESS) -> dict[str, tuple[int, ...]]:
    """Return the numbers of the laws that link to each rule or to its table."""
    found: dict[str, list[int]] = {}
    for number, kept_by in _ENFORCED.findall(text):
        linked = set(re.findall(r"\]\(tables/[\w-]+\.md#([\w.-]+)\)", kept_by))
        whole = set(re.findall(r"\]\(tables/([\w-]+)\.md\)", kept_by))
        for table in TABLES.values():
            for row in table.rows:
                if row.rule in linked or table.name in whole:
                    found.setdefault(row.rule, []).append(int(number))
    return {rule: tuple(numbers) for rule, numbers in found.items()}


_ENFORCED: Final = re.compile(
    r"^### Law (\d+)\n\n- Enforced by: (.*?)(?=^- )", re.MULTILINE | re.DOTALL
)


def holders() -> dict[str, str]:
    """Return the module and the constant that hold the answers of each table, written by hand."""
    path = Path(tables.__file__).relative_to(ROOT).as_posix()
    return {name: f"`{path}` in `{name.upper().replace('-', '_')}`" for name in tables.TABLES}


def holder(table: AnyTable, row: Row[object], found: dict[str, str]) -> str:
    """Return the module and the constant that hold the answer of a rule, written by hand.

    Raises:
        LookupError: The tests hold no answer, or another one.
    """
    written = tables.TABLES[table.name]
    for key in _cells(table, row):
        if written.get(key) != str(row.outcome):
            raise LookupError(f"no test holds {row.rule} at {' × '.join(key)}")
    return found[table.name]


_CHANGES: Final = Counter(
    (of.name, *mutant.key) for of in test_table_mutants.SUBJECTS for mutant in of.mutants
)


def changes_noticed(table: AnyTable, row: Row[object]) -> int:
    """Count the mutants of a rule that `tests/proof/oracles/test_table_mutants.py` must kill.

    Raises:
        LookupError: There are none.
    """
    cells = [(table.name, *key) for key in _cells(table, row)]
    found = sum(_CHANGES[cell] for cell in cells if cell not in oracle.UNREACHABLE)
    if not found:
        raise LookupError(f"no test changes {row.rule}")
    return found


def unreachable(table: AnyTable, row: Row[object]) -> Iterator[tuple[Key, str]]:
    """Yield the cells of a rule that no call looks up, each with its proof."""
    for key in _cells(table, row):
        why = oracle.UNREACHABLE.get((table.name, *key))
        if why is not None:
            yield key, why


def _cells(table: AnyTable, row: Row[object]) -> list[Key]:
    return [tuple(map(str, key)) for key, each in table.cells() if each.rule == row.rule]
