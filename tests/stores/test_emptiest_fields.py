"""Tests that stored documents keep the emptiest value of each field that is optional."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import reduce
from typing import Final, get_args

import pytest

from curae_lifecycle import dump, load
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import Record
from curae_lifecycle.rules.ratelimit import BucketState, LogState
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.response import Response, ResponseReference
from curae_lifecycle.stores.callers import format_caller, parse_caller
from curae_lifecycle.stores.codec import Storable
from curae_lifecycle.web.json import MalformedError
from tests.stores.documents import places, with_value, without_member

Document = dict[str, Json]

EARLIEST: Final = "0001-01-01T00:00:00Z"
FIRST_INSTANT: Final = datetime.min.replace(tzinfo=UTC)
COORDINATE: Final[Document] = {
    "environment": "test",
    "app_id": "a",
    "customer_account_id": "00000000-0000-0000-0000-000000000000",
    "app_user_id": "u",
}
IDENTITY: Final[Document] = {
    "id": "c",
    "coordinate": COORDINATE,
    "data_packages": ["p"],
    "created_at": EARLIEST,
    "predecessor_id": None,
    "root_id": "c",
    "position": 2,
    "era": None,
}
BASES: Final[dict[type[Storable], Document]] = {
    Connection: {
        "format": 1,
        "identity": IDENTITY,
        "status": "PENDING",
        "updated_at": EARLIEST,
        "handoff_deadline": None,
        "authorized_at": None,
        "expires_at": None,
        "action_required_reason": None,
        "revoked_at": None,
        "revoked_by": None,
        "version": 2,
    },
    CuraeConnectSession: {
        "format": 1,
        "id": "s",
        "coordinate": COORDINATE,
        "path": "NEW_ACTIVE_SIGNUP_HANDOFF",
        "handoff": "AWAITED",
        "created_at": EARLIEST,
        "expires_at": EARLIEST,
        "landed_at": None,
        "user_id": None,
        "era": None,
    },
    LimitedAccountAppBinding: {
        "format": 1,
        "coordinate": COORDINATE,
        "user_id": None,
        "state": "TOMBSTONED",
        "generation": 0,
        "version": 2,
        "era": None,
        "tombstoned_at": None,
        "tombstone_reported_at": None,
        "swept": True,
    },
    Record: {
        "format": 1,
        "key": {
            "owner": {
                "api_key_id": "k",
                "environment": "test",
                "app_id": "a",
                "customer_account_id": "00000000-0000-0000-0000-000000000000",
            },
            "key": "!",
        },
        "fingerprint": {"operation": "", "values": ""},
        "state": "FORGOTTEN",
        "token": 1,
        "first_used_at": EARLIEST,
        "seen_at": EARLIEST,
        "lease_until": None,
        "lost_lease": "execute",
        "response": None,
    },
    LogState: {"format": 1, "instants": [0]},
    BucketState: {"format": 1, "full_at": 0, "part": 0},
    Caller: {
        "format": 1,
        "api_key_id": "k",
        "app_id": "a",
        "customer_account_id": "00000000-0000-0000-0000-000000000000",
        "environment": "test",
        "scopes": ["s"],
    },
    HostedPage: {
        "format": 1,
        "digest": "",
        "kind": "user",
        "subject": "",
        "expires_at": EARLIEST,
        "version": 2,
    },
}
"""One document of each kind, in which every field that is optional has another value."""

EMPTIEST: Final[list[tuple[type[Storable], str, Json, object]]] = [
    (Connection, "identity.predecessor_id", "", ""),
    (Connection, "identity.position", 1, 1),
    (Connection, "identity.era", EARLIEST, FIRST_INSTANT),
    (Connection, "handoff_deadline", EARLIEST, FIRST_INSTANT),
    (Connection, "authorized_at", EARLIEST, FIRST_INSTANT),
    (Connection, "expires_at", EARLIEST, FIRST_INSTANT),
    (Connection, "action_required_reason", "", ""),
    (Connection, "revoked_at", EARLIEST, FIRST_INSTANT),
    (Connection, "revoked_by", "APP", Actor.APP),
    (Connection, "version", 0, 0),
    (CuraeConnectSession, "landed_at", EARLIEST, FIRST_INSTANT),
    (CuraeConnectSession, "user_id", "", ""),
    (CuraeConnectSession, "era", EARLIEST, FIRST_INSTANT),
    (LimitedAccountAppBinding, "user_id", "", ""),
    (LimitedAccountAppBinding, "version", 0, 0),
    (LimitedAccountAppBinding, "era", EARLIEST, FIRST_INSTANT),
    (LimitedAccountAppBinding, "tombstoned_at", EARLIEST, FIRST_INSTANT),
    (LimitedAccountAppBinding, "tombstone_reported_at", EARLIEST, FIRST_INSTANT),
    (LimitedAccountAppBinding, "swept", False, False),
    (Record, "lease_until", EARLIEST, FIRST_INSTANT),
    (
        Record,
        "response",
        {"status": 200, "headers": [], "body": ""},
        Response(status=200, headers=(), body=b""),
    ),
    (Record, "response", {"status": 200, "reference": ""}, ResponseReference(200, "")),
    (HostedPage, "version", 0, 0),
    (LogState, "instants", [], ()),
    (Caller, "scopes", [], frozenset()),
]
"""Each optional field: its kind, path, emptiest stored member and the value that is read.

A log without instants and a caller without scopes are empty, too, although neither is optional.
"""


def at_path(kind: type[Storable], path: str, member: Json) -> Json:
    """Return the base document of a kind with another member at a path."""
    return with_value(BASES[kind], tuple(path.split(".")), member)


def value_at(value: object, path: str) -> object:
    """Return the value of a field of a loaded value."""
    if isinstance(value, LogState):
        return value.instants
    return reduce(getattr, path.split("."), value)


def is_optional(kind: type[Storable], path: tuple[str, ...]) -> bool:
    """Return whether a document of this kind is loaded with null at a path, or without a member."""
    for document in (with_value(BASES[kind], path, None), without_member(BASES[kind], path)):
        try:
            load(kind, document)
        except MalformedError:
            continue
        return True
    return False


def test_lowest_value_cases_cover_every_optional_stored_field() -> None:
    assert BASES.keys() == set(get_args(Storable))
    optional = {
        (kind, ".".join(path))
        for kind, document in BASES.items()
        for path in places(document)
        if is_optional(kind, path)
    }
    always_there: set[tuple[type[Storable], str]] = {(LogState, "instants"), (Caller, "scopes")}
    assert {(kind, path) for kind, path, _, _ in EMPTIEST} == optional | always_there


@pytest.mark.parametrize(("kind", "path", "member", "expected"), EMPTIEST)
def test_empty_or_lowest_value_of_stored_field_loads_unchanged(
    kind: type[Storable], path: str, member: Json, expected: object
) -> None:
    written = at_path(kind, path, member)
    value: Storable = load(kind, written)
    found = value_at(value, path)
    # An enum member equals its text; only the repr tells them apart.
    assert (found, repr(found)) == (expected, repr(expected))
    assert json.loads(json.dumps(dump(value))) == written


NULLABLE: Final = [each[:3] for each in EMPTIEST if at_path(*each[:2], None) == BASES[each[0]]]


@pytest.mark.parametrize(("kind", "path", "member"), NULLABLE)
def test_empty_or_lowest_stored_value_is_not_loaded_as_null(
    kind: type[Storable], path: str, member: Json
) -> None:
    with_null: Storable = load(kind, BASES[kind])
    assert value_at(with_null, path) is None
    assert load(kind, at_path(kind, path, member)) != with_null


def test_caller_without_scopes_loads_from_document_and_json() -> None:
    caller = load(Caller, at_path(Caller, "scopes", []))
    assert caller.scopes == frozenset()
    assert parse_caller(format_caller(caller)) == caller
