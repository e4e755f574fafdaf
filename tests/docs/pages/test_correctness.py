"""Tests of the correctness page: each law states its strength, and each figure has a source."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

import curae_lifecycle
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.testing import laws
from tests.proof.domains.test_domains import DOMAINS
from tests.proof.fuzz.corpus_files import load_corpus
from tests.proof.fuzz.targets import TARGETS
from tests.proof.oracles.oracle import UNREACHABLE
from tests.support.paths import ROOT

PACKAGE = Path(curae_lifecycle.__file__).parent
PAGE = (ROOT / "docs/correctness.md").read_text(encoding="utf-8")
METHODS = (ROOT / "docs/testing-the-library.md").read_text(encoding="utf-8")
QUESTIONS = (ROOT / "docs/questions.md").read_text(encoding="utf-8")
STRENGTHS: Final = ("Proven", "Exhaustive", "Sampled", "Observed", "By inspection")


def sections(page: str) -> dict[int, str]:
    """Return the section of each law."""
    found = re.findall(r"^### Law (\d+)\n(.*?)(?=^##)", page, re.MULTILINE | re.DOTALL)
    return {int(number): text for number, text in found}


def items(text: str) -> list[tuple[str, str]]:
    """Return the points of a list, each with the word before its colon."""
    points = re.findall(r"^- ([A-Z][a-z ]+): (.*?)(?=^- |\Z)", text, re.MULTILINE | re.DOTALL)
    return [(word, " ".join(said.split())) for word, said in points]


def figures(said: str) -> set[str]:
    """Return the numbers of two or more digits in a text, without link targets and code."""
    bare = re.sub(r"\]\([^)]*\)|`[^`]*`|\blaws? \d+", " ", said)
    return set(re.findall(r"\d[\d,]*\d", bare))


def sources(text: str) -> str:
    """Return the text of the pages and tests that a text names, with numbers without separators."""
    pages = re.findall(r"\]\(([\w/-]+\.md)", text)
    tests = re.findall(r"`(tests/[\w/]+\.py)", text)
    paths = [ROOT / "docs" / page for page in pages] + [ROOT / test for test in tests]
    said = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    return re.sub(r"(?<=\d)[,_](?=\d)", "", said)


def loose(text: str, *more: str) -> list[str]:
    """List the figures of a law that none of its sources contains."""
    there = set(re.findall(r"\d+", sources(text))) | set(more)
    return sorted(each for each in figures(text) if each.replace(",", "") not in there)


def test_correctness_docs_say_how_each_law_is_enforced() -> None:
    said = sections(PAGE)
    assert said.keys() == laws.LAWS.keys()
    for number, text in said.items():
        words = [word for word, _ in items(text)]
        assert words[0] == "Enforced by", number
        assert words[-1] == "Shown by", number
        strengths = [word for word in words if word in STRENGTHS]
        assert words[1 : len(strengths) + 1] == strengths != [], number
        assert words[len(strengths) + 1 :] in (["Code", "Shown by"], ["Shown by"]), number
        for code in re.findall(r"`([\w/]+(?:\.py)?)`", dict(items(text)).get("Code", "")):
            assert (PACKAGE / code).exists() or (ROOT / code).exists(), code
        assert strengths == [word for word in STRENGTHS if word in strengths], number
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| {number} |"))
        assert f"[{', '.join(strengths).lower()}](#law-{number})" in row


def test_correctness_docs_define_evidence_kinds_and_cite_sources() -> None:
    for word in STRENGTHS:
        assert re.search(rf"^- \*\*{word}\*\*: ", PAGE, re.MULTILINE), word
    for number, text in sections(PAGE).items():
        for word, said in items(text):
            named = re.search(
                r"`tests/[\w/]+\.py`|\]\([\w-]+\.md|as law \d|the same states", said, re.IGNORECASE
            )
            assert named or word not in STRENGTHS or word == "By inspection", (number, word)


MERGES = sum(each.answers for each in DOMAINS if each.walk.__name__.startswith("merge_"))
INPUTS = sum(len(load_corpus(target)) for target in TARGETS)


def test_numbers_of_the_correctness_docs_occur_in_cited_files() -> None:
    for number, text in sections(PAGE).items():
        assert loose(text, str(MERGES), str(INPUTS), str(len(TARGETS))) == [], number
    page = " ".join(PAGE.split())
    assert (
        f"- Exhaustive: every pair and every triple of small snapshots, {MERGES:,} answers" in page
    )
    assert f"- Sampled: {INPUTS} committed inputs and 20 mutants of each, at {len(TARGETS)}" in page
    methods = " ".join(METHODS.split())
    assert f"The {len(TARGETS)} parsers get {INPUTS} committed inputs and their mutants" in methods


@pytest.mark.parametrize(
    ("said", "file", "held"),
    [
        ("- 306 servers with one each", "proof/bugs/test_bugs", "VISIBLE = 306"),
        ("- 50 functions and stores with one", "proof/bugs/test_bugs", "HIDDEN = 50"),
        ("Sixty generated logs", "proof/test_against_reference", "SEEDS: Final = range(60)"),
        (
            "member by member: 2,184 mutants",
            "proof/oracles/test_table_mutants",
            "== (2184, 2064, 0, 120)",
        ),
        (
            "2,064 change a function's answer;",
            "proof/oracles/test_table_mutants",
            "== (2184, 2064, 0, 120)",
        ),
        (
            "the other 120 are proven unreachable",
            "proof/oracles/test_table_mutants",
            "== (2184, 2064, 0, 120)",
        ),
        (
            "that Hypothesis and 300 seeds choose",
            "proof/stateful/test_serving",
            "for seed in range(300)",
        ),
    ],
)
def test_counts_of_the_correctness_docs_occur_in_their_tests(
    said: str, file: str, held: str
) -> None:
    assert said in " ".join(METHODS.split())
    assert held in (ROOT / f"tests/{file}.py").read_text(encoding="utf-8")


def test_correctness_docs_state_the_sample_counts_of_the_tests() -> None:
    page = " ".join(PAGE.split())
    tests = ROOT / "tests"
    profiles = (tests / "conftest.py").read_text(encoding="utf-8")
    everyday, thorough = re.findall(r"max_examples=(\d+)", profiles)
    assert f"{everyday} of each property in every test run, {thorough} when the wheel" in page
    machines = (tests / "proof/stateful/test_machines.py").read_text(encoding="utf-8")
    ((few, many),) = re.findall(r'"runs", \[(\d+), pytest\.param\((\d+),', machines)
    assert "run(ChainMoves, Size(1, runs, 30))" in machines
    assert f"Sampled: {few} chains of 30 steps, {many} in `heavy` tests" in page


def test_correctness_docs_state_how_many_table_cells_are_tried() -> None:
    for number, name in ((4, "standing"), (5, "access"), (8, "entry-path")):
        text = " ".join(sections(PAGE)[number].split())
        assert f"](tables/{name}.md)" in text
        out_of_reach = sum(of == name for of, *_ in UNREACHABLE)
        but = f" except {out_of_reach}, proven unreachable" if out_of_reach else ""
        assert f"whose {len(TABLES[name])} cells are tried{but}" in text


@pytest.mark.parametrize(
    ("old", "new", "law", "found"),
    [
        ("10,603 in 9 steps", "10,604 in 9 steps", 1, ["10,604"]),
        ("30 chains of 30 steps", "70 chains of 30 steps", 6, ["70"]),
        ("2,940 standings", "2,941 standings", 4, ["2,941"]),
    ],
)
def test_correctness_docs_check_reports_a_number_without_source(
    old: str, new: str, law: int, found: list[str]
) -> None:
    assert old in PAGE
    assert loose(sections(PAGE.replace(old, new))[law]) == found


# --- Unproven claims -------------------------------------------------------------------------


def unproven() -> dict[str, str]:
    """Return what no test can show, by its anchor."""
    text = PAGE.partition("\n## What no test here can show\n")[2]
    found = re.findall(r'^- <a id="([\w-]+)"></a>(.*?)(?=^- |\Z)', text, re.MULTILINE | re.DOTALL)
    assert len(found) == text.count("\n- ")
    return {anchor: " ".join(said.split()) for anchor, said in found}


def test_questions_docs_page_links_every_unproven_claim() -> None:
    last = QUESTIONS.partition("\n## What is not proven?\n")[2]
    led_to = re.findall(r"^- \[.*?\]\(correctness\.md#([\w-]+)\)", last, re.MULTILINE | re.DOTALL)
    assert led_to == list(unproven())
    assert len(led_to) == last.count("\n- ")
