"""Events of a decision, as data, for an outbox.

The law of this module: **an event's id follows from its kind, its subject and its instant**, so
that a receiver can detect a repetition. Two occurrences that are recorded at one instant share an
id, such as two reissues while the clock is behind `updated_at`. Their JSON is the same, too.
"""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid5

import attrs

from curae_lifecycle.rules import values
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.session import CuraeConnectSession


class EventKind(StrEnum):
    """The kinds of events, such as `connection.created` or `binding.graduated`."""

    CONNECTION_CREATED = "connection.created"
    CONNECTION_AUTHORIZED = "connection.authorized"
    CONNECTION_ACTION_REQUIRED = "connection.action_required"
    CONNECTION_EXPIRED = "connection.expired"
    CONNECTION_REVOKED = "connection.revoked"
    CONNECTION_REISSUED = "connection.reissued"
    SESSION_INITIATED = "connect_session.initiated"
    SESSION_LANDED = "connect_session.landed"
    BINDING_PROVISIONED = "binding.provisioned"
    BINDING_SIGNED_UP = "binding.signed_up"
    BINDING_GRADUATED = "binding.graduated"
    BINDING_TOMBSTONED = "binding.tombstoned"


Subject = Connection | CuraeConnectSession | LimitedAccountAppBinding
"""The subject of an event: a connection, a session or a binding."""


_EVENTS: Final = UUID("6f1c3d0e-9a43-5b0f-8a57-2f4f6f0f5d11")
"""The namespace of the ids of events."""


def coordinate_text(coordinate: values.Coordinate) -> str:
    """Return a coordinate as text: a JSON list of its members.

    The form never changes, since stored outbox messages have this text as their subject.
    """
    return json.dumps(_coordinate_members(coordinate))


def _coordinate_members(coordinate: values.Coordinate) -> list[str]:
    return [
        coordinate.environment,
        coordinate.app_id,
        coordinate.customer_account_id,
        coordinate.app_user_id,
    ]


@attrs.frozen
class Event:
    """A change of a connection, session or binding, to tell receivers about through an outbox.

    Attributes:
        kind: The kind of the event.
        subject: The connection, session or binding after the event.
        at: When the event was recorded, in UTC.
    """

    kind: EventKind
    subject: Subject
    at: datetime

    @property
    def id(self) -> str:
        """The event's id: the same kind, subject and instant always make the same UUID [P, O]."""
        subject = self.subject_id or _coordinate_members(self.coordinate)
        parts = (self.kind, subject, values.format_time(self.at))
        return str(uuid5(_EVENTS, json.dumps(parts)))

    @property
    def subject_id(self) -> values.ConnectionId | values.SessionId | None:
        """The id of the connection or session; `None` for a binding, which has no id."""
        return None if isinstance(self.subject, LimitedAccountAppBinding) else self.subject.id

    @property
    def coordinate(self) -> values.Coordinate:
        """The coordinate of the subject."""
        subject = self.subject
        return (subject.identity if isinstance(subject, Connection) else subject).coordinate
