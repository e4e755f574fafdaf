"""A simulated server on a store in memory, with a watch that only writes down what it sees."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.access import AccessDecision
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import FactAnswer
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs, NewIds
from curae_lifecycle.service.writes import ConnectionWrite, Write
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.simulated_clock import SimulatedClockStore
from curae_lifecycle.testing.simulation.journal import Journal
from curae_lifecycle.testing.simulation.server import OpenRequest, SimulatedServer
from curae_lifecycle.testing.watch import Watch
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer
from tests.support import server as support
from tests.support.instants import commit_writes
from tests.support.strategies import COORDINATE, START

USER: Final = COORDINATE.app_user


class Seen(Watch):
    """A watch that writes down what it observes, and checks nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[object, ...]] = []

    def observe_commit(
        self, writes: tuple[Write, ...], now: datetime, *, loaded_at_commit: int | None = None
    ) -> None:
        self.seen.append(("commit", writes, now, loaded_at_commit))

    def observe_response(
        self,
        answer: Answer,
        now: datetime,
        *,
        caller: Caller | None = None,
        needs: Needs | None = None,
        loaded_at_commit: int | None = None,
    ) -> None:
        self.seen.append(("response", answer, now, caller, needs, loaded_at_commit))

    def observe_fact(self, answer: FactAnswer, now: datetime) -> None:
        self.seen.append(("fact", answer, now))

    def observe_access_decision(
        self, connection_id: ConnectionId, package: str, now: datetime, decision: AccessDecision
    ) -> None:
        self.seen.append(("access", connection_id, package, now, decision))

    def purge(self, now: datetime) -> None:
        self.seen.append(("purge", now))


class Store(MemoryStore):
    """A store that writes down what it gets, and refuses commits when told to."""

    refuses = False

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, clock=lambda: START)
        self.digests: list[str | None] = []
        self.decided_from: list[Loaded] = []

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        self.digests.append(key_digest)
        return super().load(needs, key_digest)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        self.decided_from.append(loaded)
        return not self.refuses and super().commit(loaded, changes, page)


@attrs.define
class Bench:
    """A server with what it writes to. Its watch is a `Seen`, or none."""

    store: Store
    journal: Journal
    watch: Seen
    server: SimulatedServer

    @classmethod
    def of(
        cls,
        *connections: Connection,
        settings: Settings = DEFAULT_SETTINGS,
        watched: bool = True,
        kind: type[Store] = Store,
    ) -> Bench:
        store, journal, watch = kind(settings), Journal(), Seen()
        store.register(ApiKey(support.API_KEY), support.CALLER)
        assert commit_writes(store, tuple([ConnectionWrite(None, each) for each in connections]))
        server = SimulatedServer(
            SimulatedClockStore(store, START),
            settings=settings,
            watch=watch if watched else None,
            journal=journal,
        )
        server.current_user = USER
        OPENED.append(cls(store, journal, watch, server))
        return OPENED[-1]

    def log(self) -> list[str]:
        """Return the log of the user; no API key was registered in it."""
        return [*self.journal.lines(USER)]

    def load(self, request: Request, now: datetime = START) -> OpenRequest:
        """Load a request that is not refused before its load."""
        opened = self.server.load(request, now)
        assert isinstance(opened, OpenRequest)
        return opened

    def handle(self, request: Request, number: int = 1, now: datetime = START) -> Answer:
        """Load and commit a request without a conflict."""
        answer = self.server.commit(self.load(request, now), ids(number, now))
        assert answer is not None
        return answer


OPENED: Final[list[Bench]] = []
"""The benches that a test opened. A fixture closes them."""


def ids(number: int, now: datetime = START) -> NewIds:
    """Return ids that are unique to a number, with a URL of a hosted page."""
    made = support.new_ids(number, now)
    return attrs.evolve(made, next_action=attrs.evolve(made.next_action, url=url(number)))


def url(number: int) -> str:
    """Return the URL of the hosted page of the ids with this number."""
    return f"https://connect.example/{number}"
