"""Customer accounts of the store in memory: how much each holds, and when to check it for expiry.

The laws of this module: **a full account is refused without affecting the others**; **no value is
dropped before its deadline**. A due value is checked again, and dropped five minutes after its
deadline at the earliest.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from typing import Final, cast

import attrs

from curae_lifecycle.rules.values import LAST_INSTANT
from curae_lifecycle.service.writes import Write
from curae_lifecycle.stores.contract import StoreFullError
from curae_lifecycle.stores.keys import KeyParts
from curae_lifecycle.stores.memory_tables import (
    ExpiringCollection,
    Kind,
    Owner,
    Rates,
    may_be_dropped,
)

EXPIRY_CHECKS_PER_REQUEST: Final = 8
"""The largest number of values of an account that a load of `MemoryStore` checks for expiry.

A load checks values of two accounts: the caller's account, and another one in turn.
"""

PURGE_BATCH_SIZE: Final = 1000
"""How many values and accounts a batch of `MemoryStore.purge` without a `limit` checks, at most."""

AnyCollection = ExpiringCollection[Write, object, object]
"""A collection of stored values of any kind, such as connections.

`Bindings`, the collection of bindings, is used under this type, too. A binding never expires, so no
expiry check of one is ever scheduled.
"""

_Deadline = tuple[datetime, int, AnyCollection, object]


@attrs.define
class Account:
    """The number of values that a customer account holds, and when to check them for expiry.

    Attributes:
        held: How many values of each kind the account holds.
        deadlines: When to check whether a value may be dropped, as a heap with the earliest first.
            Each entry is the instant of the check, a unique number that orders equal instants, the
            collection that holds the value, and the value's key.
    """

    held: Counter[Kind] = attrs.field(factory=Counter[Kind])
    deadlines: list[_Deadline] = attrs.field(factory=list[_Deadline])


class Accounts:
    """The customer accounts of a store in memory, each with a capacity and a schedule.

    The schedule says when to look whether a value has expired and may be dropped.

    Args:
        capacity: How many values of each kind an account may hold.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        # The order of the accounts is the order of their turns.
        self._by_owner: OrderedDict[Owner, Account] = OrderedDict()
        # The number decides between checks with the same deadline.
        self._numbers = count()
        # A lower bound of all deadlines: the check that had this deadline may be done already.
        self._earliest = LAST_INSTANT

    def reserve(self, new: list[tuple[Owner, Kind]]) -> None:
        """Reserve capacity for new values, for all of them or for none.

        Args:
            new: An owner and a kind for each new value. The owner is a customer account in one
                environment. The kind is the class of the value's writes.

        Raises:
            StoreFullError: An account would hold more values of a kind than its capacity.
        """
        for index, (owner, kind) in enumerate(new):
            account = self._by_owner.get(owner)
            if account is None:
                account = self._by_owner[owner] = Account()
            held = account.held[kind]
            if held >= self._capacity:
                for earlier, counted in new[:index]:
                    self._by_owner[earlier].held[counted] -= 1
                raise StoreFullError(kind.__name__.removesuffix("Write"), self._capacity, *owner)
            account.held[kind] = held + 1

    def add_unchecked(self, new: list[tuple[Owner, Kind]]) -> None:
        """Add new values to the totals of their accounts, without a check of the capacity.

        This is for the new binding that a tombstone makes if its coordinate has none. A tombstone
        records that a user is gone, which must never fail for lack of room.

        Args:
            new: An owner and a kind for each new value, as `reserve` takes them. The owner is a
                customer account in one environment. The kind is the class of the value's writes.
        """
        for owner, kind in new:
            self._by_owner.setdefault(owner, Account()).held[kind] += 1

    def schedule_expiry_check(
        self, owner: Owner, collection: AnyCollection, deadline: datetime, key: object
    ) -> None:
        """Schedule when to look whether a value has expired and may be dropped.

        Args:
            owner: The customer account that owns the value, in one environment. `reserve` or
                `add_unchecked` must have counted a value of this owner before.
            collection: The collection that holds the value.
            deadline: The instant at which to look.
            key: The key of the value in the collection. For a connection, it is the id of the first
                connection in its chain, since a chain is dropped as a whole.
        """
        self._schedule(self._by_owner[owner], collection=collection, deadline=deadline, key=key)

    def may_have_expired(self, now: datetime) -> bool:
        """Return whether a value may be old enough to be dropped; False means that none is.

        Args:
            now: The current instant, in UTC; a value may be dropped five minutes after its
                deadline.
        """
        return may_be_dropped(self._earliest, now)

    def drop_some_expired(self, now: datetime, own: Owner | None) -> None:
        """Drop a few expired values of the caller's account, and of the next account in turn.

        A load of `MemoryStore` calls this, so that expired values go without a call of `purge`.

        Args:
            now: The current instant, in UTC.
            own: The caller's account; `None` for an unknown caller, who has none.
        """
        account = self._by_owner.get(own) if own else None
        if account is not None:
            self._drop_expired(account, now, EXPIRY_CHECKS_PER_REQUEST)
        if self._by_owner:
            self._drop_expired(self._next_account(), now, EXPIRY_CHECKS_PER_REQUEST)

    def purge(self, now: datetime, limit: int) -> int:
        """Drop expired values, account by account, until `limit` values were checked.

        Args:
            now: The current instant, in UTC.
            limit: How many values to check at most. An account in which nothing has expired counts
                as one.

        Returns:
            How many values were dropped.
        """
        dropped = 0
        for _ in range(len(self._by_owner)):
            if limit <= 0:
                break
            checked, newly_dropped = self._drop_expired(self._next_account(), now, limit)
            dropped += newly_dropped
            limit -= max(1, checked)
        return dropped

    def purge_all(self, now: datetime) -> Iterator[tuple[int, bool]]:
        """Drop all expired values, account by account, in batches.

        `PURGE_BATCH_SIZE` limits the accounts and the checked values of a batch, taken together.

        Args:
            now: The current instant, in UTC.

        Yields:
            For each batch: how many values were dropped, and whether there may be more.
        """
        left, dropped = PURGE_BATCH_SIZE, 0
        for account in list(self._by_owner.values()):
            left -= 1
            while True:
                checked, newly_dropped = self._drop_expired(account, now, left)
                left -= checked
                dropped += newly_dropped
                if left > 0:
                    break
                yield dropped, True
                left, dropped = PURGE_BATCH_SIZE, 0
        earliest = [
            account.deadlines[0][0] for account in self._by_owner.values() if account.deadlines
        ]
        self._earliest = min(earliest, default=LAST_INSTANT)
        yield dropped, False

    def drop_buckets(self, rates: Rates) -> None:
        """Drop the state of every `Bucket`, expired or not, so that every bucket is full again.

        A `Bucket` is a rate limit of an API key. The state of every `ExactLog`, the rate limit of
        an app user, is kept.

        Args:
            rates: The collection that holds the states of the rate limits.
        """
        for account in self._by_owner.values():
            others: list[_Deadline] = []
            for deadline in account.deadlines:
                _, _, collection, key = deadline
                if collection.kind is Rates.kind and rates.is_bucket(cast("KeyParts", key)):
                    self._drop(account, collection, key)
                else:
                    others.append(deadline)
            heapq.heapify(others)
            account.deadlines = others

    def _next_account(self) -> Account:
        owner = next(iter(self._by_owner))
        self._by_owner.move_to_end(owner)
        return self._by_owner[owner]

    def _drop_expired(self, account: Account, now: datetime, most: int) -> tuple[int, int]:
        checked = dropped = 0
        deadlines = account.deadlines
        while deadlines and checked != most and may_be_dropped(deadlines[0][0], now):
            _, _, collection, key = heapq.heappop(deadlines)
            checked += 1
            deadline = collection.next_drop_check(key, now)
            if deadline is None:
                dropped += self._drop(account, collection, key)
            else:
                self._schedule(account, collection=collection, deadline=deadline, key=key)
        return checked, dropped

    def _drop(self, account: Account, collection: AnyCollection, key: object) -> int:
        dropped = collection.drop(key)
        account.held[collection.kind] -= dropped
        return dropped

    def _schedule(
        self, account: Account, collection: AnyCollection, deadline: datetime, key: object
    ) -> None:
        self._earliest = min(self._earliest, deadline)
        heapq.heappush(account.deadlines, (deadline, next(self._numbers), collection, key))
