"""A fake connection of psycopg, which records what runs on it, and fake notices of its server."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from psycopg.pq import ConnStatus

from curae_lifecycle.stores.sql.replication import SYNC_WAIT_FUNCTION, Replication


@attrs.frozen
class FakeNotice:
    source_function: str | None = SYNC_WAIT_FUNCTION


@attrs.define
class FakePgconn:
    """The part of libpq's connection that is used."""

    transaction_status: int = 0
    socket: int = -1
    status: ConnStatus = ConnStatus.BAD
    finished: bool = False

    def finish(self) -> None:
        self.finished = True


@attrs.define(eq=False)
class FakePsycopg:
    """A connection; the server cancels a wait for its standby while the text `warns` runs."""

    replication: Replication = attrs.field(factory=Replication)
    pgconn: FakePgconn = attrs.field(factory=FakePgconn)
    closed: bool = False
    warns: str = "nothing"
    ran: list[tuple[str, Sequence[object]]] = attrs.field(
        factory=list[tuple[str, Sequence[object]]]
    )

    def execute(self, text: str) -> None:
        self.record(text, ())

    def rollback(self) -> None:
        self.record("ROLLBACK", ())

    def record(self, text: str, values: Sequence[object]) -> None:
        self.ran.append((text, values))
        if self.warns in text:
            self.replication.handle_notice(FakeNotice())


@attrs.define
class FakeCursor:
    """A raw cursor of psycopg."""

    connection: FakePsycopg
    rowcount: int = 1

    def execute(self, text: bytes, values: Sequence[object]) -> None:
        self.connection.record(text.decode(), values)
