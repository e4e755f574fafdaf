"""JSON schemas of the values that requests, replies and problems hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from curae_lifecycle.rules import values

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""A JSON value as Python holds it."""

Schema = dict[str, Json]
"""A JSON schema, or another object of the API's OpenAPI document."""

TEXT: Final[Schema] = {"type": "string"}
"""The schema of any text."""

BOOLEAN: Final[Schema] = {"type": "boolean"}
"""The schema of true or false."""

INTEGER: Final[Schema] = {"type": "integer"}
"""The schema of a whole number."""

TIME: Final[Schema] = {"type": "string", "format": "date-time", "pattern": "Z$"}
"""The schema of an RFC 3339 time that ends in `Z`."""

UUID: Final[Schema] = {
    "type": "string",
    "format": "uuid",
    "pattern": "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
}
"""The schema of a UUID in any case."""

_CONTROL: Final = r"\u0000-\u001f\u007f-\u009f"
_WHITE: Final = r"\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

APP_USER_ID: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": values.APP_USER_ID_MAX_LENGTH,
    "pattern": f"^[^{_CONTROL}{_WHITE}](?:[^{_CONTROL}]*[^{_CONTROL}{_WHITE}])?$",
    "description": "The app's own id of its user: opaque, compared exactly; no white space at "
    "either end, no control characters.",
}
"""The schema of an app's own id of its user."""

DATA_PACKAGES: Final[Schema] = {
    "type": "array",
    "minItems": 1,
    "maxItems": values.DATA_PACKAGES_MAX_COUNT,
    "items": {
        "type": "string",
        "pattern": f"^[a-z][a-z0-9_]{{0,{values.DATA_PACKAGE_MAX_LENGTH - 1}}}$",
    },
    "description": "A set: neither order nor repetition matters; answers have it sorted.",
}
"""The schema of a set of data packages."""


def enum_of(words: Iterable[str]) -> Schema:
    """Return the schema of a string that is one of `words`."""
    return {"type": "string", "enum": [str(word) for word in words]}


def object_of(properties: dict[str, Json], *, optional: tuple[str, ...] = ()) -> Schema:
    """Return the schema of an object with the members in `properties` and no others.

    Args:
        properties: The schema of each member, by its name.
        optional: The names of the members that may be absent.
    """
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def array_of(items: Schema) -> Schema:
    """Return the schema of a list whose items all have the schema `items`."""
    return {"type": "array", "items": items}


def or_null(schema: Schema) -> Schema:
    """Return the schema of a value that either is null or has the schema `schema`."""
    if not schema:
        return {}
    kind = schema.get("type")
    if not isinstance(kind, str) or "enum" in schema:
        return {"oneOf": [schema, {"type": "null"}]}
    return {**schema, "type": [kind, "null"]}
