"""The traceability page, made from its statements."""

from __future__ import annotations

from typing import Final

from curae_lifecycle.service.rulebook import find_rule
from docs.generate.traceability.identifiers import IDENTIFIERS, LISTED
from docs.generate.traceability.reconnect import LIFECYCLE, REQUEST, RESPONSE
from docs.generate.traceability.revoke_and_initiate import INITIATE, REVOKE
from docs.generate.traceability.statement import Part, Statement

PARTS: Final[tuple[Part, ...]] = (LIFECYCLE, REQUEST, RESPONSE, REVOKE, INITIATE)
"""The parts of the reference, in the order of the page."""

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

This page is printed from `docs/generate/traceability`: `python -m docs.generate traceability`.
"""


def to_markdown(parts: tuple[Part, ...] = PARTS) -> str:
    """Return the page as Markdown."""
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
        lines += [_section(statement) for statement in part.statements]
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


def _section(statement: Statement) -> str:
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
