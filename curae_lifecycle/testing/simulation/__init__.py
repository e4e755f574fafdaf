"""A world of apps, users, hosted pages, flaky networks and workers that die, on simulated time.

The laws of this package: **a seed decides everything that happens**, so a violation is found
again by its seed; **every step is held against the laws** by a `Watch` that does not ask the
rules; **any store can be simulated** that keeps the contract (`stores.contract.Store`) and registers
API keys; it is purged where it lets its clock be set (`Purgeable`).

Each seed draws its own mix of mishaps. On a violation the summary holds the law's account and a
log that `python -m curae_lifecycle replay` reads.
"""

from __future__ import annotations

from collections.abc import Callable

from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.simulated_clock import Purgeable as Purgeable
from curae_lifecycle.testing.simulated_clock import StoreWithApiKeys as StoreWithApiKeys
from curae_lifecycle.testing.simulation.mishaps import Mishap as Mishap
from curae_lifecycle.testing.simulation.mishaps import WorldProfile as WorldProfile
from curae_lifecycle.testing.simulation.summary import Summary as Summary
from curae_lifecycle.testing.simulation.summary import Violation as Violation
from curae_lifecycle.testing.simulation.world import START as START
from curae_lifecycle.testing.simulation.world import Simulation as Simulation


def simulate(
    seed: int,
    *,
    clients: int = 1,
    hours: int = 24,
    make_store: Callable[[Settings], StoreWithApiKeys] = MemoryStore,
    watched: bool = True,
) -> Summary:
    """Let one world live, from its first hour to its last or to a violation.

    Args:
        seed: Decides everything that happens.
        clients: How many apps use the platform.
        hours: How many hours.
        make_store: Makes an empty store for the server's settings; one in memory by default.
        watched: Whether the laws are checked at each step.

    Returns:
        What happened; `violation` says which law was broken, if one was.
    """
    simulation = Simulation(
        seed, clients=clients, hours=hours, make_store=make_store, watched=watched
    )
    for _ in simulation.run():
        pass
    return simulation.summary
