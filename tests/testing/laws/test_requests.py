"""Tests of the laws about answers to requests: what they accept, and what they report."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import attrs
import pytest

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT, LogState
from curae_lifecycle.rules.session import ENTRY_PATHS, EntryPath, SignUpPreference
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.effects import AccessEnded
from curae_lifecycle.service.events import Event, EventKind
from curae_lifecycle.service.rate_keys import LimitKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.writes import ConnectionWrite, RateWrite
from curae_lifecycle.testing.laws import (
    TICK,
    LawBrokenError,
    check_deterministic,
    check_entry_paths,
    check_indistinguishable,
    check_nothing_changed,
    check_one_execution,
    check_rate_limit,
    check_replay,
    check_retry_after,
)
from tests.support.strategies import COORDINATE, START, pending

SECOND = timedelta(seconds=1)
OK = Response(200, (("content-type", "application/json"),), b'{"lifecycleState":"ACTIVE"}')
EMPTY = attrs.evolve(OK, body=b"")
CREATED = attrs.evolve(OK, status=201)
OTHER_HEADERS = attrs.evolve(OK, headers=(("x-b", "1"), ("content-type", "application/json")))
WRITTEN = Changes((ConnectionWrite(None, pending()),))
CHARGED = Changes(
    (
        RateWrite(
            key=LimitKey(COORDINATE.app_user, "initiate"),
            policy=INITIATE_LIMIT,
            before=None,
            after=LogState(),
        ),
    )
)
EFFECT = Changes(effects=(AccessEnded(pending().id, START),))
EVENT = Changes(events=(Event(EventKind.CONNECTION_REVOKED, pending(), START),))


def right_path(state: AccountState, prefers: bool) -> EntryPath:  # noqa: FBT001 - a law's axis
    preference = SignUpPreference.SIGN_UP if prefers else SignUpPreference.NONE
    return ENTRY_PATHS[state, preference].outcome.path


def preference_is_ignored(state: AccountState, prefers: bool) -> EntryPath:  # noqa: FBT001 - a law's axis
    del prefers
    return right_path(state, prefers=False)


def active_is_silent(state: AccountState, prefers: bool) -> EntryPath:  # noqa: FBT001 - a law's axis
    del state, prefers
    return EntryPath.SILENT_LIMITED


@pytest.mark.parametrize(
    ("check", "what", "where"),
    [
        (
            partial(check_entry_paths, active_is_silent),
            "path SILENT_LIMITED, expected EXISTING_ACTIVE_HANDOFF",
            "account ACTIVE, preferSignup true",
        ),
        (partial(check_replay, OK, CREATED), "status 201 instead of 200", "replay"),
        (partial(check_replay, OK, EMPTY), "bodies differ from byte 0 on", "replay"),
        (
            partial(check_replay, OK, attrs.evolve(OK, body=OK.body[:5])),
            "bodies differ from byte 5 on",
            "replay",
        ),
        (
            partial(check_replay, attrs.evolve(OK, body=OK.body[:5]), OK),
            "bodies differ from byte 5 on",
            "replay",
        ),
        (
            partial(check_replay, OK, attrs.evolve(OK, headers=(("x-b", "1"), ("a", "2")))),
            "headers differ: a, content-type, x-b",
            "replay",
        ),
        (partial(check_replay, OK, OTHER_HEADERS), "headers differ: x-b", "replay"),
        (
            partial(check_replay, OK, attrs.evolve(OK, headers=OK.headers * 2)),
            "headers differ: their order or repetition",
            "replay",
        ),
        (partial(check_replay, OK, OK, WRITTEN), "something was written", "ConnectionWrite"),
        (partial(check_replay, OK, OK, CHARGED), "the app user's limit was charged", "initiate"),
        (
            partial(check_replay, OK, OK, EFFECT),
            "the server is asked for an effect",
            "AccessEnded",
        ),
        (partial(check_replay, OK, OK, EVENT), "an event is emitted", "connection.revoked"),
        (
            partial(check_one_execution, [OK], 2),
            "2 executions took effect",
            "one idempotency key",
        ),
        (
            partial(check_one_execution, [OK, CREATED, OK], 1),
            "status 201 instead of 200",
            "answer 1",
        ),
        (
            partial(check_rate_limit, [START, START + SECOND, START + 3 * SECOND], limit=1),
            "2 admitted within 0:00:01, although 60 s allow 1",
            "from 2026-01-01T00:00:00+00:00 to 2026-01-01T00:00:01+00:00",
        ),
        (
            partial(check_retry_after, lambda _: False, START, SECOND),
            "refused again after the wait",
            "refused at 2026-01-01T00:00:00+00:00 with a wait of 0:00:01",
        ),
        (partial(check_nothing_changed, 1, 2), "1 became 2", "int"),
        (
            partial(check_nothing_changed, 1, 1, WRITTEN),
            "something was written",
            "ConnectionWrite",
        ),
        (
            partial(check_indistinguishable, OK, CREATED),
            "status 201 instead of 200",
            "another tenant's id and an unknown id",
        ),
        (
            partial(check_indistinguishable, CREATED, CREATED),
            "both have the status 201 instead of 404",
            "status",
        ),
    ],
)
def test_law_error_says_what_was_observed_and_where(
    check: Callable[[], object], what: str, where: str
) -> None:
    with pytest.raises(LawBrokenError) as caught:
        check()
    assert (caught.value.what, caught.value.where) == (what, where)


def test_law_8_check_calls_function_twice_with_each_input() -> None:
    asked: list[tuple[AccountState, bool]] = []

    def path(state: AccountState, prefers: bool) -> EntryPath:  # noqa: FBT001 - a law's axis
        asked.append((state, prefers))
        return right_path(state, prefers)

    check_entry_paths(path)
    pairs = [(state, prefers) for state in AccountState for prefers in (True, False)]
    assert sorted(asked) == sorted(pairs * 2)


def test_law_8_check_reports_a_path_that_ignores_prefer_signup() -> None:
    with pytest.raises(LawBrokenError) as caught:
        check_entry_paths(preference_is_ignored)
    assert caught.value.where == "account UNLINKED, preferSignup true"


@pytest.mark.parametrize("wait", [2 * TICK, SECOND, timedelta(days=2)])
def test_law_10_check_accepts_only_the_exact_retry_after(wait: timedelta) -> None:
    def admits(now: datetime) -> bool:
        return now >= START + wait

    check_retry_after(admits, START, wait)
    with pytest.raises(LawBrokenError, match="refused again after the wait"):
        check_retry_after(admits, START, wait / 2)
    with pytest.raises(LawBrokenError, match="admitted a microsecond before the end of the wait"):
        check_retry_after(admits, START, wait + TICK)


def test_law_14_check_calls_function_3_times_with_same_arguments() -> None:
    calls: list[tuple[int, str]] = []

    def double(number: int, *, name: str) -> str:
        calls.append((number, name))
        return name * number

    assert check_deterministic(double, 2, name="ab") == "abab"
    assert calls == [(2, "ab")] * 3


def test_law_14_check_finds_a_third_result_that_differs() -> None:
    results = iter([1, 1, 2])
    with pytest.raises(LawBrokenError, match="returned 1, then 2"):
        check_deterministic(lambda: next(results))


def test_law_14_error_shows_the_functions_name_or_else_its_repr() -> None:
    results = iter(range(9))

    def count() -> int:
        return next(results)

    with pytest.raises(LawBrokenError) as caught:
        check_deterministic(count)
    assert caught.value.where == count.__qualname__
    without_a_name = partial(next, results)
    with pytest.raises(LawBrokenError) as caught:
        check_deterministic(without_a_name)
    assert caught.value.where == repr(without_a_name)


def test_law_14_check_reports_a_list_that_each_call_appends_to() -> None:
    calls: list[int] = []

    def append(number: int) -> list[int]:
        calls.append(number)
        return calls

    with pytest.raises(LawBrokenError, match=r"law 14 is broken: returned \[1\], then \[1, 1\]"):
        check_deterministic(append, 1)


def test_law_14_check_finds_a_change_deep_inside_a_result() -> None:
    result: list[list[int]] = [[]]

    def append() -> list[list[int]]:
        result[0].append(1)
        return result

    with pytest.raises(LawBrokenError, match=r"returned \[\[1\]\], then \[\[1, 1\]\]"):
        check_deterministic(append)


@pytest.mark.parametrize("result", [object(), threading.Lock()])
def test_law_14_check_accepts_one_object_returned_every_time(result: object) -> None:
    assert check_deterministic(lambda: result) is result
