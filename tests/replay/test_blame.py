"""Divergences of `replay --check`: absent and null, headers, and the rule to blame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import attrs
import pytest

from curae_lifecycle.cli.main import main
from curae_lifecycle.replay.blame import Deciders
from curae_lifecycle.replay.log import replay
from curae_lifecycle.replay.recorded import ABSENT, Divergence
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Status
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.values import AppUserId, UserId
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, Write
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer
from tests.support.logs import (
    API,
    K1,
    TOMBSTONED,
    account,
    answers,
    created,
    fact,
    got,
    initiated,
    sent,
)
from tests.support.server import API_KEY, CALLER
from tests.support.strategies import at, pending

RECONNECT = "connections/{c1.connection.id}:reconnect"
REVOKE = "connections/{c1.connection.id}:revoke"


def checked(*lines: bytes) -> list[Divergence]:
    """Return every divergence of a log."""
    return [found for each in replay([K1, *lines], check=True) for found in each.divergences]


def body_of(*lines: bytes) -> dict[str, Json]:
    """Return the body of the answer to the last line."""
    body = json.loads(str(answers(K1, *lines)[-1]["body"]))
    assert isinstance(body, dict)
    return body


def blamed(member: str, *lines: bytes) -> str:
    """Return the rule that is blamed for a member of the last line, if it was recorded wrong."""
    *outer, name = member.split(".")
    body = body_of(*lines)
    holder: Json = body
    for each in outer:
        assert isinstance(holder, dict)
        holder = holder[each]
    assert isinstance(holder, dict)
    holder[name] = 7
    last = json.loads(lines[-1]) | {"response": {"body": body}}
    (found,) = checked(*lines[:-1], json.dumps(last).encode())
    assert found.member == f"body.{member}"
    return found.rule


AUTHORIZE = fact(2, "connection.authorize", expiresAt="2026-01-01T00:10:00Z")
ACTIVE = (created(1), AUTHORIZE)

BLAMED: list[tuple[str, tuple[bytes, ...], str]] = [
    ("connection.status", (created(1), got(2)), "operation.create-connection"),
    ("connection.status", (*ACTIVE, got(3)), "connection.authorize.pending"),
    ("connection.status", (*ACTIVE, got(10)), "standing.active-over"),
    ("connection.status", (created(1), got(31)), "standing.lapsed"),
    ("connection.status", (initiated(1), created(1), TOMBSTONED, got(3)), "standing.revoked-at"),
    ("connection.status", (initiated(1), TOMBSTONED, created(3), got(33)), "standing.lapsed"),
    ("connection.authorizedAt", (*ACTIVE, got(3)), "connection.authorize.pending"),
    ("connection.appUserId", (*ACTIVE, got(3)), "operation.create-connection"),
    (
        "connection.actionRequiredReason",
        (*ACTIVE, fact(3, "connection.require_action", reason="portal_login"), got(4)),
        "connection.require-action.active",
    ),
    ("connection.status", (created(1), sent(2, "POST", REVOKE)), "connection.revoke.pending"),
    ("revokedNow", (created(1), sent(2, "POST", REVOKE)), "connection.revoke.pending"),
    (
        "connection.revokedAt",
        (created(1), sent(2, "POST", REVOKE), sent(3, "POST", REVOKE)),
        "connection.revoke.pending",
    ),
    (
        "revokedNow",
        (created(1), sent(2, "POST", REVOKE), sent(3, "POST", REVOKE)),
        "connection.revoke.revoked",
    ),
    (
        "previousConnectionId",
        (created(1), sent(2, "POST", REVOKE), sent(3, "POST", RECONNECT)),
        "recovery.revoked.none",
    ),
    (
        "connection.updatedAt",
        (
            created(1),
            sent(2, "POST", REVOKE),
            sent(3, "POST", RECONNECT),
            sent(4, "POST", RECONNECT),
        ),
        "recovery.revoked.pending",
    ),
    ("session.path", (initiated(1),), "entry-path.unlinked.silent"),
    ("session.appUserId", (initiated(1),), "operation.initiate"),
    ("nextAction.expiresAt", (initiated(1),), "entry-path.unlinked.silent"),
    ("lifecycleState", (account(1),), "operation.account-state"),
    ("lifecycleState", (initiated(1), account(2)), "binding.provision.unlinked"),
    (
        "lifecycleState",
        (initiated(1), fact(2, "binding.graduate"), account(3)),
        "binding.graduate.limited.same",
    ),
    (
        "lifecycleState",
        # An initiate of an ACTIVE account moves the binding's version, and not its state.
        (initiated(1), fact(2, "binding.graduate"), initiated(3), account(4)),
        "binding.graduate.limited.same",
    ),
    ("retryable", (created(1, user=""),), "problem.bad-request"),
    ("status", (created(1, user=""),), "problem-status.invalid"),
    ("connection.status", (created(1, key="k"), created(2, key="k")), "idempotency.completed.same"),
]
"""A member, the lines of a log, and the rule that decided the member of the last answer."""


@pytest.mark.parametrize(("member", "lines", "rule"), BLAMED)
def test_divergence_names_the_rule_that_decided_the_member(
    member: str, lines: tuple[bytes, ...], rule: str
) -> None:
    assert blamed(member, *lines) == rule


def test_divergences_of_one_answer_name_a_rule_for_each_member() -> None:
    body = body_of(*ACTIVE, got(10))
    connection = body["connection"]
    assert isinstance(connection, dict)
    connection |= {"status": "ACTIVE", "authorizedAt": None}
    last = json.loads(got(10)) | {"response": {"status": 201, "body": body}}
    found = checked(*ACTIVE, json.dumps(last).encode())
    assert [(each.member, each.rule) for each in found] == [
        ("status", "operation.get-connection"),
        ("body.connection.authorizedAt", "connection.authorize.pending"),
        ("body.connection.status", "standing.active-over"),
    ]


def test_divergence_names_the_last_rule_if_replay_decides_304() -> None:
    unchanged = account(2, unless="{a1.headers.etag}", response={"status": 200, "code": "GONE"})
    found = checked(account(1), unchanged)
    assert [(each.member, each.rule) for each in found] == [
        ("status", "operation.account-state"),
        ("code", "operation.account-state"),
    ]


# --- Answers by hand ------------------------------------------------------------------------

RULES: Final = ("recovery.first", "operation.any", "a.third", "another.last")
ROOT: Final = Request("GET", "/")
PENDING: Final = pending()
ACCOUNT_STATE: Final = f"{API}curae-connect/account-state"


def deciders_of(*noted: tuple[Write, tuple[str, ...]]) -> Deciders:
    """Return the deciders of a store with `API_KEY`, after writes and the rules of each."""
    store = MemoryStore()
    store.register(ApiKey(API_KEY), CALLER)
    deciders = Deciders(store)
    for write, rules in noted:
        deciders.note(Changes((write,)), rules, at(5))
    return deciders


def explained(deciders: Deciders, body: Json, member: str, request: Request = ROOT) -> str:
    """Return the rule that is blamed for a member of a body that `RULES` decided."""
    answer = Answer(
        response=Response(200, (), json.dumps(body).encode()),
        changes=NO_CHANGES,
        rules=RULES,
        replayed=False,
        decided_at=at(5),
    )
    return deciders.after_request(request, answer)(member)


@pytest.mark.parametrize(
    ("body", "member", "rule"),
    [
        ([], "body", "another.last"),
        ({}, "code", "another.last"),
        ({}, "status", "operation.any"),
        ({}, "headers.cache-control", "operation.any"),
        ({}, "body.colour", "operation.any"),
        ({}, "body.nextAction", "recovery.first"),
        ({"connection": "text"}, "body.connection.status", "operation.any"),
        ({"connection": {"id": 7}}, "body.connection.status", "operation.any"),
        ({"connection": {"id": "unknown"}}, "body.connection.status", "operation.any"),
        ({"code": "NO_SUCH_CODE"}, "body.retryable", "another.last"),
        ({"code": "BAD_REQUEST"}, "body.title", "another.last"),
        ({"code": "BAD_REQUEST"}, "body.status", "problem-status.invalid"),
    ],
)
def test_divergence_before_any_write_names_the_listed_rule(
    body: Json, member: str, rule: str
) -> None:
    assert explained(deciders_of(), body, member) == rule


@pytest.mark.parametrize(
    ("rules", "rule"),
    [
        (("connection.a", "binding.b", "expiry-record.c", "other.d"), "expiry-record.c"),
        (("some.a", "other.b", "any.c"), "any.c"),
    ],
)
def test_connection_divergence_names_a_connection_rule_if_any(
    rules: tuple[str, ...], rule: str
) -> None:
    deciders = deciders_of((ConnectionWrite(None, PENDING), rules))
    body: Json = {"connection": {"id": PENDING.id}}
    assert explained(deciders, body, "body.connection.createdAt") == rule


def test_divergence_names_the_rule_that_last_changed_the_member() -> None:
    active = attrs.evolve(PENDING, status=Status.ACTIVE, authorized_at=at(1), updated_at=at(1))
    touched = attrs.evolve(active, updated_at=at(2))
    deciders = deciders_of(
        (ConnectionWrite(PENDING, active), ("connection.authorized",)),
        (ConnectionWrite(active, touched), ("connection.touched",)),
    )
    body: Json = {"connection": {"id": PENDING.id}}
    assert {
        member: explained(deciders, body, f"body.connection.{member}")
        for member in ("status", "authorizedAt", "updatedAt", "createdAt")
    } == {
        "status": "connection.authorized",
        "authorizedAt": "connection.authorized",
        "updatedAt": "connection.touched",
        "createdAt": "operation.any",
    }


def account_request(query: str, api_key: str = API_KEY) -> Request:
    return Request("GET", ACCOUNT_STATE + query, (("Authorization", f"Bearer {api_key}"),))


def linked(user: str) -> LimitedAccountAppBinding:
    return LimitedAccountAppBinding(
        coordinate=CALLER.coordinate(AppUserId(user)),
        user_id=UserId("u-1"),
        state=AccountState.LIMITED,
        generation=1,
    )


@pytest.mark.parametrize(
    ("rules", "rule"),
    [
        (("connection.a", "binding.b", "other.c"), "binding.b"),
        (("some.a", "other.b", "any.c"), "any.c"),
    ],
)
def test_account_state_divergence_names_a_binding_rule_if_any(
    rules: tuple[str, ...], rule: str
) -> None:
    deciders = deciders_of((BindingWrite(None, linked("us?er")), rules))
    body: Json = {"lifecycleState": "LIMITED"}
    request = account_request("?appUserId=us?er")
    assert explained(deciders, body, "body.lifecycleState", request=request) == rule


@pytest.mark.parametrize(
    "request_",
    [
        account_request(""),
        account_request("?appUserId=another"),
        account_request("?appUserId=user&appUserId=user"),
        account_request("?appUserId=user", api_key="cae_live_unknown"),
        Request("GET", f"{ACCOUNT_STATE}?appUserId=user"),
    ],
)
def test_account_divergence_names_last_rule_without_a_known_user(request_: Request) -> None:
    deciders = deciders_of((BindingWrite(None, linked("user")), ("binding.linked",)))
    body: Json = {"lifecycleState": "LIMITED"}
    assert explained(deciders, body, "body.lifecycleState", request=request_) == "another.last"


# --- Absent and null members ----------------------------------------------------------------


def test_divergence_distinguishes_an_absent_member_from_null() -> None:
    body = body_of(created(1))
    connection = body["connection"]
    assert isinstance(connection, dict)
    del connection["expiresAt"]
    connection["colour"] = None
    found = checked(created(1, response={"body": body}))
    assert [(each.member, each.recorded, each.decided) for each in found] == [
        ("body.connection.colour", None, ABSENT),
        ("body.connection.expiresAt", ABSENT, None),
    ]
    assert [each.document() for each in found] == [
        {"member": "body.connection.colour", "recorded": None, "rule": found[0].rule},
        {"member": "body.connection.expiresAt", "decided": None, "rule": found[1].rule},
    ]


def test_replay_check_prints_absent_member_as_word_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = body_of(created(1))
    connection = body["connection"]
    assert isinstance(connection, dict)
    del connection["expiresAt"]
    connection["colour"] = None
    log = tmp_path / "log.jsonl"
    log.write_bytes(K1 + b"\n" + created(1, response={"body": body}) + b"\n")
    assert main(["replay", "--check", str(log)]) == 1
    told = capsys.readouterr()
    rule = "operation.create-connection"
    assert told.err.splitlines() == [
        f"line 2: body.connection.colour: recorded null, decided nothing by rule {rule}",
        f"line 2: body.connection.expiresAt: recorded nothing, decided null by rule {rule}",
    ]
    printed = json.loads(told.out.splitlines()[1])["divergences"]
    assert printed[0].keys() == {"member", "recorded", "rule"}
    assert printed[1].keys() == {"member", "decided", "rule"}


# --- Headers --------------------------------------------------------------------------------


def test_divergences_of_the_body_come_before_those_of_headers() -> None:
    body = body_of(created(1))
    body["nextAction"] = None
    headers: Json = {"Cache-Control": "max-age=60", "content-length": "7", "etag": '"x"'}
    found = checked(created(1, response={"status": 200, "headers": headers, "body": body}))
    assert [each.member for each in found] == ["status", "body.nextAction", "headers.cache-control"]
    assert (found[-1].recorded, found[-1].decided) == ("max-age=60", "no-store")
    assert found[-1].rule == "operation.create-connection"


def test_recorded_headers_in_other_letter_case_do_not_diverge() -> None:
    headers: Json = {
        "Content-Type": ["application/JSON; charset=utf-8"],
        "CACHE-CONTROL": "No-Store",
        "x-request-id": "7",
    }
    assert checked(created(1, response={"headers": headers})) == []
    assert checked(created(1, response={"headers": "none"})) == []


def test_recorded_header_that_no_rule_sets_diverges() -> None:
    (found,) = checked(got(1, response={"headers": {"www-authenticate": "Basic"}}))
    assert (found.member, found.decided) == ("headers.www-authenticate", ABSENT)
    # Only the letters of ASCII have two cases here.
    (found,) = checked(created(1, response={"headers": {"cache-control": "no-\u017ftore"}}))
    assert (found.member, found.decided) == ("headers.cache-control", "no-store")
    twice: Json = {"content-type": ["application/json", "application/json"]}
    (found,) = checked(created(1, response={"headers": twice}))
    assert found.member == "headers.content-type"
