"""Bodies of own operations whose parsers accept any text, list or object."""

from __future__ import annotations

import json
from functools import partial
from typing import Final

import attrs
import pytest

from curae_lifecycle import ApiKey, MemoryStore, ProblemCode, Settings, serve
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.rules.values import parse_uuid
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.members import Member
from curae_lifecycle.service.operations import operation
from curae_lifecycle.service.operations.operation import BASE_PATH, KeyUse
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.web.request import ParsedBody, Request
from tests.support.server import API_KEY, CALLER, ID
from tests.support.serving import Numbered
from tests.support.strategies import START


@attrs.frozen
class Noted(operation.Reply):
    """The reply to a note: the note as JSON."""

    note: str


@attrs.frozen
class Note(operation.Operation):
    """Note anything."""

    note: object

    reply = Noted
    rule = operation.OperationRule(
        name="note",
        why="[O] For a test.",
        summary="Note anything",
        method="POST",
        path=f"{BASE_PATH}/notes",
        scope=None,
        key=KeyUse.NEEDED,
        status=200,
        body=(Member("note", lambda value: value),),
    )

    def needs(self, caller: Caller) -> Needs:
        del caller
        return Needs()

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        del context
        return operation.Ruling(Noted(json.dumps(self.note)))

    def fingerprint_values(self) -> list[str]:
        return [json.dumps(self.note, ensure_ascii=False)]


def uuid_member(name: str) -> Member[object]:
    return Member(name, partial(parse_uuid, name))


@attrs.frozen
class FiledNote(Note):
    """File a note, which a request names in its path, its query and its body."""

    folder: object
    place: object
    note: object

    rule = operation.OperationRule(
        name="filed-note",
        why="[O] For a test.",
        summary="File a note",
        method="POST",
        path=f"{BASE_PATH}/folders/{{folder}}/notes",
        scope=None,
        key=KeyUse.NEEDED,
        status=200,
        ids=(uuid_member("folder"),),
        query=(uuid_member("place"),),
        body=(uuid_member("note"),),
    )


SETTINGS: Final = Settings(operations=(*OPERATIONS, Note, FiledNote))


def answer(body: bytes | ParsedBody, path: str = "notes") -> tuple[int, dict[str, Json]]:
    store = MemoryStore(SETTINGS, clock=lambda: START)
    store.register(ApiKey(API_KEY), CALLER)
    headers = (("Authorization", f"Bearer {API_KEY}"), ("Idempotency-Key", "k"))
    request = Request(method="POST", target=f"{BASE_PATH}/{path}", headers=headers, body=body)
    response = serve(store, request, Numbered(), settings=SETTINGS).response
    return response.status, json.loads(response.body)


TEXTS: Final = ('"\\ud800"', '["a", "\\udfff"]', '{"\\ud800": 1}', '{"a": [{"b": "\\ud800"}]}')


@pytest.mark.parametrize("note", TEXTS)
@pytest.mark.parametrize("is_parsed", [False, True])
def test_surrogate_in_a_member_of_a_custom_operation_is_invalid(
    note: str, *, is_parsed: bool
) -> None:
    raw = f'{{"note": {note}}}'
    status, problem = answer(ParsedBody(json.loads(raw)) if is_parsed else raw.encode())
    assert (status, problem["code"]) == (400, ProblemCode.BAD_REQUEST)
    assert problem["details"] == {"member": "note", "fault": Fault.INVALID}


@pytest.mark.parametrize("note", ['{"a": 1, "a": 2}', '[{"b": {"a": 1, "a": 1}}]'])
def test_repeated_name_in_a_custom_operations_member_is_refused(note: str) -> None:
    status, problem = answer(f'{{"note": {note}}}'.encode())
    assert status == 400
    assert problem["details"] == {"member": "note", "fault": Fault.REPEATED}


@pytest.mark.parametrize("note", ['"\\ud83d\\ude00"', '"é"', '{"a": [{"b": null}, 1.5, true]}'])
def test_valid_member_of_a_custom_operation_is_read_unchanged(note: str) -> None:
    assert answer(f'{{"note": {note}}}'.encode()) == (200, {"note": json.dumps(json.loads(note))})


@pytest.mark.parametrize(
    ("folder", "place", "note", "named"),
    [
        ("x", "x", "x", "note"),
        ("x", "x", ID, "place"),
        ("x", ID, "x", "note"),
        ("x", ID, ID, "folder"),
        (ID, "x", "x", "note"),
        (ID, "x", ID, "place"),
    ],
)
def test_body_fault_is_reported_before_query_and_path_id_faults(
    folder: str, place: str, note: str, named: str
) -> None:
    path = f"folders/{folder}/notes?place={place}"
    status, problem = answer(json.dumps({"note": note}).encode(), path)
    assert status == 400
    assert problem["details"] == {"member": named, "fault": Fault.INVALID}


def test_members_of_body_query_and_path_reach_the_operation() -> None:
    body = json.dumps({"note": ID}).encode()
    assert answer(body, f"folders/{ID}/notes?place={ID}") == (200, {"note": f'"{ID}"'})
