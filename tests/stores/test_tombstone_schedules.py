"""Random schedules of loads and commits at one coordinate hold law 17 and harm no later access.

The oracle of this module knows no era. It remembers at which commit each value was loaded for, and at
which commits a tombstone was recorded. So it fails when a sentence of the rule is left out.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules import binding as bindings
from curae_lifecycle.rules import connection as connections
from curae_lifecycle.rules import session as sessions
from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding, present_era
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.session import CuraeConnectSession, HandoffState
from curae_lifecycle.rules.values import ConnectionId, Coordinate, DataPackage, UserId
from curae_lifecycle.service import changes as changes_module
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts import tombstoned as tombstoned_module
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations import create_connection
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.service.sweep import sweep_changes
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, RateWrite, SessionWrite
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from tests.support.server import CALLER, USER, new_ids
from tests.support.strategies import COORDINATE, START, TICK

LABS: Final = DataPackage("labs")


class BrokenScheduleError(AssertionError):
    """A schedule broke law 17, or ended access that it must not end."""


@attrs.define
class Pending:
    """Changes that were decided and wait for their commit.

    Attributes:
        loaded: What they were decided from.
        changes: The changes.
        at: The number of commits when they were loaded.
        reported: The `happened_at` of a tombstone; `None` for anything else.
        is_tombstone: Whether they record a tombstone.
    """

    loaded: Loaded
    changes: Changes
    at: int
    reported: datetime | None = None
    is_tombstone: bool = False


class Schedule:
    """One coordinate under a random schedule of loads and commits."""

    def __init__(self, seed: int, store: MemoryStore | None = None) -> None:
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.now = START
        self.store = MemoryStore() if store is None else store
        self.store.clock = lambda: self.now
        self.commits = 0
        self.numbers = 0
        self.pending: list[Pending] = []
        self.made_at: dict[str, int] = {}
        self.tombstoned_at = -1
        self.reported: datetime | None = None

    def run(self, steps: int) -> None:
        starts: tuple[Callable[[], None], ...] = (
            lambda: self._ask(CreateConnection(USER, (LABS,))),
            lambda: self._ask(Initiate(USER, prefer_signup=True)),
            lambda: self._ask(Initiate(USER)),
            self._reconnect,
            self._authorize,
            self._authorize,
            self._complete,
            self._complete,
            lambda: self._fact(Graduated(COORDINATE)),
            self._tombstone,
            self._sweep,
        )
        for _ in range(steps):
            step = self.random.random()
            if step < 0.2:
                self.now += self.random.choice((TICK, TICK, timedelta(seconds=61)))
            elif step < 0.6 and self.pending:
                self._commit(self.pending.pop(self.random.randrange(len(self.pending))))
            else:
                self.random.choice(starts)()
            self._check_access()

    # --- Loads ------------------------------------------------------------------------------

    def _ask(self, operation: Operation) -> None:
        self.numbers += 1
        call = Call(CALLER, operation, IdempotencyKey(f"k-{self.numbers}"))
        loaded = self.store.load(call.needs)
        ids = new_ids(self.numbers, self.now)
        ids = attrs.evolve(
            ids, next_action=attrs.evolve(ids.next_action, expires_at=START + timedelta(days=9))
        )
        decision = decide(call, snapshot=loaded.snapshot, now=self.now, new_ids=ids)
        # Rate limits would only slow the schedule down.
        writes = tuple(each for each in decision.changes.writes if not isinstance(each, RateWrite))
        self.pending.append(Pending(loaded, Changes(writes), self.commits))

    def _fact(self, fact: Fact) -> None:
        loaded = self.store.load(fact.needs())
        answer = record_fact(fact, loaded.snapshot, self.now)
        if isinstance(answer, Done):
            self.pending.append(Pending(loaded, answer.value, self.commits))

    def _tombstone(self) -> None:
        reported = self.random.choice((None, self.now, START, self.reported))
        fact = Tombstoned(COORDINATE, reported)
        loaded = self.store.load(fact.needs())
        answer = record_fact(fact, loaded.snapshot, self.now)
        is_copy = reported is not None and reported == self.reported
        if is_copy is not isinstance(answer, Ignored):
            raise BrokenScheduleError("a copy is ignored, and nothing else")
        if isinstance(answer, Done):
            self.pending.append(
                Pending(
                    loaded=loaded,
                    changes=answer.value,
                    at=self.commits,
                    reported=reported,
                    is_tombstone=True,
                )
            )

    def _reconnect(self) -> None:
        held = self._held()
        if held:
            self._ask(Reconnect(self.random.choice(held)))

    def _authorize(self) -> None:
        held = self._held()
        if not held:
            return
        fact = Authorized(self.random.choice(held))
        loaded = self.store.load(fact.needs())
        connection = loaded.snapshot.connection
        assert connection is not None
        answer = record_fact(fact, loaded.snapshot, self.now)
        if isinstance(answer, Done):
            self.pending.append(Pending(loaded, answer.value, self.commits))
        elif (
            self.made_at[connection.id] >= self.tombstoned_at
            and connection.status is Status.PENDING
            and loaded.snapshot.successor is None
        ):
            raise BrokenScheduleError(f"connection {connection.id} cannot be authorized")

    def _complete(self) -> None:
        held = [*self.store._sessions]
        if held:
            binding = self.store.binding(COORDINATE)
            bound = UserId("u-1") if binding is None else binding.user_id or UserId("u-1")
            user = self.random.choice((UserId("u-1"), bound, bound, UserId("u-2")))
            self._fact(HandoffCompleted(self.random.choice(held), user))

    def _sweep(self) -> None:
        loaded = self.store.load(Needs(connections=ConnectionsPage(COORDINATE)))
        binding = loaded.snapshot.binding
        if binding is not None and binding.tombstoned_at is not None:
            found = loaded.snapshot.connections
            some = tuple(each for each in found if self.random.random() < 0.5)
            changes = sweep_changes(binding, some, self.now)
            self.pending.append(Pending(loaded, changes, self.commits))

    def _held(self) -> list[ConnectionId]:
        return [*self.store._connections]

    # --- Commits ----------------------------------------------------------------------------

    def _commit(self, pending: Pending) -> None:
        for write in pending.changes.writes:
            if isinstance(write, SessionWrite):
                self._check_landing(write, pending)
        if not self.store.commit(pending.loaded, pending.changes):
            return
        self.commits += 1
        for write in pending.changes.writes:
            if isinstance(write, ConnectionWrite | SessionWrite) and write.before is None:
                self.made_at[write.after.id] = pending.at
        if pending.is_tombstone:
            self.tombstoned_at, self.reported = self.commits, pending.reported

    def _check_landing(self, write: SessionWrite, pending: Pending) -> None:
        made_at = pending.at if write.before is None else self.made_at[write.after.id]
        if write.after.handoff is not HandoffState.LANDED or made_at >= self.tombstoned_at:
            return
        # It may still lose against the tombstone.
        if self._would_commit(pending):
            raise BrokenScheduleError(f"session {write.after.id} completes after a tombstone")

    def _would_commit(self, pending: Pending) -> bool:
        for write in pending.changes.writes:
            held: object = write.before
            if isinstance(write, BindingWrite):
                held = self.store.binding(write.after.coordinate)
            elif isinstance(write, SessionWrite):
                held = self.store.session(write.after.id)
            if held != write.before:
                return False
        return True

    def _check_access(self) -> None:
        for each in self._held():
            loaded = self.store.load(Needs(connection=each)).snapshot
            connection = loaded.connection
            assert connection is not None
            era = present_era(loaded.binding)
            granted = isinstance(decide_access(connection, LABS, self.now, era=era), Granted)
            if self.made_at[each] < self.tombstoned_at:
                if granted:
                    raise BrokenScheduleError(f"connection {each} outlives a tombstone")
            elif granted is not (connection.status is Status.ACTIVE):
                raise BrokenScheduleError(f"connection {each} ended without a tombstone")


def run_schedules(seeds: int, store: Callable[[], MemoryStore] = MemoryStore) -> None:
    for seed in range(seeds):
        Schedule(seed, store()).run(60)


@pytest.mark.slow
def test_law_17_tombstone_ends_access_in_100_concurrent_runs() -> None:
    run_schedules(100)


@pytest.mark.heavy
def test_law_17_tombstone_ends_access_in_1200_concurrent_runs() -> None:
    run_schedules(1_200)


# --- Each sentence left out -------------------------------------------------------------------

Wrapped = Callable[[LimitedAccountAppBinding | None, LimitedAccountAppBinding], object]


def _tombstone(change: Wrapped, patch: pytest.MonkeyPatch) -> None:
    # Replace the binding that a tombstone makes; None ignores the tombstone.
    real = bindings.tombstone

    def wrong(
        binding: LimitedAccountAppBinding | None,
        coordinate: Coordinate,
        now: datetime,
        *,
        happened_at: datetime | None = None,
    ) -> object:
        answer = real(binding, coordinate, now, happened_at=happened_at)
        if not isinstance(answer, Done):
            return answer
        made = change(binding, answer.value)
        return Ignored(binding, answer.rules) if made is None else Done(made, answer.rules)

    patch.setattr(tombstoned_module, "tombstone", wrong)


def keeps_the_era(patch: pytest.MonkeyPatch) -> None:
    def change(before: LimitedAccountAppBinding | None, after: LimitedAccountAppBinding) -> object:
        return attrs.evolve(after, era=present_era(before) or after.era)

    _tombstone(change, patch)


def repeats_an_era(patch: pytest.MonkeyPatch) -> None:
    _tombstone(lambda _, after: attrs.evolve(after, era=START), patch)


def ignores_unlinked(patch: pytest.MonkeyPatch) -> None:
    _tombstone(lambda before, after: None if before is None else after, patch)


def ignores_tombstoned(patch: pytest.MonkeyPatch) -> None:
    def change(before: LimitedAccountAppBinding | None, after: LimitedAccountAppBinding) -> object:
        is_gone = before is not None and before.state is AccountState.TOMBSTONED
        return None if is_gone else after

    _tombstone(change, patch)


def takes_copies(patch: pytest.MonkeyPatch) -> None:
    _tombstone(lambda _, after: attrs.evolve(after, tombstone_reported_at=None), patch)


def forgets_the_era_of_the_next_user(patch: pytest.MonkeyPatch) -> None:
    real = bindings.provision

    def wrong(
        binding: LimitedAccountAppBinding | None, coordinate: Coordinate, user_id: UserId
    ) -> object:
        answer = real(binding, coordinate, user_id)
        assert isinstance(answer, Done)
        return attrs.evolve(answer, value=attrs.evolve(answer.value, era=None))

    patch.setattr(sessions, "provision", wrong)


def ignores_the_era_of_a_connection(patch: pytest.MonkeyPatch) -> None:
    real = connections._cell

    def wrong(connection: Connection, _: datetime | None) -> object:
        return real(connection, connection.identity.era)

    patch.setattr(connections, "_cell", wrong)


def ignores_the_era_of_a_session(patch: pytest.MonkeyPatch) -> None:
    real = sessions._session_standing

    def wrong(
        session: CuraeConnectSession,
        *,
        binding: LimitedAccountAppBinding | None,
        user_id: UserId,
        happened: datetime,
    ) -> object:
        same = attrs.evolve(session, era=present_era(binding))
        return real(same, binding=binding, user_id=user_id, happened=happened)

    patch.setattr(sessions, "_session_standing", wrong)


def lands_without_the_binding(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(changes_module, "_bump_binding_if_landed", lambda *_: ())


def creates_under_no_era(patch: pytest.MonkeyPatch) -> None:
    real = changes_module.connection_write_changes

    def wrong(kind: EventKind, before: Connection | None, after: Connection) -> object:
        identity = attrs.evolve(after.identity, era=None)
        return real(kind, before, attrs.evolve(after, identity=identity))

    patch.setattr(create_connection, "connection_write_changes", wrong)


class LoadsNoBinding(MemoryStore):
    """A store that loads a connection without the binding of its coordinate."""

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        loaded = super().load(needs, key_digest)
        if needs.connection is None:
            return loaded
        return attrs.evolve(loaded, snapshot=attrs.evolve(loaded.snapshot, binding=None))


@pytest.mark.slow
@pytest.mark.parametrize(
    "leave_out",
    [
        keeps_the_era,
        repeats_an_era,
        ignores_unlinked,
        ignores_tombstoned,
        takes_copies,
        forgets_the_era_of_the_next_user,
        ignores_the_era_of_a_connection,
        ignores_the_era_of_a_session,
        lands_without_the_binding,
        creates_under_no_era,
    ],
    ids=lambda each: each.__name__,
)
def test_random_runs_detect_each_deliberate_tombstone_bug(
    leave_out: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out(monkeypatch)
    with pytest.raises(BrokenScheduleError):
        run_schedules(600)


def test_random_runs_detect_a_store_that_loads_no_binding() -> None:
    with pytest.raises(BrokenScheduleError):
        run_schedules(300, LoadsNoBinding)
