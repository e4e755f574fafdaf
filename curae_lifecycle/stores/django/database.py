"""A database that runs statements on the Django connection of the current thread.

The laws of this module:

- **A commit is its own transaction.** Within another transaction it is refused, because a conflict
  must undo the commit without the surrounding work.
- **A lost connection is not used again.**
- **Nothing waits for ever.** On PostgreSQL, the wait for a response ends shortly after
  `statement_timeout`, even if the server hangs.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal, NoReturn, TypeVar, cast

from django import conf
from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.contract import StoreUnchangedError
from curae_lifecycle.stores.deadline import current_deadline, seconds_left
from curae_lifecycle.stores.django.socket_watchdog import WATCHDOG
from curae_lifecycle.stores.sql.failures import (
    is_conflict,
    is_read_only,
    is_transient,
    to_store_error,
)
from curae_lifecycle.stores.sql.replication import CONFIRM, Replication
from curae_lifecycle.stores.sql.session_settings import DEFAULT_TIMEOUT, GRACE
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement, combine_in_batches

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.abc import PQGen

_Result = TypeVar("_Result")

SETTING: Final = "CURAE_LIFECYCLE_DATABASE"
"""The Django setting that holds the key of the database in DATABASES; by default `default`."""

DIALECTS: Final = {"sqlite": Dialect.SQLITE, "postgresql": Dialect.POSTGRESQL}
"""The SQL dialect of each supported database, by the `vendor` of a Django connection to it."""

_SESSION_TIMEOUT: Final = re.compile(
    r"(?:(?<![\w.])|-c)(statement|lock)[_-]timeout="
    r"(?:\\ )*(\d*\.?\d+)(?:\\ )*(us|ms|s|min|h|d)?(?![^\s\\])",
    re.IGNORECASE,
)

_MILLISECONDS: Final = {
    "us": 0.001,
    "ms": 1,
    "": 1,
    "s": 1000,
    "min": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
}
"""The milliseconds of each unit of PostgreSQL's settings."""


def database_alias() -> str:
    """Return the setting `CURAE_LIFECYCLE_DATABASE`, a key of DATABASES; by default `default`."""
    alias: str = getattr(conf.settings, SETTING, DEFAULT_DB_ALIAS)
    return alias


def is_database_of_app(alias: str) -> bool:
    """Return whether `migrate` may create or drop tables in a database.

    With the setting `CURAE_LIFECYCLE_DATABASE`, only the database that it names has the tables.
    Without that setting, every database on which `migrate` is run has the tables.

    Args:
        alias: A key of DATABASES.
    """
    return alias == getattr(conf.settings, SETTING, alias)


class DjangoDatabase:
    """A database that runs the statements of a `SqlStore` on Django's connections, one per thread.

    On PostgreSQL, an attempt to connect cannot be interrupted. So no connection is attempted if the
    time left for the request is less than `connect_timeout` in OPTIONS. Set `connect_timeout` to 2,
    since `/readyz` has three seconds. Set `seconds` of the `RetryPolicy`, the time for all attempts
    at a request, to more than `connect_timeout`.

    Args:
        alias: A key of DATABASES; `None` for the Django setting `CURAE_LIFECYCLE_DATABASE`, by
            default `default`.

    Raises:
        ArgumentError: The database is neither SQLite nor PostgreSQL.
    """

    def __init__(self, alias: str | None = None) -> None:
        self._alias = database_alias() if alias is None else alias
        vendor = self._connection.vendor
        if vendor not in DIALECTS:
            raise ArgumentError(f"DATABASES[{self._alias!r}]", "an SQLite or PostgreSQL database")
        self._dialect = DIALECTS[vendor]
        options: Mapping[str, object] = self._connection.settings_dict["OPTIONS"]
        self._wait = configured_timeout(self._dialect, options)
        self._connect_wait = connect_timeout(options)
        self._replication = Replication()

    @property
    def dialect(self) -> Dialect:
        """The SQL dialect of the database: SQLite or PostgreSQL."""
        return self._dialect

    def rows(self, statement: Statement) -> Rows:
        """Run one statement, within the current transaction if there is one; return its rows.

        Raises:
            StoreUnavailableError: A temporary failure, such as a timeout or a lost connection.
        """
        connection = self._connection
        try:
            with self._with_timeouts(connection), connection.cursor() as cursor:
                _run(cursor, statement)
                found: Rows = cursor.fetchall()
        except Error as error:
            self._reraise(connection, error)
        return found

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        """Run statements that create or drop tables.

        They run in the transaction that is open, such as a migration's, or else in a new one.
        """
        with transaction.atomic(self._alias), self._connection.cursor() as cursor:
            for statement in statements:
                _run(cursor, statement)

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one new transaction.

        Returns:
            True if the transaction committed. False if it was rolled back on a conflict: a
            statement did not change the number of rows in its `expected_rows`, a unique index
            refused a row, or the database reported a serialization conflict.

        Raises:
            ArgumentError: A transaction is open already, as with ATOMIC_REQUESTS. Mark the view
                with `transaction.non_atomic_requests`. The transaction of a `django.test.TestCase`
                is allowed. The same error is raised if the connection has autocommit off.
            StoreUnavailableError: A temporary failure, such as a timeout or a lost connection.
        """
        connection = self._connection
        steps = (
            combine_in_batches(statements) if self._dialect is Dialect.POSTGRESQL else statements
        )
        try:
            with ExitStack() as stack:
                stack.enter_context(self._with_timeouts(connection))
                try:
                    stack.enter_context(self._transaction(connection, steps))
                except RuntimeError:
                    # Django raises a RuntimeError for a durable block within a transaction.
                    allowed = "in no transaction, as it is without ATOMIC_REQUESTS"
                    raise ArgumentError(f"DATABASES[{self._alias!r}]", allowed) from None
                return self._run_all(stack.enter_context(connection.cursor()), steps)
        except Error as error:
            if is_conflict(self._dialect, error.__cause__ or error):
                return False
            self._reraise(connection, error)

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self._alias]

    @contextmanager
    def _with_timeouts(self, connection: BaseDatabaseWrapper) -> Generator[None, None, None]:
        # Connects if needed, and limits every wait within the block.
        if self._dialect is Dialect.SQLITE:
            connection.ensure_connection()
            with _with_lock_timeout(connection, self._wait):
                yield
            return
        with self._watched(connection):
            connection.close_if_health_check_failed()
        if connection.connection is None:
            self._connect(connection)
        with self._watched(connection), self._replication_checked(connection):
            yield

    def _connect(self, connection: BaseDatabaseWrapper) -> None:
        if seconds_left(self._connect_wait) < self._connect_wait:
            # The attempt to connect could outlast the deadline and cannot be interrupted.
            raise StoreUnchangedError("no time was left to connect")

        with ExitStack() as stack:

            def init_watched() -> None:
                stack.enter_context(self._watched(connection))
                type(connection).init_connection_state(connection)

            # After the login Django may run statements, such as SET ROLE, which need a limit, too.
            vars(connection)["init_connection_state"] = init_watched
            stack.callback(vars(connection).pop, "init_connection_state")
            connection.ensure_connection()

    def _watched(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        driver = connection.connection
        if self._dialect is Dialect.SQLITE or driver is None or driver.closed:
            return nullcontext()
        until = min(monotonic() + self._wait + GRACE, current_deadline())
        return WATCHDOG.watch(driver.fileno(), until)

    @contextmanager
    def _replication_checked(self, connection: BaseDatabaseWrapper) -> Generator[None, None, None]:
        # A commit that a failover might lose is neither read nor reported as done.
        replication, driver = self._replication, connection.connection
        driver.add_notice_handler(replication.handle_notice)
        driver.wait = partial(_wait_without_cancel, driver)
        try:
            if replication.is_in_doubt and connection.get_autocommit():
                with replication.confirm_earlier_commits(), connection.cursor() as cursor:
                    cursor.execute(CONFIRM)
            yield
            replication.check()
        finally:
            del driver.wait
            driver.remove_notice_handler(replication.handle_notice)

    def _transaction(
        self, connection: BaseDatabaseWrapper, statements: Sequence[Statement]
    ) -> transaction.Atomic | nullcontext[None]:
        if not connection.in_atomic_block:
            if not connection.get_autocommit():
                raise ArgumentError(f"DATABASES[{self._alias!r}]", "in autocommit mode")
            if self._dialect is Dialect.POSTGRESQL and len(statements) == 1:
                # A single statement is a transaction by itself.
                return nullcontext()
        return transaction.atomic(self._alias, durable=True)

    def _run_all(self, cursor: CursorWrapper, statements: Sequence[Statement]) -> bool:
        for statement in statements:
            _run(cursor, statement)
            if statement.expected_rows not in {None, cursor.rowcount}:
                transaction.set_rollback(True, self._alias)
                return False
        return True

    def _reraise(self, connection: BaseDatabaseWrapper, error: Error) -> NoReturn:
        # The cause of Django's error is the driver's error.
        original = error.__cause__ or error
        # Django checks the connection only when the request ends, which is too late for a retry.
        if not connection.in_atomic_block:
            with self._watched(connection):
                if connection.connection is not None and is_read_only(self._dialect, original):
                    # Django's pool would reuse the driver's connection if it were open.
                    connection.connection.close()
                connection.close_if_unusable_or_obsolete()
        if is_transient(self._dialect, original):
            raise to_store_error(self._dialect, original) from None
        raise error


def _wait_without_cancel(driver: Connection, gen: PQGen[_Result], interval: float = 0.1) -> _Result:
    from curae_lifecycle.stores.sql.postgresql import (  # noqa: PLC0415 - needed for PostgreSQL alone
        wait_without_cancel,
    )

    return wait_without_cancel(gen, driver.pgconn, interval)


def configured_timeout(dialect: Dialect, options: Mapping[str, object]) -> float:
    """Return the timeout that OPTIONS sets for SQLite locks or PostgreSQL statements, in seconds.

    Without a timeout in OPTIONS, this is 5 seconds for SQLite and 2 seconds for PostgreSQL.

    Args:
        dialect: The database's dialect.
        options: OPTIONS of the database in Django's settings.
    """
    if dialect is Dialect.SQLITE:
        # 5 seconds is the default of Python's sqlite3.
        return float(str(options.get("timeout", 5.0)))
    return session_timeout("statement", options) or DEFAULT_TIMEOUT


def session_timeout(kind: Literal["statement", "lock"], options: Mapping[str, object]) -> float:
    """Return a timeout that OPTIONS sets for a PostgreSQL session, in seconds; 0 if it sets none.

    Args:
        kind: `statement` for `statement_timeout`, or `lock` for `lock_timeout`.
        options: OPTIONS of the database in Django's settings.
    """
    found: list[tuple[str, str, str]] = _SESSION_TIMEOUT.findall(str(options.get("options", "")))
    numbers = [(number, unit) for name, number, unit in found if name.lower() == kind]
    # PostgreSQL uses the last one, in whole milliseconds. A timeout of 0 means none.
    number, unit = numbers[-1] if numbers else ("0", "")
    return round(float(number) * _MILLISECONDS[unit.lower()]) / 1000


def connect_timeout(options: Mapping[str, object]) -> float:
    """Return `connect_timeout` of a PostgreSQL database, in seconds; 0 if OPTIONS sets none.

    Args:
        options: OPTIONS of the database in Django's settings.
    """
    return max(0.0, float(str(options.get("connect_timeout") or 0)))


def pool_timeout(options: Mapping[str, object]) -> float:
    """Return how long a request may wait for a connection of Django's own pool, in seconds.

    This is 0 without a pool.

    Args:
        options: OPTIONS of the database in Django's settings.
    """
    pool = options.get("pool")
    if not pool:
        return 0.0
    given: Mapping[str, object] = {}
    if isinstance(pool, Mapping):
        given = cast("Mapping[str, object]", pool)
    # 30 seconds is the default of psycopg_pool.
    return float(str(given.get("timeout", 30.0)))


@contextmanager
def _with_lock_timeout(connection: BaseDatabaseWrapper, wait: float) -> Generator[None, None, None]:
    left = seconds_left(wait)
    if left == wait:
        yield
        return
    set_timeout = "PRAGMA busy_timeout = {}"
    connection.connection.execute(set_timeout.format(int(left * 1000)))
    try:
        yield
    finally:
        # The project's own code uses this connection too.
        connection.connection.execute(set_timeout.format(int(wait * 1000)))


def _run(cursor: CursorWrapper, statement: Statement) -> None:
    cursor.execute(statement.as_format, statement.values)
