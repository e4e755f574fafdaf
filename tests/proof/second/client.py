"""An app, its platform and a clock: whole requests and facts on a store in memory or on SQLite."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Final, Protocol

import attrs
import pytest

from curae_lifecycle import (
    ApiKey,
    ApiKeyId,
    AppId,
    AppUserId,
    Authorized,
    Bucket,
    Caller,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    Environment,
    HandoffCompleted,
    MemoryStore,
    Request,
    RetryPolicy,
    SessionId,
    Settings,
    SqlStore,
    StoreUnavailableError,
    Tombstoned,
    UserId,
    decide_access,
    present_era,
    record,
    serve,
)
from curae_lifecycle.rules.access import AccessDecision
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.outbox import messages
from curae_lifecycle.stores.sql import clock as sql_clock
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.testing.numbered_ids import NumberedIds
from curae_lifecycle.web.respond import Answer

START: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
YEAR: Final = timedelta(days=365)
TICK: Final = timedelta(microseconds=1)
TOLERANCE: Final = 5 * MINUTE
ONE_ATTEMPT: Final = RetryPolicy(attempts=1)
AT_ONCE: Final = RetryPolicy(pause=1e-9, longest_pause=1e-9)
"""Attempts without pauses: the tests act before one commit, and only then."""
CONNECTIONS: Final = "/api/sdk/v1/connections"
CONNECT: Final = "/api/sdk/v1/curae-connect"
PACKAGE: Final = "clinical_summary"
CALLER: Final = Caller(
    api_key_id=ApiKeyId("key-1"),
    app_id=AppId("app-1"),
    customer_account_id=CustomerAccountId("d8c60791-7301-441c-98e8-5bea9a162d9b"),
    environment=Environment.LIVE,
    scopes=frozenset({"connection:write"}),
)


class ServerStore(Protocol):
    """The methods that the tests use of both stores."""

    def register(self, api_key: ApiKey, caller: Caller) -> None: ...
    def caller_of(self, key_digest: str) -> Caller | None: ...
    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded: ...
    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool: ...
    def hosted_page(self, url: str) -> HostedPage | None: ...
    def purge(self) -> object: ...


@attrs.define
class Clock:
    """A clock that a test sets."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def nanoseconds(self) -> int:
        """Return the instant as `time.time_ns` does."""
        return (self.now - datetime(1970, 1, 1, tzinfo=UTC)) // TICK * 1000


@attrs.define
class FaultyStore:
    """A store that lets a test act before a commit, or that fails after some commits."""

    inner: ServerStore
    before_commit: Callable[[], object] | None = None
    commits_left: int | None = None

    def caller_of(self, key_digest: str) -> Caller | None:
        return self.inner.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        return self.inner.load(needs, key_digest)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        act, self.before_commit = self.before_commit, None
        if act is not None:
            act()
        if self.commits_left is not None:
            if self.commits_left == 0:
                raise StoreUnavailableError("cut off")
            self.commits_left -= 1
        return self.inner.commit(loaded, changes, page)


@attrs.define
class World:
    """One API key on one store, with its clock."""

    inner: ServerStore
    clock: Clock
    read_messages: Callable[[], list[dict[str, Json]]]
    database: SqlDatabase | None = None
    settings: Settings = attrs.field(factory=Settings)
    store: FaultyStore = attrs.field(
        init=False, default=attrs.Factory(lambda self: FaultyStore(self.inner), takes_self=True)
    )
    ids: NumberedIds = attrs.field(init=False, factory=NumberedIds)
    keys: Iterator[int] = attrs.field(init=False, factory=lambda: itertools.count(1))

    @property
    def now(self) -> datetime:
        return self.clock.now

    def step(self, by: timedelta) -> None:
        """Move the clock ahead, or back."""
        self.clock.now += by

    def send(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        key: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Answer:
        """Send a request; a POST gets a fresh idempotency key unless one is given."""
        lines = [("Authorization", "Bearer cae_live_k1"), *headers]
        if method == "POST" and not target.endswith("graduation-handoff"):
            lines.append(("Idempotency-Key", key or f"fresh-{next(self.keys)}"))
        raw = b"" if body is None else json.dumps(body).encode()
        request = Request(method=method, target=target, headers=tuple(lines), body=raw)
        return serve(self.store, request, self.ids, settings=self.settings, retry_policy=AT_ONCE)

    def create(self, user: str = "ada", *, key: str | None = None) -> Answer:
        body = {"appUserId": user, "dataPackages": [PACKAGE]}
        return self.send("POST", CONNECTIONS, body, key=key)

    def get(self, connection_id: str) -> dict[str, Json]:
        """Return the connection as a get shows it."""
        return connection_of(self.send("GET", f"{CONNECTIONS}/{connection_id}"))

    def reconnect(self, connection_id: str) -> Answer:
        return self.send("POST", f"{CONNECTIONS}/{connection_id}:reconnect", {})

    def revoke(self, connection_id: str) -> Answer:
        return self.send("POST", f"{CONNECTIONS}/{connection_id}:revoke", {})

    def initiate(self, user: str = "ada", *, prefer_signup: bool = False) -> Answer:
        body = {"appUserId": user, "preferSignup": prefer_signup}
        return self.send("POST", f"{CONNECT}/initiate", body)

    def account_state(self, user: str = "ada") -> Json:
        answer = self.send("GET", f"{CONNECT}/account-state?appUserId={user}")
        return body_of(answer)["lifecycleState"]

    def record(self, fact: Fact, *, policy: RetryPolicy = AT_ONCE) -> FactAnswer:
        return record(self.store, fact, retry_policy=policy)

    def authorize(
        self,
        connection_id: str,
        *,
        expires_at: datetime | None = None,
        happened_at: datetime | None = None,
        page_url: str | None = None,
    ) -> FactAnswer:
        return self.record(
            Authorized(
                ConnectionId(connection_id),
                expires_at=expires_at,
                happened_at=happened_at,
                page_url=page_url,
            )
        )

    def complete(
        self, session_id: str, user: str = "u-1", happened_at: datetime | None = None
    ) -> FactAnswer:
        fact = HandoffCompleted(SessionId(session_id), UserId(user), happened_at=happened_at)
        return self.record(fact)

    def tombstone(self, user: str = "ada", happened_at: datetime | None = None) -> FactAnswer:
        return self.record(Tombstoned(coordinate(user), happened_at=happened_at))

    def cut_tombstone(
        self, user: str = "ada", happened_at: datetime | None = None, *, commits: int = 1
    ) -> None:
        """Record a tombstone whose sweep is cut off after a number of commits."""
        self.store.commits_left = commits
        try:
            with pytest.raises(StoreUnavailableError):
                self.record(
                    Tombstoned(coordinate(user), happened_at=happened_at), policy=ONE_ATTEMPT
                )
        finally:
            self.store.commits_left = None

    def row(self, connection_id: str) -> Connection:
        """Return the connection as it is stored."""
        found = self.inner.load(Needs(connection=ConnectionId(connection_id))).snapshot.connection
        assert found is not None
        return found

    def binding(self, user: str = "ada") -> LimitedAccountAppBinding | None:
        return self.inner.load(Needs(binding=coordinate(user))).snapshot.binding

    def access(self, connection_id: str, package: str = PACKAGE) -> AccessDecision:
        snapshot = self.inner.load(Needs(connection=ConnectionId(connection_id))).snapshot
        assert snapshot.connection is not None
        era = present_era(snapshot.binding)
        return decide_access(snapshot.connection, package, self.now, era=era)

    def told(self, kind: str) -> list[dict[str, Json]]:
        """Return the committed effects or events of a kind."""
        return [each for each in self.read_messages() if each["kind"] == kind]


def coordinate(user: str = "ada") -> Coordinate:
    return CALLER.coordinate(AppUserId(user))


def body_of(answer: Answer) -> dict[str, Json]:
    """Return the JSON body of an answer."""
    assert answer.response.body is not None
    parsed = json.loads(answer.response.body)
    assert isinstance(parsed, dict)
    return parsed


def connection_of(answer: Answer) -> dict[str, Json]:
    """Return the connection of an answer."""
    found = body_of(answer)["connection"]
    assert isinstance(found, dict)
    return found


def id_of(answer: Answer) -> str:
    """Return the id of the connection or the session of an answer."""
    body = body_of(answer)
    found = body.get("connection", body.get("session"))
    assert isinstance(found, dict)
    return str(found["id"])


def url_of(answer: Answer) -> str:
    """Return the URL of the next action of an answer."""
    action = body_of(answer)["nextAction"]
    assert isinstance(action, dict)
    return str(action["url"])


def code_of(answer: Answer) -> Json:
    """Return the problem code of an answer."""
    return body_of(answer)["code"]


def wire(at: datetime) -> str:
    """Return an instant as the wire shows it: at most six digits, no zeros at the end."""
    text = at.strftime("%Y-%m-%dT%H:%M:%S")
    digits = f".{at.microsecond:06}".rstrip("0") if at.microsecond else ""
    return f"{text}{digits}Z"


def in_memory(settings: Settings | None = None, *, capacity: int = 100_000) -> World:
    """Return a world on an empty store in memory."""
    clock = Clock()
    settings = settings or Settings()
    told: list[dict[str, Json]] = []

    def deliver(changes: Changes) -> None:
        told.extend(each.document for each in messages(changes, settings))

    store = MemoryStore(settings, clock=clock, deliver=deliver, capacity=capacity)
    store.register(ApiKey("cae_live_k1"), CALLER)
    return World(store, clock, lambda: told, settings=settings)


@contextmanager
def on_sqlite(path: Path, settings: Settings | None = None) -> Iterator[World]:
    """Yield a world on an empty SQLite file, whose clock is the world's."""
    clock = Clock()
    settings = settings or Settings()
    engine = create_engine(f"sqlite:///{path}")
    database = SqlDatabase(engine)
    store = SqlStore(database, settings)
    with pytest.MonkeyPatch.context() as patch:
        # SQLite has no clock of its own: the store takes this machine's.
        patch.setattr(sql_clock, "time", SimpleNamespace(time_ns=clock.nanoseconds))
        store.create_tables()
        store.register(ApiKey("cae_live_k1"), CALLER)
        try:
            yield World(
                store,
                clock,
                read_messages=store.outbox,
                database=database,
                settings=settings,
            )
        finally:
            engine.dispose()


def buckets(*rules: tuple[str, int, int, int]) -> Settings:
    """Return settings with these buckets: name, capacity, refill, seconds."""
    made = (Bucket(name=n, capacity=c, refill=r, seconds=s) for n, c, r, s in rules)
    return Settings(buckets=tuple(made))
