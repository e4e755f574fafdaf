"""Effects and events as they are kept until somebody has dealt with them.

The law of this module: **what is committed is delivered at least once**: effects and events are
stored with the writes they follow from. Whoever gets one twice knows an event by its id, and can do
an effect twice.
"""

from __future__ import annotations

import attrs

from curae_lifecycle.rules.values import Coordinate, format_time
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.effects import (
    AccessEnded,
    Effect,
    HandoffCancelled,
    NextActionReplaced,
    SuccessorsLive,
    UserProvisioned,
)
from curae_lifecycle.service.events import Event, coordinate_text
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.web.events import format_coordinate, format_event
from curae_lifecycle.web.json import Json


@attrs.frozen
class Message:
    """An effect or an event on its way.

    Attributes:
        kind: An effect's name, such as `AccessEnded`, or an event's kind, such as
            `connection.revoked`.
        subject: What it is about; messages of one subject keep their order.
        document: All of it, as JSON.
    """

    kind: str
    subject: str = attrs.field(repr=False)
    document: dict[str, Json] = attrs.field(repr=False)


@attrs.frozen
class Delivery:
    """A message as it is handed over, perhaps not for the first time.

    Attributes:
        number: Its number, which no other message of the outbox ever has: whoever keeps the
            numbers that were dealt with knows a repetition. Numbers of one subject rise with what
            happened; those of two subjects say nothing of each other.
        attempt: Which attempt it is, counted from 1.
        kind: As `Message.kind`.
        subject: A digest of what it is about, of one length: a key to partition by.
        document: As `Message.document`.
    """

    number: int
    attempt: int
    kind: str
    subject: str
    document: dict[str, Json] = attrs.field(repr=False)


def messages(changes: Changes, settings: Settings = DEFAULT_SETTINGS) -> tuple[Message, ...]:
    """The effects and events of what was decided, in their order.

    Args:
        changes: What was decided.
        settings: What the server chose.
    """
    effects = [_effect_message(effect) for effect in changes.effects]
    events = [_event_message(event, settings) for event in changes.events]
    return (*effects, *events)


def _event_message(event: Event, settings: Settings) -> Message:
    subject = event.subject_id or coordinate_subject(event.coordinate)
    return Message(event.kind, subject, format_event(event, settings))


def _effect_message(effect: Effect) -> Message:
    kind = type(effect).__name__
    subject, members = _effect_members(effect)
    return Message(kind, subject, {"kind": kind, **members})


def _effect_members(effect: Effect) -> tuple[str, dict[str, Json]]:
    match effect:
        case AccessEnded(connection_id, at):
            return connection_id, {"connectionId": connection_id, "at": format_time(at)}
        case HandoffCancelled(connection_id) | NextActionReplaced(connection_id):
            return connection_id, {"connectionId": connection_id}
        case SuccessorsLive(connection_id, head_id):
            members: dict[str, Json] = {"connectionId": connection_id, "headConnectionId": head_id}
            return connection_id, members
        case UserProvisioned(user_id, coordinate):
            subject = coordinate_subject(coordinate)
            return subject, {"userId": user_id, "coordinate": format_coordinate(coordinate)}


def coordinate_subject(coordinate: Coordinate) -> str:
    """What a message about the user of a coordinate is about."""
    return coordinate_text(coordinate)
