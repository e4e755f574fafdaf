"""Reprs that hide bodies, secret parts of URLs, user ids and API keys."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from typing import cast, get_args, get_type_hints

import attrs
import pytest

import curae_lifecycle as curae
from curae_lifecycle.replay.log import replay
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.members import CONNECTION_ID, USER_ID, ParsedMembers
from curae_lifecycle.service.operations.initiate import SessionInitiated
from curae_lifecycle.stores.sql.callers import StoredCaller
from curae_lifecycle.stores.sql.loading import LoadedRow
from curae_lifecycle.stores.sql.postgresql import AsyncBoundedConnection
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.web.request import ParsedBody
from tests.proof.purity import PURE, REPLAY, STORES
from tests.support import server
from tests.support.instants import caller_at, commit_writes, record_at
from tests.support.strategies import COORDINATE, START, at, uuid

USER = curae.UserId("user-secret")
PAGE = curae.NextAction("https://connect.example/page-secret", at(30))
KEY = curae.ApiKey("cae_live_key-secret")
BODY = b'{"appUserId":"body-secret"}'


def test_repr_of_values_that_a_server_handles_hides_secrets() -> None:
    shown = {type(value).__name__: f"{value!r} {value}" for value in session_values()}
    assert {name: text for name, text in shown.items() if "-secret" in text} == {}
    assert len(shown) >= 20


def session_values() -> Iterator[object]:
    """Yield the values that a server holds during a connect session."""
    ids = attrs.evolve(server.new_ids(), user_id=USER, next_action=PAGE)
    headers = (("Authorization", "Bearer cae_live_key-secret"), ("Idempotency-Key", "k-1"))
    path = "/api/sdk/v1/curae-connect/initiate"
    yield from (USER_IN_A_FACT, PAGE, KEY, ids, ParsedBody({"appUserId": "body-secret"}))
    request = curae.Request(
        method="POST", target=f"{path}?page=page-secret", headers=headers, body=BODY
    )
    caller = server.CALLER
    # One session provisions a user, the other waits for a sign-up.
    for body in (b'{"appUserId":"user-1"}', b'{"appUserId":"user-1","preferSignup":true}'):
        asked = attrs.evolve(request, body=body)
        store = curae.MemoryStore(clock=lambda: START)
        store.register(KEY, caller)
        yield from (store, request, asked)
        call = curae.read(asked, caller_at(store, curae.bearer(asked)), START)
        assert not isinstance(call, curae.Decision)
        snapshot = store.load(call.needs).snapshot
        decision = curae.decide(call, snapshot=snapshot, now=START, new_ids=ids)
        assert isinstance(decision.reply, SessionInitiated)
        answer = curae.respond(decision)
        assert b"page-secret" in answer.response.body
        assert commit_writes(store, answer.changes.writes)
        yield from (call, snapshot, decision, decision.reply, answer, answer.response)
        yield from (answer.changes, *answer.changes.writes, *answer.changes.effects)
        yield from answer.changes.events
        again = curae.decide(call, snapshot=store.load(call.needs).snapshot, now=at(1), new_ids=ids)
        assert again.replayed
        yield from (again, again.reply, curae.respond(again))
        facts = (
            curae.HandoffCompleted(decision.reply.session.id, USER),
            curae.Graduated(COORDINATE, USER),
            curae.Tombstoned(COORDINATE),
        )
        for fact in facts:
            yield from (fact, store.load(fact.needs()).snapshot, record_at(store, fact, at(2)))
    yield from replay(LOG, check=True)


USER_IN_A_FACT = ParsedMembers({CONNECTION_ID.name: uuid(1), USER_ID.name: USER})
LOG = [
    json.dumps({"at": "2026-01-01T00:00:00Z", **line}).encode()
    for line in (
        {
            "register": {
                "apiKey": "cae_live_key-secret",
                "appId": "app-1",
                "customerAccountId": COORDINATE.customer_account_id,
                "scopes": ["connection:write"],
            }
        },
        {
            "request": {
                "method": "POST",
                "path": "/api/sdk/v1/curae-connect/initiate",
                "headers": {
                    "authorization": "Bearer cae_live_key-secret",
                    "idempotency-key": "k-1",
                },
                "body": {"appUserId": "body-secret"},
            },
            "response": {"status": 200, "body": {"nextAction": {"url": "https://x/page-secret"}}},
        },
    )
]


# --- Every class ------------------------------------------------------------------------------


def classes() -> list[type]:
    """Return every attrs class of the modules whose values a server may hold."""
    return [
        member
        for name in PURE + REPLAY + STORES
        for member in cast("dict[str, object]", vars(importlib.import_module(name))).values()
        if isinstance(member, type) and member.__module__ == name and attrs.has(member)
    ]


def parts(hint: object) -> Iterator[object]:
    """Yield a type and all its type arguments, at any depth."""
    yield hint
    for part in get_args(hint):
        yield from parts(part)


ANYTHING = (Json, dict[str, Json], dict[str, object])
"""Types that can hold a body or a member of one."""

TEXTS = {"_secret", "api_key", "body", "target", "url", "user_id"}
"""Names of text fields that are or contain a secret."""


def secrets_of(kind: type) -> set[str]:
    """Return the names of a class's fields that can hold a secret."""
    hints = get_type_hints(
        kind, localns={"Json": Json, "AsyncBoundedConnection": AsyncBoundedConnection}
    )
    return {
        name
        for name in attrs.fields_dict(kind)
        if any(part in (bytes, curae.UserId) for part in parts(hints[name]))
        or hints[name] in ANYTHING
        or (name in TEXTS and str in (hints[name], *get_args(hints[name])))
    }


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (
            Statement("INSERT INTO curae_record VALUES (?)", ("page-secret",), 1),
            "Statement('INSERT INTO curae_record VALUES (?)', 1 values, expected_rows=1)",
        ),
        (
            LoadedRow("record", "id-secret", version=1, second=0, document="page-secret"),
            "LoadedRow(record, version=1, second=0)",
        ),
        (StoredCaller("digest-secret", '{"app": "secret"}'), "StoredCaller()"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_repr_of_an_sql_statement_or_loaded_row_hides_its_values(row: object, shown: str) -> None:
    assert f"{row!r} {row}" == f"{shown} {shown}"


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__qualname__)
def test_fields_that_can_hold_a_secret_are_not_in_repr(kind: type) -> None:
    shown = {field.name for field in attrs.fields(kind) if field.repr}
    assert shown & secrets_of(kind) == set()


def test_search_for_fields_with_secrets_finds_the_known_fields() -> None:
    found = {f"{kind.__name__}.{name}" for kind in classes() for name in secrets_of(kind)}
    assert found >= {
        "ApiKey._secret",
        "CuraeConnectSession.user_id",
        "ParsedMembers.values",
        "Graduated.user_id",
        "HandoffCompleted.user_id",
        "LimitedAccountAppBinding.user_id",
        "NewIds.user_id",
        "NextAction.url",
        "Recorded.body",
        "Request.body",
        "Request.target",
        "Response.body",
        "UserProvisioned.user_id",
    }
