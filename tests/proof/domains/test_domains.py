"""Tests of small domains of the pure functions against hand-written tables.

Each function of `DOMAINS` walks one finite domain, compares every result with its own, and returns
the number of comparisons. The outcome of a cell is read from the tables of the modules' tests; the
rest is computed here. Nothing is shared with the package: instants are small integers, statuses
and verdicts are words. `benchmarks/small_domains.py` runs the largest sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules import chain
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.values import ConnectionId, NextAction
from tests.proof.domains import connections, limits, merges, records, sessions, values
from tests.support.paths import ROOT


@attrs.frozen
class Domain:
    """A domain and its sizes: in every run, in the heavy one, and in the long one.

    `answers` is the number of comparisons in every run, so that a smaller domain is noticed.
    """

    walk: Callable[[int], int]
    small: int
    heavy: int
    long: int
    answers: int


DOMAINS: Final = (
    Domain(walk=connections.standings, small=6, heavy=16, long=64, answers=2_940),
    Domain(walk=connections.accesses, small=3, heavy=6, long=24, answers=1_440),
    Domain(walk=connections.happenings, small=3, heavy=4, long=12, answers=19_200),
    Domain(walk=connections.reconnects, small=1, heavy=2, long=4, answers=1_640),
    Domain(walk=connections.clocks, small=3, heavy=4, long=8, answers=5_418),
    Domain(walk=connections.revocations, small=2, heavy=3, long=4, answers=3_360),
    Domain(walk=merges.merge_revocations, small=1, heavy=1, long=3, answers=27_000),
    Domain(walk=merges.merge_times, small=1, heavy=2, long=3, answers=256),
    Domain(walk=limits.log_histories, small=4, heavy=6, long=7, answers=1_132),
    Domain(walk=limits.bucket_histories, small=3, heavy=5, long=6, answers=636),
    Domain(walk=records.record_acts, small=1, heavy=2, long=10, answers=14_720),
    Domain(walk=sessions.handoffs, small=5, heavy=8, long=60, answers=480),
    Domain(walk=values.spans, small=10_000, heavy=60_000, long=3_000_000, answers=20_000),
    Domain(walk=values.intervals, small=30, heavy=60, long=800, answers=1_800),
    Domain(walk=values.printed_times, small=97, heavy=29, long=1, answers=11_201),
    Domain(walk=values.texts, small=3, heavy=4, long=6, answers=3_280),
)


def walked(size: str) -> Iterator[tuple[str, int]]:
    """Walk every domain at one of its sizes; yield its name and number of comparisons."""
    for domain in DOMAINS:
        number: int = getattr(domain, size)
        yield domain.walk.__name__, domain.walk(number)


@pytest.mark.slow
@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.walk.__name__)
def test_rules_equal_an_independent_calculation_on_small_inputs(domain: Domain) -> None:
    assert domain.walk(domain.small) == domain.answers


def test_small_input_check_detects_successor_judged_too_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reconnect = chain.reconnect

    def on_the_predecessors_clock(
        held: Connection,
        successor: Connection | None,
        now: datetime,
        *,
        era: datetime | None,
        id: ConnectionId,  # noqa: A002 - the name of the argument
        next_action: NextAction,
    ) -> chain.Recovery:
        later = now if successor is None else max(now, held.updated_at)
        return reconnect(held, successor, later, era=era, id=id, next_action=next_action)

    monkeypatch.setattr(chain, "reconnect", on_the_predecessors_clock)
    with pytest.raises(AssertionError):
        connections.clocks(2)


def test_library_testing_page_states_number_of_checked_answers() -> None:
    page = (ROOT / "docs/testing-the-library.md").read_text(encoding="utf-8")
    assert f"{sum(domain.answers for domain in DOMAINS):,} answers in every run" in page


@pytest.mark.heavy
def test_rules_equal_an_independent_calculation_on_large_inputs() -> None:
    assert sum(cases for _, cases in walked("heavy")) >= 300_000
