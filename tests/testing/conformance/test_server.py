"""Tests of the fields of `Server` and `AsyncServer`."""

from __future__ import annotations

from datetime import timedelta
from typing import Never, cast

import attrs
import pytest

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.testing.conformance import AsyncServer, Server, run
from tests.support.kit import Reference, asynchronous

WRONG_FIELDS: list[tuple[str, object, str]] = [
    ("send", None, "send: must be a function, not None"),
    ("make_key", "cae_live_1", "make_key: must be a function, not a str"),
    ("purge", 5, "purge: must be a function, not an int"),
    ("race_rounds", "3", "race_rounds: must be None or an integer, not a str"),
    ("race_rounds", True, "race_rounds: must be None or an integer, not True"),
    ("environment", "live", "environment: must be None or an Environment, not a str"),
    (
        "max_time_per_check",
        60,
        "max_time_per_check: must be a timedelta that is not negative, not an int",
    ),
    (
        "max_time_per_check",
        timedelta(microseconds=-1),
        "max_time_per_check: must be a timedelta that is not negative",
    ),
    ("varying_headers", "x-id", "varying_headers: must be a set of names, not a str"),
]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(("field", "value", "message"), WRONG_FIELDS)
def test_server_with_a_wrong_field_raises_an_error_that_names_it(
    field: str, value: object, message: str, *, is_async: bool
) -> None:
    blocking, wrong = Reference().server(), cast("dict[str, Never]", {field: value})
    server: Server | AsyncServer = asynchronous(blocking) if is_async else blocking
    with pytest.raises(ArgumentError) as raised:
        attrs.evolve(server, **wrong)
    assert str(raised.value) == message


def test_server_with_max_time_0_and_no_race_rounds_is_valid() -> None:
    server = attrs.evolve(Reference().server(), max_time_per_check=timedelta(0), race_rounds=0)
    assert run(server, seed="1", only=["request.limit"]).passed
