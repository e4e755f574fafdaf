"""Who holds a rule: the laws that name it, and the test that wrote its answer down by hand.

The law of this module: **what is named is found, not listed**: the laws in what the page of
correctness says of each, the tests in the table of tables that were written by hand.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from curae_lifecycle.rules.tables import AnyTable, Row
from curae_lifecycle.service.rulebook import TABLES
from tests import test_table_mutants
from tests.oracles import by_hand, oracle
from tests.specimens import Key

ROOT: Final = Path(__file__).resolve().parent.parent.parent
CORRECTNESS: Final = (ROOT / "docs/correctness.md").read_text(encoding="utf-8")


def laws(text: str = CORRECTNESS) -> dict[str, tuple[int, ...]]:
    """The numbers of the laws by each rule that keeps one: by a link to it, or to its table."""
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
    """Where the answers of each table stand, written by hand: a module, and its name there."""
    file = Path(by_hand.__file__)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    own = file.relative_to(ROOT).as_posix()
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "BY_HAND":
            assert isinstance(node.value, ast.Dict)
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                assert isinstance(key, ast.Constant)
                named = re.findall(r"\b(test_\w+)\.([A-Z]\w*)", ast.unparse(value))
                module, name = named[0] if named else ("", "BY_HAND")
                path = f"tests/{module}.py" if module else own
                found[str(key.value)] = f"`{path}` in `{name}`"
    return found


def holder(table: AnyTable, row: Row[object], found: dict[str, str]) -> str:
    """Where the answer of a rule was written by hand.

    Raises:
        LookupError: Nobody wrote it, or something else.
    """
    written = by_hand.BY_HAND[table.name]
    for key in _cells(table, row):
        if written.get(key) != str(row.outcome):
            raise LookupError(f"no test holds {row.rule} at {' × '.join(key)}")
    return found[table.name]


_CHANGES: Final = Counter(
    (of.name, *mutant.key) for of in test_table_mutants.SUBJECTS for mutant in of.mutants
)


def changes_noticed(table: AnyTable, row: Row[object]) -> int:
    """In how many ways `tests/test_table_mutants.py` changes a rule, each of which it must notice.

    Raises:
        LookupError: In none.
    """
    cells = [(table.name, *key) for key in _cells(table, row)]
    found = sum(_CHANGES[cell] for cell in cells if cell not in oracle.UNREACHABLE)
    if not found:
        raise LookupError(f"no test changes {row.rule}")
    return found


def unreachable(table: AnyTable, row: Row[object]) -> Iterator[tuple[Key, str]]:
    """The cells of a rule that no call asks, each with its proof."""
    for key in _cells(table, row):
        why = oracle.UNREACHABLE.get((table.name, *key))
        if why is not None:
            yield key, why


def _cells(table: AnyTable, row: Row[object]) -> list[Key]:
    return [tuple(map(str, key)) for key, each in table.cells() if each.rule == row.rule]
