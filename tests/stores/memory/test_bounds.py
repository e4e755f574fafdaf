"""Tests of the bounds of `MemoryStore`: capacity, and purges at deadlines."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import curae_lifecycle as curae
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.writes import ConnectionWrite, Write
from curae_lifecycle.stores.contract import StoreFullError
from tests.support import server
from tests.support.instants import commit_writes, handle_at, record_at
from tests.support.logs_of_windows import WINDOWS, charge_log
from tests.support.memory import BUCKET, TOLERANCE, written_by
from tests.support.server import ID, call, code, document, new_ids, request, world
from tests.support.strategies import START, TICK, at, pending, uuid


def test_full_store_refuses_new_values_and_evicts_none() -> None:
    made = world(capacity=1)
    first = handle_at(made, request("create"), START, new_ids=new_ids(1))
    answer = handle_at(made, request("create", key="k-2"), START, new_ids=new_ids(2))
    assert (answer.response.status, code(answer)) == (500, "INTERNAL")
    assert document(answer)["retryable"] is True
    assert (answer.changes.writes, answer.rules) == ((), ("request.room",))
    assert made.connection(curae.ConnectionId(uuid(2))) is None
    replay = handle_at(made, request("create"), START, new_ids=new_ids(3))
    assert (replay.replayed, replay.response) == (True, first.response)
    assert isinstance(record_at(made, curae.Authorized(ID), at(1)), curae.Done), (
        "what is stored still moves"
    )


KINDS: dict[str, Write] = {
    "Connection": ConnectionWrite(None, pending(number=2)),
    **{type(write).__name__.removesuffix("Write"): write for write in written_by("initiate")},
}


@pytest.mark.parametrize("kind", ["Connection", "Session", "Binding", "Record", "Rate"])
def test_store_full_error_names_value_kind_and_capacity(kind: str) -> None:
    made = curae.MemoryStore(capacity=0)
    with pytest.raises(StoreFullError, match=f"0 values of kind {kind}") as raised:
        commit_writes(made, (KINDS[kind],))
    assert (raised.value.kind, raised.value.capacity) == (kind, 0)


@pytest.mark.parametrize("capacity", [-1, None, True, False, 0.5, "100"])
def test_negative_or_non_integer_memory_store_capacity_raises(capacity: int) -> None:
    with pytest.raises(ArgumentError, match=r"^capacity: must be an integer of at least 0, not "):
        curae.MemoryStore(capacity=capacity)


def test_commit_exceeding_memory_capacity_stores_nothing() -> None:
    made = curae.MemoryStore(capacity=1)
    both = (ConnectionWrite(None, pending()), ConnectionWrite(None, pending(number=2)))
    with pytest.raises(StoreFullError):
        commit_writes(made, both)
    assert made.connection(ID) is None
    assert commit_writes(made, both[:1])
    with pytest.raises(StoreFullError):
        commit_writes(made, both[1:])


@given(st.integers(1, 24 * 60 * 60))
def test_idempotency_record_is_purged_after_its_retention(seconds: int) -> None:
    made = world(capacity=1)
    now = START + timedelta(seconds=seconds)
    handle_at(made, request("create"), now, new_ids=new_ids(1, now))
    deadline = now + timedelta(hours=24)
    assert handle_at(
        made, request("create"), deadline - TICK, new_ids=new_ids(2, deadline)
    ).replayed
    dropped = deadline + TOLERANCE
    assert made.purge(dropped - TICK) == 0, "another worker's clock may be behind"
    assert made.purge(dropped) == 1
    assert made.purge(dropped) == 0
    snapshot = made.load(call(CreateConnection(server.USER, server.PACKAGES)).needs).snapshot
    assert snapshot.record is None


def test_bucket_state_is_purged_once_the_bucket_is_full_again() -> None:
    made = world(curae.Settings(buckets=(BUCKET,)))
    handle_at(made, request("account-state"), START)
    handle_at(made, request("account-state"), at(0.5))
    full = at(2) + TOLERANCE
    assert made.purge(full - TICK) == 0, "the bucket fills in two minutes from the first charge"
    assert made.purge(full) == 1
    handle_at(made, request("graduation"), at(8), new_ids=new_ids(1, at(8)))
    fresh = at(9) + TOLERANCE
    assert made.purge(fresh - TICK) == 0
    assert made.purge(fresh) == 2, "the app user's log, and the bucket"


def test_rate_limit_log_is_purged_after_its_longest_window() -> None:
    made = curae.MemoryStore(clock=lambda: START)
    assert [charge_log(made, policy) for policy in WINDOWS] == [True] * 3
    dropped = at(24 * 60) + TOLERANCE
    assert made.purge(at(10)) == made.purge(dropped - TICK) == 0
    assert made.purge(dropped) == 1


def test_idempotency_key_reused_after_expiry_gets_new_retention() -> None:
    made = world()
    for day in (0, 1):
        now = at(day * 24 * 60)
        answer = handle_at(made, request("create"), now, new_ids=new_ids(1 + day, now))
        assert not answer.replayed
    dropped = at(48 * 60) + TOLERANCE
    assert made.purge(dropped - TICK) == 0
    assert made.purge(dropped) == 1


def test_replaced_buckets_start_full_but_app_user_limits_stay() -> None:
    made = world(curae.Settings(buckets=(BUCKET,)))
    for number in range(2):
        handle_at(made, request("initiate", key=f"k-{number}"), START, new_ids=new_ids(number))
    assert code(handle_at(made, request("account-state"), START)) == "RATE_LIMITED"
    other = curae.Bucket(name="other", capacity=100, refill=1, seconds=60)
    made.replace_buckets((BUCKET, other))
    assert made.settings.buckets == (BUCKET, other)
    assert handle_at(made, request("account-state"), START).response.status == 200
    made.replace_buckets((other,))
    answers = [
        handle_at(made, request("initiate", key=f"l-{number}"), START, new_ids=new_ids(10 + number))
        for number in range(9)
    ]
    assert [answer.response.status for answer in answers] == [201] * 8 + [429]
    made.replace_buckets(())
    assert made.purge(at(60)) == 1, "the app user's log; the buckets went when they were replaced"


def test_replacing_buckets_frees_the_capacity_of_the_old_ones() -> None:
    made = world(curae.Settings(buckets=(BUCKET,)), capacity=1)
    for name in ("a", "b", "c"):
        assert handle_at(made, request("account-state"), START).response.status == 200
        made.replace_buckets((curae.Bucket(name=name, capacity=1, refill=1, seconds=60),))
