"""The OpenAPI document of own operations: names that meet, links, and values of plain types."""

from __future__ import annotations

from typing import cast

import attrs
import pytest

from curae_lifecycle import ArgumentError, Settings
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.service.json_schema import TEXT, Json
from curae_lifecycle.service.members import Member
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.operation import BASE_PATH, Operation, Reply
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.web.openapi import openapi
from tests.support.eighth import Relabel


@attrs.frozen
class Peeked(Reply):
    """A reply that calls its connection something else."""

    seen_connection: Connection


def peek(reply: type[Reply] = Peeked, *, name: str = "Peek", word: str = "peek") -> type[Operation]:
    path = f"{BASE_PATH}/connections/{{connectionId}}:{word}"
    rule = attrs.evolve(Relabel.rule, name=word, path=path)
    return type(name, (Relabel,), {"reply": reply, "rule": rule})


def reply_called(name: str) -> type[Reply]:
    return attrs.frozen(type(name, (Reply,), {"__annotations__": {"word": str}}))


def document_of(*added: type[Operation]) -> dict[str, Json]:
    return openapi(Settings(operations=(*OPERATIONS, *added)))


@pytest.mark.parametrize(
    ("added", "name"),
    [
        ((peek(name="Revoke"),), "Revoke"),
        ((peek(), peek(word="again")), "Peek"),
        ((peek(reply_called("ConnectionShown")),), "ConnectionShown"),
        ((peek(reply_called("Connection")),), "Connection"),
        ((peek(reply_called("NotFound")),), "NotFound"),
        ((peek(reply_called("Peek")),), "Peek"),
        ((peek(name="NextAction"),), "NextAction"),
    ],
)
def test_two_schemas_or_operations_of_the_same_name_raise(
    added: tuple[type[Operation], ...], name: str
) -> None:
    expected = f"^settings.operations: must be classes with replies of other names, not two {name}$"
    with pytest.raises(ArgumentError, match=expected):
        document_of(*added)


def test_operation_without_body_may_share_the_name_of_its_reply() -> None:
    kind = peek(reply_called("Look"), name="Look")
    kind.rule = attrs.evolve(kind.rule, body=None)
    schemas = cast("dict[str, dict[str, dict[str, Json]]]", document_of(kind)["components"])
    assert schemas["schemas"]["Look"]["properties"] == {"word": TEXT}


@pytest.mark.slow
def test_two_operations_may_have_the_same_reply() -> None:
    again = peek(name="PeekAgain", word="again")
    schemas = cast("dict[str, dict[str, Json]]", document_of(peek(), again)["components"])
    assert {"Peeked", "Peek", "PeekAgain"} <= schemas["schemas"].keys()


def test_openapi_link_finds_connection_under_another_member_name() -> None:
    document = openapi(Settings(operations=(GetConnection, peek())))
    paths = cast("dict[str, dict[str, dict[str, dict[str, dict[str, Json]]]]]", document["paths"])
    answer = paths[peek().rule.path]["post"]["responses"]["202"]
    links = cast("dict[str, dict[str, Json]]", answer["links"])
    found = links["getConnection"]["parameters"]
    assert found == {"connectionId": "$response.body#/seenConnection/id"}


def test_non_uuid_path_parameter_has_no_note_on_letter_case() -> None:
    label = Member("label", str, schema=TEXT)
    kind = peek(word="{label}")
    kind.rule = attrs.evolve(kind.rule, ids=(*kind.rule.ids, label), body=None)
    kind = attrs.frozen(type("Named", (kind,), {"__annotations__": {"label": "str"}}))
    paths = cast("dict[str, dict[str, dict[str, list[Json]]]]", document_of(kind)["paths"])
    parameters = paths[kind.rule.path]["post"]["parameters"]
    shown = {"name": "label", "in": "path", "required": True, "schema": TEXT}
    assert shown in parameters


def test_openapi_document_holds_only_plain_json_types() -> None:
    kinds = set[type]()

    def visit(value: Json) -> None:
        kinds.add(type(value))
        if isinstance(value, dict):
            for name, each in value.items():
                visit(name)
                visit(each)
        elif isinstance(value, list):
            for each in value:
                visit(each)

    visit(openapi())
    assert kinds == {dict, list, str, int, bool, type(None)}
