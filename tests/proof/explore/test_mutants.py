"""Tests of the mutants of the exploration: what a run keeps changes no verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from tests.proof.explore.clients import World
from tests.proof.explore.mutants import (
    BUSY,
    CHAIN,
    COMPLETE,
    ENTRY,
    EXECUTE,
    KEY,
    LOST,
    RACE,
    SHIFTED,
    Shifted,
    mutant,
    small_run,
    verdict,
)
from tests.proof.explore.published import SMALL, Figures, Run
from tests.support.cells import Key


def seen(run: Callable[[], Figures]) -> tuple[str, list[Figures]]:
    """Return the verdict of a run, and its figures if it holds."""
    figures: list[Figures] = []
    return verdict(lambda: figures.append(run())), figures


def check_kept_results(name: str, changed: tuple[str, ...]) -> None:
    known = small_run(name).without(changed)
    assert known is not None
    assert changed in small_run(name).cells
    assert seen(lambda: cast("Run[World]", SMALL[name]).of(known)) == seen(SMALL[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "table", "key", "like"),
    [
        (KEY, "idempotency", BUSY, EXECUTE),
        (KEY, "idempotency", EXECUTE, BUSY),
        (KEY, "attempt", COMPLETE, LOST),
        (
            ENTRY,
            "entry-path",
            ("UNLINKED", "preferSignup true"),
            ("TOMBSTONED", "preferSignup true"),
        ),
        (
            ENTRY,
            "binding",
            ("complete sign-up", "LIMITED", "other user, or none bound"),
            ("complete sign-up", "UNLINKED", "other user, or none bound"),
        ),
        (RACE, "recovery", ("EXPIRED", "successor PENDING"), ("EXPIRED", "no successor")),
        (RACE, "connection", ("authorize", "PENDING"), ("authorize", "REVOKED")),
        pytest.param(CHAIN, "revocation-reach", ("PATIENT",), ("APP",), marks=pytest.mark.heavy),
    ],
)
def test_mutated_cell_is_explored_alike_with_and_without_cache(
    run: str, table: str, key: Key, like: Key
) -> None:
    small_run(run)
    with mutant(table, key, like):
        check_kept_results(run, (table, *map(str, key)))


@pytest.mark.slow
@pytest.mark.parametrize("shifted", SHIFTED[6:8], ids=lambda each: f"{each.name} {each.by}")
def test_shifted_deadline_explores_alike_with_and_without_cache(
    shifted: Shifted, monkeypatch: pytest.MonkeyPatch
) -> None:

    small_run(KEY)
    shifted.put(monkeypatch)
    check_kept_results(KEY, shifted.cell)
