"""A PostgreSQL primary and its standby on one machine, whose clocks disagree."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Final

import attrs
import psycopg
import sqlalchemy as sa

from tests.lab.crash.enemies import PATIENCE, Blow, Enemy, plain, settle
from tests.lab.crash.load import true_time
from tests.lab.crash.steps import Step, Steps
from tests.support.databases.postgres import Cluster, cluster

DATABASE: Final = "failed_over"
BEHIND: Final = 60_000_000
"""How far the clock of the second server is behind, in microseconds."""

_CLOCK: Final = """
CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT pg_catalog.clock_timestamp()
        + INTERVAL '1 microsecond' * coalesce(current_setting('lab.ahead', true), '0')::bigint
$$
"""
"""A clock that follows a setting of the server on which it is read."""

_CHOOSE_CLOCK: Final = f"ALTER DATABASE {DATABASE} SET search_path = public, pg_catalog"
"""The function is found before PostgreSQL's own."""

_SENDERS: Final = "SELECT pid FROM pg_stat_replication"
_IN_SYNC: Final = (
    "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = %s"
)


@attrs.define
class Pair:
    """A primary and its standby.

    Attributes:
        primary: The primary.
        standby: The standby.
        is_synchronous: Whether commits wait until the standby has them.
        ahead: How far the primary's clock is ahead of the true one, in microseconds.
        steps: The steps of the primary's clock so far.
    """

    primary: Cluster
    standby: Cluster
    is_synchronous: bool
    ahead: int = 0
    steps: Steps = attrs.field(factory=Steps)

    @property
    def url(self) -> sa.URL:
        """The URL of whichever of the two is the primary."""
        doors = sorted(str(each.directory / "door") for each in (self.primary, self.standby))
        return self.primary.url.set(
            database=DATABASE,
            query={"host": ",".join(doors), "target_session_attrs": "read-write"},
        )

    def strike(self, blow: Blow, random: Random) -> str:
        """Kill the primary, promote the standby, and give it a standby."""
        assert blow.enemy is Enemy.FAIL_OVER, blow.enemy
        said = "at once"
        # Without it, a control would lose only what was on its way at that instant.
        if not self.is_synchronous or random.random() < 0.5:
            self._cut()
            time.sleep(blow.seconds)
            said = f"{blow.seconds:.1f} s after its link to the standby was cut"
        return f"{said}; {self.fail_over():.1f} s without a standby"

    def _cut(self) -> None:
        with psycopg.connect(plain(self.primary.url), autocommit=True) as connection:
            for (process,) in connection.execute(_SENDERS).fetchall():
                self.primary.pause_one(process)

    def fail_over(self) -> float:
        """Kill the primary and promote the standby; return the seconds without a new standby."""
        # No server is promoted before the other one is dead, so the clock steps meanwhile.
        before, self.ahead = self.ahead, -BEHIND - self.ahead
        first = true_time()
        self.primary.kill()
        self.steps.taken.append(
            Step(first=first, last=true_time(), before=before, after=self.ahead)
        )
        self.standby.run("pg_ctl", "--wait", "promote")
        self.primary, self.standby = self.standby, self.primary
        promoted = time.monotonic()
        self.standby.become_standby_of(self.primary)
        self.wait()
        return time.monotonic() - promoted

    def settle(self) -> None:
        """Wait until no work runs in the database."""
        settle(self.url)

    def wait(self) -> None:
        """Wait until the standby follows the primary."""
        wanted = "sync" if self.is_synchronous else "async"
        until = time.monotonic() + PATIENCE
        with psycopg.connect(plain(self.primary.url), autocommit=True) as connection:
            while connection.execute(_IN_SYNC, (wanted,)).fetchone() != (1,):
                assert time.monotonic() < until, "the standby does not follow"
                time.sleep(0.02)


@contextmanager
def pair(*, is_synchronous: bool = True) -> Iterator[Pair]:
    """Run a primary and its standby within the block, with a database on them.

    Args:
        is_synchronous: Whether commits wait until the standby has them.
    """
    with cluster(connections=80) as first:
        _run(first.url, f"CREATE DATABASE {DATABASE}", _CHOOSE_CLOCK)
        _run(first.url.set(database=DATABASE), _CLOCK)
        second = first.beside("second")
        second.settings += f" -c lab.ahead={-BEHIND}"
        made = Pair(first, second, is_synchronous)
        try:
            if is_synchronous:
                # The name that a standby gives itself if it is given none.
                for each in (first, second):
                    each.settings += " -c synchronous_standby_names=walreceiver"
            second.become_standby_of(first)
            if is_synchronous:
                # The first one runs without its new settings.
                _run(
                    first.url,
                    "ALTER SYSTEM SET synchronous_standby_names = 'walreceiver'",
                    "SELECT pg_reload_conf()",
                )
            made.wait()
            yield made
        finally:
            second.resume()
            if second.is_running():
                second.stop()


def _run(url: sa.URL, *statements: str) -> None:
    with psycopg.connect(plain(url), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
