"""Tests of the check of a bucket's refusal, with clocks that were stepped."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.testing.watch_limits import check_bucket_refusal
from tests.support.strategies import START

BUCKET = Bucket(name="second", capacity=6, refill=3, seconds=1)
"""A bucket that fills in two seconds."""

WINDOW = timedelta(seconds=2)
FURTHEST = WINDOW + timedelta(minutes=5)
TICK = timedelta(microseconds=1)


def check(last: datetime | None, *, wait: int = 1) -> None:
    refused = Response(status=429, headers=(("retry-after", str(wait)),), body=b"")
    check_bucket_refusal(refused, BUCKET, START, last=last)


@pytest.mark.parametrize("last", [START - WINDOW + TICK, START, START + FURTHEST])
def test_bucket_may_refuse_near_its_last_charge(last: datetime) -> None:
    check(last)


@pytest.mark.parametrize("last", [None, START - WINDOW, START + FURTHEST + TICK])
def test_bucket_far_from_its_last_charge_breaks_law_10(last: datetime | None) -> None:
    with pytest.raises(LawBrokenError, match="refused although its last charge was at"):
        check(last)


def test_wait_beyond_the_window_and_five_minutes_breaks_law_10() -> None:
    check(START, wait=302)
    with pytest.raises(LawBrokenError, match="Retry-After is 303 s"):
        check(START, wait=303)
