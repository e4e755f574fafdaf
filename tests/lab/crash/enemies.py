"""What works against the servers while they are loaded, and when.

The law of this module: **what an enemy does and after how many requests follows from a seed**; how
the requests interleave is the machine's.
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
"""MB of the file system that an enemy fills."""


class Enemy(StrEnum):
    """Who works against the servers."""

    KILL = "workers killed"
    PAUSE = "workers paused"
    RESTART = "database restarts"
    FREEZE = "database pauses"
    EXHAUST = "pools exhausted"
    FILL = "disk full"

    # Those of an engine that spans hosts: see `tests.lab.engines`.
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
"""The others are the database's."""


@attrs.frozen
class Blow:
    """One act of an enemy.

    Attributes:
        after: After how many requests of the round it comes.
        enemy: Whose it is.
        seconds: How long it lasts, where it lasts.
    """

    after: int
    enemy: Enemy
    seconds: float


def schedule(
    random: Random, wanted: Mapping[Enemy, int], *, rounds: int, requests: int, longest: float
) -> list[list[Blow]]:
    """The blows of each round.

    Args:
        random: Chance.
        wanted: How often each enemy comes in all.
        rounds: How many rounds there are.
        requests: How many requests a round has.
        longest: For how many seconds an enemy stays at most.
    """
    comers = [enemy for enemy, times in wanted.items() for _ in range(times)]
    random.shuffle(comers)
    planned: list[list[Blow]] = [[] for _ in range(rounds)]
    for number, enemy in enumerate(comers):
        # Workers stand still for longer than the database does: then all of them wait.
        most = longest if enemy is Enemy.PAUSE else longest / 2
        seconds = random.uniform(min(1.0, most / 2), most)
        # The last one of a round comes while enough is still to be sent.
        after = random.randrange(max(1, requests * 4 // 5))
        planned[number % rounds].append(Blow(after, enemy, seconds))
    return [sorted(each, key=lambda blow: blow.after) for each in planned]


class Against(Protocol):
    """What is done to a database while workers use it."""

    def strike(self, blow: Blow, random: Random) -> str:
        """Strike, and set right what can be: the database is there again at the end.

        Returns:
            What was done, in words.
        """
        ...

    def settle(self) -> None:
        """Wait until nobody is at work in the database any more."""
        ...


@attrs.frozen
class AgainstPostgres:
    """What is done to a PostgreSQL.

    Attributes:
        cluster: The server.
        database: The URL of the database that is in use.
    """

    cluster: Cluster | None
    database: sa.URL

    def strike(self, blow: Blow, random: Random) -> str:
        """Strike, and set right what can be: the database is there again at the end."""
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
        """Wait until nobody is at work in the database any more."""
        settle(self.database)

    def _crowd(self) -> ExitStack:
        # Every request waits for one table, and there is no connection left to wait on.
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
                # It found no room even to recover, and gave up.
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
    """The URL of a PostgreSQL as psycopg takes it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def settle(database: sa.URL) -> None:
    """Wait until nobody is at work in a PostgreSQL any more."""
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
    # It is a small file system of its own: see `postgres.cluster`.
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
    """What is done to a SQLite file: others hold its lock."""

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
        """Nothing outlives its process."""
