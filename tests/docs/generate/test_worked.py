"""Tests of the worked examples: each shows the rule of its section."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.tables import AnyTable
from curae_lifecycle.service.rulebook import TABLES
from docs.generate.tables import slug
from docs.generate.worked import examples, files, laws_and_tests, scenes
from docs.generate.worked.lines import lines, summary
from docs.generate.worked.scene import CallScene, Scene
from tests.proof.oracles.oracle import UNREACHABLE
from tests.proof.oracles.test_table_mutants import COUNTS
from tests.proof.reference import tables
from tests.support.cells import Key, outcome_of
from tests.support.paths import ROOT

FOLDER: Final = ROOT / "docs/tables/worked"
RULES: Final = Counter(row.rule for table in TABLES.values() for row in table.rows)
PAGES: Final = files()
TEXT: Final = "".join(PAGES.values())


def test_worked_example_pages_have_one_linked_anchor_per_rule() -> None:
    assert set(RULES.values()) == {1}
    assert Counter(re.findall(r"^## (\S+)$", TEXT, re.MULTILINE)) == RULES
    pages = [path.read_text(encoding="utf-8") for path in FOLDER.parent.glob("*.md")]
    linked = re.findall(r'<a id="(\S+)"></a>\[`(\S+)`\]\(worked/\S+\.md#(\S+)\)', "".join(pages))
    assert Counter(anchor for anchor, _, _ in linked) == RULES
    assert Counter(re.findall(r'<a id="(\S+)">', "".join(pages))) == RULES
    for anchor, rule, target in linked:
        assert anchor == rule
        assert target == slug(rule)


def test_worked_example_has_outcome_reason_test_and_code() -> None:
    sections = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    for section in (each for each in sections if not each.startswith("#")):
        assert re.match(
            r"\S+\n\n.+: \*\*.+\*\*\. \[[SPO]\] .+\n\n"
            r"It (?:keeps \[law \d+\]\(\.\./\.\./rules\.md#law-\d+\)(?: and \[law \d+\]\(\S+\))*, )?"
            r"is held by `tests/\S+\.py` in `\w+`, and is changed in \d+ ways\."
            r"\n(?:\n(?:- Unreachable, .+: .+\n)+)?\n<details>\n<summary>.+</summary>\n\n```text\n",
            section,
        ), section[:400]


def test_docs_list_unreachable_table_cells_with_their_proof() -> None:
    for (_, *key), why in UNREACHABLE.items():
        assert f"- Unreachable, {' × '.join(key)}: {why}\n" in TEXT
    assert TEXT.count("- Unreachable, ") == len(UNREACHABLE) == 24


def test_exactly_7_tables_have_worked_examples_as_python_calls() -> None:
    called = {
        name: sum(isinstance(scene, CallScene) for scene, _ in examples(name).values())
        for name in TABLES
    }
    assert {name: number for name, number in called.items() if number} == {
        "deadline": 7,
        "access": 7,
        "binding": 2,
        "attempt": 10,
        "record-upkeep": 21,
        "problems": 1,
        "stored-status": 8,
    }


# --- An example shows its rule -----------------------------------------------------------------


def shown(scene: Scene) -> object:
    try:
        return "\n".join(lines(scene, scene.run()))
    except Exception as error:  # noqa: BLE001 - a changed rule may break anything
        return type(error)


def cells_of(table: AnyTable, rule: str) -> Iterator[Key]:
    return (tuple(key) for key, row in table.cells() if row.rule == rule)


# The classes hold the rules of operations, and a row that asks another table reads the same for any
# table.
NOT_CHANGED: Final = {
    *(row.rule for row in TABLES["operation"].rows),
    *("request.permission", "request.idempotency", "request.rule"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TABLES if name != "operation"])
def test_worked_example_changes_if_its_rule_changes(name: str) -> None:
    table = TABLES[name]
    outcomes = {str(row.outcome): row.outcome for row in table.rows}
    for rule, (scene, _) in examples(name).items():
        if rule in NOT_CHANGED:
            continue
        golden = shown(scene)
        assert isinstance(golden, str)
        seen: set[object] = set()
        for key in cells_of(table, rule):
            for outcome in outcomes.values():
                with outcome_of(name, key, outcome):
                    seen.add(shown(scene))
            if len(seen) > 1:
                break
        assert len(seen) > 1, rule
        assert shown(scene) == golden


def test_worked_operation_example_has_http_status_of_its_rule() -> None:
    for row, (scene, ran) in zip(
        TABLES["operation"].rows, examples("operation").values(), strict=True
    ):
        said = str(row.outcome)
        method, path, _, status = said.partition(";")[0].split(" ")
        assert summary(scene, ran).startswith(f"<code>{method} {path.partition('{')[0]}")
        assert summary(scene, ran).endswith(f"is answered {status}")


def test_rule_without_a_worked_example_stops_the_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(scenes.endings())
    monkeypatch.setitem(scenes.SCENES, "ending", lambda: iter([first]))
    with pytest.raises(LookupError, match=r"no scene for ending\.active, ending\.action-required"):
        examples.__wrapped__("ending")


# --- Tests of a rule ---------------------------------------------------------------------------


def test_law_covers_each_rule_that_its_docs_section_links_to() -> None:
    text = (
        "### Law 3\n\n- Enforced by: the table [life](tables/life.md).\n- Sampled: much.\n\n"
        "### Law 4\n\n- Enforced by: the rows [`life.pending`](tables/life.md#life.pending) and\n"
        "  [`ending.active`](tables/ending.md#ending.active), but [no page](life.md).\n"
        "- Sampled: some [of it](tables/access.md).\n"
    )
    found = laws_and_tests.laws(text)
    assert found.pop("life.pending") == (3, 4)
    assert found.pop("ending.active") == (4,)
    assert set(found) == {row.rule for row in TABLES["life"].rows} - {"life.pending"}
    assert set(found.values()) == {(3,)}


def test_worked_example_pages_link_the_laws_of_their_rules() -> None:
    number = {law for laws in laws_and_tests.laws().values() for law in laws}
    assert number == {1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 15, 17}
    assert f"law-{min(number)})" in PAGES["connection.md"]


def test_worked_examples_cite_existing_hand_written_test_tables() -> None:
    found = laws_and_tests.holders()
    assert found.keys() == TABLES.keys()
    for place in found.values():
        match = re.fullmatch(r"`(tests/\S+\.py)` in `(\w+)`", place)
        assert match is not None
        text = (ROOT / match[1]).read_text(encoding="utf-8")
        assert re.search(rf"^{match[2]}\b", text, re.MULTILINE), place


def test_worked_example_of_a_rule_without_test_or_mutant_raises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = TABLES["life"]
    changed = attrs.evolve(table.rows[0], outcome="over")
    monkeypatch.setitem(tables.TABLES, "life", {**tables.LIFE, ("PENDING",): "over"})
    with pytest.raises(LookupError, match=r"no test holds life\.pending at PENDING"):
        laws_and_tests.holder(table, table.rows[0], laws_and_tests.holders())
    assert (
        laws_and_tests.holder(table, changed, laws_and_tests.holders())
        == "`tests/proof/reference/tables.py` in `LIFE`"
    )
    monkeypatch.setattr(laws_and_tests, "_CHANGES", Counter())
    with pytest.raises(LookupError, match=r"no test changes life\.pending"):
        laws_and_tests.changes_noticed(table, table.rows[0])


def test_killed_mutants_per_rule_add_up_to_those_of_its_table() -> None:
    for name, table in TABLES.items():
        changes = sum(laws_and_tests.changes_noticed(table, row) for row in table.rows)
        _, killed, _, _ = COUNTS[name]
        assert changes == killed, name
