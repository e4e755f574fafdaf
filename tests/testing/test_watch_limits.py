"""Tests of the checks of rate limits: buckets with stepped clocks, and limits of own operations."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs
import pytest

from curae_lifecycle.rules.ratelimit import FULL_BUCKET, Bucket, ExactLog, LogState
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.testing.watch import Watch
from curae_lifecycle.testing.watch_limits import FullInstants, LimitHistory, check_bucket_refusal
from curae_lifecycle.web.respond import format_rate_limit_policy
from tests.support.server import CALLER, request
from tests.support.strategies import COORDINATE, START
from tests.testing.watched import broken, call_of, limited

BUCKET = Bucket(name="second", capacity=6, refill=3, seconds=1)
"""A bucket that fills in two seconds."""

WINDOW = timedelta(seconds=2)
FURTHEST = WINDOW + timedelta(minutes=5)
TICK = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
NOW = START.isoformat()


def check(last: datetime | None, *, wait: int | str = 1) -> None:
    refused = Response(status=429, headers=(("retry-after", str(wait)),), body=b"")
    check_bucket_refusal(refused, BUCKET, START, last=last)


@pytest.mark.parametrize("last", [START - WINDOW + TICK, START, START + FURTHEST])
def test_law_10_watch_accepts_a_429_of_a_not_yet_refilled_bucket(last: datetime) -> None:
    check(last)


@pytest.mark.parametrize("last", [None, START - WINDOW, START + FURTHEST + TICK])
def test_law_10_watch_reports_a_refusal_by_a_refilled_bucket(last: datetime | None) -> None:
    with pytest.raises(LawBrokenError, match="refused although its last charge was at"):
        check(last)


def test_law_10_watch_reports_a_wait_over_refill_plus_5_minutes() -> None:
    check(START, wait=302)
    with pytest.raises(LawBrokenError, match="Retry-After is 303 s"):
        check(START, wait=303)


@pytest.mark.parametrize(
    "wait", ["", "soon", "-1", "1.5", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 5000]
)
def test_law_10_watch_reports_a_malformed_retry_after(wait: str) -> None:
    with broken(10, "Retry-After is no whole number of seconds", where=f"bucket second at {NOW}"):
        check(START, wait=wait)


def test_law_10_watch_reports_a_refusal_by_an_uncharged_bucket() -> None:
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


@pytest.mark.parametrize("name", ["XL", "a;b", 'the "small" one', "a\\b"])
def test_law_10_watch_matches_a_refusal_by_the_whole_bucket_name(name: str) -> None:
    bucket = attrs.evolve(BUCKET, name=name)
    needs = attrs.evolve(
        call_of(request("initiate")).needs, buckets=(BucketKey(CALLER.key_owner, bucket),)
    )
    # The name as `RateLimit` shows it, within its quotes.
    quoted = format_rate_limit_policy(bucket).removeprefix('"').partition('";q=')[0]
    with broken(10, "refused although its last charge was at None", f"bucket {name} at {NOW}"):
        Watch().observe_response(limited(1, quoted), START, needs=needs)


def admit(watch: Watch, since: timedelta = timedelta(0), count: int = 1) -> None:
    """Let a watch see charges of the bucket."""
    write = RateWrite(
        key=BucketKey(CALLER.key_owner, BUCKET), policy=BUCKET, before=None, after=FULL_BUCKET
    )
    for _ in range(count):
        watch.observe_commit((write,), START + since)


THIRD = timedelta(microseconds=333_334)
"""The time in which the bucket regains a token, rounded up."""


def test_law_10_watch_reports_a_bucket_that_admits_too_many() -> None:
    watch = Watch(checks_buckets=True)
    admit(watch, count=6)
    with broken(10, "admitted a request without a token", where=f"bucket second at {NOW}"):
        admit(watch)
    with broken(10, "admitted a request without a token"):
        admit(watch, THIRD - TICK)
    admit(watch, THIRD)
    # Three tokens take exactly a second.
    admit(watch, SECOND, count=2)
    with broken(10, "admitted a request without a token"):
        admit(watch, SECOND)


def test_law_10_watch_checks_no_bucket_admission_by_default() -> None:
    admit(Watch(), count=7)


def test_law_10_watch_adds_up_charges_of_clocks_5_minutes_apart() -> None:
    watch = Watch(checks_buckets=True)
    admit(watch, timedelta(minutes=5), count=6)
    with broken(10, "admitted a request without a token"):
        admit(watch)


def test_law_10_watch_forgets_charges_after_clock_is_put_right() -> None:
    watch = Watch(checks_buckets=True)
    admit(watch, timedelta(minutes=5) + TICK)
    admit(watch, count=6)
    with broken(10, "admitted a request without a token"):
        admit(watch)


@pytest.mark.parametrize(("purged", "is_dropped"), [(WINDOW, True), (WINDOW - TICK, False)])
def test_law_10_watch_forgets_a_refilled_bucket_at_a_purge(
    purged: timedelta, *, is_dropped: bool
) -> None:
    watch = Watch(checks_buckets=True)
    admit(watch, count=6)
    watch.purge(START + purged)
    if is_dropped:
        admit(watch, count=6)
    else:
        with broken(10, "admitted a request without a token"):
            admit(watch)


def test_charge_6_minutes_before_the_latest_finds_a_full_bucket() -> None:
    full_instants, key = FullInstants(), BucketKey(CALLER.key_owner, BUCKET)
    other = BucketKey(CALLER.key_owner, attrs.evolve(BUCKET, name="other"))
    full_instants.admit(other, START + timedelta(minutes=4))
    for _ in range(BUCKET.capacity):
        full_instants.admit(key, START)
    # Six minutes before the latest charge, every bucket counts as full.
    full_instants.admit(key, START - timedelta(minutes=2))


def test_limit_history_checks_no_bucket_unless_asked_to() -> None:
    history, key = LimitHistory(OPERATIONS), BucketKey(CALLER.key_owner, BUCKET)
    for _ in range(BUCKET.capacity + 1):
        history.observe_charge(key, START, 0)
    assert history._full_instants is None


class Ping(Initiate):
    """An operation of a server's own, with its own limit of the app user."""

    rule = attrs.evolve(Initiate.rule, name="ping", limit=ExactLog("ping", 70, 90))


PINGED = LimitKey(COORDINATE.app_user, "ping")


def watch_pings(count: int, policy: str = "ping") -> Watch:
    """Return a watch of an operation with a limit of 70 in 90 s that admitted calls."""
    watch = Watch((*OPERATIONS, Ping))
    admit_pings(watch, count, START, policy=policy)
    return watch


def admit_pings(watch: Watch, count: int, since: datetime, policy: str = "ping") -> None:
    """Let a watch see a call every second."""
    limit, key = Ping.rule.limit, LimitKey(COORDINATE.app_user, policy)
    assert limit is not None
    for number in range(count):
        charged = RateWrite(key=key, policy=limit, before=None, after=LogState())
        watch.observe_commit((charged,), since + number * SECOND)


def refuse_ping(watch: Watch, wait: int, since: datetime = START) -> None:
    needs = attrs.evolve(call_of(request("initiate")).needs, limit=PINGED)
    watch.observe_response(limited(wait, "ping"), since + 80 * SECOND, needs=needs)


def test_law_10_watch_applies_the_limit_of_a_custom_operation() -> None:
    watch = watch_pings(70)
    refuse_ping(watch, 10)
    with broken(10, "71 admitted within 0:01:10, although 90 s allow 70"):
        watch_pings(71)


def test_law_10_watch_reports_a_custom_limit_refusing_too_early() -> None:
    with broken(10, "refused although the limit had room"):
        refuse_ping(watch_pings(69), 10)


@pytest.mark.parametrize("missing", ["ratelimit", "retry-after"])
def test_law_10_watch_reports_429_without_limit_or_wait_header(missing: str) -> None:
    refused = limited(10, "ping")
    headers = tuple(each for each in refused.response.headers if each[0] != missing)
    refused = attrs.evolve(refused, response=attrs.evolve(refused.response, headers=headers))
    needs = attrs.evolve(call_of(request("initiate")).needs, limit=PINGED)
    with broken(10, f"refused without the header {missing}"):
        watch_pings(70).observe_response(refused, START + 80 * SECOND, needs=needs)


def test_law_10_watch_reports_a_bucket_429_without_retry_after() -> None:
    refused = Response(status=429, headers=(), body=b"")
    with broken(10, "refused without the header retry-after", where=f"bucket second at {NOW}"):
        check_bucket_refusal(refused, BUCKET, START, last=START)


def test_law_10_watch_reports_a_wrong_wait_of_a_custom_limit() -> None:
    with broken(10, "Retry-After is 11 s instead of 10 s"):
        refuse_ping(watch_pings(70), 11)


@pytest.mark.parametrize(("purged", "is_dropped"), [(90, True), (89, False)])
def test_law_10_watch_accepts_shorter_wait_if_a_call_was_purged(
    purged: int, *, is_dropped: bool
) -> None:
    watch, earlier = watch_pings(1), START - timedelta(hours=1)
    watch.purge(START + purged * SECOND)
    # The clock is put back.
    admit_pings(watch, 70, earlier)
    if is_dropped:
        refuse_ping(watch, 10, earlier)
    # If the store kept the first call, there is no room until a later one is over.
    refuse_ping(watch, 11, earlier)
    with broken(10, "Retry-After is"):
        refuse_ping(watch, 12, earlier)
    if not is_dropped:
        with broken(10, "Retry-After is 10 s instead of 11 s"):
            refuse_ping(watch, 10, earlier)


def test_law_10_watch_ignores_a_limit_of_an_unlisted_operation() -> None:
    watch = watch_pings(71, "other")
    needs = attrs.evolve(
        call_of(request("initiate")).needs, limit=LimitKey(COORDINATE.app_user, "other")
    )
    watch.observe_response(limited(1, "ping"), START, needs=needs)


def test_law_10_watch_reports_initiate_429_naming_another_limit() -> None:
    needs = call_of(request("initiate")).needs
    with broken(10, "refused although the limit had room"):
        Watch().observe_response(limited(40, "graduation"), START, needs=needs)


def test_law_10_limit_error_contains_the_limit_and_app_user() -> None:
    where = f"ping of user-1 at {(START + 80 * SECOND).isoformat()}"
    with broken(10, "refused although the limit had room", where=where):
        refuse_ping(watch_pings(0), 10)
    watch = watch_pings(1)
    watch.purge(START + 90 * SECOND)
    # There is nothing left to drop.
    watch.purge(START + 91 * SECOND)
    with broken(10, "refused although the limit had room", where=where):
        refuse_ping(watch, 10)


def test_law_10_bucket_error_contains_the_bucket_and_instant() -> None:
    with broken(10, "refused although", where=f"bucket second at {NOW}"):
        check(None)
    with broken(10, "Retry-After is 303 s, more than", where=f"bucket second at {NOW}"):
        check(START, wait=303)
