"""Tests of what `tests/conftest.py` does for all tests: the marker of PostgreSQL, and the log."""

from __future__ import annotations

import logging

import pytest


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_postgres_parameter_gives_a_test_the_postgres_marker(
    request: pytest.FixtureRequest, database: str
) -> None:
    node: pytest.Item = request.node
    assert (node.get_closest_marker("postgres") is not None) == (database == "postgres")


def test_captured_log_has_no_line_of_asyncio(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("asyncio", "curae_lifecycle"):
        logging.getLogger(name).error("a line of %s", name)
    assert caplog.messages == ["a line of curae_lifecycle"]
