"""Tests of the instant that a statement gets, where the database has no clock."""

from __future__ import annotations

import time

import pytest

from curae_lifecycle.stores.sql.clock import NOW_SQL, SQLITE_CLOCK, now_values
from curae_lifecycle.stores.sql.statement import Dialect


def test_sqlite_gets_this_machines_clock_in_whole_microseconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_123_456_789)
    assert repr(now_values(Dialect.SQLITE)) == "(1700000000123456,)"


def test_simulated_clock_replaces_the_machines_clock_for_sqlite() -> None:
    before = SQLITE_CLOCK.set(lambda: 7)
    try:
        assert now_values(Dialect.SQLITE) == (7,)
    finally:
        SQLITE_CLOCK.reset(before)


@pytest.mark.parametrize("dialect", Dialect)
def test_current_time_is_passed_only_to_sql_with_a_placeholder(dialect: Dialect) -> None:
    assert len(now_values(dialect)) == NOW_SQL[dialect].count("?")
