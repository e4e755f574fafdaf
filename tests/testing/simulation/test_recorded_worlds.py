"""Tests that a seed keeps its world: the same requests, mishaps and facts at the same instants.

People write seeds down and expect the same world later, on every Python version. A world may
change if the simulation gets a new mishap or operation, or if the rules answer a request in
another way. Then run `python -m tests.testing.simulation.recorded`, which writes the file again,
and read what changed.
"""

from __future__ import annotations

import pytest

from tests.testing.simulation.recorded import FILE, WORLDS, describe


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_each_seed_repeats_its_recorded_simulation(name: str) -> None:
    _, *worlds = ("\n" + FILE.read_text("utf-8")).split("\n== ")
    recorded = {world.partition("\n")[0]: world for world in worlds}
    assert recorded.keys() == WORLDS.keys()
    # `python -m tests.testing.simulation.recorded WORLD` prints the steps behind the digest.
    assert describe(name).rstrip() == f"== {recorded[name].rstrip()}"
