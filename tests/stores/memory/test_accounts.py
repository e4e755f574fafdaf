"""Tests of accounts in `MemoryStore`: capacity per account, and purges that visit each in turn."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, cast

import attrs
import pytest

import curae_lifecycle as curae
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    Environment,
)
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.stores import memory_accounts
from curae_lifecycle.stores.contract import StoreFullError
from curae_lifecycle.stores.memory import PURGE_PAUSE_SECONDS
from curae_lifecycle.stores.memory_accounts import Account
from curae_lifecycle.stores.memory_tables import Owner
from tests.support.instants import commit_writes, handle_at, record_at
from tests.support.memory import (
    BUCKET,
    DAY,
    TOLERANCE,
    Store,
    by_neighbour,
    fill_records,
    guarded,
    of_neighbour,
    store,
    unknown,
)
from tests.support.server import (
    API_KEY,
    CALLER,
    ID,
    code,
    document,
    new_ids,
    request,
)
from tests.support.strategies import COORDINATE, START, TICK, at, pending, uuid


def created(number: int) -> curae.Request:
    return request("create", key=f"c-{number}", user=f"user-{number}")


def initiated(number: int) -> curae.Request:
    return request("initiate", key=f"i-{number}", user=f"user-{number}")


def with_signup(number: int) -> curae.Request:
    body = b'{"appUserId":"user-1","preferSignup":true}'
    return request("initiate", key=f"s-{number}", body=body)


def limited(number: int) -> curae.Request:
    return request("graduation", user=f"user-{number}")


FILLS: Final[dict[str, Callable[[int], curae.Request]]] = {
    "records": unknown,
    "connections": created,
    "sessions": with_signup,
    "bindings": initiated,
    "rates": limited,
}
"""Requests that fill an account, by a kind of value that each of them stores."""


@pytest.mark.parametrize("kind", FILLS)
def test_other_accounts_succeed_while_one_account_is_at_capacity(kind: str) -> None:
    fill = FILLS[kind]
    made = store(of_neighbour(700), of_neighbour(701), capacity=8)
    held = made.sizes()[kind]
    answers = [
        handle_at(made, fill(number), START, new_ids=new_ids(10 + number)).response.status
        for number in range(9)
    ]
    assert made.sizes()[kind] - held == 8
    assert 500 not in answers[:8]
    assert answers[8] == 500, "the account itself has no room left"
    counted = made.counted()
    for number, operation in enumerate(("revoke", "create", "initiate", "get", "reconnect")):
        asked = by_neighbour(request(operation, id=uuid(700), key=f"n-{number}"))
        answer = handle_at(made, asked, START, new_ids=new_ids(50 + number))
        assert answer.response.status in {200, 201}, operation
    assert made.counted() > counted
    ended = curae.Revoked(curae.ConnectionId(uuid(701)), curae.Actor.PATIENT)
    assert isinstance(record_at(made, ended, START), curae.Done)
    again = handle_at(made, fill(9), START, new_ids=new_ids(90))
    assert (again.response.status, code(again), document(again)["retryable"]) == (
        500,
        "INTERNAL",
        True,
    )
    assert again.changes.writes == ()


def test_account_at_capacity_still_accepts_updates_and_replays() -> None:
    made = store(pending(number=2), pending(number=3), capacity=2)
    assert handle_at(made, request("revoke", id=uuid(2)), START).response.status == 200
    assert handle_at(made, unknown(1), START).response.status == 404
    assert handle_at(made, unknown(2), START).response.status == 500
    before = made.sizes()
    assert handle_at(made, request("revoke", id=uuid(2)), at(1)).replayed
    assert isinstance(
        record_at(made, curae.Revoked(curae.ConnectionId(uuid(3)), curae.Actor.PATIENT), at(1)),
        curae.Done,
    )
    assert made.sizes() == before


def test_tombstones_of_unknown_users_count_toward_capacity() -> None:
    made = store(capacity=3)
    for number in range(2):
        coordinate = attrs.evolve(COORDINATE, app_user_id=AppUserId(f"unknown-{number}"))
        assert isinstance(record_at(made, curae.Tombstoned(coordinate), START), curae.Done)
    answers = [
        handle_at(made, initiated(number), START, new_ids=new_ids(number)) for number in range(2)
    ]
    assert [each.response.status for each in answers] == [201, 500]


def test_full_account_still_accepts_an_unknown_users_tombstone() -> None:
    made = store(capacity=1)
    assert handle_at(made, initiated(0), START, new_ids=new_ids(0)).response.status == 201
    assert isinstance(record_at(made, curae.Tombstoned(COORDINATE), START), curae.Done)
    assert made.binding(COORDINATE) is not None


def test_store_full_error_names_the_account_and_value_kind() -> None:
    made = store(pending(), capacity=1)
    with pytest.raises(StoreFullError) as raised:
        commit_writes(made, (ConnectionWrite(None, pending(number=2)),))
    error = raised.value
    assert (error.kind, error.capacity) == ("Connection", 1)
    assert error.environment is Environment.LIVE
    assert error.customer_account_id == COORDINATE.customer_account_id
    assert str(error) == (
        f"the live customer account {COORDINATE.customer_account_id} is full: it may hold at most "
        "1 values of kind Connection"
    )
    in_test = attrs.evolve(
        pending(number=2).identity,
        coordinate=attrs.evolve(COORDINATE, environment=Environment.TEST),
    )
    assert commit_writes(
        made, (ConnectionWrite(None, attrs.evolve(pending(), identity=in_test)),)
    ), "test and live never meet"


def test_capacity_is_shared_by_all_apps_of_an_account() -> None:
    made = store(capacity=2)
    for number in range(3):
        app = attrs.evolve(CALLER, api_key_id=ApiKeyId(f"k{number}"), app_id=AppId(f"app-{number}"))
        made.register(curae.ApiKey(API_KEY), app)
        assert handle_at(made, unknown(0), START).response.status == (404 if number < 2 else 500)


# --- Expired values ---------------------------------------------------------------------------


def test_each_request_purges_a_few_expired_records() -> None:
    made = store()
    fill_records(made, 100)
    due = START + DAY + TOLERANCE
    for _ in range(15):
        handle_at(made, request("get"), due)
    assert made.sizes()["records"] == 100, "one of the latest sixteen instants was a day earlier"
    for number in range(1, 6):
        handle_at(made, request("get"), due)
        assert made.sizes()["records"] == 100 - 16 * number
    handle_at(made, unknown(1000), due)
    for _ in range(2):
        assert isinstance(record_at(made, curae.Expired(ID), due), curae.Refused)
    assert made.sizes()["records"] == 1, "a fact drops some too, and what is new stays"
    assert made.sizes()["deadlines"] == 1


def test_requests_purge_no_value_before_its_deadline() -> None:
    made = store()
    fill_records(made, 3)
    due = START + DAY + TOLERANCE
    for _ in range(20):
        handle_at(made, request("get"), due - TICK)
    assert made.sizes()["records"] == 3
    for _ in range(20):
        handle_at(made, request("get"), due)
    assert made.sizes()["records"] == 0


def test_request_with_a_clock_400_days_ahead_purges_no_record() -> None:
    made = store()
    first = handle_at(made, unknown(0), START)
    for number in range(1, 40):
        ahead = number % 16 != 0
        handle_at(made, request("get"), START + 400 * DAY if ahead else at(number))
    answer = handle_at(made, unknown(0), at(60))
    assert (answer.replayed, answer.response) == (True, first.response)


def test_requests_of_one_account_purge_records_of_idle_account() -> None:
    made = store()
    fill_records(made, 100)
    due = START + DAY + TOLERANCE
    for _ in range(15 + 2 * 13):
        handle_at(made, by_neighbour(request("get")), due)
    handle_at(made, by_neighbour(unknown(0)), due)
    for _ in range(2 * 13):
        handle_at(made, by_neighbour(request("get")), due)
    assert made.sizes()["records"] == 1


def test_account_at_capacity_has_room_after_its_values_expire() -> None:
    made = store(capacity=50)
    for number in range(50):
        handle_at(made, by_neighbour(unknown(number)), at(-1))
    fill_records(made, 50)
    due = START + DAY + TOLERANCE
    for _ in range(16):
        handle_at(made, request("account-state"), due)
    assert handle_at(made, unknown(100), due).response.status == 404, "whatever the neighbour holds"


def test_purge_with_a_limit_stops_after_that_many_values() -> None:
    made = store()
    fill_records(made, 100)
    due = START + DAY + TOLERANCE
    assert made.purge(due - TICK) == 0
    assert made.purge(due, limit=0) == 0
    assert made.purge(due, limit=30) == 30
    assert made.sizes()["records"] == 70
    assert made.purge(due) == 70
    assert made.purge(due) == 0


def test_purge_reads_no_account_without_expired_values() -> None:
    made = store()
    fill_records(made, 3)
    fill_records(made, 1, at(60), first=3)
    due = START + DAY + TOLERANCE
    assert made.purge(due) == 3
    looked: list[None] = []
    held = made._accounts._by_owner
    watched = guarded(held, lambda: looked.append(None))
    made._accounts._by_owner = cast("OrderedDict[Owner, Account]", watched)
    looked.clear()
    assert made.purge(due + timedelta(minutes=60) - TICK) == 0
    fill_records(made, 1, due + timedelta(minutes=60) - TICK, first=4)
    assert len(looked) == 2, "a record was counted and noted down"
    assert made.purge(due + timedelta(minutes=60)) == 1


@pytest.mark.parametrize("at_once", [1, 2, 3, 5, 6, 7, 1000])
def test_purge_releases_the_lock_between_batches(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(memory_accounts, "PURGE_BATCH_SIZE", at_once)
    made = store()
    fill_records(made, 5)
    handle_at(made, by_neighbour(unknown(0)), START)
    left: list[int] = []

    def pause(seconds: float) -> None:
        assert seconds == PURGE_PAUSE_SECONDS
        left.append(_from_elsewhere(made))

    monkeypatch.setattr(made._pause, "wait", pause)
    due = START + DAY + TOLERANCE
    assert made.purge(due - TICK) == 0
    left.clear()
    assert made.purge(due) == 6
    assert all(before - after <= at_once for before, after in pairwise([6, *left, 0]))
    # Each account counts as one more value; there is no pause at the end.
    assert len(left) == 8 // at_once
    assert made.sizes()["records"] == 0
    assert made.sizes()["deadlines"] == 0


def _from_elsewhere(made: Store) -> int:
    # Another thread takes the lock: if this one held it, the thread would block for ever.
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(made.connection, ID).result(timeout=10) is None
    return made.sizes()["records"]


def test_purge_with_a_limit_continues_with_the_next_account() -> None:
    made = store()
    fill_records(made, 10)
    for number in range(10):
        handle_at(made, by_neighbour(unknown(number)), START)
    due = START + DAY + TOLERANCE
    made.purge(due, limit=10)
    made.purge(due, limit=5)
    assert made.sizes()["records"] == 5
    assert made.purge(due, limit=1) == 0, "the account that was emptied had its turn"
    assert made.purge(due, limit=6) == 5


def test_purge_with_limit_2_drops_a_value_of_each_of_2_accounts() -> None:
    made = store()
    fill_records(made, 1)
    handle_at(made, by_neighbour(unknown(0)), START)
    assert made.purge(START + DAY + TOLERANCE, limit=2) == 2


def test_second_charge_delays_the_purge_of_a_rate_limit_state() -> None:
    made = store(settings=curae.Settings(buckets=(BUCKET,)))
    handle_at(made, request("account-state"), START)
    handle_at(made, request("account-state"), at(1))
    noted = at(1) + TOLERANCE
    assert made.purge(noted, limit=1) == 0
    assert made.sizes()["rates"] == 1
    assert made.purge(at(2) + TOLERANCE) == 1


TIMED: Final[dict[str, Callable[[Store, datetime], object]]] = {
    "handle": lambda made, now: handle_at(made, request("get"), now),
    "record": lambda made, now: record_at(made, curae.Expired(ID), now),
    "purge": lambda made, now: made.purge(now),
}


@pytest.mark.parametrize("use", TIMED)
def test_memory_store_raises_argument_error_for_a_naive_now(use: str) -> None:
    made = store(pending())
    naive = START.replace(tzinfo=None)
    with pytest.raises(curae.ArgumentError) as raised:
        TIMED[use](made, naive)
    assert raised.value.argument == "now"
    assert handle_at(made, request("get"), START).response.status == 200
