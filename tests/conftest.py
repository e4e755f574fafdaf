"""What all tests share: how Hypothesis runs, what is no garbage, and one PostgreSQL a process."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    import sqlalchemy as sa

# A deadline would be an assertion on wall time. `--hypothesis-profile thorough` draws twice as
# much; `.ci/run` does so where it tests the wheel.
settings.register_profile("curae", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=100)
settings.load_profile("curae")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    # Thousands of tests stay until the end: to look for garbage among them, over and over, took a
    # tenth of the time.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[sa.URL]:
    # Here, for a folder's own `conftest.py` would start another for that folder.
    from tests.wire.postgres import postgres  # noqa: PLC0415 - most tests need none

    with postgres() as server:
        yield server
