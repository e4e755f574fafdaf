"""Callers, operations and the requests that ask for them.

The law of this module: **a request drawn here reads as the call it was printed from**.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlencode

import attrs
from hypothesis import strategies as st

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.operations.account_state import GetAccountState, etag
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import KeyUse, Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.registry import OPERATION_TABLE
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.testing.strategies.limit import buckets
from curae_lifecycle.testing.strategies.values import (
    api_key_ids,
    app_ids,
    app_user_ids,
    connection_ids,
    customer_account_ids,
    data_packages,
    environments,
    idempotency_keys,
    next_actions,
    session_ids,
    user_of,
)
from curae_lifecycle.web.json import Json, format_json, parse_json
from curae_lifecycle.web.request import ParsedBody, Request

OPERATION_STRATEGIES: Final[dict[type[Operation], st.SearchStrategy[Operation]]] = {
    GetConnection: st.builds(GetConnection, connection_ids()),
    Revoke: st.builds(Revoke, connection_ids()),
    Reconnect: st.builds(Reconnect, connection_ids()),
    CreateConnection: st.builds(CreateConnection, app_user_ids(), data_packages()),
    Initiate: st.builds(Initiate, app_user_ids(), st.booleans()),
    GetAccountState: st.builds(
        GetAccountState, app_user_ids(), st.frozensets(st.sampled_from(AccountState))
    ),
    StartGraduation: st.builds(StartGraduation, app_user_ids()),
}
"""One strategy for each operation."""


def scopes() -> st.SearchStrategy[frozenset[str]]:
    """Scopes of an API key: to write, or none."""
    return st.sampled_from((frozenset({CONNECTION_WRITE}), frozenset[str]()))


def callers() -> st.SearchStrategy[Caller]:
    """Whom API keys stand for."""
    return st.builds(
        Caller, api_key_ids(), app_ids(), customer_account_ids(), environments(), scopes()
    )


def operations() -> st.SearchStrategy[Operation]:
    """The seven operations."""
    return st.one_of(*OPERATION_STRATEGIES.values())


def writers() -> st.SearchStrategy[Caller]:
    """Callers that may run every operation."""
    return callers().map(lambda caller: attrs.evolve(caller, scopes=frozenset({CONNECTION_WRITE})))


def calls() -> st.SearchStrategy[Call]:
    """Requests that were read: a caller that may, an operation, a key where one is needed."""
    return st.builds(call_of, writers(), operations(), idempotency_keys())


def new_ids() -> st.SearchStrategy[NewIds]:
    """Ids and a next action that a mutation at `START` may use."""
    return st.builds(NewIds, connection_ids(), session_ids(), st.just(user_of(99)), next_actions())


def server_settings() -> st.SearchStrategy[Settings]:
    """What a server chose."""
    return st.builds(
        Settings,
        st.sampled_from((None, *Environment)),
        st.lists(buckets(), max_size=2, unique_by=lambda bucket: bucket.name).map(tuple),
        st.just("https://example.com/problems/"),
        st.sampled_from(("ACTIVE", "AUTHORIZED")),
    )


def requests() -> st.SearchStrategy[Request]:
    """Well-formed requests of every operation: read for a caller that may, each is a `Call`."""
    return st.builds(
        print_request, calls(), st.sampled_from(("Bearer cae_live_k1", "Bearer cae_test_k1"))
    )


def parsed_bodies() -> st.SearchStrategy[ParsedBody]:
    """Bodies that a framework has read already."""
    creates = st.builds(CreateConnection, app_user_ids(), data_packages())
    asked = st.builds(call_of, writers(), creates, idempotency_keys())
    return asked.map(
        lambda call: ParsedBody(parse_json(as_bytes(print_request(call, "Bearer cae_live_k1"))))
    )


def print_request(call: Call, authorization: str) -> Request:
    """The request that reads as `call`: what an app sends.

    Args:
        call: What it asks.
        authorization: The value of its `Authorization` header.
    """
    operation = call.operation
    rule = OPERATION_TABLE[operation_name(operation)].outcome
    headers = [("Authorization", authorization)]
    if call.key is not None:
        escaped = call.key.replace("\\", "\\\\").replace('"', '\\"')
        headers.append(("Idempotency-Key", f'"{escaped}"'))
    target, body = rule.path, b""
    match operation:
        case GetConnection() | Reconnect() | Revoke():
            target = rule.path.replace("{connectionId}", quote(operation.connection_id))
        case CreateConnection():
            packages: list[Json] = list(operation.data_packages)
            body = format_json({"appUserId": operation.app_user_id, "dataPackages": packages})
        case Initiate():
            members: dict[str, Json] = {"appUserId": operation.app_user_id}
            if operation.prefer_signup:
                members["preferSignup"] = True
            body = format_json(members)
        case StartGraduation():
            body = format_json({"appUserId": operation.app_user_id})
        case GetAccountState():
            target = f"{rule.path}?{urlencode({'appUserId': operation.app_user_id})}"
            tags = ", ".join(etag(state) for state in sorted(operation.known))
            headers.extend([("If-None-Match", tags)] if tags else [])
    return Request(rule.method, target, tuple(headers), body)


def call_of(caller: Caller, operation: Operation, key: IdempotencyKey) -> Call:
    """The call of an operation; the key is left out where the operation takes none."""
    rule = OPERATION_TABLE[operation_name(operation)].outcome
    return Call(caller, operation, key if rule.key is KeyUse.NEEDED else None)


def as_bytes(request: Request) -> bytes:
    """The body of a request that was printed."""
    # `print_request` writes bytes; the type allows more.
    return request.body if isinstance(request.body, bytes) else b"{}"
