"""Tests that each invalid value shows the defect that it names, and meets the expected error."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Final, get_args

import attrs
import pytest
from hypothesis import strategies as st

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.rules.values import AppUserId, ConnectionId, DataPackage, parse_uuid
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.stores.codec import Storable, dump, load
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.strategies import CALLERS, START, broken, values
from curae_lifecycle.web.json import MalformedError
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import respond
from tests.support.drawing import drawn_examples
from tests.testing.strategies.drawing import HOUR

AUTHORIZATION: Final = "Authorization"
KEY: Final = "Idempotency-Key"
SECRET: Final = "Bearer cae_live_k1"


# --- Requests -------------------------------------------------------------------------------


def texts_of(request: Request, name: str) -> list[str]:
    return [text for each, text in request.headers if each == name]


def has_texts(name: str, *texts: str) -> Callable[[Request], bool]:
    return lambda request: texts_of(request, name) == [*texts]


def body_of(request: Request) -> bytes:
    assert isinstance(request.body, bytes)
    return request.body


def members_of(request: Request) -> list[str]:
    """Return the names of the body's members, with repetitions."""
    pairs: list[tuple[str, object]] = json.loads(body_of(request), object_pairs_hook=list)
    return [name for name, _ in pairs]


def is_no_json(request: Request) -> bool:
    # Without its last character the body is the object that a valid request has.
    assert isinstance(json.loads(body_of(request)[:-1]), dict)
    return body_of(request).endswith(b"}}")


def has_unknown_member(request: Request) -> bool:
    first, *others = members_of(request)
    return first == "preferSignUp" and set(others) == {"appUserId", "dataPackages"}


def has_repeated_member(request: Request) -> bool:
    names = members_of(request)
    return names[0] == "appUserId" and set(names[1:]) == {"appUserId", "dataPackages"}


BAD: Final = ProblemCode.BAD_REQUEST
UNAUTHENTICATED: Final = ProblemCode.UNAUTHENTICATED
INVALID: Final = ProblemCode.IDEMPOTENCY_KEY_INVALID
NOT_FOUND: Final = ProblemCode.NOT_FOUND
DEFECTS: Final[dict[str, tuple[ProblemCode, Callable[[Request], bool]]]] = {
    "no credentials": (UNAUTHENTICATED, has_texts(AUTHORIZATION)),
    "two credentials": (UNAUTHENTICATED, has_texts(AUTHORIZATION, SECRET, SECRET)),
    "unknown method": (NOT_FOUND, lambda request: request.method == "PUT"),
    "unknown path": (NOT_FOUND, lambda request: request.target == "/nowhere"),
    "malformed id": (BAD, lambda request: len(request.target.rpartition("/")[2]) == 35),
    "no JSON": (BAD, is_no_json),
    "no object": (BAD, lambda request: body_of(request) == b"[]"),
    "unknown member": (BAD, has_unknown_member),
    "repeated member": (BAD, has_repeated_member),
    "null member": (BAD, lambda request: body_of(request) == b'{"appUserId":null}'),
    "missing member": (BAD, lambda request: body_of(request) == b"{}"),
    "no key": (ProblemCode.IDEMPOTENCY_KEY_REQUIRED, has_texts(KEY)),
    "two keys": (INVALID, has_texts(KEY, "k-1", "k-1")),
    "an unclosed key": (INVALID, has_texts(KEY, '"k-1')),
    "a key for an operation that takes none": (
        ProblemCode.IDEMPOTENCY_KEY_NOT_ALLOWED,
        has_texts(KEY, "k-1"),
    ),
}
"""The expected problem of each defect, and what shows the defect."""
OF_EVERY_OPERATION: Final = ("no credentials", "two credentials", "unknown method", "unknown path")
"""The defects of any operation; each other defect is one of a certain operation."""


def test_each_broken_request_shows_its_defect_and_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No defect depends on these values, so one or two of each make the whole domain small.
    caller = CALLERS[0][1]
    connection_id, user = ConnectionId(values.uuid_of(1)), AppUserId("user-1")
    packages = (DataPackage("labs"),)
    every = (Revoke(connection_id), CreateConnection(user, packages))
    monkeypatch.setattr(broken, "callers_with_write_scope", lambda: st.just(caller))
    monkeypatch.setattr(broken, "operations", lambda: st.sampled_from(every))
    monkeypatch.setattr(values, "app_user_ids", lambda: st.just(user))
    monkeypatch.setattr(values, "connection_ids", lambda: st.just(connection_id))
    monkeypatch.setattr(values, "data_packages", lambda: st.just(packages))
    monkeypatch.setattr(values, "idempotency_keys", lambda: st.just("k-0"))
    drawn = drawn_examples(draw.broken_requests(), count=500)
    assert len(drawn) == len(DEFECTS) + len(OF_EVERY_OPERATION)
    assert {each.defect for each in drawn} == {*DEFECTS}
    for each in drawn:
        code, shows = DEFECTS[each.defect]
        assert each.expected_code is code
        assert shows(each.request), each.defect
        if code is not UNAUTHENTICATED:
            assert texts_of(each.request, AUTHORIZATION) == [SECRET]
        known = None if code is UNAUTHENTICATED else caller
        decision = read(each.request, known, START)
        assert not isinstance(decision, Call)
        assert json.loads(respond(decision).response.body)["code"] == code


@pytest.mark.parametrize("texts", [(), ("b",), ("b", "c")])
def test_changed_header_replaces_all_headers_of_that_name(texts: tuple[str, ...]) -> None:
    request = Request("GET", target="/", headers=(("A", "a"), ("B", "b"), ("A", "a2")), body=b"")
    changed = broken._with_header("A", *texts)(request)
    assert changed.headers == (("B", "b"), *(("A", text) for text in texts))
    assert attrs.evolve(changed, headers=request.headers) == request


# --- Arguments ------------------------------------------------------------------------------


def test_each_drawn_broken_argument_raises_an_error_naming_it() -> None:
    drawn = drawn_examples(draw.broken_arguments())
    assert len(drawn) == len({each.defect for each in drawn}) == len(broken._ARGUMENTS)
    names = set[str]()
    for each in drawn:
        with pytest.raises(ArgumentError) as caught:
            each.parse(each.value)
        names.add(caught.value.argument)
    assert names == {"now", "id", "appUserId", "dataPackages", "idempotencyKey"}


def test_parser_that_refuses_a_broken_value_accepts_a_valid_one() -> None:
    for each in drawn_examples(draw.broken_arguments()):
        parsed = {
            "_parse_instant": START,
            "_parse_id": values.uuid_of(1),
            "parse_app_user_id": "user-1",
            "parse_data_packages": ("labs",),
            "parse_idempotency_key": "k-1",
        }
        valid = parsed[each.parse.__name__]
        assert each.parse(valid) in (None, valid)


# --- Stored documents -----------------------------------------------------------------------


STRATEGIES_OF_KINDS: Final = (
    *("connections", "sessions", "bindings", "records"),
    *("log_states", "bucket_states", "callers", "_hosted_pages"),
)
"""The strategies of stored values, each of another kind."""


def changes_of(before: dict[str, Json], after: dict[str, Json]) -> list[str]:
    # By `repr`, since 1 equals True.
    return [name for name, value in after.items() if repr(value) != repr(before.get(name))]


@pytest.mark.slow
def test_drawn_broken_documents_break_every_stored_member(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored: list[Storable] = []
    for name in STRATEGIES_OF_KINDS:
        [value] = drawn_examples(getattr(broken, name)(), count=1)
        monkeypatch.setattr(broken, name, partial(st.just, value))
        stored.append(value)
    # One kind of defect alone makes the domain small.
    defect = "a value of another type"
    [other_type] = (each for each in broken._BREAKAGES if each[0] == defect)
    monkeypatch.setattr(broken, "_BREAKAGES", [other_type])
    documents = {type(value): dump(value) for value in stored}
    changed = set[tuple[object, str]]()
    drawn = drawn_examples(draw.broken_documents(), count=400)
    # The place of a member counts from 0 to 20, and around in a document with fewer members.
    assert len(drawn) == len(documents) * 21
    for each in drawn:
        with pytest.raises(MalformedError):
            load(each.kind, each.document)
        assert isinstance(each.document, dict)
        changed |= {(each.kind, name) for name in changes_of(documents[each.kind], each.document)}
    assert changed == {(kind, name) for kind, document in documents.items() for name in document}
    assert documents.keys() == {*get_args(Storable)}


def test_broken_document_swaps_1_for_true_and_true_for_1() -> None:
    document: dict[str, Json] = {"version": 1, "swept": True}
    numbers = {**document, "version": True}
    booleans = {**document, "swept": 1}
    # By `repr`, since 1 equals True.
    assert repr(broken._with_other_type(document, "version")) == repr(numbers)
    assert repr(broken._with_other_type(document, "swept")) == repr(booleans)


@pytest.mark.slow
def test_broken_documents_are_drawn_with_each_listed_defect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broken, "connections", draw.callers)
    drawn = drawn_examples(draw.broken_documents(), count=30)
    assert {each.defect for each in drawn} == {defect for defect, _ in broken._BREAKAGES}
    for each in drawn:
        with pytest.raises(MalformedError):
            load(each.kind, each.document)


def test_drawn_broken_document_contains_the_defect_it_names() -> None:
    caller = CALLERS[0][1]
    document = dump(caller)
    drawn = [
        broken._break_document(caller, breakage, place)
        for breakage in broken._BREAKAGES
        for place in range(2 * len(document))
    ]
    assert {each.kind for each in drawn} == {Caller}
    changed = defaultdict[str, list[str]](list)
    for each in drawn:
        if isinstance(each.document, dict):
            changed[each.defect] += changes_of(document, each.document)
            assert set(document) <= set(each.document)
        else:
            assert each.document == [document]
    twice = sorted([*document, *document])
    assert {defect: sorted(names) for defect, names in changed.items()} == {
        "an unknown member": ["later"] * len(twice),
        "a value of another type": twice,
        "an object instead of a value": twice,
    }


@pytest.mark.slow
def test_hosted_pages_are_drawn_for_connections_and_sessions() -> None:
    pages = drawn_examples(broken._hosted_pages(), count=20)
    assert {each.kind for each in pages} == {PageKind.CONNECTION, PageKind.SESSION}
    for each in pages:
        assert parse_uuid("subject", each.subject) == each.subject
        assert START <= each.expires_at <= START + HOUR
        assert load(HostedPage, dump(each)) == each
    urls = [f"https://connect.example/{number}" for number in range(1, 100)]
    assert {each.digest for each in pages} <= {*map(url_digest, urls)}
