"""Fixtures of the tests of operating and erasing: a platform, and the command line on it."""

from __future__ import annotations

import locale
from collections.abc import Iterator

import pytest

from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.store import SqlStore
from tests.cli.operating import KEY, WRITER, Platform
from tests.support.commands import Command


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.heavy)])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def platform(url: str) -> Iterator[Platform]:
    engine = create_engine(url, timeout=30)
    database = SqlDatabase(engine)
    store = SqlStore(database)
    store.create_tables()
    store.register(KEY, WRITER)
    yield Platform(url, database, store)
    engine.dispose()


@pytest.fixture
def command(
    platform: Platform, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    return Command(capsys, monkeypatch, ("--database", platform.url))


@pytest.fixture
def ascii_locale() -> Iterator[None]:
    """Make ASCII the encoding of files that are opened without one."""
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    yield
    locale.setlocale(locale.LC_CTYPE, before)
