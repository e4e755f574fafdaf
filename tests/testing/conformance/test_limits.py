"""Tests of the checks of limits and buckets."""

from __future__ import annotations

import re
from typing import cast

import attrs
import pytest

from curae_lifecycle.rules.values import SECOND
from curae_lifecycle.service import decide
from curae_lifecycle.testing.conformance import Response, run
from tests.support.kit import Reference
from tests.testing.conformance.scripted import (
    Change,
    failure_of,
    header,
    members,
    status,
    steps_of,
    written_steps,
)


def waits(seconds: int) -> Change:
    """Tell another wait, in both headers and in the details of the problem."""
    text, left = str(seconds), f"t={seconds}"

    def change(right: object) -> object:
        answer = cast("Response", members(details__retryAfter=seconds)(right))
        headers = [
            (name, text if name == "retry-after" else re.sub(r"t=\d+", left, value))
            for name, value in answer.headers
        ]
        return attrs.evolve(answer, headers=tuple(headers))

    return change


STEPS = {
    "request.limit": """
        POST /initiate user (12 times)
    """,
    "bucket.charges": """
        make_key app-1 id-1 live
        POST /connections user-1
        POST /connections/id-2:revoke
        replace_buckets [{"name": "kit", "capacity": 4, "refill": 1, "seconds": 60}]
        POST /connections/id-2:revoke (key of 3) (4 times)
        GET /account-state?appUserId=user
        replace_buckets [{"name": "kit", "capacity": 4, "refill": 1, "seconds": 60}]
        GET /connections/id-3 (4 times)
        GET /account-state?appUserId=user
        replace_buckets [{"name": "kit", "capacity": 4, "refill": 1, "seconds": 60}]
        POST /graduation-handoff user (4 times)
        GET /account-state?appUserId=user
        replace_buckets [{"name": "kit", "capacity": 4, "refill": 1, "seconds": 60}]
        POST /connections user (key of 3) (4 times)
        GET /account-state?appUserId=user
        replace_buckets [{"name": "kit", "capacity": 4, "refill": 1, "seconds": 60}]
        GET /account-state?appUserId=user If-None-Match: * (4 times)
        GET /account-state?appUserId=user
        replace_buckets [{"name": "kit", "capacity": 4, "refill": 1, "seconds": 60}]
        GET /connections/nonsense (4 times)
        GET /account-state?appUserId=user
        replace_buckets [{"name": "kit", "capacity": 4, "refill": 1, "seconds": 60}]
        POST /connections/id-2:revoke (4 times)
        GET /account-state?appUserId=user
        replace_buckets [{"name": "kit", "capacity": 4, "refill": 1, "seconds": 60}]
        GET /nothing (4 times)
        GET /account-state?appUserId=user
        replace_buckets [{"name": "kit", "capacity": 4, "refill": 1, "seconds": 60}]
        app 2: POST /connections user (8 times)
        app 2: GET /account-state?appUserId=user
    """,
    "bucket.clock-corrected-slightly": """
        replace_buckets [{"name": "kit", "capacity": 4, "refill": 1, "seconds": 60}]
        pass_time 0:04:00
        GET /account-state?appUserId=user (4 times)
        turn_clock_back 0:04:00
        GET /account-state?appUserId=user
        pass_time 0:05:00
        GET /account-state?appUserId=user (2 times)
    """,
}

LIMIT, CHARGES = "request.limit", "bucket.charges"
ACCOUNT = "GET /api/sdk/v1/curae-connect/account-state?appUserId=user"
LIMITED = status(429, "RATE_LIMITED")
DETAILS = '{"policy": "initiate", "retryAfter": 60}'
OTHER_DETAILS = '{"policy": "other", "retryAfter": 60}'
OTHER_POLICY = '"initiate";q=9;w=60'
OTHER_WAIT = '"initiate";r=0;t=59'

WRONG: list[tuple[str, int, Change, str]] = [
    (
        LIMIT,
        12,
        header("retry-after", "soon"),
        'Retry-After is "soon", not whole seconds of at least 1',
    ),
    (LIMIT, 12, header("retry-after", "0"), 'Retry-After is "0", not whole seconds of at least 1'),
    (
        LIMIT,
        12,
        members(details__policy="other"),
        f"details is {OTHER_DETAILS} instead of {DETAILS}",
    ),
    (
        LIMIT,
        12,
        header("ratelimit-policy", OTHER_POLICY),
        r'RateLimit-Policy is "\"initiate\";q=9;w=60" instead of "\"initiate\";q=10;w=60"',
    ),
    (
        LIMIT,
        12,
        header("ratelimit", OTHER_WAIT),
        r'RateLimit is "\"initiate\";r=0;t=59" instead of "\"initiate\";r=0;t=60"',
    ),
    (
        LIMIT,
        12,
        header("cache-control", "no-cache"),
        'Cache-Control is "no-cache" instead of "no-store"',
    ),
    (LIMIT, 12, header("ratelimit"), "the response has 0 headers ratelimit instead of 1"),
    (LIMIT, 12, waits(61), "Retry-After is 61 s instead of at most 60 s"),
    (
        "bucket.clock-corrected-slightly",
        8,
        waits(481),
        "Retry-After is 481 s instead of at most 480 s",
    ),
    (CHARGES, 12, LIMITED, "GET /api/sdk/v1/connections/id-3 was charged more than once"),
    (CHARGES, 15, status(200), "GET /api/sdk/v1/connections/id-3 was not charged"),
    (CHARGES, 39, LIMITED, "GET /api/sdk/v1/connections/nonsense was charged"),
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


def test_kit_rejects_a_retry_after_header_of_5000_digits() -> None:
    failure = failure_of(LIMIT, {12: header("retry-after", "9" * 5000)})
    assert failure.endswith('99", not whole seconds of at least 1')


@pytest.mark.parametrize("check", ["limit.retry-after", "bucket.refills"])
def test_kit_fails_a_server_that_rounds_its_retry_after_down(
    check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def floor_seconds(span: int) -> int:
        return max(1, span // SECOND)

    monkeypatch.setattr(decide, "ceil_seconds", floor_seconds)
    assert [each.check for each in run(Reference().server(), only=[check], seed="1").failed] == [
        check
    ]
