"""What each customer account holds of a store, and what of it may be over from when on.

The laws of this module: **an account that is full is refused alone**, and **nothing is dropped
before its deadline**: what is due is looked at again, and goes five minutes later at the earliest.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import count
from typing import Final

import attrs

from curae_lifecycle.rules.chain import is_live
from curae_lifecycle.rules.connection import Connection, next_deadline
from curae_lifecycle.rules.credentials import Caller, KeyOwner
from curae_lifecycle.rules.frozen import frozen
from curae_lifecycle.rules.idempotency import RecordKey
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
)
from curae_lifecycle.service import changes
from curae_lifecycle.stores.contract import StoreFullError

_TOLERANCE: Final = CLOCK_TOLERANCE * TICK

LOOKED_AT: Final = 8
"""How many values of an account a request looks at, whether they are over."""

AT_ONCE: Final = 1000
"""How many values and accounts a purge of all looks at before it lets others in."""

Kind = type[changes.Write]
"""A kind of value, by what writes it."""

Owner = tuple[Environment, CustomerAccountId]
"""A customer account; its test and its live values are counted apart."""


@frozen
class ChainKey:
    """A chain as a whole: it is dropped as one."""

    root_id: ConnectionId


@frozen
class SessionKey:
    """A session."""

    session_id: SessionId


Held = RecordKey | changes.RateKey | SessionKey | ChainKey
"""What can be dropped once it is over."""

_KINDS: Final[dict[type[Held], Kind]] = {
    ChainKey: changes.ConnectionWrite,
    SessionKey: changes.SessionWrite,
    RecordKey: changes.RecordWrite,
    changes.LimitKey: changes.RateWrite,
    changes.BucketKey: changes.RateWrite,
}


@attrs.define
class Account:
    """One account.

    Attributes:
        held: How many values of each kind it holds.
        deadlines: What of them may be over from when on, as a heap.
    """

    held: Counter[Kind] = attrs.field(factory=Counter[Kind])
    deadlines: list[tuple[datetime, int, Held]] = attrs.field(
        factory=list[tuple[datetime, int, Held]]
    )


class Accounts:
    """The customer accounts of a store; they have their turn one after the other.

    Args:
        capacity: How many values of each kind an account may hold.
        kept_until: Until when a value is kept as it stands now; `None` where it is over.
        drop: Drops a value, and says how many values of its kind that were.
    """

    def __init__(
        self,
        capacity: int,
        kept_until: Callable[[Held, datetime], datetime | None],
        drop: Callable[[Held], int],
    ) -> None:
        self._capacity = capacity
        self._kept_until = kept_until
        self._drop_value = drop
        # In the order in which they have their turn.
        self._by_owner: OrderedDict[Owner, Account] = OrderedDict()
        self._order = count()

    def check_room(self, new: list[changes.Write]) -> None:
        """Whether there is room for new values.

        Raises:
            StoreFullError: An account has no room for all of them.
        """
        counts: dict[tuple[Owner, Kind], int] = {}
        for write in new:
            of = _owner_of(write), type(write)
            counts[of] = counts.get(of, 0) + 1
        for (owner, kind), added in counts.items():
            account = self._by_owner.get(owner)
            held = account.held[kind] if account else 0
            if held + added > self._capacity:
                raise StoreFullError(kind.__name__.removesuffix("Write"), self._capacity, *owner)

    def add(self, new: changes.Write, due: tuple[datetime, Held] | None) -> None:
        """Count a new value, and note down from when on it may be over, if ever.

        Args:
            new: The write that inserts it.
            due: From when on it may be over, and what is looked at then; `None` for never.
        """
        owner = _owner_of(new)
        account = self._by_owner.get(owner)
        if account is None:
            account = self._by_owner[owner] = Account()
        account.held[type(new)] += 1
        if due is not None:
            self._note(account, *due)

    def tidy(self, now: datetime, own: Owner | None) -> None:
        """Drop a few values that are over: of one account, and of the one whose turn it is.

        Args:
            now: The instant at which it is asked, in UTC.
            own: Whose account is looked at first; `None` for nobody's.
        """
        account = self._by_owner.get(own) if own else None
        if account is not None:
            self._drop_over(account, now, LOOKED_AT)
        if self._by_owner:
            self._drop_over(self._next(), now, LOOKED_AT)

    def purge(self, now: datetime, most: int) -> int:
        """Drop what is over, account by account, looking at no more values and accounts than said.

        Args:
            now: The instant at which it is asked, in UTC.
            most: How many values and accounts are looked at, at most.

        Returns:
            How many values were dropped.
        """
        dropped = 0
        for _ in range(len(self._by_owner)):
            if most <= 0:
                break
            looked_at, gone = self._drop_over(self._next(), now, most)
            dropped += gone
            most -= max(1, looked_at)
        return dropped

    def purge_all(self, now: datetime) -> Iterator[tuple[int, bool]]:
        """Drop all that is over, so many values and accounts at a time.

        Yields:
            How many values were dropped, and whether there may be more.
        """
        left, dropped = AT_ONCE, 0
        for account in list(self._by_owner.values()):
            left -= 1
            while True:
                looked_at, gone = self._drop_over(account, now, left)
                left -= looked_at
                dropped += gone
                if left > 0:
                    break
                yield dropped, True
                left, dropped = AT_ONCE, 0
        yield dropped, False

    def drop_buckets(self) -> None:
        """Drop every bucket, over or not."""
        for account in self._by_owner.values():
            kept: list[tuple[datetime, int, Held]] = []
            for entry in account.deadlines:
                if isinstance(entry[2], changes.BucketKey):
                    self._drop(account, entry[2])
                else:
                    kept.append(entry)
            heapq.heapify(kept)
            account.deadlines = kept

    def _next(self) -> Account:
        owner = next(iter(self._by_owner))
        self._by_owner.move_to_end(owner)
        return self._by_owner[owner]

    def _drop_over(self, account: Account, now: datetime, most: int) -> tuple[int, int]:
        looked_at = dropped = 0
        deadlines = account.deadlines
        while deadlines and looked_at != most and is_over(deadlines[0][0], now):
            _, _, held = heapq.heappop(deadlines)
            looked_at += 1
            kept_until = self._kept_until(held, now)
            if kept_until is None:
                dropped += self._drop(account, held)
            else:
                # It moved on since it was noted down.
                self._note(account, kept_until, held)
        return looked_at, dropped

    def _drop(self, account: Account, held: Held) -> int:
        dropped = self._drop_value(held)
        account.held[_KINDS[type(held)]] -= dropped
        return dropped

    def _note(self, account: Account, deadline: datetime, held: Held) -> None:
        heapq.heappush(account.deadlines, (deadline, next(self._order), held))


def is_over(deadline: datetime, now: datetime) -> bool:
    """Whether a value with this deadline may be dropped.

    Args:
        deadline: When it means nothing any more.
        now: The instant at which it is asked, in UTC.
    """
    # Not at the deadline itself: another worker's clock may be behind.
    return now - deadline >= _TOLERANCE


def ended_at(connection: Connection) -> datetime | None:
    """When a connection was over, or is by itself; `None` where only what happens to it ends it."""
    ends = next_deadline(connection)
    if ends is None and not is_live(connection, LAST_INSTANT):
        return connection.updated_at
    return ends


def owner(whose: Caller | Coordinate | KeyOwner | AppUser) -> Owner:
    """The account that somebody or something belongs to."""
    return whose.environment, whose.customer_account_id


def _owner_of(write: changes.Write) -> Owner:
    if isinstance(write, changes.RecordWrite):
        whose: Coordinate | KeyOwner | AppUser = write.key.owner
    elif isinstance(write, changes.RateWrite):
        key = write.key
        whose = key.app_user if isinstance(key, changes.LimitKey) else key.owner
    elif isinstance(write, changes.ConnectionWrite):
        whose = write.after.identity.coordinate
    else:
        whose = write.after.coordinate
    return whose.environment, whose.customer_account_id
