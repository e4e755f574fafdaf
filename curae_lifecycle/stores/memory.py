"""The embedded store: everything in memory, thread-safe and bounded.

The laws of this module:

- **A write is stored only if the value that it replaces is still as it was loaded**; all writes of
  a decision are stored, or none.
- **A live value is never evicted.** A full customer account is refused new values; other accounts
  are not affected. A value is dropped five minutes after its own deadline, never before.

The store is also an example of what every store has to do: load by key, compare, set.
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
from curae_lifecycle.rules.values import (
    TICK,
    ConnectionId,
    Coordinate,
    SessionId,
    check_instant,
    check_type,
)
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import BindingWrite, PageWrite, Write
from curae_lifecycle.stores.clock import utc_now
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.hosted_pages import HostedPageCollection
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
from curae_lifecycle.stores.serve import sweep_now
from curae_lifecycle.stores.wiring import check_count

DEFAULT_CAPACITY: Final = 100_000
"""How many values of one kind a customer account may hold, unless the server sets another [O]."""

PURGE_PAUSE_SECONDS: Final = 0.0001
"""How long `MemoryStore.purge` pauses after each batch, so that other threads can use the store.

Only a purge without a `limit` works in batches.
"""

_INSTANTS_COMPARED: Final = 16
"""How many loads must find that a value has expired before a load drops it."""


class MemoryStore:
    """A store in the memory of one process.

    It holds callers, connections, sessions, bindings, idempotency records, rate limits and hosted
    pages. Each `load` drops a few expired values of two customer accounts: the caller's, and the
    next one in turn. A value counts as expired only if it was expired at each of the latest sixteen
    loads, so a clock that once jumps ahead drops nothing that is still needed.

    Args:
        settings: The settings of the server.
        capacity: How many values of each kind a customer account may hold; test and live values
            are counted apart. A commit that would exceed it raises `StoreFullError` and stores
            nothing. Hosted pages are not limited. A tombstone, which records that a user is gone,
            is stored even if the account is full.
        ended_retention: How long to keep sessions that expired, and chains (a connection with its
            successors) of which every connection is REVOKED, EXPIRED or LAPSED. At least 24 hours,
            so that a replayed response names no value that was dropped. `None` keeps them for ever.
        clock: Returns the current instant in UTC, which `load` returns with the values.
        deliver: Gets the changes of each `commit` that have effects or events, in the order of the
            commits. The store is locked during the call, so `deliver` should only put the changes
            into a queue. A queue in memory does not outlive the process. `None` drops effects and
            events.

    Raises:
        ArgumentError: `settings` are no `Settings`, `capacity` is no integer or negative, or
            `ended_retention` is below 24 hours.

    Attributes:
        clock: The clock that was passed in; it may be replaced.
        deliver: The function that was passed in; it may be replaced.
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
        check_type("settings", settings, Settings, allowed="Settings, such as Settings()")
        check_count("capacity", capacity, least=0)
        self._settings = settings
        self.clock = clock
        self.deliver = deliver
        self._lock = RLock()
        self._pause = Event()
        self._callers: dict[str, Caller] = {}
        retention = None if ended_retention is None else _retention_microseconds(ended_retention)
        self._connections, self._sessions = Connections(retention), Sessions(retention)
        self._bindings, self._records, self._rates = Bindings(), Records(), Rates()
        collections = (
            self._rates,
            self._records,
            self._sessions,
            self._bindings,
            self._connections,
        )
        # The cast is safe, since each collection only gets writes of the kind that it is registered for.
        self._by_kind: dict[Kind, AnyCollection] = {
            each.kind: cast("AnyCollection", each) for each in collections
        }
        self._pages = HostedPageCollection()
        self._accounts = Accounts(capacity)
        self._instants: deque[datetime] = deque(maxlen=_INSTANTS_COMPARED)

    @property
    def settings(self) -> Settings:
        """The settings of the server, with the buckets that `replace_buckets` set last."""
        return self._settings

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        """Register the caller of an API key; an earlier caller of the key is replaced.

        Raises:
            ArgumentError: `api_key` is no `ApiKey`, or `caller` no `Caller`.
        """
        check_type("api_key", api_key, ApiKey, allowed="an ApiKey")
        check_type("caller", caller, Caller, allowed="a Caller")
        self._callers[api_key.digest()] = caller

    def withdraw(self, api_key: ApiKey) -> None:
        """Make an API key unknown from the next request on."""
        self._callers.pop(api_key.digest(), None)

    def replace_buckets(self, buckets: tuple[Bucket, ...]) -> None:
        """Replace the buckets (rate limits of each API key) in `settings`; all are then full."""
        with self._lock:
            self._settings = attrs.evolve(self._settings, buckets=buckets)
            self._accounts.drop_buckets(self._rates)

    def connection(self, connection_id: ConnectionId) -> Connection | None:
        """Return the stored connection with this id, or None if there is none.

        The read never sees a part of a commit.
        """
        with self._lock:
            return self._connections.get(connection_id)

    def session(self, session_id: SessionId) -> CuraeConnectSession | None:
        """Return the stored session with this id, or None if there is none.

        The read never sees a part of a commit.
        """
        with self._lock:
            return self._sessions.get(session_id)

    def binding(self, coordinate: Coordinate) -> LimitedAccountAppBinding | None:
        """Return the stored binding of a coordinate, or None if there is none.

        The read never sees a part of a commit.
        """
        with self._lock:
            return self._bindings.of(coordinate)

    def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of the API key with this digest, or None if none is registered."""
        return self._callers.get(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load the values that `needs` names, all at one moment, as `Store.load` does.

        The result also holds the instant of the load and the caller of an API key. A load drops a
        few expired values, too.

        Args:
            needs: Names the values to load, by their ids and other keys.
            key_digest: The digest of the API key; `None` for a fact, which comes without one.

        Raises:
            ArgumentError: The clock of the store returned an instant that is not in UTC.
        """
        with self._lock:
            now = self.clock()
            caller = None if key_digest is None else self.caller_of(key_digest)
            self._drop_expired(now, caller)
            return Loaded(self._snapshot(needs), now, caller)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Commit all changes or none, as `Store.commit` does.

        If the changes have effects or events, they are then passed to the function in `deliver`, if
        there is one.

        Args:
            loaded: The result of `load`. It is not used, since each write holds the value that it
                replaces.
            changes: The changes to store.
            page: The hosted page to register, whose URL the answer hands out; `None` if there is
                none.

        Returns:
            True if everything was stored. False on a conflict, after which nothing was stored.

        Raises:
            StoreFullError: A customer account would hold more values of one kind than the store's
                `capacity`; nothing was stored.
        """
        del loaded
        with self._lock:
            if not self._store(changes.writes):
                return False
            if page is not None:
                self._pages.add(page)
            if self.deliver is not None and (changes.effects or changes.events):
                self.deliver(changes)
        return True

    def hosted_page(self, url: str) -> HostedPage | None:
        """Return the hosted page of a URL, or None if the URL is unknown or the page expired."""
        with self._lock:
            return self._pages.find(url, self.clock())

    def purge(self, now: datetime | None = None, limit: int | None = None) -> int:
        """Drop expired values, account by account, and return how many were dropped.

        An idempotency record, a rate limit or a hosted page is dropped five minutes after its
        deadline. A chain (a connection with its successors) or a session is dropped five minutes
        after `ended_retention` has passed since its end. Expired hosted pages are all dropped,
        whatever the `limit`, and are not counted. First, `purge` finishes every sweep that was cut
        off: the revocations after a tombstone, which records that a user is gone.

        Args:
            now: The current instant, in UTC, at most five minutes later than the time on any clock
                in use. `None` takes the instant from the store's own clock.
            limit: How many values to check at most, so that other threads do not wait long. A chain
                counts as one value, and so does an account in which nothing has expired. If the
                limit ends the call inside an account, the rest of that account is checked in its
                next turn, after all other accounts. `None` checks everything in batches of a
                thousand, and other threads may use the store between two batches.

        Raises:
            ArgumentError: `now` is not in UTC.
        """
        now = self.clock() if now is None else now
        check_instant("now", now)
        self._finish_sweeps()
        with self._lock:
            self._pages.drop_expired(now)
            if limit is not None:
                return self._accounts.purge(now, limit)
            if not self._accounts.may_have_expired(now):
                return 0
        batches, dropped = self._accounts.purge_all(now), 0
        while True:
            with self._lock:
                newly_dropped, may_be_more = next(batches)
            dropped += newly_dropped
            if not may_be_more:
                return dropped
            # Without a pause this thread would get the lock again before any waiting thread.
            self._pause.wait(PURGE_PAUSE_SECONDS)

    def _finish_sweeps(self) -> None:
        with self._lock:
            unswept = list(self._bindings.unswept.values())
        for coordinate in unswept:
            sweep_now(self, coordinate)

    def _drop_expired(self, now: datetime, caller: Caller | None) -> None:
        check_instant("now", now)
        self._instants.append(now)
        # If no value has expired now, none has at the earliest of these instants.
        if self._accounts.may_have_expired(now) or self._pages.may_have_expired(now):
            earliest = min(self._instants)
            self._pages.drop_expired(earliest)
            own = (caller.environment, caller.customer_account_id) if caller else None
            self._accounts.drop_some_expired(earliest, own)

    def _snapshot(self, needs: Needs) -> Snapshot:
        connection = successor = head = session = None
        following: tuple[Connection, ...] = ()
        if needs.connection is not None:
            connection, successor, head = self._connections.with_successor_and_head(
                needs.connection
            )
        if needs.chain is not None:
            connection = self._connections.get(needs.chain)
            if connection is not None:
                following = self._connections.following(connection, needs.chain_part)
        if needs.session is not None:
            session = self._sessions.get(needs.session)
        coordinate = needs.binding
        if needs.connections is not None:
            coordinate = needs.connections.coordinate
        if connection is not None:
            coordinate = connection.identity.coordinate
        if session is not None:
            coordinate = session.coordinate
        return Snapshot(
            record=None if needs.record is None else self._records.of(needs.record),
            buckets=tuple([self._rates.of(key) for key in needs.buckets]),
            limit=None if needs.limit is None else self._rates.of(needs.limit),
            connection=connection,
            successor=successor,
            head=head,
            following=following,
            session=session,
            binding=None if coordinate is None else self._bindings.of(coordinate),
            connections=(
                () if needs.connections is None else self._connections.page(needs.connections)
            ),
            page=None if needs.page is None else self._pages.get(needs.page),
        )

    def _store(self, writes: tuple[Write, ...]) -> bool:
        located: list[tuple[AnyCollection, object, Owner, Write]] = []
        new: list[tuple[Owner, Kind]] = []
        without_limit: list[tuple[Owner, Kind]] = []
        pages: list[HostedPage] = []
        for write in writes:
            if isinstance(write, PageWrite):
                if self._pages.get(write.after.digest) != write.before:
                    return False
                pages.append(write.after)
                continue
            collection = self._by_kind[type(write)]
            key, held, owner = collection.locate(write)
            if held != write.before:
                return False
            if write.before is None:
                # A tombstone never fails for lack of room.
                is_tombstone = isinstance(write, BindingWrite) and write.after.user_id is None
                (without_limit if is_tombstone else new).append((owner, collection.kind))
            located.append((collection, key, owner, write))
        self._accounts.reserve(new)
        self._accounts.add_unchecked(without_limit)
        for page in pages:
            self._pages.add(page)
        for collection, key, owner, write in located:
            check = collection.set(key, write)
            if check is not None:
                deadline, checked_key = check
                self._accounts.schedule_expiry_check(
                    owner, collection=collection, deadline=deadline, key=checked_key
                )
        return True


def _retention_microseconds(ended_retention: timedelta) -> int:
    retention = ended_retention // TICK
    if retention < RETENTION:
        raise ArgumentError(
            "ended_retention", "at least 24 hours, as long as a response is replayed"
        )
    return retention
