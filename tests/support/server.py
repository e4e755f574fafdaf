"""Helpers for tests of requests: callers, the seven requests, and ids."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

import attrs
from hypothesis import strategies as st

from curae_lifecycle.rules import chain
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import LogState
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    ConnectionId,
    CustomerAccountId,
    DataPackage,
    Environment,
    SessionId,
    UserId,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.reconnect import ConnectionReconnected, Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import LandedHandoff, NewIds, Snapshot
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    RateWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer
from tests.support.instants import commit_writes
from tests.support.strategies import (
    COORDINATE,
    START,
    apply_trigger,
    at,
    connections,
    instants,
    next_action,
    pending,
    uuid,
)

API_KEY: Final = "cae_live_k1"
CALLER: Final = Caller(
    api_key_id=ApiKeyId("key-1"),
    app_id=COORDINATE.app_id,
    customer_account_id=COORDINATE.customer_account_id,
    environment=Environment.LIVE,
    scopes=frozenset({"connection:write"}),
)
STRANGERS: Final = (
    attrs.evolve(CALLER, app_id=AppId("app-2")),
    attrs.evolve(CALLER, customer_account_id=CustomerAccountId(uuid(99))),
    attrs.evolve(CALLER, environment=Environment.TEST),
)
"""Callers that differ from the owner of `COORDINATE` in one member each."""

OPERATIONS: Final = (
    "create",
    "get",
    "reconnect",
    "revoke",
    "initiate",
    "account-state",
    "graduation",
)
KEYED: Final = ("create", "reconnect", "revoke", "initiate")
BASE: Final = "/api/sdk/v1"


def request(
    operation: str,
    *,
    id: str = uuid(1),  # noqa: A002 - the spec's word for it
    user: str = "user-1",
    key: str | None = "k-1",
    body: bytes | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> Request:
    """Return a well-formed request, with the path of the rules."""
    method, path = {
        "create": ("POST", f"{BASE}/connections"),
        "get": ("GET", f"{BASE}/connections/{id}"),
        "reconnect": ("POST", f"{BASE}/connections/{id}:reconnect"),
        "revoke": ("POST", f"{BASE}/connections/{id}:revoke"),
        "initiate": ("POST", f"{BASE}/curae-connect/initiate"),
        "account-state": ("GET", f"{BASE}/curae-connect/account-state?appUserId={user}"),
        "graduation": ("POST", f"{BASE}/curae-connect/graduation-handoff"),
    }[operation]
    bodies = {
        "create": {"appUserId": user, "dataPackages": ["labs", "clinical_summary"]},
        "initiate": {"appUserId": user},
        "graduation": {"appUserId": user},
    }
    if body is None:
        body = json.dumps(bodies[operation]).encode() if operation in bodies else b""
    keys = (("Idempotency-Key", key),) if operation in KEYED and key is not None else ()
    return Request(
        method=method,
        target=path,
        headers=(("Authorization", f"Bearer {API_KEY}"), *keys, *headers),
        body=body,
    )


def new_ids(number: int = 1, now: datetime = START) -> NewIds:
    """Return ids that are unique to a number."""
    return NewIds(
        connection_id=ConnectionId(uuid(number)),
        session_id=SessionId(uuid(1000 + number)),
        user_id=UserId(f"limited-{number}"),
        next_action=next_action(now),
    )


def world(
    settings: Settings = DEFAULT_SETTINGS, *connections: Connection, capacity: int = 1000
) -> MemoryStore:
    """Return a store with `API_KEY` and these connections."""
    made = MemoryStore(settings, capacity=capacity, clock=lambda: START)
    made.register(ApiKey(API_KEY), CALLER)
    assert commit_writes(made, tuple(ConnectionWrite(None, each) for each in connections))
    return made


def document(answer: Answer | Response) -> dict[str, object]:
    """Return the body of a response."""
    response = answer.response if isinstance(answer, Answer) else answer
    value: object = json.loads(response.body)
    assert isinstance(value, dict)
    return value


def code(answer: Answer) -> object:
    """Return the problem code of a response, or None."""
    return document(answer).get("code") if answer.response.body else None


def written(writes: tuple[Write, ...]) -> list[str]:
    """Return the kinds of written values; a rate limit has its policy's name."""
    kinds: list[str] = []
    for write in writes:
        match write:
            case RateWrite():
                kinds.append(write.policy.name)
            case ConnectionWrite():
                kinds.append("connection")
            case SessionWrite():
                kinds.append("session")
            case BindingWrite():
                kinds.append("binding")
            case _:
                kinds.append("record")
    return kinds


# --- Calls, for what needs no HTTP -----------------------------------------------------------

ID: Final = ConnectionId(uuid(1))
USER: Final = COORDINATE.app_user_id
PACKAGES: Final = (DataPackage("clinical_summary"), DataPackage("labs"))
LIMITED_USER: Final = UserId("u-1")
LIMITED: Final = LimitedAccountAppBinding(
    coordinate=COORDINATE, user_id=LIMITED_USER, state=AccountState.LIMITED, generation=1
)


def call(operation: Operation, key: str | None = "k-1") -> Call:
    """Return the call that `read` gives for a request by `CALLER`."""
    return Call(CALLER, operation, None if key is None else IdempotencyKey(key))


def successor(now: datetime = START) -> Connection:
    """Return connection number 2, which recovers a revoked one."""
    revoked = apply_trigger(pending(), "APP", START)
    minted = decide(
        call(Reconnect(ID)), snapshot=Snapshot(connection=revoked), now=now, new_ids=new_ids(2, now)
    ).reply
    assert isinstance(minted, ConnectionReconnected)
    return minted.connection


def third(recovered: Connection, now: datetime) -> Connection:
    """Return connection number 3, which recovers a revoked one."""
    revoked = apply_trigger(recovered, "APP", now)
    answer = chain.reconnect(
        revoked, None, now, id=ConnectionId(uuid(3)), next_action=next_action(now), era=None
    )
    assert isinstance(answer, Done)
    return answer.value.connection


bindings = st.sampled_from([None, "LIMITED", "ACTIVE", "TOMBSTONED"]).map(
    lambda state: None if state is None else attrs.evolve(LIMITED, state=AccountState[state])
)


MUTATIONS: Final[tuple[Operation, ...]] = (
    CreateConnection(USER, PACKAGES),
    Reconnect(ID),
    Revoke(ID),
    Initiate(USER),
)
OTHERS: Final[tuple[Operation, ...]] = (
    GetConnection(ID),
    GetAccountState(USER),
    StartGraduation(USER),
)


@st.composite
def decisions(draw: st.DrawFn) -> tuple[Call, Snapshot, datetime]:
    """Draw a call with any stored values."""
    mutation, other = draw(st.sampled_from(MUTATIONS)), draw(st.sampled_from(OTHERS))
    asked = draw(st.sampled_from([call(mutation), call(other, None)]))
    now = draw(instants.filter(lambda instant: instant >= at(30)))
    landed = st.builds(LandedHandoff, st.sampled_from([START, at(29), at(30)]), st.none())
    recovered = draw(st.sampled_from([None, successor(), successor(at(60))]))
    later = recovered if recovered is None else third(recovered, at(90))
    snapshot = Snapshot(
        connection=draw(st.none() | connections()),
        successor=recovered,
        head=draw(st.sampled_from([recovered, later])),
        limit=draw(st.sampled_from([None, LogState.of((now,) * 9), LogState.of((now,) * 10)])),
        binding=draw(bindings),
        landed_handoff=draw(st.none() | landed),
    )
    return asked, snapshot, now
