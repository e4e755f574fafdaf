"""Tests that similar ids stay distinct: in memory, in stored documents, in events and in logs."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Final

import attrs
import pytest

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules import ratelimit
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, create
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    IdempotencyKey,
    Record,
    RecordKey,
    begin_attempt,
    completed_record,
)
from curae_lifecycle.rules.session import CuraeConnectSession, initiate
from curae_lifecycle.rules.values import (
    AppUserId,
    ConnectionId,
    Coordinate,
    DataPackage,
    SessionId,
    UserId,
    parse_app_user_id,
)
from curae_lifecycle.service.events import Event, EventKind
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.codec import Storable, dump, load
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.web.json import format_json, parse_json
from curae_lifecycle.web.request import Request
from tests.stores.twins import FEW, LONGEST, TWINS, check_all, folded, owner, unusual
from tests.support.instants import handle_at, record_at
from tests.support.server import new_ids
from tests.support.strategies import START, next_action, uuid


@pytest.mark.slow
def test_sample_similar_ids_are_valid_and_equal_if_case_folded() -> None:
    assert len(set(TWINS)) == len(TWINS) > 30
    assert len({folded(each) for each in TWINS}) == 1
    assert len(FEW) == 9
    assert set(FEW) < set(TWINS)
    for each in (*TWINS, LONGEST, *unusual()):
        assert parse_app_user_id(each) == each


# --- Memory ---------------------------------------------------------------------------------


@attrs.frozen
class InMemory:
    """A store in memory on a fixed clock."""

    store: MemoryStore = attrs.field(factory=MemoryStore)
    numbers: count[int] = attrs.field(factory=lambda: count(1))

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        self.store.register(api_key, caller)

    def send(self, request: Request) -> Response:
        return handle_at(self.store, request, START, new_ids=new_ids(next(self.numbers))).response

    def record_fact(self, fact: Fact) -> FactAnswer:
        return record_at(self.store, fact, START)

    def replace_buckets(self, buckets: tuple[ratelimit.Bucket, ...]) -> None:
        self.store.replace_buckets(buckets)

    def connection(self, connection_id: ConnectionId) -> Connection | None:
        return self.store.connection(connection_id)

    def binding(self, coordinate: Coordinate) -> LimitedAccountAppBinding | None:
        return self.store.binding(coordinate)


@pytest.mark.slow
def test_similar_ids_stay_distinct_in_a_memory_store() -> None:
    check_all(InMemory(), TWINS)


# --- Stored documents -----------------------------------------------------------------------

ID: Final = ConnectionId(uuid(1))


def coordinate(text: str) -> Coordinate:
    return owner(app_id=text).coordinate(AppUserId(text))


def a_connection(text: str) -> Connection:
    packages = (DataPackage("labs"),)
    return create(
        id=ID,
        coordinate=coordinate(text),
        data_packages=packages,
        now=START,
        next_action=next_action(START),
        era=None,
    )


def a_binding(text: str) -> LimitedAccountAppBinding:
    return LimitedAccountAppBinding(
        coordinate=coordinate(text), user_id=UserId(text), state=AccountState.LIMITED, generation=1
    )


def a_session(text: str) -> CuraeConnectSession:
    made = initiate(
        None,
        coordinate(text),
        START,
        prefer_signup=False,
        id=SessionId(uuid(2)),
        user_id=UserId(text),
        next_action=next_action(START),
    )
    return made.value.session


def a_record(text: str) -> Record:
    key = RecordKey(owner(api_key_id=text, app_id=text).key_owner, IdempotencyKey("k-1"))
    attempt = begin_attempt(
        None, key=key, fingerprint=Fingerprint.of("create-connection", [text]), now=START
    )
    assert isinstance(attempt, Attempt)
    return completed_record(attempt, Response(201, (), text.encode()))


MAKERS: Final[dict[str, Callable[[str], Storable]]] = {
    "connection": a_connection,
    "binding": a_binding,
    "session": a_session,
    "record": a_record,
}


def kept(value: Storable) -> bytes:
    return format_json(dump(value))


@pytest.mark.parametrize("kind", MAKERS)
def test_similar_ids_stay_distinct_in_stored_documents(kind: str) -> None:
    make = MAKERS[kind]
    texts = [kept(make(text)) for text in TWINS]
    assert len(set(texts)) == len(TWINS)
    for text, stored in zip(TWINS, texts, strict=True):
        value = make(text)
        assert load(type(value), parse_json(stored)) == value
        # A store may escape every letter that is not ASCII.
        escaped = json.dumps(json.loads(stored))
        assert load(type(value), parse_json(escaped)) == value


@pytest.mark.slow
def test_every_code_point_of_an_app_user_id_is_loaded_unchanged() -> None:
    for text in (LONGEST, *unusual()):
        value = a_binding(text)
        loaded = load(LimitedAccountAppBinding, parse_json(kept(value)))
        assert loaded.coordinate.app_user_id.encode() == text.encode()


def test_events_of_similar_ids_have_distinct_ids() -> None:
    names = {Event(EventKind.BINDING_PROVISIONED, a_binding(text), START).id for text in TWINS}
    assert len(names) == len(TWINS)


def test_fingerprints_of_similar_ids_differ() -> None:
    assert len({Fingerprint.of("initiate", [text]) for text in TWINS}) == len(TWINS)
    # Values whose parts are joined differently have different fingerprints.
    lines = ("a\nb", "c"), ("a", "b\nc"), ("a", "b", "c"), ("a\u2028b", "c"), ("a\x85b", "c")
    assert len({Fingerprint.of("create-connection", [*values]) for values in lines}) == len(lines)


# --- Logs -----------------------------------------------------------------------------------


def line(**members: Json) -> bytes:
    return json.dumps({"at": "2026-01-01T00:00:00Z", **members}).encode()


def test_similar_ids_stay_distinct_in_a_replayed_log() -> None:
    account = "d8c60791-7301-441c-98e8-5bea9a162d9b"
    registered = [
        line(
            register={
                "apiKey": f"cae_live_{number}",
                "appId": text,
                "customerAccountId": account,
                "scopes": ["connection:write"],
            }
        )
        for number, text in enumerate(TWINS)
    ]
    created = [
        line(
            request={
                "method": "POST",
                "path": "/api/sdk/v1/connections",
                "headers": {"Authorization": f"Bearer cae_live_{number}", "Idempotency-Key": "k"},
                "body": {"appUserId": text, "dataPackages": ["labs"]},
            },
            **{"as": text},
        )
        for number, text in enumerate(TWINS)
    ]
    # The name of an answer is compared exactly as well; a UUID is read in any case.
    revoked = line(fact={"type": "connection.revoke", "actor": "PATIENT",
                         "connectionId": "{" + TWINS[3] + ".connection.id}"})  # fmt: skip
    asked = [
        line(ask={"type": "access", "connectionId": "{" + text + ".connection.id}",
                  "dataPackage": "labs"})
        for text in TWINS
    ]  # fmt: skip
    answers = [each.answer for each in replay([*registered, *created, revoked, *asked])]
    bodies = [json.loads(str(each["body"])) for each in answers[len(TWINS) : 2 * len(TWINS)]]
    assert [each["connection"]["appUserId"] for each in bodies] == [*TWINS]
    reasons = [each["reason"] for each in answers[-len(TWINS) :]]
    assert reasons == ["REVOKED" if text == TWINS[3] else "PENDING" for text in TWINS]


def test_customer_account_id_is_read_in_upper_or_lower_case() -> None:
    account = "d8c60791-7301-441c-98e8-5bea9a162d9b"
    key: Json = {
        "apiKey": "cae_live_1",
        "appId": "app-1",
        "customerAccountId": account.upper(),
        "scopes": ["connection:write"],
    }
    asked: Json = {
        "method": "POST",
        "path": "/api/sdk/v1/curae-connect/initiate",
        "headers": {"Authorization": "Bearer cae_live_1", "Idempotency-Key": "k"},
        "body": {"appUserId": "user-1"},
    }
    ended = {"type": "binding.tombstone", "appUserId": "user-1", "appId": "app-1"}
    lines = [
        line(register=key),
        line(request=asked),
        line(fact={**ended, "customerAccountId": account[:-1] + "c"}),
        line(fact={**ended, "customerAccountId": account, "type": "binding.graduate"}),
    ]
    answers = [each.answer for each in replay(lines)]
    assert json.loads(str(answers[1]["body"]))["session"]["customerAccountId"] == account
    # The user of the other account is tombstoned alone, so this one can graduate.
    assert [each["outcome"] for each in answers[2:]] == ["done", "done"]
