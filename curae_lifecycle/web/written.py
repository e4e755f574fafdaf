"""Replies as JSON text, put together in one step.

The members are those of `shapes`, in the same order; what is left out is the dictionaries in
between, which take longer than the text. A test holds each text to the values that `shapes` makes.
"""

from __future__ import annotations

from datetime import datetime
from json.encoder import encode_basestring as text

from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import NextAction, format_time
from curae_lifecycle.service.operations.operation import Reply
from curae_lifecycle.web.shapes import camel, shown_status


def write_reply(reply: Reply, now: datetime, active_spelling: str) -> tuple[str, bool]:
    """The body of a reply at `now`: one member for each of its fields, in order.

    It is any reply but a problem, a replay or one that is not modified.

    Args:
        reply: The reply.
        now: The instant whose standing is shown.
        active_spelling: How ACTIVE is spelled: ACTIVE or AUTHORIZED.

    Returns:
        The text, and whether it holds the URL of a hand-off.

    Raises:
        ArgumentError: A field of another type than the wire knows.
    """
    members: list[str] = []
    holds_url = False
    for name in reply.__match_args__:
        value = getattr(reply, name)
        holds_url = holds_url or isinstance(value, NextAction)
        members.append(f'"{camel(name)}":{_written(value, now, active_spelling)}')
    return f"{{{','.join(members)}}}", holds_url


def _written(value: object, now: datetime, active_spelling: str) -> str:
    if isinstance(value, Connection):
        return _connection(value, now, active_spelling)
    if isinstance(value, CuraeConnectSession):
        return _session(value)
    if isinstance(value, NextAction):
        return _next_action(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if value is None or isinstance(value, datetime):
        return _time(value)
    raise ArgumentError("reply", "of members that the wire knows")


def _connection(connection: Connection, now: datetime, active_spelling: str) -> str:
    identity, updated_at = connection.identity, connection.updated_at
    coordinate, reason = identity.coordinate, connection.action_required_reason
    created = _time(identity.created_at)
    # Most that are shown have just been made.
    updated = created if updated_at == identity.created_at else _time(updated_at)
    return (
        f'{{"id":{text(identity.id)},'
        f'"customerAccountId":{text(coordinate.customer_account_id)},'
        f'"appUserId":{text(coordinate.app_user_id)},'
        f'"status":{text(shown_status(connection, now, active_spelling))},'
        f'"dataPackages":[{",".join(map(text, identity.data_packages))}],'
        f'"authorizedAt":{_time(connection.authorized_at)},'
        f'"expiresAt":{_time(connection.expires_at)},'
        f'"revokedAt":{_time(connection.revoked_at)},'
        f'"actionRequiredReason":{"null" if reason is None else text(reason)},'
        f'"createdAt":{created},'
        f'"updatedAt":{updated}}}'
    )


def _session(session: CuraeConnectSession) -> str:
    coordinate = session.coordinate
    return (
        f'{{"id":{text(session.id)},'
        f'"customerAccountId":{text(coordinate.customer_account_id)},'
        f'"appUserId":{text(coordinate.app_user_id)},'
        f'"path":{text(session.path)},'
        f'"handoff":{text(session.handoff)},'
        f'"createdAt":"{format_time(session.created_at)}",'
        f'"expiresAt":"{format_time(session.expires_at)}",'
        f'"landedAt":{_time(session.landed_at)}}}'
    )


def _next_action(next_action: NextAction) -> str:
    return (
        f'{{"type":"open_webview",'
        f'"url":{text(next_action.url)},'
        f'"expiresAt":"{format_time(next_action.expires_at)}"}}'
    )


def _time(instant: datetime | None) -> str:
    return "null" if instant is None else f'"{format_time(instant)}"'
