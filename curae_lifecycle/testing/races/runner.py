"""Two that load the same and commit, and what both leave beside what either order leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain, product
from typing import TypeVar

import attrs

from curae_lifecycle.service.writes import Write
from curae_lifecycle.stores.contract import Store
from curae_lifecycle.testing.races.arena import Arena, Content
from curae_lifecycle.testing.races.scenarios import (
    PendingCommit,
    Scenario,
    commit,
    commit_with_retries,
)

AnyStore = TypeVar("AnyStore", bound=Store)

Interleaving = Callable[[AnyStore, PendingCommit, AnyStore, PendingCommit], tuple[bool, bool]]
"""Commits one and then another; which of them were taken as they were decided."""


@attrs.frozen
class RaceResult:
    """A race that was run.

    Attributes:
        first: What committed first.
        second: What had loaded by then and committed after it.
        differences: What is not as one after the other leaves it, a part each; nothing where all is.
    """

    first: str
    second: str
    differences: tuple[str, ...]


def commit_in_sequence(
    first: Store, one: PendingCommit, second: Store, two: PendingCommit
) -> tuple[bool, bool]:
    """The first has ended when the second begins."""
    return commit(first, one), commit(second, two)


def race_all(
    arena: Arena[AnyStore], scene: Scenario, interleave: Interleaving[AnyStore] = commit_in_sequence
) -> Iterator[RaceResult]:
    """Let every ordered pair meet in a scene of which both change something."""
    stage, store = arena.set_up(scene), arena.stores()[0]
    names = [name for name, work in stage.actions().items() if not work(store).is_nothing]
    right = arena.reference()

    @cache
    def order(first: str, second: str) -> Content:
        return _one_after_the_other(right, scene=scene, first=first, second=second)

    for first, second in product(names, repeat=2):
        yield RaceResult(
            first,
            second,
            _differing(arena, scene=scene, names=(first, second), meet=interleave, order=order),
        )


def _differing(
    arena: Arena[AnyStore],
    scene: Scenario,
    names: tuple[str, str],
    meet: Interleaving[AnyStore],
    order: Callable[[str, str], Content],
) -> tuple[str, ...]:
    first, second = names
    try:
        taken, ended = _race(arena, scene=scene, names=names, meet=meet)
        # Whoever was refused came second.
        first_then_second = () if taken == (False, True) else (order(first, second),)
        second_then_first = () if taken == (True, False) else (order(second, first),)
    except Exception as error:  # noqa: BLE001 - whatever a store raises is what it does
        return (f"raised {type(error).__name__}: {error}",)
    every = [_parts(ended, each) for each in (*first_then_second, *second_then_first)]
    return min(every, key=len)


def _race(
    arena: Arena[AnyStore], scene: Scenario, names: tuple[str, str], meet: Interleaving[AnyStore]
) -> tuple[tuple[bool, bool], Content]:
    stage, (one, other) = arena.set_up(scene), arena.stores()
    works = stage.actions()
    first, second = works[names[0]], works[names[1]]
    decided = first(one), second(other)
    taken = meet(one, decided[0], other, decided[1])
    every = [*decided]
    for store, work, was_taken in ((one, first, taken[0]), (other, second, taken[1])):
        if not was_taken:
            every += commit_with_retries(store, work)
    return taken, arena.content(stage, _touched(every))


def _one_after_the_other(arena: Arena[Store], scene: Scenario, first: str, second: str) -> Content:
    stage, (store, _) = arena.set_up(scene), arena.stores()
    works = stage.actions()
    every = [*commit_with_retries(store, works[first]), *commit_with_retries(store, works[second])]
    return arena.content(stage, _touched(every))


def _touched(decided: list[PendingCommit]) -> Iterator[Write]:
    return chain.from_iterable([each.changes.writes for each in decided])


def _parts(ended: Content, ordered: Content) -> tuple[str, ...]:
    names = sorted({*ended, *ordered})
    return tuple(
        [
            f"{name}: {ended.get(name, 'absent')}, not {ordered.get(name, 'absent')}"
            for name in names
            if ended.get(name) != ordered.get(name)
        ]
    )
