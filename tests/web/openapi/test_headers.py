"""The headers that the OpenAPI document lists for each status, and those that a server sends."""

from __future__ import annotations

from datetime import datetime
from typing import Final, cast

import pytest

from curae_lifecycle.rules.idempotency import Attempt, RecordKey, begin_attempt, in_flight_record
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.decide import fingerprint
from curae_lifecycle.service.operations import example_values
from curae_lifecycle.service.writes import RecordWrite
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer
from tests.support.instants import commit_writes, handle_at
from tests.web.openapi import test_behaviour
from tests.web.openapi.test_behaviour import (
    OPERATIONS,
    UNTRIED,
    Described,
    Object,
    answer,
    example_request,
    example_store,
    refusal,
)


def documented_headers() -> dict[tuple[str, int], set[str]]:
    """Return the names of the headers of each status of each operation, in lower case."""
    return {
        (name, int(status)): {header.lower() for header in cast("Object", it.get("headers", {}))}
        for name, described in OPERATIONS.items()
        for status, it in cast("dict[str, Object]", described.operation["responses"]).items()
    }


def sent_headers(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, int], set[str]]:
    """Return the names of all headers that a server sent for each status of each operation."""
    sent: dict[tuple[str, int], set[str]] = {}

    def noted(store: MemoryStore, request: Request, now: datetime) -> Answer:
        answered = handle_at(store, request, now)
        names = {header for header, _ in answered.response.headers} - {"content-type"}
        sent.setdefault((name, answered.response.status), set()).update(names)
        return answered

    monkeypatch.setattr(test_behaviour, "handle_at", noted)
    for name, described in OPERATIONS.items():
        store = example_store()
        answer(store, example_request(described))
        # The second one is a replay if the operation takes a key.
        answer(store, example_request(described))
        if name == "getAccountState":
            answer(store, example_request(described, changes={("header", "If-None-Match"): "*"}))
        if "IDEMPOTENCY_KEY_IN_FLIGHT" in described.problems:
            answer(store_in_flight(described), example_request(described))
        for code in described.problems:
            if code not in UNTRIED:
                refusal(name, code)
    return sent


def store_in_flight(described: Described) -> MemoryStore:
    """Return a store in which the example request of an operation is in flight."""
    call = read(example_request(described), example_values.CALLER, example_values.NOW)
    assert isinstance(call, Call)
    assert call.key is not None
    key = RecordKey(example_values.CALLER.key_owner, call.key)
    attempt = begin_attempt(
        None, key=key, fingerprint=fingerprint(call.operation), now=example_values.NOW
    )
    assert isinstance(attempt, Attempt)
    store = example_store()
    assert commit_writes(store, (RecordWrite(key, None, in_flight_record(attempt)),))
    return store


UNSENT: Final = 500
"""The status that no traffic of these tests gets."""


@pytest.mark.slow
def test_sent_headers_equal_the_documented_ones_of_each_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = sent_headers(monkeypatch)
    assert sent == {key: it for key, it in documented_headers().items() if key[1] != UNSENT}


LIMITED: Final = {"cache-control", "ratelimit", "ratelimit-policy", "retry-after"}
BY_HAND: Final[dict[tuple[str, int], set[str]]] = {
    ("getAccountState", 200): {"cache-control", "etag"},
    ("getAccountState", 304): {"cache-control", "etag"},
    **{
        (name, 201): {"cache-control"}
        for name in ("createConnection", "reconnect", "initiate", "startGraduation")
    },
    **{
        (name, 409): {"retry-after"}
        for name in ("createConnection", "reconnect", "revoke", "initiate")
    },
    **{(name, 401): {"www-authenticate"} for name in OPERATIONS},
    **{(name, 429): LIMITED for name in OPERATIONS},
    **{(name, 500): {"retry-after"} for name in OPERATIONS},
}
"""The headers of each status that has any beside its content type, written by hand."""


def test_documented_headers_equal_the_hand_written_ones() -> None:
    # The document and the responses take a problem's headers from one function.
    assert {key: it for key, it in documented_headers().items() if it} == BY_HAND
