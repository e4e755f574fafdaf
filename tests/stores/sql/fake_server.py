"""A fake server of connections for the tests of the pool."""

from __future__ import annotations

import asyncio

import attrs


@attrs.define(eq=False)
class FakeConnection:
    number: int
    server_closed: asyncio.Event = attrs.field(factory=asyncio.Event)
    closed: bool = False

    async def close(self) -> None:
        self.closed = True
        await self.server_closed.wait()


@attrs.define
class FakeServer:
    """Opens connections; `error` is raised instead, and `opens` holds openings up."""

    opened: list[FakeConnection] = attrs.field(factory=list[FakeConnection])
    error: Exception | None = None
    opens: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def connect(self) -> FakeConnection:
        await self.opens.wait()
        if self.error is not None:
            raise self.error
        self.opened.append(FakeConnection(len(self.opened) + 1))
        return self.opened[-1]


async def settle(steps: int = 20) -> None:
    """Let every task run until it waits, or for a number of steps."""
    for _ in range(steps):
        await asyncio.sleep(0)
