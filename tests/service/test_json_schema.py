"""Functions that build JSON schemas."""

from __future__ import annotations

import pytest

from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service import json_schema
from curae_lifecycle.service.json_schema import Schema


@pytest.mark.parametrize("words", [("live", "test"), tuple(Environment)], ids=["text", "members"])
def test_enum_schema_lists_plain_strings(words: tuple[str, ...]) -> None:
    schema = json_schema.enum_of(words)
    assert schema == {"type": "string", "enum": [str(word) for word in words]}
    listed = schema["enum"]
    assert isinstance(listed, list)
    assert {type(word) for word in listed} == {str}


@pytest.mark.parametrize(
    ("optional", "required"),
    [((), ["one", "two"]), (("one",), ["two"]), (("two", "one"), [])],
)
def test_object_schema_requires_members_and_forbids_unknown_ones(
    optional: tuple[str, ...], required: list[str]
) -> None:
    members = {"one": json_schema.TEXT, "two": json_schema.INTEGER}
    assert json_schema.object_of({**members}, optional=optional) == {
        "type": "object",
        "properties": members,
        "required": required,
        "additionalProperties": False,
    }


def test_object_schema_requires_every_member_by_default() -> None:
    assert json_schema.object_of({"one": {}})["required"] == ["one"]


def test_array_schema_has_one_schema_for_all_items() -> None:
    assert json_schema.array_of(json_schema.UUID) == {"type": "array", "items": json_schema.UUID}


WORDS: Schema = {"type": "string", "enum": ["a"]}
TWO_TYPES: Schema = {"type": ["string", "integer"]}
REFERENCE: Schema = {"$ref": "#/components/schemas/One"}


@pytest.mark.parametrize(
    ("schema", "nullable"),
    [
        ({}, {}),
        ({"type": "string", "format": "uuid"}, {"type": ["string", "null"], "format": "uuid"}),
        (WORDS, {"oneOf": [WORDS, {"type": "null"}]}),
        (TWO_TYPES, {"oneOf": [TWO_TYPES, {"type": "null"}]}),
        (REFERENCE, {"oneOf": [REFERENCE, {"type": "null"}]}),
    ],
    ids=["any value", "one type", "an enumeration", "two types", "a reference"],
)
def test_or_null_adds_null_to_any_schema(schema: Schema, nullable: Schema) -> None:
    assert json_schema.or_null(schema) == nullable
