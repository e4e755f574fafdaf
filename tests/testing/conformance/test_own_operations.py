"""Tests of the kit on correct servers whose own operations have rules that no other operation has."""

from __future__ import annotations

from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import ConnectionId, SessionId, parse_opaque
from curae_lifecycle.service.members import Member, parse_connection_id
from curae_lifecycle.service.operations import operation
from curae_lifecycle.service.operations.operation import BASE_PATH, KeyUse, Operation
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.testing.conformance import Server, run
from tests.support.eighth import Relabel
from tests.support.kit import Reference


def served_by(method: str, path: str = ":relabel") -> type[Operation]:
    rule = attrs.evolve(
        Relabel.rule, name=method.lower(), method=method, path=f"{BASE_PATH}/connections{path}"
    )
    return type(method.capitalize(), (Relabel,), {"rule": rule})


@attrs.frozen
class Delete(operation.ConnectionOperation):
    """An operation with a scope that no other operation needs."""

    connection_id: ConnectionId

    reply = Relabel.reply
    rule = attrs.evolve(
        Relabel.rule,
        name="delete",
        method="DELETE",
        path=f"{BASE_PATH}/connections/{{connectionId}}",
        scope="connection:delete",
        key=KeyUse.UNUSED,
        body=None,
    )

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        return Relabel(self.connection_id, "deleted").decide(context)


class Read(Delete):
    """An operation with a scope that the kit gives to a key without the needed scope."""

    rule = attrs.evolve(Delete.rule, name="read", scope="connection:read")


@attrs.frozen
class Shown(operation.Reply):
    """The reply to a read of a session."""

    session: CuraeConnectSession


@attrs.frozen
class ShowSession(operation.Operation):
    """A read of a session: its id is in the query."""

    session_id: SessionId

    reply = Shown
    rule = operation.OperationRule(
        name="show-session",
        why="[O] For a test.",
        summary="Show a session",
        method="GET",
        path=f"{BASE_PATH}/sessions",
        scope=None,
        key=KeyUse.UNUSED,
        status=200,
        query=(Member("sessionId", lambda value: SessionId(parse_connection_id(value))),),
    )

    def needs(self, caller: Caller) -> Needs:
        del caller
        return Needs(session=self.session_id)

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        session = context.snapshot.session
        assert session is not None
        return operation.Ruling(Shown(session))


@attrs.frozen
class ShowPart(ShowSession):
    """A read of a part of a session: both are in the path, and neither is a connection."""

    part: str

    rule = attrs.evolve(
        ShowSession.rule,
        name="show-part",
        path=f"{BASE_PATH}/sessions/{{sessionId}}/{{part}}",
        query=(),
        ids=(*ShowSession.rule.query, Member("part", lambda value: parse_opaque("part", value))),
    )


ID: Final = "/{connectionId}"


@pytest.mark.parametrize(
    "added",
    [
        (served_by("PUT", ID),),
        (served_by("PUT", ID), served_by("PATCH", ID), Delete),
        (Delete,),
        (Read,),
        (ShowSession,),
        (ShowPart,),
    ],
    ids=["PUT", "every method at one path", "own scope", "scope of the kit", "session", "part"],
)
@pytest.mark.parametrize(
    "check",
    [
        *("order.route", "order.scope", "order.body", "order.ownership", "app.twins"),
        *("request.body.malformed-id", "request.ownership"),
        *("permission.granted", "permission.scope-missing", "request.key-unused"),
    ],
)
def test_correct_server_with_custom_operations_passes_each_check(
    check: str, added: tuple[type[Operation], ...]
) -> None:
    operations = (*OPERATIONS, *added)
    server = Reference(Settings(operations=operations))
    report = run(Server(server.send, server.make_key), only=[check], operations=operations)
    assert not report.failed, str(report)
    assert report.passed
