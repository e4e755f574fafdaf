"""A call out between two transactions: made once, committed whatever that takes, never left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final

import attrs
import pytest

import curae_lifecycle as curae
from curae_lifecycle import (
    ApiKey,
    ArgumentError,
    NewIds,
    NextAction,
    Patience,
    Request,
    serve_calling_out,
    serve_calling_out_async,
)
from curae_lifecycle.rules import attempt as attempts
from curae_lifecycle.rules.idempotency import LostLease, RecordState
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import AppId, elapsed
from curae_lifecycle.service.changes import NO_CHANGES, Changes, RecordWrite
from curae_lifecycle.stores import calling_out
from curae_lifecycle.stores.calling_out import AsyncRenew, Renew
from curae_lifecycle.testing.laws import check_one_execution
from curae_lifecycle.web.respond import Answer
from tests.server import API_KEY, CALLER, ID, code, document, request
from tests.serving import (
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
    then,
)
from tests.strategies import COORDINATE, LIFETIME, START, TICK, pending, uuid

LEASE: Final = 60
KEYED: Final = ("create", "reconnect", "initiate")
UNKNOWN: Final = LostLease.UNKNOWN


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return fake_time(monkeypatch)


def prepared(operation: str, *commits: Fault | None) -> Faulty:
    """A store on which an operation may run."""
    made = faulty(commits, pending())
    if operation == "reconnect":
        made.store.record(curae.Revoked(ID, curae.Actor.APP), START)
    if operation == "graduation":
        made.store.handle(request("initiate", key="first"), START, Numbered(50)(START))
    return made


def nothing(_: Renew) -> None:
    """What happens during most calls."""


class Called:
    """Another service, which makes pages by number.

    Attributes:
        times: How often it was called.
        given: The ids that it was given last.
    """

    def __init__(self, made: Faulty, meanwhile: Callable[[Renew], object] = nothing) -> None:
        self.made = made
        self.meanwhile = meanwhile
        self.times = 0
        self.given: NewIds | None = None

    def __call__(self, new_ids: NewIds, renew: Renew) -> NextAction:
        self.times += 1
        self.given = new_ids
        self.meanwhile(renew)
        return NextAction(f"https://pages.example/{self.times}", self.made.clock.now + LIFETIME)


def ask(
    made: Faulty,
    asked: Request,
    called: Called,
    *,
    lost_lease: LostLease = LostLease.EXECUTE,
    first: int = 2,
) -> Answer:
    return serve_calling_out(made, asked, Numbered(first), called, lost_lease=lost_lease)


def retry(made: Faulty, asked: Request, called: Called) -> Answer:
    """The same request again, with ids of its own."""
    return ask(made, asked, called, first=20)


def state(made: Faulty, key: str = "k-1") -> RecordState | None:
    record = made.record_of(key)
    return None if record is None else record.state


def url(answer: Answer) -> object:
    action = document(answer)["nextAction"]
    assert isinstance(action, dict)
    return action["url"]


def check_given_up(answer: Answer) -> None:
    assert (answer.response.status, code(answer)) == (500, "INTERNAL")
    assert ("retry-after", "1") in answer.response.headers
    assert answer.changes == NO_CHANGES


def executions(made: Faulty) -> list[Changes]:
    """What is delivered from now on."""
    delivered: list[Changes] = []
    made.store._deliver = delivered.append
    return delivered


# --- The way it goes ------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [*KEYED, "graduation"])
def test_the_other_service_makes_the_page(operation: str) -> None:
    made = prepared(operation)
    called = Called(made)
    answer = ask(made, request(operation), called)
    assert (answer.response.status, called.times) == (201, 1)
    assert url(answer) == "https://pages.example/1"
    assert made.store.page("https://pages.example/1") is not None
    assert called.given is not None
    assert made.store.page(called.given.next_action.url) is None
    assert state(made) is (None if operation == "graduation" else RecordState.COMPLETED)


def test_the_ids_that_the_other_service_is_given_are_those_of_the_answer() -> None:
    made = faulty([LOST, None, LOST])
    called = Called(made)
    ask(made, request("create"), called)
    assert called.given is not None
    assert made.store.connection(called.given.connection_id) is not None


@pytest.mark.parametrize("operation", KEYED)
def test_a_retry_meanwhile_is_told_to_come_later_and_afterwards_gets_the_answer(
    operation: str,
) -> None:
    made = prepared(operation)
    seen: list[Answer] = []

    def meanwhile(_: Renew) -> None:
        made.clock.pass_time(10)
        seen.append(retry(made, request(operation), called))

    called = Called(made, meanwhile)
    answer = ask(made, request(operation), called)
    assert code(seen[0]) == "IDEMPOTENCY_KEY_IN_FLIGHT"
    waits = [int(value) for name, value in seen[0].response.headers if name == "retry-after"]
    assert waits in ([LEASE - 10], [LEASE - 10 + 1])
    again = retry(made, request(operation), called)
    assert (again.replayed, again.response, called.times) == (True, answer.response, 1)


def test_there_are_two_transactions_with_the_call_between_them() -> None:
    made = faulty()
    steps: list[int] = []
    called = Called(made, lambda _: steps.append(made.asked["commit"]))
    ask(made, request("create"), called)
    assert steps == [1]
    assert made.asked == {"caller_of": 1, "for_call": 2, "commit": 2}


@pytest.mark.parametrize("operation", ["get", "account-state", "revoke"])
def test_what_sends_nobody_anywhere_calls_nobody(operation: str) -> None:
    made = faulty((), pending())
    called = Called(made)
    assert ask(made, request(operation), called).response.status == 200
    assert called.times == 0


def test_a_refusal_or_a_replay_calls_nobody() -> None:
    made = faulty((), pending())
    called = Called(made)
    for asked, status in (
        (request("reconnect"), 409),
        (request("reconnect"), 409),
        (request("reconnect", id=uuid(9), key="k-2"), 404),
        (request("create"), 422),
        (request("create", body=b"", key="k-3"), 400),
        (attrs.evolve(request("create"), headers=()), 401),
    ):
        assert ask(made, asked, called).response.status == status
    assert called.times == 0
    assert state(made) is RecordState.COMPLETED, "a refusal of the rule is kept"


# --- Lost races, and a store that fails -----------------------------------------------------


@pytest.mark.parametrize("operation", KEYED)
@pytest.mark.parametrize("fault", [LOST, BEFORE, AFTER, LATE])
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("calm", [0, 1])
def test_whatever_becomes_of_a_commit_it_is_called_once_and_executed_once(
    operation: str, fault: Fault, times: int, calm: int
) -> None:
    made = prepared(operation, *[None] * calm, *[fault] * times)
    delivered = executions(made)
    called = Called(made)
    answer = ask(made, request(operation), called)
    assert (answer.response.status, called.times) == (201, 1)
    assert url(answer) == "https://pages.example/1"
    again = retry(made, request(operation), called)
    check_one_execution([answer.response, again.response], len(delivered))
    assert (len(delivered), called.times, again.replayed) == (1, 1, True)
    record = made.record_of("k-1")
    assert record is not None
    assert record.token == 1, "a key that was taken unknown to the store is known again"


def test_a_key_that_another_took_at_the_same_instant_is_not_taken_for_ones_own() -> None:
    made = faulty([BEFORE])
    called = Called(made)

    def other_is_faster(changes: Changes) -> None:
        made.before_commit = lambda _: None
        (taken,) = changes.writes
        assert isinstance(taken, RecordWrite)
        assert taken.after.lease_until is not None
        theirs = attrs.evolve(taken.after, lease_until=taken.after.lease_until + TICK)
        assert made.store.store((attrs.evolve(taken, after=theirs),))

    made.before_commit = other_is_faster
    assert code(ask(made, request("create"), called)) == "IDEMPOTENCY_KEY_IN_FLIGHT"
    assert called.times == 0


def test_a_lease_has_a_part_that_tells_attempts_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    made = faulty()
    leases: list[int] = []

    def meanwhile(_: Renew) -> None:
        record = made.record_of(key)
        assert record is not None
        assert record.lease_until is not None
        leases.append(elapsed(record.seen_at, record.lease_until))

    called = Called(made, meanwhile)
    key = "k-1"
    monkeypatch.setattr(calling_out, "part_of_a_second", lambda: 7)
    ask(made, request("create"), called)
    key = "k-2"
    monkeypatch.setattr(calling_out, "part_of_a_second", lambda: 8)
    ask(made, request("create", key=key), called, first=3)
    assert leases == [60_000_007, 60_000_008]


def test_who_cannot_take_the_key_calls_nobody_and_leaves_it_free() -> None:
    made = faulty([LOST] * 20)
    called = Called(made)
    check_given_up(ask(made, request("create"), called))
    assert (called.times, state(made)) == (0, None)


def test_a_key_that_was_taken_unknown_to_a_store_that_then_fails_is_let_go() -> None:
    # All that patience has fails, and the store recovers when the key is to be let go.
    made = faulty([AFTER], loads=[None, BEFORE, BEFORE])
    called = Called(made)
    patience = Patience(attempts=3)
    check_given_up(
        serve_calling_out(made, request("create"), Numbered(), called, patience=patience)
    )
    assert (called.times, state(made)) == (0, RecordState.RELEASED)


def test_what_no_attempt_could_commit_leaves_the_key_free(time: FakeTime) -> None:
    made = faulty([None, *[LOST] * 20])
    called = Called(made)
    check_given_up(ask(made, request("create"), called))
    assert (called.times, state(made)) == (1, RecordState.RELEASED)
    assert made.store.load_fact(curae.Tombstoned(COORDINATE)).connections == ()
    assert len(time.pauses) == 19, "the key is let go in one attempt"
    assert retry(made, request("create"), called).response.status == 201


def test_a_store_that_can_no_more_is_not_asked_for_ever(time: FakeTime) -> None:
    made = faulty([None, *[BEFORE] * 100])
    check_given_up(ask(made, request("create"), Called(made)))
    assert time.passed < Patience().seconds
    assert state(made) is RecordState.IN_FLIGHT


# --- A call that fails ----------------------------------------------------------------------


class Stop(BaseException):
    """Not even an Exception."""


def failing(error: BaseException) -> Callable[[Renew], object]:
    def fail(_: Renew) -> None:
        raise error

    return fail


UNREACHABLE: Final = OSError("no network")


@pytest.mark.parametrize("operation", [*KEYED, "graduation"])
@pytest.mark.parametrize("error", [UNREACHABLE, Stop()])
def test_what_the_call_raises_comes_out_and_the_key_is_free(
    operation: str, error: BaseException
) -> None:
    made = prepared(operation)
    with pytest.raises(type(error)) as raised:
        ask(made, request(operation), Called(made, failing(error)))
    assert raised.value is error
    assert state(made) is (None if operation == "graduation" else RecordState.RELEASED)
    called = Called(made)
    assert retry(made, request(operation), called).response.status == 201
    assert called.times == 1


@pytest.mark.parametrize("fault", [LOST, BEFORE, AFTER])
def test_the_key_is_let_go_in_as_many_attempts_as_that_takes(fault: Fault) -> None:
    made = faulty([None, fault, fault])
    with pytest.raises(OSError, match="no network"):
        ask(made, request("create"), Called(made, failing(UNREACHABLE)))
    assert state(made) is RecordState.RELEASED


def test_a_key_that_cannot_be_let_go_is_free_when_its_lease_is_over() -> None:
    made = faulty([None, *[BEFORE] * 100])
    with pytest.raises(OSError, match="no network"):
        ask(made, request("create"), Called(made, failing(UNREACHABLE)))
    made.commits = iter(())
    called = Called(made)
    assert code(retry(made, request("create"), called)) == "IDEMPOTENCY_KEY_IN_FLIGHT"
    made.clock.pass_time(LEASE + 1)
    assert retry(made, request("create"), called).response.status == 201
    assert called.times == 1


def test_a_page_that_is_over_already_is_a_mistake_and_leaves_the_key_free() -> None:
    made = faulty()

    def stale(_: NewIds, __: Renew) -> NextAction:
        return NextAction("https://pages.example/1", START - TICK)

    with pytest.raises(ArgumentError, match="next_action"):
        serve_calling_out(made, request("create"), Numbered(), stale)
    assert state(made) is RecordState.RELEASED


def test_a_mistake_before_anything_was_asked_for_comes_out() -> None:
    made = faulty()
    made.after_load = lambda: int("a mistake")
    with pytest.raises(ValueError, match="a mistake"):
        ask(made, request("create"), Called(made))
    assert made.asked["for_call"] == 1, "there is no key to let go"


# --- A lease --------------------------------------------------------------------------------


@pytest.mark.parametrize("lease", [0.0, -1.0, 1e-7, float("inf"), float("nan")])
def test_a_lease_is_some_time(lease: float) -> None:
    made = faulty()
    with pytest.raises(ArgumentError, match="lease: must be a number of seconds, more than 0"):
        serve_calling_out(made, request("get"), Numbered(), Called(made), lease=lease)
    assert not made.asked


def test_a_lease_that_is_renewed_keeps_retries_away() -> None:
    made = faulty()
    seen: list[object] = []

    def meanwhile(renew: Renew) -> None:
        for _ in range(3):
            made.clock.pass_time(LEASE - 1)
            seen.append(renew())
        made.clock.pass_time(LEASE - 1)
        seen.append(code(retry(made, request("create"), called)))

    called = Called(made, meanwhile)
    assert ask(made, request("create"), called).response.status == 201
    assert seen == [True, True, True, "IDEMPOTENCY_KEY_IN_FLIGHT"]
    assert called.times == 1


def test_a_lease_is_as_long_as_the_server_says_and_so_is_a_renewed_one() -> None:
    made = faulty()
    seen: list[object] = []

    def meanwhile(renew: Renew) -> None:
        made.clock.pass_time(29)
        seen.append(renew())
        made.clock.pass_time(29)
        seen.append(code(retry(made, request("create"), called)))
        made.clock.pass_time(1)
        seen.append(renew())

    called = Called(made, meanwhile)
    answer = serve_calling_out(made, request("create"), Numbered(), called, lease=30.0)
    assert answer.response.status == 201
    assert seen == [True, "IDEMPOTENCY_KEY_IN_FLIGHT", False]


def test_a_lease_that_is_over_cannot_be_renewed() -> None:
    made = faulty()
    seen: list[bool] = []

    def meanwhile(renew: Renew) -> None:
        made.clock.pass_time(LEASE + 1)
        seen.append(renew())

    ask(made, request("create"), Called(made, meanwhile))
    assert seen == [False]


@pytest.mark.parametrize(
    ("faults", "renewed"), [([LOST, BEFORE, AFTER], True), ([BEFORE] * 14, False)]
)
def test_a_lease_is_renewed_in_as_many_attempts_as_that_takes(
    faults: list[Fault],
    renewed: bool,  # noqa: FBT001 - what is expected
) -> None:
    made = faulty([None, *faults])
    seen: list[bool] = []
    called = Called(made, lambda renew: seen.append(renew()))
    answer = serve_calling_out(
        made, request("create"), Numbered(), called, patience=Patience(attempts=14)
    )
    assert (seen, answer.response.status) == ([renewed], 201)


def test_without_a_key_there_is_no_lease_to_lose() -> None:
    made = prepared("graduation")
    seen: list[bool] = []
    ask(made, request("graduation"), Called(made, lambda renew: seen.append(renew())))
    assert seen == [True]


def test_who_outlives_the_lease_commits_what_the_call_brought() -> None:
    made = faulty()
    called = Called(made, lambda _: made.clock.pass_time(LEASE + 1))
    answer = ask(made, request("create"), called)
    assert (answer.response.status, url(answer)) == (201, "https://pages.example/1")
    assert (called.times, state(made)) == (1, RecordState.COMPLETED)
    record = made.record_of("k-1")
    assert record is not None
    assert record.token == 2, "as an attempt of its own"


def test_who_outlives_the_lease_gives_the_answer_of_who_took_over() -> None:
    made = faulty()
    delivered = executions(made)
    other = Called(made)
    second: list[Answer] = []

    def meanwhile(_: Renew) -> None:
        made.clock.pass_time(LEASE + 1)
        second.append(retry(made, request("create"), other))

    answer = ask(made, request("create"), Called(made, meanwhile))
    assert (answer.replayed, answer.response) == (True, second[0].response)
    assert (len(delivered), other.times) == (1, 1)


def test_an_answer_that_was_erased_meanwhile_is_not_given() -> None:
    made = faulty()

    def meanwhile(_: Renew) -> None:
        record = made.record_of("k-1")
        assert record is not None
        erased = attempts.forget(record, START)
        assert isinstance(erased, Done)
        assert made.store.store((RecordWrite(record.key, record, erased.value),))

    answer = ask(made, request("create"), Called(made, meanwhile))
    assert code(answer) == "IDEMPOTENCY_KEY_FORGOTTEN"
    assert made.store.load_fact(curae.Tombstoned(COORDINATE)).connections == ()


# --- What else may happen meanwhile ---------------------------------------------------------


def test_the_end_is_decided_by_what_is_stored_then() -> None:
    made = prepared("reconnect")
    elsewhere = Called(made)
    called = Called(made, lambda _: ask(made, request("reconnect", key="k-2"), elsewhere, first=30))
    answer = ask(made, request("reconnect"), called)
    assert answer.changes.events[0].kind == "connection.reissued"
    assert made.store.page("https://pages.example/1") is not None


def test_a_key_that_was_registered_again_before_the_load_is_judged_by_its_new_owner() -> None:
    made = faulty()
    other = attrs.evolve(CALLER, app_id=AppId("app-2"))
    made.before_load = then(lambda: made.store.register(ApiKey(API_KEY), other))
    called = Called(made)
    assert ask(made, request("create"), called).response.status == 201
    assert called.given is not None
    held = made.store.connection(called.given.connection_id)
    assert held is not None
    assert held.identity.coordinate.app_id == "app-2"


def initiates(made: Faulty, times: int) -> None:
    for number in range(times):
        asked = request("initiate", key=f"other-{number}")
        answer = made.store.handle(asked, made.clock.now, Numbered(100 + number)(made.clock.now))
        assert answer.response.status == 201


def test_a_limit_that_was_reached_meanwhile_refuses_and_leaves_the_key_free() -> None:
    made = faulty()
    called = Called(made, lambda _: initiates(made, 10))
    answer = ask(made, request("initiate"), called)
    assert (answer.response.status, state(made)) == (429, RecordState.RELEASED)
    made.clock.pass_time(60)
    again = Called(made)
    assert retry(made, request("initiate"), again).response.status == 201
    assert again.times == 1


@pytest.mark.parametrize(
    "caller",
    [attrs.evolve(CALLER, scopes=frozenset()), attrs.evolve(CALLER, app_id=AppId("app-2"))],
)
def test_a_key_that_was_registered_again_meanwhile_makes_nothing(caller: curae.Caller) -> None:
    made = faulty()
    called = Called(made, lambda _: made.store.register(ApiKey(API_KEY), caller))
    check_given_up(ask(made, request("create"), called))
    assert state(made) is RecordState.RELEASED
    assert made.store.load_fact(curae.Tombstoned(COORDINATE)).connections == ()
    # The retry is judged by whom the key stands for by then.
    statuses = {frozenset(): 403, CALLER.scopes: 201}
    answer = retry(made, request("create"), Called(made))
    assert answer.response.status == statuses[caller.scopes]


@pytest.mark.parametrize("fault", [None, LOST])
def test_a_store_that_is_full_says_so_before_the_call(fault: Fault | None) -> None:
    made = faulty([fault], capacity=0)
    called = Called(made)
    check_given_up(ask(made, request("create"), called))
    assert called.times == 0


@pytest.mark.parametrize("operation", ["create", "graduation"])
def test_a_store_that_is_full_at_the_end_leaves_the_key_free(operation: str) -> None:
    made = prepared(operation, None, None, LOST)
    called = Called(made, lambda _: setattr(made.store, "_capacity", 0))
    check_given_up(ask(made, request(operation), called))
    assert state(made) is (None if operation == "graduation" else RecordState.RELEASED)
    made.store._capacity = 10
    assert retry(made, request(operation), Called(made)).response.status == 201


# --- A call that must not be made twice -----------------------------------------------------


def unknown(made: Faulty, called: Called, operation: str = "create") -> Answer:
    return ask(made, request(operation), called, lost_lease=UNKNOWN)


def test_a_second_call_that_would_do_harm_waits_for_the_server() -> None:
    made = faulty()
    with pytest.raises(OSError, match="no network"):
        unknown(made, Called(made, failing(UNREACHABLE)))
    called = Called(made)
    assert code(unknown(made, called)) == "IDEMPOTENCY_KEY_IN_FLIGHT"
    made.clock.pass_time(LEASE + 1)
    assert code(unknown(made, called)) == "IDEMPOTENCY_OUTCOME_UNKNOWN"
    record = made.record_of("k-1")
    assert record is not None
    resolved = attempts.resolve(record, made.clock.now, response=None)
    assert isinstance(resolved, Done)
    assert made.store.store((RecordWrite(record.key, record, resolved.value),))
    assert (unknown(made, called).response.status, called.times) == (201, 1)


def test_a_limit_that_was_reached_meanwhile_leaves_it_to_the_server() -> None:
    made = faulty()
    answer = unknown(made, Called(made, lambda _: initiates(made, 10)), "initiate")
    assert (answer.response.status, state(made)) == (429, RecordState.IN_FLIGHT)


def test_before_the_call_the_key_is_let_go_all_the_same() -> None:
    made = faulty([AFTER], loads=[None, BEFORE, BEFORE])
    called, patience = Called(made), Patience(attempts=3)
    serve_calling_out(
        made, request("create"), Numbered(), called, lost_lease=UNKNOWN, patience=patience
    )
    assert (called.times, state(made)) == (0, RecordState.RELEASED)


def test_what_cannot_be_committed_is_left_to_the_server() -> None:
    made = faulty([None, *[LOST] * 20])
    check_given_up(unknown(made, Called(made)))
    assert state(made) is RecordState.IN_FLIGHT


# --- Awaited --------------------------------------------------------------------------------


class Page:
    """Another service that is awaited: it answers when the test lets it."""

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
        return NextAction(f"https://pages.example/{self.times}", self.made.clock.now + LIFETIME)


def asking(made: Faulty, page: Page, first: int = 2) -> Coroutine[None, None, Answer]:
    mint = Numbered(first)
    return serve_calling_out_async(Awaited(made), request("create"), mint, page)


def test_who_outlives_the_lease_is_told_that_another_is_at_work(time: FakeTime) -> None:
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
def test_a_call_that_is_cancelled_leaves_the_key_free(fault: Fault | None, time: FakeTime) -> None:
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
def test_a_commit_that_is_cancelled_leaves_no_key_in_flight(
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
    # The first commit takes the key, the second one renews the lease, the third one ends it.
    expected = {
        (0, HANGS): None,
        (0, HANGS_AFTER): RecordState.RELEASED,
        (1, HANGS): RecordState.RELEASED,
        (1, HANGS_AFTER): RecordState.RELEASED,
        (2, HANGS): RecordState.RELEASED,
        (2, HANGS_AFTER): RecordState.COMPLETED,
    }
    assert state(made) is expected[calm, fault]


def test_an_awaited_call_has_the_lease_that_the_server_says(time: FakeTime) -> None:
    made = faulty()

    async def fails(_: NewIds, renew: AsyncRenew) -> NextAction:
        made.clock.pass_time(29)
        assert await renew()
        made.clock.pass_time(30)
        assert not await renew()
        raise UNREACHABLE

    asked = serve_calling_out_async(
        Awaited(made), request("create"), Numbered(), fails, lease=30.0, lost_lease=UNKNOWN
    )
    with pytest.raises(OSError, match="no network"):
        run_async(asked, time)
    assert code(retry(made, request("create"), Called(made))) == "IDEMPOTENCY_OUTCOME_UNKNOWN"


def test_a_coroutine_that_is_thrown_away_is_closed_at_once() -> None:
    made = faulty()

    async def closed() -> None:
        page = Page(made)
        coroutine = asking(made, page)
        while not page.called.is_set():
            coroutine.send(None)
        coroutine.close()

    run_async(closed())
    assert state(made) is RecordState.IN_FLIGHT, "until its lease is over"


def test_a_store_that_hangs_at_either_end_is_given_up_on_in_time(time: FakeTime) -> None:
    made = faulty([None, *[HANGS] * 100])

    async def hangs() -> Answer:
        async def page(_: NewIds, __: AsyncRenew) -> NextAction:
            return NextAction("https://pages.example/1", made.clock.now + LIFETIME)

        return await serve_calling_out_async(Awaited(made), request("create"), Numbered(), page)

    check_given_up(run_async(hangs(), time))
    assert time.passed <= Patience().seconds + Patience().attempt_seconds
