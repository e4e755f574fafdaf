"""Tests of the checks of recoveries."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.kit import Reference
from tests.testing.conformance.scripted import (
    Change,
    failure_of,
    members,
    moved_by,
    play_check,
    steps_of,
    written_steps,
)

STEPS = {
    "recovery.lapsed.none": """
        POST /connections user
        pass_time 0:30:01
        GET /connections/id-1 (2 times)
        POST /connections/id-1:reconnect
        GET /connections/id-2
        GET /connections/id-1
    """,
    "recovery.lapsed.pending": """
        POST /connections user-1
        pass_time 0:30:01
        GET /connections/id-1
        POST /connections/id-1:reconnect
        pass_time 0:01:00
        POST /connections/id-1:reconnect
    """,
    "recovery.lapsed.other": """
        POST /connections user-1
        pass_time 0:30:01
        GET /connections/id-1
        POST /connections/id-1:reconnect
        POST /connections/id-2:revoke
        POST /connections/id-1:reconnect
        POST /connections/id-2:reconnect
        POST /connections/id-1:reconnect
        GET /connections/id-3
    """,
}

NEW, AGAIN, OTHER = STEPS
INSTANT = "2026-01-05T09:00:00Z"
DETAILS = '{"connectionId": "id-1", "nextConnectionId": "id-2", "headConnectionId": "id-2"}'

WRONG: list[tuple[str, int, Change, str]] = [
    (
        NEW,
        5,
        members(connection__customerAccountId="x"),
        'customerAccountId is "x" instead of "id-2"',
    ),
    (NEW, 5, members(connection__appUserId="x"), 'appUserId is "x" instead of "user"'),
    (
        NEW,
        5,
        members(connection__dataPackages=["labs"]),
        'dataPackages is ["labs"] instead of ["clinical_summary", "labs"]',
    ),
    *[
        (
            NEW,
            5,
            members(**{f"connection__{name}": INSTANT}),
            f'{name} is "{INSTANT}" instead of null',
        )
        for name in ("authorizedAt", "expiresAt", "revokedAt", "actionRequiredReason")
    ],
    (
        NEW,
        5,
        members(connection__status="ACTIVE"),
        'the status of the successor is "ACTIVE" instead of "PENDING"',
    ),
    *[
        (
            check,
            step,
            members(previousConnectionId="x"),
            'previousConnectionId is "x" instead of "id-1"',
        )
        for check, step in ((NEW, 5), (AGAIN, 6))
    ],
    (
        AGAIN,
        6,
        members(nextAction__url="https://connect.example/4"),
        "the reissue has the same URL as the first response",
    ),
    (
        AGAIN,
        6,
        members(connection__appUserId="x"),
        "the set of other changed members is appUserId instead of none",
    ),
    (
        OTHER,
        6,
        members(details={}),
        f"details is {{}} instead of {DETAILS}",
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


def test_kit_fails_a_successor_that_differs_when_read_again() -> None:
    message = failure_of(NEW, {6: members(connection__appUserId="x")})
    assert message.startswith('the successor, read again, is {"id": "id-2", ')


@pytest.mark.parametrize("name", ["connection.updatedAt", "nextAction.expiresAt"])
def test_kit_fails_a_reissue_whose_times_lag_behind_the_clock(name: str) -> None:
    still = Reference(tick=timedelta(0))
    path = name.replace(".", "__")
    message = failure_of(AGAIN, {6: members(**{path: moved_by(seconds=-2)})}, still)
    assert message == f"{name} moved by 0:00:58 instead of at least 0:01:00"


def test_kit_passes_a_reissue_whose_times_move_with_the_clock() -> None:
    assert play_check(AGAIN, reference=Reference(tick=timedelta(0)))


def test_kit_repeats_reconnect_without_a_wait_if_no_clock_hook() -> None:
    assert steps_of("recovery.revoked.pending", without="pass_time") == written_steps("""
        POST /connections user-1
        POST /connections/id-1:revoke
        GET /connections/id-1
        POST /connections/id-1:reconnect (2 times)
    """)


def test_kit_repeats_reconnect_after_30_s_if_pages_last_a_minute() -> None:
    short_pages = Reference(lifetime=timedelta(minutes=1))
    assert "pass_time 0:00:30" in steps_of("recovery.revoked.pending", short_pages).splitlines()


def test_long_chain_check_reconnects_sixty_connections_in_a_row() -> None:
    first, *steps = play_check("law-06.long-chain")
    recoveries = [
        f"POST /connections/id-{number}:{doing}"
        for number in range(1, 60)
        for doing in ("revoke", "reconnect")
    ]
    assert first == "POST /connections user-1"
    assert steps[: len(recoveries)] == recoveries
    assert steps[len(recoveries) :] == [
        *["POST /connections/id-60:revoke"],
        *[f"POST /connections/id-{number}:reconnect" for number in (1, 2, 31, 59, 60)],
        *["POST /connections/id-61:revoke"],
        *[f"POST /connections/id-{number}:reconnect" for number in (1, 2, 31, 60, 61)],
    ]
