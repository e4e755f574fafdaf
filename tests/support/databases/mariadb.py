"""A MariaDB server for the tests: the system's, with its data in a temporary folder.

If CURAE_TEST_MARIADB_URL is set, databases are created on that server. Otherwise a server is
started for this process, with a Unix socket only. Without MariaDB the test fails.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from tests.support.databases.data_root import data_root

GIVEN: Final = "CURAE_TEST_MARIADB_URL"
PATIENCE: Final = 120
"""Seconds after which a running program counts as dead."""

_NUMBERS: Final = count(1)


@contextmanager
def mariadb() -> Iterator[sa.URL]:
    """Run a server within the block; yield its URL without a database."""
    given = os.environ.get(GIVEN)
    if given is not None:
        yield sa.make_url(given).set(drivername="mariadb+pymysql")
        return
    with (
        tempfile.TemporaryDirectory(prefix="curae-my-", dir=data_root()) as name,
        _started(Path(name)) as url,
    ):
        yield url


@contextmanager
def mariadb_database(server: sa.URL) -> Iterator[str]:
    """Yield the URL of a fresh database, which is dropped at the end.

    It has MariaDB's default collation, which treats `ADA` and `ada` as equal.
    """
    name = f"curae_test_{os.getpid()}_{next(_NUMBERS)}"
    _administer(server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        _administer(server, f"DROP DATABASE {name}")


def _administer(server: sa.URL, statement: str) -> None:
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


@contextmanager
def _started(directory: Path) -> Iterator[sa.URL]:
    # Not as root: the data belongs to an unprivileged user.
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    data, door, temporary = directory / "data", directory / "door", directory / "tmp"
    temporary.mkdir()
    if os.geteuid() == 0:
        directory.chmod(0o711)
        shutil.chown(directory, user)
        shutil.chown(temporary, user)
    # A server deletes, as it starts, all temporary files in its folder; their owner would crash.
    folders = [f"--datadir={data}", f"--tmpdir={temporary}"]
    common = ["--no-defaults", *folders, f"--user={user}"]
    with (directory / "log").open("a+") as log:
        made = subprocess.run(
            [_program("mariadb-install-db"), *common, "--auth-root-authentication-method=normal"],
            check=False,
            stdout=log,
            stderr=log,
            timeout=PATIENCE,
        )
        assert made.returncode == 0, (directory / "log").read_text()
        # Durability against a machine crash is off: the tests end only processes.
        settings = ["--skip-networking", "--innodb-flush-log-at-trx-commit=0"]
        server = subprocess.Popen(
            [_program("mariadbd"), *common, f"--socket={door}", *settings],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    url = sa.URL.create("mariadb+pymysql", "root", query={"unix_socket": str(door)})
    try:
        _wait_for(door, server, directory / "log")
        yield url
    finally:
        server.kill()
        server.wait(PATIENCE)


def _wait_for(door: Path, server: subprocess.Popen[bytes], log: Path) -> None:
    # The socket exists a moment before the server listens on it.
    until = time.monotonic() + PATIENCE
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(door))
        except (FileNotFoundError, ConnectionRefusedError):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        else:
            return


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/bin")
    assert found is not None, f"no MariaDB: set {GIVEN}, or install mariadb-server"
    return found
