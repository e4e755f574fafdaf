"""Reads of acknowledged revocations from every node, to find stale ones.

The law of this module: **a read begins after the acknowledgement that it must see**.

Each node is read on two connections all the time: one waits for earlier transactions
(`wsrep_sync_wait = 1`), and one does not. Only the first may never be stale; nor may any server
(`tests.lab.engines.watching`).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Status
from tests.lab.crash.history import Operation
from tests.lab.crash.load import Load
from tests.lab.engines.galera import DATABASE, Galera, Node
from tests.lab.engines.galera.asking import Asking, MariadbError
from tests.lab.engines.watching import STORED, acknowledged, stored_status
from tests.lab.engines.watching import Watch as ServerWatch

SYNCS: Final = (1, 0)
PAUSE: Final = 0.03
"""Seconds between two reads without a new acknowledgement."""

_RECENT: Final = 24
_READ: Final = STORED.replace("curae_", f"{DATABASE}.curae_")


@attrs.frozen
class Stale:
    """A stale read.

    Attributes:
        sync: The value of `wsrep_sync_wait`.
        node: The node.
        connection: The connection.
        status: The status that it read; None if the connection was missing.
        age: The seconds from the acknowledgement to the start of the read.
    """

    sync: int
    node: str
    connection: str
    status: str | None
    age: float

    def __str__(self) -> str:
        return (
            f"{self.connection} was acknowledged as revoked and read as {self.status} from "
            f"{self.node} {self.age:.3f} s later (wsrep_sync_wait = {self.sync})"
        )


@attrs.define
class Watch:
    """A reader of acknowledged revocations.

    Attributes:
        revoked: Every revoked connection, and the time of its acknowledgement.
        reads: The number of reads, by the value of `wsrep_sync_wait`.
        refused: The number of reads without an answer.
        stale: The stale reads.
        servers: The reader of the servers.
    """

    cluster: Galera
    revoked: list[tuple[str, float]] = attrs.field(factory=list)
    known: set[str] = attrs.field(factory=set)
    reads: Counter[int] = attrs.field(factory=Counter)
    refused: Counter[int] = attrs.field(factory=Counter)
    stale: list[Stale] = attrs.field(factory=list[Stale])
    servers: ServerWatch = attrs.field(factory=ServerWatch)
    lock: threading.Lock = attrs.field(factory=threading.Lock)
    is_over: threading.Event = attrs.field(factory=threading.Event)

    def hear(self, operation: Operation) -> None:
        """Note an acknowledged operation."""
        self.servers.hear(operation)
        connection = acknowledged(operation)
        if connection is None:
            return
        with self.lock:
            if connection not in self.known:
                self.known.add(connection)
                self.revoked.append((connection, time.monotonic()))

    @contextmanager
    def beside(self, load: Load) -> Iterator[None]:
        """Read during the load."""
        self.is_over.clear()
        threads = [
            threading.Thread(target=self._read_all, args=(node, sync))
            for node in self.cluster.nodes
            for sync in SYNCS
        ]
        with self.servers.over(load):
            load.heard = self.hear
            for thread in threads:
                thread.start()
            try:
                yield
            finally:
                self.is_over.set()
                for thread in threads:
                    thread.join()

    @property
    def broken(self) -> list[str]:
        """All reads that break a law."""
        return [*self.servers.broken, *map(str, self.of(1))]

    def of(self, sync: int) -> list[Stale]:
        """Return the stale reads with a value of `wsrep_sync_wait`."""
        return [each for each in self.stale if each.sync == sync]

    def __str__(self) -> str:
        lines = [str(self.servers)]
        for sync in SYNCS:
            stale = self.of(sync)
            said = f"{self.reads[sync]} reads with wsrep_sync_wait = {sync}: {len(stale)} otherwise"
            if stale:
                distinct = len({each.connection for each in stale})
                latest = max(each.age for each in stale)
                said += f", of {distinct} connections, the latest {latest:.3f} s after it"
            lines.append(f"{said}, {self.refused[sync]} refused")
        return "\n".join(lines)

    def _read_all(self, node: Node, sync: int) -> None:
        random, seen = Random(f"{node.host.name} {sync}"), len(self.revoked)  # noqa: S311 - no secret
        while not self.is_over.is_set():
            try:
                with node.asking(sync=sync) as asked:
                    while not self.is_over.is_set():
                        seen = self._read_next(
                            asked, node=node, sync=sync, random=random, seen=seen
                        )
            except MariadbError:
                self.refused[sync] += 1
                time.sleep(0.1)

    def _read_next(self, asked: Asking, node: Node, sync: int, random: Random, seen: int) -> int:
        # New revocations first, each at least once; then any of the latest.
        if seen < len(self.revoked):
            wanted, seen = self.revoked[seen], seen + 1
        else:
            time.sleep(PAUSE)
            if not self.revoked:
                return seen
            wanted = random.choice(self.revoked[-_RECENT:])
        connection, heard = wanted
        began = time.monotonic()
        rows = asked.ask(_READ, connection)
        status = _status_of(rows[0]) if rows else None
        self.reads[sync] += 1
        if status != Status.REVOKED:
            with self.lock:
                self.stale.append(
                    Stale(
                        sync=sync,
                        node=node.host.name,
                        connection=connection,
                        status=status,
                        age=began - heard,
                    )
                )
        return seen


def _status_of(row: Sequence[object]) -> str:
    connection, binding = row
    return stored_status(str(connection), None if binding is None else str(binding))
