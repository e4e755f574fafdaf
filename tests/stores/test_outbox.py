"""Tests of outbox messages: the subject of each effect and event, and its JSON."""

from __future__ import annotations

import json
from typing import Final, get_args

import pytest
from hypothesis import given

from curae_lifecycle.rules.values import ConnectionId, UserId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.effects import (
    AccessEnded,
    Effect,
    HandoffCancelled,
    NextActionReplaced,
    SuccessorsLive,
    UserProvisioned,
)
from curae_lifecycle.service.events import Event, EventKind
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores.outbox import Message, messages
from curae_lifecycle.testing import strategies
from curae_lifecycle.web.events import format_event
from tests.support.server import LIMITED
from tests.support.strategies import COORDINATE, START, apply_trigger, at, pending, uuid

USER: Final = '["live", "app-1", "d8c60791-7301-441c-98e8-5bea9a162d9b", "user-1"]'
FIRST, SECOND = ConnectionId(uuid(1)), ConnectionId(uuid(2))

EFFECTS: Final[list[tuple[Effect, str, dict[str, Json]]]] = [
    (AccessEnded(FIRST, at(1)), FIRST, {"connectionId": FIRST, "at": "2026-01-01T00:01:00Z"}),
    (HandoffCancelled(FIRST), FIRST, {"connectionId": FIRST}),
    (NextActionReplaced(FIRST), FIRST, {"connectionId": FIRST}),
    (
        SuccessorsLive(FIRST, SECOND),
        FIRST,
        {"connectionId": FIRST, "headConnectionId": SECOND},
    ),
    (
        UserProvisioned(UserId("u-1"), COORDINATE),
        USER,
        {
            "userId": "u-1",
            "coordinate": {
                "environment": "live",
                "appId": "app-1",
                "customerAccountId": COORDINATE.customer_account_id,
                "appUserId": "user-1",
            },
        },
    ),
]


@pytest.mark.parametrize(("effect", "subject", "members"), EFFECTS)
def test_outbox_message_of_an_effect_has_its_subject_and_members(
    effect: Effect, subject: str, members: dict[str, Json]
) -> None:
    kind = type(effect).__name__
    (message,) = messages(Changes(effects=(effect,)))
    assert message == Message(kind, subject, {"kind": kind, **members})


def test_outbox_message_cases_cover_every_effect() -> None:
    assert {type(effect) for effect, _, _ in EFFECTS} == set(get_args(Effect))


def test_event_message_spells_active_status_as_settings_say() -> None:
    active = apply_trigger(pending(), "authorize for ever", START)
    event = Event(EventKind.CONNECTION_AUTHORIZED, active, START)
    (message,) = messages(Changes(events=(event,)))
    assert message == Message("connection.authorized", FIRST, format_event(event))
    settings = Settings(active_spelling="AUTHORIZED")
    (shown,) = messages(Changes(events=(event,)), settings)
    assert shown.document == format_event(event, settings) != message.document


def test_binding_event_message_has_the_app_user_as_subject() -> None:
    event = Event(EventKind.BINDING_PROVISIONED, LIMITED, START)
    (message,) = messages(Changes(events=(event,)))
    assert (message.subject, message.document["id"]) == (USER, event.id)


def test_outbox_messages_list_effects_before_events() -> None:
    effects = (HandoffCancelled(FIRST), AccessEnded(SECOND, START))
    events = tuple(
        Event(kind, pending(), START)
        for kind in (EventKind.CONNECTION_REVOKED, EventKind.CONNECTION_CREATED)
    )
    assert [each.kind for each in messages(Changes((), effects, events))] == [
        "HandoffCancelled",
        "AccessEnded",
        "connection.revoked",
        "connection.created",
    ]


@pytest.mark.slow
@given(strategies.outbox_events())
def test_outbox_message_is_json_and_its_repr_shows_only_its_kind(event: Event) -> None:
    (message,) = messages(Changes(events=(event,)))
    assert json.loads(json.dumps(message.document)) == message.document
    assert repr(message) == f"Message(kind={message.kind!r})"


def test_outbox_messages_of_two_connections_differ_in_subject() -> None:
    found = {
        messages(Changes(events=(Event(EventKind.CONNECTION_CREATED, each, START),)))[0].subject
        for each in (pending(), pending(number=2))
    }
    assert found == {FIRST, SECOND}
