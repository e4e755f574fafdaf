"""Tests of the retention of ended connections and sessions in `MemoryStore`."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import attrs
import pytest

import curae_lifecycle as curae
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.values import LAST_INSTANT
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.service.writes import BindingWrite, SessionWrite
from tests.support import subjects
from tests.support.instants import clock_at, commit_writes, handle_at, record_at
from tests.support.memory import (
    ACTIVE,
    DAY,
    EMPTY,
    FOR_EVER,
    MONTH,
    REVOKED,
    TOLERANCE,
    revoked_chain,
    store,
)
from tests.support.server import ID, LIMITED, call, new_ids, request
from tests.support.strategies import COORDINATE, START, TICK, apply_trigger, at, pending, uuid


def in_era(connection: Connection) -> Connection:
    """Return the same connection in the era of an earlier tombstone."""
    return attrs.evolve(connection, identity=attrs.evolve(connection.identity, era=at(-5)))


PENDING_OVER: Final = pending().handoff_deadline or START
ENDINGS: Final = {
    "LAPSED": (pending(), PENDING_OVER),
    "LAPSED, in a later era": (in_era(pending()), PENDING_OVER),
    "EXPIRED by itself": (ACTIVE, at(60)),
    "EXPIRED, recorded": (apply_trigger(ACTIVE, "expire", at(61)), at(61)),
    "REVOKED": (apply_trigger(ACTIVE, "PATIENT", at(7)), at(7)),
    "REVOKED, whatever stands beside it": (
        attrs.evolve(FOR_EVER, revoked_at=at(7), updated_at=at(8)),
        at(8),
    ),
}
"""Connections, each with the instant at which it has ended."""


@pytest.mark.parametrize("how", ENDINGS)
def test_ended_connection_is_purged_after_its_retention(how: str) -> None:
    connection, over = ENDINGS[how]
    made = store(connection, keep_over=MONTH)
    due = over + MONTH + TOLERANCE
    assert made.purge(due - TICK) == 0
    assert made.connection(ID) is connection
    assert made.purge(due) == 1
    assert made.sizes() == EMPTY
    assert made.connection(ID) is None
    assert handle_at(made, request("get"), due).response.status == 404
    assert (
        handle_at(made, request("reconnect"), due, new_ids=new_ids(2, due)).response.status == 404
    )
    assert isinstance(record_at(made, curae.Revoked(ID, curae.Actor.PATIENT), due), curae.Refused)


@pytest.mark.parametrize("live", [FOR_EVER, attrs.evolve(pending(), handoff_deadline=None)])
def test_connection_without_deadline_is_kept_until_it_ends(live: Connection) -> None:
    made = store(live, keep_over=MONTH)
    for days in range(0, 4000, 7):
        assert made.purge(START + timedelta(days=days)) == 0
    now = START + timedelta(days=4000)
    assert handle_at(made, request("revoke"), now).response.status == 200
    due = now + MONTH + TOLERANCE
    assert made.purge(due - TICK) == 1, "the idempotency record"
    assert made.purge(due) == 1
    assert made.sizes() == EMPTY


def test_live_connection_made_after_a_tombstone_is_not_purged() -> None:
    made = store(in_era(FOR_EVER), keep_over=MONTH)
    assert made.purge(START + timedelta(days=4000)) == 0
    assert made.connection(ID) == in_era(FOR_EVER)


def test_revocation_before_expiry_moves_the_purge_earlier() -> None:
    far = attrs.evolve(ACTIVE, expires_at=START + timedelta(days=4000))
    made = store(far, keep_over=MONTH)
    for days in range(100):
        assert made.purge(START + timedelta(days=days)) == 0
    now = START + timedelta(days=100)
    record_at(made, curae.Revoked(ID, curae.Actor.PATIENT), now)
    assert made.purge(now + MONTH + TOLERANCE - TICK) == 0
    assert made.purge(now + MONTH + TOLERANCE) == 1


def test_without_retention_ended_connections_are_kept() -> None:
    made = store(*(connection for connection, _ in [ENDINGS["REVOKED"]]))
    handle_at(made, request("initiate"), START, new_ids=new_ids(3))
    assert made.purge(LAST_INSTANT) == 2, "the record and the limit"
    assert made.connection(ID) is not None
    assert made.session(curae.SessionId(uuid(1003))) is not None
    assert made.binding(COORDINATE) is not None


@pytest.mark.parametrize("span", [DAY - TICK, timedelta(0), -MONTH])
def test_connection_retention_below_24_hours_raises(span: timedelta) -> None:
    with pytest.raises(curae.ArgumentError, match="ended_retention: must be at least 24 hours"):
        curae.MemoryStore(ended_retention=span)
    store(keep_over=DAY)
    made = store(FOR_EVER, keep_over=timedelta.max)
    assert made.purge(LAST_INSTANT - TOLERANCE) == 0


def test_retention_of_300_years_is_exact_to_the_microsecond() -> None:
    # A float of this many microseconds would be rounded.
    retention = timedelta(days=300 * 365) + TICK
    made = store(REVOKED, keep_over=retention)
    due = START + retention + TOLERANCE
    assert made.purge(due - TICK) == 0
    assert made.purge(due) == 1


@pytest.mark.parametrize("length", [1, 2, 7])
def test_chain_is_purged_whole_after_its_head_ends(length: int) -> None:
    made = store(*revoked_chain(length, FOR_EVER), keep_over=MONTH)
    year = START + timedelta(days=365)
    assert made.purge(year) == 0
    assert made.counted() == length
    record_at(made, curae.Revoked(ID, curae.Actor.PATIENT), year)
    due = year + MONTH + TOLERANCE
    assert made.purge(due - TICK) == 0
    assert made.purge(due, limit=1) == length, "a chain counts as one, and goes as one"
    assert made.sizes() == EMPTY


def test_chain_is_kept_while_any_connection_is_live() -> None:
    waiting = apply_trigger(FOR_EVER, "require action", at(2))
    lapsed = subjects.recovered(waiting, at(3), 2)
    made = store(waiting, lapsed, keep_over=MONTH)
    assert made.purge(START + 10 * MONTH) == 0
    assert made.counted() == 2


def test_purge_keeps_another_chain_of_the_same_user() -> None:
    made = store(
        REVOKED, attrs.evolve(FOR_EVER, identity=pending(number=2).identity), keep_over=MONTH
    )
    assert made.purge(START + 3 * MONTH) == 1
    tombstoned = curae.Tombstoned(COORDINATE)
    commit_writes(made, (BindingWrite(None, LIMITED),))
    page = Needs(connections=ConnectionsPage(COORDINATE))
    assert [each.id for each in made.load(page).snapshot.connections] == [uuid(2)]
    assert isinstance(record_at(made, tombstoned, START + 3 * MONTH), curae.Done)


def test_ended_session_is_purged_after_its_retention() -> None:
    made = store(keep_over=MONTH)
    assert commit_writes(made, (SessionWrite(None, subjects.WAITING),))
    due = subjects.WAITING.expires_at + MONTH + TOLERANCE
    assert made.purge(due - TICK) == 0
    landed = curae.HandoffCompleted(subjects.SESSION, subjects.USER, at(1))
    assert isinstance(record_at(made, landed, due - TICK), curae.Done)
    assert made.purge(due) == 1
    assert made.session(subjects.SESSION) is None
    assert isinstance(record_at(made, landed, due), curae.Refused)
    sizes = made.sizes()
    assert sizes == EMPTY | {"bindings": 1, "counted": 1}, "a binding is never over"


def test_requests_purge_chains_and_sessions_past_their_retention() -> None:
    made = store(*revoked_chain(3, REVOKED), keep_over=MONTH)
    handle_at(made, request("initiate"), START, new_ids=new_ids(3))
    later = START + 3 * MONTH
    for _ in range(17):
        handle_at(made, request("get", id=uuid(9)), later)
    assert made.sizes() == EMPTY | {"bindings": 1, "counted": 1}


def test_write_to_a_purged_connection_conflicts() -> None:
    made = store(REVOKED, keep_over=MONTH)
    asked, now = call(Reconnect(ID)), START + MONTH
    with clock_at(made, now):
        snapshot = made.load(asked.needs).snapshot
    decided = curae.decide(asked, snapshot=snapshot, now=now, new_ids=new_ids(2, now))
    assert made.purge(START + 2 * MONTH) == 1
    assert not commit_writes(made, decided.changes.writes)
    assert made.sizes() == EMPTY
