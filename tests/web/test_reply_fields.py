"""JSON and schemas of reply fields, derived from their types."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Final, NewType, Optional, cast

import attrs
import pytest
from jsonschema import Draft202012Validator

from curae_lifecycle import ArgumentError, ConnectionId, NextAction
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.service.json_schema import (
    TEXT,
    UUID,
    Json,
    Schema,
    array_of,
    enum_of,
    object_of,
    or_null,
)
from curae_lifecycle.service.operations.operation import Reply
from curae_lifecycle.web.openapi.schemas import SHARED, reference, reply_schema
from curae_lifecycle.web.wire_format import find_next_action, format_connection, format_reply
from tests.support.strategies import START, apply_trigger, at, next_action, pending, uuid
from tests.support.subjects import TOMBSTONED

Label = NewType("Label", str)
CONNECTION = reference("schemas", "Connection")


@attrs.frozen
class Many(Reply):
    """A reply with fields of types that no reply of the package uses."""

    connections: tuple[Connection, ...] = ()
    pages: tuple[NextAction, ...] = ()
    nested: tuple[tuple[str, ...], ...] = ()
    label: Label = Label("x")
    next_id: ConnectionId | None = None
    old_id: Optional[ConnectionId] = None  # noqa: UP045 - the other spelling of the same
    count: int | None = None
    state: AccountState | None = None
    latest: Connection | None = None
    at: datetime | None = None
    mixed: int | str = 1
    either: int | str | None = None
    anything: object = None


FIELDS: dict[str, Schema] = {
    "connections": {"type": "array", "items": CONNECTION},
    "pages": {"type": "array", "items": reference("schemas", "NextAction")},
    "nested": {"type": "array", "items": {"type": "array", "items": TEXT}},
    "label": TEXT,
    "nextId": {**UUID, "type": ["string", "null"]},
    "oldId": {**UUID, "type": ["string", "null"]},
    "count": {"type": ["integer", "null"]},
    "state": {"oneOf": [enum_of(AccountState), {"type": "null"}]},
    "latest": {"oneOf": [CONNECTION, {"type": "null"}]},
    "at": {"type": ["string", "null"], "format": "date-time", "pattern": "Z$"},
    "mixed": {},
    "either": {},
    "anything": {},
}


@pytest.mark.parametrize(("name", "schema"), FIELDS.items())
def test_reply_field_schema_follows_from_its_type(name: str, schema: Schema) -> None:
    properties = cast("dict[str, Json]", reply_schema(Many)["properties"])
    assert list(properties) == list(FIELDS)
    assert properties[name] == schema


@pytest.mark.parametrize(
    "reply",
    [
        Many(),
        Many(connections=(pending(), pending(number=2)), nested=(("a", "b"), ())),
        Many(next_id=ConnectionId(uuid(1)), state=AccountState.ACTIVE, latest=pending(), at=START),
        Many(pages=(next_action(START),), count=2, either="x"),
    ],
    ids=["empty", "tuples", "set", "pages"],
)
def test_formatted_reply_is_valid_by_its_schema(reply: Many) -> None:
    body = json.loads(json.dumps(format_reply(reply, START, binding=None)))
    schema = {**reply_schema(Many), "components": {"schemas": SHARED}}
    Draft202012Validator(schema).validate(body)


def test_reply_tuple_is_formatted_as_a_list_in_order() -> None:
    first, second = pending(number=2), pending(number=1)
    body = format_reply(Many(connections=(first, second)), START, binding=None)
    assert body["connections"] == [
        format_connection(each, START, binding=None) for each in (first, second)
    ]
    assert body["nested"] == []


ENDED: Final = attrs.evolve(TOMBSTONED, era=at(1), tombstoned_at=at(1))


@pytest.mark.parametrize(
    ("spelling", "binding", "seen"),
    [
        ("ACTIVE", None, ("ACTIVE", None)),
        ("AUTHORIZED", None, ("AUTHORIZED", None)),
        ("ACTIVE", ENDED, ("REVOKED", "2026-01-01T00:01:00Z")),
    ],
)
def test_connections_in_a_reply_are_formatted_like_a_single_one(
    spelling: str, binding: LimitedAccountAppBinding | None, *, seen: tuple[str, str | None]
) -> None:
    active = apply_trigger(pending(), "authorize", START)
    body = format_reply(
        Many(connections=(active,), latest=active), at(1), spelling, binding=binding
    )
    shown = format_connection(active, at(1), spelling, binding=binding)
    assert (shown["status"], shown["revokedAt"]) == seen
    assert (body["connections"], body["latest"]) == ([shown], shown)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Many(), None),
        (Many(connections=(pending(),)), None),
        (Many(pages=(next_action(START),)), next_action(START)),
    ],
)
def test_next_action_is_found_within_tuples_of_a_reply(
    reply: Many, expected: NextAction | None
) -> None:
    assert find_next_action(reply) == expected


@pytest.mark.parametrize(
    ("value", "given"),
    [
        (object(), "an object"),
        ((object(),), "an object"),
        (["a"], "a list"),
        ({"a": 1}, "a dict"),
        (1.5, "a float"),
    ],
)
def test_reply_field_of_an_unknown_type_raises(value: object, given: str) -> None:
    expected = rf"^reply\.anything: must be made of connections, .* plain values, not {given}$"
    with pytest.raises(ArgumentError, match=expected):
        format_reply(Many(anything=value), START, binding=None)


IN_BERLIN: Final = START.astimezone(timezone(timedelta(hours=1)))


@pytest.mark.parametrize("instant", [IN_BERLIN, START.replace(tzinfo=None)])
def test_reply_time_that_is_not_utc_raises(instant: datetime) -> None:
    with pytest.raises(ArgumentError, match=r"^reply\.at: must be an aware datetime whose tzinfo"):
        format_reply(Many(at=instant), START, binding=None)


def test_or_null_schema_accepts_null_and_the_original_values() -> None:
    assert or_null({}) == {}
    constant: Schema = {"const": 1}
    for schema in (TEXT, enum_of(("a",)), array_of(TEXT), object_of({"a": TEXT}), constant):
        assert Draft202012Validator(or_null(schema)).is_valid(None)
        assert not Draft202012Validator(schema).is_valid(None)
    assert Draft202012Validator(or_null(enum_of(("a",)))).is_valid("a")
    assert not Draft202012Validator(or_null(enum_of(("a",)))).is_valid("b")
