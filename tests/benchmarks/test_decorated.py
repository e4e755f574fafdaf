"""Tests of the decorated functions that are mutated."""

from __future__ import annotations

import pytest

from benchmarks.decorated import plain_function, undecorated
from curae_lifecycle.service.call import Call
from curae_lifecycle.stores import deadline, keys
from curae_lifecycle.testing.conformance import purging
from curae_lifecycle.testing.strategies import binding

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
@st.composite
@lru_cache(maxsize=9)
@contextmanager
def d():
    pass

@given(st.none())
def e(x):
    pass
"""


def test_every_decorator_but_hypothesis_given_is_removed() -> None:
    kept = [each for each in undecorated(SOURCE).split() if each[0] == "@"]
    assert kept == ["@given(st.none())"]


def test_kit_check_holds_the_plain_function_with_its_steps() -> None:
    assert purging.CHECKS[0].steps is purging._live_values


@pytest.mark.parametrize(
    ("found", "file", "name"),
    [
        (deadline.deadline_scope, deadline.__file__, "deadline_scope"),
        (keys.record_key, keys.__file__, "record_key"),
        (binding.bindings, binding.__file__, "bindings"),
        (keys.rate_key_parts, keys.__file__, "rate_key_parts"),
    ],
)
def test_plain_function_is_found_under_its_decorators(found: object, file: str, name: str) -> None:
    function = plain_function(found, file)
    assert function is not None
    assert (function.__name__, function.__code__.co_filename) == (name, file)


def test_plain_function_is_not_found_in_a_file_without_it() -> None:
    assert plain_function(keys.record_key, deadline.__file__) is None
    assert plain_function(Call, keys.__file__) is None
