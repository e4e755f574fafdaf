"""The lines that benchmarks print, from two sides of which one is known to be faster."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks import long_jobs, neighbour, one_key, outbox, servers
from benchmarks.neighbour import Seen
from tests.benchmarks.test_rates import FAST, SLOW

QUICK = Seen(times=[0.010] * 200, done=3000, seconds=2.0)
LATE = Seen(times=[0.030] * 200, done=1500, seconds=2.0, failed=4)


def cells(line: str) -> list[str]:
    return [cell.strip(" *") for cell in line.strip("|").split("|")]


def test_server_benchmark_row_has_request_rates_and_cpu_times() -> None:
    line = servers.row("initiate", 4, {"bare": FAST, "floor": SLOW, "ours": FAST})
    row = dict(zip(cells(servers.HEAD.splitlines()[0]), cells(line), strict=True))
    assert (row["request"], row["clients"]) == ("initiate", "4")
    assert (row["bare"], row["floor"], row["ours"]) == ("1,000", "400", "1,000")
    assert (row["of the floor"], row["of bare"]) == ("2.00", "1.00")
    assert float(row["by processor time"]) == pytest.approx(2.35, abs=0.01)
    assert row["µs floor"] == "894 / 222"
    assert row["µs bare"] == row["µs ours"] == "339 / 135"


def test_outbox_benchmark_line_compares_worker_to_a_plain_loop() -> None:
    slow_worker = outbox.line("sqlite", {"bare": [1, 2, 9], "shipped": [4, 4, 4]}, 1000)
    assert slow_worker.split() == ["sqlite", "500", "250", "0.50"]


def test_one_api_key_benchmark_divides_rate_by_unlimited_rate() -> None:
    done = Counter({"without": 400, "with": 300, "apart": 500})
    assert one_key.line(done, 3, 2.0).split() == [
        *("200", "with", "0.75", "apart", "1.25"),
        *("failed", "3"),
    ]


def test_benchmark_prints_p99_of_quiet_and_rate_of_noisy_tenant() -> None:
    found = {("spread", True): QUICK, ("key", True): LATE, ("key", False): QUICK}
    line = neighbour.line(found, "key", is_bound=True)
    assert "B p99    30.0 ms,  3.00 of spread" in line
    assert "A    750/s,  0.50 of open,  1.00 of no bucket  failed 4" in line


def test_benchmark_divides_noisy_tenants_rate_by_unlimited_rate() -> None:
    found = {
        ("spread", True): QUICK,
        ("lone", True): QUICK,
        ("lone-apart", False): LATE,
        ("lone-apart", True): LATE,
    }
    line = neighbour.line(found, "lone-apart", is_bound=True)
    assert "A    750/s,  1.00 of open,  0.50 of no bucket  failed 4" in line


def test_long_job_benchmark_divides_p99_by_p99_without_the_job() -> None:
    line = long_jobs.Result(alone=QUICK, beside=LATE, seconds=1.5).line()
    assert "B p99   30.0 ms,  3.00 of alone (200 requests, failed 4)" in line
