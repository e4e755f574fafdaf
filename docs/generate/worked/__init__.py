"""The worked examples: each rule with its laws, the test of its answer, and an example that was run.

The law of this package: **every rule decides its example**. The example is the first scene of the
table in which the rule is in the trail of the answer, or in which one of its cells was looked up.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from curae_lifecycle.rules.problems import CATALOGUE, ProblemType
from curae_lifecycle.rules.tables import AnyTable, Row
from curae_lifecycle.service.gates import Ask
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.rulebook import TABLES, find_rule
from curae_lifecycle.testing.cells import Cell, count_cell_lookups
from docs.generate.worked import laws_and_tests
from docs.generate.worked.lines import code_of, lines, rules_of, summary
from docs.generate.worked.scene import CallScene, Scene
from docs.generate.worked.scenes import SCENES

_HEAD: Final = """\
[The table](../{}.md) has all of them side by side. A rule keeps the laws that name it or its table on
[the page of laws](../../correctness.md). It is held by the test in which its answer was written down by
hand, and `tests/proof/oracles/test_table_mutants.py` puts other answers in its place: something must notice each.
The examples were run by `python -m docs.generate worked`; JSON is set in lines.
"""
Example = tuple[Scene, object]


@cache
def examples(name: str) -> dict[str, Example]:
    """Run the scenes of a table once and return the example of each rule.

    Raises:
        LookupError: A rule decides no scene.
    """
    table = TABLES[name]
    ranked: dict[str, tuple[int, Example]] = {}
    rules: dict[Cell, str] = {(table.name, *map(str, key)): row.rule for key, row in table.cells()}
    for scene in SCENES[name]():
        with count_cell_lookups([table]) as looked:
            ran = scene.run()
        asked = {rules[cell] for cell in looked}
        for row in table.rows:
            rank = _rank(row, scene=scene, ran=ran, asked=asked)
            if rank is not None and (row.rule not in ranked or rank < ranked[row.rule][0]):
                ranked[row.rule] = rank, (scene, ran)
    missing = [row.rule for row in table.rows if row.rule not in ranked]
    if missing:
        raise LookupError(f"no scene for {', '.join(missing)}")
    return {row.rule: ranked[row.rule][1] for row in table.rows}


def _rank(row: Row[object], scene: Scene, ran: object, asked: set[str]) -> int | None:
    # Lower is better: a request or a fact before a call, and the last rule of a trail before others.
    trail, code = rules_of(ran), code_of(ran)
    call = 10 if isinstance(scene, CallScene) else 0
    if isinstance(row.outcome, ProblemType):
        return call if code in row.parts else None
    if row.rule.startswith("problem-status."):
        kinds = {str(each): type_.outcome.kind for each, type_ in CATALOGUE.items()}
        return call if kinds.get(code) in row.parts else None
    if isinstance(row.outcome, Ask):
        last = find_rule(trail[-1]) if trail else None
        if last is None or code == "":
            return None
        names = (row.outcome.table,) if row.outcome.table else _OPERATION_TABLES
        return call if last.row.rule.startswith(names) else None
    if row.rule in trail:
        return call + (0 if trail[-1] == row.rule else 1)
    return call + 2 if row.rule in asked else None


_OPERATION_TABLES: Final = tuple(name for kind in OPERATIONS for name in kind.rule.asks)


# --- The pages -----------------------------------------------------------------------------------


def files() -> dict[str, str]:
    """Return the text of every page by its file name."""
    kept, tests = laws_and_tests.laws(), laws_and_tests.holders()
    return {f"{name}.md": _page(table, kept, tests) for name, table in TABLES.items()}


def _page(table: AnyTable, kept: dict[str, tuple[int, ...]], tests: dict[str, str]) -> str:
    text = f"# {table.name}, rule by rule\n\n{table.law}\n\n"
    text += _HEAD.format(table.name)
    for row, (scene, ran) in zip(table.rows, examples(table.name).values(), strict=True):
        text += f"\n{_section(table, row=row, kept=kept.get(row.rule, ()), tests=tests)}"
        shown = "\n".join(line.rstrip() for line in lines(scene, ran))
        text += f"\n<details>\n<summary>{summary(scene, ran)}</summary>\n\n"
        text += f"```text\n{shown}\n```\n\n</details>\n"
    return text


def _section(
    table: AnyTable, row: Row[object], kept: tuple[int, ...], tests: dict[str, str]
) -> str:
    key = " × ".join(map(str, row.parts))
    keeps = " and ".join(f"[law {number}](../../rules.md#law-{number})" for number in kept)
    laws = f"keeps {keeps}, is " if keeps else "is "
    changes = laws_and_tests.changes_noticed(table, row)
    notes = [
        f"- Unreachable, {' × '.join(cell)}: {why}\n"
        for cell, why in laws_and_tests.unreachable(table, row)
    ]
    return (
        f"## {row.rule}\n\n{key}: **{row.outcome}**. {row.why}\n\n"
        f"It {laws}held by {laws_and_tests.holder(table, row, tests)}, and is changed in {changes} ways.\n"
        + ("\n" + "".join(notes) if notes else "")
    )
