"""Faults of a PostgreSQL cluster that spans hosts."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final

import attrs
import psycopg
import sqlalchemy as sa

from tests.lab.crash.enemies import Blow, Enemy, plain, settle
from tests.lab.engines.hosts import Host
from tests.lab.engines.patroni import TTL, Cluster, Member

_WAITING: Final = (
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
    "WHERE wait_event = 'SyncRep' AND datname = current_database()"
)


@attrs.frozen
class AgainstPatroni:
    """Faults of one cluster.

    Attributes:
        cluster: The cluster.
        cancels: Whether waits for a standby are cancelled while links are cut.
        replaces: Whether every fault that lasts strikes the primary until another one replaces it.
    """

    cluster: Cluster
    cancels: bool = False
    replaces: bool = False

    def strike(self, blow: Blow, random: Random) -> str:
        """Inject a fault, end it, and wait until the cluster is whole again."""
        primary = self.cluster.primary()
        assert primary is not None, "the cluster was whole"
        others = [each for each in self.cluster.with_database if each is not primary]
        # The primary as often as the two others together.
        victim = random.choice([primary, random.choice(others)])
        # Half of the faults with a duration last until the primary is replaced.
        seconds = blow.seconds + random.choice([0, TTL])
        if self.replaces:
            victim, seconds = primary, blow.seconds + TTL
        of = "the primary" if victim is primary else "a standby"
        acts: dict[Enemy, Callable[[], str]] = {
            Enemy.CRASH: lambda: self._crash(victim, of),
            Enemy.STOP: lambda: self._stop(victim, of, seconds),
            Enemy.CUT_OFF: lambda: self._cut_off(victim, of, seconds),
            Enemy.CUT: lambda: self._cut(primary, others=others, random=random, seconds=seconds),
            Enemy.SLOW: lambda: self._slow(victim, of=of, random=random, seconds=blow.seconds),
            Enemy.LOSE: lambda: self._lose(victim, of=of, random=random, seconds=blow.seconds),
            Enemy.SWITCH_OVER: lambda: self._switch_over(primary),
            Enemy.FAIL_OVER: lambda: self._fail_over(primary, seconds),
            Enemy.CANCEL: lambda: self._cancel(others, blow.seconds),
        }
        said = acts[blow.enemy]()
        self.cluster.wait()
        after = self.cluster.primary()
        return said + ("; another primary" if after is not primary else "")

    def settle(self) -> None:
        """Wait until no work runs in the database."""
        settle(sa.make_url(self.cluster.url))

    def _crash(self, victim: Member, of: str) -> str:
        victim.signal(signal.SIGKILL)
        return f"of {of}"

    def _stop(self, victim: Member, of: str, seconds: float) -> str:
        victim.signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            victim.signal(signal.SIGCONT)
        return f"of {of} for {seconds:.1f} s"

    def _cut_off(self, victim: Member, of: str, seconds: float) -> str:
        self.cluster.network.cut_off(victim.host)
        return self._heal_after(f"of {of}", seconds)

    def _cut(self, primary: Member, others: list[Member], random: Random, seconds: float) -> str:
        # From the primary to one or all, or the other way.
        chosen = random.choice([others, [random.choice(others)]])
        outward = random.random() < 0.5
        for other in chosen:
            pair: tuple[Host, Host] = (primary.host, other.host)
            self.cluster.network.cut(*(pair if outward else pair[::-1]))
        way = "from" if outward else "to"
        return self._heal_after(f"{way} the primary, {len(chosen)} of 2", seconds)

    def _slow(self, victim: Member, of: str, random: Random, seconds: float) -> str:
        kilobits = random.choice([128, 256, 512])
        self.cluster.network.slow(victim.host, kilobits)
        return self._heal_after(f"of {of} to {kilobits} kbit/s", seconds)

    def _lose(self, victim: Member, of: str, random: Random, seconds: float) -> str:
        percent = random.choice([5, 15, 30])
        self.cluster.network.lose(victim.host, percent)
        return self._heal_after(f"of {of}, {percent} of 100", seconds)

    def _heal_after(self, said: str, seconds: float) -> str:
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                time.sleep(min(0.1, max(0.0, until - time.monotonic())))
                if self.cancels:
                    self._cancel_all()
        finally:
            self.cluster.network.heal()
        return f"{said} for {seconds:.1f} s"

    def _switch_over(self, primary: Member) -> str:
        standby = self.cluster.standby()
        wanted = {"leader": primary.host.name}
        if standby is not None:
            wanted["candidate"] = standby.host.name
        said = primary.ask("/switchover", wanted, seconds=60)
        return "asked for" if said is not None else "asked for, with no answer"

    def _fail_over(self, primary: Member, seconds: float) -> str:
        primary.kill()
        time.sleep(seconds)
        self.cluster.start(primary)
        return f"its host is lost for {seconds:.1f} s"

    def _cancel_all(self) -> None:
        for member in self.cluster.with_database:
            with suppress(psycopg.Error), psycopg.connect(member.own, autocommit=True) as each:
                each.execute(_WAITING)

    def _cancel(self, others: list[Member], seconds: float) -> str:
        # No standby answers, and every wait for one is cancelled.
        cancelled = 0
        url = plain(sa.make_url(self.cluster.url))
        with psycopg.connect(url, autocommit=True) as connection:
            for each in others:
                each.signal(signal.SIGSTOP)
            try:
                until = time.monotonic() + min(seconds, 3.0)
                while time.monotonic() < until:
                    time.sleep(0.2)
                    cancelled += len(connection.execute(_WAITING).fetchall())
            finally:
                for each in others:
                    each.signal(signal.SIGCONT)
        return f"{cancelled} of them"
