"""Tests of which failures of the kit may be those of a server that is down."""

from __future__ import annotations

import pytest

from curae_lifecycle.testing.conformance import CHECKS
from curae_lifecycle.testing.conformance.failures import ServerRaisedError, failure_of
from curae_lifecycle.testing.conformance.steps import NotConformingError
from curae_lifecycle.testing.conformance.timeout import CheckTimeoutError

WRONG = NotConformingError("the status is wrong")


@pytest.mark.parametrize(
    ("error", "last_status", "may_be_down"),
    [
        *((WRONG, status, False) for status in (0, 200, 404, 429, 499)),
        *((WRONG, status, True) for status in (500, 501, 503, 599)),
        (ServerRaisedError("refused"), 0, True),
        (CheckTimeoutError("hung"), 200, True),
        (ValueError("no JSON"), 200, False),
    ],
)
def test_5xx_exception_or_timeout_marks_a_server_as_maybe_down(
    error: Exception,
    last_status: int,
    may_be_down: bool,  # noqa: FBT001 - a parameter
) -> None:
    failure = failure_of(CHECKS[0], error, (), last_status=last_status)
    assert failure.may_be_down is may_be_down
