"""Tests that the strategies draw each edge of their domain within the usual number of examples."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from curae_lifecycle.rules.ratelimit import (
    FRESH_LOG,
    FULL_BUCKET,
    Charge,
    ExactLog,
    LogState,
    RateLimited,
    admit,
)
from curae_lifecycle.rules.session import ENTRY_PATHS, EntryPath
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.cells import count_cell_lookups
from curae_lifecycle.testing.strategies import START
from tests.testing.strategies.drawing import HOUR

USUAL: Final = settings(
    database=None,
    deadline=None,
    derandomize=True,
    max_examples=100,
    phases=(Phase.generate,),
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
)
"""The default number of examples of a property test, always the same ones."""

HIGHEST_OF_TWO_BYTES: Final = 0xFFFF
TICK: Final = timedelta(microseconds=1)


def drawn_usually(
    strategy: st.SearchStrategy[object], examples: int = USUAL.max_examples
) -> list[object]:
    """Return all values that a property test draws."""
    seen: list[object] = []

    @settings(USUAL, max_examples=examples)
    @given(strategy)
    def note(value: object) -> None:
        seen.append(value)

    note()
    return seen


def has_length(length: int) -> Callable[[object], bool]:
    return lambda each: isinstance(each, Collection) and len(each) == length


def is_beyond_two_bytes(each: object) -> bool:
    return any(ord(character) > HIGHEST_OF_TWO_BYTES for character in str(each))


def is_used_up(each: object) -> bool:
    return isinstance(each, Charge) and isinstance(admit((each,), START), RateLimited)


def is_full_log(each: object) -> bool:
    return (
        isinstance(each, Charge)
        and isinstance(each.policy, ExactLog)
        and isinstance(each.state, LogState)
        and len(each.state.instants) == each.policy.limit
    )


def equals(wanted: object) -> Callable[[object], bool]:
    return lambda each: each == wanted


EDGES: Final[dict[str, tuple[st.SearchStrategy[object], dict[str, Callable[[object], bool]]]]] = {
    "app user ids": (
        draw.app_user_ids(),
        {
            "shortest": has_length(1),
            "longest": has_length(256),
            "beyond U+FFFF": is_beyond_two_bytes,
            "longest beyond U+FFFF": lambda each: (
                has_length(256)(each) and is_beyond_two_bytes(each)
            ),
            "shortest beyond U+FFFF": lambda each: (
                has_length(1)(each) and is_beyond_two_bytes(each)
            ),
        },
    ),
    "idempotency keys": (
        draw.idempotency_keys(),
        {
            "shortest": has_length(1),
            "longest": has_length(255),
            "lowest character": lambda each: "!" in str(each),
            "highest character": lambda each: "~" in str(each),
        },
    ),
    "data package": (draw.data_package(), {"shortest": has_length(1), "longest": has_length(64)}),
    "data packages": (draw.data_packages(), {"fewest": has_length(1), "most": has_length(64)}),
    "offsets": (
        draw.offsets(),
        {"shortest": equals(timedelta(0)), "longest": equals(3 * HOUR)},
    ),
    "instants": (
        draw.instants(),
        {"earliest": equals(START), "latest": equals(START + 3 * HOUR)},
    ),
    "ends of next actions": (
        draw.next_actions().map(lambda each: each.expires_at),
        {
            "already over": equals(START),
            "over in a microsecond": equals(START + TICK),
            "usual": equals(START + HOUR / 2),
            "latest": equals(START + HOUR),
        },
    ),
    "capacities of buckets": (
        draw.buckets().map(lambda each: each.capacity),
        {"smallest": equals(1), "largest": equals(10)},
    ),
    "limits of logs": (
        draw.exact_logs().map(lambda each: (each.limit, each.seconds)),
        {
            f"{limit} in {seconds} s": equals((limit, seconds))
            for limit in (1, 2, 3, 10)
            for seconds in (1, 60)
        },
    ),
    "states of logs": (draw.log_states(), {"empty": equals(FRESH_LOG)}),
    "states of buckets": (draw.bucket_states(), {"full": equals(FULL_BUCKET)}),
    "charges": (draw.charges(), {"used up": is_used_up, "full log": is_full_log}),
    "scopes": (draw.scopes(), {"fewest": has_length(0), "most": has_length(1)}),
    "chains": (draw.chains(), {"shortest": has_length(1)}),
    "responses": (
        draw.responses().map(lambda each: each.body),
        {"emptiest": has_length(0), "fullest": has_length(8)},
    ),
    "server settings": (
        draw.server_settings().map(lambda each: each.buckets),
        {"no bucket": has_length(0), "most buckets": has_length(2)},
    ),
    "steps of connections": (
        draw.connection_histories().map(lambda each: each.steps),
        {"fewest": has_length(0)},
    ),
    "steps of records": (
        draw.record_histories().map(lambda each: each.steps),
        {"fewest": has_length(0)},
    ),
}
"""Strategies by subject, each with the edges of its domain."""


@pytest.mark.slow
@pytest.mark.parametrize("subject", EDGES)
def test_strategy_draws_every_edge_case_in_a_hundred_examples(subject: str) -> None:
    strategy, edges = EDGES[subject]
    seen = drawn_usually(strategy)
    assert len(seen) <= USUAL.max_examples
    missed = {name for name, is_edge in edges.items() if not any(map(is_edge, seen))}
    assert missed == set()


@pytest.mark.parametrize("path", EntryPath)
def test_sessions_drawn_for_a_path_cover_all_its_table_cells(path: EntryPath) -> None:
    cells = {
        (ENTRY_PATHS.name, *map(str, key))
        for key, row in ENTRY_PATHS.cells()
        if row.outcome.path is path
    }
    with count_cell_lookups([ENTRY_PATHS]) as counts:
        drawn_usually(draw.sessions(path), examples=50)
    assert counts.keys() == cells
