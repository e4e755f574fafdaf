"""Fake connections of the async drivers, which record what runs on them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Final, Self

import attrs
from psycopg.pq import TransactionStatus

from curae_lifecycle.stores.sql.replication import SYNC_WAIT_FUNCTION, Replication
from tests.stores.sql.fake_psycopg import FakeNotice, FakePgconn

ROWS: Final = [(7,)]
"""The rows of every statement."""

SECONDS: Final = 30.0
"""The longest wait for a response."""

Ran = list[tuple[str, Sequence[object]]]


@attrs.define(eq=False)
class FakeAsyncPsycopg:
    """A connection of psycopg that is its own cursor; a doubt arises while `warns` runs."""

    replication: Replication = attrs.field(factory=Replication)
    pgconn: FakePgconn = attrs.field(factory=FakePgconn)
    closed: bool = False
    warns: str = "nothing"
    error: Exception | None = None
    description: list[str] | None = attrs.field(factory=lambda: ["a column"])
    ran: Ran = attrs.field(factory=Ran)

    async def execute(self, text: str | bytes, values: Sequence[object] = ()) -> None:
        sent = text if isinstance(text, str) else text.decode()
        self.ran.append((sent, values))
        if self.warns in sent:
            self.replication.handle_notice(FakeNotice())

    async def fetchall(self) -> list[tuple[int]]:
        return ROWS

    async def rollback(self) -> None:
        self.ran.append(("ROLLBACK", ()))
        if self.error is not None:
            raise self.error
        self.pgconn.transaction_status = TransactionStatus.IDLE


@attrs.frozen
class AsyncpgNotice:
    server_source_function: str | None


@attrs.define(eq=False)
class FakeAsyncpg:
    """A connection of asyncpg; a doubt arises while the text `warns` runs, and `hangs` hangs.

    Each statement raises `failure`, if given.
    """

    closed: bool = False
    in_transaction: bool = False
    client: socket.socket | None = None
    warns: str = "nothing"
    hangs: str = "nothing"
    failure: Exception | None = None
    listeners: list[Callable[[object, object], None]] = attrs.field(
        factory=list[Callable[[object, object], None]]
    )
    terminations: int = 0
    ran: Ran = attrs.field(factory=Ran)

    @property
    def _transport(self) -> FakeAsyncpg:
        return self

    def get_extra_info(self, name: str) -> socket.socket | None:
        return self.client if name == "socket" else None

    def add_log_listener(self, listener: Callable[[object, object], None]) -> None:
        self.listeners.append(listener)

    def tell(self, function: str | None = SYNC_WAIT_FUNCTION) -> None:
        for listener in self.listeners:
            listener(self, AsyncpgNotice(function))

    async def fetch(self, text: str, *values: object) -> list[tuple[int]]:
        self.ran.append((text, values))
        if self.warns in text:
            self.tell()
        if self.hangs in text:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        return ROWS

    async def execute(self, text: str) -> None:
        await self.fetch(text)

    def is_closed(self) -> bool:
        return self.closed

    def is_in_transaction(self) -> bool:
        return self.in_transaction

    def terminate(self) -> None:
        self.terminations += 1


@attrs.define(eq=False)
class FakeAsyncmy:
    """A connection of asyncmy that is its own cursor; the text `hangs` gets no response."""

    hangs: str = "nothing"
    rowcount: int = 1
    closed: bool = False
    ran: Ran = attrs.field(factory=Ran)

    def cursor(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        pass

    async def execute(self, text: str, values: Sequence[object], /) -> None:
        self.ran.append((text, values))
        if self.hangs in text:
            await asyncio.sleep(10 * SECONDS)

    async def fetchall(self) -> list[tuple[int]]:
        return ROWS

    def close(self) -> None:
        self.closed = True


@attrs.define
class FakeAiosqlite:
    """A connection of aiosqlite that fails to set its journal mode."""

    error: Exception | None = None
    ran: Ran = attrs.field(factory=Ran)

    async def execute(self, text: str, values: Sequence[object], /) -> None:
        self.ran.append((text, values))
        if self.error is not None and "journal" in text:
            raise self.error
