"""The faults of a run, and their times.

The law of this module: **the kind of a fault and the number of requests before it follow from a
seed**; the interleaving of requests is the machine's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Final, Protocol

import attrs
import psycopg
import sqlalchemy as sa

from tests.support.databases.postgres import Cluster, can_mount

PATIENCE: Final = 60
ROOM: Final = 384
"""The size of the file system that a fault fills, in MB."""


class Enemy(StrEnum):
    """A kind of fault."""

    KILL = "workers killed"
    PAUSE = "workers paused"
    RESTART = "database restarts"
    FREEZE = "database pauses"
    EXHAUST = "pools exhausted"
    FILL = "disk full"

    # Faults of an engine that spans hosts: see `tests.lab.engines`.
    CRASH = "databases killed"
    STOP = "databases paused"
    CUT_OFF = "hosts cut off"
    CUT = "links cut one way"
    SLOW = "hosts slowed down"
    LOSE = "packets lost"
    SWITCH_OVER = "switch-overs"
    FAIL_OVER = "fail-overs"
    CANCEL = "waits for a standby cancelled"


OF_WORKERS: Final = frozenset({Enemy.KILL, Enemy.PAUSE})
"""The faults of workers; the others are those of the database."""


@attrs.frozen
class Blow:
    """One fault.

    Attributes:
        after: The number of requests of the round before it.
        enemy: Its kind.
        seconds: Its duration, if it has one.
    """

    after: int
    enemy: Enemy
    seconds: float


def schedule(
    random: Random, wanted: Mapping[Enemy, int], *, rounds: int, requests: int, longest: float
) -> list[list[Blow]]:
    """Plan the faults of each round.

    Args:
        random: The random generator.
        wanted: The number of faults of each kind.
        rounds: The number of rounds.
        requests: The number of requests in a round.
        longest: The longest duration of a fault, in seconds.
    """
    comers = [enemy for enemy, times in wanted.items() for _ in range(times)]
    random.shuffle(comers)
    planned: list[list[Blow]] = [[] for _ in range(rounds)]
    for number, enemy in enumerate(comers):
        # Workers pause for longer than the database, since then all of them wait.
        most = longest if enemy is Enemy.PAUSE else longest / 2
        seconds = random.uniform(min(1.0, most / 2), most)
        # The last fault of a round comes while enough requests remain.
        after = random.randrange(max(1, requests * 4 // 5))
        planned[number % rounds].append(Blow(after, enemy, seconds))
    return [sorted(each, key=lambda blow: blow.after) for each in planned]


class Against(Protocol):
    """Faults of a database in use."""

    def strike(self, blow: Blow, random: Random) -> str:
        """Inject a fault and repair it: the database is available at the end.

        Returns:
            The fault in words.
        """
        ...

    def settle(self) -> None:
        """Wait until no work runs in the database."""
        ...


@attrs.frozen
class AgainstPostgres:
    """Faults of a PostgreSQL server.

    Attributes:
        cluster: The server.
        database: The URL of the database in use.
    """

    cluster: Cluster | None
    database: sa.URL

    def strike(self, blow: Blow, random: Random) -> str:
        """Inject a fault and repair it: the database is available at the end."""
        cluster = self.cluster
        assert cluster is not None, "a server that is the tests' own"
        match blow.enemy:
            case Enemy.RESTART:
                mode = random.choice(["immediate", "fast"])
                cluster.stop(mode)
                cluster.start()
                return mode
            case Enemy.FREEZE:
                cluster.pause()
                try:
                    time.sleep(blow.seconds)
                finally:
                    cluster.resume()
            case Enemy.EXHAUST:
                with self._crowd():
                    time.sleep(blow.seconds)
            case Enemy.FILL:
                with _filled(cluster.data):
                    time.sleep(blow.seconds)
            case _:
                raise AssertionError(blow.enemy)
        self._come_back(cluster)
        return f"for {blow.seconds:.1f} s"

    def settle(self) -> None:
        """Wait until no work runs in the database."""
        settle(self.database)

    def _crowd(self) -> ExitStack:
        # Every request waits for one table, and no connection is left.
        crowd = ExitStack()
        first = crowd.enter_context(psycopg.connect(self._plain()))
        first.execute("LOCK TABLE curae_caller IN ACCESS EXCLUSIVE MODE")
        with suppress(psycopg.OperationalError):
            while True:
                crowd.enter_context(psycopg.connect(self._plain()))
        return crowd

    def _come_back(self, cluster: Cluster) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            if not cluster.is_running():
                # The disk was too full even for recovery, and the server gave up.
                cluster.start()
            try:
                psycopg.connect(self._plain()).close()
            except psycopg.OperationalError:
                assert time.monotonic() < until, "the database does not come back"
                time.sleep(0.05)
            else:
                return

    def _plain(self) -> str:
        return plain(self.database)


def plain(url: sa.URL) -> str:
    """Return the URL of a PostgreSQL server for psycopg."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def settle(database: sa.URL) -> None:
    """Wait until no work runs in a PostgreSQL database."""
    with psycopg.connect(plain(database), autocommit=True) as connection:
        busy = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND state <> 'idle'"
        )
        until = time.monotonic() + PATIENCE
        while connection.execute(busy).fetchone() != (0,):
            assert time.monotonic() < until, "the database does not come to rest"
            time.sleep(0.02)


def _filled(place: Path) -> ExitStack:
    # The file system is small and separate: see `postgres.cluster`.
    assert can_mount(), "no file system to fill"
    room = ExitStack()
    ballast = place / "ballast"
    room.callback(ballast.unlink)
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    os.write(file.fileno(), b"\0" * size)
    return room


@attrs.frozen
class AgainstSqlite:
    """Faults of an SQLite file: its lock is held."""

    database: sa.URL

    def strike(self, blow: Blow, random: Random) -> str:
        """Hold the lock for a while."""
        del random
        assert blow.enemy is Enemy.EXHAUST, "a file cannot be restarted"
        engine = sa.create_engine(self.database)
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
            time.sleep(blow.seconds)
            connection.exec_driver_sql("ROLLBACK")
        engine.dispose()
        return f"for {blow.seconds:.1f} s"

    def settle(self) -> None:
        """Return at once, since no work outlives its process."""
