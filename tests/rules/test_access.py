"""Access decisions: granted only in ACTIVE, for a granted package, until the next deadline."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules import access
from curae_lifecycle.rules.access import (
    ACCESS,
    AccessDecision,
    Granted,
    PackageGrant,
    decide_access,
)
from curae_lifecycle.rules.connection import (
    Actor,
    Connection,
    Standing,
    Status,
    next_deadline,
    standing,
)
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.triggers import revoke
from curae_lifecycle.testing import laws
from tests.proof.reference import tables
from tests.support.specimens import EVERY_CONNECTION, NAIVE, NOW, STANDS, stored
from tests.support.strategies import TICK, at, connections, instants, pending, snapshots


@pytest.mark.parametrize(("cell", "expected"), tables.ACCESS.items())
def test_access_in_each_standing_matches_the_access_table(
    cell: tuple[str, str], expected: str
) -> None:
    at_now, held = cell
    packages = ("clinical_summary", "labs") if held == "package granted" else ("imaging", "lab")
    for connection in STANDS[at_now]:
        before = deepcopy(connection)
        for package in packages:
            answer = decide_access(connection, package, NOW, era=None)
            assert access_word(answer) == expected
            assert answer.rule == ACCESS[Standing(at_now), PackageGrant(held)].rule
            assert answer == decide_access(connection, package, NOW, era=None)
        assert connection == before


def access_word(answer: AccessDecision) -> str:
    return "grant" if isinstance(answer, Granted) else f"deny {answer.reason}"


packages = st.sampled_from(["clinical_summary", "labs", "imaging", "", "LABS", "lab"])


def test_denial_reasons_are_5_standings_and_package_not_granted() -> None:
    assert [str(reason) for reason in access.DenialReason] == [
        "PENDING", "LAPSED", "ACTION_REQUIRED", "EXPIRED", "REVOKED", "PACKAGE_NOT_GRANTED",
    ]  # fmt: skip


def test_denied_access_carries_problem_code_and_details() -> None:
    answer = decide_access(pending(), "imaging", at(30), era=None)
    assert isinstance(answer, access.Denied)
    assert answer.problem.code == "CONNECTION_ACCESS_DENIED"
    assert answer.problem.details == {
        "connectionId": pending().id, "dataPackage": "imaging", "reason": "LAPSED",
    }  # fmt: skip


def test_access_grant_without_expiry_has_no_valid_until() -> None:
    answer = decide_access(stored("ACTIVE"), "labs", at(10**6), era=None)
    assert isinstance(answer, Granted)
    assert answer.valid_until is None


def test_access_question_with_naive_now_raises_argument_error() -> None:
    for connection in EVERY_CONNECTION:
        with pytest.raises(ArgumentError, match=r"^now: "):
            decide_access(connection, "labs", NAIVE, era=None)


@pytest.mark.parametrize("years", [1, 40, 400])
def test_access_grant_ends_exactly_at_expiry_even_in_400_years(
    years: int,
) -> None:
    end = NOW.replace(year=NOW.year + years)
    connection = stored("ACTIVE", end)
    for now in (NOW, end - TICK):
        answer = decide_access(connection, "labs", now, era=None)
        assert isinstance(answer, Granted)
        assert answer.valid_until == next_deadline(connection, era=None) == end
    assert access_word(decide_access(connection, "labs", end, era=None)) == "deny EXPIRED"


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("revoked_at", [NOW - TICK, NOW, NOW + TICK, at(10**6)])
def test_revoked_at_denies_access_in_any_status(status: Status, revoked_at: datetime) -> None:
    for deadline in (None, NOW + TICK):
        connection = stored(status, deadline, revoked_at=revoked_at)
        for package in ("labs", "lab"):
            answer = decide_access(connection, package, NOW, era=None)
            assert access_word(answer) == "deny REVOKED"
            assert answer.rule == "access.revoked"


@given(connections() | snapshots, packages, instants)
def test_law_05_access_needs_active_status_and_a_granted_package(
    connection: Connection, package: str, now: datetime
) -> None:
    laws.check_access(connection, package, now, era=None)
    # No access is denied without a reason, and no grant ends before the next deadline.
    answer = decide_access(connection, package, now, era=None)
    if isinstance(answer, Granted):
        end = answer.valid_until
        assert end == connection.expires_at == next_deadline(connection, era=None)
        if end is not None:
            assert isinstance(decide_access(connection, package, end - TICK, era=None), Granted)
            assert access_word(decide_access(connection, package, end, era=None)) == "deny EXPIRED"
    else:
        assert standing(connection, now, era=None) != "ACTIVE" or package not in {
            "clinical_summary",
            "labs",
        }


@given(connections() | snapshots, packages, instants, st.sampled_from(Actor))
def test_revocation_by_any_actor_denies_access(
    connection: Connection, package: str, now: datetime, actor: Actor
) -> None:
    revoked = revoke(connection, now, actor=actor, era=None).value
    assert access_word(decide_access(revoked, package, now, era=None)) == "deny REVOKED"
