"""Tests that the simulation finds planted mistakes of clocks, races and pages, on written seeds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import attrs
import pytest

from curae_lifecycle.rules import connection, ratelimit
from curae_lifecycle.rules.connection import Connection, EraState
from curae_lifecycle.rules.values import MINUTE, SECOND
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, Write
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.sql import outbox_statements
from curae_lifecycle.stores.sql.outbox_statements import Due
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.testing.simulation import Violation, simulate
from tests.support.wrong_stores import LooksForNoPage, only_counts

# --- Clocks that are stepped ------------------------------------------------------------------


def believes_any_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a bucket believe any instant at which it is full."""
    monkeypatch.setattr(ratelimit, "_is_disbelieved", lambda _policy, _missing: False)


def believes_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a bucket believe an instant that is an hour later than its window."""
    monkeypatch.setattr(ratelimit, "CLOCK_TOLERANCE", 60 * MINUTE)


def holds_one_token_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a bucket hold one token more than its capacity."""
    charge = ratelimit._charge_bucket

    def charge_bucket(
        policy: ratelimit.Bucket, state: ratelimit.RateState, at: int, cost: int
    ) -> ratelimit.BucketState | int:
        larger = attrs.evolve(policy, capacity=policy.capacity + 1)
        return charge(larger, state=state, at=at, cost=cost)

    monkeypatch.setattr(ratelimit, "_charge_bucket", charge_bucket)


def tells_eras_by_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a tombstone end what was made before its instant, by the clock, and not by era."""

    tell = connection._cell

    def cell(held: Connection, era: datetime | None) -> object:
        status, revocation, _ = tell(held, era)
        made_since = era is None or held.identity.created_at >= era
        return status, revocation, EraState.THIS if made_since else EraState.OTHER

    monkeypatch.setattr(connection, "_cell", cell)


def forgets_later_instants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a log drop instants that are later than now, as if its clock never stepped back."""
    charge = ratelimit._charge_log

    def charge_log(
        policy: ratelimit.ExactLog, state: ratelimit.RateState, at: int, cost: int
    ) -> ratelimit.LogState | int:
        assert isinstance(state, ratelimit.LogState)
        earlier = [each for each in state.microseconds if each <= at + 10 * SECOND]
        return charge(policy, ratelimit.LogState.of_microseconds(earlier), at=at, cost=cost)

    monkeypatch.setattr(ratelimit, "_charge_log", charge_log)


def _due(monkeypatch: pytest.MonkeyPatch, old: str, new: str, *, asks_clock: bool = False) -> None:
    due_statement = outbox_statements.due_statement

    def changed(dialect: Dialect, limit: int) -> Statement:
        found = due_statement(dialect, limit)
        assert old in found.text
        # The clock is the second value of the statement.
        values = (found.values[1], *found.values) if asks_clock else found.values
        return Statement(found.text.replace(old, new, 1), values)

    monkeypatch.setattr(outbox_statements, "due_statement", changed)


def holds_untried_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the outbox hold a message until the instant at which it was committed."""
    later = "due_at = 0 AND waits_from <= CAST(? AS INTEGER) "
    _due(monkeypatch, "due_at = 0 ", later, asks_clock=True)


def believes_any_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the outbox believe a claim, however far ahead its end is."""
    _due(monkeypatch, "AND waits_from > (SELECT", "AND 0 > (SELECT")


def ships_the_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the outbox claim the newest messages first, whatever their subject."""
    due_messages = outbox_statements.due_messages

    def newest_first(rows: Rows, limit: int, *, urgent_first: bool) -> list[Due]:
        return due_messages(rows, limit, urgent_first=urgent_first)[::-1]

    first = outbox_statements._IS_FIRST
    _due(monkeypatch, f"{first} ORDER BY id", "ORDER BY id DESC")
    monkeypatch.setattr(outbox_statements, "due_messages", newest_first)


def keeps_shipped_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the outbox keep a message that was shipped."""

    def kept(_: Dialect, delivered: Delivery, claim: str) -> list[Statement]:
        text = "UPDATE curae_outbox SET claim = NULL, due_at = 0 WHERE id = ? AND claim = ?"
        return [Statement(text, (delivered.number, claim), 1)]

    monkeypatch.setattr(outbox_statements, "delivered_statements", kept)


# --- Three at once: a create or reconnect, a bind, a tombstone --------------------------------


class _Changed(MemoryStore):
    """A store that commits changed writes."""

    def changed(self, write: Write) -> Write | None:
        raise NotImplementedError

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        changed = [self.changed(each) for each in changes.writes]
        writes = tuple([each for each in changed if each is not None])
        return super().commit(loaded, attrs.evolve(changes, writes=writes), page)


class LoadsWithoutEra(MemoryStore):
    """A store that loads a connection without the era of its coordinate."""

    def _snapshot(self, needs: Needs) -> Snapshot:
        loaded = super()._snapshot(needs)
        return loaded if needs.connection is None else attrs.evolve(loaded, binding=None)


class LandsUnmoved(_Changed):
    """A store in which a landing that leaves the binding as it is moves no version."""

    def changed(self, write: Write) -> Write | None:
        return None if isinstance(write, BindingWrite) and only_counts(write) else write


class _StampsEra(_Changed):
    """A store that gives new connections the era at their commit, not the one of their load."""

    reconnects: bool

    def changed(self, write: Write) -> Write | None:
        if not isinstance(write, ConnectionWrite) or write.before is not None:
            return write
        identity = write.after.identity
        if (identity.predecessor_id is not None) is not self.reconnects:
            return write
        bound = self.binding(identity.coordinate)
        stamped = attrs.evolve(identity, era=None if bound is None else bound.era)
        return ConnectionWrite(None, attrs.evolve(write.after, identity=stamped))


class StampsCreates(_StampsEra):
    reconnects = False


class StampsReconnects(_StampsEra):
    reconnects = True


# --- Seeds ------------------------------------------------------------------------------------

Plant = Callable[[pytest.MonkeyPatch], None] | type[MemoryStore]

FOUND: list[tuple[Plant, int, str]] = [
    (believes_any_bucket, 0, "law 10 is broken: refused although its last charge was at 2027"),
    (believes_any_bucket, 3, "law 10 is broken: refused although its last charge was at"),
    (believes_for_an_hour, 3, "law 10 is broken: refused although its last charge was at"),
    (holds_one_token_more, 2, "law 10 is broken: admitted a request without a token"),
    (forgets_later_instants, 10, "law 10 is broken: 11 admitted within"),
    (tells_eras_by_clock, 2, "law 17 is broken: granted although a tombstone came after"),
    (holds_untried_messages, 0, "is due and was not shipped"),
    (ships_the_newest_first, 0, "message 7 shipped instead of [5]"),
    (keeps_shipped_messages, 0, "message 1 shipped instead of []"),
    (LoadsWithoutEra, 1, "law 2 is broken: revokedNow is false"),
    (LoadsWithoutEra, 4, "law 17 is broken: granted although a tombstone came after"),
    (LandsUnmoved, 15, "law 17 is broken: it landed as it was made, after a tombstone"),
    (LandsUnmoved, 16, "law 17 is broken: it landed as it was made, after a tombstone"),
    (StampsCreates, 3, "law 6 is broken: its identity changed"),
    (StampsReconnects, 2, "law 6 is broken: its identity changed"),
    (LooksForNoPage, 4, "the fact connection.authorize of a hosted page that was replaced"),
    (LooksForNoPage, 6, "the fact binding.graduate of a hosted page that was replaced"),
]
"""Planted mistakes, a seed that finds each, and a part of the violation's message."""


def _violation(plant: Plant, seed: int, monkeypatch: pytest.MonkeyPatch) -> Violation | None:
    if isinstance(plant, type):
        return simulate(seed, clients=2, hours=6, make_store=plant).violation
    plant(monkeypatch)
    return simulate(seed, clients=2, hours=6).violation


@pytest.mark.heavy
@pytest.mark.parametrize(("plant", "seed", "message"), FOUND)
def test_simulation_with_a_fixed_seed_finds_each_planted_bug(
    plant: Plant, seed: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _violation(plant, seed, monkeypatch)
    assert found is not None
    assert message in found.message


@pytest.mark.heavy
def test_simulation_finds_an_outbox_message_that_is_held_forever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    believes_any_claim(monkeypatch)
    found = simulate(2, clients=1, hours=6).violation
    assert found is not None
    assert "is due and was not shipped" in found.message
    assert found.law is None


@pytest.mark.heavy
@pytest.mark.parametrize("seed", sorted({seed for _, seed, _ in FOUND}))
def test_simulation_with_fixed_seeds_breaks_no_law_without_bugs(seed: int) -> None:
    assert simulate(seed, clients=2, hours=6).violation is None
