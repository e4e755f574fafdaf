"""Tests of the JSON Schema of the vectors."""

from __future__ import annotations

import json
from functools import cache
from typing import Final, cast

import pytest
from jsonschema import Draft202012Validator

from curae_lifecycle.service.json_schema import Json
from docs.generate.vectors import files, schema_files
from docs.generate.vectors.schemas import infer
from tests.support.paths import ROOT

FOLDER: Final = ROOT / "docs/vectors"


Object = dict[str, Json]


@cache
def schema() -> dict[str, dict[str, Json]]:
    """Return the schema of all documents."""
    made: dict[str, dict[str, Json]] = json.loads(schema_files()["cases.json"])
    return made


@cache
def documents() -> dict[str, list[Object]]:
    """Return the cases of each document of vectors, by its name."""
    return {each["name"]: each["cases"] for each in map(json.loads, files().values())}


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schema()["$defs"]})


@pytest.mark.slow
def test_vector_schema_file_is_current() -> None:
    made = schema_files()["cases.json"]
    assert (FOLDER / "schemas/cases.json").read_text(encoding="utf-8") == made
    Draft202012Validator.check_schema(schema())


@pytest.mark.slow
def test_vector_schema_has_a_definition_for_each_vector_file() -> None:
    assert schema()["$defs"].keys() == documents().keys()
    assert {path.stem for path in FOLDER.glob("*.json")} == documents().keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.json")))
def test_every_vector_case_fits_the_schema_of_its_document(name: str) -> None:
    checked = validator(name)
    assert [case["id"] for case in documents()[name] if not checked.is_valid(case)] == []


@pytest.mark.slow
def test_vector_case_with_unknown_or_missing_member_is_invalid() -> None:
    case = documents()["life"][0]
    asked = cast("Object", case["input"])
    checked = validator("life")
    assert checked.is_valid(case)
    assert not checked.is_valid({**case, "input": {**asked, "other": 1}})
    assert not checked.is_valid({**case, "answer": {}})
    assert not checked.is_valid({**case, "answer": {"live": "true"}})


def test_inferred_schema_requires_members_that_all_samples_have() -> None:
    assert infer([{"a": 1, "b": None}, {"a": "x"}, [True, 1.5]]) == {
        "type": ["array", "object"],
        "properties": {"a": {"type": ["integer", "string"]}, "b": {"type": "null"}},
        "required": ["a"],
        "additionalProperties": False,
        "items": {"type": ["boolean", "number"]},
    }
