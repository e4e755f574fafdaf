"""Worlds over a store in SQL, and one that holds such a world to the store in memory, call by call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import attrs

from curae_lifecycle.rules.access import AccessDecision, decide_access
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import ConnectionId, Coordinate, SessionId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs, NewIds
from curae_lifecycle.stores.contract import Loaded, Store
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import Database, SqlStore
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer
from tests.instants import access_at, handle_at, record_at
from tests.patiently import PATIENT
from tests.sql.databases import Clocked

_Answered = TypeVar("_Answered")


def no_ids(_: datetime) -> NewIds:
    """Mints for a request that mints nothing."""
    raise AssertionError("a read mints nothing")


class SqlWorld:
    """What `replay` asks of a world, answered by a store in SQL through the loop of `serve`."""

    def __init__(self, database: Database, settings: Settings = DEFAULT_SETTINGS) -> None:
        self._database = Clocked(database)
        self._settings = settings
        self._store = SqlStore(self._database, settings)
        self._store.create_tables()

    def store(self) -> Store:
        """The store that serves."""
        return self._store

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        self._store.register(api_key, caller)

    def replace_buckets(self, buckets: tuple[Bucket, ...]) -> None:
        self._settings = attrs.evolve(self._settings, buckets=buckets)
        self._store = SqlStore(self._database, self._settings)
        self._database.run_transaction([Statement("DELETE FROM curae_bucket")])

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

    def ask(
        self, connection_id: ConnectionId, package: str, now: datetime
    ) -> AccessDecision | None:
        connection = self.connection(connection_id)
        return None if connection is None else decide_access(connection, package, now)

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


class Both:
    """A world in memory and one in SQL that must answer alike, whatever they are asked."""

    def __init__(self, memory: MemoryStore, sql: SqlWorld) -> None:
        self._memory = memory
        self._sql = sql

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        self._memory.register(api_key, caller)
        self._sql.register(api_key, caller)

    def replace_buckets(self, buckets: tuple[Bucket, ...]) -> None:
        self._memory.replace_buckets(buckets)
        self._sql.replace_buckets(buckets)

    def handle(self, request: Request, now: datetime, new_ids: NewIds | None = None) -> Answer:
        return same(
            lambda: handle_at(self._memory, request, now, new_ids=new_ids),
            lambda: self._sql.handle(request, now, new_ids),
        )

    def record(self, fact: Fact, now: datetime) -> FactAnswer:
        return same(lambda: record_at(self._memory, fact, now), lambda: self._sql.record(fact, now))

    def ask(
        self, connection_id: ConnectionId, package: str, now: datetime
    ) -> AccessDecision | None:
        return same(
            lambda: access_at(self._memory, connection_id, package, now=now),
            lambda: self._sql.ask(connection_id, package, now),
        )

    def connection(self, connection_id: ConnectionId) -> Connection | None:
        return same(
            lambda: self._memory.connection(connection_id),
            lambda: self._sql.connection(connection_id),
        )

    def session(self, session_id: SessionId) -> CuraeConnectSession | None:
        return same(lambda: self._memory.session(session_id), lambda: self._sql.session(session_id))

    def purge(self, now: datetime) -> None:
        self._memory.purge(now)
        self._sql.purge(now)


def same(memory: Callable[[], _Answered], sql: Callable[[], _Answered], /) -> _Answered:
    """What both answer; what one raises the other must raise."""
    expected, answered = _outcome(memory), _outcome(sql)
    assert essence(answered) == essence(expected)
    if isinstance(expected, Mistake):
        raise ArgumentError(*expected.words)
    return expected


@attrs.frozen
class Mistake:
    """What was a caller's mistake, in the words of the error."""

    words: tuple[str, str]


def _outcome(act: Callable[[], _Answered]) -> _Answered | Mistake:
    try:
        return act()
    except ArgumentError as error:
        return Mistake((error.argument, error.allowed))


def essence(answer: object) -> object:
    """All of an answer but its instant, which says nothing where no store was asked for one."""
    if isinstance(answer, Answer):
        return answer.response, answer.changes, answer.rules, answer.replayed
    if isinstance(answer, Done) and isinstance(answer.value, Changes):
        # Connections that were made at the same instant have no order.
        changes = answer.value
        every = (changes.writes, changes.effects, changes.events, answer.rules)
        return [sorted(each, key=repr) for each in every]
    return answer
