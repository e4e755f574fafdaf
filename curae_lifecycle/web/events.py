"""Events as JSON, and the AsyncAPI document of them.

The law of this module: **an event shows its subject as the wire does**, and no internal value. Its
id follows from its kind, its subject and its instant, so that a receiver can detect a repetition.
Receivers merge snapshots that arrive out of order.
"""

from __future__ import annotations

from typing import Final

from curae_lifecycle import __version__
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.tables import check_keys
from curae_lifecycle.rules.values import Coordinate, Environment, format_time
from curae_lifecycle.service.events import Event, EventKind
from curae_lifecycle.service.json_schema import TEXT, TIME, UUID, Json, Schema, enum_of, object_of
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.web.openapi.schemas import SHARED, reference
from curae_lifecycle.web.wire_format import format_session, format_stored_connection


def format_event(event: Event, settings: Settings = DEFAULT_SETTINGS) -> dict[str, Json]:
    """Format an event as a JSON object, for an outbox, a webhook or a queue [P: ids; the form O].

    Args:
        event: The event.
        settings: The settings of the server, with the spelling of ACTIVE.

    Returns:
        `{id, kind, at, coordinate, subject}`. The `subject` is the connection or session as a
        response shows it, with the status at the instant `at`. For a binding, the `subject` is
        `{lifecycleState}`.
    """
    return {
        "id": event.id,
        "kind": event.kind,
        "at": format_time(event.at),
        "coordinate": format_coordinate(event.coordinate),
        "subject": _format_subject(event, settings),
    }


def format_coordinate(coordinate: Coordinate) -> dict[str, Json]:
    """Format a coordinate as a JSON object: environment, app, customer account and app user."""
    return {
        "environment": coordinate.environment,
        "appId": coordinate.app_id,
        "customerAccountId": coordinate.customer_account_id,
        "appUserId": coordinate.app_user_id,
    }


def _format_subject(event: Event, settings: Settings) -> dict[str, Json]:
    match event.subject:
        case Connection() as connection:
            return format_stored_connection(connection, event.at, settings.active_spelling)
        case CuraeConnectSession() as session:
            return format_session(session)
        case LimitedAccountAppBinding() as binding:
            return {"lifecycleState": binding.state}


def asyncapi() -> dict[str, Json]:
    """Return the AsyncAPI 3.0 document, which describes the events for their receivers.

    Returns:
        The document, with one channel, and a message with its schema for each kind of event.
    """
    messages: Schema = {kind.value: _message(kind) for kind in EventKind}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Curae events",
            "description": _DESCRIPTION,
            "version": __version__,
            "license": {"name": "MIT", "url": "https://opensource.org/license/mit"},
            "tags": [{"name": tag, "description": text} for tag, text in _TAGS.items()],
        },
        "defaultContentType": "application/json",
        "channels": {
            "events": {
                "description": "Wherever the server delivers its events: a queue or a webhook.",
                "messages": {name: reference("messages", name) for name in messages},
            }
        },
        "operations": {
            "publish": {
                "action": "send",
                "channel": {"$ref": "#/channels/events"},
                "summary": "Deliver an event, at least once and in any order.",
                "description": "The server delivers an event again until the receiver has "
                "accepted it.",
            }
        },
        "components": {"messages": messages, "schemas": {**_SUBJECTS, "Coordinate": _COORDINATE}},
    }


_DESCRIPTION: Final = (
    "Each event is delivered at least once and in any order. Its `id` is the same for ever, so a "
    "receiver drops what it has seen; a connection's snapshots are merged by rank."
)
_TAGS: Final = {
    "connection": "Events of a connection.",
    "connect_session": "Events of a connect session.",
    "binding": "Events of the account that an app user is bound to.",
}
_COORDINATE: Final[Schema] = object_of(
    {
        "environment": enum_of(Environment),
        "appId": TEXT,
        "customerAccountId": UUID,
        "appUserId": TEXT,
    }
)
_SUBJECTS: Final[Schema] = {
    "Connection": SHARED["Connection"],
    "CuraeConnectSession": SHARED["CuraeConnectSession"],
    "Account": object_of({"lifecycleState": enum_of(AccountState)}),
}
_SUBJECT_OF: Final = {
    "connection": "Connection",
    "connect_session": "CuraeConnectSession",
    "binding": "Account",
}
"""The schema of an event's subject, by the beginning of its kind."""

_SUMMARIES: Final = {
    EventKind.CONNECTION_CREATED: "A connection was made; its patient has not authorized yet.",
    EventKind.CONNECTION_AUTHORIZED: "The patient authorized: the connection is active.",
    EventKind.CONNECTION_ACTION_REQUIRED: "The patient must act before data flows again.",
    EventKind.CONNECTION_EXPIRED: "The authorization is over.",
    EventKind.CONNECTION_REVOKED: "The connection was revoked, for ever.",
    EventKind.CONNECTION_REISSUED: "A pending connection has a new hosted page.",
    EventKind.SESSION_INITIATED: "A connect session was started.",
    EventKind.SESSION_LANDED: "The hosted page gave the user over to the app.",
    EventKind.BINDING_PROVISIONED: "A LIMITED user was provisioned.",
    EventKind.BINDING_SIGNED_UP: "A user signed up and is bound.",
    EventKind.BINDING_GRADUATED: "The LIMITED user became ACTIVE.",
    EventKind.BINDING_TOMBSTONED: "The user is gone: whatever was made before is over.",
}
check_keys("event-summaries", _SUMMARIES, EventKind)


def _message(kind: EventKind) -> Schema:
    subject = _SUBJECT_OF[kind.partition(".")[0]]
    return {
        "name": kind.value,
        "summary": _SUMMARIES[kind],
        "payload": object_of(
            {
                "id": UUID,
                "kind": {"const": kind.value},
                "at": TIME,
                "coordinate": reference("schemas", "Coordinate"),
                "subject": reference("schemas", subject),
            }
        ),
    }
