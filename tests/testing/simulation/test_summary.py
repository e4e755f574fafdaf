"""Tests of the summary of a simulated world: its sums and its lines of text."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import attrs

from curae_lifecycle.testing.simulation import Summary, Violation
from curae_lifecycle.testing.simulation.summary import RuleBrokenError

WORLD = Summary(
    7,
    clients=3,
    hours=1200,
    requests=2345,
    asked=Counter(get=1000, create=1345),
    answers=Counter({"201": 2000, "200": 345}),
    replays=3456,
    facts=Counter({"Expired done": 5}),
    access=Counter({"404": 6}),
    mishaps=Counter({"a delayed request": 1_234_567}),
    conflicts=4567,
    purged=5678,
    shipped=6789,
)


def test_client_hours_are_clients_times_ended_hours() -> None:
    assert WORLD.client_hours == 3600
    assert Summary(7, clients=3).client_hours == 0


def test_summary_headline_has_seed_client_hours_and_totals() -> None:
    assert WORLD.headline() == (
        "seed 7: 3,600 client-hours, 2,345 requests, 3,456 replays, 4,567 conflicts, 5,678 purged"
    )


def test_counts_under_each_summary_heading_are_sorted_by_name() -> None:
    assert [*WORLD.lines()] == [
        *("requests", "       1,345  create", "       1,000  get"),
        *("answers", "         345  200", "       2,000  201"),
        *("facts", "           5  Expired done"),
        *("access", "           6  404"),
        *("mishaps", "   1,234,567  a delayed request"),
    ]


def test_adding_summaries_sums_counts_and_keeps_first_seed() -> None:
    other = Summary(
        8,
        clients=3,
        hours=10,
        requests=20,
        asked=Counter(get=1, revoke=2),
        answers=Counter({"404 NOT_FOUND": 3}),
        replays=30,
        facts=Counter({"Expired done": 4}),
        access=Counter({"404": 5}),
        mishaps=Counter({"a lost request": 6}),
        conflicts=40,
        purged=50,
        shipped=60,
    )
    unchanged = attrs.evolve(other)
    total = attrs.evolve(
        WORLD,
        asked=WORLD.asked.copy(),
        answers=WORLD.answers.copy(),
        facts=WORLD.facts.copy(),
        access=WORLD.access.copy(),
        mishaps=WORLD.mishaps.copy(),
    )
    total.add(other)
    assert total == Summary(
        7,
        clients=3,
        hours=1210,
        requests=2365,
        asked=Counter(get=1001, create=1345, revoke=2),
        answers=Counter({"201": 2000, "200": 345, "404 NOT_FOUND": 3}),
        replays=3486,
        facts=Counter({"Expired done": 9}),
        access=Counter({"404": 11}),
        mishaps=Counter({"a delayed request": 1_234_567, "a lost request": 6}),
        conflicts=4607,
        purged=5728,
        shipped=6849,
    )
    assert other == unchanged


def test_adding_a_summary_does_not_copy_its_violation() -> None:
    violation = Violation(
        "a law", law=1, at=datetime(2026, 1, 5, tzinfo=UTC), log=(), environment=None
    )
    total = Summary(7, clients=1)
    total.add(Summary(8, clients=1, violation=violation))
    assert total.violation is None


def test_broken_rule_error_says_what_was_wrong_and_where() -> None:
    error = RuleBrokenError("message 1 shipped twice", "the outbox")
    assert (error.what, error.where) == ("message 1 shipped twice", "the outbox")
    assert str(error) == "a rule is broken: message 1 shipped twice\n  where: the outbox"
