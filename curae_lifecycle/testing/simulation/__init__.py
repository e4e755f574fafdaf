"""Worlds of apps, users, hosted pages, unreliable networks and dying workers, on simulated time.

The laws of this package:

- **The seed decides everything that happens**, so a violation can be reproduced from its seed.
- **Every step is checked against the laws** by a `Watch`, which does not ask the rules.
- **Any store can be simulated** if it keeps the contract (`stores.contract.Store`) and registers
  API keys. It is also purged if its clock can be set (`Purgeable`).

Each seed draws its own mix of mishaps. After a violation, the summary holds the broken law and a
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
from curae_lifecycle.testing.simulation.world import MAX_CLIENTS as MAX_CLIENTS
from curae_lifecycle.testing.simulation.world import MAX_HOURS as MAX_HOURS
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
    """Simulate one world of apps, users and a failing network, until its end or a violation.

    Args:
        seed: The seed, which decides everything that happens.
        clients: The number of apps.
        hours: The number of simulated hours.
        make_store: Makes an empty store for the server's settings; a `MemoryStore` by default.
        watched: Whether a `Watch` checks the laws at each step.

    Returns:
        The summary of the world. Its `violation` holds the broken law, or is `None`.

    Raises:
        ArgumentError: `clients` is not from 1 to `MAX_CLIENTS`, or `hours` not from 1 to
            `MAX_HOURS`.
        StoreUnavailableError: The store raised this error. The simulated server does not retry.
    """
    simulation = Simulation(
        seed, clients=clients, hours=hours, make_store=make_store, watched=watched
    )
    for _ in simulation.run():
        pass
    return simulation.summary
