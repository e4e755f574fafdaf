"""What the store in memory keeps, kind by kind: by which key, whose it is, and until when.

The laws of this module: **a key is an id or a tuple of texts**, which Python hashes and compares
without asking the parts of a value; **nothing is over before its deadline**, and a chain is over as
one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, Final, Generic, TypeVar

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.chain import is_live
from curae_lifecycle.rules.connection import Connection, ConnectionIdentity, next_deadline
from curae_lifecycle.rules.idempotency import Record, RecordKey, record_expires_at
from curae_lifecycle.rules.ratelimit import BucketState, Policy, RateState, state_expires_at
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    LAST_INSTANT,
    TICK,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    Environment,
    SessionId,
    add_microseconds,
)
from curae_lifecycle.service.rate_keys import LimitKey, RateKey
from curae_lifecycle.service.snapshot import ConnectionsPage
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
"""A customer account; its test and its live values are counted apart."""

Kind = type[Write]
"""A kind of value, by what writes it."""

_Write = TypeVar("_Write", bound=Write)
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Collection(dict[_Key, _Value], ABC, Generic[_Write, _Key, _Value]):
    """The values of one kind, by their keys.

    Attributes:
        kind: What writes them.
    """

    kind: ClassVar[Kind]

    @abstractmethod
    def locate(self, write: _Write) -> tuple[_Key, object, Owner]:
        """By which key a write stores, what it would replace, and whose that is."""

    @abstractmethod
    def set(self, key: _Key, write: _Write) -> tuple[datetime, _Key] | None:
        """Store what a write says.

        Args:
            key: By which key.
            write: The write.

        Returns:
            Where it is new, when it is first asked whether it is over, and by which key; `None`
            where it is never asked, or is going to be anyway.
        """


class ExpiringCollection(Collection[_Write, _Key, _Value]):
    """The values of a kind that can be over."""

    @abstractmethod
    def kept_until(self, key: _Key, now: datetime) -> datetime | None:
        """Until when a value is kept as it stands now; `None` where it is over.

        Args:
            key: Its key.
            now: The instant at which it is asked, in UTC.
        """

    def drop(self, key: _Key) -> int:
        """Drop a value, and say how many of its kind that were."""
        del self[key]
        return 1


class Rates(ExpiringCollection[RateWrite, KeyParts, tuple[RateState, Policy]]):
    """The states of rate limits, each with its limit."""

    kind = RateWrite

    def of(self, key: RateKey) -> RateState | None:
        """A state as it is kept; `None` where there is none."""
        row = self.get(rate_key_parts(key))
        return None if row is None else row[0]

    def is_bucket(self, key: KeyParts) -> bool:
        """Whether a state is a bucket's."""
        return isinstance(self[key][0], BucketState)

    def locate(self, write: RateWrite) -> tuple[KeyParts, RateState | None, Owner]:
        """By the name of what is limited."""
        key = write.key
        name = rate_key_parts(key)
        row = self.get(name)
        # Asked of each by itself: what is always of one class is found in less time.
        if isinstance(key, LimitKey):
            user = key.app_user
            owner = user.environment, user.customer_account_id
        else:
            owner = key.owner.environment, key.owner.customer_account_id
        return name, None if row is None else row[0], owner

    def set(self, key: KeyParts, write: RateWrite) -> tuple[datetime, KeyParts] | None:
        """Store a state with its limit, which says when it counts no more."""
        self[key] = write.after, write.policy
        return (write.expires_at, key) if write.before is None else None

    def kept_until(self, key: KeyParts, now: datetime) -> datetime | None:
        """Until it counts no more."""
        state, policy = self[key]
        return _unless_over(state_expires_at(policy, state) or LAST_INSTANT, now)


class Records(ExpiringCollection[RecordWrite, KeyParts, Record]):
    """Idempotency records."""

    kind = RecordWrite

    def of(self, key: RecordKey) -> Record | None:
        """A record as it is kept; `None` where there is none."""
        return self.get(record_key_parts(key))

    def locate(self, write: RecordWrite) -> tuple[KeyParts, Record | None, Owner]:
        """By the key and whose it is."""
        name = record_key_parts(write.key)
        owner = write.key.owner
        return name, self.get(name), (owner.environment, owner.customer_account_id)

    def set(self, key: KeyParts, write: RecordWrite) -> tuple[datetime, KeyParts] | None:
        """Store a record."""
        self[key] = write.after
        return (record_expires_at(write.after), key) if write.before is None else None

    def kept_until(self, key: KeyParts, now: datetime) -> datetime | None:
        """Until its retention is over."""
        return _unless_over(record_expires_at(self[key]), now)


class Sessions(ExpiringCollection[SessionWrite, SessionId, CuraeConnectSession]):
    """Connect sessions.

    Args:
        ended_retention: For how many microseconds one is kept that is over; `None` for ever.
    """

    kind = SessionWrite

    def __init__(self, ended_retention: int | None) -> None:
        super().__init__()
        self._keep_over = ended_retention

    def locate(self, write: SessionWrite) -> tuple[SessionId, CuraeConnectSession | None, Owner]:
        """By its id."""
        key, whose = write.after.id, write.after.coordinate
        return key, self.get(key), (whose.environment, whose.customer_account_id)

    def set(self, key: SessionId, write: SessionWrite) -> tuple[datetime, SessionId] | None:
        """Store a session."""
        self[key] = write.after
        if self._keep_over is None or write.before is not None:
            return None
        return add_microseconds(write.after.expires_at, self._keep_over), key

    def kept_until(self, key: SessionId, now: datetime) -> datetime | None:
        """Until it was over for as long as what is over is kept."""
        return _unless_over(_kept(self[key].expires_at, self._keep_over), now)


class Bindings(Collection[BindingWrite, KeyParts, LimitedAccountAppBinding]):
    """Bindings; a tombstone is never over."""

    kind = BindingWrite

    def of(self, coordinate: Coordinate) -> LimitedAccountAppBinding | None:
        """The binding of a coordinate; `None` where nobody is bound."""
        return self.get(coordinate_key_parts(coordinate))

    def locate(
        self, write: BindingWrite
    ) -> tuple[KeyParts, LimitedAccountAppBinding | None, Owner]:
        """By its coordinate."""
        whose = write.after.coordinate
        name = coordinate_key_parts(whose)
        return name, self.get(name), (whose.environment, whose.customer_account_id)

    def set(self, key: KeyParts, write: BindingWrite) -> None:
        """Store a binding."""
        self[key] = write.after


class Connections(ExpiringCollection[ConnectionWrite, ConnectionId, Connection]):
    """Connections, and where each stands in its chain.

    A chain is dropped as one: whether it is over is asked by the id of its first connection.

    Args:
        ended_retention: For how many microseconds a chain is kept that is over; `None` for ever.
    """

    kind = ConnectionWrite

    def __init__(self, ended_retention: int | None) -> None:
        super().__init__()
        self._keep_over = ended_retention
        self._successors: dict[ConnectionId, Connection] = {}
        self._heads: dict[ConnectionId, Connection] = {}
        self._of_user: dict[KeyParts, dict[ConnectionId, Connection]] = {}

    def with_successor_and_head(
        self, connection_id: ConnectionId
    ) -> tuple[Connection | None, Connection | None, Connection | None]:
        """A connection, its successor, and where there is one the last of its chain."""
        connection = self.get(connection_id)
        if connection is None:
            return None, None, None
        successor = self._successors.get(connection_id)
        head = self._heads[connection.identity.root_id] if successor else None
        return connection, successor, head

    def following(self, connection: Connection) -> tuple[Connection, ...]:
        """Every later connection of its chain."""
        following: list[Connection] = []
        each = self._successors.get(connection.id)
        while each is not None:
            following.append(each)
            each = self._successors.get(each.id)
        return tuple(following)

    def page(self, page: ConnectionsPage) -> tuple[Connection, ...]:
        """Return the connections of a coordinate in the order of their ids, or one page of them."""
        held = self._of_user.get(coordinate_key_parts(page.coordinate), {})
        ids = sorted(each for each in held if page.after is None or each > page.after)
        return tuple([held[each] for each in ids[: page.limit]])

    def locate(self, write: ConnectionWrite) -> tuple[ConnectionId, Connection | None, Owner]:
        """By its id; a second connection that recovers the same one would replace the first."""
        identity = write.after.identity
        held = self.get(identity.id)
        predecessor = identity.predecessor_id
        if predecessor is not None and write.before is None:
            held = self._successors.get(predecessor, held)
        whose = identity.coordinate
        return identity.id, held, (whose.environment, whose.customer_account_id)

    def set(
        self, key: ConnectionId, write: ConnectionWrite
    ) -> tuple[datetime, ConnectionId] | None:
        """Store a connection, and where it stands."""
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
        if head is not None or self._keep_over is None:
            return None
        return add_microseconds(after.updated_at, self._keep_over), root_id

    def kept_until(self, key: ConnectionId, now: datetime) -> datetime | None:
        """Until every connection of the chain was over for as long as what is over is kept."""
        # What ends earlier than it would by itself ends by a write after `now`, so it is soon
        # enough to look again after as long as what is over is kept.
        again = _kept(now, self._keep_over)
        for each in self._backwards(key):
            ended = ended_at(each)
            deadline = again if ended is None else _kept(ended, self._keep_over)
            if not may_be_dropped(deadline, now):
                return min(deadline, again)
        return None

    def drop(self, key: ConnectionId) -> int:
        """Drop a chain."""
        dropped = list(self._backwards(key))
        for each in dropped:
            self._drop(each.identity)
        del self._heads[key]
        return len(dropped)

    def _backwards(self, root_id: ConnectionId) -> Iterator[Connection]:
        # The head comes first: it is what lives longest.
        each: Connection | None = self._heads[root_id]
        while each is not None:
            yield each
            predecessor = each.identity.predecessor_id
            each = self.get(predecessor) if predecessor else None

    def _drop(self, identity: ConnectionIdentity) -> None:
        del self[identity.id]
        if identity.predecessor_id is not None:
            del self._successors[identity.predecessor_id]
        user = coordinate_key_parts(identity.coordinate)
        del self._of_user[user][identity.id]
        if not self._of_user[user]:
            del self._of_user[user]


def may_be_dropped(deadline: datetime, now: datetime) -> bool:
    """Whether a value with this deadline may be dropped.

    Args:
        deadline: When it means nothing any more.
        now: The instant at which it is asked, in UTC.
    """
    # Not at the deadline itself: another worker's clock may be behind. Most deadlines are ahead, and
    # to compare takes a third of the time that the difference takes.
    return deadline < now and now - deadline >= _TOLERANCE


def ended_at(connection: Connection) -> datetime | None:
    """When a connection was over, or is by itself; `None` where only what happens to it ends it."""
    ends = next_deadline(connection)
    if ends is None and not is_live(connection, LAST_INSTANT):
        return connection.updated_at
    return ends


def _unless_over(deadline: datetime, now: datetime) -> datetime | None:
    return None if may_be_dropped(deadline, now) else deadline


def _kept(over: datetime, keep_over: int | None) -> datetime:
    assert keep_over is not None  # noqa: S101 - nothing is noted down where all is kept
    return add_microseconds(over, keep_over)
