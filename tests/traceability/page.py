"""The traceability page, made from its statements, and what is wrong with them."""

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
from tests.traceability.identifiers import IDENTIFIERS, LISTED, word
from tests.traceability.reconnect import LIFECYCLE, REQUEST, RESPONSE
from tests.traceability.revoke_and_initiate import INITIATE, REVOKE
from tests.traceability.statement import Part, Statement

TESTS: Final = Path(__file__).resolve().parent.parent
RULES: Final = TESTS.parent / "docs" / "rules.md"
PARTS: Final[tuple[Part, ...]] = (LIFECYCLE, REQUEST, RESPONSE, REVOKE, INITIATE)

_ANCHOR: Final = re.compile(r'<a id="([^"]+)"></a>')
_MARK: Final = re.compile(r"(?<!\*)\[S\b")
"""A source in square brackets; in bold it is spoken of."""
_BLOCK: Final = re.compile(r"\n\s*\n|\n(?=- |\d+\. |\|)")
"""What parts paragraphs, items of a list and rows of a table."""

_HEAD: Final = """\
# Traceability

What the platform's reference of the reconnect, revoke and initiate operations says, statement by statement
and in our words, and where each went: the rules that hold it, the code that does it, and the tests that
fail where it is not done. A test fails where a statement has none of these, where a rule of a table or of
[the rules](rules.md) names the reference as its source, **[S]**, and no statement leads to it, where a name
leads nowhere, and where an identifier of the reference stands in no row.

That each statement says what the reference says, and that none is missing, a reader has to see: the
reference is not part of this repository. What its words leave open is ours, and is among
[the decisions](decisions.md).

This page is printed from `tests/traceability`: `python -m tests.traceability docs/traceability.md`.
"""


def page(parts: tuple[Part, ...] = PARTS) -> str:
    """The page as Markdown."""
    rows = [statement for part in parts for statement in part.statements]
    ours = [statement for statement in rows if not statement.not_ours]
    rules = {name for statement in rows for name in statement.rules}
    tests = {name for statement in rows for name in statement.tests}
    lines = [
        _HEAD,
        (
            f"{len(rows)} statements, of which {len(rows) - len(ours)} are not ours to keep; "
            f"{len(LISTED)} identifiers; {len(rules)} rules and {len(tests)} tests that they lead to."
        ),
    ]
    for part in parts:
        lines.append(f"\n## {part.title}")
        lines += [_shown(statement) for statement in part.statements]
    lines += [
        "\n## Identifiers\n",
        "| what | as the reference spells it | stands in |",
        "| --- | --- | --- |",
    ]
    for kind, names in IDENTIFIERS.items():
        for name in names:
            where = ", ".join(
                f"[{row.number}](#{row.number.lower()})" for row in rows if name in row.names
            )
            lines.append(f"| {kind} | `{name}` | {where} |")
    return "\n".join(lines) + "\n"


def _shown(statement: Statement) -> str:
    lines = [
        f'\n<a id="{statement.number.lower()}"></a>**{statement.number}** {statement.says}\n',
    ]
    if statement.not_ours:
        lines.append(f"- Not ours: {statement.not_ours}")
    for what, shown in (
        ("Rule", [_rule(name) for name in statement.rules]),
        ("Code", [_code(name) for name in statement.code]),
        ("Test", [f"`tests/{name.replace('::', '.py::')}`" for name in statement.tests]),
    ):
        if shown:
            lines.append(
                f"- {what}{'s' if len(shown) > 1 and what != 'Code' else ''}: {', '.join(shown)}"
            )
    return "\n".join(lines)


def _rule(name: str) -> str:
    if name.startswith("#"):
        return f"[{name.removeprefix('#').replace('-', ' ')}](rules.md{name})"
    found = find_rule(name)
    table = "" if found is None else found.table.name
    return f"[`{name}`](tables/{table}.md#{name})"


def _code(name: str) -> str:
    module, _, attribute = name.partition(":")
    room = module.partition(".")[0]
    return f"[`{module}.{attribute}`](reference/{room}.md)"


def faults(parts: tuple[Part, ...] = PARTS) -> list[str]:
    """What is wrong with the statements, each in a line; none where all is well."""
    return [
        *_gaps(parts),
        *_lost_rules(parts),
        *_lost_identifiers(parts),
        *_names_of_nothing(parts),
    ]


def _statements(parts: tuple[Part, ...]) -> list[Statement]:
    return [statement for part in parts for statement in part.statements]


def _gaps(parts: tuple[Part, ...]) -> Iterator[str]:
    counted: Counter[str] = Counter()
    for number in (row.number for row in _statements(parts)):
        counted[number[0]] += 1
        if number != f"{number[0]}{counted[number[0]]}":
            yield f"{number} stands where {number[0]}{counted[number[0]]} should"
    for row in _statements(parts):
        if not row.says.strip():
            yield f"{row.number} says nothing"
        wanted = {"rule": row.rules, "code": row.code, "test": row.tests}
        lacking = [what for what, names in wanted.items() if not names and not row.not_ours]
        if lacking:
            yield f"{row.number} has no {', no '.join(lacking)}"


def _lost_rules(parts: tuple[Part, ...]) -> Iterator[str]:
    led_to = {name for row in _statements(parts) for name in row.rules}
    of_tables = (row.rule for table in TABLES.values() for row in table.rows if "[S" in row.why)
    for name in of_tables:
        if name not in led_to:
            yield f"no statement leads to the rule {name}"
    marks, faulty = marked(_text(RULES))
    yield from faulty
    for anchor in marks:
        if f"#{anchor}" not in led_to:
            yield f"no statement leads to docs/rules.md#{anchor}"


def marked(text: str) -> tuple[list[str], list[str]]:
    """The anchor of each mark [S] of a text, and what is wrong with marks that have none of their own."""
    found: list[str] = []
    wrong: list[str] = []
    for block in _BLOCK.split(text):
        head, *rest = _ANCHOR.split(block)
        pieces = [("", head), *zip(rest[::2], rest[1::2], strict=True)]
        for anchor, piece in pieces:
            marks = len(_MARK.findall(piece))
            if marks and not anchor:
                wrong.append(f"a mark of docs/rules.md has no anchor: {piece.strip()[:60]}")
            elif marks > 1:
                wrong.append(f"docs/rules.md#{anchor} has {marks} marks")
            elif marks:
                found.append(anchor)
    return found, wrong


def _lost_identifiers(parts: tuple[Part, ...]) -> Iterator[str]:
    held = {name for row in _statements(parts) for name in row.names}
    yield from (f"no row holds the identifier {name}" for name in LISTED if name not in held)
    yield from (f"the identifier {name} is not listed" for name in sorted(held - set(LISTED)))
    for row in _statements(parts):
        for name in row.names:
            if not row.not_ours and not any(word(name) in text for text in _texts(row)):
                yield f"{row.number}: neither its code nor its tests say {name}"


def _texts(row: Statement) -> Iterator[str]:
    for name in row.code:
        source = import_module(f"curae_lifecycle.{name.partition(':')[0]}").__file__
        if source is not None:
            yield _text(Path(source))
    for name in row.tests:
        path = TESTS / f"{name.partition('::')[0]}.py"
        if path.is_file():
            yield _text(path)


def _names_of_nothing(parts: tuple[Part, ...]) -> Iterator[str]:
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
