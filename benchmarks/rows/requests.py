"""Benchmarks of requests: decided from a loaded snapshot, and from bytes to bytes.

No peer does either. From bytes to bytes, a request is read, decided and turned into a response;
everything that it needs is loaded before. The floor does only what no server can leave out: find
headers by name, digest the API key and the request, parse the body's JSON and write the response's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Final

from benchmarks.measure import Row, Side, Work
from benchmarks.rows.subjects import (
    API_KEY,
    CALLER,
    END,
    FRESH_ACTION,
    LATER,
    NOW,
    SECRET,
    SOON,
    USER,
    connection_id,
    new_ids,
    pending,
    print_json,
)
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import IdempotencyKey, Record
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.triggers import authorize, revoke
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.writes import RecordWrite
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, bearer
from curae_lifecycle.web.respond import Answer, respond

BASE: Final = "/api/sdk/v1"
KEY: Final = IdempotencyKey("0b7c1b2a-9a43-4b0f-8a57-000000000001")
FIRST: Final = connection_id(1)
SENT: Final = (
    ("Host", "api.example"),
    ("Authorization", f"Bearer {SECRET}"),
    ("Content-Type", "application/json"),
    ("Accept", "application/json"),
)
"""The headers that a client sends with every request."""


def initiate_request(user: str = USER, key: str = KEY) -> Request:
    """Return an initiate as a client sends it."""
    body = json.dumps({"appUserId": user}).encode()
    headers = (*SENT, ("Idempotency-Key", key))
    return Request(
        method="POST", target=f"{BASE}/curae-connect/initiate", headers=headers, body=body
    )


def reconnect_request() -> Request:
    """Return a reconnect as a client sends it."""
    headers = (*SENT, ("Idempotency-Key", KEY))
    return Request(
        method="POST", target=f"{BASE}/connections/{FIRST}:reconnect", headers=headers, body=b"{}"
    )


def get_request() -> Request:
    """Return a get as a client sends it."""
    return Request("GET", f"{BASE}/connections/{FIRST}", SENT)


def revoked() -> Connection:
    """Return a revoked connection, which a reconnect recovers."""
    active = authorize(pending(), SOON, expires_at=END, era=None)
    assert isinstance(active, Done)
    return revoke(active.value, SOON, actor=Actor.APP, era=None).value


def stored_record() -> Record:
    """Return the idempotency record of an initiate that has its response."""
    decision = decide(
        Call(CALLER, Initiate(USER), KEY), snapshot=Snapshot(), now=NOW, new_ids=new_ids(1)
    )
    writes = respond(decision).changes.writes
    return next(write.after for write in writes if isinstance(write, RecordWrite))


# --- Decided from a snapshot ------------------------------------------------------------------


def _deciding(operation: Operation, snapshot: Callable[[], Snapshot]) -> Callable[[int], Work]:
    def make(_calls: int) -> Work:
        key = None if operation.rule.scope is None else KEY
        call, loaded, minted = Call(CALLER, operation, key), snapshot(), new_ids(2, FRESH_ACTION)
        return lambda: decide(call, snapshot=loaded, now=LATER, new_ids=minted)

    return make


def _decided(answer: object) -> str:
    assert isinstance(answer, Decision)
    again = ", again" if answer.replayed else ""
    return f"{answer.status}{again}: {len(answer.changes.writes)} writes"


def _no_snapshot() -> Snapshot:
    return Snapshot()


def _with_record() -> Snapshot:
    return Snapshot(record=stored_record())


def _with_revoked() -> Snapshot:
    return Snapshot(connection=revoked())


# --- Bytes in, bytes out ----------------------------------------------------------------------


def _answering(request: Request, snapshot: Callable[[], Snapshot]) -> Callable[[int], Work]:
    def make(_calls: int) -> Work:
        callers: dict[str, Caller] = {API_KEY.digest(): CALLER}
        loaded, minted = snapshot(), new_ids(2, FRESH_ACTION)

        def work() -> Answer | None:
            key = bearer(request)
            caller = None if key is None else callers.get(key.digest())
            call = read(request, caller, LATER)
            if isinstance(call, Decision):
                return respond(call)
            return respond(decide(call, snapshot=loaded, now=LATER, new_ids=minted))

        return work

    return make


def _answered(answer: object) -> str:
    assert isinstance(answer, Answer)
    again = ", again" if answer.replayed else ""
    return f"{answer.response.status}{again}"


def _headers_of(request: Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers}


def _floor(request: Request, answer: Answer, said: str) -> Callable[[int], Work]:
    shown: object = json.loads(answer.response.body)
    body = request.body
    assert isinstance(body, bytes)

    def work() -> tuple[str, bytes]:
        headers = _headers_of(request)
        digest = hashlib.sha256(headers["authorization"][7:].encode()).hexdigest()
        asked = json.loads(body) if body else {}
        text = "\n".join([digest, request.target, *map(str, asked.values())])
        hashlib.sha256(text.encode()).hexdigest()
        return said, print_json(shown)

    return lambda _calls: work


def _floor_said(answer: object) -> str:
    assert isinstance(answer, tuple)
    said, _ = answer
    return str(said)


# --- The rows ---------------------------------------------------------------------------------


def _bytes_row(name: str, said: str, request: Request, snapshot: Callable[[], Snapshot]) -> Row:
    ours = _answering(request, snapshot)
    answer = ours(1)()
    assert isinstance(answer, Answer)
    return Row(
        family="bytes in, bytes out",
        name=name,
        answer=said,
        sides=(
            Side("ours", ours, _answered),
            Side(
                name="floor: headers, two sha256, JSON in and out",
                make=_floor(request, answer, said),
                says=_floor_said,
                lacks="decides nothing, checks nothing",
            ),
        ),
    )


def rows() -> list[Row]:
    """Return the rows of requests."""
    initiate, reconnect = Initiate(USER), Reconnect(FIRST)
    got = GetConnection(FIRST)
    decided = [
        ("initiate", "201: 3 writes", initiate, _no_snapshot),
        ("reconnect", "201: 2 writes", reconnect, _with_revoked),
        ("get", "200: 0 writes", got, _with_revoked),
        ("replay of an initiate", "201, again: 0 writes", initiate, _with_record),
    ]
    return [
        *[
            Row(
                family="decided from a snapshot",
                name=name,
                answer=said,
                sides=(Side("ours", _deciding(operation, snapshot), _decided),),
            )
            for name, said, operation, snapshot in decided
        ],
        _bytes_row("initiate", said="201", request=initiate_request(), snapshot=_no_snapshot),
        _bytes_row("reconnect", said="201", request=reconnect_request(), snapshot=_with_revoked),
        _bytes_row("get", said="200", request=get_request(), snapshot=_with_revoked),
        _bytes_row(
            "replay of an initiate",
            said="201, again",
            request=initiate_request(),
            snapshot=_with_record,
        ),
    ]
