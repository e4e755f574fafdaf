"""A custom operation and a custom fact, with their own members."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.triggers import revoke
from curae_lifecycle.rules.values import ConnectionId, parse_opaque
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.members import CONNECTION_ID, FACT_CONNECTION_ID, HAPPENED_AT, Member
from curae_lifecycle.service.operations import operation
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.snapshot import Snapshot

LABEL: Final = Member("label", lambda value: parse_opaque("label", value))
FORM: Final = Member("formNumber", lambda value: parse_opaque("formNumber", value))


@attrs.frozen
class ConnectionRelabelled(operation.Reply):
    """A reply with one member of every kind, some of which no other reply has."""

    connection: Connection
    label: str
    relabelled_at: datetime
    forgotten_at: datetime | None
    by: Actor
    times: int


@attrs.frozen
class Relabel(operation.ConnectionOperation):
    connection_id: ConnectionId
    label: str

    reply = ConnectionRelabelled
    rule = operation.OperationRule(
        name="relabel",
        why="[O] An app may call a connection what it likes.",
        summary="Give a connection another label",
        method="POST",
        path=f"{operation.BASE_PATH}/connections/{{connectionId}}:relabel",
        scope=CONNECTION_WRITE,
        key=operation.KeyUse.NEEDED,
        status=202,
        ids=(CONNECTION_ID,),
        body=(LABEL,),
    )

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        reply = ConnectionRelabelled(
            connection=context.connection,
            label=self.label,
            relabelled_at=context.now,
            forgotten_at=None,
            by=Actor.APP,
            times=1,
        )
        return operation.Ruling(reply)


EIGHT: Final[tuple[type[operation.Operation], ...]] = (*OPERATIONS, Relabel)


@attrs.frozen
class ConsentWithdrawn(fact.ConnectionFact):
    """A fact: the patient withdrew consent on paper."""

    connection_id: ConnectionId
    form_number: str
    happened_at: datetime | None = None

    kind = "connection.withdraw_consent"
    members = (FACT_CONNECTION_ID, FORM, HAPPENED_AT)

    def judge(self, snapshot: Snapshot, now: datetime) -> fact.FactAnswer:
        connection = fact.require_connection(snapshot)
        answer = revoke(
            connection, now, actor=Actor.PATIENT, happened_at=self.happened_at, era=None
        )
        return fact.to_connection_fact_answer(EventKind.CONNECTION_REVOKED, connection, answer)
