"""Events as JSON, and the AsyncAPI document, against events of real traffic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache, reduce
from itertools import islice, permutations
from typing import ClassVar, cast

import attrs
import pytest
from jsonschema import Draft202012Validator

from curae_lifecycle.replay import log as logs
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.merge import merge
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.events import Event, EventKind
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.web.events import asyncapi, format_event
from curae_lifecycle.web.json import format_json
from curae_lifecycle.web.wire_format import parse_connection
from tests.proof.reference.traffic import traffic
from tests.support import subjects
from tests.support.paths import ROOT
from tests.support.server import ID
from tests.support.strategies import COORDINATE, START, TICK, apply_trigger, at, pending

COMMITTED = ROOT / "docs" / "asyncapi.json"
DOCUMENT = cast("dict[str, Json]", json.loads(json.dumps(asyncapi())))


# --- Format -----------------------------------------------------------------------------------

OWNER: dict[str, Json] = {
    "environment": "live",
    "appId": "app-1",
    "customerAccountId": COORDINATE.customer_account_id,
    "appUserId": "user-1",
}
WIRE: dict[str, Json] = {
    "id": ID,
    "customerAccountId": COORDINATE.customer_account_id,
    "appUserId": "user-1",
    "status": "PENDING",
    "dataPackages": ["clinical_summary", "labs"],
    "authorizedAt": None,
    "expiresAt": None,
    "revokedAt": None,
    "actionRequiredReason": None,
    "createdAt": "2026-01-01T00:00:00Z",
    "updatedAt": "2026-01-01T00:00:00Z",
}


def test_event_json_has_id_kind_time_owner_and_subject() -> None:
    event = Event(EventKind.CONNECTION_CREATED, pending(), START)
    assert format_event(event) == {
        "id": event.id,
        "kind": "connection.created",
        "at": "2026-01-01T00:00:00Z",
        "coordinate": OWNER,
        "subject": WIRE,
    }


def test_connection_in_an_event_has_its_status_at_event_time() -> None:
    kind = EventKind.CONNECTION_CREATED
    for now, status in ((at(29), "PENDING"), (at(30), "EXPIRED")):
        assert format_event(Event(kind, pending(), now))["subject"] == {**WIRE, "status": status}
    active = apply_trigger(pending(), "authorize", at(1))
    event = Event(EventKind.CONNECTION_AUTHORIZED, active, at(1))
    for spelling in ("ACTIVE", "AUTHORIZED"):
        subject = format_event(event, Settings(active_spelling=spelling))["subject"]
        assert isinstance(subject, dict)
        assert subject["status"] == spelling


def test_connection_made_after_tombstone_is_pending_in_its_event() -> None:
    identity = attrs.evolve(pending().identity, era=START)
    made = attrs.evolve(pending(), identity=identity)
    assert format_event(Event(EventKind.CONNECTION_CREATED, made, START))["subject"] == WIRE


def test_session_or_account_in_an_event_shows_no_internal_member() -> None:
    landed = format_event(Event(EventKind.SESSION_LANDED, subjects.LANDED, at(1)))
    assert landed["subject"] == {
        "id": subjects.SESSION,
        "customerAccountId": COORDINATE.customer_account_id,
        "appUserId": "user-1",
        "path": "NEW_ACTIVE_SIGNUP_HANDOFF",
        "handoff": "LANDED",
        "createdAt": "2026-01-01T00:00:00Z",
        "expiresAt": "2026-01-01T00:30:00Z",
        "landedAt": "2026-01-01T00:01:00Z",
    }
    gone = format_event(Event(EventKind.BINDING_TOMBSTONED, subjects.TOMBSTONED, at(1)))
    assert (gone["coordinate"], gone["subject"]) == (OWNER, {"lifecycleState": "TOMBSTONED"})


# --- Events of real traffic -------------------------------------------------------------------


class Outbox(MemoryStore):
    """A store that records every committed event."""

    seen: ClassVar[list[Event]] = []

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        stored = super().commit(loaded, changes, page)
        if stored:
            self.seen.extend(changes.events)
        return stored


@cache
def emitted_by(seed: int) -> tuple[Event, ...]:
    """Return every event of a log of mixed traffic, in order."""
    Outbox.seen.clear()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(logs, "MemoryStore", Outbox)
        for _ in logs.replay(traffic(seed, 400)):
            pass
    return tuple(Outbox.seen)


def emitted() -> Iterator[Event]:
    """Yield every event of a few logs."""
    for seed in SEEDS:
        yield from emitted_by(seed)


SEEDS = range(6)


@cache
def validator(kind: EventKind) -> Draft202012Validator:
    """Return a validator for the schema of a message."""
    schema = {
        "$ref": f"#/components/messages/{kind}/payload",
        "components": DOCUMENT["components"],
    }
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


@pytest.mark.slow
def test_emitted_event_is_valid_by_its_own_asyncapi_message_only() -> None:
    assert {event.kind for event in emitted()} == set(EventKind)
    for event in emitted():
        document = json.loads(format_json(format_event(event)))
        validator(event.kind).validate(document)
        for other in EventKind:
            assert other == event.kind or not validator(other).is_valid(document)


def names(value: object) -> Iterator[str]:
    """Yield the name of every member of a document, at any depth."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from names(each)
    elif isinstance(value, list):
        for each in value:
            yield from names(each)


LISTED = {
    *("id", "kind", "at", "coordinate", "subject", "environment", "appId", "lifecycleState"),
    *(name for name in WIRE),
    *("path", "handoff", "landedAt"),
}


@pytest.mark.slow
def test_events_contain_no_url_no_api_key_and_no_user_id() -> None:
    secrets = ("https://", "cae_live", "cae_test", "limited-", "user-of")
    users = {
        event.subject.user_id
        for event in emitted()
        if isinstance(event.subject, LimitedAccountAppBinding | CuraeConnectSession)
    } - {None}
    assert users
    for event in emitted():
        document = format_event(event)
        assert set(names(document)) <= LISTED
        text = format_json(document).decode()
        assert not any(secret in text for secret in secrets)
        assert not any(f'"{user}"' in text for user in users), "a user id never leaves the platform"


@pytest.mark.slow
def test_no_two_events_share_an_id() -> None:
    by_id: dict[object, dict[str, Json]] = {}
    for event in emitted():
        document = format_event(event)
        named = (document["kind"], document["at"], document["coordinate"], subject_id(document))
        first = by_id.setdefault(document["id"], document)
        assert named == (
            first["kind"],
            first["at"],
            first["coordinate"],
            subject_id(first),
        ), "two events have one id"


def test_events_a_microsecond_apart_have_different_ids() -> None:
    kind, connection = EventKind.CONNECTION_REISSUED, pending()
    ids = {Event(kind, connection, START + by * TICK).id for by in (0, 1, 2)}
    assert len(ids) == 3


def subject_id(document: dict[str, Json]) -> Json:
    subject = document["subject"]
    assert isinstance(subject, dict)
    return subject.get("id")


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_connection_events_merge_to_latest_state_in_any_order(seed: int) -> None:
    latest: dict[str, Connection] = {}
    heard: dict[str, list[Connection]] = {}
    for event in emitted_by(seed):
        if isinstance(event.subject, Connection):
            owner = event.coordinate
            snapshot = parse_connection(
                format_event(event)["subject"],
                environment=owner.environment,
                app_id=owner.app_id,
            )
            heard.setdefault(event.subject.id, []).append(snapshot)
            latest[event.subject.id] = snapshot
    assert max(map(len, heard.values())) >= 2
    for connection_id, snapshots in heard.items():
        for order in islice(permutations(snapshots), 24):
            joined = reduce(merge, (*order, *snapshots))
            assert joined.status == latest[connection_id].status
            assert joined.revoked_at == latest[connection_id].revoked_at


# --- The AsyncAPI document --------------------------------------------------------------------


def test_committed_asyncapi_matches_the_generated_one() -> None:
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == json.loads(json.dumps(asyncapi()))


SUMMARIES: dict[str, str] = {
    "connection.created": "A connection was made; its patient has not authorized yet.",
    "connection.authorized": "The patient authorized: the connection is active.",
    "connection.action_required": "The patient must act before data flows again.",
    "connection.expired": "The authorization is over.",
    "connection.revoked": "The connection was revoked, for ever.",
    "connection.reissued": "A pending connection has a new hosted page.",
    "connect_session.initiated": "A connect session was started.",
    "connect_session.landed": "The hosted page gave the user over to the app.",
    "binding.provisioned": "A LIMITED user was provisioned.",
    "binding.signed_up": "A user signed up and is bound.",
    "binding.graduated": "The LIMITED user became ACTIVE.",
    "binding.tombstoned": "The user is gone: whatever was made before is over.",
}
MEMBERS = {
    "id": {
        "type": "string",
        "format": "uuid",
        "pattern": "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
    },
    "at": {"type": "string", "format": "date-time", "pattern": "Z$"},
    "coordinate": {"$ref": "#/components/schemas/Coordinate"},
}
SUBJECT_OF = {
    "connection": "Connection",
    "connect_session": "CuraeConnectSession",
    "binding": "Account",
}


def test_asyncapi_operations_equal_the_hand_written_ones() -> None:
    # `send` is said by the application that the document describes: the server.
    assert part(DOCUMENT, "operations") == {
        "publish": {
            "action": "send",
            "channel": {"$ref": "#/channels/events"},
            "summary": "Deliver an event, at least once and in any order.",
            "description": "The server delivers an event again until the receiver has accepted it.",
        }
    }


def test_asyncapi_channels_equal_the_hand_written_ones() -> None:
    assert part(DOCUMENT, "channels") == {
        "events": {
            "description": "Wherever the server delivers its events: a queue or a webhook.",
            "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in SUMMARIES},
        }
    }


def test_asyncapi_messages_equal_the_hand_written_ones() -> None:
    assert part(DOCUMENT, "components", "messages") == {
        kind: {
            "name": kind,
            "summary": summary,
            "payload": {
                "type": "object",
                "properties": {
                    **MEMBERS,
                    "kind": {"const": kind},
                    "subject": {"$ref": f"#/components/schemas/{SUBJECT_OF[kind.split('.')[0]]}"},
                },
                "required": ["id", "kind", "at", "coordinate", "subject"],
                "additionalProperties": False,
            },
        }
        for kind, summary in SUMMARIES.items()
    }
    assert list(part(DOCUMENT, "components", "schemas")) == [
        "Connection",
        "CuraeConnectSession",
        "Account",
        "Coordinate",
    ]


def test_asyncapi_has_a_message_for_each_kind_of_event() -> None:
    assert list(SUMMARIES) == [kind.value for kind in EventKind]
    assert DOCUMENT["asyncapi"] == "3.0.0"


def part(document: Json, *path: str) -> dict[str, Json]:
    """Return the object at a path of the document."""
    for name in path:
        assert isinstance(document, dict)
        document = document[name]
    assert isinstance(document, dict)
    return document


def test_every_asyncapi_reference_resolves() -> None:
    found = list(references(DOCUMENT))
    assert len(found) >= 3 * len(EventKind)
    for reference in found:
        assert part(DOCUMENT, *reference.removeprefix("#/").split("/"))


def references(value: object) -> Iterator[str]:
    """Yield every reference in a document."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name == "$ref":
                yield str(each)
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


@pytest.mark.slow
def test_every_asyncapi_schema_is_valid() -> None:
    components = part(DOCUMENT, "components")
    for name in part(components, "schemas"):
        Draft202012Validator.check_schema(part(components, "schemas", name))
    for kind in EventKind:
        Draft202012Validator.check_schema(part(components, "messages", kind, "payload"))
