"""Tests of the simulation: reproducible seeds, laws that hold, and broken stores that are found."""

from __future__ import annotations

import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timedelta

import attrs
import pytest

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.values import CLOCK_TOLERANCE, ConnectionId, SessionId, UserId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import ConnectionWrite, PageWrite, RateWrite, Write
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.cells import Cell, cells_of, count_cell_lookups
from curae_lifecycle.testing.simulation import Mishap, Summary, simulate
from curae_lifecycle.testing.simulation.journal import Journal
from curae_lifecycle.testing.simulation.server import FactTransaction, SimulatedServer
from tests.proof.oracles.oracle import NEVER_ENDING
from tests.support.instants import handle_at
from tests.support.memory import compares_all_but
from tests.support.paths import ROOT
from tests.support.server import API_KEY, CALLER, new_ids, request, world
from tests.support.strategies import COORDINATE, START, at, uuid
from tests.support.wrong_stores import ComparesNothing, Forgetful, Lazy
from tests.testing.simulation.recorded import Contended

SMALL = range(64, 67)
"""Seeds of small worlds that together have every mishap."""


class Stored(MemoryStore, ABC):
    """A store that stores changed writes."""

    def _store(self, writes: tuple[Write, ...]) -> bool:
        return super()._store(self.spoil(writes))

    @abstractmethod
    def spoil(self, writes: tuple[Write, ...]) -> tuple[Write, ...]:
        """Return the writes to store instead."""


class LosesRates(Stored):
    def spoil(self, writes: tuple[Write, ...]) -> tuple[Write, ...]:
        return tuple(write for write in writes if not isinstance(write, RateWrite))


class LosesConnections(Stored):
    def spoil(self, writes: tuple[Write, ...]) -> tuple[Write, ...]:
        return tuple(
            write
            for write in writes
            if not isinstance(write, ConnectionWrite) or write.before is not None
        )


class LosesRevocations(Stored):
    def spoil(self, writes: tuple[Write, ...]) -> tuple[Write, ...]:
        return tuple(
            write
            for write in writes
            if not isinstance(write, ConnectionWrite) or write.after.status != "REVOKED"
        )


class TwoSuccessors(MemoryStore):
    """A store without the unique index on predecessors, whose loads miss successors."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        compares_all_but(self, ConnectionWrite)

    def _snapshot(self, needs: Needs) -> Snapshot:
        return attrs.evolve(super()._snapshot(needs), successor=None, head=None)


class LeavesAccessBehind(MemoryStore):
    """A store that loads a connection without the binding of its user."""

    def _snapshot(self, needs: Needs) -> Snapshot:
        loaded = super()._snapshot(needs)
        return loaded if needs.connection is None else attrs.evolve(loaded, binding=None)


class TellsTenantsApart(MemoryStore):
    """A store that loads some connection for every unknown id."""

    def _snapshot(self, needs: Needs) -> Snapshot:
        loaded = super()._snapshot(needs)
        if (
            needs.record is None
            or needs.connection is None
            or loaded.connection is not None
            or not self._connections
        ):
            return loaded
        return attrs.evolve(loaded, connection=next(iter(self._connections.values())))


BROKEN: dict[type[MemoryStore], set[int]] = {
    Forgetful: {12},
    LosesRates: {10},
    LosesConnections: {1},
    LosesRevocations: {1, 2},
    ComparesNothing: {1, 2, 6, 7, 10, 12},
    TwoSuccessors: {1, 6, 7},
    LeavesAccessBehind: {2, 17},
    TellsTenantsApart: {16},
}
"""Wrong stores, and the laws that may fail first."""


@pytest.mark.slow
@pytest.mark.parametrize("store", BROKEN)
def test_broken_store_gives_a_violation_with_a_replayable_log(store: type[MemoryStore]) -> None:
    for seed in range(200):
        summary = simulate(seed, clients=2, hours=6, make_store=store)
        violation = summary.violation
        if violation is not None:
            break
    else:
        pytest.fail(f"{store.__name__} was not found")
    assert violation.law in BROKEN[store], violation.message
    assert f"law {violation.law} is broken" in violation.message
    answers = list(replay([line.encode() for line in violation.log]))
    assert [answer.answer for answer in answers if answer.broken] == []
    assert summary.hours < 6
    again = simulate(seed, clients=2, hours=6, make_store=store)
    assert again == summary, "a seed finds its violation again"


def test_simulation_detects_a_store_that_skips_version_bumps() -> None:
    violation = simulate(16, clients=2, hours=6, make_store=Lazy).violation
    assert violation is not None
    assert violation.law == 17
    assert "it landed as it was made" in violation.message


class Remembers(MemoryStore):
    """A store that checks that no instant goes back."""

    last: Remembers

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        Remembers.last = self
        self.moves = 0

    def _store(self, writes: tuple[Write, ...]) -> bool:
        stored = super()._store(writes)
        for write in writes:
            if stored and isinstance(write, ConnectionWrite) and write.before is not None:
                self.moves += 1
                check_move(write.before, write.after)
        return stored


def check_move(before: Connection, after: Connection) -> None:
    assert after.version == before.version + 1
    assert after.updated_at >= before.updated_at
    for name in ("authorized_at", "expires_at", "action_required_reason", "revoked_at"):
        had, has = getattr(before, name), getattr(after, name)
        assert had is None or has == had, f"{name} of {after.id} moved"
    # A sweep by a slow clock records the instant that the tombstone counts as.
    swept = after.revoked_by == "PLATFORM"
    latest = after.updated_at + (timedelta(microseconds=CLOCK_TOLERANCE) if swept else timedelta(0))
    for instant in (after.authorized_at, after.revoked_at):
        assert instant is None or after.identity.created_at <= instant <= latest


@pytest.mark.heavy
def test_skewed_clocks_move_no_instant_back_or_lose_revocations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts: list[Fact] = []

    def load_fact(self: SimulatedServer, fact: Fact, now: datetime) -> FactTransaction:
        facts.append(fact)
        return loads(self, fact, now)

    loads = SimulatedServer.load_fact
    monkeypatch.setattr(SimulatedServer, "load_fact", load_fact)
    apart = told = moves = 0
    for seed in range(60, 68):
        facts.clear()
        summary = simulate(seed, clients=2, hours=12, make_store=Remembers)
        assert summary.violation is None
        apart += summary.mishaps[str(Mishap.CLOCKS_APART)]
        world, moves = Remembers.last, moves + Remembers.last.moves
        # The last facts may not have been stored yet.
        for fact in facts[:-50]:
            if isinstance(fact, Revoked):
                told += 1
                named = world.connection(fact.connection_id)
                assert named is None or named.status == "REVOKED"
    assert min(apart, told, moves) > 20


@pytest.mark.slow
def test_simulation_without_law_watch_misses_a_broken_store() -> None:
    summary = simulate(1, hours=6, make_store=Forgetful, watched=False)
    assert summary.violation is None
    assert summary.requests > 0


def test_simulation_reports_a_store_that_raises() -> None:
    class Breaks(MemoryStore):
        def _snapshot(self, needs: Needs) -> Snapshot:
            loaded = super()._snapshot(needs)
            return attrs.evolve(loaded, buckets=(*loaded.buckets, None))

    seeds = (simulate(seed, hours=3, make_store=Breaks) for seed in range(20))
    found = [each.violation for each in seeds if each.violation is not None]
    assert {violation.law for violation in found} == {16}
    assert "ArgumentError" in found[0].message


class KeepsReplacedPages(MemoryStore):
    """A store in which a page that was replaced can still act."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.kept: dict[str, HostedPage] = {}

    def _snapshot(self, needs: Needs) -> Snapshot:
        loaded = super()._snapshot(needs)
        if needs.page is None or loaded.page is not None:
            return loaded
        return attrs.evolve(loaded, page=self.kept.get(needs.page))

    def _store(self, writes: tuple[Write, ...]) -> bool:
        return super()._store(tuple([each for each in writes if not isinstance(each, PageWrite)]))

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        if page is not None:
            self.kept[page.digest] = page
        return super().commit(loaded, changes, page)


@pytest.mark.slow
def test_simulation_detects_store_keeping_replaced_hosted_pages() -> None:
    violation = simulate(3, clients=2, hours=6, make_store=KeepsReplacedPages).violation
    assert violation is not None
    assert violation.law is None
    assert "of a hosted page that was replaced was recorded" in violation.message


class Thin:
    """A store with the contract alone, on a clock that cannot be set."""

    def __init__(self, settings: Settings) -> None:
        self._world = MemoryStore(settings, clock=lambda: START)

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        self._world.register(api_key, caller)

    def caller_of(self, key_digest: str) -> Caller | None:
        return self._world.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        return self._world.load(needs, key_digest)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        return self._world.commit(loaded, changes, page)


@pytest.mark.slow
def test_unsettable_store_clock_means_no_purges_or_clock_steps() -> None:
    thin, usual = simulate(6, hours=8, make_store=Thin), simulate(6, hours=8)
    step = str(Mishap.CLOCKS_STEPPED)
    assert (thin.purged, usual.purged > 0) == (0, True)
    assert (thin.mishaps[step], usual.mishaps[step] > 0) == (0, True)
    assert thin.violation is None
    assert thin.asked.total() > 100


class Silent(Thin):
    """A store whose clock can be set and whose purge returns None."""

    @property
    def clock(self) -> Callable[[], datetime]:
        return self._world.clock

    @clock.setter
    def clock(self, clock: Callable[[], datetime]) -> None:
        self._world.clock = clock

    def purge(self) -> None:
        self._world.purge()


@pytest.mark.slow
def test_store_whose_purge_returns_none_can_be_simulated() -> None:
    silent, usual = simulate(3, hours=8, make_store=Silent), simulate(3, hours=8)
    assert attrs.evolve(silent, purged=usual.purged) == usual


@pytest.mark.heavy
def test_simulation_summary_depends_only_on_its_seed() -> None:
    code = (
        "from curae_lifecycle.testing.simulation import simulate\n"
        "shown = simulate(7, clients=2, hours=6)\n"
        "print(shown.headline(), *shown.lines(), sep='\\n')"
    )
    seed = "4711" if os.environ.get("PYTHONHASHSEED") == "0" else "0"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": seed, "PATH": ""},
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    ).stdout
    here = simulate(7, clients=2, hours=6)
    assert shown.splitlines() == [here.headline(), *here.lines()]
    assert simulate(7, clients=2, hours=6) != simulate(8, clients=2, hours=6)


@pytest.mark.slow
def test_simulation_keeps_laws_if_every_third_commit_conflicts() -> None:
    for seed in SMALL:
        summary = simulate(seed, clients=2, hours=6, make_store=Contended)
        assert summary.violation is None
        assert summary.conflicts > 0


@pytest.mark.slow
def test_watching_the_laws_does_not_change_a_simulations_summary() -> None:
    assert simulate(9, hours=6) == simulate(9, hours=6, watched=False)


def test_simulation_log_lines_of_every_kind_are_replayable() -> None:
    journal = Journal()
    user = COORDINATE.app_user
    one, session = ConnectionId(uuid(1)), SessionId(uuid(2))
    journal.add_api_key(START, API_KEY, CALLER)
    facts: list[Fact] = [
        Authorized(one, at(9), at(1)),
        Authorized(one),
        ActionRequired(one, "portal_login"),
        Expired(one),
        Revoked(one, Actor.PATIENT),
        HandoffCompleted(session, UserId("u-1")),
        Graduated(COORDINATE),
        Tombstoned(COORDINATE),
    ]
    answer = handle_at(world(), request("create"), START, new_ids=new_ids(1))
    journal.add(user, at(1), request("create"), answer.response)
    journal.add(user, at(0), request("account-state"))
    for fact in facts:
        journal.add(user, at(2), fact)
    answers = list(replay([line.encode() for line in journal.lines(user)]))
    assert [each.answer["line"] for each in answers if each.broken] == []
    assert [each.answer["outcome"] for each in answers[3:9]] == [
        *("done", "ignored", "done", "done", "done", "refused"),
    ]
    assert [*journal.lines(None)] == [*journal.lines(user)][:1]
    journal.drop(user)
    assert [*journal.lines(user)] == [*journal.lines(None)]


def run(seeds: range, clients: int, hours: int) -> tuple[Summary, set[Cell]]:
    """Run every seed; return the sums of the counts, and the cells that were reached."""
    everything = Summary(seeds.start, clients)
    with count_cell_lookups() as counts:
        for seed in seeds:
            summary = simulate(seed, clients=clients, hours=hours)
            assert summary.violation is None, f"seed {seed}: {summary.violation}"
            everything.add(summary)
    return everything, set(counts)


OPERATIONS = {
    *("create", "get", "reconnect", "revoke", "initiate", "account-state", "graduation"),
}


@pytest.mark.slow
def test_simulation_keeps_the_laws_under_every_mishap() -> None:
    everything, cells = run(SMALL, 2, 12)
    assert everything.asked.keys() == OPERATIONS
    assert everything.mishaps.keys() == {str(mishap) for mishap in Mishap}
    assert min(everything.replays, everything.conflicts, everything.purged) > 0
    assert everything.client_hours == len(SMALL) * 2 * 12
    assert len(cells) > 150
    shown = [*everything.lines()]
    assert shown[:2] == ["requests", f"{everything.asked['account-state']:>12,}  account-state"]
    assert everything.headline().startswith(f"seed {SMALL[0]}: {len(SMALL) * 24} client-hours, ")


ANSWERS = {
    *("200", "201", "304", "401 UNAUTHENTICATED", "404 NOT_FOUND", "429 RATE_LIMITED"),
    *("400 BAD_REQUEST", "400 IDEMPOTENCY_KEY_INVALID", "400 IDEMPOTENCY_KEY_NOT_ALLOWED"),
    *("400 IDEMPOTENCY_KEY_REQUIRED", "403 SCOPE_INSUFFICIENT", "403 WRONG_ENVIRONMENT"),
    *("409 BINDING_NOT_LIMITED", "409 CONNECTION_NOT_RECONNECTABLE", "409 CONNECTION_SUPERSEDED"),
    *("409 IDEMPOTENCY_KEY_FORGOTTEN", "409 IDEMPOTENCY_KEY_IN_FLIGHT"),
    *("409 IDEMPOTENCY_OUTCOME_UNKNOWN", "422 IDEMPOTENCY_KEY_REUSED"),
}
"""Every response to a request, except that of a full store."""

QUESTIONS = {
    *("200", "404", "403 ACTION_REQUIRED", "403 EXPIRED", "403 LAPSED"),
    *("403 PACKAGE_NOT_GRANTED", "403 PENDING", "403 REVOKED"),
}
"""Every answer to a question for access."""

REFUSED_FACTS = {
    *("Authorized 409 CONNECTION_NOT_PENDING", "Authorized 409 CONNECTION_SUPERSEDED"),
    *("Authorized 409 HANDOFF_LAPSED", "Graduated 409 BINDING_CHANGED"),
    *("Graduated 409 BINDING_CONFLICT", "HandoffCompleted 409 BINDING_CHANGED"),
    *("HandoffCompleted 409 BINDING_CONFLICT", "HandoffCompleted 409 HANDOFF_NOT_REQUIRED"),
    "HandoffCompleted 409 SESSION_EXPIRED",
}


NEVER = {
    **{"/".join(("standing", *cell, "at")): "it waits for no deadline" for cell in NEVER_ENDING},
    "binding/provision/UNLINKED/same user": "nobody is bound",
    "binding/complete sign-up/UNLINKED/same user": "nobody is bound",
    "binding/graduate/UNLINKED/same user": "nobody is bound",
    "binding/tombstone/UNLINKED/same user": "nobody is bound",
    "binding/provision/LIMITED/": "an initiate provisions only where nobody living is bound",
    "binding/provision/ACTIVE/": "an initiate provisions only where nobody living is bound",
    "binding/provision/TOMBSTONED/same user": "a user who is provisioned is a new one",
    "binding/tombstone/LIMITED/other": "whoever is bound is gone, nobody else",
    "binding/tombstone/ACTIVE/other": "whoever is bound is gone, nobody else",
    "completion/EXISTING_ACTIVE_HANDOFF/waiting": "path A lands when it starts",
    "completion/EXISTING_ACTIVE_HANDOFF/over": "path A lands when it starts",
    "completion/SILENT_LIMITED/landed": "path C never lands",
    "record-standing/RELEASED/lease running": "a lease ends with its attempt",
    "record-standing/COMPLETED/lease running": "a lease ends with its attempt",
    "record-standing/FORGOTTEN/lease running": "a lease ends with its attempt",
    "operation/": "a class of operation knows its own rule",
    "request/environment and scope": "asks another table",
    "request/the key's record": "asks another table",
    "request/the rule itself": "asks another table",
    "request/room in the store": "the store is never full",
    "problems/INTERNAL": "the store is never full",
    "stored-status/": "the store keeps values, not their texts",
}
"""The cells that no simulation reaches, by the start of their name, with the reason."""


@pytest.mark.heavy
def test_simulation_keeps_the_laws_over_100000_requests() -> None:
    seeds, clients, hours = range(1000, 1009), 3, 36
    everything, cells = run(seeds, clients, hours)
    assert everything.requests > 100_000
    assert everything.client_hours == len(seeds) * clients * hours
    assert everything.asked.keys() == OPERATIONS
    assert everything.answers.keys() == ANSWERS
    assert everything.access.keys() == QUESTIONS
    assert {fact for fact in everything.facts if "409" in fact} == REFUSED_FACTS
    assert everything.mishaps.keys() == {str(mishap) for mishap in Mishap}
    names = {"/".join(cell) for cell in cells_of(TABLES.values())}
    never = {name for name in names if name.startswith(tuple(NEVER))}
    reached = {"/".join(cell) for cell in cells}
    assert reached & never == set()
    assert len(reached) > 230
    page = " ".join((ROOT / "docs/testing-the-library.md").read_text(encoding="utf-8").split())
    assert f"Of the {len(names)} cells of the tables, {len(never)} are out of reach" in page
