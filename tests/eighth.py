"""An operation and a fact that the package does not have, with members of their own."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Final

import attrs

from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.triggers import revoke
from curae_lifecycle.rules.values import ConnectionId, parse_opaque
from curae_lifecycle.service.changes import EventKind
from curae_lifecycle.service.facts.fact import (
    Fact,
    FactAnswer,
    FactNeeds,
    FactSnapshot,
    moved_connection,
    the_connection,
)
from curae_lifecycle.service.members import (
    CONNECTION_ID,
    HAPPENED_AT,
    KNOWN_CONNECTION,
    Given,
    Member,
)
from curae_lifecycle.service.operations.operation import (
    BASE_PATH,
    Asked,
    KeyUse,
    Operation,
    OperationRule,
    Reply,
    Ruling,
)
from curae_lifecycle.service.operations.registry import OPERATIONS

LABEL: Final = Member("label", lambda value: parse_opaque("label", value))
FORM: Final = Member("formNumber", lambda value: parse_opaque("formNumber", value))


@attrs.frozen
class ConnectionRelabelled(Reply):
    """One member of every kind that the wire knows and no other reply has."""

    connection: Connection
    label: str
    relabelled_at: datetime
    forgotten_at: datetime | None
    by: Actor
    times: int


@attrs.frozen
class Relabel(Operation):
    connection_id: ConnectionId
    label: str

    reply: ClassVar = ConnectionRelabelled
    rule: ClassVar = OperationRule(
        name="relabel",
        why="[O] An app may call a connection what it likes.",
        summary="Give a connection another label",
        method="POST",
        path=f"{BASE_PATH}/connections/{{connectionId}}:relabel",
        scope=CONNECTION_WRITE,
        key=KeyUse.NEEDED,
        status=202,
        ids=(CONNECTION_ID,),
        body=(LABEL,),
    )

    @classmethod
    def read(cls, given: Given) -> Relabel:
        return cls(given[CONNECTION_ID], given[LABEL])

    def connection(self) -> ConnectionId:
        return self.connection_id

    def decide(self, asked: Asked) -> Ruling:
        reply = ConnectionRelabelled(asked.connection, self.label, asked.now, None, Actor.APP, 1)
        return Ruling(reply)


EIGHT: Final[tuple[type[Operation], ...]] = (*OPERATIONS, Relabel)


@attrs.frozen
class ConsentWithdrawn(Fact):
    """The patient withdrew on paper."""

    connection_id: ConnectionId
    form_number: str
    happened_at: datetime | None = None

    kind: ClassVar = "connection.withdraw_consent"
    members: ClassVar = (KNOWN_CONNECTION, FORM, HAPPENED_AT)

    @classmethod
    def read(cls, given: Given) -> ConsentWithdrawn:
        return cls(given[KNOWN_CONNECTION], given[FORM], given[HAPPENED_AT])

    def needs(self) -> FactNeeds:
        return FactNeeds(connection=self.connection_id)

    def judge(self, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
        connection = the_connection(snapshot)
        answer = revoke(connection, now, actor=Actor.PATIENT, happened_at=self.happened_at)
        return moved_connection(EventKind.CONNECTION_REVOKED, connection, answer)
