"""Faults of the statements: orphans, names that do not exist, and gaps."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

from curae_lifecycle.service.rulebook import TABLES, find_rule
from docs.generate.traceability.identifiers import LISTED, word
from docs.generate.traceability.page import PARTS
from docs.generate.traceability.statement import Part, Statement

ROOT: Final = Path(__file__).resolve().parents[3]
TESTS: Final = ROOT / "tests"
RULES: Final = ROOT / "docs" / "rules.md"

_ANCHOR: Final = re.compile(r'<a id="([^"]+)"></a>')
_MARK: Final = re.compile(r"(?<!\*)\[S\b")
"""A source mark in square brackets. In bold it is a mention, not a mark."""
_BLOCK: Final = re.compile(r"\n\s*\n|\n(?=- |\d+\. |\|)")
"""The separators of paragraphs, list items and table rows."""


def find_faults(parts: tuple[Part, ...] = PARTS) -> list[str]:
    """Return the faults of the statements, a line each."""
    return [
        *_gaps(parts),
        *_orphan_rules(parts),
        *_orphan_identifiers(parts),
        *_unknown_names(parts),
    ]


def _statements(parts: tuple[Part, ...]) -> list[Statement]:
    return [statement for part in parts for statement in part.statements]


def _gaps(parts: tuple[Part, ...]) -> Iterator[str]:
    counted: Counter[str] = Counter()
    for number in (row.number for row in _statements(parts)):
        counted[number[0]] += 1
        if number != f"{number[0]}{counted[number[0]]}":
            yield f"{number} has the place of {number[0]}{counted[number[0]]}"
    for row in _statements(parts):
        if not row.says.strip():
            yield f"{row.number} has no text"
        wanted = {"rule": row.rules, "code": row.code, "test": row.tests}
        lacking = [what for what, names in wanted.items() if not names and not row.not_ours]
        if lacking:
            yield f"{row.number} has no {', no '.join(lacking)}"


def _orphan_rules(parts: tuple[Part, ...]) -> Iterator[str]:
    named = {name for row in _statements(parts) for name in row.rules}
    of_tables = (row.rule for table in TABLES.values() for row in table.rows if "[S" in row.why)
    for name in of_tables:
        if name not in named:
            yield f"no statement names the rule {name}"
    marks, faults = find_marks(_text(RULES))
    yield from faults
    for anchor in marks:
        if f"#{anchor}" not in named:
            yield f"no statement names docs/rules.md#{anchor}"


def find_marks(text: str) -> tuple[list[str], list[str]]:
    """Return the anchor of each mark [S] of a text, and the faults of marks without their own anchor."""
    found: list[str] = []
    faults: list[str] = []
    for block in _BLOCK.split(text):
        head, *rest = _ANCHOR.split(block)
        pieces = [("", head), *zip(rest[::2], rest[1::2], strict=True)]
        for anchor, piece in pieces:
            marks = len(_MARK.findall(piece))
            if marks and not anchor:
                faults.append(f"a mark of docs/rules.md has no anchor: {piece.strip()[:60]}")
            elif marks > 1:
                faults.append(f"docs/rules.md#{anchor} has {marks} marks")
            elif marks:
                found.append(anchor)
    return found, faults


def _orphan_identifiers(parts: tuple[Part, ...]) -> Iterator[str]:
    held = {name for row in _statements(parts) for name in row.names}
    yield from (f"no row names the identifier {name}" for name in LISTED if name not in held)
    yield from (f"the identifier {name} is not listed" for name in sorted(held - set(LISTED)))
    for row in _statements(parts):
        for name in row.names:
            if not row.not_ours and not any(word(name) in text for text in _texts(row)):
                yield f"{row.number}: neither its code nor its tests contain {name}"


def _texts(row: Statement) -> Iterator[str]:
    for name in row.code:
        source = import_module(f"curae_lifecycle.{name.partition(':')[0]}").__file__
        if source is not None:
            yield _text(Path(source))
    for name in row.tests:
        path = TESTS / f"{name.partition('::')[0]}.py"
        if path.is_file():
            yield _text(path)


def _unknown_names(parts: tuple[Part, ...]) -> Iterator[str]:
    anchors = set(_ANCHOR.findall(_text(RULES)))
    for row in _statements(parts):
        for name in row.rules:
            there = name[1:] in anchors if name.startswith("#") else find_rule(name) is not None
            if not there:
                yield f"{row.number}: there is no rule {name}"
        for name in row.code:
            module, _, attribute = name.partition(":")
            if not hasattr(import_module(f"curae_lifecycle.{module}"), attribute):
                yield f"{row.number}: there is no {attribute} in {module}"
        for name in row.tests:
            file, _, function = name.partition("::")
            if function not in _functions(file):
                yield f"{row.number}: there is no test {name}"


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _functions(file: str) -> frozenset[str]:
    path = TESTS / f"{file}.py"
    if not path.is_file():
        return frozenset()
    tree = ast.parse(_text(path))
    return frozenset(each.name for each in tree.body if isinstance(each, ast.FunctionDef))
