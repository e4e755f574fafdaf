"""Facts of a log that name the hosted page that they come from."""

from __future__ import annotations

import json
from typing import Final

from curae_lifecycle.replay.log import replay
from curae_lifecycle.service.json_schema import Json

BASE: Final = "/api/sdk/v1/connections"
ACCOUNT: Final = "d8c60791-7301-441c-98e8-5bea9a162d9b"
REGISTER: Final[dict[str, Json]] = {
    "register": {
        "apiKey": "cae_live_k1",
        "appId": "app-1",
        "customerAccountId": ACCOUNT,
        "scopes": ["connection:write"],
    }
}


def asked(name: str, path: str, body: dict[str, Json]) -> dict[str, Json]:
    headers: dict[str, Json] = {"Authorization": "Bearer cae_live_k1", "Idempotency-Key": name}
    return {
        "as": name,
        "request": {"method": "POST", "path": path, "headers": headers, "body": body},
    }


CREATED: Final = asked("c1", BASE, {"appUserId": "ada", "dataPackages": ["labs"]})
REVOKED: Final = asked("v1", f"{BASE}/{{c1.connection.id}}:revoke", {})
RECOVERED: Final = asked("r1", f"{BASE}/{{c1.connection.id}}:reconnect", {})
REISSUED: Final = asked("r2", f"{BASE}/{{c1.connection.id}}:reconnect", {})


def fact(url: Json, **members: Json) -> dict[str, Json]:
    return {
        "fact": {
            "type": "connection.authorize",
            "connectionId": "{r1.connection.id}",
            "pageUrl": url,
            **members,
        }
    }


def answers(*lines: dict[str, Json]) -> list[dict[str, Json]]:
    raw = [json.dumps({"at": "2026-01-05T09:00:00Z", **line}).encode() for line in lines]
    return [each.answer for each in replay(raw)]


def test_replay_refuses_a_fact_that_names_a_replaced_hosted_page() -> None:
    before = (REGISTER, CREATED, REVOKED, RECOVERED, REISSUED)
    earlier, newest = fact("{r1.nextAction.url}"), fact("{r2.nextAction.url}")
    told = answers(*before, earlier, newest, newest, earlier)[len(before) :]
    assert [(each["outcome"], each["code"]) for each in told] == [
        ("refused", "NOT_FOUND"),
        ("done", None),
        ("ignored", None),
        ("refused", "NOT_FOUND"),
    ]
    assert told[0]["rules"] == ["request.ownership"]


def test_log_line_with_empty_or_misplaced_page_url_gets_an_error() -> None:
    before = (REGISTER, CREATED, REVOKED, RECOVERED)
    (empty,) = answers(*before, fact(""))[len(before) :]
    assert str(empty["error"]).startswith("pageUrl: must be")
    tombstone: dict[str, Json] = {
        "type": "binding.tombstone",
        "appId": "app-1",
        "customerAccountId": ACCOUNT,
        "appUserId": "ada",
        "pageUrl": "https://connect.example/1",
    }
    (broken,) = answers({"fact": tombstone})
    assert str(broken["error"]).startswith("fact: ")
