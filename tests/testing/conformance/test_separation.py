"""Tests of the checks of similar values: users, apps, owners and account states."""

from __future__ import annotations

import pytest

from tests.testing.conformance.scripted import (
    Change,
    failure_of,
    header,
    members,
    minted,
    steps_of,
    written_steps,
)

STEPS = {
    "account-state.not-modified": """
        GET /account-state?appUserId=user
        GET /account-state?appUserId=user If-None-Match: "account-unlinked"
        GET /account-state?appUserId=user If-None-Match: W/"account-unlinked"
        GET /account-state?appUserId=user If-None-Match: "other", "account-unlinked"
        GET /account-state?appUserId=user If-None-Match: "a,b",W/"c" , W/"account-unlinked", "d"
        GET /account-state?appUserId=user If-None-Match: "account-unlinked",
        GET /account-state?appUserId=user If-None-Match: *
        GET /account-state?appUserId=user If-None-Match: "other" If-None-Match: "account-unlinked"
        GET /account-state?appUserId=user If-None-Match: "other"
        GET /account-state?appUserId=user If-None-Match: account-unlinked
        GET /account-state?appUserId=user If-None-Match: "account-unlinkedx"
        GET /account-state?appUserId=user If-None-Match: w/"account-unlinked"
    """,
    "idempotency.scope.owner": """
        register_again cae_live_1 app-1 id-1 live connection:write
        POST /connections user
        register_again cae_live_1 app-2 id-1 live connection:write
        POST /connections user (key of 2)
        register_again cae_live_1 app-2 id-2 live connection:write
        POST /connections user (key of 2)
    """,
    "idempotency.dates": """
        POST /connections user
        GET /account-state?appUserId=user
        pass_time 0:01:00
        GET /account-state?appUserId=user
        POST /connections user (key of 1)
    """,
    "customer-account.twins": """
        make_key app-1 id-1 live connection:write
        POST /connections user-0
        POST /initiate user-0
        app 2: GET /account-state?appUserId=user-0
        app 2: POST /connections user-0 (key of 2)
        app 2: GET /connections/id-2
        app 2: POST /connections/id-2:reconnect
        app 2: POST /connections/id-2:revoke
        GET /connections/id-2
        POST /initiate full-0 (10 times)
        app 2: POST /initiate full-0
        make_key app-1 id-3 live connection:write
        POST /connections user-1
        POST /initiate user-1
        app 3: GET /account-state?appUserId=user-1
        app 3: POST /connections user-1 (key of 22)
        app 3: GET /connections/id-4
        app 3: POST /connections/id-4:reconnect
        app 3: POST /connections/id-4:revoke
        GET /connections/id-4
        POST /initiate full-1 (10 times)
        app 3: POST /initiate full-1
    """,
}

NO_DATE = "not run: the server sends no valid Date header"
SAME_CONNECTION = "the app with the look-alike id got the other app's connection"

WRONG: list[tuple[str, int, Change, str]] = [
    ("idempotency.dates", 2, header("date"), NO_DATE),
    ("idempotency.dates", 2, header("date", "soon"), NO_DATE),
    ("customer-account.twins", 5, members(connection__id=minted(3)), SAME_CONNECTION),
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
