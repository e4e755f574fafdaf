"""Tests of the judge of refused API keys."""

from __future__ import annotations

from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.values import SECOND
from curae_lifecycle.service.response import Response
from tests.lab.crash.history import Operation
from tests.lab.crash.lived import START, Lived
from tests.lab.failover.refused import Refusals

BUCKETS: Final = (("platform", 4, 2, 1),)


def refusal(policy: str, wait: int) -> Response:
    headers = (("ratelimit-policy", policy), ("retry-after", str(wait)))
    return Response(429, headers, b"")


OF_BUCKET: Final = '"platform";q=4;w=2'


def asked(answer: Response | None, seconds: float) -> Operation:
    """Return a request that was sent so many seconds after an admitted one."""
    lived = Lived()
    lived.create("k-1")
    invoked = START + round(seconds * SECOND)
    returned = None if answer is None else invoked
    return attrs.evolve(lived.history[0], invoked=invoked, returned=returned, answer=answer)


ADMITTED: Final = asked(Response(201, (), b""), 0)


@pytest.mark.parametrize(
    ("stepped", "seconds", "wait", "is_allowed"),
    [
        (0, 1.4, 1, True),
        (0, 1.6, 1, False),
        (60, 61.4, 1, True),
        (60, 61.6, 1, False),
        (60, 1, 61, True),
        (60, 1, 62, False),
    ],
)
def test_failover_checker_reports_needless_429_or_too_long_wait(
    stepped: int, seconds: float, wait: int, *, is_allowed: bool
) -> None:
    refusals = Refusals(BUCKETS, stepped=stepped * SECOND)
    refusals.judge([asked(refusal(OF_BUCKET, wait), seconds), ADMITTED], ahead=0)
    assert (not refusals.broken) is is_allowed
    assert refusals.refused == 1


def test_failover_checker_counts_a_fast_clock_as_time_to_refill() -> None:
    refusals = Refusals(BUCKETS, stepped=0)
    refusals.judge([ADMITTED], ahead=0)
    refusals.judge([asked(refusal(OF_BUCKET, 1), 1)], ahead=SECOND)
    assert refusals.broken


def test_failover_checker_allows_429_after_unanswered_request() -> None:
    refusals = Refusals(BUCKETS, stepped=0)
    refusals.judge([ADMITTED, asked(None, 60), asked(refusal(OF_BUCKET, 1), 70)], ahead=0)
    assert not refusals.broken


def test_failover_checker_ignores_429_of_an_app_users_limit() -> None:
    refusals = Refusals(BUCKETS, stepped=0)
    refusals.judge([ADMITTED, asked(refusal('"initiate";q=10;w=60', 60), 90)], ahead=0)
    assert refusals.refused == 0
    assert not refusals.broken
