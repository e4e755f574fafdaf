"""Fixtures of the tests of servers: empty databases, and one whose server can be stopped."""

from __future__ import annotations

import os

import pytest

from tests.support.databases.postgres import GIVEN


@pytest.fixture
def stoppable_url(postgres_url: str) -> str:
    """An empty database on a server of this process."""
    if GIVEN in os.environ:
        pytest.skip("a server that somebody gave is not stopped")
    return postgres_url
