"""What the tests of stores share: the databases that the tests over the wire have."""

from __future__ import annotations

import pytest

from tests.wire.conftest import postgres_url, sqlite_url

__all__ = ["postgres_url", "sqlite_url"]

DATABASES = ("sqlite", "postgres")


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest) -> str:
    """An empty database of either kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))
