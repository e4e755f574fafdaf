"""Outbox servers and workers, killed at any point; lost and repeated messages are counted.

    python -m tests.lab.outbox_crash --kills 400

runs it at the published size, on SQLite and PostgreSQL, and prints the result. Each process kills
itself by SIGKILL at a chosen point: before or after a delivery, in the middle of a commit, or at
any moment; another takes its place. A trigger of the database notes every committed message, in the
transaction that commits it.

It is one thread that forks: a process starts in milliseconds, with everything imported.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

import attrs
import pytest
import sqlalchemy as sa

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    CustomerAccountId,
    Environment,
)
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores import outbox
from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.outbox import Delivery, Message
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.stores.sql import outbox_statements, outbox_worker, store
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.request import Request
from tests.lab.outbox_judge import Run, judge
from tests.support.databases.postgres import database, postgres

API_KEY: Final = "cae_live_k1"
ACCOUNT: Final = CustomerAccountId("d8c60791-7301-441c-98e8-5bea9a162d9b")
CALLER: Final = Caller(
    api_key_id=ApiKeyId("key-1"),
    app_id=AppId("app-1"),
    customer_account_id=ACCOUNT,
    environment=Environment.LIVE,
    scopes=frozenset({CONNECTION_WRITE}),
)
MINT: Final = RandomIds("https://pages.example/")
SHIPPING: Final = DeliverySettings(
    batch=5, lease=5.0, poll_seconds=0.02, pause=0.05, longest_pause=0.2
)

FAILS: Final = 0.1
"""The share of failing deliveries."""

POINTS: Final = {
    "serve": ("committing", "committed", "anywhere"),
    "ship": ("claiming", "claimed", "before", "after", "dropping", "dropped", "anywhere"),
}
"""The points at which a process kills itself, by its role."""

ROLES: Final = ("serve", "ship", "ship", "serve", "ship")
"""The roles of the processes that run at one time."""


def seeded(seed: float) -> Random:
    """Return a random generator for a seed."""
    return Random(seed)  # noqa: S311 - nothing here is a secret


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# --- Processes ----------------------------------------------------------------------------------


@attrs.define
class Doomed:
    """A process that kills itself at the n-th visit of a point."""

    point: str
    count: int

    def comes_to(self, point: str) -> bool:
        """Return whether this visit is the last."""
        self.count -= point == self.point
        return point == self.point and self.count <= 0

    def at(self, point: str) -> None:
        """Die here at the chosen visit."""
        if self.comes_to(point):
            die()


class DoomedDatabase(SqlDatabase):
    """A database whose process dies in the middle of a commit, or right after one."""

    def __init__(self, url: str, doomed: Doomed) -> None:
        super().__init__(create_engine(url, timeout=30, pool_size=2))
        self._doomed = doomed

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        text = statements[0].text
        during, after = "committing", "committed"
        if text.startswith("DELETE FROM curae_outbox"):
            during, after = "dropping", "dropped"
        elif text.startswith("UPDATE curae_outbox"):
            during, after = "claiming", "claimed"
        if self._doomed.comes_to(during):
            # Wherever the commit is by then.
            threading.Timer(random.uniform(0, 0.004), die).start()  # noqa: S311 - no secret
        changed = super().run_transaction(statements)
        self._doomed.at(after)
        return changed


def serving(url: str, doomed: Doomed, chance: Random) -> None:
    """Send requests and record facts until the process dies."""
    settings = Settings()
    kept = SqlStore(DoomedDatabase(url, doomed), settings)
    made: list[str] = []
    for number in range(sys.maxsize):
        user = f"user-{chance.randrange(200)}"
        key = f"{os.getpid()}-{number}"
        try:
            match chance.choice(["initiate", "initiate", "create", "create", "fact", "revoke"]):
                case "initiate":
                    serve(
                        kept,
                        request=request("curae-connect/initiate", key, user),
                        id_factory=MINT,
                        settings=settings,
                    )
                case "create":
                    answer = serve(
                        kept,
                        request=request("connections", key, user),
                        id_factory=MINT,
                        settings=settings,
                    )
                    if answer.response.status == 201:
                        made.append(json.loads(answer.response.body)["connection"]["id"])
                case "revoke" if made:
                    target = f"connections/{chance.choice(made)}:revoke"
                    serve(
                        kept, request=request(target, key, None), id_factory=MINT, settings=settings
                    )
                case _:
                    record(kept, fact(chance, made, user))
        except StoreUnavailableError:
            continue


def request(path: str, key: str, user: str | None) -> Request:
    body = {} if user is None else {"appUserId": user}
    if path == "connections":
        body |= {"dataPackages": "clinical_summary"}
    text = json.dumps(body).replace('"clinical_summary"', '["clinical_summary"]')
    headers = (("Authorization", f"Bearer {API_KEY}"), ("Idempotency-Key", key))
    return Request(
        method="POST",
        target=f"/api/sdk/v1/{path}",
        headers=headers,
        body=b"" if user is None else text.encode(),
    )


def fact(chance: Random, made: list[str], user: str) -> Fact:
    if not made or chance.random() < 0.2:
        return Graduated(CALLER.coordinate(AppUserId(user)))
    connection = ConnectionId(chance.choice(made))
    if chance.random() < 0.6:
        return Authorized(connection)
    return Revoked(connection, Actor.PATIENT)


def shipping_to(url: str, journal: Path, doomed: Doomed) -> None:
    """Deliver messages into the journal until the process dies."""
    kept = DoomedDatabase(url, doomed)
    file = os.open(journal, os.O_WRONLY | os.O_APPEND)

    class Late(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said = record.getMessage()
            if "the claim was lost" in said or "could not be stored in time" in said:
                os.write(file, b'{"late": true}\n')

    logging.getLogger(outbox_worker.__name__).addHandler(Late())

    def handle(delivery: Delivery) -> None:
        doomed.at("before")
        if random.random() < FAILS:  # noqa: S311 - no secret
            raise ConnectionError
        line = json.dumps([delivery.number, delivery.subject, delivery.document])
        # A kill can cut a line off: the next delivery then begins a new line.
        os.write(file, f"\n{line}\n".encode())
        doomed.at("after")

    while True:
        Outbox(kept, SHIPPING).run(handle)


# --- The supervisor -----------------------------------------------------------------------------


def forked(work: Callable[[], None]) -> int:
    """Fork a process for some work; return its id."""
    number = os.fork()
    if number:
        return number
    try:
        work()
    except BaseException:  # noqa: BLE001 - whatever it is, nothing after this is this process's
        traceback.print_exc()
    os._exit(1)


def crash(url: str, directory: Path, *, kills: int, seed: int = 1, wrong: str | None = None) -> Run:
    """Run and kill processes on a new database, and judge the result.

    Args:
        url: The database.
        directory: The folder of the journal of deliveries.
        kills: The number of processes that die at a chosen point.
        seed: The seed of these points; the interleaving is the machine's.
        wrong: The name of a mistake, if any.
    """
    journal = directory / "journal"
    journal.touch()
    prepared(url)
    if wrong is not None:
        WRONG[wrong]()
    lives = Lives(url, journal, seeded(seed))
    for role in ROLES:
        lives.begin(role)
    while lives.kills.total() < kills:
        lives.go_on()
    lives.end()
    drain(url, journal)
    run = Run(lives.kills)
    judge(url, journal, run)
    return run


class Lives:
    """The processes that run at one time."""

    def __init__(self, url: str, journal: Path, chance: Random) -> None:
        self._url, self._journal, self._chance = url, journal, chance
        self.kills: Counter[tuple[str, str]] = Counter()
        self._alive: dict[int, tuple[str, str, float]] = {}

    def begin(self, role: str) -> None:
        """Start a process, and choose the point of its death."""
        chance = self._chance
        point = chance.choice(POINTS[role])
        doomed, seed = Doomed(point, chance.randint(1, 12)), chance.random()
        lasts = chance.uniform(0.1, 0.6) if point == "anywhere" else float("inf")

        def work() -> None:
            random.seed(seed)
            if role == "serve":
                serving(self._url, doomed, seeded(seed))
            else:
                shipping_to(self._url, self._journal, doomed)

        self._alive[forked(work)] = role, point, time.monotonic() + lasts

    def go_on(self) -> None:
        """Replace a dead process, and kill one that ran too long."""
        number, status = os.waitpid(-1, os.WNOHANG)
        if number:
            role, point, _ = self._alive.pop(number)
            assert os.WTERMSIG(status) == signal.SIGKILL, f"{role} {point} failed: {status}"
            self.kills[role, point] += 1
            self.begin(role)
            return
        time.sleep(0.001)
        for number, (_, _, ends) in self._alive.items():
            if time.monotonic() > ends:
                os.kill(number, signal.SIGKILL)

    def end(self) -> None:
        """Kill all remaining processes."""
        for number, (role, _, _) in self._alive.items():
            os.kill(number, signal.SIGKILL)
            os.waitpid(number, 0)
            self.kills[role, "anywhere"] += 1


def drain(url: str, journal: Path) -> None:
    """Deliver the remaining messages."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        # The claimants are dead, so no lease need be waited for.
        connection.execute(sa.text("UPDATE curae_outbox SET due_at = 1 WHERE due_at IS NOT NULL"))
    engine.dispose()
    last = forked(lambda: shipping_to(url, journal, Doomed("never", 1)))
    ends = time.monotonic() + 120
    try:
        with engine.connect() as connection:
            count = sa.text("SELECT COUNT(*) FROM curae_outbox WHERE due_at IS NOT NULL")
            while connection.execute(count).scalar_one() and time.monotonic() < ends:
                connection.rollback()
                time.sleep(0.1)
    finally:
        os.kill(last, signal.SIGKILL)
        os.waitpid(last, 0)
        engine.dispose()


def prepared(url: str) -> None:
    """Create the tables, the caller, and the trigger that notes every committed message."""
    database = SqlDatabase(create_engine(url, timeout=30))
    kept = SqlStore(database)
    kept.create_tables()
    kept.register(ApiKey(API_KEY), CALLER)
    columns = "(id BIGINT PRIMARY KEY, subject VARCHAR(64), kind VARCHAR(64), document TEXT)"
    noted = "INSERT INTO posted VALUES (NEW.id, NEW.subject, NEW.kind, NEW.document);"
    made = [f"CREATE TABLE posted {columns}"]
    if database.dialect == "sqlite":
        made.append(f"CREATE TRIGGER note AFTER INSERT ON curae_outbox BEGIN {noted} END")
    else:
        body = f"BEGIN {noted} RETURN NEW; END"
        made.append(
            f"CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $note$ {body} $note$"
        )
        made.append(
            "CREATE TRIGGER note AFTER INSERT ON curae_outbox FOR EACH ROW EXECUTE FUNCTION note()"
        )
    database.run_ddl([Statement(text) for text in made])
    database._engine.dispose()


# --- Mistakes that it finds ---------------------------------------------------------------------


PATCHED: Final = pytest.MonkeyPatch()


def _forgetting() -> None:
    """Make stores drop the effect that provisions a user."""

    def wrong(changes: Changes, settings: Settings) -> tuple[Message, ...]:
        found = outbox.messages(changes, settings)
        return tuple([each for each in found if each.kind != "UserProvisioned"])

    PATCHED.setattr(store, "messages", wrong)


def _dropping_first() -> None:
    """Make workers delete a message before its delivery."""

    async def wrong(worker: outbox_worker._Worker, delivery: Delivery, claim: str) -> None:
        dialect = worker.database.dialect
        await worker._change(*outbox_statements.delivered_statements(dialect, delivery, claim))
        with suppress(ConnectionError):
            await worker.handle(delivery)

    PATCHED.setattr(outbox_worker._Worker, "_try", wrong)


def _without_order() -> None:
    """Make workers take any message of a subject."""
    due = outbox_statements.due_statement

    def wrong(dialect: Dialect, limit: int) -> Statement:
        statement = due(dialect, limit)
        return statement._replace(text=statement.text.replace("NOT EXISTS", "1 = 1 OR NOT EXISTS"))

    PATCHED.setattr(outbox_statements, "due_statement", wrong)


WRONG: Final = {
    "forgetting": _forgetting,
    "dropping first": _dropping_first,
    "without order": _without_order,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--kills", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url", help="a new database; one of SQLite and one of PostgreSQL else")
    parser.add_argument("--wrong", choices=WRONG)
    asked = parser.parse_args()
    if asked.url:
        return _told(asked.url, asked)
    with tempfile.TemporaryDirectory() as directory, postgres() as server, database(server) as url:
        return max([_told(each, asked) for each in (f"sqlite:///{directory}/curae.db", url)])


def _told(url: str, asked: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as directory:
        seen = crash(url, Path(directory), kills=asked.kills, seed=asked.seed, wrong=asked.wrong)
    found = json.dumps({**attrs.asdict(seen), "kills": seen.kills.total()})
    print(found, seen, sep="\n")  # noqa: T201 - a command's answer
    return 1 if seen.broken or seen.doubled > seen.ships_killed() + seen.late else 0


if __name__ == "__main__":
    logging.getLogger("curae_lifecycle").setLevel(logging.WARNING)
    logging.getLogger("curae_lifecycle").propagate = False
    sys.exit(main())
