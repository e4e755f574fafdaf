"""Tests of async external calls: overlapping, cancelled, closed and hanging."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import cast

import pytest

from curae_lifecycle import (
    ApiKey,
    ArgumentError,
    NewIds,
    NextAction,
    RetryPolicy,
    serve_with_external_call_async,
)
from curae_lifecycle.rules.idempotency import RecordState
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.external_call import AsyncRenew
from curae_lifecycle.web.respond import Answer
from tests.stores.external_call.calling import (
    LEASE,
    UNKNOWN,
    UNREACHABLE,
    Called,
    failing,
    retry,
    state,
)
from tests.support.server import API_KEY, code, request
from tests.support.serving import (
    AFTER,
    BEFORE,
    HANGS,
    HANGS_AFTER,
    LOST,
    Awaited,
    FakeTime,
    Fault,
    Faulty,
    Numbered,
    check_given_up,
    fake_time,
    faulty,
    run_async,
    then,
)
from tests.support.strategies import NEXT_ACTION_LIFETIME


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return fake_time(monkeypatch)


class Page:
    """An async external service that answers when the test lets it."""

    def __init__(self, made: Faulty) -> None:
        self.made = made
        self.called = asyncio.Event()
        self.free = asyncio.Event()
        self.times = 0

    async def __call__(self, _: NewIds, renew: AsyncRenew) -> NextAction:
        self.times += 1
        self.called.set()
        await self.free.wait()
        assert await renew() in {True, False}
        return NextAction(
            f"https://pages.example/{self.times}", self.made.clock.now + NEXT_ACTION_LIFETIME
        )


def asking(made: Faulty | Awaited, page: Page, first: int = 2) -> Coroutine[None, None, Answer]:
    mint = Numbered(first)
    store = made if isinstance(made, Awaited) else Awaited(made)
    return serve_with_external_call_async(
        store, request=request("create"), id_factory=mint, make_next_action=page
    )


def test_request_gets_key_in_flight_after_a_retry_took_its_lease(time: FakeTime) -> None:
    made = faulty()

    async def both() -> tuple[Answer, Answer]:
        slow, quick = Page(made), Page(made)
        first = asyncio.create_task(asking(made, slow))
        await slow.called.wait()
        made.clock.pass_time(LEASE + 1)
        second = asyncio.create_task(asking(made, quick, 20))
        await quick.called.wait()
        slow.free.set()
        late = await first
        quick.free.set()
        return late, await second

    late, answer = run_async(both(), time)
    assert code(late) == "IDEMPOTENCY_KEY_IN_FLIGHT"
    assert answer.response.status == 201


async def cancel(task: asyncio.Task[Answer]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("fault", [None, LOST, BEFORE, AFTER, HANGS, HANGS_AFTER])
def test_cancelled_external_call_releases_its_idempotency_key(
    fault: Fault | None, time: FakeTime
) -> None:
    made = faulty([None, fault])

    async def cancelled() -> None:
        page = Page(made)
        task = asyncio.create_task(asking(made, page))
        await page.called.wait()
        await cancel(task)

    run_async(cancelled(), time)
    assert state(made) is RecordState.RELEASED


@pytest.mark.parametrize("fault", [HANGS, HANGS_AFTER])
@pytest.mark.parametrize("calm", [0, 1, 2])
def test_cancelled_commit_leaves_no_idempotency_key_in_flight(
    calm: int, fault: Fault, time: FakeTime
) -> None:
    made = faulty([*[None] * calm, fault])

    async def cancelled() -> None:
        page = Page(made)
        page.free.set()
        task = asyncio.create_task(asking(made, page))
        await asyncio.sleep(1.0)
        await cancel(task)

    run_async(cancelled(), time)
    # The first commit takes the key, the second renews the lease, the third completes.
    expected = {
        (0, HANGS): RecordState.RELEASED,
        (0, HANGS_AFTER): RecordState.RELEASED,
        (1, HANGS): RecordState.RELEASED,
        (1, HANGS_AFTER): RecordState.RELEASED,
        (2, HANGS): RecordState.RELEASED,
        (2, HANGS_AFTER): RecordState.COMPLETED,
    }
    assert state(made) is expected[calm, fault]


class LateClaim(Awaited):
    """A store whose first commit goes on after it is cancelled, until the test lets it end."""

    land: Callable[[], bool] | None = None

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        if self.land is None:
            self.land = partial(self.store.commit, loaded, changes, page)
            await asyncio.get_running_loop().create_future()
        return await super().commit(loaded, changes, page)


def cancel_claim(
    made: Faulty, time: FakeTime, prepare: Callable[[Callable[[], bool]], object]
) -> bool:
    """Cancel a request while its claim is committed, and return whether the claim landed at last.

    `prepare` is called before the cancellation with the function that lets the claim land.
    """

    async def cancelled() -> bool:
        store = LateClaim(made)
        asked = serve_with_external_call_async(
            store,
            request=request("create"),
            id_factory=Numbered(),
            make_next_action=Page(made),
            lost_lease=UNKNOWN,
        )
        task = asyncio.create_task(asked)
        await asyncio.sleep(1.0)
        assert store.land is not None
        prepare(store.land)
        await cancel(task)
        return store.land()

    return run_async(cancelled(), time)


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("hook", ["before_load", "after_load", None])
def test_late_commit_of_cancelled_request_leaves_key_released(
    hook: str | None, *, used: bool, time: FakeTime
) -> None:
    made = faulty()
    if used:
        check_given_up(retry(made, request("create"), Called(made, failing(UNREACHABLE))))

    def land_at_release(land: Callable[[], bool]) -> None:
        if hook is not None:
            setattr(made, hook, then(land))

    assert not cancel_claim(made, time, land_at_release)
    assert state(made) is RecordState.RELEASED
    assert retry(made, request("create"), Called(made)).response.status == 201


def test_commit_that_lands_after_a_401_takes_no_idempotency_key(time: FakeTime) -> None:
    made = faulty()
    store = LateClaim(made)
    # The first attempt times out, and the key is withdrawn before the second one.
    made.before_load = then(lambda: None, lambda: made.store.withdraw(ApiKey(API_KEY)))
    answer = run_async(asking(store, Page(made)), time)
    assert answer.response.status == 401
    assert store.land is not None
    assert not store.land()
    assert state(made) is RecordState.RELEASED


@pytest.mark.parametrize("hook", ["before_load", "after_load"])
def test_cancelled_request_keeps_the_stored_response_of_a_retry(hook: str, time: FakeTime) -> None:
    made = faulty()
    answers: list[Answer] = []

    def answer_other() -> None:
        answers.append(retry(made, request("create"), Called(made)))

    assert not cancel_claim(made, time, lambda _: setattr(made, hook, then(answer_other)))
    again = retry(made, request("create"), Called(made))
    assert (again.replayed, again.response) == (True, answers[0].response)


def test_async_external_call_cannot_renew_an_expired_30_s_lease(time: FakeTime) -> None:
    made = faulty()

    async def fails(_: NewIds, renew: AsyncRenew) -> NextAction:
        made.clock.pass_time(29)
        assert await renew()
        made.clock.pass_time(30)
        assert not await renew()
        raise UNREACHABLE

    asked = serve_with_external_call_async(
        Awaited(made),
        request=request("create"),
        id_factory=Numbered(),
        make_next_action=fails,
        lease=30.0,
        lost_lease=UNKNOWN,
    )
    check_given_up(run_async(asked, time))
    assert code(retry(made, request("create"), Called(made))) == "IDEMPOTENCY_OUTCOME_UNKNOWN"


def test_closed_coroutine_leaves_its_idempotency_key_in_flight() -> None:
    made = faulty()

    async def closed() -> None:
        page = Page(made)
        coroutine = asking(made, page)
        while not page.called.is_set():
            coroutine.send(None)
        coroutine.close()

    run_async(closed())
    assert state(made) is RecordState.IN_FLIGHT, "until its lease is over"


def test_store_hanging_after_external_call_gives_500_in_time(time: FakeTime) -> None:
    made = faulty([None, *[HANGS] * 100])

    async def hangs() -> Answer:
        async def page(_: NewIds, __: AsyncRenew) -> NextAction:
            return NextAction("https://pages.example/1", made.clock.now + NEXT_ACTION_LIFETIME)

        return await serve_with_external_call_async(
            Awaited(made), request=request("create"), id_factory=Numbered(), make_next_action=page
        )

    check_given_up(run_async(hangs(), time))
    assert time.passed <= RetryPolicy().seconds + RetryPolicy().attempt_seconds


def test_blocking_function_as_async_external_call_raises() -> None:
    made = faulty()

    def blocking(_: NewIds, __: AsyncRenew) -> NextAction:
        return NextAction("https://pages.example/1", made.clock.now + NEXT_ACTION_LIFETIME)

    def served_with(function: object) -> RecordState | None:
        with pytest.raises(ArgumentError, match=r"^make_next_action: must be an async function"):
            run_async(
                serve_with_external_call_async(
                    Awaited(made),
                    request=request("create"),
                    id_factory=Numbered(),
                    make_next_action=cast(
                        "Callable[[NewIds, AsyncRenew], Awaitable[NextAction]]", function
                    ),
                )
            )
        return state(made)

    assert served_with(blocking) is None
    # Only its result shows that a lambda is not async.
    hidden = lambda *given: blocking(*given)  # noqa: E731, PLW0108 - as said above
    assert served_with(hidden) is RecordState.RELEASED


def test_async_external_call_gets_the_new_ids_of_the_request() -> None:
    made, got = faulty(), list[object]()

    async def page(new_ids: NewIds, _: AsyncRenew) -> NextAction:
        got.append(new_ids)
        return NextAction("https://pages.example/1", made.clock.now + NEXT_ACTION_LIFETIME)

    async def serve() -> Answer:
        return await serve_with_external_call_async(
            Awaited(made), request=request("create"), id_factory=Numbered(), make_next_action=page
        )

    assert run_async(serve()).response.status == 201
    assert [type(each) for each in got] == [NewIds]
