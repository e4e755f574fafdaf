"""What each customer account holds of a store, and what of it may be over from when on.

The laws of this module: **an account that is full is refused alone**, and **nothing is dropped
before its deadline**: what is due is looked at again, and goes five minutes later at the earliest.
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
"""How many values of an account a request looks at, whether they are over."""

PURGE_BATCH_SIZE: Final = 1000
"""How many values and accounts a purge of all looks at before it lets others in."""

AnyCollection = ExpiringCollection[Write, object, object]
"""The values of whichever kind; of a kind that never ends nothing is noted down."""

_Deadline = tuple[datetime, int, AnyCollection, object]


@attrs.define
class Account:
    """One account.

    Attributes:
        held: How many values of each kind it holds.
        deadlines: What of them may be over from when on, as a heap.
    """

    held: Counter[Kind] = attrs.field(factory=Counter[Kind])
    deadlines: list[_Deadline] = attrs.field(factory=list[_Deadline])


class Accounts:
    """The customer accounts of a store; they have their turn one after the other.

    Args:
        capacity: How many values of each kind an account may hold.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        # In the order in which they have their turn.
        self._by_owner: OrderedDict[Owner, Account] = OrderedDict()
        self._order = count()
        # No deadline is earlier; the one that was may be gone.
        self._earliest = LAST_INSTANT

    def reserve(self, new: list[tuple[Owner, Kind]]) -> None:
        """Count new values, all of them or none.

        Raises:
            StoreFullError: An account has no room for all of them.
        """
        for at, (owner, kind) in enumerate(new):
            account = self._by_owner.get(owner)
            if account is None:
                account = self._by_owner[owner] = Account()
            held = account.held[kind]
            if held >= self._capacity:
                for earlier, counted in new[:at]:
                    self._by_owner[earlier].held[counted] -= 1
                raise StoreFullError(kind.__name__.removesuffix("Write"), self._capacity, *owner)
            account.held[kind] = held + 1

    def schedule_expiry_check(
        self, owner: Owner, kept: AnyCollection, deadline: datetime, key: object
    ) -> None:
        """Note down from when on a value may be over.

        Args:
            owner: Whose it is.
            kept: The values of its kind, which say then whether it is over.
            deadline: From when on that is.
            key: By what it is asked.
        """
        self._note(self._by_owner[owner], kept=kept, deadline=deadline, key=key)

    def may_be_over(self, now: datetime) -> bool:
        """Whether anything may be over: where it says no, nothing is."""
        return may_be_dropped(self._earliest, now)

    def drop_some_expired(self, now: datetime, own: Owner | None) -> None:
        """Drop a few values that are over: of one account, and of the one whose turn it is.

        Args:
            now: The instant at which it is asked, in UTC.
            own: Whose account is looked at first; `None` for nobody's.
        """
        account = self._by_owner.get(own) if own else None
        if account is not None:
            self._drop_over(account, now, EXPIRY_CHECKS_PER_REQUEST)
        if self._by_owner:
            self._drop_over(self._next(), now, EXPIRY_CHECKS_PER_REQUEST)

    def purge(self, now: datetime, limit: int) -> int:
        """Drop what is over, account by account, looking at no more values and accounts than said.

        Args:
            now: The instant at which it is asked, in UTC.
            limit: How many values and accounts are looked at, at most.

        Returns:
            How many values were dropped.
        """
        dropped = 0
        for _ in range(len(self._by_owner)):
            if limit <= 0:
                break
            looked_at, gone = self._drop_over(self._next(), now, limit)
            dropped += gone
            limit -= max(1, looked_at)
        return dropped

    def purge_all(self, now: datetime) -> Iterator[tuple[int, bool]]:
        """Drop all that is over, so many values and accounts at a time.

        Yields:
            How many values were dropped, and whether there may be more.
        """
        left, dropped = PURGE_BATCH_SIZE, 0
        for account in list(self._by_owner.values()):
            left -= 1
            while True:
                looked_at, gone = self._drop_over(account, now, left)
                left -= looked_at
                dropped += gone
                if left > 0:
                    break
                yield dropped, True
                left, dropped = PURGE_BATCH_SIZE, 0
        held = [account.deadlines[0][0] for account in self._by_owner.values() if account.deadlines]
        self._earliest = min(held, default=LAST_INSTANT)
        yield dropped, False

    def drop_buckets(self, rates: Rates) -> None:
        """Drop every bucket, over or not."""
        for account in self._by_owner.values():
            kept: list[_Deadline] = []
            for deadline in account.deadlines:
                _, _, values, key = deadline
                if values.kind is Rates.kind and rates.is_bucket(cast("KeyParts", key)):
                    self._drop(account, values, key)
                else:
                    kept.append(deadline)
            heapq.heapify(kept)
            account.deadlines = kept

    def _next(self) -> Account:
        owner = next(iter(self._by_owner))
        self._by_owner.move_to_end(owner)
        return self._by_owner[owner]

    def _drop_over(self, account: Account, now: datetime, most: int) -> tuple[int, int]:
        looked_at = dropped = 0
        deadlines = account.deadlines
        while deadlines and looked_at != most and may_be_dropped(deadlines[0][0], now):
            _, _, kept, key = heapq.heappop(deadlines)
            looked_at += 1
            until = kept.kept_until(key, now)
            if until is None:
                dropped += self._drop(account, kept, key)
            else:
                # It moved on since it was noted down.
                self._note(account, kept=kept, deadline=until, key=key)
        return looked_at, dropped

    def _drop(self, account: Account, kept: AnyCollection, key: object) -> int:
        dropped = kept.drop(key)
        account.held[kept.kind] -= dropped
        return dropped

    def _note(self, account: Account, kept: AnyCollection, deadline: datetime, key: object) -> None:
        if deadline < self._earliest:  # noqa: PLR1730 - `min` takes eight times as long
            self._earliest = deadline
        heapq.heappush(account.deadlines, (deadline, next(self._order), kept, key))
