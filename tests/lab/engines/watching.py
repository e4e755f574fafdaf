"""Reads of acknowledged revocations from servers and copies, to find stale ones.

The law of this module: **once a client got the acknowledgement of a revocation, a read that begins
after that says REVOKED**, on every server. Stale reads of copies of the database are counted, and
break no law.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Final

import attrs

from curae_lifecycle.rules.binding import LimitedAccountAppBinding, present_era
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.codec import load
from curae_lifecycle.testing.conformance import ApiKeyRequest
from curae_lifecycle.web.request import Request
from tests.lab.crash.history import Operation
from tests.lab.crash.load import ACCOUNT, CUT, PATIENCE, Load, seeded
from tests.lab.crash.traffic import BASE
from tests.lab.crash.world import DONE, Asked, Told
from tests.support.wire.running import send

REVOKED: Final = "REVOKED"
MISSING: Final = "missing"
PAUSE: Final = 0.05
"""Seconds between two reads."""

NEWEST: Final = 8
"""Half of the reads are of the latest revocations, so many of them."""

STORED: Final = (
    "SELECT c.document, b.document FROM curae_connection c "
    "LEFT JOIN curae_binding b ON b.id = c.coordinate WHERE c.id = %s"
)
"""The statement that reads a connection and the binding of its coordinate."""

Copy = Callable[[str], str | None]
"""A function that reads the status of a connection by id.

It returns `MISSING` if there is none, and None if it cannot be read or is no copy now.
"""


@attrs.define
class Watch:
    """A reader of revoked connections on every server and every copy.

    Attributes:
        copies: The copies of the database, by name.
        revoked: The revoked connections, in the order of their acknowledgement.
        reads: The number of reads that servers answered.
        broken: The reads without REVOKED.
        copied: The number of reads that copies answered.
        stale: The number of those without REVOKED.
    """

    copies: Mapping[str, Copy] = attrs.field(factory=dict[str, Copy])
    revoked: list[str] = attrs.field(factory=list[str])
    reads: int = 0
    broken: list[str] = attrs.field(factory=list[str])
    copied: int = 0
    stale: int = 0
    _keys: dict[str, str] = attrs.field(factory=dict[str, str])

    @contextmanager
    def over(self, load: Load) -> Generator[None, None, None]:
        """Read within the block."""
        load.heard = self.hear
        for app in ("app-1", "app-2"):
            # Separate keys, so that the reads charge no bucket of the load.
            if app not in self._keys:
                self._keys[app] = load.behind.make_key(ApiKeyRequest(app, ACCOUNT))
        ended = threading.Event()
        failures = list[BaseException]()

        def work() -> None:
            try:
                random = seeded(f"watch {load.sent}")
                while not ended.wait(PAUSE):
                    self._look(load, random)
            except BaseException as error:  # noqa: BLE001 - the thread that waits reports it
                failures.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        if failures:
            raise failures[0]
        for each in self.revoked:
            # At rest, every revocation must be visible.
            self._ask(load, each, load.workers[0].place)

    def hear(self, operation: Operation) -> None:
        """Note an acknowledged operation."""
        connection = acknowledged(operation)
        if connection is not None:
            self.revoked.append(connection)

    def _look(self, load: Load, random: Random) -> None:
        if not self.revoked:
            return
        some = self.revoked[-NEWEST:] if random.random() < 0.5 else self.revoked
        chosen = random.choice(some)
        for copy in self.copies.values():
            status = copy(chosen)
            self.copied += status is not None
            self.stale += status not in {None, REVOKED}
        workers = load.workers
        self._ask(load, chosen, random.choice(workers).place)

    def _ask(self, load: Load, connection: str, place: tuple[str, int]) -> None:
        app = load.connections[connection][0].app_id
        headers = (("Authorization", f"Bearer {self._keys[app]}"),)
        try:
            answer = send(
                place,
                Request(
                    method="GET",
                    target=f"{BASE}/connections/{connection}",
                    headers=headers,
                    body=b"",
                ),
                PATIENCE,
            )
        except CUT:
            return
        match answer.status:
            case 200:
                status = json.loads(answer.body)["connection"]["status"]
            case 404:
                status = MISSING
            case _:
                return
        self.reads += 1
        if status != REVOKED:
            when = time.strftime("%H:%M:%S", time.gmtime())
            self.broken.append(
                f"revoked and acknowledged, and read as {status} at {when}: {connection}"
            )

    def __str__(self) -> str:
        return (
            f"{len(self.revoked)} revocations acknowledged, {self.reads} reads of them by servers, "
            f"{len(self.broken)} of which said something else; {self.copied} reads by copies, "
            f"{self.stale} of which were behind"
        )


def stored_status(connection: str, binding: str | None) -> str:
    """Return the status of a stored connection, given the JSON of it and of its binding.

    A connection that a tombstone ended is REVOKED before the sweep updates its row.
    """
    stored = load(Connection, json.loads(connection))
    if binding is None:
        return stored.status
    era = present_era(load(LimitedAccountAppBinding, json.loads(binding)))
    return stored.status if stored.identity.era == era else REVOKED


def acknowledged(operation: Operation) -> str | None:
    """Return the connection that a client now knows to be revoked, or None."""
    match operation.work, operation.answer:
        case Asked(_, request), Response(status=200, body=body):
            if not request.target.endswith(":revoke"):
                return None
            shown = json.loads(body)["connection"]
            return str(shown["id"]) if shown["status"] == REVOKED else None
        case Told(Revoked(connection_id=connection)), answer if answer == DONE:
            return connection
        case _:
            return None
