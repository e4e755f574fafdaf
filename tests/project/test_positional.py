"""Positional arguments: at most three in a call of this repository's functions."""

from __future__ import annotations

import pytest

from tests.project.positional import long_calls, python_files
from tests.support.paths import ROOT

CALLABLES = {
    # Fields that hold functions, whose types name no keywords.
    ("tests/proof/bugs/attempt_model.py", "begin"),
    ("tests/proof/bugs/attempt_model.py", "complete"),
}

OWN = {
    # The helper of the class in its own module; its parameters are keywords.
    ("curae_lifecycle/rules/connection.py", "Connection"),
}

FLOORS = {
    # A floor does the least possible work, so it passes no keywords.
    ("benchmarks/rows/connections.py", "Connection"),
    ("benchmarks/rows/connections.py", "ConnectionIdentity"),
    ("benchmarks/rows/idempotency.py", "_Stored"),
    ("benchmarks/rows/subjects.py", "Eleven"),
}


@pytest.mark.slow
def test_no_call_gives_more_than_three_arguments_by_position() -> None:
    sources = python_files(ROOT)
    assert len(sources) > 500
    found = {(each.file, each.called): each for each in long_calls(sources)}
    known = CALLABLES | FLOORS | OWN
    wrong = [str(each) for called, each in found.items() if called not in known]
    assert not wrong, "\n".join(wrong)
    assert found.keys() >= CALLABLES | FLOORS | OWN


HERE = "def swap(a, b, c, d): ...\nclass Pair:\n    def move(self, a, b, c, d): ...\n"


@pytest.mark.parametrize(
    ("call", "called"),
    [
        ("swap(1, 2, 3, 4)", "swap"),
        ("swap(*a, b, c, d)", "swap"),
        ("Pair().move(1, 2, 3, 4)", "move"),
        ("Pair(1, 2, 3, 4)", "Pair"),
        ("[swap(1, 2, 3, 4) for _ in x]", "swap"),
        ("def f(pair): pair.move(1, 2, 3, 4)", "move"),
        ("class Two:\n    def f(self): self.pair.move(1, 2, 3, 4)", "move"),
    ],
)
def test_call_with_four_positional_arguments_is_found(call: str, called: str) -> None:
    assert [each.called for each in long_calls({"a.py": HERE + call})] == [called]


@pytest.mark.parametrize(
    "call",
    [
        "swap(1, 2, 3, d=4)",
        "max(1, 2, 3, 4)",
        "def f(swap): return swap(1, 2, 3, 4)",
        "from os import swap\nswap(1, 2, 3, 4)",
        "def any_number(*a): ...\nany_number(1, 2, 3, 4)",
        "class Own:\n    def move(self, *a): ...\ndef f(pair): pair.move(1, 2, 3, 4)",
    ],
)
def test_positional_check_allows_builtin_and_variadic_calls(call: str) -> None:
    assert long_calls({"a.py": HERE + call}) == []


def test_four_argument_call_is_found_if_two_classes_share_a_name() -> None:
    sources = {"a.py": HERE + "Pair(1, 2, 3, 4)", "b.py": "class Pair(dict): ...\n"}
    assert [each.called for each in long_calls(sources)] == ["Pair"]


OTHER = "def swap(*a): ...\nclass Other:\n    def move(self, *a): ...\n"


@pytest.mark.parametrize(
    ("call", "called"),
    [
        ("from tests.one import swap\nswap(1, 2, 3, 4)", "swap"),
        ("from tests import one\none.swap(1, 2, 3, 4)", "swap"),
        ("class Own:\n    def f(self): self.g(1, 2, 3, 4)\n    def g(self, a, b, c, d): ...", "g"),
    ],
)
def test_four_argument_call_is_found_if_a_namesake_is_variadic(call: str, called: str) -> None:
    sources = {"tests/one.py": HERE, "tests/two.py": OTHER + "def g(*a): ...", "tests/c.py": call}
    assert [each.called for each in long_calls(sources)] == [called]
