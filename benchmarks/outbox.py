"""Measure how fast a worker delivers the outbox, and how long a poll takes.

    python benchmarks/outbox.py [MESSAGES]

It needs the packages of the extra `test`. The worker is compared with a bare loop, which reads a
hundred rows and deletes them one by one, each in its own transaction. That loop has no lease and no
order, and tolerates no second worker. Both take turns on one database: read the ratios.

A poll is one batch in which no message can be delivered. Beside it the second table has the time of
one round trip, and of one count of the backlog.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from curae_lifecycle.stores.keys import key_of
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import SqlStore
from tests.support.databases.postgres import database, postgres
from tests.support.wire.running import sqlite

ROUNDS: Final = 3
OF_EACH: Final = 4
"""The number of messages about each subject; each waits for the one before it."""

WAITING: Final = 100_000
LOOKS: Final = 20
AT_ONCE: Final = 500
LATER: Final = 2**62
DOCUMENT: Final = (
    '{"format": 1, "type": "connection.revoked", "id": "0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"}'
)


def post(on: SqlDatabase, messages: list[tuple[str, int]]) -> None:
    """Insert messages, each with its subject and the microsecond at which it is due."""
    for first in range(0, len(messages), AT_ONCE):
        some = messages[first : first + AT_ONCE]
        rows = ", ".join(["(?, 'event', ?, 0, ?, 0)"] * len(some))
        columns = "subject, kind, document, attempts, due_at, waits_from"
        text = f"INSERT INTO curae_outbox ({columns}) VALUES {rows}"  # noqa: S608 - constant text
        values = [each for subject, due in some for each in (key_of(subject), DOCUMENT, due)]
        assert on.run_transaction([Statement(text, tuple(values))])


def handle(_: Delivery) -> None:
    """Do nothing, so that only the worker itself is measured."""


def shipped(on: SqlDatabase) -> None:
    """Deliver all due messages by a worker."""
    outbox = Outbox(on)
    while outbox.deliver_batch(handle):
        pass


def bare(on: SqlDatabase) -> None:
    """Read and delete all messages by the bare loop."""
    found = Statement("SELECT id, subject, kind, document FROM curae_outbox ORDER BY id LIMIT 100")
    while rows := on.rows(found):
        for row in rows:
            assert on.run_transaction(
                [Statement("DELETE FROM curae_outbox WHERE id = ?", (int(str(row[0])),), 1)]
            )


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def ship(on: SqlDatabase, name: str, messages: int) -> None:
    """Print the rates of the bare loop and of a worker, and their ratio."""
    due = [(f"subject-{number // OF_EACH}", 1) for number in range(messages)]
    taken: dict[str, list[float]] = {"bare": [], "shipped": []}
    for _ in range(ROUNDS):
        for kind, work in (("bare", bare), ("shipped", shipped)):
            post(on, due)
            taken[kind].append(seconds(partial(work, on)))
    print(line(name, taken, messages), flush=True)


def line(name: str, taken: dict[str, list[float]], messages: int) -> str:
    """Return the line of a database: both rates, and the worker's divided by the bare loop's."""
    rates = {kind: messages / statistics.median(each) for kind, each in taken.items()}
    ratio = rates["shipped"] / rates["bare"]
    return f"{name:12}{rates['bare']:12.0f}{rates['shipped']:12.0f}{ratio:8.2f}"


def look(name: str, messages: list[tuple[str, int]]) -> None:
    """Print the time of a poll while these messages wait, on a new database of each kind."""
    for kind, on in databases():
        post(on, messages)
        trip = median(partial(on.rows, Statement("SELECT 1")))
        tried = median(partial(Outbox(on).deliver_batch, handle))
        counted = median(Outbox(on).backlog)
        print(f"{kind:12}{name:36}{trip:10.2f}{tried:10.2f}{counted:10.2f}", flush=True)


def median(work: Callable[[], object]) -> float:
    """Return the median of the milliseconds that a call takes."""
    return statistics.median(seconds(work) for _ in range(LOOKS)) * 1000


def databases() -> Iterator[tuple[str, SqlDatabase]]:
    """Yield an empty database of each kind, one after the other."""
    with (
        postgres() as server,
        database(server) as url,
        tempfile.TemporaryDirectory() as directory,
    ):
        for kind, each in (("SQLite", sqlite(Path(directory))), ("PostgreSQL", url)):
            engine = create_engine(each, timeout=60)
            found = SqlDatabase(engine)
            SqlStore(found).create_tables()
            try:
                yield kind, found
            finally:
                engine.dispose()


def main(messages: int) -> None:
    """Print both tables."""
    print("messages a second   bare   delivered   ratio")
    for kind, on in databases():
        ship(on, kind, messages)
    print("a poll, in ms                                   round trip      poll     count")
    look("nothing waits", [])
    look(f"{WAITING} wait for later", [(f"subject-{number}", LATER) for number in range(WAITING)])
    look(f"{WAITING} behind one that failed", [("one", LATER), *[("one", 1)] * WAITING])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
