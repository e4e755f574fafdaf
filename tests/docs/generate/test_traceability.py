"""Tests of the traceability page and the faults of its statements."""

from __future__ import annotations

from collections import Counter
from typing import Protocol, cast

import attrs
import pytest

from curae_lifecycle.service.rulebook import TABLES
from docs.generate import traceability
from docs.generate.traceability.faults import RULES, find_faults, find_marks
from docs.generate.traceability.identifiers import LISTED, word
from docs.generate.traceability.page import PARTS, to_markdown
from docs.generate.traceability.statement import Part, Statement

NUMBERS = [row.number for part in PARTS for row in part.statements]


class Evolve(Protocol):
    def __call__(self, row: Statement, /, **what: object) -> Statement: ...


def changed(which: str, **what: object) -> tuple[Part, ...]:
    """Return all statements with one of them changed."""
    evolve = cast("Evolve", attrs.evolve)

    def after(row: Statement) -> Statement:
        return evolve(row, **what) if row.number == which else row

    return tuple(
        attrs.evolve(part, statements=tuple(map(after, part.statements))) for part in PARTS
    )


def without(number: str) -> tuple[Part, ...]:
    return tuple(
        attrs.evolve(part, statements=tuple(r for r in part.statements if r.number != number))
        for part in PARTS
    )


def test_traceability_docs_page_has_no_faults() -> None:
    assert find_faults() == []


def test_traceability_statement_without_rule_or_test_is_a_fault() -> None:
    assert "R10 has no rule" in find_faults(changed("R10", rules=()))
    assert "R10 has no code" in find_faults(changed("R10", code=()))
    assert "R10 has no test" in find_faults(changed("R10", tests=()))
    bare = changed("R10", rules=(), code=(), tests=())
    assert "R10 has no rule, no code, no test" in find_faults(bare)
    assert "R10 has no text" in find_faults(changed("R10", says=" "))
    assert "R10 has no rule" not in find_faults(
        changed("R10", rules=(), not_ours="Somebody else's.")
    )


def test_missing_or_repeated_traceability_statement_is_a_fault() -> None:
    counts = Counter(number[0] for number in NUMBERS)
    assert counts == {"R": 33, "V": 5, "I": 18}
    for number in ("R1", "R10", "R33", "V1", "V5", "I17", "I18"):
        after = f"{number[0]}{int(number[1:]) + 1}"
        gap = f"{after} has the place of {number}"
        assert (gap in find_faults(without(number))) is (after in NUMBERS)
    assert "R10 has the place of R11" in find_faults(changed("R11", number="R10"))


def test_reference_rule_in_no_traceability_statement_is_a_fault() -> None:
    from_reference = [
        row.rule for table in TABLES.values() for row in table.rows if "[S" in row.why
    ]
    assert len(from_reference) == 62
    nowhere = [
        attrs.evolve(row, rules=(), names=(), not_ours="x")
        for part in PARTS
        for row in part.statements
    ]
    found = find_faults((Part("All", tuple(nowhere)),))
    lost = [line for line in found if line.startswith("no statement names the rule ")]
    assert lost == [f"no statement names the rule {name}" for name in from_reference]
    anchors, _ = find_marks(RULES.read_text(encoding="utf-8"))
    assert len(anchors) == 27
    assert {f"no statement names docs/rules.md#{anchor}" for anchor in anchors} <= set(found)


def test_unknown_rule_or_test_in_traceability_is_a_fault() -> None:
    assert "R10: there is no rule no.such" in find_faults(changed("R10", rules=("no.such",)))
    assert "R10: there is no rule #no-such" in find_faults(changed("R10", rules=("#no-such",)))
    code = changed("R10", code=("rules.values:no_such",))
    assert "R10: there is no no_such in rules.values" in find_faults(code)
    for name in ("test_values::test_no_such", "test_no_such::test_a", "test_values::START"):
        assert f"R10: there is no test {name}" in find_faults(changed("R10", tests=(name,)))


def test_unnamed_or_unlisted_identifier_is_a_traceability_fault() -> None:
    assert "no row names the identifier connectionId" in find_faults(changed("R10", names=()))
    found = find_faults(changed("R10", names=("noSuch",)))
    assert "the identifier noSuch is not listed" in found
    assert "R10: neither its code nor its tests contain noSuch" in found
    assert len(set(LISTED)) == len(LISTED)
    assert [word(name) for name in ("connection", "problem.code", "connection:write")] == [
        "connection",
        "code",
        "connection:write",
    ]


@pytest.mark.parametrize(
    ("text", "anchors", "wrong"),
    [
        ('<a id="a"></a>Said [S].', ["a"], []),
        ('<a id="a"></a>Said [S, P].\n\n<a id="b"></a>Ours [O].', ["a"], []),
        ('| <a id="a"></a>x [S] | <a id="b"></a>y\n[S: z] |', ["a", "b"], []),
        ("- What is marked **[S]** is said.", [], []),
        ("Said [S].", [], ["a mark of docs/rules.md has no anchor: Said [S]."]),
        (
            '- <a id="a"></a>One [S].\n- Two [S].',
            ["a"],
            ["a mark of docs/rules.md has no anchor: - Two [S]."],
        ),
        ('<a id="a"></a>One [S]. Two [S].', [], ["docs/rules.md#a has 2 marks"]),
    ],
)
def test_source_mark_on_the_rules_page_without_anchor_is_a_fault(
    text: str, anchors: list[str], wrong: list[str]
) -> None:
    assert find_marks(text) == (anchors, wrong)


def test_traceability_fault_stops_the_docs_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traceability, "find_faults", lambda: ["R1 has no test", "R2 has no rule"])
    with pytest.raises(SystemExit, match=r"^R1 has no test\nR2 has no rule$"):
        traceability.files()


def test_traceability_row_links_its_rules_code_and_tests() -> None:
    row = Statement(
        number="X1",
        says="So it is.",
        rules=("recovery.revoked.none", "#sdk-app"),
        code=("rules.chain:RECOVERY",),
        tests=("rules/test_chain::test_reconnect_and_revoke_chain_raise_for_times_not_in_utc",),
    )
    shown = to_markdown((Part("Some", (row,)),))
    assert '\n<a id="x1"></a>**X1** So it is.\n' in shown
    assert (
        "\n- Rules: [`recovery.revoked.none`](tables/recovery.md#recovery.revoked.none), "
        "[sdk app](rules.md#sdk-app)\n- Code: [`rules.chain.RECOVERY`](reference/rules.md)\n"
        "- Test: `tests/rules/test_chain.py::test_reconnect_and_revoke_chain_raise_for_times_not_in_utc`\n"
    ) in shown
