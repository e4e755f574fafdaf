"""Tests of the checks of sessions and bindings."""

from __future__ import annotations

import pytest

from tests.testing.conformance.scripted import (
    Change,
    failure_of,
    gives,
    members,
    play_check,
    steps_of,
    written_steps,
)

STEPS = {
    "entry-path.unlinked.sign-up": """
        GET /account-state?appUserId=user-1
        POST /initiate user-1 preferSignup=true
        GET /account-state?appUserId=user-1
    """,
    "entry-path.active": """
        POST /initiate user-1 preferSignup=true
        complete_handoff id-1 platform-user-1
        GET /account-state?appUserId=user-1
        POST /initiate user-1
        GET /account-state?appUserId=user-1
        POST /initiate user-2 preferSignup=true
        complete_handoff id-2 platform-user-1
        GET /account-state?appUserId=user-2
        POST /initiate user-2 preferSignup=false
        GET /account-state?appUserId=user-2
    """,
    "binding.provision.unlinked": """
        GET /account-state?appUserId=user-1
        POST /initiate user-1
        GET /account-state?appUserId=user-1
    """,
    "binding.complete-sign-up.active.same": """
        POST /initiate user-1 preferSignup=true (2 times)
        complete_handoff id-1 platform-user-1
        GET /account-state?appUserId=user-1
        complete_handoff id-2 platform-user-1
        GET /account-state?appUserId=user-1
    """,
    "binding.complete-sign-up.active.other": """
        POST /initiate user-1 preferSignup=true (2 times)
        complete_handoff id-1 platform-user-1
        GET /account-state?appUserId=user-1
        complete_handoff id-2 platform-user-2
        GET /account-state?appUserId=user-1
    """,
    "binding.complete-sign-up.tombstoned": """
        POST /initiate user-1 preferSignup=true
        POST /initiate user-1
        tombstone app-1 id-1 live user-1
        GET /account-state?appUserId=user-1
        complete_handoff id-2 platform-user-2
        GET /account-state?appUserId=user-1
    """,
    "binding.graduate.limited.same": """
        POST /initiate user-1
        GET /account-state?appUserId=user-1
        graduate app-1 id-1 live user-1 null
        GET /account-state?appUserId=user-1
    """,
    "binding.graduate.limited.other": """
        POST /initiate user-1
        GET /account-state?appUserId=user-1
        graduate app-1 id-1 live user-1 platform-user-2
        GET /account-state?appUserId=user-1
    """,
    "binding.graduate.active.other": """
        POST /initiate user-1 preferSignup=true
        complete_handoff id-1 platform-user-1
        GET /account-state?appUserId=user-1
        graduate app-1 id-2 live user-1 platform-user-2
        GET /account-state?appUserId=user-1
    """,
    "binding.tombstone.unlinked": """
        GET /account-state?appUserId=user-1
        tombstone app-1 id-1 live user-1
        GET /account-state?appUserId=user-1
    """,
    "completion.landed.other": """
        POST /initiate user-1 preferSignup=true
        complete_handoff id-1 platform-user-1
        GET /account-state?appUserId=user-1
        complete_handoff id-1 platform-user-2
        GET /account-state?appUserId=user-1
    """,
    "completion.other-era": """
        POST /initiate user-1 preferSignup=true
        tombstone app-1 id-1 live user-1
        GET /account-state?appUserId=user-1
        complete_handoff id-2 platform-user-1
        GET /account-state?appUserId=user-1
    """,
    "completion.over": """
        POST /initiate user-1 preferSignup=true
        pass_time 0:30:00
        GET /account-state?appUserId=user-1
        complete_handoff id-1 platform-user-1
        GET /account-state?appUserId=user-1
    """,
    "completion.waiting": """
        POST /initiate user-1 preferSignup=true
        GET /account-state?appUserId=user-1
        complete_handoff id-1 platform-user-1
        GET /account-state?appUserId=user-1
    """,
    "completion.existing-active": """
        POST /initiate user-1 preferSignup=true
        complete_handoff id-1 platform-user-1
        GET /account-state?appUserId=user-1
        POST /initiate user-1 preferSignup=false
        GET /account-state?appUserId=user-1
        complete_handoff id-2 platform-user-1
        GET /account-state?appUserId=user-1
    """,
    "graduation-handoff.unlinked": """
        GET /account-state?appUserId=user-1
        POST /graduation-handoff user-1
        GET /account-state?appUserId=user-1
    """,
    "graduation-handoff.limited": """
        POST /initiate user-1
        GET /account-state?appUserId=user-1
        POST /graduation-handoff user-1
        GET /account-state?appUserId=user-1
    """,
}

SIGN_UP = "entry-path.unlinked.sign-up"
INSTANT = "2026-01-05T09:00:00Z"

WRONG: list[tuple[str, int, Change, str]] = [
    (
        SIGN_UP,
        1,
        members(lifecycleState="LIMITED"),
        'the account state is "LIMITED" instead of "UNLINKED"',
    ),
    (
        SIGN_UP,
        2,
        members(session__path="x"),
        'session.path is "x" instead of "NEW_ACTIVE_SIGNUP_HANDOFF"',
    ),
    (
        SIGN_UP,
        2,
        members(session__handoff="LANDED"),
        'session.handoff is "LANDED" instead of "AWAITED"',
    ),
    (SIGN_UP, 2, members(session__appUserId="x"), 'session.appUserId is "x" instead of "user-1"'),
    (
        SIGN_UP,
        2,
        members(session__customerAccountId="x"),
        'session.customerAccountId is "x" instead of "id-1"',
    ),
    (
        SIGN_UP,
        2,
        members(session__landedAt=INSTANT),
        f'session.landedAt is "{INSTANT}" instead of null',
    ),
    (
        SIGN_UP,
        2,
        members(session__expiresAt=INSTANT),
        f'session.expiresAt is "{INSTANT}" instead of "2026-01-01T00:30:00.002Z"',
    ),
    (
        SIGN_UP,
        2,
        members(nextAction__type="x"),
        'nextAction.type is "x" instead of "open_webview"',
    ),
    (
        SIGN_UP,
        2,
        members(session__createdAt="2026-01-01T00:30:00.002Z"),
        "the session has expired when it is created",
    ),
    (
        "completion.waiting",
        1,
        members(session__path="x"),
        'session.path is "x" instead of "NEW_ACTIVE_SIGNUP_HANDOFF"',
    ),
    (
        "completion.waiting",
        3,
        gives("ignored"),
        "the hook returned ignored instead of done",
    ),
    *[
        (
            check,
            step,
            gives(None),
            f"not run: the hook {hook} does not report the outcome of the fact",
        )
        for check, step, hook in (
            ("binding.complete-sign-up.active.other", 5, "complete_handoff"),
            ("binding.graduate.active.other", 4, "graduate"),
            ("completion.landed.other", 4, "complete_handoff"),
        )
    ],
    (
        "graduation-handoff.unlinked",
        2,
        members(details={}),
        'details is {} instead of {"lifecycleState": "UNLINKED"}',
    ),
]
"""Wrong answers, each with its check, the number of its step, and the message of the check."""

VISIBLE = [
    ("binding.complete-sign-up.active.same", 5),
    ("binding.complete-sign-up.limited", 4),
    ("binding.graduate.active.same", 4),
    ("binding.graduate.limited.other", 3),
    ("completion.landed.same", 4),
    ("completion.over", 4),
]
"""Facts whose outcome a later request shows, each with its check and the number of its step."""


@pytest.mark.parametrize("check", STEPS)
def test_kit_check_takes_exactly_the_steps_that_this_file_lists(check: str) -> None:
    assert steps_of(check) == written_steps(STEPS[check])


@pytest.mark.parametrize(("check", "step", "change", "message"), WRONG)
def test_kit_check_fails_on_each_wrong_answer_with_a_message(
    check: str, step: int, change: Change, message: str
) -> None:
    assert failure_of(check, {step: change}) == message


@pytest.mark.parametrize(("check", "step"), VISIBLE)
def test_hook_may_return_none_if_a_request_shows_the_outcome(check: str, step: int) -> None:
    assert play_check(check, {step: gives(None)})
