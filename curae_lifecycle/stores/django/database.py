"""Statements on the connection that Django has for this thread.

The laws of this module: **a commit is a transaction of its own**, and where it cannot be one it is
refused, since what is not as it was read must be undone without what surrounds it; **a connection
that was lost is not used again**; **nothing waits for ever**: on PostgreSQL an answer is waited for
no longer than its `statement_timeout` and a moment, though the server hang.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from time import monotonic
from typing import Final, NoReturn

from django import conf
from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.contract import StoreUnchangedError
from curae_lifecycle.stores.deadline import current_deadline, seconds_left
from curae_lifecycle.stores.django.socket_watchdog import WATCHDOG
from curae_lifecycle.stores.sql.failures import is_conflict, is_transient, to_store_error
from curae_lifecycle.stores.sql.replication import CONFIRM, Replication
from curae_lifecycle.stores.sql.statement import Dialect, Statement, combine_in_batches
from curae_lifecycle.stores.sql.store import Rows

SETTING: Final = "CURAE_LIFECYCLE_DATABASE"
"""The setting that names the database, one of DATABASES; without it, `default`."""

DIALECTS: Final = {"sqlite": Dialect.SQLITE, "postgresql": Dialect.POSTGRESQL}
"""What is spoken with each vendor of a database, by Django's word for it."""

DEFAULT_TIMEOUT: Final = 2.0
"""Seconds that PostgreSQL is waited for where the settings name no `statement_timeout`."""

GRACE: Final = 0.25
"""How much longer is waited than the server does, whose own answer says more."""

_STATEMENT_TIMEOUT: Final = re.compile(r"\bstatement_timeout *= *'?([1-9]\d*)(ms|s)?\b")


def database_alias() -> str:
    """The alias of the database that the settings name."""
    alias: str = getattr(conf.settings, SETTING, DEFAULT_DB_ALIAS)
    return alias


class DjangoDatabase:
    """Runs statements on Django's own connection; each thread has one.

    Nobody can end a wait for a new connection, so none is begun that might last longer than whoever
    asks waits: its patience must be longer than the `connect_timeout` of OPTIONS.

    Args:
        alias: Which of DATABASES it is; `None` for the one that the settings name.
    """

    def __init__(self, alias: str | None = None) -> None:
        self._alias = database_alias() if alias is None else alias
        vendor = self._connection.vendor
        if vendor not in DIALECTS:
            raise ArgumentError(f"DATABASES[{self._alias!r}]", "SQLite or PostgreSQL")
        self._dialect = DIALECTS[vendor]
        options: Mapping[str, object] = self._connection.settings_dict["OPTIONS"]
        self._wait = configured_timeout(self._dialect, options)
        self._connect_wait = float(str(options.get("connect_timeout", 0)))
        self._replication = Replication()

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        return self._dialect

    def rows(self, statement: Statement) -> Rows:
        """Run one statement by itself, and give its rows."""
        connection = self._connection
        try:
            with self._bounded(connection), connection.cursor() as cursor:
                _run(cursor, statement)
                found: Rows = cursor.fetchall()
        except Error as error:
            self._failed(connection, error)
        return found

    def run_ddl(self, statements: Sequence[Statement]) -> None:
        """Run statements that make tables, in one transaction; in a migration, with it."""
        with transaction.atomic(self._alias), self._connection.cursor() as cursor:
            for statement in statements:
                _run(cursor, statement)

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction; false where one did not change what it must.

        Raises:
            ArgumentError: A transaction is open, as with ATOMIC_REQUESTS: mark the view with
                `transaction.non_atomic_requests`. One of `django.test.TestCase` may be. Or the
                connection does not commit by itself.
        """
        connection = self._connection
        steps = (
            combine_in_batches(statements) if self._dialect is Dialect.POSTGRESQL else statements
        )
        try:
            with ExitStack() as stack:
                stack.enter_context(self._bounded(connection))
                try:
                    stack.enter_context(self._own_transaction(connection, steps))
                except RuntimeError:
                    # Django's word for it; of the rules' mistakes it is one like any other.
                    wanted = "in no transaction, as it is without ATOMIC_REQUESTS"
                    raise ArgumentError(f"DATABASES[{self._alias!r}]", wanted) from None
                return self._change(stack.enter_context(connection.cursor()), steps)
        except Error as error:
            if is_conflict(self._dialect, error.__cause__ or error):
                return False
            self._failed(connection, error)

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self._alias]

    @contextmanager
    def _bounded(self, connection: BaseDatabaseWrapper) -> Generator[None, None, None]:
        # Connected, and nothing waits any longer than it may.
        if self._dialect is Dialect.SQLITE:
            connection.ensure_connection()
            with _locks_bounded(connection, self._wait):
                yield
            return
        with self._watched(connection):
            connection.close_if_health_check_failed()
        if connection.connection is None and seconds_left(self._connect_wait) < self._connect_wait:
            # Nobody would end that wait in time.
            raise StoreUnchangedError("no time was left to connect")
        connection.ensure_connection()
        with self._watched(connection), self._heard(connection):
            yield

    def _watched(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        if self._dialect is Dialect.SQLITE or connection.connection is None:
            return nullcontext()
        if connection.connection.closed:
            return nullcontext()
        until = min(monotonic() + self._wait + GRACE, current_deadline())
        return WATCHDOG.watch(connection.connection.fileno(), until)

    @contextmanager
    def _heard(self, connection: BaseDatabaseWrapper) -> Generator[None, None, None]:
        # What is not known to last is not read, and is not called done.
        replication, heard = self._replication, connection.connection
        heard.add_notice_handler(replication.handle_notice)
        try:
            if replication.is_in_doubt and connection.get_autocommit():
                doubts = replication.cancelled_waits
                with connection.cursor() as cursor:
                    cursor.execute(CONFIRM)
                replication.settle(doubts)
            yield
            replication.check()
        finally:
            heard.remove_notice_handler(replication.handle_notice)

    def _own_transaction(
        self, connection: BaseDatabaseWrapper, statements: Sequence[Statement]
    ) -> transaction.Atomic | nullcontext[None]:
        if not connection.in_atomic_block:
            if not connection.get_autocommit():
                raise ArgumentError(f"DATABASES[{self._alias!r}]", "in autocommit mode")
            if self._dialect is Dialect.POSTGRESQL and len(statements) == 1:
                # It is a transaction by itself.
                return nullcontext()
        return transaction.atomic(self._alias, durable=True)

    def _change(self, cursor: CursorWrapper, statements: Sequence[Statement]) -> bool:
        for statement in statements:
            _run(cursor, statement)
            if statement.expected_rows not in {None, cursor.rowcount}:
                transaction.set_rollback(True, self._alias)
                return False
        return True

    def _failed(self, connection: BaseDatabaseWrapper, error: Error) -> NoReturn:
        # Django would look at it only when the request is over, and there are more attempts.
        if not connection.in_atomic_block:
            with self._watched(connection):
                connection.close_if_unusable_or_obsolete()
        # Django's error has the driver's own as its cause.
        original = error.__cause__ or error
        if is_transient(self._dialect, original):
            raise to_store_error(self._dialect, original) from None
        raise error


def configured_timeout(dialect: Dialect, options: Mapping[str, object]) -> float:
    """How many seconds a lock of SQLite or a statement of PostgreSQL is waited for, by OPTIONS.

    Args:
        dialect: Which database it is.
        options: OPTIONS of Django's settings.
    """
    if dialect is Dialect.SQLITE:
        # Python's own, where nothing is said.
        return float(str(options.get("timeout", 5.0)))
    found = _STATEMENT_TIMEOUT.search(str(options.get("options", "")))
    if found is None:
        return DEFAULT_TIMEOUT
    return int(found[1]) / (1 if found[2] == "s" else 1000)


@contextmanager
def _locks_bounded(connection: BaseDatabaseWrapper, wait: float) -> Generator[None, None, None]:
    left = seconds_left(wait)
    if left == wait:
        yield
        return
    wait_for = "PRAGMA busy_timeout = {}"
    connection.connection.execute(wait_for.format(int(left * 1000)))
    try:
        yield
    finally:
        # The connection is everybody's.
        connection.connection.execute(wait_for.format(int(wait * 1000)))


def _run(cursor: CursorWrapper, statement: Statement) -> None:
    cursor.execute(statement.as_format, statement.values)
