"""Collections of the store in memory, one for each kind of value, with keys, owners and deadlines.

The laws of this module: **a key is an id or a tuple of strings**, so that a lookup hashes and
compares strings only; **no value expires before its deadline**, and a chain expires as a whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime
from heapq import nsmallest
from typing import ClassVar, Final, Generic, TypeVar

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.chain import is_live
from curae_lifecycle.rules.connection import Connection, ConnectionIdentity, next_deadline
from curae_lifecycle.rules.credentials import KeyOwner
from curae_lifecycle.rules.idempotency import Record, RecordKey, record_expires_at
from curae_lifecycle.rules.ratelimit import BucketState, Policy, RateState, state_expires_at
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    LAST_INSTANT,
    TICK,
    AppUser,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    Environment,
    SessionId,
    add_microseconds,
)
from curae_lifecycle.service.rate_keys import LimitKey, RateKey
from curae_lifecycle.service.snapshot import ChainPart, ConnectionsPage
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.stores.keys import (
    KeyParts,
    coordinate_key_parts,
    rate_key_parts,
    record_key_parts,
)

_TOLERANCE: Final = CLOCK_TOLERANCE * TICK

Owner = tuple[Environment, CustomerAccountId]
"""The owner of a value: a customer account in one environment, since test and live never meet."""

Kind = type[Write]
"""A kind of value, as the class of its writes: `ConnectionWrite` for connections, for example."""

_Write = TypeVar("_Write", bound=Write)
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Collection(dict[_Key, _Value], ABC, Generic[_Write, _Key, _Value]):
    """The stored values of one kind, such as connections, by their keys.

    Attributes:
        kind: The class of the writes of these values.
    """

    kind: ClassVar[Kind]

    @abstractmethod
    def locate(self, write: _Write) -> tuple[_Key, object, Owner]:
        """Return where a write belongs: its key, the value that it would replace, and its owner.

        The value is None if none is stored under the key. The owner is a customer account in one
        environment.
        """

    @abstractmethod
    def set(self, key: _Key, write: _Write) -> tuple[datetime, _Key] | None:
        """Store the new value of a write; return when to check whether it may be dropped.

        The caller schedules that check.

        Args:
            key: The key of the value, as `locate` returned it.
            write: The write.

        Returns:
            The instant of the first check, and the key to check. `None` if no check is to be
            scheduled: the value never expires, or its first check is scheduled already.
        """


class ExpiringCollection(Collection[_Write, _Key, _Value]):
    """The stored values of a kind that can expire, so that the store may drop them."""

    @abstractmethod
    def next_drop_check(self, key: _Key, now: datetime) -> datetime | None:
        """Return the deadline of a value, or None if the value may be dropped now.

        A value may be dropped from five minutes after its deadline on. The store then checks again.

        Args:
            key: The key of the value.
            now: The current instant, in UTC.
        """

    def drop(self, key: _Key) -> int:
        """Drop the value of a key, and return how many values were dropped.

        That is one, except for connections: their key is that of a chain, which is dropped whole.
        """
        del self[key]
        return 1


class Rates(ExpiringCollection[RateWrite, KeyParts, tuple[RateState, Policy]]):
    """The stored states of rate limits, each with its policy, by their keys.

    The policy is the `Bucket` of an API key or the `ExactLog` of an app user.
    """

    kind = RateWrite

    def of(self, key: RateKey) -> RateState | None:
        """Return the stored state of a rate limit, or None if there is none."""
        row = self.get(rate_key_parts(key))
        return None if row is None else row[0]

    def is_bucket(self, key: KeyParts) -> bool:
        """Return whether a key is that of an API key's `Bucket`, not an app user's `ExactLog`."""
        return isinstance(self[key][0], BucketState)

    def locate(self, write: RateWrite) -> tuple[KeyParts, RateState | None, Owner]:
        """Return the key of a write's limit, its stored state (None if new) and its owner.

        The owner is a customer account in one environment.
        """
        key, name = write.key, rate_key_parts(write.key)
        whose: AppUser | KeyOwner = key.app_user if isinstance(key, LimitKey) else key.owner
        row = self.get(name)
        held = None if row is None else row[0]
        return name, held, (whose.environment, whose.customer_account_id)

    def set(self, key: KeyParts, write: RateWrite) -> tuple[datetime, KeyParts] | None:
        """Store the state of a rate limit with its policy, a `Bucket` or an `ExactLog`.

        The policy determines when the state expires. An `ExactLog` is the rate limit of an app
        user. If servers charge one `ExactLog` with different windows, the longest window stays.

        Returns:
            The instant at which to check whether the state can be dropped, and the key to check.
            `None` if the write replaces an earlier state, whose check is planned already.
        """
        row, policy = self.get(key), write.policy
        if row is not None and row[1].window > policy.window:
            policy = row[1]
        self[key] = write.after, policy
        return (write.expires_at, key) if write.before is None else None

    def next_drop_check(self, key: KeyParts, now: datetime) -> datetime | None:
        """Return when the state of a rate limit expires, or None if it may be dropped now.

        It expires when the limit has all its requests left again, as if never charged. From five
        minutes later on, the state may be dropped.
        """
        state, policy = self[key]
        return _unless_expired(state_expires_at(policy, state) or LAST_INSTANT, now)


class Records(ExpiringCollection[RecordWrite, KeyParts, Record]):
    """The stored idempotency records, by their keys."""

    kind = RecordWrite

    def of(self, key: RecordKey) -> Record | None:
        """Return the stored record of an idempotency key, or None if there is none."""
        return self.get(record_key_parts(key))

    def locate(self, write: RecordWrite) -> tuple[KeyParts, Record | None, Owner]:
        """Return the key of a write's record, the stored record (None if new) and its owner.

        The owner is a customer account in one environment.
        """
        name = record_key_parts(write.key)
        owner = write.key.owner
        return name, self.get(name), (owner.environment, owner.customer_account_id)

    def set(self, key: KeyParts, write: RecordWrite) -> tuple[datetime, KeyParts] | None:
        """Insert or replace an idempotency record; return when to check whether it has expired.

        Returns:
            The instant of the check, and the key to check. `None` if the record replaced an earlier
            one, whose check is planned already: a record's expiry never moves.
        """
        self[key] = write.after
        return (record_expires_at(write.after), key) if write.before is None else None

    def next_drop_check(self, key: KeyParts, now: datetime) -> datetime | None:
        """Return when an idempotency record expires, 24 hours after the first use of its key.

        Returns:
            The instant; `None` if it was at least five minutes before `now`, so that the record may
            be dropped.
        """
        return _unless_expired(record_expires_at(self[key]), now)


class Sessions(ExpiringCollection[SessionWrite, SessionId, CuraeConnectSession]):
    """The stored connect sessions, by their ids.

    Args:
        ended_retention: How long a session is kept after it expired, in microseconds; `None` for
            ever.
    """

    kind = SessionWrite

    def __init__(self, ended_retention: int | None) -> None:
        super().__init__()
        self._ended_retention = ended_retention

    def locate(self, write: SessionWrite) -> tuple[SessionId, CuraeConnectSession | None, Owner]:
        """Return the id of a write's session, the stored session (None if new) and its owner.

        The owner is a customer account in one environment.
        """
        key, coordinate = write.after.id, write.after.coordinate
        return key, self.get(key), (coordinate.environment, coordinate.customer_account_id)

    def set(self, key: SessionId, write: SessionWrite) -> tuple[datetime, SessionId] | None:
        """Insert or replace a session; return when to check whether it can be dropped.

        Returns:
            The instant of the check, which is the end of the session's retention, and the id to
            check. `None` if no check is to be planned: sessions are kept for ever, or the session
            was stored before, so its check is planned already.
        """
        self[key] = write.after
        if self._ended_retention is None or write.before is not None:
            return None
        return add_microseconds(write.after.expires_at, self._ended_retention), key

    def next_drop_check(self, key: SessionId, now: datetime) -> datetime | None:
        """Return when a session's retention ends: `ended_retention` after the session expires.

        Returns:
            The instant; `None` if it was at least five minutes before `now`, so that the session
            may be dropped.
        """
        return _unless_expired(_retention_end(self[key].expires_at, self._ended_retention), now)


class Bindings(Collection[BindingWrite, KeyParts, LimitedAccountAppBinding]):
    """Bindings by their coordinates. None expires, not even a TOMBSTONED one, whose user is gone.

    Attributes:
        unswept: The coordinates whose sweep is not finished, by their keys. A sweep revokes the
            connections that a tombstone ended.
    """

    kind = BindingWrite

    def __init__(self) -> None:
        super().__init__()
        self.unswept: dict[KeyParts, Coordinate] = {}

    def of(self, coordinate: Coordinate) -> LimitedAccountAppBinding | None:
        """Return the stored binding of a coordinate, or None if there is none."""
        return self.get(coordinate_key_parts(coordinate))

    def locate(
        self, write: BindingWrite
    ) -> tuple[KeyParts, LimitedAccountAppBinding | None, Owner]:
        """Return the key of a write's coordinate, the stored binding (None if new) and its owner.

        The owner is the coordinate's environment and customer account.
        """
        coordinate = write.after.coordinate
        name = coordinate_key_parts(coordinate)
        return name, self.get(name), (coordinate.environment, coordinate.customer_account_id)

    def set(self, key: KeyParts, write: BindingWrite) -> None:
        """Store a binding, and update `unswept`, the coordinates whose sweep is not finished.

        The coordinate is added if the new binding's `swept` is False, and removed otherwise. A
        binding never expires, so no check for expiry is needed.
        """
        self[key] = write.after
        if write.after.swept:
            self.unswept.pop(key, None)
        else:
            self.unswept[key] = write.after.coordinate


class Connections(ExpiringCollection[ConnectionWrite, ConnectionId, Connection]):
    """Connections by their ids, with the successor of each and the head (the last) of each chain.

    A chain is dropped as a whole, so its first connection's id stands for the chain.

    Args:
        ended_retention: How long a chain is kept after all of its connections ended, in
            microseconds; `None` for ever.
    """

    kind = ConnectionWrite

    def __init__(self, ended_retention: int | None) -> None:
        super().__init__()
        self._ended_retention = ended_retention
        self._successors: dict[ConnectionId, Connection] = {}
        self._heads: dict[ConnectionId, Connection] = {}
        self._of_user: dict[KeyParts, dict[ConnectionId, Connection]] = {}

    def with_successor_and_head(
        self, connection_id: ConnectionId
    ) -> tuple[Connection | None, Connection | None, Connection | None]:
        """Return a connection, its successor and the head of its chain.

        The head is the last connection of the chain. The successor and the head are None if the
        connection has no successor; all three are None if the connection is unknown.
        """
        connection = self.get(connection_id)
        if connection is None:
            return None, None, None
        successor = self._successors.get(connection_id)
        head = self._heads[connection.identity.root_id] if successor else None
        return connection, successor, head

    def following(
        self, connection: Connection, part: ChainPart | None = None
    ) -> tuple[Connection, ...]:
        """Return the connections that follow a connection in its chain, nearest first.

        Args:
            connection: The connection.
            part: `None` to return all of them. Otherwise at most `part.limit` are returned: those
                with the highest positions below `part.before`. A position is a place in the whole
                chain, from 1. If `part.before` is `None`, every position is below it.
        """
        following: list[Connection] = []
        for each in self._backwards(connection.identity.root_id):
            position = each.identity.position
            if position <= connection.identity.position:
                break
            if part is not None:
                if part.before is not None and position >= part.before:
                    continue
                if len(following) == part.limit:
                    break
            following.append(each)
        return tuple(reversed(following))

    def page(self, page: ConnectionsPage) -> tuple[Connection, ...]:
        """Return the connections of a coordinate that `page` selects, in the order of their ids.

        Such a page is a batch of connections that a sweep loads, and no hosted page.
        """
        held = self._of_user.get(coordinate_key_parts(page.coordinate), {})
        ids = [each for each in held if page.after is None or each > page.after]
        first = sorted(ids) if page.limit is None else nsmallest(page.limit, ids)
        return tuple([held[each] for each in first])

    def locate(self, write: ConnectionWrite) -> tuple[ConnectionId, Connection | None, Owner]:
        """Return the id of a write's connection, the stored one (None if new) and its owner.

        The owner is a customer account in one environment.

        If the connection is new and its predecessor has a successor already, that successor is
        returned as the stored one. So the commit of a second successor conflicts.
        """
        identity = write.after.identity
        held = self.get(identity.id)
        predecessor = identity.predecessor_id
        if predecessor is not None and write.before is None:
            held = self._successors.get(predecessor, held)
        coordinate = identity.coordinate
        return identity.id, held, (coordinate.environment, coordinate.customer_account_id)

    def set(
        self, key: ConnectionId, write: ConnectionWrite
    ) -> tuple[datetime, ConnectionId] | None:
        """Store a connection, and update the successors, the heads and the user's connections.

        Returns:
            The instant at which to check for the first time whether the chain can be dropped, and
            the id of its first connection. `None` if no check is to be planned: chains are kept for
            ever, or the chain was stored before, so its check is planned already.
        """
        after = write.after
        identity = after.identity
        self[key] = after
        self._of_user.setdefault(coordinate_key_parts(identity.coordinate), {})[key] = after
        if identity.predecessor_id is not None:
            self._successors[identity.predecessor_id] = after
        root_id = identity.root_id
        head = self._heads.get(root_id)
        if head is None or head.identity.position <= identity.position:
            self._heads[root_id] = after
        if head is not None or self._ended_retention is None:
            return None
        return add_microseconds(after.updated_at, self._ended_retention), root_id

    def next_drop_check(self, key: ConnectionId, now: datetime) -> datetime | None:
        """Return the earliest possible deadline of a chain, or None if it may be dropped now.

        The deadline is `ended_retention` after the end of the connection that ends last. From five
        minutes later on, the chain may be dropped.

        Args:
            key: The id of the first connection of the chain.
            now: The current instant, in UTC.
        """
        # A connection that lasts past `now` may be ended early by a later write. It is then kept
        # for the whole retention, so a check one retention from now is early enough.
        latest_check = _retention_end(now, self._ended_retention)
        for connection in self._backwards(key):
            ended = ended_at(connection)
            deadline = (
                latest_check if ended is None else _retention_end(ended, self._ended_retention)
            )
            if not may_be_dropped(deadline, now):
                return min(deadline, latest_check)
        return None

    def drop(self, key: ConnectionId) -> int:
        """Drop the chain with this first connection, and return how many connections it had."""
        dropped = list(self._backwards(key))
        for each in dropped:
            self._drop(each.identity)
        del self._heads[key]
        return len(dropped)

    def _backwards(self, root_id: ConnectionId) -> Iterator[Connection]:
        # The head comes first, since it usually lives longest and so ends the search early.
        connection: Connection | None = self._heads[root_id]
        while connection is not None:
            yield connection
            predecessor = connection.identity.predecessor_id
            connection = self.get(predecessor) if predecessor else None

    def _drop(self, identity: ConnectionIdentity) -> None:
        del self[identity.id]
        if identity.predecessor_id is not None:
            del self._successors[identity.predecessor_id]
        user = coordinate_key_parts(identity.coordinate)
        del self._of_user[user][identity.id]
        if not self._of_user[user]:
            del self._of_user[user]


def may_be_dropped(deadline: datetime, now: datetime) -> bool:
    """Return whether a value may be dropped: its deadline was at least five minutes ago.

    Another worker's clock may be up to five minutes behind, so the deadline itself is too early.

    Args:
        deadline: The deadline of the value.
        now: The current instant, in UTC.
    """
    return now - deadline >= _TOLERANCE


def ended_at(connection: Connection) -> datetime | None:
    """Return when a connection ended or will end by itself; None if only an event can end it.

    For a connection that is stored as ended, this is its `updated_at`. The retention of the
    connection in `MemoryStore` begins at the returned instant.
    """
    # A connection that a tombstone ended is kept as long as its own row says, or its sweep.
    own_era = connection.identity.era
    deadline = next_deadline(connection, era=own_era)
    if deadline is None and not is_live(connection, LAST_INSTANT, era=own_era):
        return connection.updated_at
    return deadline


def _unless_expired(deadline: datetime, now: datetime) -> datetime | None:
    return None if may_be_dropped(deadline, now) else deadline


def _retention_end(ended: datetime, retention: int | None) -> datetime:
    assert retention is not None  # noqa: S101 - without a retention no check is scheduled
    return add_microseconds(ended, retention)
