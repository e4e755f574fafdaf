"""Direct connections to a MariaDB server through its driver."""

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

# The driver has no types.
MariadbError: type[Exception] = _DRIVER.Error

Rows = Sequence[Sequence[object]]


@attrs.frozen
class Asking:
    """An open connection."""

    connection: DBAPIConnection

    def ask(self, statement: str, *values: str) -> Rows:
        """Run a statement and return its rows."""
        cursor = self.connection.cursor()
        # Without values, the driver does not unescape percent signs.
        cursor.execute(statement, values or None)
        rows: Rows = cursor.fetchall()
        return rows


@contextmanager
def asking(
    address: str, port: int = PORT, *, seconds: float = 2.0, sync: int = 0
) -> Iterator[Asking]:
    """Open an autocommit connection within the block.

    Args:
        address: The address of the server.
        port: Its port.
        seconds: The timeout of an answer.
        sync: The value of `wsrep_sync_wait`.
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
    """Open a root connection through the socket of a server."""
    connection = _DRIVER.connect(unix_socket=door, user="root", autocommit=True)
    try:
        yield Asking(connection)
    finally:
        connection.close()
