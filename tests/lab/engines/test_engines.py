"""Tests of short runs of each engine; they take a minute, root and Debian's packages."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.lab.crash.gaps import longest_gap
from tests.support.paths import ROOT


def test_longest_gap_returns_the_longest_span_without_events() -> None:
    assert longest_gap([], 0, 4_000_000) == 4.0
    assert longest_gap([-1, 1_000_000, 3_500_000, 9_000_000], 0, 4_000_000) == 2.5
    assert longest_gap([3_000_000, 500_000], 0, 4_000_000) == 2.5


@pytest.mark.engines
def test_postgresql_switch_over_breaks_no_law() -> None:
    words = [
        "--requests=200",
        "--rounds=2",
        "--users=12",
        "--workers=3",
        "--none",
        "--switch-over=1",
    ]
    command = [sys.executable, "-m", "tests.lab.engines.postgres", *words]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 switch-overs" in ran.stdout
