"""Statements on the connection that Django has for this thread.

The laws of this module: **a commit is a transaction of its own**, and where it cannot be one it is
refused, since what is not as it was read must be undone without what surrounds it; **a connection
that was lost is not used again**.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from typing import Final, NoReturn

from django import conf
from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.stores.sql.failures import is_overtaken, is_passing, unavailable
from curae_lifecycle.stores.sql.statement import Dialect, Statement, as_few
from curae_lifecycle.stores.sql.store import Rows

SETTING: Final = "CURAE_LIFECYCLE_DATABASE"
"""The setting that names the database, one of DATABASES; without it, `default`."""

DIALECTS: Final = {"sqlite": Dialect.SQLITE, "postgresql": Dialect.POSTGRESQL}
"""What is spoken with each vendor of a database, by Django's word for it."""


def database_alias() -> str:
    """The alias of the database that the settings name."""
    alias: str = getattr(conf.settings, SETTING, DEFAULT_DB_ALIAS)
    return alias


class DjangoDatabase:
    """Runs statements on Django's own connection; each thread has one.

    Args:
        alias: Which of DATABASES it is; `None` for the one that the settings name.
    """

    def __init__(self, alias: str | None = None) -> None:
        self._alias = database_alias() if alias is None else alias
        vendor = self._connection.vendor
        if vendor not in DIALECTS:
            raise ArgumentError(f"DATABASES[{self._alias!r}]", "SQLite or PostgreSQL")
        self._dialect = DIALECTS[vendor]

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        return self._dialect

    def rows(self, statement: Statement) -> Rows:
        """Run one statement by itself, and give its rows."""
        connection = self._connection
        try:
            with connection.cursor() as cursor:
                _run(cursor, statement)
                found: Rows = cursor.fetchall()
        except Error as error:
            self._failed(connection, error)
        return found

    def create(self, statements: Sequence[Statement]) -> None:
        """Run statements that make tables, in one transaction; in a migration, with it."""
        with transaction.atomic(self._alias), self._connection.cursor() as cursor:
            for statement in statements:
                _run(cursor, statement)

    def change(self, statements: Sequence[Statement]) -> bool:
        """Run statements in one transaction; false where one did not change what it must.

        Raises:
            ArgumentError: A transaction is open, as with ATOMIC_REQUESTS: mark the view with
                `transaction.non_atomic_requests`. One of `django.test.TestCase` may be. Or the
                connection does not commit by itself.
        """
        connection = self._connection
        steps = as_few(statements) if self._dialect is Dialect.POSTGRESQL else statements
        try:
            with ExitStack() as stack:
                try:
                    stack.enter_context(self._own_transaction(connection, steps))
                except RuntimeError:
                    # Django's word for it; of the rules' mistakes it is one like any other.
                    wanted = "in no transaction, as it is without ATOMIC_REQUESTS"
                    raise ArgumentError(f"DATABASES[{self._alias!r}]", wanted) from None
                return self._change(stack.enter_context(connection.cursor()), steps)
        except Error as error:
            if is_overtaken(self._dialect, error.__cause__ or error):
                return False
            self._failed(connection, error)

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self._alias]

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
            if statement.rows not in {None, cursor.rowcount}:
                transaction.set_rollback(True, self._alias)
                return False
        return True

    def _failed(self, connection: BaseDatabaseWrapper, error: Error) -> NoReturn:
        # Django would look at it only when the request is over, and there are more attempts.
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        # Django's error has the driver's own as its cause.
        original = error.__cause__ or error
        if is_passing(self._dialect, original):
            raise unavailable(self._dialect, original) from None
        raise error


def _run(cursor: CursorWrapper, statement: Statement) -> None:
    cursor.execute(statement.as_format, statement.values)
