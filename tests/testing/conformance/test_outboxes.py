"""Tests of the checks of the outbox."""

from __future__ import annotations

from typing import cast

import pytest

from tests.testing.conformance.scripted import (
    Change,
    failure_of,
    gives,
    steps_of,
    written_steps,
)


def newest(**members: object) -> Change:
    """Change members of the newest message."""

    def change(right: object) -> object:
        *earlier, last = cast("list[dict[str, object]]", right)
        return [*earlier, last | members]

    return change


STEPS = {
    "outbox.connection": """
        POST /connections user
        outbox
        GET /connections/id-1
        authorize id-1 1:00:00
        outbox
        GET /connections/id-1
        require_action id-1 portal_login
        outbox
        GET /connections/id-1
        expire id-1
        outbox
        GET /connections/id-1
        POST /connections/id-1:revoke
        outbox
        GET /connections/id-1
        POST /connections/id-1:reconnect
        outbox
        GET /connections/id-2
        POST /connections/id-1:reconnect
        outbox
        GET /connections/id-2
        outbox
    """,
    "outbox.tombstone": """
        POST /initiate user
        POST /connections user
        authorize id-1 null
        GET /connections/id-1
        POST /connections user (41 times)
        tombstone app-1 id-2 live user
        outbox (3 times)
    """,
    "outbox.account": """
        POST /initiate user (2 times)
        graduate app-1 id-1 live user null
        POST /initiate user
        tombstone app-1 id-1 live user
        POST /initiate other preferSignup=true
        complete_handoff id-2 u-1
        outbox (2 times)
    """,
}

AT = (
    'the instant of the newest event is "2026-01-05T09:00:00Z" '
    'instead of "2026-01-01T00:00:00.001Z"'
)

WRONG: list[tuple[str, int, Change, str]] = [
    (
        "outbox.connection",
        2,
        gives([]),
        "the outbox has no event of the user after connection.created",
    ),
    (
        "outbox.connection",
        2,
        newest(kind="connection.revoked"),
        'the kind of the newest event is "connection.revoked" instead of "connection.created"',
    ),
    ("outbox.connection", 2, newest(at="2026-01-05T09:00:00Z"), AT),
    ("outbox.tombstone", 49, gives([]), "not run: the outbox holds no effects"),
    (
        "outbox.tombstone",
        49,
        gives([{"kind": "connection.created"}]),
        "not run: the outbox holds no effects",
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


def test_kit_fails_a_connection_event_with_an_empty_subject() -> None:
    message = failure_of("outbox.connection", {2: newest(subject={})})
    assert message.startswith('the subject of the newest event is {} instead of {"id": "id-1", ')
