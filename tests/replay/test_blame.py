"""Divergences of `replay --check`: absent and null, headers, and the rule to blame."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curae_lifecycle.cli.main import main
from curae_lifecycle.replay.log import replay
from curae_lifecycle.replay.recorded import ABSENT, Divergence
from curae_lifecycle.service.json_schema import Json
from tests.support.logs import K1, account, answers, created, fact, got, initiated, sent

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


# --- Absent and null members ----------------------------------------------------------------


def test_divergence_tells_an_absent_member_from_a_null_one() -> None:
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
    twice: Json = {"content-type": ["application/json", "application/json"]}
    (found,) = checked(created(1, response={"headers": twice}))
    assert found.member == "headers.content-type"
