"""Formatters and parsers of connections, sessions, next actions and problems as JSON.

The law of this module: **a document has exactly the listed members**, with times in RFC 3339
ending in `Z`, UUIDs in lower case, and no internal value.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache, partial
from typing import Final, TypeVar, cast

from curae_lifecycle.rules import values
from curae_lifecycle.rules.binding import LimitedAccountAppBinding, present_era
from curae_lifecycle.rules.connection import (
    NEVER,
    ONCE,
    Connection,
    ConnectionIdentity,
    Standing,
    show_ended,
    standing,
)
from curae_lifecycle.rules.errors import ArgumentError, describe
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
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.members import Member, ParsedMembers
from curae_lifecycle.service.operations.operation import Reply
from curae_lifecycle.service.status import status_of
from curae_lifecycle.web.json import DuplicateKeyObject, MalformedError

Wanted = TypeVar("Wanted")


def format_connection(
    connection: Connection,
    now: datetime,
    active_spelling: str = WireStatus.ACTIVE,
    *,
    binding: LimitedAccountAppBinding | None,
) -> dict[str, Json]:
    """Format a connection as a JSON object, with its standing at `now` as the status [S].

    Args:
        connection: The connection as it is stored.
        now: The instant for which the status is shown.
        active_spelling: The word that is shown for ACTIVE: ACTIVE or AUTHORIZED [P].
        binding: The binding of the connection's coordinate as it is stored; `None` if there is
            none. A connection whose user is gone (tombstoned) is shown as REVOKED, even if its row
            does not say so yet.
    """
    era = present_era(binding)
    tombstoned_at = None if binding is None else binding.tombstoned_at
    shown = show_ended(connection, era=era, tombstoned_at=tombstoned_at)
    return _format_members(shown, standing(connection, now, era=era), active_spelling)


def format_stored_connection(
    connection: Connection, now: datetime, active_spelling: str
) -> dict[str, Json]:
    """Format a connection for an event as a JSON object, from nothing but its stored value.

    An event shows the connection as it was when the event was recorded. So the result stays the
    same if the user is later recorded as gone (a tombstone). Unlike this function,
    `format_connection` then shows REVOKED.

    Args:
        connection: The connection as it was stored.
        now: The instant for which the status is shown.
        active_spelling: The word that is shown for ACTIVE: ACTIVE or AUTHORIZED [P].
    """
    own = standing(connection, now, era=connection.identity.era)
    return _format_members(connection, own, active_spelling)


def _format_members(
    connection: Connection, stands: Standing, active_spelling: str
) -> dict[str, Json]:
    identity = connection.identity
    coordinate = identity.coordinate
    status = WIRE_STATUS[stands].outcome.value
    return {
        "id": identity.id,
        "customerAccountId": coordinate.customer_account_id,
        "appUserId": coordinate.app_user_id,
        "status": active_spelling if status is WireStatus.ACTIVE else status,
        "dataPackages": list(identity.data_packages),
        "authorizedAt": _format_optional_time(connection.authorized_at),
        "expiresAt": _format_optional_time(connection.expires_at),
        "revokedAt": _format_optional_time(connection.revoked_at),
        "actionRequiredReason": connection.action_required_reason,
        "createdAt": format_time(identity.created_at),
        "updatedAt": format_time(connection.updated_at),
    }


def format_session(session: CuraeConnectSession) -> dict[str, Json]:
    """Format a connect session as a JSON object, without the platform's user id [O]."""
    coordinate = session.coordinate
    return {
        "id": session.id,
        "customerAccountId": coordinate.customer_account_id,
        "appUserId": coordinate.app_user_id,
        "path": session.path,
        "handoff": session.handoff,
        "createdAt": format_time(session.created_at),
        "expiresAt": format_time(session.expires_at),
        "landedAt": _format_optional_time(session.landed_at),
    }


def format_next_action(next_action: NextAction) -> dict[str, Json]:
    """Format a next action as a JSON object: its type, URL and expiry [S]."""
    return {
        "type": "open_webview",
        "url": next_action.url,
        "expiresAt": format_time(next_action.expires_at),
    }


def format_reply(
    reply: Reply,
    now: datetime,
    active_spelling: str = WireStatus.ACTIVE,
    *,
    binding: LimitedAccountAppBinding | None,
) -> dict[str, Json]:
    """Format a successful reply as the JSON body of the response, a member for each field.

    Args:
        reply: The reply; not a `ProblemReply` (refusal), `Replayed` (retry) or `NotModified` (304).
        now: The instant for which the status of a connection is shown.
        active_spelling: The word that is shown for ACTIVE: ACTIVE or AUTHORIZED [P].
        binding: The stored binding of the coordinate that the reply's connections belong to; `None`
            if there is none. A connection whose user is gone (tombstoned) is shown as REVOKED.

    Raises:
        ArgumentError: A field has a type that cannot be formatted as JSON, or an instant that is
            not UTC.
    """
    show = partial(format_connection, now=now, active_spelling=active_spelling, binding=binding)
    return {
        to_camel_case(name): _format_field(name, getattr(reply, name), show)
        for name in reply.__match_args__
    }


def find_next_action(reply: Reply) -> NextAction | None:
    """Return the first next action in the fields of a reply; `None` if the reply has none.

    A next action, the hosted page to show the user, can also be an item of a tuple in a field. Its
    URL can hold a secret, so `respond` forbids caches to store the response.
    """
    return _find_next_action(tuple([getattr(reply, name) for name in reply.__match_args__]))


def _find_next_action(values: tuple[object, ...]) -> NextAction | None:
    for value in values:
        if isinstance(value, NextAction):
            return value
        if isinstance(value, tuple):
            found = _find_next_action(cast("tuple[object, ...]", value))
            if found is not None:
                return found
    return None


def _format_field(name: str, value: object, show: Callable[[Connection], Json]) -> Json:
    if isinstance(value, tuple):
        items = cast("tuple[object, ...]", value)
        return [_format_field(name, each, show) for each in items]
    match value:
        case Connection():
            return show(value)
        case CuraeConnectSession():
            return format_session(value)
        case NextAction():
            return format_next_action(value)
        case datetime():
            values.check_instant(f"reply.{name}", value)
            return format_time(value)
        case None | str() | bool() | int():
            return value
        case _:
            allowed = "made of connections, sessions, next actions, tuples and plain values"
            raise ArgumentError(f"reply.{name}", allowed, describe(value))


def format_problem(
    problem: Problem, type_base: str = DEFAULT_TYPE_BASE, instance: str | None = None
) -> dict[str, Json]:
    """Format a problem as an RFC 9457 document, with `code`, `details` and `retryable` [S].

    Args:
        problem: The problem.
        type_base: The base URI of the problem's `type`.
        instance: A URI that identifies this occurrence of the problem, for the member `instance`;
            `None` leaves the member out. A 404 never shows it [O].
    """
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
        "retryable": problem.problem_type.retryable,
    }
    if instance is not None and problem.code is not ProblemCode.NOT_FOUND:
        document["instance"] = instance
    return document


def _format_optional_time(instant: datetime | None) -> str | None:
    return None if instant is None else format_time(instant)


@cache
def to_camel_case(name: str) -> str:
    """Return a snake_case name in camelCase: `createdAt` for `created_at`."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def parse_members(document: Json, expected: tuple[Member[object], ...]) -> dict[str, object]:
    """Parse the members of a JSON object, and refuse any other member.

    Args:
        document: The JSON value.
        expected: The members that the object may have, with their parsers; the names are unique.

    Returns:
        The parsed values by member name. An absent optional member has no entry.

    Raises:
        MalformedError: `document` is no object, or a member is unknown, repeated, missing or malformed.
    """
    if not isinstance(document, dict):
        raise MalformedError(None, Fault.NOT_AN_OBJECT)
    known = {member.name for member in expected}
    if isinstance(document, DuplicateKeyObject):
        name = document.first_duplicate()
        raise MalformedError(name if name in known else None, Fault.REPEATED)
    if not document.keys() <= known:
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

    Args:
        member: The member, with the parser of its values.
        value: The member's JSON value, or its text in a path.

    Raises:
        MalformedError: The value is not allowed. The error's `fault` is `NULL` if `value` is null,
            else `INVALID`.
    """
    try:
        return member.parse(value)
    except ArgumentError:
        fault = Fault.NULL if value is None else Fault.INVALID
        raise MalformedError(member.name, fault) from None


def _parse_unless_null(parse: Callable[[object], Wanted], value: object) -> Wanted | None:
    return None if value is None else parse(value)


def _parse_utc(name: str, value: object) -> datetime:
    # Another system may spell UTC as an offset.
    if isinstance(value, str) and value.endswith("+00:00"):
        value = f"{value[:-6]}Z"
    return parse_time(name, value)


_ID: Final = Member("id", members.parse_connection_id)
_ACCOUNT: Final = members.CUSTOMER_ACCOUNT_ID
_USER: Final = members.APP_USER_ID
_STATUS: Final = Member("status", lambda value: members.parse_enum("status", WireStatus, value))
_PACKAGES: Final = members.DATA_PACKAGES
_AUTHORIZED_AT, _EXPIRES_AT, _REVOKED_AT = (
    Member(name, partial(_parse_unless_null, partial(_parse_utc, name)), optional=True)
    for name in ("authorizedAt", "expiresAt", "revokedAt")
)
_REASON: Final = Member(
    "actionRequiredReason", partial(_parse_unless_null, members.REASON.parse), optional=True
)
_CREATED_AT: Final = Member("createdAt", partial(_parse_utc, "createdAt"))
_UPDATED_AT: Final = Member("updatedAt", partial(_parse_utc, "updatedAt"))
_CONNECTION_MEMBERS: Final[tuple[Member[object], ...]] = (
    *(_ID, _ACCOUNT, _USER, _STATUS, _PACKAGES),
    *(_AUTHORIZED_AT, _EXPIRES_AT, _REVOKED_AT, _REASON, _CREATED_AT, _UPDATED_AT),
)
_CONNECTION_NAMES: Final = {member.name for member in _CONNECTION_MEMBERS}


def parse_connection(
    document: Json,
    *,
    environment: values.Environment,
    app_id: values.AppId,
    predecessor_id: values.ConnectionId | None = None,
    root_id: values.ConnectionId | None = None,
    position: int = 1,
    era: datetime | None = None,
) -> Connection:
    """Parse a snapshot of a connection that another system sent, for instance to merge it [O].

    The parser is tolerant. It ignores unknown members, takes an absent `authorizedAt`, `expiresAt`,
    `revokedAt` or `actionRequiredReason` as null, and reads `+00:00` as `Z`. A snapshot with a
    `revokedAt` gives a revoked connection, whatever `status` it has.

    A snapshot holds only a part of a connection, so the caller passes the rest.

    Args:
        document: The snapshot as a JSON value.
        environment: The environment of the connection: test or live.
        app_id: The app of the connection.
        predecessor_id: The id of the older connection that this connection recovers; `None` if
            there is none or if the caller does not know it.
        root_id: The id of the first connection of the recovery chain; by default, the connection's
            own id.
        position: The place of the connection in the chain, from 1.
        era: The coordinate's era as the connection was made: when its user was last recorded as
            gone (tombstoned). `None` if never before.

    Raises:
        MalformedError: The snapshot is no object, or a member is repeated, missing or malformed. An
            unknown status is malformed, so it never grants anything.
    """
    if isinstance(document, dict) and not isinstance(document, DuplicateKeyObject):
        document = {name: value for name, value in document.items() if name in _CONNECTION_NAMES}
    parsed = ParsedMembers(parse_members(document, _CONNECTION_MEMBERS))
    authorized_at, reason = parsed[_AUTHORIZED_AT], parsed[_REASON]
    revoked_at, updated_at = parsed[_REVOKED_AT], parsed[_UPDATED_AT]
    evidence = (
        AuthorizationEvidence.NONE
        if authorized_at is None and reason is None
        else AuthorizationEvidence.SHOWN
    )
    revocation = NEVER if revoked_at is None else ONCE
    stored = STORED_STATUS[parsed[_STATUS], revocation, evidence].outcome
    coordinate = values.Coordinate(
        environment=environment,
        app_id=app_id,
        customer_account_id=parsed[_ACCOUNT],
        app_user_id=parsed[_USER],
    )
    identity = ConnectionIdentity(
        id=parsed[_ID],
        coordinate=coordinate,
        data_packages=parsed[_PACKAGES],
        created_at=parsed[_CREATED_AT],
        predecessor_id=predecessor_id,
        root_id=parsed[_ID] if root_id is None else root_id,
        position=position,
        era=era,
    )
    return Connection(
        identity=identity,
        status=stored.status,
        updated_at=updated_at,
        # The wire does not show the deadline. This one lets a lapsed connection stay lapsed.
        handoff_deadline=updated_at if stored.lapsed else None,
        authorized_at=authorized_at,
        expires_at=parsed[_EXPIRES_AT],
        action_required_reason=reason,
        revoked_at=revoked_at,
    )
