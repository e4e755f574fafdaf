"""Small domains of the pure functions, exhausted against the tables that were written by hand.

Each function of `DOMAINS` walks one finite domain, compares every answer with its own, and
returns how many it compared. What a cell decides is read in the tables of the modules' tests; all
else is worked out here. Nothing is shared with the package: instants are small integers, statuses
and verdicts are words. `benchmarks/small_domains.py` runs the largest sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest

from tests.domains import connections, limits, merges, records, sessions, values


@attrs.frozen
class Domain:
    """A domain and its sizes: in every run, in the heavy one, and in the long one.

    `answers` says how many it compares in every run, so that a domain that shrank is noticed.
    """

    walk: Callable[[int], int]
    small: int
    heavy: int
    long: int
    answers: int


DOMAINS: Final = (
    Domain(connections.standings, 6, 16, 64, 2_940),
    Domain(connections.accesses, 3, 6, 24, 1_440),
    Domain(connections.happenings, 3, 4, 12, 19_200),
    Domain(connections.reconnects, 1, 2, 4, 1_640),
    Domain(connections.revocations, 2, 3, 4, 3_360),
    Domain(merges.merge_revocations, 1, 1, 3, 27_000),
    Domain(merges.merge_times, 1, 2, 3, 256),
    Domain(limits.log_histories, 4, 6, 7, 1_132),
    Domain(limits.bucket_histories, 3, 5, 6, 636),
    Domain(records.record_acts, 1, 2, 10, 14_720),
    Domain(sessions.handoffs, 5, 8, 60, 480),
    Domain(values.spans, 10_000, 60_000, 3_000_000, 20_000),
    Domain(values.intervals, 30, 60, 800, 1_800),
    Domain(values.printed_times, 97, 29, 1, 11_201),
    Domain(values.texts, 3, 4, 6, 3_280),
)


def walked(size: str) -> Iterator[tuple[str, int]]:
    """Every domain at one of its sizes, with the number of answers that were compared."""
    for domain in DOMAINS:
        number: int = getattr(domain, size)
        yield domain.walk.__name__, domain.walk(number)


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.walk.__name__)
def test_a_small_domain_is_answered_as_the_rules_say(domain: Domain) -> None:
    assert domain.walk(domain.small) == domain.answers


def test_the_page_says_how_many_answers_are_compared_in_every_run() -> None:
    page = (Path(__file__).parent.parent / "docs/mutation.md").read_text(encoding="utf-8")
    assert f"{sum(domain.answers for domain in DOMAINS):,} answers in every run" in page


@pytest.mark.heavy
def test_the_small_domains_are_exhausted() -> None:
    assert sum(cases for _, cases in walked("heavy")) >= 300_000
