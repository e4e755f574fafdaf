"""Settings and fixtures of all tests: Hypothesis, paths, and empty databases."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import settings

from curae_lifecycle.stores.deadline import current_deadline

if TYPE_CHECKING:
    import sqlalchemy as sa

ROOM: Final = 2**30
"""How many bytes must be free in memory for the tests' files."""

LONGEST_FIRST: Final = ("lab", "docs", "proof", "testing", "cli", "servers", "stores")
"""The folders of files that may take many seconds; the others follow."""

# A deadline would be an assertion on wall time. `--hypothesis-profile thorough` draws four times
# as much; so does `nox -s thorough`.
settings.register_profile("curae", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None, max_examples=100)
settings.load_profile("curae")

# argparse translates its texts, and would look for the files of a language in each run of a command.
os.environ["LANGUAGE"] = "C"


LEFT_OUT: Final = " or postgres or slow)"
"""The end of the default expression of markers."""


def pytest_configure(config: pytest.Config) -> None:
    # A named file or folder runs with its slow tests and on PostgreSQL.
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        config.option.markexpr = config.option.markexpr.replace(LEFT_OUT, ")")
    # Databases wait for the disk with each commit, and nothing that a test stores must outlive it.
    memory = "/dev/shm"  # noqa: S108 - pytest makes a folder of this user's own there
    try:
        found = os.statvfs(memory)
    except OSError:
        return
    if found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", memory)


def import_own_part_first(config: pytest.Config) -> None:
    """Import all test files, but begin where no other process of pytest-xdist does.

    In a new copy of the tests, each process then compiles a part of them and finds the rest
    compiled. All processes would compile the same file at the same time otherwise.
    """
    given = {Path(each.partition("::")[0]) for each in config.args}
    files = [file for each in sorted(given) for file in sorted(each.rglob("test_*.py"))]
    worker: dict[str, str] = vars(config)["workerinput"]
    first = len(files) * int(worker["workerid"].removeprefix("gw")) // int(worker["workercount"])
    for file in files[first:] + files[:first]:
        # Errors are reported when the file is collected.
        with suppress(Exception, pytest.skip.Exception):
            place = file.absolute().relative_to(config.rootpath)
            import_module(".".join(place.with_suffix("").parts))


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    # Thousands of tests stay until the end: there is no garbage to be found among them.
    gc.disable()
    try:
        if hasattr(session.config, "workerinput"):
            import_own_part_first(session.config)
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def names_postgres(item: pytest.Item) -> bool:
    """Return whether a fixture or a parameter of a test names PostgreSQL."""
    if not isinstance(item, pytest.Function):
        return False
    parameters = item.name.removeprefix(item.originalname)
    return any("postgres" in each for each in (*item.fixturenames, parameters))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if names_postgres(item):
            item.add_marker("postgres")

    def place(item: pytest.Item) -> int:
        folder = item.nodeid.removeprefix("tests/").partition("/")[0]
        return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    try:
        return (yield)
    finally:
        # What one test left would end what a later one waits for.
        assert current_deadline() == float("inf"), "a deadline was left"


def is_not_of_asyncio(record: logging.LogRecord) -> bool:
    """Return whether a line was logged by something other than asyncio."""
    return record.name != "asyncio"


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Capture the log of a test without the lines of asyncio.

    asyncio logs that a task is lost when garbage is collected, which may be in a later test.
    """
    caplog.handler.addFilter(is_not_of_asyncio)
    return caplog


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[sa.URL]:
    # Here, for a folder's own `conftest.py` would start another for that folder.
    from tests.support.databases.postgres import postgres  # noqa: PLC0415 - most tests need none

    with postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: sa.URL) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    from tests.support.databases.postgres import empty_database  # noqa: PLC0415 - the same

    with empty_database(postgres_server) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an empty SQLite database."""
    from tests.support.wire.running import sqlite  # noqa: PLC0415 - most tests need none

    return sqlite(tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of either kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))
