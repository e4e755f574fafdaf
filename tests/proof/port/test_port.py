"""Tests of a port of the rules to JavaScript that was written from the pages and the vectors alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from tests.docs.node import run
from tests.support.paths import ROOT

PORT: Final = Path(__file__).parent
VECTORS: Final = ROOT / "docs" / "vectors"
FLOORS: Final = {
    "access": 19,
    "app-user-id": 37,
    "attempt": 85,
    "authorization": 8,
    "authorization-header": 21,
    "binding": 43,
    "completion": 46,
    "connection": 208,
    "data-packages": 29,
    "deadline": 20,
    "ending": 8,
    "entity-tag": 36,
    "entry-path": 16,
    "exact-log": 51,
    "expiry-record": 3,
    "graduation-handoff": 4,
    "idempotency": 55,
    "idempotency-key": 36,
    "kept-response": 15,
    "life": 6,
    "limit-state": 22,
    "merge": 69,
    "operation": 56,
    "page-fact": 43,
    "permission": 7,
    "problem-status": 8,
    "problems": 26,
    "record-standing": 36,
    "record-upkeep": 27,
    "recovery": 33,
    "request": 50,
    "request-body": 128,
    "request-target": 56,
    "revocation-reach": 11,
    "several-limits": 18,
    "standing": 55,
    "stored-status": 75,
    "time": 42,
    "token-bucket": 84,
    "tombstone": 31,
    "tombstone-report": 2,
    "uuid": 22,
    "wire-status": 13,
}
"""How many vectors each document has at least."""


SURVIVORS: Final = json.loads((PORT / "survivors.json").read_text(encoding="utf-8"))
"""Mutants of the port that no vector catches, each with the reason."""

SAMPLE: Final = 100
SEED: Final = 26
CAUGHT: Final = 0.95
"""The share of mutants that the vectors catch at least."""


@pytest.mark.node
def test_javascript_port_gives_the_answer_of_every_vector() -> None:
    done = run(PORT, "node", "vectors.mjs", str(VECTORS))
    *differences, counted = done.stdout.splitlines()
    assert differences == [], done.stderr
    assert done.returncode == 0, done.stderr
    counts = json.loads(counted)
    assert counts.keys() == FLOORS.keys()
    assert {name: count for name, count in counts.items() if count < FLOORS[name]} == {}


@pytest.mark.node
def test_javascript_port_prints_a_changed_vector_as_difference(tmp_path: Path) -> None:
    document = json.loads((VECTORS / "life.json").read_text(encoding="utf-8"))
    case = document["cases"][0]
    case["answer"]["live"] = not case["answer"]["live"]
    (tmp_path / "life.json").write_text(json.dumps(document), encoding="utf-8")
    done = run(PORT, "node", "vectors.mjs", str(tmp_path))
    assert done.returncode == 1
    assert [json.loads(line).get("id") for line in done.stdout.splitlines()] == [case["id"], None]


@pytest.mark.node
def test_javascript_port_exits_1_on_an_unknown_vector_document(tmp_path: Path) -> None:
    document = {"name": "other", "version": 1, "law": "", "cases": []}
    (tmp_path / "other.json").write_text(json.dumps(document), encoding="utf-8")
    done = run(PORT, "node", "vectors.mjs", str(tmp_path))
    assert done.returncode == 1
    assert "unknown document other 1" in done.stderr


@pytest.mark.node
def test_surviving_mutants_file_names_real_mutants_and_reasons() -> None:
    done = run(PORT, "node", "mutants.mjs", "--list")
    mutants = {tuple(json.loads(line).values()) for line in done.stdout.splitlines()}
    assert len(mutants) > 1000, done.stderr
    listed = {(each["file"], each["mutant"]) for each in SURVIVORS}
    assert len(listed) == len(SURVIVORS)
    assert listed - mutants == set()
    assert all(each["reason"].endswith(".") for each in SURVIVORS)
    assert len(SURVIVORS) < (1 - CAUGHT) * len(mutants)


@pytest.mark.heavy
@pytest.mark.node
def test_vectors_catch_95_in_100_mutants_of_the_javascript_port() -> None:
    done = run(PORT, "node", "mutants.mjs", str(VECTORS), str(SAMPLE), str(SEED))
    *lines, counted = done.stdout.splitlines()
    survivors = [json.loads(line) for line in lines]
    listed = [{"file": each["file"], "mutant": each["mutant"]} for each in SURVIVORS]
    assert [each for each in survivors if each not in listed] == []
    kinds = json.loads(counted).values()
    caught = sum(kind["caught"] for kind in kinds)
    assert caught >= CAUGHT * (caught + len(survivors))
    assert caught + sum(kind["survived"] + kind["broken"] for kind in kinds) == SAMPLE


@pytest.mark.heavy
@pytest.mark.node
def test_each_mutant_of_the_survivors_file_still_survives() -> None:
    done = run(PORT, "node", "mutants.mjs", str(VECTORS), "listed")
    *lines, _ = done.stdout.splitlines()
    survivors = {tuple(json.loads(line).values()) for line in lines}
    assert survivors == {(each["file"], each["mutant"]) for each in SURVIVORS}
