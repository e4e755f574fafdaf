"""Tests of the async loop: equal to the blocking one, timeouts, and cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

import curae_lifecycle as curae
from curae_lifecycle import (
    Request,
    RetryPolicy,
    StoreUnavailableError,
    record,
    record_async,
    serve,
    serve_async,
    serve_with_external_call,
    serve_with_external_call_async,
)
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import NextAction
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.stores import external_call
from curae_lifecycle.stores.external_call import AsyncRenew, Renew
from curae_lifecycle.stores.retry import RetryStats
from curae_lifecycle.web.respond import Answer
from tests.support.instants import record_at
from tests.support.server import ID, code, request
from tests.support.serving import (
    AFTER,
    BEFORE,
    HANGS,
    HANGS_AFTER,
    LATE,
    LOST,
    Awaited,
    FakeTime,
    Fault,
    Faulty,
    Numbered,
    fake_time,
    faulty,
    run_async,
)
from tests.support.strategies import COORDINATE, NEXT_ACTION_LIFETIME, at, pending, uuid

PATIENCE: Final = RetryPolicy()


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return fake_time(monkeypatch)


def ask(made: Faulty, asked: Request, time: FakeTime) -> Answer:
    return run_async(serve_async(Awaited(made), asked, Numbered()), time)


# --- The same as the one that waits ---------------------------------------------------------

SETTINGS: Final = Settings(buckets=(Bucket(name="platform", capacity=12, refill=1, seconds=60),))

Said = Answer | FactAnswer | str
"""The result of a step of traffic, or the name of its error."""

operations = st.sampled_from(
    ["create", "create", "get", "reconnect", "revoke", "initiate", "initiate", "graduation"]
)
requests = st.builds(
    lambda operation, key: request(operation, key=f"k-{key}"), operations, st.integers(0, 3)
)
facts: st.SearchStrategy[Fact] = st.sampled_from(
    [
        curae.Authorized(ID),
        curae.ActionRequired(ID, "portal_login"),
        curae.Expired(ID),
        curae.Revoked(ID, curae.Actor.PATIENT),
        curae.Graduated(COORDINATE, None),
        curae.Tombstoned(COORDINATE),
        curae.HandoffCompleted(curae.SessionId(uuid(1002)), curae.UserId("u-1")),
        # A mistake, which both sides raise.
        curae.Authorized(ID, happened_at=at(10**6)),
    ]
)
passing = st.sampled_from([None, None, LOST, BEFORE, AFTER, LATE])
steps = st.lists(st.tuples(requests | facts, st.booleans(), st.integers(0, 90)), max_size=12)


def page(number: int, made: Faulty) -> NextAction:
    return NextAction(f"https://pages.example/{number}", made.clock.now + NEXT_ACTION_LIFETIME)


class Waiting:
    """Traffic to a blocking store."""

    def __init__(self, made: Faulty, patience: RetryPolicy) -> None:
        self.made, self.mint, self.patience = made, Numbered(2), patience

    def __call__(self, asked: Request | Fact, number: int, calls_out: bool) -> Said:  # noqa: FBT001 - drawn
        made, patience = self.made, self.patience
        if isinstance(asked, Fact):
            return record(made, asked, retry_policy=patience)
        if not calls_out:
            return serve(
                made, request=asked, id_factory=self.mint, settings=SETTINGS, retry_policy=patience
            )

        def call_out(_: curae.NewIds, renew: Renew) -> NextAction:
            renew()
            return page(number, made)

        return serve_with_external_call(
            made,
            request=asked,
            id_factory=self.mint,
            make_next_action=call_out,
            settings=SETTINGS,
            retry_policy=patience,
        )


class Awaiting(Waiting):
    """The same traffic to an async store."""

    def __call__(self, asked: Request | Fact, number: int, calls_out: bool) -> Said:  # noqa: FBT001 - drawn
        return run_async(self.awaited(asked, number, calls_out))

    async def awaited(self, asked: Request | Fact, number: int, calls_out: bool) -> Said:  # noqa: FBT001 - drawn
        made, patience = Awaited(self.made), self.patience
        if isinstance(asked, Fact):
            return await record_async(made, asked, retry_policy=patience)
        if not calls_out:
            return await serve_async(
                made, request=asked, id_factory=self.mint, settings=SETTINGS, retry_policy=patience
            )

        async def call_out(_: curae.NewIds, renew: AsyncRenew) -> NextAction:
            await renew()
            return page(number, self.made)

        return await serve_with_external_call_async(
            made,
            request=asked,
            id_factory=self.mint,
            make_next_action=call_out,
            settings=SETTINGS,
            retry_policy=patience,
        )


def said(
    kind: type[Waiting],
    traffic: Sequence[tuple[Request | Fact, bool, int]],
    commits: Sequence[Fault | None],
    loads: Sequence[Fault | None],
) -> tuple[list[object], list[Changes]]:
    """Return the result of each step, and the delivered changes."""
    made = faulty(commits, pending(), loads=loads, settings=SETTINGS)
    delivered: list[Changes] = []
    made.store.deliver = delivered.append
    side = kind(made, RetryPolicy(attempts=3, seconds=60, pause=1e-9, longest_pause=1e-9))
    heard: list[object] = []
    for number, (asked, calls_out, seconds) in enumerate(traffic):
        try:
            answer = side(asked, number, calls_out)
        except (StoreUnavailableError, curae.ArgumentError) as error:
            heard.append(type(error))
            continue
        if isinstance(answer, Answer):
            heard.append((answer.response, answer.rules, answer.replayed))
        else:
            heard.append(answer)
        made.clock.pass_time(seconds)
    return heard, delivered


@pytest.mark.slow
@given(
    steps,
    st.lists(passing, max_size=20),
    st.lists(st.sampled_from([None, None, BEFORE]), max_size=20),
)
def test_async_and_blocking_serve_give_the_same_answers(
    traffic: list[tuple[Request | Fact, bool, int]],
    commits: list[Fault | None],
    loads: list[Fault | None],
) -> None:
    with patch.object(external_call, "random_microseconds", lambda: 7):
        waited = said(Waiting, traffic=traffic, commits=commits, loads=loads)
        awaited = said(Awaiting, traffic=traffic, commits=commits, loads=loads)
    assert awaited == waited


# --- A store that hangs ---------------------------------------------------------------------


@pytest.mark.parametrize("call", ["callers", "loads", "commits"])
@pytest.mark.parametrize("fault", [HANGS, HANGS_AFTER])
def test_async_serve_retries_a_hanging_store_call(call: str, fault: Fault, time: FakeTime) -> None:
    made = faulty()
    setattr(made, call, iter([fault]))
    answer = ask(made, request("create"), time)
    assert answer.response.status == 201
    assert PATIENCE.attempt_seconds < time.passed < PATIENCE.seconds
    held = made.store.load(Needs(connections=ConnectionsPage(COORDINATE))).snapshot.connections
    assert len(held) == 1, "also where it hung after it had done its work"


@pytest.mark.parametrize("call", ["callers", "loads", "commits"])
def test_async_serve_gives_500_in_time_if_the_store_hangs(call: str, time: FakeTime) -> None:
    made = faulty()
    setattr(made, call, iter([HANGS] * 100))
    answer = ask(made, request("create"), time)
    assert (answer.response.status, code(answer)) == (500, "INTERNAL")
    assert ("retry-after", "1") in answer.response.headers
    assert time.passed <= PATIENCE.seconds


def test_fact_on_a_hanging_store_raises_within_the_time_limit(time: FakeTime) -> None:
    made = faulty([HANGS] * 100, pending())
    with pytest.raises(StoreUnavailableError):
        run_async(record_async(Awaited(made), curae.Authorized(ID)), time)
    assert time.passed <= PATIENCE.seconds


# --- Several at once ------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["create", "reconnect", "revoke", "initiate"])
def test_concurrent_requests_of_one_idempotency_key_execute_once(
    operation: str, time: FakeTime
) -> None:
    made = faulty((), pending())
    if operation == "reconnect":
        record_at(made.store, curae.Revoked(ID, curae.Actor.APP), at(0))
    delivered: list[Changes] = []
    made.store.deliver = delivered.append
    mint = Numbered(2)

    async def all_at_once() -> list[Answer]:
        asked = [serve_async(Awaited(made), request(operation), mint) for _ in range(8)]
        return await asyncio.gather(*asked)

    answers = run_async(all_at_once(), time)
    assert len({answer.response for answer in answers}) == 1
    assert sorted(answer.replayed for answer in answers) == [False, *[True] * 7]
    assert len(delivered) == 1


# --- Unexpected errors ----------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("a secret"), ExceptionGroup("a secret", [OSError()])])
def test_async_serve_gives_500_and_hides_an_unexpected_error(
    error: Exception, time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    made = faulty()

    def fail() -> None:
        raise error

    made.after_load = fail
    answer = ask(made, request("create"), time)
    assert (answer.response.status, code(answer)) == (500, "INTERNAL")
    assert [line.partition(" at ")[0] for line in caplog.messages] == [
        f"a request failed: {type(error).__name__}"
    ]
    assert "a secret" not in caplog.text


# --- Cancelled ------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["callers", "loads", "commits"])
def test_async_serve_does_not_retry_a_cancelled_request(call: str, time: FakeTime) -> None:
    made = faulty()
    setattr(made, call, iter([HANGS]))

    async def cancelled() -> None:
        task = asyncio.create_task(serve_async(Awaited(made), request("create"), Numbered()))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_async(cancelled(), time)
    assert time.passed == 1.0
    assert made.asked.total() <= 3
    assert ask(made, request("create"), time).response.status == 201, "its key is unused"


# --- The policy and the counts of each function -----------------------------------------------

TWICE: Final = RetryPolicy(attempts=2)


def make_nothing(*_: object) -> NextAction:
    raise AssertionError("the store failed before the call")


async def make_nothing_async(*_: object) -> NextAction:
    raise AssertionError("the store failed before the call")


Ask = Callable[[Faulty, FakeTime, RetryStats], Answer]
ASKS: Final[dict[str, Ask]] = {
    "serve": lambda made, _, stats: serve(
        made, request("create"), Numbered(), retry_policy=TWICE, stats=stats
    ),
    "serve_async": lambda made, time, stats: run_async(
        serve_async(Awaited(made), request("create"), Numbered(), retry_policy=TWICE, stats=stats),
        time,
    ),
    "serve_with_external_call": lambda made, _, stats: serve_with_external_call(
        made,
        request("create"),
        Numbered(),
        make_next_action=make_nothing,
        retry_policy=TWICE,
        stats=stats,
    ),
    "serve_with_external_call_async": lambda made, time, stats: run_async(
        serve_with_external_call_async(
            Awaited(made),
            request("create"),
            Numbered(),
            make_next_action=make_nothing_async,
            retry_policy=TWICE,
            stats=stats,
        ),
        time,
    ),
}


@pytest.mark.parametrize("name", ASKS)
def test_each_serve_function_counts_and_limits_its_attempts(time: FakeTime, name: str) -> None:
    stats = RetryStats()
    made = faulty([BEFORE] * 10)
    assert code(ASKS[name](made, time, stats)) == "INTERNAL"
    # With an external call, one more commit is tried to release the key.
    attempts = 3 if "external_call" in name else 2
    assert (made.asked["commit"], stats.unavailable, stats.conflicts) == (attempts, attempts, 0)
    assert stats.seconds_waited == pytest.approx(time.passed)


Record = Callable[[Faulty, FakeTime], FactAnswer]
RECORDS: Final[dict[str, Record]] = {
    "record": lambda made, _: record(made, curae.Authorized(ID), retry_policy=TWICE),
    "record_async": lambda made, time: run_async(
        record_async(Awaited(made), curae.Authorized(ID), retry_policy=TWICE), time
    ),
}


@pytest.mark.parametrize("call", RECORDS.values(), ids=RECORDS)
def test_each_record_function_stops_after_the_allowed_attempts(
    time: FakeTime, call: Record
) -> None:
    made = faulty([BEFORE] * 10, pending())
    with pytest.raises(StoreUnavailableError):
        call(made, time)
    assert made.asked["commit"] == 2
