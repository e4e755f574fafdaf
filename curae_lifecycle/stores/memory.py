"""The embedded default: a whole store in memory, thread-safe and bounded.

The laws of this module: **a write is stored only where what it replaces is what was read**,
all writes of a decision or none; **nothing live is ever evicted**: where a customer account is
full, what is new is refused to that account alone, and a value is dropped five minutes after its
own deadline, never before.

It shows what any store has to do: load by key, compare, set.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event, RLock
from typing import Final, cast

import attrs

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import RETENTION
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import ConnectionId, Coordinate, SessionId, check_instant
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import Write
from curae_lifecycle.stores.clock import utc_now
from curae_lifecycle.stores.contract import (
    Loaded,
    unbound,
)
from curae_lifecycle.stores.hosted_pages import HostedPage, HostedPageTable
from curae_lifecycle.stores.memory_accounts import Accounts, AnyCollection
from curae_lifecycle.stores.memory_tables import (
    Bindings,
    Connections,
    Kind,
    Owner,
    Rates,
    Records,
    Sessions,
)

DEFAULT_CAPACITY: Final = 100_000
"""How many values of one kind a customer account may hold, where nothing else is said [O]."""

PAUSE: Final = 0.0001
"""For how many seconds a purge of all lets others have the store, a thousand values apart."""

_CLOCKS: Final = 16
"""How many instants must agree before a request drops anything."""


class MemoryStore:
    """Callers, connections, sessions, bindings, records and rate limits, in one process.

    Each `load` drops a few expired values: of the caller's account, and of the account whose turn
    it is. Expiry is judged at the earliest of the latest sixteen instants, so that one clock far
    ahead drops nothing that others still need.

    Args:
        settings: What the server chose.
        capacity: How many values of each kind a customer account may hold, test and live apart.
        ended_retention: How long sessions are kept that are over, and chains of which every connection
            is over (REVOKED, EXPIRED or LAPSED); at least a day, so that a replay names nothing
            that is gone. `None` keeps them all.
        clock: Returns the instant that `load` tells.
        deliver: Is given the effects and events of each `commit`, in their order, while the store
            is locked: it puts them into a queue. No outbox in memory outlives the process.

    Attributes:
        clock: As above; it may be set.
    """

    def __init__(
        self,
        settings: Settings = DEFAULT_SETTINGS,
        *,
        capacity: int = DEFAULT_CAPACITY,
        ended_retention: timedelta | None = None,
        clock: Callable[[], datetime] = utc_now,
        deliver: Callable[[Changes], None] | None = None,
    ) -> None:
        self._settings = settings
        self.clock = clock
        self._deliver = deliver
        self._lock = RLock()
        self._pause = Event()
        self._callers: dict[str, Caller] = {}
        span = None if ended_retention is None else _checked(ended_retention)
        self._connections, self._sessions = Connections(span), Sessions(span)
        self._bindings, self._records, self._rates = Bindings(), Records(), Rates()
        kinds = self._rates, self._records, self._sessions, self._bindings, self._connections
        # What is found by the type of a write is asked about such writes alone.
        self._by_kind: dict[Kind, AnyCollection] = {
            each.kind: cast("AnyCollection", each) for each in kinds
        }
        self._pages = HostedPageTable()
        self._accounts = Accounts(capacity)
        self._instants: deque[datetime] = deque(maxlen=_CLOCKS)

    @property
    def settings(self) -> Settings:
        """What the server chose."""
        return self._settings

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        """Let an API key stand for a caller; registering again replaces."""
        self._callers[api_key.digest()] = caller

    def replace_buckets(self, buckets: tuple[Bucket, ...]) -> None:
        """Replace the platform's buckets; the new ones are full."""
        with self._lock:
            self._settings = attrs.evolve(self._settings, buckets=buckets)
            self._accounts.drop_buckets(self._rates)

    def connection(self, connection_id: ConnectionId) -> Connection | None:
        """A connection as stored, all of the commit that stored it being there."""
        with self._lock:
            return self._connections.get(connection_id)

    def session(self, session_id: SessionId) -> CuraeConnectSession | None:
        """A session as stored, all of the commit that stored it being there."""
        with self._lock:
            return self._sessions.get(session_id)

    def binding(self, coordinate: Coordinate) -> LimitedAccountAppBinding | None:
        """A binding as stored, all of the commit that stored it being there."""
        with self._lock:
            return self._bindings.of(coordinate)

    def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of an API key, or None for an unknown key."""
        return self._callers.get(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load everything that a request or a fact needs, all of one moment."""
        with self._lock:
            now = self.clock()
            caller = None if key_digest is None else self.caller_of(key_digest)
            self._drop_expired(now, caller)
            return Loaded(snapshot=self._snapshot(needs), now=now, caller=caller)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Compare and set, all or nothing; then deliver effects and events.

        Raises:
            StoreFullError: A new value found no room in its account; nothing was stored.
        """
        del loaded
        with self._lock:
            if not self._store(changes.writes):
                return False
            if page is not None:
                self._pages.add(page)
            if self._deliver is not None and (changes.effects or changes.events):
                self._deliver(changes)
        return True

    def hosted_page(self, url: str) -> HostedPage | None:
        """Return the hosted page of a URL, or None if it is unknown or expired."""
        with self._lock:
            return self._pages.find(url, self.clock())

    def purge(self, now: datetime | None = None, limit: int | None = None) -> int:
        """Drop what is well over, account by account, and return how many values that were.

        A record, a rate limit or a hosted page is dropped five minutes after its deadline, a chain
        or a session five minutes after it was over for `keep_over`. Pages are not counted.

        Args:
            now: An instant that no clock in use is more than five minutes behind; that of the
                store's own clock by default.
            limit: How many values and accounts are looked at, so that nobody waits long; a chain
                counts as one. The next call goes on with the next account. `None` for all, a
                thousand at a time: others have their turn in between.
        """
        now = self.clock() if now is None else now
        check_instant("now", now)
        with self._lock:
            self._pages.drop_over(now)
            if limit is not None:
                return self._accounts.purge(now, limit)
            if not self._accounts.may_be_over(now):
                return 0
        batches, dropped = self._accounts.purge_all(now), 0
        while True:
            with self._lock:
                gone, may_go_on = next(batches)
            dropped += gone
            if not may_go_on:
                return dropped
            # Who lets go of a lock and asks again at once has it again, whoever waits.
            self._pause.wait(PAUSE)

    def _drop_expired(self, now: datetime, caller: Caller | None) -> None:
        check_instant("now", now)
        self._instants.append(now)
        # What has not expired now has not expired at any earlier instant.
        if self._accounts.may_be_over(now) or self._pages.may_be_over(now):
            trusted = min(self._instants)
            self._pages.drop_over(trusted)
            own = (caller.environment, caller.customer_account_id) if caller else None
            self._accounts.drop_some_expired(trusted, own)

    def _snapshot(self, needs: Needs) -> Snapshot:
        connection = successor = head = session = None
        following: tuple[Connection, ...] = ()
        if needs.connection is not None:
            connection, successor, head = self._connections.with_successor_and_head(
                needs.connection
            )
        if needs.chain is not None:
            connection = self._connections.get(needs.chain)
            following = () if connection is None else self._connections.following(connection)
        if needs.session is not None:
            session = self._sessions.get(needs.session)
        bound = needs.binding if session is None else session.coordinate
        return Snapshot(
            record=None if needs.record is None else self._records.of(needs.record),
            buckets=tuple([self._rates.of(key) for key in needs.buckets]),
            limit=None if needs.limit is None else self._rates.of(needs.limit),
            connection=connection,
            successor=successor,
            head=head,
            following=following,
            session=session,
            binding=None if bound is None else self._bindings.of(bound),
            connections=(
                () if needs.connections is None else self._connections.page(needs.connections)
            ),
        )

    def _store(self, writes: tuple[Write, ...]) -> bool:
        placed: list[tuple[AnyCollection, object, Owner, Write]] = []
        new: list[tuple[Owner, Kind]] = []
        for write in writes:
            kept = self._by_kind[type(write)]
            key, held, owner = kept.locate(write)
            if held != write.before:
                return False
            if write.before is None:
                new.append((owner, kept.kind))
            placed.append((kept, key, owner, write))
        if self._is_bound_since(writes):
            return False
        self._accounts.reserve(new)
        for kept, key, owner, write in placed:
            due = kept.set(key, write)
            if due is not None:
                self._accounts.schedule_expiry_check(owner, kept, *due)
        return True

    def _is_bound_since(self, writes: tuple[Write, ...]) -> bool:
        coordinate = unbound(writes)
        return coordinate is not None and self._bindings.of(coordinate) is not None


def _checked(keep_over: timedelta) -> int:
    span = keep_over // timedelta(microseconds=1)
    if span < RETENTION:
        raise ArgumentError(
            "ended_retention", "at least 24 hours, as long as an answer is replayed"
        )
    return span
