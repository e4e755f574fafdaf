"""Tests of the law about results that depend on the arguments alone."""

from __future__ import annotations

import threading

import pytest

from curae_lifecycle.testing.laws import LawBrokenError, check_deterministic


def test_law_14_check_finds_a_result_that_later_calls_change() -> None:
    calls: list[int] = []

    def append(number: int) -> list[int]:
        calls.append(number)
        return calls

    with pytest.raises(LawBrokenError, match=r"law 14 is broken: returned \[1\], then \[1, 1\]"):
        check_deterministic(append, 1)


@pytest.mark.parametrize("result", [object(), threading.Lock()])
def test_law_14_check_accepts_one_object_of_any_type(result: object) -> None:
    assert check_deterministic(lambda: result) is result
