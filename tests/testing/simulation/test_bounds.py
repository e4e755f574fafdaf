"""Tests that a simulation ends: its numbers of clients and hours, and a store without an end."""

from __future__ import annotations

import attrs
import pytest

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.simulation import MAX_CLIENTS, MAX_HOURS, simulate


@pytest.mark.parametrize("hours", [-1, 0, MAX_HOURS + 1, 10**12])
def test_simulation_of_no_or_too_many_hours_raises(hours: int) -> None:
    with pytest.raises(ArgumentError, match=f"^hours: must be from 1 to 1,000,000, not {hours}$"):
        simulate(1, hours=hours)


@pytest.mark.parametrize("clients", [-1, 0, MAX_CLIENTS + 1])
def test_simulation_of_no_or_too_many_clients_raises(clients: int) -> None:
    with pytest.raises(ArgumentError, match=f"^clients: must be from 1 to 1,000, not {clients}$"):
        simulate(1, clients=clients)


class RepeatsPages(MemoryStore):
    """A store whose page of connections begins with the first one, whatever `after` says."""

    def _snapshot(self, needs: Needs) -> Snapshot:
        if needs.connections is not None:
            first = attrs.evolve(needs.connections, after=None)
            needs = attrs.evolve(needs, connections=first)
        return super()._snapshot(needs)


@pytest.mark.slow
def test_store_listing_the_same_connections_again_breaks_law_16() -> None:
    violation = simulate(6, clients=2, hours=6, make_store=RepeatsPages).violation
    assert violation is not None
    assert violation.law == 16
    assert "snapshot.connections" in violation.message
