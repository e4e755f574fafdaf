"""Tests of the making of mutants: the functions that are mutated."""

from __future__ import annotations

import pytest

from curae_lifecycle.testing.conformance import purging

SOURCE = """
class App:
    @property
    def a(self):
        pass

@CHECKS.add("purge.live", laws=(2, 9))
def b(app):
    pass

@_race(
    "reissue.revoke",
    laws=(1,),
)
def c(app, number):
    pass

@cache
def d():
    pass
"""


def decorators(*, checks: bool) -> list[str]:
    made = pytest.importorskip("benchmarks.mutant", reason="needs the group `mutation`")
    return [each for each in made.undecorated(SOURCE, checks=checks).split() if each[0] == "@"]


def test_mutated_source_has_no_decorators_of_checks() -> None:
    assert decorators(checks=True) == ["@cache"]


def test_source_keeps_decorators_of_checks_that_are_not_mutated() -> None:
    assert decorators(checks=False) == ['@CHECKS.add("purge.live",', "@_race(", "@cache"]


def test_function_to_mutate_is_the_one_that_the_check_runs() -> None:
    made = pytest.importorskip("benchmarks.mutant", reason="needs the group `mutation`")
    mutant = made.Mutant(
        "testing.conformance.purging", "_live_values", before="", after="", source=""
    )
    assert made.function_of(mutant) is purging.CHECKS[0].steps
