"""Tests of the checks of idempotency keys and of stored responses."""

from __future__ import annotations

import pytest

from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.testing.conformance import CHECKS, checks, idempotency, retention
from tests.support.eighth import EIGHT
from tests.testing.conformance.scripted import (
    Change,
    at_once,
    failure_of,
    members,
    play_check,
    status,
    steps_of,
    written_steps,
)

STEPS = {
    "idempotency.same-request.order-of-members": """
        POST /connections ada
        POST /connections ada (key of 1)
    """,
    "idempotency.replay.create": """
        POST /connections user-1
        POST /connections user-2
        pass_time 0:00:01
        POST /connections user-2 (key of 2)
        pass_time 0:00:01
        POST /connections user-2 (key of 2)
    """,
    "idempotency.completed.other": """
        POST /connections user
        POST /connections another (key of 1)
        POST /connections user dataPackages=["clinical_summary"] (key of 1)
        POST /connections user dataPackages=["clinical_summary", "labs", "more"] (key of 1)
        POST /connections user (key of 1)
    """,
    "idempotency.at-once.create": """
        POST /connections user-1
        8 at once: POST /connections user-2
        POST /connections user-2 (key of 2)
    """,
}

AT_ONCE = "idempotency.at-once.create"
IN_FLIGHT = status(409, "IDEMPOTENCY_KEY_IN_FLIGHT")
EVERY = range(8)

WRONG: list[tuple[str, int, Change, str]] = [
    (
        "idempotency.replay.create",
        4,
        status(409, "NOT_FOUND"),
        "the retry got 409 NOT_FOUND instead of the first response, 201",
    ),
    (
        "idempotency.completed.other",
        2,
        members(details__differs="operation"),
        'details is {"differs": "operation"} instead of {"differs": "values"}',
    ),
    (AT_ONCE, 2, at_once(IN_FLIGHT, *EVERY), "no request was executed"),
    (
        AT_ONCE,
        2,
        at_once(status(409, "NOT_FOUND"), 7),
        "the server answered 409 NOT_FOUND instead of 409 IDEMPOTENCY_KEY_IN_FLIGHT",
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


def test_kit_accepts_in_flight_409_for_7_of_8_parallel_requests() -> None:
    assert play_check(AT_ONCE, {2: at_once(IN_FLIGHT, *EVERY[1:])})


def test_each_operation_with_idempotency_keys_has_a_retry_check() -> None:
    (check,) = idempotency.checks((CreateConnection, GetConnection))
    assert check.name == "idempotency.replay.create"
    assert check.shows == (
        "A retry of create with the same key gets the first response, byte for byte."
    )
    assert check.laws == (9, 12)
    assert check.rules == ("idempotency.completed.same",)
    assert steps_of(check) == written_steps(STEPS["idempotency.replay.create"])


def test_operation_with_idempotency_keys_has_concurrency_check() -> None:
    (check,) = retention.checks((CreateConnection, GetConnection))
    assert check.name == AT_ONCE
    assert check.shows == "Concurrent requests for create with one key execute once."
    assert check.laws == (12,)
    assert steps_of(check) == written_steps(STEPS[AT_ONCE])


def test_kit_adds_three_checks_for_a_custom_operation() -> None:
    more = {each.name for each in checks(EIGHT)} - {each.name for each in CHECKS}
    assert more == {
        "idempotency.at-once.relabel",
        "idempotency.replay.relabel",
        "operation.relabel",
    }
