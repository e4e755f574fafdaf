"""A world over a store in SQL, and a store that compares SQL with memory at each call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import attrs

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import ConnectionId, Coordinate, SessionId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs, NewIds
from curae_lifecycle.stores.contract import Loaded, Store
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import Database, SqlStore
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer
from tests.support.patiently import PATIENT
from tests.support.sql.databases import Clocked

_Value = TypeVar("_Value")


def no_ids(_: datetime) -> NewIds:
    """Raise, since a read mints no ids."""
    raise AssertionError("a read mints nothing")


class SqlWorld:
    """A store in SQL as the world that `replay` runs on."""

    def __init__(self, database: Database, settings: Settings = DEFAULT_SETTINGS) -> None:
        self._database = Clocked(database)
        self._settings = settings
        self._store = SqlStore(self._database, settings)
        self._store.create_tables()

    def store(self) -> Store:
        """Return the store that serves."""
        return self._store

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        self._store.register(api_key, caller)

    def replace_buckets(self, buckets: tuple[Bucket, ...]) -> None:
        self._settings = attrs.evolve(self._settings, buckets=buckets)
        self._store = SqlStore(self._database, self._settings)
        self._database.run_transaction([Statement("DELETE FROM curae_bucket")])

    def set_clock(self, now: datetime) -> None:
        """Set the clock of the database."""
        self._database.now = now

    def handle(self, request: Request, now: datetime, new_ids: NewIds | None = None) -> Answer:
        self._database.now = now
        mint = no_ids if new_ids is None else (lambda _: new_ids)
        return serve(
            self.store(),
            request=request,
            id_factory=mint,
            settings=self._settings,
            retry_policy=PATIENT,
        )

    def record(self, fact: Fact, now: datetime) -> FactAnswer:
        self._database.now = now
        return record(self.store(), fact, retry_policy=PATIENT)

    def connection(self, connection_id: ConnectionId) -> Connection | None:
        return self._loaded(Needs(connection=connection_id)).snapshot.connection

    def session(self, session_id: SessionId) -> CuraeConnectSession | None:
        return self._loaded(Needs(session=session_id)).snapshot.session

    def binding(self, coordinate: Coordinate) -> LimitedAccountAppBinding | None:
        return self._loaded(Needs(binding=coordinate)).snapshot.binding

    def purge(self, now: datetime) -> None:
        self._database.now = now
        self._store.purge()

    def _loaded(self, asked: Needs) -> Loaded:
        return self.store().load(asked)


@attrs.frozen
class _Both:
    memory: Loaded
    sql: Loaded


class Both:
    """A store in memory and one in SQL that must load and commit alike.

    Attributes:
        settings: The settings of both.
    """

    def __init__(self, memory: MemoryStore, sql: SqlWorld, clock: Callable[[], datetime]) -> None:
        self._memory = memory
        self._sql = sql
        self._clock = clock

    @property
    def settings(self) -> Settings:
        return self._memory.settings

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        self._memory.register(api_key, caller)
        self._sql.register(api_key, caller)

    def replace_buckets(self, buckets: tuple[Bucket, ...]) -> None:
        self._memory.replace_buckets(buckets)
        self._sql.replace_buckets(buckets)

    def caller_of(self, key_digest: str) -> Caller | None:
        # A store may answer this from a cache, so only the callers of `load` are compared.
        return self._memory.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        self._sql.set_clock(self._clock())
        memory = self._memory.load(needs, key_digest)
        sql = self._sql.store().load(needs, key_digest)
        return Loaded(
            snapshot=same(memory.snapshot, sql.snapshot),
            now=same(memory.now, sql.now),
            caller=same(memory.caller, sql.caller),
            seen=_Both(memory, sql),
        )

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        seen = loaded.seen
        assert isinstance(seen, _Both)
        return same(
            self._memory.commit(seen.memory, changes, page),
            self._sql.store().commit(seen.sql, changes, page),
        )

    def connection(self, connection_id: ConnectionId) -> Connection | None:
        return same(self._memory.connection(connection_id), self._sql.connection(connection_id))

    def session(self, session_id: SessionId) -> CuraeConnectSession | None:
        return same(self._memory.session(session_id), self._sql.session(session_id))

    def purge(self, now: datetime) -> None:
        self._memory.purge(now)
        self._sql.purge(now)


def same(memory: _Value, sql: _Value) -> _Value:
    """Return what both stores gave."""
    assert sql == memory
    return memory
