"""Races of three actions, in every order in which the three can load and commit.

A race of two misses a store that forgets the era of a coordinate: one action has to end what
another made before a third makes or binds something new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import combinations, groupby, permutations
from typing import Final

import attrs

from curae_lifecycle.testing.races.arena import Arena, Content
from curae_lifecycle.testing.races.runner import AnyStore, Order, find_differences, run_in_sequence
from curae_lifecycle.testing.races.scenarios import (
    SCENARIOS,
    PendingCommit,
    Scenario,
    commit,
    commit_with_retries,
)

Schedule = tuple[str, ...]
"""Names of actions in the order of their steps; each is named twice: it loads, then it commits."""

_ACTIVE: Final = "one connection is active"
_BOUND: Final = "a user is bound, one connection is pending"
_LAPSED: Final = "the pending connection has lapsed"
_REVOKED: Final = "a successor is revoked"
_UNBOUND: Final = "no user is bound, one connection is pending"

THREE_WAY_RACES: Final[tuple[tuple[str, tuple[str, str, str]], ...]] = (
    (_UNBOUND, ("create", "the hand-off is complete", "tombstone")),
    (_UNBOUND, ("create", "initiate", "tombstone")),
    (_BOUND, ("create", "graduated", "tombstone")),
    (_ACTIVE, ("reconnect the first", "graduated", "tombstone")),
    (_LAPSED, ("reconnect the first", "initiate", "tombstone")),
    (_REVOKED, ("reconnect the second", "initiate", "tombstone")),
)
"""Races of three actions, each as a pair: the name of the scenario, and those of the actions.

A scenario is the state in which a race begins. One action makes a connection, one binds or
graduates a user, and one is a tombstone.
"""


@attrs.frozen
class ThreeWayResult:
    """The result of one race of three actions.

    The race passed if the same actions, run one after the other in some order, leave a store with
    the same contents. An action that ended before another one loaded must precede that other one.

    Attributes:
        scenario: The name of the scenario, the state in which the race began.
        schedule: The order in which the three actions loaded and committed.
        differences: How the store's contents differ from those after such an order; empty if the
            race passed. Each is a line "name: text, not expected text" about a stored value or a
            part of one. The order with the fewest differences counts. If the store raised, this is
            one line with the error.
    """

    scenario: str
    schedule: Schedule
    differences: tuple[str, ...]

    def __str__(self) -> str:
        """Return the schedule as text: the action that loads or commits at each step."""
        seen, steps = set[str](), list[str]()
        for name in self.schedule:
            steps.append(f"{name} {'commits' if name in seen else 'loads'}")
            seen.add(name)
        return ", ".join(steps)


def race_three(
    arena: Arena[AnyStore],
    scenario: str,
    actions: Sequence[str],
    scenarios: Mapping[str, Scenario] = SCENARIOS,
) -> Iterator[ThreeWayResult]:
    """Race three actions on one store, in every order of their loads and commits.

    An action loads values and decides what to commit. An action whose commit the store does not
    accept starts over at once.

    Args:
        arena: The arena, which holds the store under test.
        scenario: The name of the scenario, the state in which each race begins.
        actions: The names of three different actions.
        scenarios: The scenarios by name.

    Yields:
        The result of each race.
    """
    begin, reference = scenarios[scenario], arena.reference()

    @cache
    def content_after(order: Order) -> Content:
        return run_in_sequence(reference, begin, order)

    for schedule in schedules_of(actions):
        race = partial(_race, arena, begin, schedule)
        yield ThreeWayResult(scenario, schedule, find_differences(race, content_after))


def schedules_of(actions: Sequence[str]) -> list[Schedule]:
    """Return every order in which the loads and the commits of some actions can follow each other.

    An order names each action twice: first it loads, then it commits. Two orders that differ only
    in adjacent loads count as one.
    """
    found = set[Schedule]()
    for order in set(permutations([*actions, *actions])):
        steps = [(name, order.index(name) == place) for place, name in enumerate(order)]
        for _, group in groupby(range(len(steps)), key=lambda place: steps[place][1]):
            places = [*group]
            if steps[places[0]][1]:
                for place, step in zip(places, sorted(steps[each] for each in places), strict=True):
                    steps[place] = step
        found.add(tuple([name for name, _ in steps]))
    return sorted(found)


def _race(
    arena: Arena[AnyStore], scenario: Scenario, schedule: Schedule
) -> tuple[list[Order], Content]:
    # Returns the orders that are allowed, and the contents.
    tenant = arena.set_up(scenario)
    stores = {name: arena.stores()[0] for name in dict.fromkeys(schedule)}
    actions, decided = tenant.actions(), dict[str, list[PendingCommit]]()
    loaded_at, ended_at = dict[str, int](), dict[str, int]()
    for step, name in enumerate(schedule):
        if name not in decided:
            decided[name] = [actions[name](stores[name])]
            loaded_at[name] = step
            continue
        first = decided[name][0]
        if not first.is_empty and not commit(stores[name], first):
            decided[name] += commit_with_retries(stores[name], actions[name])
            loaded_at[name] = step
        ended_at[name] = step
    # What ended before another action loaded comes before it.
    orders: list[Order] = [
        order
        for order in permutations(decided)
        if all(ended_at[later] > loaded_at[earlier] for earlier, later in combinations(order, 2))
    ]
    touched = [write for each in decided.values() for tried in each for write in tried.touched]
    return orders, arena.content(tenant, touched)
