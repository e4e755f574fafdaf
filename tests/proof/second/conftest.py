"""Worlds on both stores, for each test that says something of stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proof.second.client import World, in_memory, on_sqlite


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Yield a world on an empty store, in memory and on SQLite."""
    if request.param == "memory":
        yield in_memory()
        return
    with on_sqlite(tmp_path / "curae.db") as made:
        yield made


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[World]:
    """Yield a world on an empty SQLite file."""
    with on_sqlite(tmp_path / "curae.db") as made:
        yield made
