"""A runner that races two actions and compares the contents with those of both orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import chain, product
from typing import TypeVar

import attrs

from curae_lifecycle.service.writes import PageWrite, Write
from curae_lifecycle.stores.contract import Store
from curae_lifecycle.testing.races.arena import Arena, Content
from curae_lifecycle.testing.races.scenarios import (
    PendingCommit,
    Scenario,
    commit,
    commit_with_retries,
)

AnyStore = TypeVar("AnyStore", bound=Store)

Order = tuple[str, ...]
"""Names of a tenant's actions, such as `create`, in the order in which they run."""

Interleaving = Callable[[AnyStore, PendingCommit, AnyStore, PendingCommit], tuple[bool, bool]]
"""A function that commits what two racing actions decided, each through a store object.

Its arguments are a store and its pending commit (the decided changes), then the other store and its
pending commit. It returns whether each store accepted the commit, in the same order.
"""


@attrs.frozen
class RaceResult:
    """The result of one race, in which two actions load before either commits.

    Attributes:
        first: The name of the action that loaded first. By default, it commits first, too.
        second: The name of the action that loaded second, before the first one committed.
        differences: How the store's contents differ from those after the actions in sequence; empty
            if the race passed. Each is a line "name: text, not expected text" about a stored value
            or a part of one. If the store refused only one of the two commits, the refused action
            comes second in the sequence. If either order is allowed, the one with fewer differences
            counts. If the store raised, this is one line with the error.
    """

    first: str
    second: str
    differences: tuple[str, ...]


def commit_in_sequence(
    first: Store, one: PendingCommit, second: Store, two: PendingCommit
) -> tuple[bool, bool]:
    """Commit what one action decided, then what another decided.

    Both actions loaded their values before, so the second commit may conflict.

    Args:
        first: The store of the first action.
        one: The pending commit of the first action.
        second: The store of the second action.
        two: The pending commit of the second action.

    Returns:
        Whether the store accepted `one`, and whether it accepted `two`.
    """
    return commit(first, one), commit(second, two)


def race_all(
    arena: Arena[AnyStore],
    scenario: Scenario,
    interleave: Interleaving[AnyStore] = commit_in_sequence,
) -> Iterator[RaceResult]:
    """Race every two of a scenario's actions against each other, in both orders.

    A scenario is the state in which a race begins. Its actions are those of its tenant, the app
    user of a race. An action loads values and decides what to commit. Only actions that change
    something in a correct store take part. An action also races against itself. An action whose
    commit the store does not accept starts over: it loads, decides and commits again.

    Args:
        arena: The arena, which holds the store under test.
        scenario: The scenario in which each race begins.
        interleave: The function that runs the two commits of each race.

    Yields:
        The result of each race.
    """
    # A store in which the scenario cannot be set up raises here once, and not in every race.
    arena.set_up(scenario)
    reference = arena.reference()
    # Asking the tested store instead would leave out the actions that it wrongly ignores.
    tenant, store = reference.set_up(scenario), reference.stores()[0]
    names = [name for name, action in tenant.actions().items() if not action(store).is_empty]

    @cache
    def content_after(order: Order) -> Content:
        return run_in_sequence(reference, scenario, order)

    for first, second in product(names, repeat=2):
        race = partial(_race, arena, scenario, (first, second), interleave=interleave)
        yield RaceResult(first, second, find_differences(race, content_after))


def find_differences(
    race: Callable[[], tuple[Sequence[Order], Content]], content_after: Callable[[Order], Content]
) -> tuple[str, ...]:
    """Run a race and return how its contents differ from those after the actions in sequence.

    If several orders of the actions are allowed, the one with the fewest differences counts.

    Args:
        race: Runs the race. It returns the allowed orders of the actions, and the contents of the
            store afterwards. An order is allowed if it explains which commits the store accepted.
        content_after: Returns the contents of a store after the actions ran in an order.

    Returns:
        The differences, one line each; empty if the contents are those after an allowed order. If
        the race raised, one line with the error.
    """
    try:
        orders, actual = race()
        found = [compare_contents(actual, content_after(order)) for order in orders]
    except Exception as error:  # noqa: BLE001 - any error of a store is a result
        return (f"raised {type(error).__name__}: {error}",)
    return min(found, key=len)


def _race(
    arena: Arena[AnyStore],
    scenario: Scenario,
    names: tuple[str, str],
    *,
    interleave: Interleaving[AnyStore],
) -> tuple[list[Order], Content]:
    # Returns the orders that are allowed, and the contents.
    tenant, stores = arena.set_up(scenario), arena.stores()
    of_tenant = tenant.actions()
    actions = [of_tenant[name] for name in names]
    one, two = actions[0](stores[0]), actions[1](stores[1])
    accepted = interleave(stores[0], one, stores[1], two)
    decided = [one, two]
    for store, action, was_accepted in zip(stores, actions, accepted, strict=True):
        if not was_accepted:
            decided += commit_with_retries(store, action)
    # The first opened a hosted page and the second names one: if both commits were accepted, the
    # second found its page not replaced.
    names_page = any(isinstance(write, PageWrite) for write in two.changes.writes)
    meets_page = names_page and one.page is not None
    orders: list[Order] = [names, names[::-1]]
    if accepted == (True, False) or (accepted == (True, True) and meets_page):
        orders = [names]
    elif accepted == (False, True):
        orders = [names[::-1]]
    return orders, arena.content(tenant, _touched_by(decided))


def run_in_sequence(arena: Arena[Store], scenario: Scenario, order: Order) -> Content:
    """Run actions one after the other in a scenario, and return the contents afterwards.

    Args:
        arena: The arena, which holds the store to use.
        scenario: The state in which the actions begin, set up for a new tenant (an app user).
        order: The names of the tenant's actions, in the order in which they run.
    """
    tenant = arena.set_up(scenario)
    actions, decided = tenant.actions(), list[PendingCommit]()
    for name in order:
        decided += commit_with_retries(arena.stores()[0], actions[name])
    return arena.content(tenant, _touched_by(decided))


def _touched_by(decided: list[PendingCommit]) -> Iterator[Write]:
    return chain.from_iterable([each.touched for each in decided])


def compare_contents(actual: Content, expected: Content) -> tuple[str, ...]:
    """Return the parts in which the contents of a store differ from the expected contents.

    Contents are the texts of stored values by name. A difference reads "name: text, not expected
    text"; the text of a missing part is "absent".
    """
    if actual == expected:
        return ()
    return tuple(
        [
            f"{name}: {actual.get(name, 'absent')}, not {expected.get(name, 'absent')}"
            for name in sorted({*actual, *expected})
            if actual.get(name) != expected.get(name)
        ]
    )
