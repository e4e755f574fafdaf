"""Tests of the decorated functions that are mutated."""

from __future__ import annotations

from benchmarks.decorated import CHECKED_BODIES, undecorated
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
    return [each for each in undecorated(SOURCE, checks=checks).split() if each[0] == "@"]


def test_mutated_source_loses_the_decorators_that_add_checks() -> None:
    assert decorators(checks=True) == ["@cache"]


def test_source_of_unmutated_checks_keeps_all_decorators() -> None:
    assert decorators(checks=False) == ['@CHECKS.add("purge.live",', "@_race(", "@cache"]


def test_check_decorator_adds_the_function_itself_to_the_checks() -> None:
    assert purging.CHECKS[0].steps is purging._live_values


def test_modules_of_mutated_checks_are_sorted() -> None:
    assert list(CHECKED_BODIES) == sorted(set(CHECKED_BODIES))
