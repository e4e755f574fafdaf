"""Effects and events as messages, which an outbox keeps until they are delivered.

The law of this module: **what is committed is delivered at least once**. Effects and events are
stored together with the writes that they follow from. A receiver recognizes a repeated event by
its id, and may carry out an effect twice without harm.
"""

from __future__ import annotations

from typing import Final

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
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.web.events import format_coordinate, format_event
from curae_lifecycle.web.json import MalformedError


@attrs.frozen
class Message:
    """An effect or an event as the outbox stores it until it is delivered.

    An effect is a task for the server, such as dropping cached grants. An event reports a change.

    Attributes:
        kind: The name of an effect, such as `AccessEnded`, or the kind of an event, such as
            `connection.revoked`.
        subject: The id of the connection or session that the message is about, or the coordinate
            of the user as text. Messages of one subject keep their order.
        document: The whole effect or event, as JSON.
    """

    kind: str
    subject: str = attrs.field(repr=False)
    document: dict[str, Json] = attrs.field(repr=False)


@attrs.frozen
class Delivery:
    """A message of the outbox as its receiver gets it, perhaps not for the first time.

    The outbox is the store's queue of effects, which are tasks for the server, and of events.

    Attributes:
        number: The number of the message, which no other message of the outbox ever has. A
            receiver that keeps the numbers it has handled recognizes a repeated delivery. The
            numbers of one subject rise in the order of its messages; numbers of different subjects
            say nothing about order.
        attempt: The number of this attempt to deliver the message, from 1.
        kind: The name of an effect or the kind of an event, as in `Message.kind`.
        subject: A digest of the message's subject: the connection, session or user that it is
            about. All digests have the same length. Use the digest as a partition key.
        document: The whole effect or event, as JSON.
    """

    number: int
    attempt: int
    kind: str
    subject: str
    document: dict[str, Json] = attrs.field(repr=False)


MESSAGE: Final = Message.__name__
"""The name `Message`, under which `stores.formats` numbers the formats of stored messages."""


@attrs.frozen
class NewerDelivery:
    """A message that only a newer release can read; no receiver gets it from this release.

    The message stays in the outbox until a worker of a newer release delivers it.

    Attributes:
        number: The number of the message, which no other message of the outbox ever has.
        attempt: The number of this attempt to deliver the message, from 1.
        kind: The name of an effect or the kind of an event, as in `Message.kind`.
        subject: A digest of the message's subject, as in `Delivery.subject`.
        error: The error that reading the message raised. Its `stored` is the version of the
            message's JSON layout, and its `known` the newest version that this release reads.
    """

    number: int
    attempt: int
    kind: str
    subject: str
    error: NewerFormatError


@attrs.frozen
class MalformedDelivery:
    """A message whose document is not one that this library wrote; no receiver gets it.

    Each attempt to deliver it fails.

    Attributes:
        number: The number of the message, which no other message of the outbox ever has.
        attempt: The number of this attempt to deliver the message, from 1.
        kind: The name of an effect or the kind of an event, as in `Message.kind`.
        subject: A digest of the message's subject, as in `Delivery.subject`.
        error: The error that reading the document raised.
    """

    number: int
    attempt: int
    kind: str
    subject: str
    error: MalformedError


AnyDelivery = Delivery | NewerDelivery | MalformedDelivery
"""A message of the outbox, whether this release can read it or not."""


def messages(changes: Changes, settings: Settings = DEFAULT_SETTINGS) -> tuple[Message, ...]:
    """Convert the effects and events of a decision to messages for the outbox.

    First come the effects and then the events, each in the order of `changes`.

    Args:
        changes: The changes of the decision.
        settings: The settings of the server, which say how an event spells the status ACTIVE.
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
    """Return the subject of every message about a coordinate's user: the coordinate as text.

    The outbox delivers the messages of one subject in their order.
    """
    return coordinate_text(coordinate)
