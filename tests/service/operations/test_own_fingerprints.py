"""Fingerprints of operations that a server adds: other values give another fingerprint."""

from __future__ import annotations

from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import AppUserId
from curae_lifecycle.service.decide import fingerprint
from curae_lifecycle.service.operations import operation
from curae_lifecycle.service.snapshot import Snapshot
from tests.support.server import USER
from tests.support.strategies import START

ROOT: Final = operation.OperationRule(
    name="root",
    why="[O] A test asks it.",
    summary="Ask",
    method="POST",
    path=f"{operation.BASE_PATH}/asked",
    scope=CONNECTION_WRITE,
    key=operation.KeyUse.NEEDED,
    status=200,
)


@attrs.frozen
class Pair(operation.UserOperation):
    """An operation with two lists of texts."""

    ones: tuple[str, ...]
    others: tuple[str, ...]

    reply = operation.Reply
    rule = ROOT

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        raise NotImplementedError  # only its fingerprint is made


def test_text_resembling_a_list_length_forges_no_fingerprint() -> None:
    assert fingerprint(Pair(("a",), ("b", "\x003"))) != fingerprint(Pair(("a", "\x001", "b"), ()))


@attrs.frozen
class Measure(operation.UserOperation):
    """An operation with a value of any type."""

    app_user_id: AppUserId
    value: object
    unit: str = "mg"

    reply = operation.Reply
    rule = ROOT

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        raise NotImplementedError  # only its fingerprint is made


VALUES: Final[tuple[object, ...]] = (
    *("1", 1, 1.0, 1.5, "1.5", "true", True, "false", False, "null", None, "", [], (), {}, "[]"),
    *("a", ["a"], ("a",), {"a": 1}, {"a": 2}, ("a", "b"), ["a", "b"], [["a"], "b"]),
    *((1,), ("1",), (None,), ("",), (True,), ("true",), START, "2026-01-01T00:00:00Z", "\0=1"),
)


def test_values_of_different_types_have_different_fingerprints() -> None:
    prints = [fingerprint(Measure(USER, value)) for value in VALUES]
    assert len(set(prints)) == len(VALUES)
    assert fingerprint(Measure(USER, {"a": 1, "b": 2})) == fingerprint(
        Measure(USER, {"b": 2, "a": 1})
    )


@pytest.mark.parametrize(
    ("value", "given"),
    [
        ({"a"}, "a set"),
        (Snapshot(), "a Snapshot"),
        ([Snapshot()], "a list"),
        ({"a": {1}}, "a dict"),
        ((b"a",), "a bytes"),
        ({1: "a", "b": "c"}, "a dict"),
    ],
)
def test_fingerprint_of_an_unsupported_value_raises(value: object, given: str) -> None:
    allowed = "a text, datetime, tuple, None or value of JSON; else override `fingerprint_values`"
    with pytest.raises(ArgumentError) as caught:
        fingerprint(Measure(USER, value))
    error = caught.value
    assert (error.argument, error.allowed, error.given) == ("value", allowed, given)
