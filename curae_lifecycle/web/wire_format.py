"""Connections, sessions, next actions and problems as they are on the wire.

The law of this module: **a document has exactly the listed members**, with times in RFC 3339
ending in `Z`, UUIDs in lower case, and no internal value.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Final, TypeVar, cast

from curae_lifecycle.rules import values
from curae_lifecycle.rules.connection import NEVER, ONCE, Connection, ConnectionIdentity, standing
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.problems import DEFAULT_TYPE_BASE, Fault, Problem, ProblemCode, type_uri
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import NextAction, format_time, parse_time
from curae_lifecycle.rules.wire_status import (
    STORED_STATUS,
    WIRE_STATUS,
    AuthorizationEvidence,
    WireStatus,
)
from curae_lifecycle.service import members
from curae_lifecycle.service.members import Member, ParsedMembers
from curae_lifecycle.service.operations.operation import Reply
from curae_lifecycle.service.status import status_of
from curae_lifecycle.web.json import DuplicateKeyObject, Json, MalformedError

Wanted = TypeVar("Wanted")


def format_connection(
    connection: Connection, now: datetime, active_spelling: str = WireStatus.ACTIVE
) -> dict[str, Json]:
    """Return a connection as JSON, with the status of its standing at `now` [S].

    Args:
        connection: The connection as it is stored.
        now: The instant whose standing is shown.
        active_spelling: The spelling of ACTIVE: ACTIVE or AUTHORIZED [P].
    """
    identity = connection.identity
    coordinate = identity.coordinate
    return {
        "id": identity.id,
        "customerAccountId": coordinate.customer_account_id,
        "appUserId": coordinate.app_user_id,
        "status": format_status(connection, now, active_spelling),
        "dataPackages": list(identity.data_packages),
        "authorizedAt": _optional_time(connection.authorized_at),
        "expiresAt": _optional_time(connection.expires_at),
        "revokedAt": _optional_time(connection.revoked_at),
        "actionRequiredReason": connection.action_required_reason,
        "createdAt": format_time(identity.created_at),
        "updatedAt": format_time(connection.updated_at),
    }


def format_status(connection: Connection, now: datetime, active_spelling: str) -> str:
    """Return the status of a connection on the wire.

    Args:
        connection: The connection.
        now: The instant whose standing is shown.
        active_spelling: The spelling of ACTIVE: ACTIVE or AUTHORIZED.
    """
    status = WIRE_STATUS[standing(connection, now)].outcome.value
    return active_spelling if status is WireStatus.ACTIVE else status


def format_session(session: CuraeConnectSession) -> dict[str, Json]:
    """Return a connect session as JSON, without the user id of the platform [O]."""
    coordinate = session.coordinate
    return {
        "id": session.id,
        "customerAccountId": coordinate.customer_account_id,
        "appUserId": coordinate.app_user_id,
        "path": session.path,
        "handoff": session.handoff,
        "createdAt": format_time(session.created_at),
        "expiresAt": format_time(session.expires_at),
        "landedAt": _optional_time(session.landed_at),
    }


def format_next_action(next_action: NextAction) -> dict[str, Json]:
    """Return a next action as JSON [S]."""
    return {
        "type": "open_webview",
        "url": next_action.url,
        "expiresAt": format_time(next_action.expires_at),
    }


def format_reply(
    reply: Reply, now: datetime, active_spelling: str = WireStatus.ACTIVE
) -> dict[str, Json]:
    """Return the body of a success: one member for each field of the reply, in order.

    Args:
        reply: Any reply but a problem, a replay or `NotModified`.
        now: The instant whose standing is shown.
        active_spelling: The spelling of ACTIVE: ACTIVE or AUTHORIZED.

    Raises:
        ArgumentError: A field has a type that the wire does not know.
    """
    return {
        to_camel_case(name): _format_field(getattr(reply, name), now, active_spelling)
        for name in reply.__match_args__
    }


def has_next_action(reply: Reply) -> bool:
    """Return True if the reply holds the URL of a hosted page, so that it must not be cached."""
    return any(_holds_next_action(getattr(reply, name)) for name in reply.__match_args__)


def _holds_next_action(value: object) -> bool:
    if isinstance(value, tuple):
        return any(map(_holds_next_action, cast("tuple[object, ...]", value)))
    return isinstance(value, NextAction)


def _format_field(value: object, now: datetime, active_spelling: str) -> Json:
    if isinstance(value, tuple):
        items = cast("tuple[object, ...]", value)
        return [_format_field(each, now, active_spelling) for each in items]
    match value:
        case Connection():
            return format_connection(value, now, active_spelling)
        case CuraeConnectSession():
            return format_session(value)
        case NextAction():
            return format_next_action(value)
        case datetime():
            return format_time(value)
        case None | str() | bool() | int():
            return value
        case _:
            raise ArgumentError("reply", "made of members that the wire knows")


def format_problem(
    problem: Problem, type_base: str = DEFAULT_TYPE_BASE, instance: str | None = None
) -> dict[str, Json]:
    """Return a problem as JSON of RFC 9457, with `code`, `details` and `retryable` [S].

    Args:
        problem: The problem.
        type_base: The base URI of its `type`.
        instance: The server's own URI of this occurrence, or `None`; a 404 never shows one [O].
    """
    kind = problem.problem_type
    document: dict[str, Json] = {
        "type": type_uri(problem.code, type_base),
        "title": problem.title,
        "status": status_of(problem),
        "detail": problem.detail,
        "code": problem.code,
        "details": {
            name: format_time(value) if isinstance(value, datetime) else value
            for name, value in problem.details.items()
        },
        "retryable": kind.retryable,
    }
    if instance is not None and problem.code is not ProblemCode.NOT_FOUND:
        document["instance"] = instance
    return document


def _optional_time(instant: datetime | None) -> str | None:
    return None if instant is None else format_time(instant)


@cache
def to_camel_case(name: str) -> str:
    """Return the name of a field in the spelling of the wire."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def parse_members(document: Json, expected: tuple[Member[object], ...]) -> dict[str, object]:
    """Parse the members of an object strictly, and return their values by their names.

    Args:
        document: The JSON value.
        expected: The members that it may have; their names are unique.

    Raises:
        MalformedError: It is no object, or a member is unknown, repeated, missing or malformed.
    """
    if not isinstance(document, dict):
        raise MalformedError(None, Fault.NOT_AN_OBJECT)
    if isinstance(document, DuplicateKeyObject):
        name = document.first_duplicate()
        is_known = any(member.name == name for member in expected)
        raise MalformedError(name if is_known else None, Fault.REPEATED)
    known = 0
    for member in expected:
        known += member.name in document
    if known < len(document):
        raise MalformedError(None, Fault.UNKNOWN)
    parsed: dict[str, object] = {}
    for member in expected:
        if member.name in document:
            parsed[member.name] = parse_member(member, document[member.name])
        elif not member.optional:
            raise MalformedError(member.name, Fault.MISSING)
    return parsed


def parse_member(member: Member[object], value: object) -> object:
    """Parse the value of one member.

    Raises:
        MalformedError: The value is null or not allowed.
    """
    try:
        return member.parse(value)
    except ArgumentError:
        fault = Fault.NULL if value is None else Fault.INVALID
        raise MalformedError(member.name, fault) from None


def _or_null(name: str, parse: Callable[[object], Wanted]) -> Member[Wanted | None]:
    # A time or reason that is not set is null.
    return Member(name, lambda value: None if value is None else parse(value), optional=True)


def _time(name: str) -> Member[datetime]:
    def parse(value: object) -> datetime:
        # A snapshot of another server may spell UTC as an offset.
        if isinstance(value, str) and value.endswith("+00:00"):
            value = f"{value[:-6]}Z"
        return parse_time(name, value)

    return Member(name, parse)


_ID: Final = Member("id", members.parse_connection_id)
_ACCOUNT: Final = members.CUSTOMER_ACCOUNT_ID
_USER: Final = members.APP_USER_ID
_STATUS: Final = Member("status", lambda value: members.parse_enum("status", WireStatus, value))
_PACKAGES: Final = members.DATA_PACKAGES
_AUTHORIZED: Final = _or_null("authorizedAt", _time("authorizedAt").parse)
_EXPIRES: Final = _or_null("expiresAt", _time("expiresAt").parse)
_REVOKED: Final = _or_null("revokedAt", _time("revokedAt").parse)
_REASON: Final = _or_null("actionRequiredReason", members.REASON.parse)
_CREATED: Final = _time("createdAt")
_UPDATED: Final = _time("updatedAt")
_WHAT_IT_IS: Final = (_ID, _ACCOUNT, _USER, _STATUS, _PACKAGES)
_WHAT_HAPPENED: Final = (_AUTHORIZED, _EXPIRES, _REVOKED, _REASON, _CREATED, _UPDATED)
_CONNECTION: Final = {member.name: member for member in (*_WHAT_IT_IS, *_WHAT_HAPPENED)}


def parse_connection(
    document: Json,
    *,
    environment: values.Environment,
    app_id: values.AppId,
    predecessor_id: values.ConnectionId | None = None,
    root_id: values.ConnectionId | None = None,
    position: int = 1,
) -> Connection:
    """Parse a connection from the wire, for instance to merge it [O].

    Unknown members are ignored, an absent time or reason is null, and `+00:00` is `Z`. A document with
    a `revokedAt` is a revoked connection, whatever its status. Pass the values that the wire does not
    show.

    Args:
        document: The connection as JSON.
        environment: Its environment: test or live.
        app_id: The id of its app.
        predecessor_id: The connection that it recovers, if that is known.
        root_id: The first connection of its chain; `None` for itself.
        position: Its place in its chain, from 1.

    Raises:
        MalformedError: A member is malformed; the error names it. An unknown status is malformed, so
            that it never grants access.
    """
    if isinstance(document, dict) and not isinstance(document, DuplicateKeyObject):
        document = {name: value for name, value in document.items() if name in _CONNECTION}
    given = ParsedMembers(parse_members(document, tuple(_CONNECTION.values())))
    authorized_at, reason, updated_at = given[_AUTHORIZED], given[_REASON], given[_UPDATED]
    trace = (
        AuthorizationEvidence.NONE
        if authorized_at is None and reason is None
        else AuthorizationEvidence.SHOWN
    )
    revoked_at = given[_REVOKED]
    revocation = NEVER if revoked_at is None else ONCE
    read = STORED_STATUS[given[_STATUS], revocation, trace].outcome
    coordinate = values.Coordinate(
        environment=environment,
        app_id=app_id,
        customer_account_id=given[_ACCOUNT],
        app_user_id=given[_USER],
    )
    root = given[_ID] if root_id is None else root_id
    # The wire does not show the deadline; it was over when the snapshot was taken.
    deadline = updated_at if read.lapsed else None
    identity = ConnectionIdentity(
        id=given[_ID],
        coordinate=coordinate,
        data_packages=given[_PACKAGES],
        created_at=given[_CREATED],
        predecessor_id=predecessor_id,
        root_id=root,
        position=position,
    )
    status, expires_at = read.status, given[_EXPIRES]
    return Connection(
        identity=identity,
        status=status,
        updated_at=updated_at,
        handoff_deadline=deadline,
        authorized_at=authorized_at,
        expires_at=expires_at,
        action_required_reason=reason,
        revoked_at=revoked_at,
    )
