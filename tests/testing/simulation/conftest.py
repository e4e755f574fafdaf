"""Fixtures of the tests of the simulation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.testing.simulation.bench import OPENED


@pytest.fixture(autouse=True)
def _close_benches() -> Iterator[None]:
    """Close the outboxes of the benches that a test opened."""
    yield
    while OPENED:
        OPENED.pop().server.outbox.close()
