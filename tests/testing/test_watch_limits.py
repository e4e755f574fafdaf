"""Tests of the check of a bucket's refusal, with clocks that were stepped."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs
import pytest

from curae_lifecycle.rules.ratelimit import FULL_BUCKET, Bucket
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.testing.watch import Watch
from curae_lifecycle.testing.watch_limits import check_bucket_refusal
from tests.support.server import CALLER, request
from tests.support.strategies import START
from tests.testing.watched import broken, call_of, limited

BUCKET = Bucket(name="second", capacity=6, refill=3, seconds=1)
"""A bucket that fills in two seconds."""

WINDOW = timedelta(seconds=2)
FURTHEST = WINDOW + timedelta(minutes=5)
TICK = timedelta(microseconds=1)


def check(last: datetime | None, *, wait: int = 1) -> None:
    refused = Response(status=429, headers=(("retry-after", str(wait)),), body=b"")
    check_bucket_refusal(refused, BUCKET, START, last=last)


@pytest.mark.parametrize("last", [START - WINDOW + TICK, START, START + FURTHEST])
def test_law_10_watch_accepts_a_refusal_by_an_unfilled_bucket(last: datetime) -> None:
    check(last)


@pytest.mark.parametrize("last", [None, START - WINDOW, START + FURTHEST + TICK])
def test_law_10_watch_reports_a_refusal_by_a_refilled_bucket(last: datetime | None) -> None:
    with pytest.raises(LawBrokenError, match="refused although its last charge was at"):
        check(last)


def test_law_10_watch_reports_a_wait_over_window_plus_5_minutes() -> None:
    check(START, wait=302)
    with pytest.raises(LawBrokenError, match="Retry-After is 303 s"):
        check(START, wait=303)


def test_law_10_watch_reports_a_bucket_that_refuses_uncharged() -> None:
    watch, key = Watch(), BucketKey(CALLER.key_owner, BUCKET)
    asking = attrs.evolve(call_of(request("initiate")).needs, buckets=(key,))
    refused = limited(1, BUCKET.name)
    with broken(10, "refused although its last charge was at None"):
        watch.observe_response(refused, START, needs=asking)
    charged = RateWrite(key=key, policy=BUCKET, before=None, after=FULL_BUCKET)
    watch.observe_commit((charged,), START)
    watch.observe_response(refused, START, needs=asking)
    full_again = START + timedelta(hours=1)
    with broken(10, f"refused although its last charge was at {START:%Y}"):
        watch.observe_response(refused, full_again, needs=asking)
    # A charge after the load shows nothing about the loaded bucket.
    watch.observe_response(refused, full_again, needs=asking, loaded_at_commit=0)
