"""Figures and recordings of the server benchmark, on two sides with known rates."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from time import process_time

import pytest

from benchmarks.by_hand import Floor, Recorder, Recording, record
from benchmarks.rates import (
    Turn,
    median_rate,
    median_ratio,
    microseconds,
    processor_ratio,
    processor_time,
)
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement

FAST = [
    Turn(requests=2000, seconds=1.0, server=0.5, database=0.2),
    Turn(requests=1000, seconds=1.0, server=0.5, database=0.2),
    Turn(requests=100, seconds=1.0, server=0.05, database=0.02),
]
SLOW = [
    Turn(requests=1000, seconds=1.0, server=0.8, database=0.2),
    Turn(requests=800, seconds=2.0, server=0.8, database=0.2),
    Turn(requests=90, seconds=1.0, server=0.09, database=0.02),
]


def test_ratio_of_request_rates_is_the_median_of_the_rounds() -> None:
    # The rounds give 0.5, 0.4 and 0.9; medians would give 0.4, and sums 0.47.
    assert median_ratio(SLOW, FAST) == pytest.approx(0.5)
    assert median_ratio(FAST, SLOW) == pytest.approx(2.0)
    assert median_ratio(FAST, FAST) == 1.0


def test_request_rate_is_the_median_over_the_runs() -> None:
    assert (median_rate(FAST), median_rate(SLOW)) == (1000.0, 400.0)


def test_ratio_of_request_rates_raises_for_unequal_round_counts() -> None:
    with pytest.raises(ValueError, match="shorter"):
        median_ratio(FAST, SLOW[:2])


def test_processor_time_per_request_is_averaged_over_all_rounds() -> None:
    fast, slow = microseconds(FAST), microseconds(SLOW)
    assert fast == pytest.approx((1.05 / 3100 * 1e6, 0.42 / 3100 * 1e6))
    assert slow[0] > fast[0]


def test_processor_time_ratio_sums_server_and_database_time() -> None:
    assert processor_ratio(SLOW, FAST) == pytest.approx((1.47 / 3100) / (2.11 / 1890))
    assert processor_ratio(SLOW, FAST) < 1 < processor_ratio(FAST, SLOW)
    assert processor_ratio(FAST, FAST) == 1.0


BURN = "import time\nwhile time.process_time() < {seconds}: pass\nprint(flush=True)\ninput()"


def burning(seconds: float) -> subprocess.Popen[str]:
    """Return a waiting process that has used this much processor time."""
    process = subprocess.Popen(
        [sys.executable, "-c", BURN.format(seconds=seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.slow
def test_busy_process_uses_more_processor_time_than_an_idle_one() -> None:
    busy, idle = burning(0.6), burning(0.0)
    try:
        used, unused = processor_time([busy.pid]), processor_time([idle.pid])
        assert 0.55 <= used < 2.0
        assert unused < used
        assert processor_time([busy.pid, idle.pid]) == pytest.approx(used + unused, abs=0.05)
    finally:
        busy.communicate("")
        idle.communicate("")
    # Ended processes count nothing; this process reports its own time.
    assert processor_time([busy.pid]) == 0
    assert processor_time([os.getpid()]) >= process_time() - 0.05


# --- The floor ------------------------------------------------------------------------------


KEY = "0" * 63
ID = "00000000-0000-4000-8000-00000000000"


class FakeDatabase:
    dialect = Dialect.SQLITE

    def rows(self, statement: Statement) -> Rows:
        return [(statement.text,)]

    def run_ddl(self, statements: object) -> None:
        raise NotImplementedError

    def run_transaction(self, statements: object) -> bool:
        return statements is not None


def test_each_repeat_of_recorded_sql_has_new_ids_and_versions() -> None:
    recorder, numbers = Recorder(FakeDatabase()), iter(range(9))

    def ask() -> None:
        number = next(numbers)
        recorder.rows(Statement("SELECT ?", (KEY + "9",)))
        recorder.run_transaction(
            [
                Statement("INSERT ?, ?, ?", (f"{KEY}{number}", f"{ID}{number}", f"doc {number}")),
                Statement("UPDATE ? ?", ("same", 7 + number)),
            ]
        )

    recording = record(recorder, ask)
    assert recording.new == [ID + "1", KEY + "1"]
    assert recording.version == 8
    floor = Floor(recording)
    read, written = floor.statements()
    assert read.values == (KEY + "9",)
    new_key, new_id, document = written[0].values
    assert (document, written[1].values) == ("doc 1", ("same", 9))
    assert {new_key, new_id}.isdisjoint({KEY + "1", ID + "1"})
    again = floor.statements()[1]
    assert again[1].values == ("same", 10)
    assert again[0].values[0] != new_key


def test_sql_recording_of_a_read_request_has_no_writes() -> None:
    recorder = Recorder(FakeDatabase())
    recorder.run_transaction([Statement("INSERT")])

    def ask() -> None:
        recorder.rows(Statement("SELECT ?", ("same",)))

    recording = record(recorder, ask)
    assert (recording.written, recording.new, recording.version) == ([], [], 0)


def test_repeat_of_recorded_sql_replaces_recorded_time_with_now() -> None:
    long_ago = 10**15 + 5
    recording = Recording(
        read=("SELECT", []), written=[("UPDATE ? ?", [long_ago, 7])], new=[], version=0, at=long_ago
    )
    (written,) = Floor(recording).statements()[1]
    instant, other = written.values
    assert isinstance(instant, int)
    assert abs(instant - time.time_ns() // 1000) < 60_000_000
    assert other == 7
