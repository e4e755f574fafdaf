"""A JSON Schema of the cases of each document of vectors.

The law of this module: **a schema says no more than the cases show**. It has a type for each member,
and requires the members that every case has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final, cast

FILE: Final = "cases.json"
"""The file with all schemas, one definition for each document."""

_TYPES: Final[Mapping[type, str]] = {
    bool: "boolean",
    dict: "object",
    float: "number",
    int: "integer",
    list: "array",
    str: "string",
    type(None): "null",
}
_Schema = dict[str, object]


def schema_file(documents: Iterable[str]) -> dict[str, str]:
    """Return the text of the schemas of some documents, by its file name."""
    definitions: _Schema = {}
    for text in documents:
        document = cast("dict[str, object]", json.loads(text))
        cases = cast("list[object]", document["cases"])
        definitions[cast("str", document["name"])] = {
            "description": document["law"],
            **infer(cases),
        }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "A case of the document NAME is an instance of #/$defs/NAME.",
        "$defs": definitions,
    }
    return {FILE: json.dumps(schema, indent=1, sort_keys=True) + "\n"}


def infer(values: Iterable[object]) -> _Schema:
    """Return the narrowest schema of types and required members that fits all values."""
    seen = list(values)
    types = sorted({_TYPES[type(value)] for value in seen})
    schema: _Schema = {"type": types[0] if len(types) == 1 else types} if types else {}
    objects = [cast("dict[str, object]", value) for value in seen if isinstance(value, dict)]
    if objects:
        names = sorted({name for each in objects for name in each})
        schema["properties"] = {
            name: infer(each[name] for each in objects if name in each) for name in names
        }
        schema["required"] = [name for name in names if all(name in each for each in objects)]
        schema["additionalProperties"] = False
    lists = [cast("list[object]", value) for value in seen if isinstance(value, list)]
    if lists:
        schema["items"] = infer(item for each in lists for item in each)
    return schema
