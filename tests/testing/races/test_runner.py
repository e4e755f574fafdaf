"""Tests of the comparison of what a race left with what a sequence leaves."""

from __future__ import annotations

import pytest

from curae_lifecycle.testing.races.runner import compare_contents


@pytest.mark.parametrize(
    ("actual", "expected", "differences"),
    [
        ({"row": "1"}, {"row": "1"}, ()),
        ({"row": "2"}, {"row": "1"}, ("row: 2, not 1",)),
        ({}, {"row": "1"}, ("row: absent, not 1",)),
        ({"row": "1"}, {}, ("row: 1, not absent",)),
        ({"b": "1", "a": "1"}, {}, ("a: 1, not absent", "b: 1, not absent")),
    ],
)
def test_contents_differ_in_changed_missing_and_extra_parts(
    actual: dict[str, str], expected: dict[str, str], differences: tuple[str, ...]
) -> None:
    assert compare_contents(actual, expected) == differences
