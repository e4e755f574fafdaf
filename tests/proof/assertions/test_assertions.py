"""Tests that every assertion of the tools for testers is needed: without it a mistake passes.

The mistakes are the seeded bugs, servers with one wrong answer, and the broken values of the tests
of the laws, the watch and the simulation. `covered.json` has the assertions that others make redundant,
each with the reason why it stays.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.laws import LawBrokenError, check_rank_never_falls
from tests.proof.assertions import witnesses
from tests.proof.assertions.sites import (
    disabled,
    kit_assertions,
    noted_failures,
    other_assertions,
)
from tests.proof.assertions.witnesses import COVERED, Witness
from tests.proof.assertions.wrong_answers import NOT_CALLED, WrongAnswer, changes
from tests.support.paths import ROOT
from tests.support.strategies import apply_trigger, at, pending

OF_THE_KIT: Final = {each.name: each for each in kit_assertions()}
OTHERS: Final = {each.name: each for each in other_assertions()}
WITNESSES: Final = witnesses.load()

TESTS_OF_OTHERS: Final = (
    "tests/testing/laws",
    "tests/testing/watch",
    "tests/testing/races",
    "tests/testing/test_watch_limits.py",
    "tests/testing/test_store_invariants.py",
    "tests/testing/simulation/test_outbox.py",
    "tests/testing/simulation/test_simulation.py::test_simulation_reports_a_store_that_raises",
    "tests/testing/simulation/test_simulation.py::test_simulation_detects_store_keeping_replaced_hosted_pages",
    "tests/docs/extending/test_list.py::test_conformance_fails_a_server_with_an_incorrect_list",
)

REVOKED: Final = apply_trigger(pending(), "APP", at(1))
RANK: Final = next(
    each for name, each in OTHERS.items() if " check_rank_never_falls: raise" in name
)
SENDING: Final = (
    'testing/conformance/recovery.py _successor_active: yield from app.shows(successor, "ACTIVE")'
)


def test_each_kit_assertion_has_a_failing_server_or_is_exempt() -> None:
    covered = COVERED.keys() - OTHERS.keys()
    listed = WITNESSES.keys() | covered
    assert listed == OF_THE_KIT.keys(), "run python -m tests.proof.assertions.search"
    assert not WITNESSES.keys() & covered


@pytest.mark.slow
@pytest.mark.parametrize("module", sorted({each.module for each in OF_THE_KIT.values()}))
def test_disabling_the_failed_assertion_lets_wrong_server_pass(module: str) -> None:
    of_it = {name: each for name, each in WITNESSES.items() if OF_THE_KIT[name].module == module}
    assert {name for name, each in of_it.items() if not each.is_found()} == set()
    assert {name for name, each in of_it.items() if _is_found_without(name, each)} == set()


def _is_found_without(assertion: str, witness: Witness) -> bool:
    with disabled(OF_THE_KIT[assertion]):
        return witness.is_found()


@pytest.mark.heavy
def test_disabling_a_law_or_simulation_assertion_fails_a_test(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    command = (sys.executable, "-m", "pytest", "-n0", "-q", "-p", "tests.proof.assertions.loop")
    ran = subprocess.run(
        [*command, *TESTS_OF_OTHERS],
        check=False,
        cwd=ROOT,
        env=os.environ | {"CURAE_ASSERTIONS": str(found)},
        capture_output=True,
        text=True,
    )
    assert found.exists(), ran.stdout + ran.stderr
    first_failing: dict[str, str | None] = json.loads(found.read_text())
    unseen = {name for name, test in first_failing.items() if test is None}
    assert unseen == COVERED.keys() & OTHERS.keys()


def test_assertion_is_disabled_only_inside_its_with_block() -> None:
    def check() -> None:
        check_rank_never_falls([REVOKED, pending()])

    with pytest.raises(LawBrokenError):
        check()
    with disabled(RANK):
        check()
    with pytest.raises(LawBrokenError):
        check()


def test_failed_assertion_is_recorded_even_if_error_is_caught() -> None:
    with noted_failures(OTHERS.values()) as noted, pytest.raises(LawBrokenError):
        check_rank_never_falls([REVOKED, pending()])
    assert noted == {RANK}


def test_disabled_assertion_that_sends_a_request_still_sends_it() -> None:
    right, weak = WrongAnswer(), WrongAnswer()
    witness = WITNESSES[SENDING]
    witness.is_found_at(right)
    with disabled(OF_THE_KIT[SENDING]):
        witness.is_found_at(weak)
    assert len(weak.steps) == len(right.steps)


@pytest.mark.parametrize("check", ["law-02.at-once", "permission.wrong-environment"])
def test_server_with_every_answer_right_passes_the_checks(check: str) -> None:
    assert not Witness(check).is_found()


def test_every_altered_answer_differs_from_the_correct_answer() -> None:
    right = WrongAnswer()
    Witness("law-02.at-once").is_found_at(right)
    for number, step in enumerate(right.steps):
        wrong = dict(changes(step, right.steps[:number]))
        assert wrong
        # The outcome of a hook that is not called is its usual one: none.
        wrong.pop(NOT_CALLED, None)
        assert step.outcome not in wrong.values()
        if isinstance(step.outcome, Response) and step.outcome.body:
            parts = [
                (each.status, each.headers, json.loads(each.body))
                for each in wrong.values()
                if isinstance(each, Response) and each.body[:1] == b"{"
            ]
            right_parts = step.outcome.status, step.outcome.headers, json.loads(step.outcome.body)
            assert right_parts not in parts
