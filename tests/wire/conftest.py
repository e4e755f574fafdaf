"""What the tests over the wire share: an empty database of either kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.wire.postgres import database
from tests.wire.running import sqlite


@pytest.fixture
def postgres_url(postgres_server: sa.URL) -> Iterator[str]:
    with database(postgres_server) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return sqlite(tmp_path)
