"""Connections to a MariaDB that are asked directly, as its driver makes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import attrs
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection

USER: Final = "curae"
PORT: Final = 3306

_DRIVER: Final = sa.create_engine("mariadb+pymysql://").dialect.loaded_dbapi

# As the driver names it, of which there are no types.
MariadbError: type[Exception] = _DRIVER.Error

Rows = Sequence[Sequence[object]]


@attrs.frozen
class Asking:
    """A connection that is open."""

    connection: DBAPIConnection

    def ask(self, statement: str, *values: str) -> Rows:
        """Run a statement, and give its rows."""
        cursor = self.connection.cursor()
        # Without values, a percent sign is one.
        cursor.execute(statement, values or None)
        rows: Rows = cursor.fetchall()
        return rows


@contextmanager
def asking(
    address: str, port: int = PORT, *, seconds: float = 2.0, sync: int = 0
) -> Iterator[Asking]:
    """A connection for as long as the context lasts, each statement a transaction by itself.

    Args:
        address: Of the server.
        port: Its port.
        seconds: How long an answer is waited for.
        sync: What `wsrep_sync_wait` is on it.
    """
    connection = _DRIVER.connect(
        host=address,
        port=port,
        user=USER,
        autocommit=True,
        connect_timeout=seconds,
        read_timeout=seconds,
        write_timeout=seconds,
        init_command=f"SET SESSION wsrep_sync_wait = {sync}",
    )
    try:
        yield Asking(connection)
    finally:
        connection.close()


@contextmanager
def as_root(door: str) -> Iterator[Asking]:
    """The same for the one who may do everything, through the socket of a server."""
    connection = _DRIVER.connect(unix_socket=door, user="root", autocommit=True)
    try:
        yield Asking(connection)
    finally:
        connection.close()
