"""Tests of counting table lookups, which changes no result."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.chain import REVOCATION_REACH
from curae_lifecycle.rules.connection import STANDING, Actor, standing
from curae_lifecycle.rules.idempotency import Fingerprint, IdempotencyKey, RecordKey, begin_attempt
from curae_lifecycle.rules.session import ENTRY_PATHS, SignUpPreference
from curae_lifecycle.rules.triggers import revoke
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.testing.cells import cells_of, count_cell_lookups
from tests.support.specimens import OWNER
from tests.support.strategies import START, at, pending


def rows() -> Iterator[tuple[object, ...]]:
    for table in TABLES.values():
        for key, row in table.cells():
            yield table.name, key, row


def test_rule_table_cell_names_are_unique() -> None:
    cells = cells_of(TABLES.values())
    assert len(cells) == len(set(cells)) == sum(map(len, TABLES.values()))
    assert ("connection", "revoke", "PENDING") in cells


def test_cell_coverage_counts_only_cells_that_are_looked_up() -> None:
    with count_cell_lookups() as counts:
        revoke(pending(), at(1), actor=Actor.APP, era=None)
    assert counts["connection", "revoke", "PENDING"] > 0
    assert ("connection", "revoke", "REVOKED") not in counts
    assert {cell[0] for cell in counts} == {"deadline", "standing", "connection"}


def test_cell_coverage_counts_a_table_row_if_its_rules_are_read() -> None:
    key = RecordKey(OWNER, IdempotencyKey("k-1"))
    with count_cell_lookups() as counts:
        begin_attempt(None, key=key, fingerprint=Fingerprint("create", "-"), now=START)
    assert dict(counts) == {("idempotency", "absent, or retention over", "same fingerprint"): 1}


def test_cell_coverage_counts_only_the_named_tables() -> None:
    with count_cell_lookups([TABLES["entry-path"]]) as counts:
        standing(pending(), START, era=None)
        assert ENTRY_PATHS[AccountState.ACTIVE, SignUpPreference.SIGN_UP].outcome is not None
    assert {cell[0] for cell in counts} == {"entry-path"}


def test_each_read_of_a_rows_outcome_or_rules_counts_a_lookup() -> None:
    key = (AccountState.ACTIVE, SignUpPreference.SIGN_UP)
    cell = ("entry-path", *key)
    with count_cell_lookups() as counts:
        row = ENTRY_PATHS[key]
        for expected in (1, 2):
            assert row.outcome is not None
            assert counts[cell] == expected
        for expected in (3, 4):
            assert row.rules
            assert counts[cell] == expected


def test_reading_a_rows_name_reason_or_key_counts_no_lookup() -> None:
    row = STANDING[next(iter(STANDING))]
    with count_cell_lookups() as counts:
        counting = STANDING[next(iter(STANDING))]
        assert counting is not row
        assert (counting.rule, counting.why, counting.key) == (row.rule, row.why, row.key)
    assert not counts


def broken_off(expected: object) -> None:
    with count_cell_lookups():
        assert revoke(pending(), at(1), actor=Actor.APP, era=None) == expected
        assert [row.rule for row in ENTRY_PATHS.values()] == [
            ENTRY_PATHS[key].rule for key in ENTRY_PATHS
        ]
        assert len(STANDING) == len(tuple(STANDING))
        raise ZeroDivisionError


def test_cell_coverage_changes_no_result_and_restores_the_tables() -> None:
    before = list(rows())
    with pytest.raises(ZeroDivisionError):
        broken_off(revoke(pending(), at(1), actor=Actor.APP, era=None))
    after = list(rows())
    assert all(a[2] is b[2] for a, b in zip(before, after, strict=True))


def test_cell_name_in_a_one_axis_table_is_table_and_axis_value() -> None:
    with count_cell_lookups() as counts:
        assert REVOCATION_REACH[Actor.APP].outcome is not None
    assert dict(counts) == {("revocation-reach", "APP"): 1}
