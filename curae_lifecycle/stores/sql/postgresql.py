"""Connections to PostgreSQL that limit the wait for each response on the client's side.

The kernel of a hung server still acknowledges packets. So neither the server's timeouts nor those
of TCP end the wait, and these connections watch the clock themselves.
"""

from __future__ import annotations

from time import monotonic
from typing import Final, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.pq.abc import PGconn

from curae_lifecycle.stores.deadline import current_deadline
from curae_lifecycle.stores.sql.connecting import connect_in_thread
from curae_lifecycle.stores.sql.replication import Replication

_Result = TypeVar("_Result")

_POLL_SECONDS: Final = 0.1
"""How often a waiting connection checks whether its time is up, in seconds."""


_OUTDATED_FUNCTION: Final = "RevalidateCachedQuery"
"""The function of PostgreSQL that refuses a prepared statement whose columns have other types now.

It identifies the error: others have the same code, and its text is translated.
"""


class BoundedConnection(psycopg.Connection[tuple[object, ...]]):
    """A blocking connection of psycopg that limits the wait for each response.

    Attributes:
        seconds: The longest wait for a response. A deadline that the calling code has set with
            `stores.deadline.deadline_scope` may end the wait earlier.
        replication: Gets the notices of the server, and counts by them the commits of this database
            that a failover might lose.
    """

    seconds: float = 60.0
    replication: Replication

    @classmethod
    def connect_with_timeout(
        cls, seconds: float, named: dict[str, str], replication: Replication
    ) -> BoundedConnection:
        """Open a connection in autocommit mode within a time limit.

        Args:
            seconds: The longest wait for the connection, and then for each response.
            named: psycopg's connection parameters, by name.
            replication: Gets the notices of the server, and counts by them the commits that a
                failover might lose. All connections to the database share it.

        Raises:
            OperationalError: There was no connection in time, or no thread could be started.
        """
        conninfo = make_conninfo(**named)
        made = connect_in_thread(
            lambda: cls.connect(conninfo, autocommit=True), seconds, psycopg.OperationalError
        )
        made.seconds = seconds
        made.replication = replication
        made.add_notice_handler(replication.handle_notice)
        return made

    def wait(
        self, gen: PQGen[_Result], interval: float = _POLL_SECONDS, timeout: float | None = None
    ) -> _Result:
        """Wait for a response, and raise an error at the time limit; psycopg calls this method.

        The limit is `self.seconds`, or the deadline that `stores.deadline.deadline_scope` has set,
        if that is earlier. After the error, the connection cannot be used again.

        Args:
            gen: psycopg's generator that reads the response.
            interval: How often to check the limit, in seconds.
            timeout: Ignored.

        Raises:
            OperationalError: There was no response in time.
        """
        del timeout  # psycopg passes it for notifications only, which this package does not use.
        deadline = min(monotonic() + self.seconds, current_deadline())
        limited = _wait_until(gen, deadline, self.pgconn)
        return wait_without_cancel(limited, self.pgconn, interval)


class AsyncBoundedConnection(psycopg.AsyncConnection[tuple[object, ...]]):
    """An async connection of psycopg that limits the wait for each response.

    If the waiting task is cancelled, the server may still run the statement. The caller must then
    close the connection.

    Attributes:
        seconds: The longest wait for a response.
        replication: Gets the notices of the server, and counts by them the commits of this database
            that a failover might lose.
    """

    seconds: float = 60.0
    replication: Replication

    @classmethod
    async def connect_bounded(
        cls, seconds: float, named: dict[str, str], replication: Replication
    ) -> AsyncBoundedConnection:
        """Open a connection in autocommit mode, with a limit for each later response.

        The wait for the connection itself is not limited here; the caller limits it.

        Args:
            seconds: The longest wait for each response.
            named: psycopg's connection parameters, by name.
            replication: Gets the notices of the server, and counts by them the commits that a
                failover might lose. All connections to the database share it.
        """
        made = await cls.connect(make_conninfo(**named), autocommit=True)
        made.seconds = seconds
        made.replication = replication
        made.add_notice_handler(replication.handle_notice)
        return made

    async def wait(
        self,
        gen: PQGen[_Result],
        interval: float = _POLL_SECONDS,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature of psycopg
    ) -> _Result:
        """Wait for a response, and raise an error after `self.seconds`; psycopg calls this method.

        After the error, the connection cannot be used again.

        Args:
            gen: psycopg's generator that reads the response.
            interval: How often to check the limit, in seconds.
            timeout: Ignored.

        Raises:
            OperationalError: There was no response in time.
        """
        del timeout
        limited = _wait_until(gen, monotonic() + self.seconds, self.pgconn)
        # On cancellation, psycopg's own `wait` asks the server to cancel the statement, and waits
        # for that. Here the pool closes the connection in a task.
        return await waiting.wait_async(limited, self.pgconn.socket, interval)


def wait_without_cancel(
    gen: PQGen[_Result], pgconn: PGconn, interval: float = _POLL_SECONDS
) -> _Result:
    """Wait for a response; if an exception ends the wait, the server goes on with the statement.

    On a `KeyboardInterrupt` or `SystemExit`, psycopg's own `wait` asks the server to cancel the
    statement. A commit that waits for a standby would then take effect without it.

    Args:
        gen: psycopg's generator that reads the response.
        pgconn: The connection to read it from. It cannot be used again after an exception.
        interval: The seconds after which `gen` is called again if there is no response yet.
    """
    return waiting.wait(gen, pgconn.socket, interval)


def _wait_until(gen: PQGen[_Result], deadline: float, pgconn: PGconn) -> PQGen[_Result]:
    # Passes psycopg's generator through, and raises an error at the deadline. The connection then
    # has an active statement, so it cannot be used again.
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and monotonic() >= deadline:
                raise psycopg.OperationalError("no response in time")
            wanted = gen.send(ready)
    except StopIteration as end:
        result: _Result = end.value
        return result
    except psycopg.errors.FeatureNotSupported as error:
        if error.diag.source_function != _OUTDATED_FUNCTION:
            raise
        # The other prepared statements of the connection may be outdated, too.
        pgconn.finish()
        raise psycopg.OperationalError("a table was altered") from None
