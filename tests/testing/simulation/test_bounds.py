"""Tests of the numbers of clients and hours that a simulation accepts."""

from __future__ import annotations

import pytest

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.testing.simulation import MAX_CLIENTS, MAX_HOURS, simulate


@pytest.mark.parametrize("hours", [-1, 0, MAX_HOURS + 1, 10**12])
def test_simulation_of_no_or_too_many_hours_raises(hours: int) -> None:
    with pytest.raises(ArgumentError, match="hours: must be from 1 to 1,000,000"):
        simulate(1, hours=hours)


@pytest.mark.parametrize("clients", [-1, 0, MAX_CLIENTS + 1])
def test_simulation_of_no_or_too_many_clients_raises(clients: int) -> None:
    with pytest.raises(ArgumentError, match="clients: must be from 1 to 1,000"):
        simulate(1, clients=clients)
