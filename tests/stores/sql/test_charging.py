"""Tests of charges that wait for each other: made together, alone, cancelled, failed."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar

import attrs
import pytest

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.ratelimit import FRESH_LOG, FULL_BUCKET, Bucket, ExactLog
from curae_lifecycle.rules.values import SECOND, from_epoch_microseconds, to_epoch_microseconds
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import Loaded, StoreUnavailableError
from curae_lifecycle.stores.keys import rate_key
from curae_lifecycle.stores.sql.charging import (
    RequestCharge,
    SharedCharges,
    request_charge_statements,
)
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.schema import create_table_statements
from curae_lifecycle.stores.sql.statement import Dialect, Statement
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from tests.support.server import CALLER
from tests.support.strategies import START

WIDE = Bucket(name="wide", capacity=100, refill=1, seconds=10**6)
FIVE = Bucket(name="five", capacity=5, refill=1, seconds=10**6)
PLACE: ContextVar[str] = ContextVar("PLACE")


def written(bucket: Bucket, *, known: bool = True) -> RateWrite:
    """Return the write of a bucket that a request is charged to."""
    key = BucketKey(CALLER.key_owner, bucket)
    before = FULL_BUCKET if known else None
    return RateWrite(key=key, policy=bucket, before=before, after=FULL_BUCKET)


def row(bucket: Bucket) -> str:
    """Return the key of a bucket's row."""
    return rate_key(BucketKey(CALLER.key_owner, bucket))


def charge(*buckets: Bucket, at: int = 0) -> RequestCharge:
    """Return the charge of a request, some seconds after the start."""
    now = from_epoch_microseconds(to_epoch_microseconds(START) + at * SECOND)
    return RequestCharge.of(Loaded(Snapshot(), now), [written(each) for each in buckets])


@attrs.define
class Held:
    """A database whose transactions wait until a test ends them.

    Attributes:
        ran: The tokens of each transaction's first charge, in the order of their begin.
        places: The context of each transaction.
        ends: The futures of the transactions that run.
    """

    dialect: Dialect = Dialect.POSTGRESQL
    ran: list[int] = attrs.field(factory=list[int])
    places: list[str] = attrs.field(factory=list[str])
    ends: list[asyncio.Future[bool]] = attrs.field(factory=list["asyncio.Future[bool]"])

    async def rows(self, statement: Statement) -> Sequence[Sequence[object]]:
        raise NotImplementedError  # a charge reads no rows

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        self.ran.append(tokens_of(statements[0]))
        self.places.append(PLACE.get(""))
        end: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.ends.append(end)
        return await end

    async def end(self, result: bool | Exception) -> None:  # noqa: FBT001 - the result itself
        """End the transaction that began first, and wait until the next one has begun."""
        end = self.ends.pop(0)
        if isinstance(result, Exception):
            end.set_exception(result)
        else:
            end.set_result(result)
        for _ in range(4):
            await asyncio.sleep(0)


def tokens_of(statement: Statement) -> int:
    """Return how many tokens a statement charges, by the row that it would insert."""
    full_at = statement.values[1]
    assert isinstance(full_at, int)
    token = 10**6 * SECOND
    return (full_at - to_epoch_microseconds(START)) // token


def run(scenario: Coroutine[None, None, None]) -> None:
    """Run a scenario, and fail if it takes a minute."""
    asyncio.run(asyncio.wait_for(scenario, 60))


async def started(*works: Coroutine[None, None, bool]) -> list[asyncio.Task[bool]]:
    """Start tasks, and let each run until it waits."""
    tasks = [asyncio.create_task(work) for work in works]
    await asyncio.sleep(0)
    return tasks


# --- Which charges are made together --------------------------------------------------------


def test_charges_that_wait_are_made_in_one_transaction() -> None:
    async def scenario() -> None:
        held = Held()
        shared = SharedCharges(held)
        tasks = await started(*(shared.charge(charge(WIDE)) for _ in range(4)))
        assert held.ran == [1]
        await held.end(True)
        assert held.ran == [1, 3]
        await held.end(True)
        assert [await task for task in tasks] == [True] * 4
        assert held.ends == []

    run(scenario())


def test_charge_is_made_at_once_if_no_other_charge_is_running() -> None:
    async def scenario() -> None:
        held = Held()
        shared = SharedCharges(held)
        for _ in range(2):
            (task,) = await started(shared.charge(charge(WIDE)))
            await held.end(True)
            assert task.done()
        assert held.ran == [1, 1]

    run(scenario())


def test_charges_of_different_buckets_do_not_wait_for_each_other() -> None:
    async def scenario() -> None:
        held = Held()
        shared = SharedCharges(held)
        charges = [charge(WIDE), charge(FIVE), charge(WIDE, FIVE)]
        await started(*(shared.charge(each) for each in charges))
        assert held.ran == [1, 1, 1]

    run(scenario())


def test_shared_charge_takes_at_most_the_capacity_of_its_bucket() -> None:
    async def scenario() -> None:
        held = Held()
        shared = SharedCharges(held)
        tasks = await started(*(shared.charge(charge(WIDE, FIVE)) for _ in range(9)))
        for _ in range(3):
            await held.end(True)
        assert held.ran == [1, 5, 3]
        assert all([await task for task in tasks])

    run(scenario())


def test_refused_shared_charge_is_repeated_request_by_request() -> None:
    async def scenario() -> None:
        held = Held()
        shared = SharedCharges(held)
        tasks = await started(*(shared.charge(charge(WIDE)) for _ in range(4)))
        for result in (True, False, True, True, False):
            await held.end(result)
        assert held.ran == [1, 3, 1, 1, 1]
        assert [await task for task in tasks] == [True, True, True, False]

    run(scenario())


def test_refused_charge_of_a_single_request_is_not_repeated() -> None:
    async def scenario() -> None:
        held = Held()
        shared = SharedCharges(held)
        tasks = await started(*(shared.charge(charge(WIDE)) for _ in range(2)))
        for result in (True, False):
            await held.end(result)
        assert [await task for task in tasks] == [True, False]
        assert held.ran == [1, 1]

    run(scenario())


# --- Failures and cancellation --------------------------------------------------------------


def test_failed_shared_charge_fails_each_of_its_requests() -> None:
    async def scenario() -> None:
        held = Held()
        shared = SharedCharges(held)
        tasks = await started(*(shared.charge(charge(WIDE)) for _ in range(3)))
        await held.end(True)
        await held.end(StoreUnavailableError("away"))
        assert await tasks[0]
        for task in tasks[1:]:
            with pytest.raises(StoreUnavailableError, match="away"):
                await task
        (later,) = await started(shared.charge(charge(WIDE)))
        await held.end(True)
        assert await later

    run(scenario())


def test_failure_of_a_split_shared_charge_keeps_earlier_charges() -> None:
    async def scenario() -> None:
        held = Held()
        shared = SharedCharges(held)
        tasks = await started(*(shared.charge(charge(WIDE)) for _ in range(3)))
        for result in (True, False, True, StoreUnavailableError("away")):
            await held.end(result)
        assert [await task for task in tasks[:2]] == [True, True]
        with pytest.raises(StoreUnavailableError):
            await tasks[2]

    run(scenario())


@pytest.mark.parametrize("first", [StoreUnavailableError("away"), None])
def test_waiting_charge_is_made_even_if_running_charge_fails(first: Exception | None) -> None:
    async def scenario() -> None:
        held = Held()
        shared = SharedCharges(held)
        leader, waiting = await started(*(shared.charge(charge(WIDE)) for _ in range(2)))
        if first is None:
            leader.cancel()
            await asyncio.wait([leader])
            await asyncio.sleep(0)
            assert held.ends.pop(0).cancelled()
        else:
            await held.end(first)
            assert leader.exception() is first
        await held.end(True)
        assert await waiting
        assert held.ran == [1, 1]

    run(scenario())


def test_charge_cancelled_while_it_waits_is_not_made() -> None:
    async def scenario() -> None:
        held = Held()
        shared = SharedCharges(held)
        tasks = await started(*(shared.charge(charge(WIDE)) for _ in range(4)))
        tasks[2].cancel()
        await asyncio.wait([tasks[2]])
        await held.end(True)
        assert held.ran == [1, 2]
        await held.end(True)
        assert await tasks[3]

    run(scenario())


@pytest.mark.parametrize("result", [True, False, StoreUnavailableError("away")])
def test_cancelling_a_request_does_not_cancel_its_shared_charge(
    result: bool | Exception,  # noqa: FBT001 - drawn
) -> None:
    async def scenario() -> None:
        held = Held()
        shared = SharedCharges(held)
        _, cancelled, other = await started(*(shared.charge(charge(WIDE)) for _ in range(3)))
        await held.end(True)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        await held.end(result)
        if result is False:
            await held.end(True)
        assert held.ran == ([1, 2, 1] if result is False else [1, 2])
        if isinstance(result, Exception):
            with pytest.raises(StoreUnavailableError):
                await other
        else:
            assert await other

    run(scenario())


def test_charge_succeeds_after_all_waiting_charges_are_cancelled() -> None:
    async def scenario() -> None:
        held = Held()
        shared = SharedCharges(held)
        leader, waiting = await started(*(shared.charge(charge(WIDE)) for _ in range(2)))
        waiting.cancel()
        await asyncio.wait([waiting])
        await held.end(True)
        assert leader.done()
        (later,) = await started(shared.charge(charge(WIDE)))
        await held.end(True)
        assert await later
        assert held.ran == [1, 1]

    run(scenario())


def test_shared_charge_has_context_variables_of_last_request() -> None:
    async def scenario() -> None:
        held = Held()
        shared = SharedCharges(held)

        async def placed(place: str) -> bool:
            PLACE.set(place)
            return await shared.charge(charge(WIDE))

        tasks = await started(*(placed(place) for place in ("first", "second", "third")))
        await held.end(True)
        await held.end(True)
        await asyncio.gather(*tasks)
        assert held.places == ["first", "third"]

    run(scenario())


class Forgetful(Held):
    """A database that keeps no reference to the transactions that wait."""

    async def run_transaction(self, statements: Sequence[Statement]) -> bool:
        del statements
        end: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.last = weakref.ref(end)
        return await end

    async def end_last(self) -> None:
        end = self.last()
        assert end is not None, "the transaction was garbage-collected"
        end.set_result(True)
        for _ in range(4):
            await asyncio.sleep(0)


def test_shared_charge_in_progress_is_not_garbage_collected() -> None:
    reported: list[object] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: reported.append(what))
        database = Forgetful()
        charges = SharedCharges(database)
        first, second = await started(charges.charge(charge(WIDE)), charges.charge(charge(WIDE)))
        await database.end_last()
        assert await first
        gc.collect()
        await database.end_last()
        assert await second

    run(scenario())
    assert reported == []


def test_shared_charging_works_in_a_second_event_loop() -> None:
    held = Held()
    shared = SharedCharges(held)

    async def leave_two() -> None:
        await started(*(shared.charge(charge(WIDE)) for _ in range(2)))

    async def charge_one() -> None:
        held.ends.clear()
        (task,) = await started(shared.charge(charge(WIDE)))
        await held.end(True)
        assert await task

    run(leave_two())
    run(charge_one())
    assert held.ran == [1, 1]


# --- Statements -----------------------------------------------------------------------------


def test_shared_charge_uses_the_latest_instant_of_its_requests() -> None:
    charges = [charge(WIDE, at=at) for at in (1, 3, 2)]
    assert request_charge_statements(Dialect.SQLITE, charges) == request_charge_statements(
        Dialect.SQLITE, [charge(WIDE, at=3)] * 3
    )


def test_buckets_are_charged_in_the_order_of_their_row_keys() -> None:
    statements = request_charge_statements(Dialect.SQLITE, [charge(WIDE, FIVE)])
    assert statements == request_charge_statements(Dialect.SQLITE, [charge(FIVE, WIDE)])
    assert [each.values[0] for each in statements] == sorted([row(WIDE), row(FIVE)])


@pytest.mark.parametrize(
    ("known", "count"),
    [((False, False), 4), ((True, False), 3), ((True, True), 2)],
)
def test_mariadb_charge_inserts_no_row_that_a_request_has_loaded(
    known: tuple[bool, bool], count: int
) -> None:
    loaded = Loaded(Snapshot(), START)
    fresh = RequestCharge.of(loaded, [written(each, known=False) for each in (WIDE, FIVE)])
    writes = [written(WIDE, known=known[0]), written(FIVE, known=known[1])]
    charges = [fresh, RequestCharge.of(loaded, writes)]
    assert len(request_charge_statements(Dialect.MARIADB, charges)) == count


def test_shared_charge_of_a_limit_other_than_a_bucket_raises() -> None:
    log = ExactLog(name="log", limit=1, seconds=1)
    write = attrs.evolve(written(WIDE), policy=log, before=None, after=FRESH_LOG)
    with pytest.raises(ArgumentError, match="charges: must be writes of buckets"):
        RequestCharge.of(Loaded(Snapshot(), START), [write])


# --- On a database --------------------------------------------------------------------------


@pytest.fixture
def counted(sqlite_database: SqlDatabase) -> tuple[SharedCharges, Callable[[], int]]:
    """Return charges on SQLite, and a function that counts the tokens that `FIVE` is missing."""
    sqlite_database.run_ddl(create_table_statements(sqlite_database.dialect))
    shared = SharedCharges(ThreadedDatabase(sqlite_database))

    def missing() -> int:
        (found,) = sqlite_database.rows(
            Statement("SELECT full_at FROM curae_bucket WHERE id = ?", (row(FIVE),))
        )
        return (int(str(found[0])) - to_epoch_microseconds(START)) // (10**6 * SECOND)

    return shared, missing


@pytest.mark.parametrize(("requests", "admitted"), [(1, 1), (4, 4), (5, 5), (6, 5), (17, 5)])
def test_concurrent_charges_succeed_up_to_the_bucket_capacity(
    counted: tuple[SharedCharges, Callable[[], int]], requests: int, admitted: int
) -> None:
    shared, missing = counted
    answers: list[bool] = []

    async def scenario() -> None:
        answers.extend(
            await asyncio.gather(*(shared.charge(charge(FIVE)) for _ in range(requests)))
        )

    run(scenario())
    assert answers == [True] * admitted + [False] * (requests - admitted)
    assert missing() == admitted
