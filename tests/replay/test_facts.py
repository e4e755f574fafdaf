"""Answers to facts and access questions in logs of traffic."""

from __future__ import annotations

from typing import Final

import pytest

from curae_lifecycle.service.json_schema import Json
from tests.support.logs import (
    ACCOUNT,
    AUTHORIZED,
    GRADUATED,
    LANDED,
    RECONNECTED,
    REVOKED,
    TOMBSTONED,
    UNKNOWN,
    A,
    B,
    C,
    asked,
    created,
    fact,
    initiated,
    last,
    recorded,
    time,
    told,
)
from tests.support.strategies import uuid

GONE = fact(2, "binding.tombstone", happenedAt="2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("lines", "outcome", "code"),
    [
        ([A, AUTHORIZED], "done", None),
        ([A, AUTHORIZED, AUTHORIZED], "ignored", None),
        ([A, fact(31, "connection.authorize")], "refused", "HANDOFF_LAPSED"),
        ([A, REVOKED, AUTHORIZED], "refused", "CONNECTION_NOT_PENDING"),
        ([A, RECONNECTED, fact(40, "connection.authorize")], "refused", "CONNECTION_SUPERSEDED"),
        ([A, fact(2, "connection.require_action", reason="portal_login")], "ignored", None),
        ([A, AUTHORIZED, fact(3, "connection.require_action", reason="r")], "done", None),
        ([A, fact(31, "connection.require_action", reason="portal_login")], "ignored", None),
        ([A, fact(2, "connection.expire")], "ignored", None),
        ([A, AUTHORIZED, fact(3, "connection.expire")], "done", None),
        ([A, REVOKED], "done", None),
        ([A, REVOKED, REVOKED], "ignored", None),
        ([B, LANDED], "done", None),
        ([B, LANDED, LANDED], "ignored", None),
        ([B, LANDED, fact(3, "handoff.complete", userId="u-2")], "refused", "BINDING_CONFLICT"),
        ([B, fact(31, "handoff.complete")], "refused", "SESSION_EXPIRED"),
        ([C, LANDED], "refused", "HANDOFF_NOT_REQUIRED"),
        ([B, initiated(1, "s2"), LANDED], "refused", "BINDING_CHANGED"),
        ([GRADUATED], "refused", "BINDING_CHANGED"),
        ([C, GRADUATED], "done", None),
        ([C, GRADUATED, GRADUATED], "ignored", None),
        ([C, fact(2, "binding.graduate", userId="u-9")], "refused", "BINDING_CONFLICT"),
        ([B, LANDED, fact(3, "binding.graduate", userId="u-1")], "ignored", None),
        ([C, TOMBSTONED], "done", None),
        ([C, TOMBSTONED, TOMBSTONED], "done", None),
        ([C, GONE, GONE], "ignored", None),
        ([C, fact(2, "binding.tombstone", userId="u-9")], "done", None),
        ([TOMBSTONED], "done", None),
        ([C, A, TOMBSTONED, fact(3, "connection.authorize")], "refused", "CONNECTION_NOT_PENDING"),
        ([C, A, TOMBSTONED, fact(3, "connection.revoke", actor="APP")], "ignored", None),
        ([A, TOMBSTONED, fact(3, "connection.authorize")], "refused", "CONNECTION_NOT_PENDING"),
    ],
)
def test_each_fact_line_has_the_expected_outcome_and_code(
    lines: list[bytes], outcome: str, code: str | None
) -> None:
    answer = last(*lines)
    assert answer.keys() == {"line", "outcome", "code", "rules"}
    assert told(answer) == (outcome, code)


@pytest.mark.parametrize("unknown", [UNKNOWN, "no-uuid", "", ACCOUNT.replace("-", "")])
@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("connection.authorize", {}),
        ("connection.require_action", {"reason": "portal_login"}),
        ("connection.expire", {}),
        ("connection.revoke", {"actor": "PATIENT"}),
        ("handoff.complete", {}),
    ],
)
def test_fact_line_about_an_unknown_or_malformed_id_is_refused(
    kind: str, members: dict[str, Json], unknown: str
) -> None:
    name = "sessionId" if kind == "handoff.complete" else "connectionId"
    answer = last(created(1), fact(2, kind, **members, **{name: unknown}))
    assert told(answer) == ("refused", "NOT_FOUND")


def test_fact_line_with_upper_case_connection_id_finds_it() -> None:
    line = fact(2, "connection.expire", connectionId=uuid(0xABC).upper())
    assert told(last(created(1, response=recorded(0xABC)), line)) == ("ignored", None)


# --- Questions ------------------------------------------------------------------------------

ACTION: Final = fact(2, "connection.require_action", reason="portal_login")


@pytest.mark.parametrize("package", ["labs", "vitals", ""])
@pytest.mark.parametrize(
    ("lines", "minutes", "reason"),
    [
        ([], 30.9, "PENDING"),
        ([], 31, "LAPSED"),
        ([AUTHORIZED], 59.9, None),
        ([AUTHORIZED], 60, "EXPIRED"),
        ([AUTHORIZED, ACTION], 59.9, "ACTION_REQUIRED"),
        ([REVOKED], 2, "REVOKED"),
    ],
)
def test_access_denial_reports_standing_before_missing_package(
    lines: list[bytes], minutes: float, reason: str | None, package: str
) -> None:
    answer = last(A, *lines, asked(minutes, package))
    if reason is None and package != "labs":
        reason = "PACKAGE_NOT_GRANTED"
    until = time(60) if reason is None else None
    assert answer == {
        "line": answer["line"],
        "granted": reason is None,
        "reason": reason,
        "validUntil": until,
    }


def test_access_answer_without_an_expiry_has_null_valid_until() -> None:
    assert last(A, fact(2, "connection.authorize"), asked(3))["validUntil"] is None
