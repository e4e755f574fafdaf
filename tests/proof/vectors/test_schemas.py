"""Tests of the JSON Schema of the vectors."""

from __future__ import annotations

import json
from typing import Final

import pytest
from jsonschema import Draft202012Validator

from docs.generate.vectors import files, schema_files
from docs.generate.vectors.schemas import infer
from tests.support.paths import ROOT

TEXT: Final = schema_files()["cases.json"]
SCHEMA: Final = json.loads(TEXT)
DOCUMENTS: Final = {document["name"]: document for document in map(json.loads, files().values())}


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})


@pytest.mark.slow
def test_vector_schema_file_is_current() -> None:
    assert (ROOT / "docs/vectors/schemas/cases.json").read_text(encoding="utf-8") == TEXT
    Draft202012Validator.check_schema(SCHEMA)


def test_vector_schema_defines_every_document() -> None:
    assert SCHEMA["$defs"].keys() == DOCUMENTS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_every_vector_case_fits_the_schema_of_its_document(name: str) -> None:
    checked = validator(name)
    assert [case["id"] for case in DOCUMENTS[name]["cases"] if not checked.is_valid(case)] == []


def test_case_with_an_unknown_or_missing_member_is_refused() -> None:
    case = DOCUMENTS["life"]["cases"][0]
    checked = validator("life")
    assert checked.is_valid(case)
    assert not checked.is_valid({**case, "input": {**case["input"], "other": 1}})
    assert not checked.is_valid({**case, "answer": {}})
    assert not checked.is_valid({**case, "answer": {"live": "true"}})


def test_inferred_schema_joins_types_and_requires_shared_members() -> None:
    assert infer([{"a": 1, "b": None}, {"a": "x"}, [True, 1.5]]) == {
        "type": ["array", "object"],
        "properties": {"a": {"type": ["integer", "string"]}, "b": {"type": "null"}},
        "required": ["a"],
        "additionalProperties": False,
        "items": {"type": ["boolean", "number"]},
    }
