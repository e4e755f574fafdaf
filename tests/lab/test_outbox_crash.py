"""Tests of outbox servers and workers that are killed at any point: no message is lost."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.lab.outbox_judge import whole_lines
from tests.support.paths import ROOT


def crash(url: str, kills: int, *more: str) -> dict[str, object]:
    """Run it in another process, which forks; return its result."""
    command = [sys.executable, "-m", "tests.lab.outbox_crash", "--kills", str(kills)]
    ended = subprocess.run(
        [*command, "--url", url, *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ended.stdout, ended.stderr
    found: dict[str, object] = json.loads(ended.stdout.splitlines()[0])
    assert ended.returncode == (1 if found["broken"] else 0), ended.stdout
    return found


@pytest.mark.slow
def test_killed_outbox_worker_repeats_at_most_one_message(sqlite_url: str) -> None:
    seen = crash(sqlite_url, 10)
    assert seen["broken"] == []
    assert seen["posted"] == seen["shipped"] != 0
    assert seen["kills"] == 15


@pytest.mark.heavy
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_many_outbox_worker_kills_lose_no_message(
    database: str, request: pytest.FixtureRequest
) -> None:
    assert crash(request.getfixturevalue(f"{database}_url"), 400)["broken"] == []


# A run meets a mistake by chance, so these are long; the machine of
# `tests/proof/stateful/test_outbox.py` finds the mistakes of workers in every run.
@pytest.mark.heavy
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("forgetting", "nobody was told UserProvisioned"),
        ("dropping first", "was never shipped"),
        ("without order", "subject "),
    ],
)
def test_outbox_crash_run_detects_a_broken_worker(wrong: str, said: str, sqlite_url: str) -> None:
    broken = crash(sqlite_url, 60, "--wrong", wrong)["broken"]
    assert isinstance(broken, list)
    assert any(said in str(each) for each in broken)


def test_journal_lines_cut_off_by_a_kill_are_counted_and_skipped() -> None:
    assert whole_lines('\n[1, "a"]\n\n[2, "b\n[3, "c"]\n') == ([[1, "a"], [3, "c"]], 1)
