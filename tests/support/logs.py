"""Helpers of the replay tests: log lines and parts of their answers."""

from __future__ import annotations

import json
from typing import Final

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.values import Environment, format_time
from curae_lifecycle.service.json_schema import Json
from tests.support.strategies import at, uuid

API: Final = "/api/sdk/v1/"
ACCOUNT: Final = "d8c60791-7301-441c-98e8-5bea9a162d9b"
OTHER_ACCOUNT: Final = "0b8e4a2c-90f5-4d4e-a1f3-6f2d0d4b7c11"
UNKNOWN: Final = "ffffffff-ffff-4fff-8fff-ffffffffffff"


def time(minutes: float) -> str:
    return format_time(at(minutes))


def written(minutes: float, **members: Json) -> bytes:
    return json.dumps({"at": time(minutes), **members}).encode()


def registered(
    api_key: str = "cae_live_k1", minutes: float = 0, scope: str = "connection:write", **other: Json
) -> bytes:
    owner: dict[str, Json] = {"appId": "app-1", "customerAccountId": ACCOUNT, "scopes": [scope]}
    return written(minutes, register={"apiKey": api_key, **owner, **other})


K1: Final = registered()


def sent(
    minutes: float,
    method: str,
    path: str,
    body: Json = None,
    *,
    name: str | None = None,
    key: str | None = None,
    api_key: str = "cae_live_k1",
    headers: dict[str, Json] | None = None,
    response: Json = None,
) -> bytes:
    """Return a request line, with a fresh idempotency key if one is needed and none is given."""
    told: dict[str, Json] = {"Authorization": f"Bearer {api_key}"}
    if method == "POST" and "graduation" not in path:
        told["Idempotency-Key"] = f"k-{minutes}-{path}-{name}" if key is None else key
    told |= headers or {}
    request: Json = {"method": method, "path": API + path, "headers": told, "body": body}
    members: dict[str, Json] = {"as": name, "request": request, "response": response}
    return written(minutes, **{each: value for each, value in members.items() if value is not None})


def created(
    minutes: float = 1,
    name: str | None = "c1",
    *,
    user: str = "user-1",
    key: str | None = None,
    api_key: str = "cae_live_k1",
    response: Json = None,
) -> bytes:
    body: Json = {"appUserId": user, "dataPackages": ["labs"]}
    return sent(
        minutes,
        method="POST",
        path="connections",
        body=body,
        name=name,
        key=key,
        api_key=api_key,
        response=response,
    )


def initiated(
    minutes: float,
    name: str | None = "s1",
    *,
    user: str = "user-1",
    signup: bool = False,
    key: str | None = None,
    api_key: str = "cae_live_k1",
    response: Json = None,
) -> bytes:
    body: Json = {"appUserId": user, "preferSignup": signup}
    return sent(
        minutes,
        method="POST",
        path="curae-connect/initiate",
        body=body,
        name=name,
        key=key,
        api_key=api_key,
        response=response,
    )


def got(minutes: float, connection: str = "{c1.connection.id}", *, response: Json = None) -> bytes:
    return sent(minutes, "GET", f"connections/{connection}", response=response)


def account(
    minutes: float, user: str = "user-1", *, unless: Json = None, response: Json = None
) -> bytes:
    """Return a line that reads an account state, optionally with an entity tag."""
    path = f"curae-connect/account-state?appUserId={user}"
    headers: dict[str, Json] = {} if unless is None else {"If-None-Match": unless}
    return sent(minutes, "GET", path, name="a1", headers=headers, response=response)


def fact(minutes: float, kind: str, **members: Json) -> bytes:
    """Return a line with a fact about `c1`, unless it is about a session or a binding."""
    if kind.startswith("connection."):
        members = {"connectionId": "{c1.connection.id}", **members}
    elif kind == "handoff.complete":
        members = {"sessionId": "{s1.session.id}", "userId": "u-1", **members}
    else:
        owner = {"customerAccountId": ACCOUNT, "appId": "app-1", "appUserId": "user-1"}
        members = {**owner, **members}
    return written(minutes, fact={"type": kind, **members})


def asked(
    minutes: float, package: str = "labs", connection: str = "{c1.connection.id}", **other: Json
) -> bytes:
    return written(
        minutes,
        ask={"type": "access", "connectionId": connection, "dataPackage": package, **other},
    )


def answers(*lines: bytes, environment: Environment | None = None) -> list[dict[str, Json]]:
    return [each.answer for each in replay(lines, environment=environment)]


def last(*lines: bytes) -> dict[str, Json]:
    """Return the answer to the last line, after the registration of the key `k1`."""
    return answers(K1, *lines)[-1]


def member(answer: dict[str, Json], path: str) -> Json:
    """Return a member of the body of an answer."""
    value: Json = json.loads(str(answer["body"]))
    for name in path.split("."):
        assert isinstance(value, dict)
        value = value[name]
    return value


def told(answer: dict[str, Json]) -> tuple[Json, Json]:
    """Return the status and problem code of a response, or the outcome and code of a fact."""
    if "outcome" in answer:
        return answer["outcome"], answer["code"]
    body: Json = json.loads(str(answer["body"])) if answer["body"] else None
    return answer["status"], body.get("code") if isinstance(body, dict) else None


def is_broken(answer: dict[str, Json]) -> bool:
    return answer.keys() == {"line", "error"}


def recorded(number: int | str, url: Json = "https://own.example/x", ends: Json = None) -> Json:
    """Return a recorded response of a create or an initiate."""
    id_ = uuid(number) if isinstance(number, int) else number
    action: Json = {"type": "open_webview", "url": url, "expiresAt": ends or time(10)}
    body: Json = {"connection": {"id": id_}, "session": {"id": id_}, "nextAction": action}
    return {"status": 201, "body": body}


def without(line: bytes, *names: str) -> bytes:
    document = json.loads(line)
    for holder in [document, *(each for each in document.values() if isinstance(each, dict))]:
        for name in names:
            holder.pop(name, None)
    return json.dumps(document).encode()


def with_(line: bytes, kind: str = "", **members: Json) -> bytes:
    document = json.loads(line)
    (document[kind] if kind else document).update(members)
    return json.dumps(document).encode()


# Lines that several tests share -----------------------------------------------------------

A: Final = created(1)
B: Final = initiated(1, signup=True)
C: Final = initiated(1)
AUTHORIZED: Final = fact(2, "connection.authorize", expiresAt=time(60))
REVOKED: Final = fact(2, "connection.revoke", actor="APP")
RECONNECTED: Final = sent(40, "POST", "connections/{c1.connection.id}:reconnect", name="c2")
LANDED: Final = fact(2, "handoff.complete")
GRADUATED: Final = fact(2, "binding.graduate")
TOMBSTONED: Final = fact(2, "binding.tombstone")

BUCKET: Final[dict[str, Json]] = {"name": "b", "capacity": 1, "refill": 1, "seconds": 1}
KEY: Final = registered("cae_live_k2", 9)
POST: Final = created(9, "broken", response={"status": 201})
FACT: Final = fact(9, "connection.authorize")
BINDING: Final = fact(9, "binding.graduate")
REVOKE: Final = fact(9, "connection.revoke", actor="APP")
LAND: Final = fact(9, "handoff.complete")
ASK: Final = asked(9)

STORY: Final = [
    K1,
    A,
    initiated(1, signup=True),
    AUTHORIZED,
]
REST: Final = [
    created(3, "c9", user="{broken.connection.id}"),
    sent(3, "POST", "connections/{c1.connection.id}:reconnect"),
    created(3, None, api_key="cae_live_k2"),
    account(4),
    asked(5),
    fact(6, "handoff.complete"),
    sent(7, "POST", "connections/{c1.connection.id}:revoke"),
    got(8),
]
