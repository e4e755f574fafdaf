"""Tests of the checks of revocations and of long chains."""

from __future__ import annotations

import pytest

from tests.testing.conformance.scripted import (
    Change,
    failure_of,
    members,
    moved_by,
    steps_of,
    written_steps,
)

STEPS = {
    "revocation-reach.patient": """
        POST /connections user-1
        authorize id-1 null
        require_action id-1 portal_login
        GET /connections/id-1
        POST /connections/id-1:reconnect
        revoke id-1 PATIENT
        GET /connections/id-1
        GET /connections/id-2
        GET /connections/id-1
        GET /connections/id-2
        GET /connections/id-1
        POST /connections/id-1:revoke
    """,
    "revocation-reach.app": """
        POST /connections user-1
        authorize id-1 null
        require_action id-1 portal_login
        GET /connections/id-1
        POST /connections/id-1:reconnect
        POST /connections/id-1:revoke
        GET /connections/id-1
        GET /connections/id-2
        GET /connections/id-1
        POST /connections/id-1:revoke
    """,
    "law-06.chain-of-every-end": """
        POST /connections user
        authorize id-1 null
        expire id-1
        GET /connections/id-1
        POST /connections/id-1:reconnect
        POST /connections/id-2:revoke
        GET /connections/id-2
        POST /connections/id-2:reconnect
        authorize id-3 null
        require_action id-3 portal_login
        GET /connections/id-3
        POST /connections/id-3:reconnect
        authorize id-4 null
        expire id-4
        GET /connections/id-4
        POST /connections/id-4:reconnect
        POST /connections/id-1:reconnect
        POST /connections/id-3:reconnect (2 times)
        POST /connections/id-4:reconnect
        authorize id-5 null
        GET /connections/id-1
        GET /connections/id-2
        GET /connections/id-3
        GET /connections/id-4
        GET /connections/id-5
        POST /connections user
        authorize id-6 null
        expire id-6
        GET /connections/id-6
        POST /connections/id-6:reconnect
        POST /connections/id-7:revoke
        GET /connections/id-7
        POST /connections/id-7:reconnect
        authorize id-8 null
        require_action id-8 portal_login
        GET /connections/id-8
        POST /connections/id-8:reconnect
        authorize id-9 null
        expire id-9
        GET /connections/id-9
        POST /connections/id-9:reconnect
        POST /connections/id-10:revoke
        GET /connections/id-10
        POST /connections/id-10:reconnect
        authorize id-11 null
        require_action id-11 portal_login
        GET /connections/id-11
        POST /connections/id-11:reconnect
        authorize id-12 null
        expire id-12
        GET /connections/id-12
        POST /connections/id-12:reconnect
        POST /connections/id-13:revoke
        GET /connections/id-13
        POST /connections/id-13:reconnect
        authorize id-14 null
        require_action id-14 portal_login
        GET /connections/id-14
        POST /connections/id-14:reconnect
        authorize id-15 null
        expire id-15
        GET /connections/id-15
        POST /connections/id-15:reconnect
        POST /connections/id-16:revoke
        GET /connections/id-16
        POST /connections/id-16:reconnect
        authorize id-17 null
        require_action id-17 portal_login
        GET /connections/id-17
        POST /connections/id-17:reconnect
        authorize id-18 null
        expire id-18
        GET /connections/id-18
        POST /connections/id-18:reconnect
        POST /connections/id-19:revoke
        GET /connections/id-19
        POST /connections/id-19:reconnect
        authorize id-20 null
        require_action id-20 portal_login
        GET /connections/id-20
        POST /connections/id-20:reconnect
        authorize id-21 null
        expire id-21
        GET /connections/id-21
        POST /connections/id-21:reconnect
        POST /connections/id-22:revoke
        GET /connections/id-22
        POST /connections/id-22:reconnect
        authorize id-23 null
        require_action id-23 portal_login
        GET /connections/id-23
        POST /connections/id-23:reconnect
        authorize id-24 null
        expire id-24
        GET /connections/id-24
        POST /connections/id-24:reconnect
        POST /connections/id-6:reconnect
        POST /connections/id-16:reconnect
        POST /connections/id-23:reconnect
        POST /connections/id-24:reconnect
        authorize id-25 null
        GET /connections/id-6
        GET /connections/id-7
        GET /connections/id-8
        GET /connections/id-9
        GET /connections/id-10
        GET /connections/id-11
        GET /connections/id-12
        GET /connections/id-13
        GET /connections/id-14
        GET /connections/id-15
        GET /connections/id-16
        GET /connections/id-17
        GET /connections/id-18
        GET /connections/id-19
        GET /connections/id-20
        GET /connections/id-21
        GET /connections/id-22
        GET /connections/id-23
        GET /connections/id-24
        GET /connections/id-25
    """,
}

WRONG: list[tuple[str, int, Change, str]] = [
    ("revocation-reach.app", 6, members(revokedNow=False), "revokedNow is false instead of true"),
    (
        "revocation-reach.patient",
        9,
        members(connection__status="EXPIRED"),
        'the status of id-1 is "EXPIRED" instead of "REVOKED"',
    ),
    (
        "revocation-reach.patient",
        10,
        members(connection__revokedAt=moved_by(seconds=1)),
        "the number of different revokedAt is 2 instead of 1",
    ),
    (
        "revocation-reach.patient",
        12,
        members(revokedNow=True),
        "revokedNow of a second revocation is true instead of false",
    ),
]
"""Wrong answers, each with its check, the number of its step, and the message of the check."""


@pytest.mark.parametrize("check", STEPS)
def test_kit_check_takes_exactly_the_steps_that_this_file_lists(check: str) -> None:
    assert steps_of(check) == written_steps(STEPS[check])


@pytest.mark.parametrize(("check", "step", "change", "message"), WRONG)
def test_kit_check_fails_on_each_wrong_answer_with_a_message(
    check: str, step: int, change: Change, message: str
) -> None:
    assert failure_of(check, {step: change}) == message


def test_kit_fails_a_connection_changed_by_a_second_revocation() -> None:
    change = members(connection__updatedAt=moved_by(seconds=1))
    message = failure_of("revocation-reach.patient", {12: change})
    assert message is not None
    assert message.startswith("the connection in that response is ")
