"""The slots of a guard: how many requests are in the app, and which request is next.

The laws of this module:

- **No name holds more slots than its bound**, so that the others find a free one. The bound is
  wider while no other name is in use.
- **A free slot goes to the request that came first**, among those whose names are below their
  bound. A request without a name is before all others, so such requests have a bound, too.

A guard (`servers.guard.Guard`) is ASGI middleware that lets a limited number of requests into an
app at once. A name stands for what requests may queue for together: an API key, or a row of the
database.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import Final, TypeAlias

import attrs

Names: TypeAlias = tuple[bytes, ...]
"""The names of what a request shares with others, such as its API key; no two are equal."""

ALONE_AFTER: Final = 100
"""How many requests in a row must share a name, such as an API key, to raise the name's limit.

After that many, no other name seems to need slots (permissions to run in the web application).
Requests with the name may then hold `Slots.max_alone` slots instead of `Slots.max_per_name`.
"""


@attrs.define(eq=False, repr=False)
class Slots:
    """The slots of a guard, middleware that lets a limited number of requests into an app at once.

    Each request in the app holds one slot, and the others wait for one. A name stands for a thing
    that requests share, such as an API key or a row of the database. No repr shows a name, since
    it can be an API key.

    Attributes:
        size: The number of slots.
        max_per_name: The most slots that requests with one name hold together, so that others get
            a slot.
        max_alone: The limit that replaces `max_per_name` for a name without competition. That is a
            name that the last 100 requests with a slot (`ALONE_AFTER`) all had; requests without
            any name do not count.
        max_nameless: The most slots that requests without a name, such as health checks, hold
            together.
    """

    size: int
    max_per_name: int
    max_alone: int
    max_nameless: int
    _taken: int = attrs.field(default=0, init=False)
    _nameless: int = attrs.field(default=0, init=False)
    _held: Counter[bytes] = attrs.field(factory=Counter[bytes], init=False)
    # The names of the last request that got a slot, each with the number of requests in a row.
    _in_a_row: dict[bytes, int] = attrs.field(factory=dict[bytes, int], init=False)
    # Requests with the same names wait in one line, so that a long line costs as little as a short
    # one. The number of arrivals decides between lines.
    _lines: dict[Names, deque[_Waiter]] = attrs.field(
        factory=dict[Names, "deque[_Waiter]"], init=False
    )
    _arrivals: int = attrs.field(default=0, init=False)

    def is_free(self, names: Names) -> bool:
        """Return whether a request could take a slot now. Take nothing.

        A slot lets one request run in the web application.

        Args:
            names: The names of things that the request shares with others, such as its API key.
                Each name has a limit: the most slots that requests with this name hold together.
        """
        if not names and self._nameless == self.max_nameless:
            return False
        return self._taken < self.size and all(
            self._held[name] < self._bound(name) for name in names
        )

    def _bound(self, name: bytes) -> int:
        is_alone = self._in_a_row.get(name, 0) >= ALONE_AFTER
        return self.max_alone if is_alone else self.max_per_name

    def take_free(self, names: Names) -> bool:
        """Take a slot for a request if that needs no waiting; return whether the slot was taken.

        A slot lets one request run in the web application. Call `give_back` when the request has
        ended.

        Args:
            names: The names of things that the request shares with others, such as its API key.
                Each name has a limit: the most slots that requests with this name hold together.
        """
        if not self.is_free(names):
            return False
        self._take(names)
        return True

    async def take(self, names: Names) -> None:
        """Wait until a slot is free for a request, and take that slot.

        A slot lets one request run in the web application. Call `give_back` when the request has
        ended, but not if the wait was cancelled.

        Args:
            names: The names of things that the request shares with others, such as its API key.
                Each name has a limit: the most slots that requests with this name hold together.
        """
        if self.take_free(names):
            return
        self._arrivals += 1
        waiter = _Waiter(self._arrivals, asyncio.get_running_loop().create_future())
        self._lines.setdefault(names, deque()).append(waiter)
        try:
            await waiter.given
        except asyncio.CancelledError:
            if not waiter.given.cancelled():
                self.give_back(names)
            elif waiter in self._lines.get(names, ()):
                self._leave(names, waiter)
            raise

    def give_back(self, names: Names) -> None:
        """Free the slot of a request that has ended, and give free slots to waiting requests.

        Args:
            names: The names that were passed to take the slot, such as the request's API key.
        """
        self._taken -= 1
        self._nameless -= not names
        for name in names:
            self._held[name] -= 1
            if not self._held[name]:
                del self._held[name]
        self._hand_out()

    def _take(self, names: Names) -> None:
        self._taken += 1
        self._nameless += not names
        for name in names:
            self._held[name] += 1
        if names:
            self._in_a_row = {name: self._in_a_row.get(name, 0) + 1 for name in names}

    def _hand_out(self) -> None:
        # More than one may go on: each of a request's names may have kept back another line.
        while lines := [names for names in self._lines if self.is_free(names)]:
            names = min(lines, key=lambda each: (bool(each), self._lines[each][0].number))
            waiter = self._lines[names][0]
            self._leave(names, waiter)
            # A request that was just cancelled has not left yet.
            if not waiter.given.cancelled():
                self._take(names)
                waiter.given.set_result(None)

    def _leave(self, names: Names, waiter: _Waiter) -> None:
        line = self._lines[names]
        line.remove(waiter)
        if not line:
            del self._lines[names]


@attrs.frozen(eq=False)
class _Waiter:
    number: int
    given: asyncio.Future[None]
