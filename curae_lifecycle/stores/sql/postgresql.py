"""Connections to PostgreSQL that wait no longer than a limit for an answer.

The kernel of a server that hangs still acknowledges what it is sent, so neither the server's own
limits nor those of TCP end the wait for it: here the client counts the seconds itself.
"""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from time import monotonic
from typing import Final, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo

from curae_lifecycle.stores.deadline import current_deadline, seconds_left
from curae_lifecycle.stores.sql.replication import Replication

_Answered = TypeVar("_Answered")

_LOOK: Final = 0.1
"""How often, in seconds, it is looked whether the limit is over."""


class BoundedConnection(psycopg.Connection[tuple[object, ...]]):
    """A connection that is closed where an answer does not come in time.

    Attributes:
        seconds: How long an answer may take, where no deadline is earlier.
        replication: Whether all that was committed there is known to last.
    """

    seconds: float = 60.0
    replication: Replication

    @classmethod
    def connect_with_timeout(
        cls, seconds: float, named: dict[str, str], replication: Replication | None = None
    ) -> BoundedConnection:
        """A new connection, with a limit of its own; every statement commits by itself.

        It is made in a thread, which is left alone where it takes longer than the limit: a name
        may have many hosts, each is waited for, and looking it up takes as long as it takes.

        Raises:
            OperationalError: The time is over.
        """
        made: Future[BoundedConnection] = Future()

        def connect() -> None:
            try:
                connected = cls.connect(make_conninfo(**named), autocommit=True)
            except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
                if made.set_running_or_notify_cancel():
                    made.set_exception(error)
                return
            if made.set_running_or_notify_cancel():
                connected.seconds = seconds
                connected.replication = replication or Replication()
                connected.add_notice_handler(connected.replication.hear)
                made.set_result(connected)
            else:
                connected.close()

        Thread(target=connect, daemon=True).start()
        with suppress(TimeoutError):
            made.exception(seconds_left(seconds))
        if made.cancel():
            raise psycopg.OperationalError("no connection in time")
        return made.result()

    def wait(
        self, gen: PQGen[_Answered], interval: float = _LOOK, timeout: float | None = None
    ) -> _Answered:
        """Wait for an answer, no longer than the limit."""
        del timeout  # For notifications alone, which nobody waits for here.
        until = min(monotonic() + self.seconds, current_deadline())
        return super().wait(_limited(gen, self.pgconn, until), interval)


class AsyncBoundedConnection(psycopg.AsyncConnection[tuple[object, ...]]):
    """The same, awaited; where its task is cancelled, it is at work still, and to be closed.

    Attributes:
        seconds: How long an answer may take.
        replication: Whether all that was committed there is known to last.
    """

    seconds: float = 60.0
    replication: Replication

    @classmethod
    async def connect_with_timeout(
        cls, seconds: float, named: dict[str, str], replication: Replication
    ) -> AsyncBoundedConnection:
        """A new connection, with a limit of its own; every statement commits by itself."""
        made = await cls.connect(make_conninfo(**named), autocommit=True)
        made.seconds = seconds
        made.replication = replication
        made.add_notice_handler(replication.hear)
        return made

    async def wait(
        self,
        gen: PQGen[_Answered],
        interval: float = _LOOK,
        timeout: float | None = None,  # noqa: ASYNC109 - of the method that it takes the place of
    ) -> _Answered:
        """Wait for an answer, no longer than the limit."""
        del timeout
        limited = _limited(gen, self.pgconn, monotonic() + self.seconds)
        # Where it is cancelled, psycopg's own would ask the server to cancel, and wait for it: one
        # that hangs never does. Whoever ran the statement finds it not idle, and closes it.
        return await waiting.wait_async(limited, self.pgconn.socket, interval)


def _limited(
    waits: PQGen[_Answered], pgconn: psycopg.pq.abc.PGconn, until: float
) -> PQGen[_Answered]:
    try:
        wanted = next(waits)
        while True:
            ready = yield wanted
            if not ready and monotonic() >= until:
                pgconn.finish()
                raise psycopg.OperationalError("no answer in time")
            wanted = waits.send(ready)
    except StopIteration as end:
        answered: _Answered = end.value
        return answered
