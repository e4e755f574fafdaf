"""Tests of the checks of standings and of access."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.kit import Reference
from tests.testing.conformance.scripted import (
    Change,
    failure_of,
    gives,
    members,
    moved_by,
    steps_of,
    written_steps,
)

STEPS = {
    "standing.action-required-over": """
        POST /connections user-1
        authorize id-1 1:00:00
        require_action id-1 portal_login
        pass_time 0:59:55
        GET /connections/id-1
        pass_time 0:00:05
        GET /connections/id-1
        POST /connections/id-1:reconnect
    """,
    "standing.expired": """
        POST /connections user-1
        authorize id-1 null
        expire id-1
        GET /connections/id-1 (2 times)
        pass_time 1:00:00
        GET /connections/id-1
    """,
    "expiry-record.action-required": """
        POST /connections user-1
        authorize id-1 1:00:00
        require_action id-1 portal_login
        pass_time 1:00:01
        GET /connections/id-1
        expire id-1
        GET /connections/id-1
        pass_time 0:00:01
        expire id-1
        GET /connections/id-1
    """,
    "authorization.late-after-revoke": """
        POST /connections user
        pass_time 0:10:00
        POST /connections/id-1:revoke
        GET /connections/id-1 (2 times)
        authorize_late id-1 0:05:00
        GET /connections/id-1
    """,
    "authorization.successor-other": """
        POST /connections user-1
        pass_time 0:30:01
        GET /connections/id-1
        POST /connections/id-1:reconnect
        POST /connections/id-2:revoke
        GET /connections/id-1
        authorize_late id-1 0:05:00
        GET /connections/id-1
    """,
    "access.active-other-package": """
        POST /connections user-1
        authorize id-1 null
        GET /connections/id-1
        may_read id-1 genomics
    """,
    "access.pending": """
        POST /connections user-1
        may_read id-1 clinical_summary
    """,
}

OVER = "standing.action-required-over"

WRONG: list[tuple[str, int, Change, str]] = [
    (
        OVER,
        5,
        members(connection__status="ACTIVE"),
        'the status is "ACTIVE" instead of "ACTION_REQUIRED"',
    ),
    (
        OVER,
        7,
        members(connection__status="ACTION_REQUIRED"),
        'the status is "ACTION_REQUIRED" instead of "EXPIRED"',
    ),
    (
        OVER,
        7,
        members(connection__updatedAt=moved_by(seconds=1)),
        "the set of changed members is status, updatedAt instead of status",
    ),
    (
        "expiry-record.action-required",
        7,
        members(connection__actionRequiredReason="other"),
        "the set of changed members is actionRequiredReason, updatedAt instead of updatedAt",
    ),
    (
        "access.active-other-package",
        4,
        gives(True),
        "may_read(id-1, genomics) is true instead of false",
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


def test_kit_authorizes_90_seconds_late_if_pages_last_6_minutes() -> None:
    short_pages = Reference(lifetime=timedelta(minutes=6))
    assert steps_of("authorization.late-after-revoke", short_pages) == written_steps("""
        POST /connections user
        pass_time 0:03:00
        POST /connections/id-1:revoke
        GET /connections/id-1 (2 times)
        authorize_late id-1 0:01:30
        GET /connections/id-1
    """)
