"""Races of writers on two nodes of a Galera cluster, and reads of revocations on another node.

    python -m tests.lab.engines.galera --races 100 [--wrong unversioned]
    python -m tests.lab.engines.galera --reads 500 [--sync-wait 0]

The laws of this module: **both have decided before either commits**, and they commit at once; **a
read begins when the revocation was acknowledged**, at once.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.testing.laws import LawBrokenError, check_chain
from curae_lifecycle.testing.races import SCENARIOS, PendingCommit, commit, commit_with_retries
from curae_lifecycle.testing.races.scenarios import Action, RaceTenant, at, fact_action
from tests.lab.engines.galera import DATABASE, Galera, Node
from tests.support.sql.databases import Clocked
from tests.support.sql.works import SETTINGS

SCENE: Final = "the pending connection has lapsed"
PAIR: Final = ("the first is authorized", "reconnect the first")
LATER: Final = timedelta(days=90)
MUCH: Final = 500
"""The number of rows that other clients write at once."""


@attrs.define
class Races:
    """The results of the races.

    Attributes:
        ended: How often neither, one and both of the two committed.
        broken: The law that each broken chain breaks.
    """

    ended: Counter[int] = attrs.field(factory=Counter)
    broken: list[str] = attrs.field(factory=list[str])

    def __str__(self) -> str:
        ended = ", ".join(
            f"{times} with {taken} taken" for taken, times in sorted(self.ended.items())
        )
        return "\n".join([f"{ended}; {len(self.broken)} with two alive", *self.broken[:3]])


def race(cluster: Galera, times: int) -> Races:
    """Race a late authorization and a reconnect on a chain, then finish the successor.

    Args:
        cluster: The cluster; the two run on different nodes, others each time.
        times: The number of races.
    """
    databases = [
        Clocked(SqlDatabase(create_engine(node.url().render_as_string()))) for node in cluster.nodes
    ]
    stores = [SqlStore(each, SETTINGS) for each in databases]
    stores[0].create_tables()
    races, scene = Races(), SCENARIOS[SCENE]
    with ThreadPoolExecutor(2) as pool:
        for number in range(times):
            stage = RaceTenant.of(number, SETTINGS)
            first, second = (stores[(number + each) % len(stores)] for each in (0, 1))
            first.register(ApiKey(stage.api_key), stage.caller)
            for minutes, work in scene.before(stage):
                _turn(databases, at(minutes))
                commit_with_retries(first, work)
            _turn(databases, at(scene.race_minute))
            works = stage.actions()
            taken = _meet(pool, (first, works[PAIR[0]]), (second, works[PAIR[1]]))
            races.ended[sum(taken)] += 1
            for store, name, done in zip((first, second), PAIR, taken, strict=True):
                if not done:
                    commit_with_retries(store, works[name])
            races.broken += _finished(first, stage, at(scene.race_minute))
    return races


@attrs.define
class Reads:
    """The results of the reads after revocations.

    Attributes:
        revoked: The number of revoked connections.
        read: The number of reads on the other nodes.
        otherwise: The number of reads without REVOKED.
    """

    revoked: int = 0
    read: int = 0
    otherwise: int = 0

    def __str__(self) -> str:
        return (
            f"{self.revoked} revocations acknowledged; {self.read} reads at another node begun at "
            f"once, {self.otherwise} of which said something else"
        )


def read_revoked(cluster: Galera, times: int) -> Reads:
    """Revoke on one node and read on the others at once, while all are busy.

    Args:
        cluster: The cluster.
        times: The number of revocations.
    """
    stores = [
        SqlStore(SqlDatabase(create_engine(node.url().render_as_string())), SETTINGS)
        for node in cluster.nodes
    ]
    stores[0].create_tables()
    reads, over = Reads(), threading.Event()
    others = threading.Thread(target=_write_much, args=(cluster.nodes[0], over))
    others.start()
    try:
        for number in range(times):
            stage = RaceTenant.of(number, SETTINGS)
            first = ConnectionId(stage.first)
            one, *elsewhere = [stores[(number + each) % len(stores)] for each in range(len(stores))]
            one.register(ApiKey(stage.api_key), stage.caller)
            commit_with_retries(one, stage.create_action(1))
            commit_with_retries(one, fact_action(Revoked(first, Actor.PLATFORM)))
            reads.revoked += 1
            for store in elsewhere:
                found = store.load(Needs(connection=first)).snapshot.connection
                reads.read += 1
                reads.otherwise += found is None or found.status is not Status.REVOKED
    finally:
        over.set()
        others.join()
    return reads


def _write_much(node: Node, over: threading.Event) -> None:
    # Rows that every node must write before later transactions.
    with node.asking(seconds=60) as asked:
        asked.ask(f"CREATE TABLE {DATABASE}.much (id BIGINT PRIMARY KEY, text TEXT)")
        number = 0
        while not over.is_set():
            rows = ", ".join(f"({number + each}, REPEAT('x', 2000))" for each in range(MUCH))
            asked.ask(f"INSERT INTO {DATABASE}.much VALUES {rows}")  # noqa: S608 - numbers
            number += MUCH


def _turn(databases: Sequence[Clocked], now: datetime) -> None:
    for each in databases:
        each.now = now


def _meet(
    pool: ThreadPoolExecutor, one: tuple[SqlStore, Action], two: tuple[SqlStore, Action]
) -> list[bool]:
    both = threading.Barrier(2)

    def committing(store: SqlStore, decided: PendingCommit) -> Callable[[], bool]:
        def act() -> bool:
            both.wait()
            return commit(store, decided)

        return act

    acts = [committing(store, work(store)) for store, work in (one, two)]
    return [each.result() for each in [pool.submit(act) for act in acts]]


def _finished(store: SqlStore, stage: RaceTenant, now: datetime) -> list[str]:
    # The patient finishes the successor too, if there is one.
    first = ConnectionId(stage.first)
    chain = _chain(store, first)
    for later in chain[1:]:
        commit_with_retries(store, fact_action(Authorized(later.id, now + LATER)))
    try:
        check_chain(_chain(store, first), now, era=None)
    except LawBrokenError as error:
        return [str(error)]
    return []


def _chain(store: SqlStore, first: ConnectionId) -> list[Connection]:
    snapshot = store.load(Needs(chain=first)).snapshot
    assert snapshot.connection is not None
    return [snapshot.connection, *snapshot.following]
