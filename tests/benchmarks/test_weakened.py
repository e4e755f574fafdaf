"""Tests of weakened assertions: what is weakened, which entries are listed, and who notices."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from benchmarks.assertions import modules, weakened
from benchmarks.mutant import Mutant
from benchmarks.weakened import covered, report
from tests.support.paths import ROOT

SEEDS = (1, 2)
"""The seeds of the samples that are tried. A run without `--sample` tries every assertion."""


def test_every_tool_has_assertions_to_weaken() -> None:
    made = Counter(name.split(".")[1] for name in modules() for _ in weakened(name))
    assert {name for name, count in made.items() if count} >= {
        *("conformance", "laws", "races", "simulation", "store_invariants"),
        *("watch", "watch_answers", "watch_limits"),
    }
    assert made.total() > 600


def test_weakened_assertion_is_valid_code_of_one_function() -> None:
    for module in ("testing.laws.requests", "testing.conformance.replies", "testing.watch"):
        for mutant in weakened(module):
            compile(mutant.source, module, "exec")
            assert mutant.source.startswith(f"def {mutant.function.rpartition('.')[2]}(")


def test_raise_is_removed_and_each_of_two_conditions_is() -> None:
    found = [each for each in weakened("testing.watch_limits") if each.function[0] == "c"]
    conditions = "last is None or not -window < last - now <= window + _TOLERANCE"
    one, other = conditions.split(" or ")
    assert [each.after for each in found] == [f"if {other}:", f"if {one}:", "pass", "pass"]
    assert found[0].before == f"if {conditions}:"


def test_covered_assertions_exist_and_have_a_reason() -> None:
    made = {mutant.key for name in modules() for mutant in weakened(name)}
    assert set(covered()) <= made
    assert all(reason.endswith(".") for reason in covered().values())


def test_report_fails_for_an_unwatched_or_wrongly_listed_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, other = (
        Mutant(module="testing.laws.law", function="f", before=each, after="pass", source="")
        for each in ("raise A", "raise B")
    )
    why = {one.key: "Another."}
    assert report([one, other], [one], why, whole=True) == 0
    assert report([one, other], [one], {}, whole=True) == 1
    assert "unwatched: testing.laws.law.f\n    - raise A" in capsys.readouterr().out
    # It is noticed, or no longer there.
    assert report([one, other], [], why, whole=True) == 1
    assert report([other], [], why, whole=True) == 1
    assert report([other], [], why, whole=False) == 0
    assert "listed as covered, but noticed or gone" in capsys.readouterr().out


@pytest.mark.heavy
@pytest.mark.parametrize(
    "arguments",
    [("testing.laws",), *(("--sample", "20", "--seed", str(seed)) for seed in SEEDS)],
    ids=" ".join,
)
def test_weakened_assertions_of_a_sample_are_noticed(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "benchmarks/weakened.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
