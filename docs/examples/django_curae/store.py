"""A store on Django's ORM, for SQLite and PostgreSQL: load by key, compare, set.

The law of this module: **every write compares what it replaces**, in the transaction of the
request. An update that finds nothing to replace raises `Conflict`: roll back, load again, decide
again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeVar

import service
from django.db import Error, IntegrityError, models, transaction
from django.db.models import Exists, OuterRef, Q, Subquery
from store import (
    Conflict,
    Store,
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

from curae_lifecycle import ConnectionId, Environment, FactSnapshot, SessionId, Snapshot
from curae_lifecycle.rules import connection as connections
from curae_lifecycle.rules import credentials, idempotency
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
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
from django_curae.models import (
    Binding,
    Caller,
    Connection,
    ConnectSession,
    Outbox,
    Page,
    Rate,
    Record,
)

Result = TypeVar("Result")
Row = TypeVar("Row", bound=models.Model)


def transact(work: Callable[[Store], Result]) -> Result:
    """Run work in a transaction, and again for as long as somebody else is faster."""
    for _ in range(service.TRIES):
        try:
            # Durable: in somebody else's transaction it could not be rolled back and run again.
            with transaction.atomic(durable=True):
                return work(service.limited(DjangoStore()))
        except (Conflict, Error) as error:
            if not is_passing(error):
                raise
    raise Conflict


def is_passing(error: Exception) -> bool:
    """Whether a failed transaction may fare better when it is run again.

    That is a conflict; on PostgreSQL a deadlock or a serialization failure; on SQLite a lock
    that somebody else held for too long.
    """
    state = getattr(error.__cause__, "sqlstate", None)
    locked = "database is locked" in str(error)
    return isinstance(error, Conflict) or state in {"40001", "40P01"} or locked


class DjangoStore:
    """The view of the database of the transaction that is open in this thread."""

    def __init__(self) -> None:
        self._texts = Texts()

    def register(self, api_key: credentials.ApiKey, caller: credentials.Caller) -> None:
        """Let an API key stand for a caller; registering again replaces."""
        Caller.objects.update_or_create(
            digest=api_key.digest(),
            defaults={
                "api_key_id": caller.api_key_id,
                "app_id": caller.app_id,
                "customer_account_id": caller.customer_account_id,
                "environment": caller.environment.value,
                "scopes": json.dumps(sorted(caller.scopes)),
            },
        )

    def caller(self, api_key: credentials.ApiKey | None) -> credentials.Caller | None:
        """Whom an API key stands for; `None` for no key or an unknown one."""
        if api_key is None:
            return None
        row = Caller.objects.filter(digest=api_key.digest()).first()
        if row is None:
            return None
        return credentials.Caller(
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
        Outbox.objects.bulk_create([Outbox(**row) for row in outbox_rows(changes)])

    def purge(self, now: datetime) -> int:
        """Drop the records and rate limits whose deadline is well over; return how many."""
        # Not at the deadline itself: another worker's clock may be behind.
        over = {"expires_at__lte": microseconds(now) - CLOCK_TOLERANCE}
        return sum(model.objects.filter(**over).delete()[0] for model in (Record, Rate))

    def open_page(self, url: str, subject: str) -> None:
        """Let a hosted page's URL stand for what it is about; an earlier URL of that dies."""
        Page.objects.filter(subject=subject).delete()
        Page.objects.create(digest=digest(url), subject=subject)

    def page(self, url: str) -> str | None:
        """What a hosted page is about; `None` for a URL that is unknown or dead."""
        return Page.objects.filter(digest=digest(url)).values_list("subject", flat=True).first()

    # --- Loading -----------------------------------------------------------------------------

    def _line(
        self, connection_id: ConnectionId | None
    ) -> tuple[
        connections.Connection | None,
        connections.Connection | None,
        connections.Connection | None,
    ]:
        # The connection, its successor and the head of its chain, in one statement, so they are
        # of one moment.
        if connection_id is None:
            return None, None, None
        root = Connection.objects.filter(id=connection_id).values("root_id")[:1]
        head = Connection.objects.filter(root_id=Subquery(root)).order_by("-position").values("id")
        named = Q(id=connection_id) | Q(predecessor_id=connection_id) | Q(id=Subquery(head[:1]))
        return line_from(self._found(named))

    def _chain(self, connection_id: ConnectionId | None) -> tuple[connections.Connection, ...]:
        # The connection and whatever follows it, in one statement.
        if connection_id is None:
            return ()
        named = Connection.objects.filter(
            id=connection_id, root_id=OuterRef("root_id"), position__lte=OuterRef("position")
        )
        return self._found(Q(Exists(named)))

    def _connections(self, coordinate: Coordinate | None) -> tuple[connections.Connection, ...]:
        return () if coordinate is None else self._found(Q(**coordinate_key(coordinate)))

    def _found(self, where: Q) -> tuple[connections.Connection, ...]:
        rows = Connection.objects.filter(where).order_by("position")
        texts = rows.values_list("document", flat=True)
        return tuple([self._texts.parse(connections.Connection, text) for text in texts])

    def _session(self, session_id: SessionId | None) -> CuraeConnectSession | None:
        if session_id is None:
            return None
        row = _document(ConnectSession.objects, id=session_id)
        return None if row is None else self._texts.parse(CuraeConnectSession, row)

    def _binding(self, coordinate: Coordinate | None) -> LimitedAccountAppBinding | None:
        if coordinate is None:
            return None
        row = _document(Binding.objects, **coordinate_key(coordinate))
        return None if row is None else self._texts.parse(LimitedAccountAppBinding, row)

    def _record(self, key: idempotency.RecordKey | None) -> idempotency.Record | None:
        if key is None:
            return None
        row = _document(Record.objects, **record_key(key))
        return None if row is None else self._texts.parse(idempotency.Record, row)

    def _rate(self, key: RateKey) -> RateState | None:
        row = _document(Rate.objects, **rate_key(key))
        return None if row is None else self._texts.parse_rate(key, row)

    # --- Storing -----------------------------------------------------------------------------

    def _write(self, write: Write) -> None:
        match write:
            case ConnectionWrite(before, after):
                columns = connection_columns(after)
                self._set(Connection.objects, {"id": after.id}, columns, before, after)
            case SessionWrite(before, after):
                self._set(ConnectSession.objects, {"id": after.id}, {}, before, after)
            case BindingWrite(before, after):
                self._set(Binding.objects, coordinate_key(after.coordinate), {}, before, after)
            case RecordWrite(key, before, after):
                until = {"expires_at": microseconds(idempotency.record_expires_at(after))}
                self._set(Record.objects, record_key(key), until, before, after)
            case RateWrite(key, _, before, after):
                until = {"expires_at": microseconds(write.expires_at)}
                self._set(Rate.objects, rate_key(key), until, before, after)

    def _set(
        self,
        rows: models.Manager[Row],
        key: dict[str, str],
        columns: Mapping[str, str | int | None],
        before: Storable | None,
        after: Storable,
    ) -> None:
        values = {**columns, "document": format_value(after)}
        if before is None:
            rows.create(**key, **values)
        elif rows.filter(**key, document=self._texts.of(before)).update(**values) != 1:
            raise Conflict


def _document(rows: models.Manager[Row], **key: str) -> str | None:
    return rows.filter(**key).values_list("document", flat=True).first()
