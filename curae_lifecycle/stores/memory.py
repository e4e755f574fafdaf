"""The embedded default: a whole store in memory, thread-safe and bounded.

The laws of this module: **a write is stored only where what it replaces is what was read**,
all writes of a decision or none; **nothing live is ever evicted**: a full store refuses what
is new, and `purge` drops a value five minutes after its own deadline, never before.

It shows what any store has to do: load by key, compare, set. Tests and small servers use it as
it is.
"""

from __future__ import annotations

import heapq
from datetime import datetime
from itertools import count
from threading import RLock
from typing import Final

import attrs

from curae_lifecycle.rules.access import AccessDecision, decide_access
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.errors import ArgumentError, LifecycleError
from curae_lifecycle.rules.idempotency import Record, RecordKey, record_expires_at
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import Bucket, RateState
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    ConnectionId,
    Coordinate,
    SessionId,
    later,
)
from curae_lifecycle.service import changes
from curae_lifecycle.service.call import Decision, refused
from curae_lifecycle.service.decide import decide, needs
from curae_lifecycle.service.facts import fact as facts
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs, NewIds, Snapshot
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, bearer
from curae_lifecycle.web.respond import Answer, respond

DEFAULT_CAPACITY: Final = 1_000_000


class StoreFullError(LifecycleError, RuntimeError):
    """A new value found no room; nothing was stored and nothing live was dropped.

    Attributes:
        kind: What was to be inserted.
        capacity: how many of a kind the store holds.
    """

    def __init__(self, kind: str, capacity: int) -> None:
        super().__init__(kind, capacity)
        self.kind = kind
        self.capacity = capacity

    def __str__(self) -> str:
        return f"the store holds {self.capacity} values of kind {self.kind} and takes no more"


@attrs.frozen
class _RateRow:
    state: RateState
    expires_at: datetime


class MemoryStore:
    """Callers, connections, sessions, bindings, records and rate limits, in one process.

    Args:
        settings: What the server chose.
        capacity: How many values of each kind it holds at most.
    """

    def __init__(
        self, settings: Settings = DEFAULT_SETTINGS, *, capacity: int = DEFAULT_CAPACITY
    ) -> None:
        self._settings = settings
        self._capacity = capacity
        self._lock = RLock()
        self._callers: dict[str, Caller] = {}
        self._connections: dict[ConnectionId, Connection] = {}
        self._successors: dict[ConnectionId, Connection] = {}
        self._heads: dict[ConnectionId, Connection] = {}
        self._of_user: dict[Coordinate, dict[ConnectionId, Connection]] = {}
        self._sessions: dict[SessionId, CuraeConnectSession] = {}
        self._bindings: dict[Coordinate, LimitedAccountAppBinding] = {}
        self._records: dict[RecordKey, Record] = {}
        self._rates: dict[changes.RateKey, _RateRow] = {}
        self._deadlines: list[tuple[datetime, int, RecordKey | changes.RateKey]] = []
        self._order = count()

    @property
    def settings(self) -> Settings:
        """What the server chose."""
        return self._settings

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        """Let an API key stand for a caller; registering again replaces."""
        with self._lock:
            self._callers[api_key.digest()] = caller

    def replace_buckets(self, buckets: tuple[Bucket, ...]) -> None:
        """Replace the platform's buckets; the new ones are full."""
        with self._lock:
            self._settings = attrs.evolve(self._settings, buckets=buckets)
            for key in [key for key in self._rates if isinstance(key, changes.BucketKey)]:
                del self._rates[key]
            self._deadlines = [
                entry for entry in self._deadlines if not isinstance(entry[2], changes.BucketKey)
            ]
            heapq.heapify(self._deadlines)

    def caller(self, api_key: ApiKey | None) -> Caller | None:
        """Whom an API key stands for; `None` for no key or an unknown one."""
        return None if api_key is None else self._callers.get(api_key.digest())

    def connection(self, connection_id: ConnectionId) -> Connection | None:
        """A connection as stored."""
        return self._connections.get(connection_id)

    def session(self, session_id: SessionId) -> CuraeConnectSession | None:
        """A session as stored."""
        return self._sessions.get(session_id)

    def binding(self, coordinate: Coordinate) -> LimitedAccountAppBinding | None:
        """A binding as stored."""
        return self._bindings.get(coordinate)

    def handle(self, request: Request, now: datetime, new_ids: NewIds | None = None) -> Answer:
        """Answer a request and store what it decides.

        Args:
            request: The request.
            now: The instant of the request.
            new_ids: Ids and a next action; a mutation needs them, a read does not.

        Returns:
            The answer, its changes stored. A full store answers `INTERNAL` and stores nothing.

        Raises:
            ArgumentError: `now` is no UTC instant, or `new_ids` is missing, stale or in use.
        """
        call = read(request, self.caller(bearer(request)), now, self._settings)
        if isinstance(call, Decision):
            return respond(call)
        asked = needs(call)
        while True:
            answer = respond(decide(call, self.load(asked), now, new_ids))
            try:
                if self.store(answer.changes.writes):
                    return answer
                self._check_fresh(answer.changes.writes)
            except StoreFullError:
                return respond(refused(refuse_at(Gate.ROOM), now, self._settings))

    def record(self, fact: facts.Fact, now: datetime) -> facts.FactAnswer:
        """Record a fact and store what follows.

        Raises:
            ArgumentError: An instant out of order or not UTC.
            StoreFullError: A new binding found no room.
        """
        while True:
            answer = facts.record_fact(fact, self.load_fact(fact), now)
            if not isinstance(answer, Done) or self.store(answer.value.writes):
                return answer

    def ask(
        self, connection_id: ConnectionId, package: str, now: datetime
    ) -> AccessDecision | None:
        """Whether a package may be read over a connection; `None` for an unknown id."""
        connection = self.connection(connection_id)
        return None if connection is None else decide_access(connection, package, now)

    def load(self, asked: Needs) -> Snapshot:
        """Everything that a call needs, read at one moment."""
        with self._lock:
            connection, successor, head = self._line(asked.connection)
            return Snapshot(
                self._records.get(asked.record) if asked.record else None,
                tuple([self._rate(key) for key in asked.buckets]),
                self._rate(asked.limit) if asked.limit else None,
                connection,
                successor,
                head,
                self._bindings.get(asked.binding) if asked.binding else None,
            )

    def load_fact(self, fact: facts.Fact) -> facts.FactSnapshot:
        """Everything that a fact concerns, read at one moment."""
        asked = facts.fact_needs(fact)
        with self._lock:
            connection, successor, head = self._line(asked.connection or asked.chain)
            session = self._sessions.get(asked.session) if asked.session else None
            coordinate = session.coordinate if session else asked.binding
            user = self._of_user.get(asked.connections, {}) if asked.connections else {}
            return facts.FactSnapshot(
                connection,
                successor,
                head,
                self._following(connection) if asked.chain else (),
                session,
                self._bindings.get(coordinate) if coordinate else None,
                tuple(user.values()),
            )

    def store(self, writes: tuple[changes.Write, ...]) -> bool:
        """Compare and set, all or nothing.

        Returns:
            Whether everything was as it was read. `False`: load again and decide again.

        Raises:
            StoreFullError: A new value found no room; nothing was stored.
        """
        with self._lock:
            if not all(map(self._is_current, writes)):
                return False
            self._check_room(writes)
            for write in writes:
                self._set(write)
            return True

    def purge(self, now: datetime) -> int:
        """Drop the records and rate limits whose deadline is well over; return how many."""
        dropped = 0
        with self._lock:
            while self._deadlines and _is_over(self._deadlines[0][0], now):
                _, _, key = heapq.heappop(self._deadlines)
                deadline = self._deadline(key)
                if not _is_over(deadline, now):
                    # It moved on since it was noted down.
                    self._remember(deadline, key)
                    continue
                if isinstance(key, RecordKey):
                    del self._records[key]
                else:
                    del self._rates[key]
                dropped += 1
        return dropped

    def _rate(self, key: changes.RateKey) -> RateState | None:
        row = self._rates.get(key)
        return None if row is None else row.state

    def _line(
        self, connection_id: ConnectionId | None
    ) -> tuple[Connection | None, Connection | None, Connection | None]:
        connection = self._connections.get(connection_id) if connection_id else None
        successor = self._successors.get(connection.id) if connection else None
        head = self._heads[connection.identity.root_id] if connection and successor else None
        return connection, successor, head

    def _following(self, connection: Connection | None) -> tuple[Connection, ...]:
        following: list[Connection] = []
        while connection is not None:
            connection = self._successors.get(connection.id)
            if connection is not None:
                following.append(connection)
        return tuple(following)

    def _check_fresh(self, writes: tuple[changes.Write, ...]) -> None:
        # Deciding again cannot help where an id that should be fresh belongs to another value.
        for write in writes:
            match write:
                case changes.ConnectionWrite(None, after) if after.id in self._connections:
                    raise ArgumentError("new_ids.connection_id", "an id that is not in use")
                case changes.SessionWrite(None, after) if after.id in self._sessions:
                    raise ArgumentError("new_ids.session_id", "an id that is not in use")
                case _:
                    pass

    def _is_current(self, write: changes.Write) -> bool:
        match write:
            case changes.ConnectionWrite(None, after):
                predecessor = after.identity.predecessor_id
                taken = predecessor is not None and predecessor in self._successors
                return not taken and after.id not in self._connections
            case changes.ConnectionWrite(before, after):
                return self._connections.get(after.id) == before
            case changes.SessionWrite(before, after):
                return self._sessions.get(after.id) == before
            case changes.BindingWrite(before, after):
                return self._bindings.get(after.coordinate) == before
            case changes.RecordWrite(key, before):
                return self._records.get(key) == before
            case changes.RateWrite(key, _, before):
                return self._rate(key) == before

    def _check_room(self, writes: tuple[changes.Write, ...]) -> None:
        for kind, held in (
            (changes.ConnectionWrite, self._connections),
            (changes.SessionWrite, self._sessions),
            (changes.BindingWrite, self._bindings),
            (changes.RecordWrite, self._records),
            (changes.RateWrite, self._rates),
        ):
            new = sum(type(write) is kind and write.before is None for write in writes)
            if new and len(held) + new > self._capacity:
                raise StoreFullError(kind.__name__.removesuffix("Write"), self._capacity)

    def _set(self, write: changes.Write) -> None:
        match write:
            case changes.ConnectionWrite(_, after):
                identity = after.identity
                self._connections[identity.id] = after
                self._of_user.setdefault(identity.coordinate, {})[identity.id] = after
                if identity.predecessor_id is not None:
                    self._successors[identity.predecessor_id] = after
                head = self._heads.get(identity.root_id)
                if head is None or head.identity.position <= identity.position:
                    self._heads[identity.root_id] = after
            case changes.SessionWrite(_, after):
                self._sessions[after.id] = after
            case changes.BindingWrite(_, after):
                self._bindings[after.coordinate] = after
            case changes.RecordWrite(key, before, after):
                self._records[key] = after
                if before is None:
                    self._remember(record_expires_at(after), key)
            case changes.RateWrite(key, _, before, after):
                expires_at = write.expires_at
                self._rates[key] = _RateRow(after, expires_at)
                if before is None:
                    self._remember(expires_at, key)

    def _deadline(self, key: RecordKey | changes.RateKey) -> datetime:
        if isinstance(key, RecordKey):
            return record_expires_at(self._records[key])
        return self._rates[key].expires_at

    def _remember(self, deadline: datetime, key: RecordKey | changes.RateKey) -> None:
        heapq.heappush(self._deadlines, (deadline, next(self._order), key))


def _is_over(deadline: datetime, now: datetime) -> bool:
    # Not at the deadline itself: another worker's clock may be behind.
    return later(deadline, CLOCK_TOLERANCE) <= now
