"""A store on SQLAlchemy Core, for SQLite and PostgreSQL: load by key, compare, set.

The law of this module: **every write compares what it replaces**, in the transaction of the
request. A comparison that fails raises `Conflict`: roll back, load again, decide again.

| constraint | keeps |
| --- | --- |
| `connection.id` | one value per id (law 1) |
| `connection.predecessor_id`, unique | one successor per connection (laws 6 and 7) |
| `binding` by its coordinate | one user per coordinate (law 8) |
| `record` by API key, its owner and key | one execution per key (laws 9 and 12) |
| `rate` by owner and policy | ten initiates a minute (law 10) |
| every `UPDATE ... AND document = :before` | nobody writes over what they did not read |

Values are kept as the JSON that `curae_lifecycle.dump` gives, beside the columns that are
searched for.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, IntegrityError
from store import (
    Conflict,
    Texts,
    connection_columns,
    coordinate_key,
    digest,
    format_value,
    line_from,
    outbox_rows,
    rate_key,
    record_key,
)

from curae_lifecycle import (
    ApiKey,
    Caller,
    ConnectionId,
    Environment,
    FactSnapshot,
    SessionId,
    Snapshot,
)
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.idempotency import Record, RecordKey, record_expires_at
from curae_lifecycle.rules.ratelimit import RateState
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    ApiKeyId,
    AppId,
    Coordinate,
    CustomerAccountId,
    microseconds,
)
from curae_lifecycle.service.changes import (
    BindingWrite,
    Changes,
    ConnectionWrite,
    RateKey,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.service.facts.fact import FactNeeds
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.codec import Storable

__all__ = ["METADATA", "Conflict", "SqlStore", "is_passing", "prepare"]

METADATA: Final = sa.MetaData()

CALLERS: Final = sa.Table(
    "caller",
    METADATA,
    # The digest, never the key: whoever reads the database cannot call the API.
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("api_key_id", sa.Text, nullable=False),
    sa.Column("app_id", sa.Text, nullable=False),
    sa.Column("customer_account_id", sa.String(36), nullable=False),
    sa.Column("environment", sa.String(4), nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
)
CONNECTIONS: Final = sa.Table(
    "connection",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("predecessor_id", sa.String(36), unique=True),
    sa.Column("root_id", sa.String(36), nullable=False),
    # Its place in the chain: the head is found by it, however long the chain is.
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("environment", sa.String(4), nullable=False),
    sa.Column("app_id", sa.Text, nullable=False),
    sa.Column("customer_account_id", sa.String(36), nullable=False),
    sa.Column("app_user_id", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Index("connection_chain", "root_id", "position", unique=True),
    sa.Index("connection_user", "customer_account_id", "app_user_id"),
)
SESSIONS: Final = sa.Table(
    "connect_session",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
)
BINDINGS: Final = sa.Table(
    "binding",
    METADATA,
    sa.Column("environment", sa.String(4), primary_key=True),
    sa.Column("app_id", sa.Text, primary_key=True),
    sa.Column("customer_account_id", sa.String(36), primary_key=True),
    sa.Column("app_user_id", sa.Text, primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
)
RECORDS: Final = sa.Table(
    "record",
    METADATA,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    # An answer can hold the URL of a hosted page: encrypt this column, or keep a reference.
    sa.Column("document", sa.Text, nullable=False),
)
RATES: Final = sa.Table(
    "rate",
    METADATA,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("policy", sa.Text, primary_key=True),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("document", sa.Text, nullable=False),
)
OUTBOX: Final = sa.Table(
    "outbox",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)


PAGES: Final = sa.Table(
    "page",
    METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("subject", sa.Text, nullable=False, unique=True),
)


def prepare(engine: sa.Engine) -> None:
    """Make an engine's transactions what this store needs.

    SQLite must take its write lock when a transaction begins, since one that reads first and
    writes later is refused in the middle. PostgreSQL needs nothing: under its own default, READ
    COMMITTED, an update waits for whoever is writing the same row and then compares.
    """
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", _take_the_write_lock)


def create_tables(connection: sa.Connection) -> None:
    """Make the tables where they are missing, one worker after the other.

    PostgreSQL lets two that start at the same time both find none, and refuses one of them.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_TABLES_LOCK)))
    METADATA.create_all(connection)


_TABLES_LOCK: Final = 0x63757261
"""Any number that no other application on the same database locks."""


def _leave_transactions_to_us(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA busy_timeout = 30000")
    cursor.close()


def _take_the_write_lock(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def is_passing(error: Exception) -> bool:
    """Whether a failed transaction may fare better when it is run again.

    That is a conflict; on PostgreSQL a deadlock or a serialization failure; on SQLite a lock
    that somebody else held for too long.
    """
    if not isinstance(error, DBAPIError):
        return isinstance(error, Conflict)
    state = getattr(error.orig, "sqlstate", None)
    return state in {"40001", "40P01"} or "database is locked" in str(error.orig)


class SqlStore:
    """One transaction's view of the database.

    Args:
        connection: In a transaction, which whoever opened it commits or rolls back.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._texts = Texts()

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        """Let an API key stand for a caller; registering again replaces."""
        digest = api_key.digest()
        self._connection.execute(sa.delete(CALLERS).where(CALLERS.c.digest == digest))
        self._connection.execute(
            sa.insert(CALLERS).values(
                digest=digest,
                api_key_id=caller.api_key_id,
                app_id=caller.app_id,
                customer_account_id=caller.customer_account_id,
                environment=caller.environment.value,
                scopes=json.dumps(sorted(caller.scopes)),
            )
        )

    def caller(self, api_key: ApiKey | None) -> Caller | None:
        """Whom an API key stands for; `None` for no key or an unknown one."""
        if api_key is None:
            return None
        row = self._connection.execute(
            sa.select(CALLERS).where(CALLERS.c.digest == api_key.digest())
        ).one_or_none()
        if row is None:
            return None
        return Caller(
            ApiKeyId(row.api_key_id),
            AppId(row.app_id),
            CustomerAccountId(row.customer_account_id),
            Environment(row.environment),
            frozenset(json.loads(row.scopes)),
        )

    def load(self, asked: Needs) -> Snapshot:
        """Everything that a call needs."""
        connection, successor, head = self._line(asked.connection)
        return Snapshot(
            record=self._record(asked.record),
            buckets=tuple([self._rate(key) for key in asked.buckets]),
            limit=self._rate(asked.limit) if asked.limit else None,
            connection=connection,
            successor=successor,
            head=head,
            binding=self._binding(asked.binding),
        )

    def load_fact(self, asked: FactNeeds) -> FactSnapshot:
        """Everything that a fact concerns."""
        connection, successor, head = self._line(asked.connection)
        chain = self._chain(asked.chain)
        session = self._session(asked.session)
        return FactSnapshot(
            connection=chain[0] if chain else connection,
            successor=successor,
            head=head,
            following=chain[1:],
            session=session,
            binding=self._binding(session.coordinate if session else asked.binding),
            connections=self._connections(asked.connections),
        )

    def store(self, changes: Changes) -> None:
        """Compare and set every write, and put effects and events into the outbox.

        Raises:
            Conflict: Something is no longer as it was read; roll back.
        """
        try:
            for write in changes.writes:
                self._write(write)
        except IntegrityError:
            raise Conflict from None
        rows = outbox_rows(changes)
        if rows:
            self._connection.execute(sa.insert(OUTBOX), rows)

    def purge(self, now: datetime) -> int:
        """Drop the records and rate limits whose deadline is well over; return how many."""
        dropped = 0
        # Not at the deadline itself: another worker's clock may be behind.
        past = microseconds(now) - CLOCK_TOLERANCE
        for table in (RECORDS, RATES):
            over = sa.delete(table).where(table.c.expires_at <= past)
            dropped += self._connection.execute(over).rowcount
        return dropped

    def open_page(self, url: str, subject: str) -> None:
        """Let a hosted page's URL stand for what it is about; an earlier URL of that dies."""
        self._connection.execute(sa.delete(PAGES).where(PAGES.c.subject == subject))
        self._connection.execute(sa.insert(PAGES).values(digest=digest(url), subject=subject))

    def page(self, url: str) -> str | None:
        """What a hosted page is about; `None` for a URL that is unknown or dead."""
        found = sa.select(PAGES.c.subject).where(PAGES.c.digest == digest(url))
        return self._connection.execute(found).scalar_one_or_none()

    # --- Loading -----------------------------------------------------------------------------

    def _line(
        self, connection_id: ConnectionId | None
    ) -> tuple[Connection | None, Connection | None, Connection | None]:
        # The connection, its successor and the head of its chain, in one statement, so they are
        # of one moment.
        if connection_id is None:
            return None, None, None
        root = sa.select(CONNECTIONS.c.root_id).where(CONNECTIONS.c.id == connection_id)
        chain = CONNECTIONS.alias()
        head = (
            sa.select(chain.c.id)
            .where(chain.c.root_id == root.scalar_subquery())
            .order_by(chain.c.position.desc())
            .limit(1)
        )
        found = self._found(
            sa.or_(
                CONNECTIONS.c.id == connection_id,
                CONNECTIONS.c.predecessor_id == connection_id,
                CONNECTIONS.c.id == head.scalar_subquery(),
            )
        )
        return line_from(found)

    def _chain(self, connection_id: ConnectionId | None) -> tuple[Connection, ...]:
        # The connection and whatever follows it, in one statement.
        if connection_id is None:
            return ()
        named = CONNECTIONS.alias()
        follows = (
            (named.c.id == connection_id)
            & (named.c.root_id == CONNECTIONS.c.root_id)
            & (named.c.position <= CONNECTIONS.c.position)
        )
        return self._found(sa.exists().where(follows))

    def _connections(self, coordinate: Coordinate | None) -> tuple[Connection, ...]:
        if coordinate is None:
            return ()
        return self._found(sa.and_(*_is(CONNECTIONS, coordinate_key(coordinate))))

    def _found(self, where: sa.ColumnElement[bool]) -> tuple[Connection, ...]:
        documents = sa.select(CONNECTIONS.c.document).where(where).order_by(CONNECTIONS.c.position)
        rows = self._connection.execute(documents).scalars()
        return tuple([self._texts.parse(Connection, row) for row in rows])

    def _session(self, session_id: SessionId | None) -> CuraeConnectSession | None:
        if session_id is None:
            return None
        row = self._document(SESSIONS, id=session_id)
        return None if row is None else self._texts.parse(CuraeConnectSession, row)

    def _binding(self, coordinate: Coordinate | None) -> LimitedAccountAppBinding | None:
        if coordinate is None:
            return None
        row = self._document(BINDINGS, **coordinate_key(coordinate))
        return None if row is None else self._texts.parse(LimitedAccountAppBinding, row)

    def _record(self, key: RecordKey | None) -> Record | None:
        if key is None:
            return None
        row = self._document(RECORDS, **record_key(key))
        return None if row is None else self._texts.parse(Record, row)

    def _rate(self, key: RateKey) -> RateState | None:
        row = self._document(RATES, **rate_key(key))
        return None if row is None else self._texts.parse_rate(key, row)

    def _document(self, table: sa.Table, **key: str) -> str | None:
        found = self._connection.execute(sa.select(table.c.document).where(*_is(table, key)))
        return found.scalar_one_or_none()

    # --- Storing -----------------------------------------------------------------------------

    def _write(self, write: Write) -> None:
        match write:
            case ConnectionWrite(before, after):
                self._set(CONNECTIONS, {"id": after.id}, connection_columns(after), before, after)
            case SessionWrite(before, after):
                self._set(SESSIONS, {"id": after.id}, {}, before, after)
            case BindingWrite(before, after):
                self._set(BINDINGS, coordinate_key(after.coordinate), {}, before, after)
            case RecordWrite(key, before, after):
                until = {"expires_at": microseconds(record_expires_at(after))}
                self._set(RECORDS, record_key(key), until, before, after)
            case RateWrite(key, _, before, after):
                until = {"expires_at": microseconds(write.expires_at)}
                self._set(RATES, rate_key(key), until, before, after)

    def _set(
        self,
        table: sa.Table,
        key: dict[str, str],
        columns: Mapping[str, str | int | None],
        before: Storable | None,
        after: Storable,
    ) -> None:
        values = {**columns, "document": format_value(after)}
        if before is None:
            self._connection.execute(sa.insert(table).values(**key, **values))
            return
        unchanged = (*_is(table, key), table.c.document == self._texts.of(before))
        update = sa.update(table).where(*unchanged).values(**values)
        if self._connection.execute(update).rowcount != 1:
            raise Conflict


def _is(table: sa.Table, key: dict[str, str]) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in key.items()]
