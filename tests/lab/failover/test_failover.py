"""Tests of failovers under load: a promoted standby has every acknowledged commit."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.lab.crash.enemies import Enemy, plain
from tests.lab.failover import fail_over
from tests.lab.failover.pair import BEHIND, pair

_OFFSET = "SELECT EXTRACT(EPOCH FROM clock_timestamp() - pg_catalog.clock_timestamp())"


@pytest.mark.heavy
def test_promoted_standby_has_the_commits_and_its_own_clock() -> None:
    with pair() as servers:
        url = plain(servers.url)
        offsets = list[int]()
        for number in range(3):
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"CREATE TABLE kept_{number} ()".encode())
                found = connection.execute(_OFFSET).fetchone()
            assert found is not None
            offsets.append(round(found[0]))
            servers.fail_over()
        with psycopg.connect(url) as connection:
            for number in range(3):
                connection.execute(f"SELECT FROM kept_{number}".encode())
    assert offsets == [0, -BEHIND // 1_000_000, 0]


@pytest.mark.heavy
def test_failover_to_a_clock_60_s_behind_breaks_no_law(tmp_path: Path) -> None:
    seen = fail_over(tmp_path, requests=300, failovers=1, workers=2, users=8)
    assert seen.broken == [], str(seen)
    assert seen.run.blows == {Enemy.FAIL_OVER: 1}
    assert seen.run.sent >= 300
    assert seen.run.statuses.keys() >= {200, 201}
    assert seen.watch.reads


@pytest.mark.heavy
def test_failover_test_detects_commits_lost_by_async_standby(tmp_path: Path) -> None:
    seen = fail_over(tmp_path, requests=300, failovers=1, workers=2, users=8, is_synchronous=False)
    assert any("was answered and has no record of it" in each for each in seen.broken), str(seen)
