"""The changelog, compared with the rules that changed since the last release."""

from __future__ import annotations

import re

import pytest

from curae_lifecycle.cli.release import Rule, TableShape, parse_release
from curae_lifecycle.cli.table_diff import CellsChange, Kind, TableChange, compare
from curae_lifecycle.cli.table_formats import to_document
from curae_lifecycle.service.rulebook import TABLES
from tests.support.paths import ROOT

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
RELEASED = parse_release((ROOT / "docs/tables/released.json").read_bytes())
NOW = parse_release(to_document(TABLES.values()))


def listed(changelog: str) -> set[str]:
    """Return the rules under "Changed rules" in the unreleased section."""
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    unreleased = [
        section for section in sections if "unreleased" in section.partition("\n")[0].lower()
    ]
    parts = [part for section in unreleased for part in section.split("\n### ")]
    rules = [part for part in parts if part.startswith("Changed rules\n")]
    return set(re.findall(r"`([a-z0-9-]+(?:\.[a-z0-9-]+)+)`", "\n".join(rules)))


def faults(changelog: str, changes: tuple[TableChange, ...]) -> dict[str, list[str]]:
    """Return the changed rules missing in the changelog, and the listed ones that are unchanged."""
    must: set[str] = set()
    may: set[str] = set()
    for change in (change for table in changes for change in table.cells):
        names = {rule.name for rule in (change.before, change.after) if rule is not None}
        may |= names
        if Kind.RENAMED in change.kinds:
            must |= names
        elif Kind.ANSWER in change.kinds and change.after is not None:
            must.add(change.after.name)
    named = listed(changelog)
    return {"forgotten": sorted(must - named), "unchanged": sorted(named - may)}


def test_changelog_names_exactly_the_rules_changed_since_release() -> None:
    assert faults(CHANGELOG, compare(RELEASED, NOW)) == {"forgotten": [], "unchanged": []}


def rule(name: str, answer: str) -> Rule:
    return Rule(name=name, outcome={"to": answer}, says=answer, why="[O] So.")


def changed(*kinds: Kind, before: Rule | None, after: Rule | None) -> tuple[TableChange, ...]:
    cells = CellsChange(
        kinds=kinds, cells=frozenset({frozenset({("a", "1")})}), before=before, after=after
    )
    frame = TableShape("Law.", None, {"a": ("1",)})
    return (TableChange(name="t", before=frame, after=frame, cells=(cells,)),)


ANSWERED = changed(Kind.ANSWER, before=rule("t.a", "X"), after=rule("t.a", "Y"))
SPLIT = changed(Kind.ANSWER, Kind.OTHER_RULE, before=rule("t.a", "X"), after=rule("t.b", "Y"))
RENAMED = changed(Kind.RENAMED, before=rule("t.a", "X"), after=rule("t.b", "X"))
REWORDED = changed(Kind.REASON, before=rule("t.a", "X"), after=rule("t.a", "X"))
GONE = changed(Kind.GONE, before=rule("t.a", "X"), after=None)


@pytest.mark.parametrize(
    ("changes", "named", "forgotten", "unchanged"),
    [
        ((), "", [], []),
        ((), "`t.a`", [], ["t.a"]),
        (ANSWERED, "", ["t.a"], []),
        (ANSWERED, "`t.a`: X is Y now.", [], []),
        (ANSWERED, "`t.a`, `t.b`", [], ["t.b"]),
        (SPLIT, "`t.a`", ["t.b"], []),
        (SPLIT, "`t.a`, `t.b`", [], []),
        (RENAMED, "`t.a`", ["t.b"], []),
        (RENAMED, "`t.a` is `t.b` now.", [], []),
        (REWORDED, "", [], []),
        (REWORDED, "`t.a`", [], []),
        (GONE, "", [], []),
        (GONE, "`t.a`", [], []),
    ],
)
def test_changelog_check_reports_missing_and_unchanged_rules(
    changes: tuple[TableChange, ...], named: str, forgotten: list[str], unchanged: list[str]
) -> None:
    section = f"### Changed rules\n\n- {named}\n" if named else ""
    older = "## 0.1.0\n\n### Changed rules\n\n- `t.old`\n"
    text = f"# Changelog\n\n## Unreleased\n\n### Added\n\n- `t.new`\n\n{section}\n{older}"
    assert faults(text, changes) == {"forgotten": forgotten, "unchanged": unchanged}
