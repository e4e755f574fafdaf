"""Tests that the events which a worker delivers from the outbox are those of `docs/asyncapi.json`."""

from __future__ import annotations

import json
from functools import cache
from itertools import count
from typing import Final, cast

from jsonschema import Draft202012Validator

from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    CustomerAccountId,
    Environment,
    SessionId,
    UserId,
)
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.request import Request
from tests.stores.sql.posting import database, url
from tests.support.paths import ROOT

__all__ = ["database", "url"]

Object = dict[str, Json]

DOCUMENT: Final = cast("Object", json.loads((ROOT / "docs/asyncapi.json").read_text("utf-8")))
CALLER: Final = Caller(
    api_key_id=ApiKeyId("key-1"),
    app_id=AppId("app-1"),
    customer_account_id=CustomerAccountId("d8c60791-7301-441c-98e8-5bea9a162d9b"),
    environment=Environment.LIVE,
    scopes=frozenset({CONNECTION_WRITE}),
)


class Traffic:
    """Requests and facts on a store in SQL."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._keys = count()
        store.register(ApiKey("cae_live_k1"), CALLER)

    def post(self, path: str, body: Object) -> Object:
        """Send a request with a new idempotency key, and return the body of its success."""
        key = ("Idempotency-Key", f"k-{next(self._keys)}")
        request = Request(
            method="POST",
            target=f"/api/sdk/v1/{path}",
            headers=(("Authorization", "Bearer cae_live_k1"), key),
            body=json.dumps(body).encode(),
        )
        response = serve(self._store, request, RandomIds("https://pages.example/")).response
        assert response.status in {200, 201}, response.body
        return cast("Object", json.loads(response.body))

    def record(self, fact: Fact) -> None:
        """Record a fact."""
        record(self._store, fact)


def id_of(answer: Object, name: str) -> str:
    return str(cast("Object", answer[name])["id"])


def run_traffic(traffic: Traffic) -> None:
    """Send requests and facts that have an event of each kind."""
    created = traffic.post("connections", {"appUserId": "ada", "dataPackages": ["labs"]})
    first = ConnectionId(id_of(created, "connection"))
    traffic.record(Authorized(first))
    traffic.record(ActionRequired(first, "portal_login"))
    traffic.post(f"connections/{first}:reconnect", {})
    again = traffic.post(f"connections/{first}:reconnect", {})
    second = ConnectionId(id_of(again, "connection"))
    traffic.record(Authorized(second))
    traffic.record(Expired(second))
    traffic.post(f"connections/{second}:revoke", {})
    traffic.post("curae-connect/initiate", {"appUserId": "bob"})
    traffic.record(Graduated(CALLER.coordinate(AppUserId("bob"))))
    traffic.record(Tombstoned(CALLER.coordinate(AppUserId("bob"))))
    asked = traffic.post("curae-connect/initiate", {"appUserId": "eve", "preferSignup": True})
    session = SessionId(id_of(asked, "session"))
    traffic.record(HandoffCompleted(session, UserId("user-of-eve")))


SUBJECTS: Final = {
    "connection.created": "Connection",
    "connection.authorized": "Connection",
    "connection.action_required": "Connection",
    "connection.expired": "Connection",
    "connection.revoked": "Connection",
    "connection.reissued": "Connection",
    "connect_session.initiated": "CuraeConnectSession",
    "connect_session.landed": "CuraeConnectSession",
    "binding.provisioned": "Account",
    "binding.signed_up": "Account",
    "binding.graduated": "Account",
    "binding.tombstoned": "Account",
}
EFFECTS: Final = {"AccessEnded", "NextActionReplaced", "HandoffCancelled", "UserProvisioned"}


@cache
def validator(*pointer: str) -> Draft202012Validator:
    """Return a validator for the schema at a path of the document."""
    components = cast("Object", DOCUMENT["components"])
    schema = {"$ref": f"#/components/{'/'.join(pointer)}", "components": components}
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_delivered_event_is_valid_by_asyncapi_schema_of_its_kind(database: SqlDatabase) -> None:
    run_traffic(Traffic(SqlStore(database)))
    delivered: list[Delivery] = []
    worker = Outbox(database)
    while worker.deliver_batch(delivered.append):
        pass
    events = [each for each in delivered if each.kind not in EFFECTS]
    assert {each.kind for each in events} == SUBJECTS.keys() == {*map(str, EventKind)}
    for each in events:
        assert each.document["kind"] == each.kind
        validator("messages", each.kind, "payload").validate(each.document)
        validator("schemas", SUBJECTS[each.kind]).validate(each.document["subject"])
