"""A world of one user's connections, with every actor that may end or revive them at once.

The laws of this module: **a version that moves with every write is all that separates two
transactions** (laws 1, 2, 5, 6, 7); **a final end is whole**: no connection outlives the
revocation of its chain, and none that existed at a tombstone gives access again (law 17); and **no
recorded instant goes back and no fact is lost**, whatever each worker's clock says.

Workers recover, report a late authorization, revoke the chain, tombstone the account and create;
meanwhile hand-offs land, apps revoke and a new user comes. Every load and commit is a separate
step, and a loaded value may be arbitrarily old.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules import binding as bindings
from curae_lifecycle.rules import chain as chains
from curae_lifecycle.rules import triggers
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding, present_era
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import CLOCK_TOLERANCE, UserId, format_time
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import bump_version
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, record_fact
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, Write
from curae_lifecycle.testing.laws import (
    RevocationAnswer,
    check_access,
    check_chain,
    check_one_pending_successor,
    check_rank_never_falls,
    check_revocation,
    check_tombstone,
)
from tests.proof.explore.clients import START, Change, Step, Taken
from tests.proof.explore.engine import Line, RuleBrokenError
from tests.proof.explore.pasts import HOUR, PASTS, old_connection
from tests.proof.explore.rows import (
    CORRECT,
    Connections,
    Stores,
    compared_and_set,
    following,
    loaded,
    loaded_for,
)
from tests.proof.explore.scene import (
    CALLER,
    CREATE,
    KEY,
    PACKAGES,
    REGISTER,
    TICK,
    USER,
    new_ids,
    post,
)

COORDINATE: Final = CALLER.coordinate(USER)
APART: Final = timedelta(microseconds=CLOCK_TOLERANCE)
"""The largest difference between two clocks."""


class Task(StrEnum):
    """The task of a worker."""

    RECOVER_FIRST = "recovers the first"
    RECOVER_NEWEST = "recovers the newest"
    REPORT = "reports the old authorization"
    REVOKE = "revokes the chain"
    TOMBSTONE = "tombstones"
    CREATE = "creates"


@attrs.frozen(cache_hash=True)
class Racer:
    """A worker with one task.

    Attributes:
        task: The task.
        ahead: How far its clock is ahead.
        writes: The writes that it is about to commit.
        read: The number of tombstones and revocations when it loaded.
        over: Whether it is done, or learned that there is nothing to do.
    """

    task: Task
    ahead: timedelta = timedelta()
    writes: tuple[Write, ...] = ()
    read: tuple[int, int] = (0, 0)
    over: bool = False


@attrs.frozen
class RaceStore:
    """The connections and the binding of one user.

    Attributes:
        now: The true time.
        connections: The connections in the order of their commits, a chain's first one first.
        binding: The stored binding.
        gone: The connections that existed at the tombstone, or were decided before it.
        revoked: The same for the revocation of the first connection's chain.
        endings: The number of tombstones and revocations.
        ticks: How often the time may still advance.
    """

    now: datetime
    connections: Connections
    binding: LimitedAccountAppBinding | None
    gone: frozenset[str] = frozenset()
    revoked: frozenset[str] = frozenset()
    endings: tuple[int, int] = (0, 0)
    ticks: int = 0


@attrs.frozen
class Races:
    """Some workers, each with one task, and one user's connections.

    Attributes:
        workers: The number of workers; every mixture of tasks is tried.
        roots: The first states of the chain: the pasts of its connections, first to last.
        ticks: How often the time may advance by a tick.
        apart: Whether every clock may be five minutes ahead of the true time.
        store: The behavior of the store.
        tasks: The possible tasks.
    """

    workers: int = 2
    roots: tuple[tuple[str, ...], ...] = (
        ("LAPSED",),
        ("ACTION_REQUIRED",),
        ("EXPIRED",),
        ("REVOKED",),
        ("LAPSED", "PENDING"),
        ("EXPIRED", "REVOKED"),
    )
    ticks: int = 0
    apart: bool = False
    store: Stores = CORRECT
    tasks: tuple[Task, ...] = tuple(Task)

    promise = "everybody gets done what there is to do"

    def starts(self) -> Iterator[tuple[RaceStore, tuple[Racer, ...]]]:
        """Yield every mixture of tasks, clocks and pasts."""
        clocks = (timedelta(), APART) if self.apart else (timedelta(),)
        kinds = [Racer(task, ahead) for task in self.tasks for ahead in clocks]
        bound = LimitedAccountAppBinding(
            coordinate=COORDINATE, user_id=UserId("u-1"), state=AccountState.ACTIVE, generation=1
        )
        for root in self.roots:
            store = RaceStore(START, _old_chain(root), bound, ticks=self.ticks)
            for racers in itertools.combinations_with_replacement(kinds, self.workers):
                yield store, racers

    def done(self, client: Racer) -> bool:
        """Return whether the worker has nothing left to do."""
        return client.over

    def now(self, store: RaceStore) -> datetime:
        """Return the true time."""
        return store.now

    def hidden_steps(self, store: RaceStore, client: Racer) -> Iterator[Step[RaceStore, Racer]]:
        """Return no step: every step of a worker uses the store."""
        del store, client
        yield from ()

    def client_steps(self, store: RaceStore, client: Racer) -> Iterator[Step[RaceStore, Racer]]:
        """Load and decide, or commit; start again after a conflict."""
        if client.writes:
            yield self._stores(store, client)
        elif not client.over:
            writes = self._decided(store, client)
            if writes:
                planned = attrs.evolve(client, writes=writes, read=store.endings)
                yield Step(f"{client.task}: decided", store, planned)
            else:
                over = attrs.evolve(client, over=True)
                yield Step(f"{client.task}: there is nothing to do", store, over)

    def _decided(self, store: RaceStore, client: Racer) -> tuple[Write, ...]:
        now = store.now + client.ahead
        # The reporter of a fact has its own clock.
        told = store.now + APART - client.ahead if self.apart else None
        first, newest = store.connections[0], store.connections[-1]
        match client.task:
            case Task.RECOVER_FIRST:
                return _asked(store, client=client, now=now, operation=Reconnect(first.id))
            case Task.RECOVER_NEWEST:
                return _asked(store, client=client, now=now, operation=Reconnect(newest.id))
            case Task.CREATE:
                return _asked(
                    store, client=client, now=now, operation=CreateConnection(USER, PACKAGES)
                )
            case Task.REPORT:
                # The patient finished in time, and the report is late.
                happened = first.identity.created_at + TICK
                return _recorded(store, now, Authorized(first.id, now + HOUR, happened))
            case Task.REVOKE:
                return _recorded(store, now, Revoked(first.id, Actor.PATIENT, told))
            case Task.TOMBSTONE:
                return _recorded(store, now, Tombstoned(COORDINATE, told))

    def _stores(self, store: RaceStore, client: Racer) -> Step[RaceStore, Racer]:
        idle = attrs.evolve(client, writes=(), read=(0, 0))
        after = _stored(store, client.writes, self.store)
        if after is None:
            return Step(f"{client.task}: somebody was faster", store, idle)
        made = frozenset(_ids(after.connections)) - frozenset(_ids(store.connections))
        tombstones, revocations = store.endings
        gone, revoked = store.gone, store.revoked
        first = after.connections[0]
        chain = frozenset((first.id, *_ids(following(after.connections, first.id))))
        if client.task is Task.TOMBSTONE:
            gone, tombstones = gone | frozenset(_ids(after.connections)), tombstones + 1
        elif client.read[0] < tombstones:
            gone |= made
        if client.task is Task.REVOKE:
            revoked, revocations = revoked | chain, revocations + 1
        elif client.read[1] < revocations:
            revoked |= made & chain
        after = attrs.evolve(after, gone=gone, revoked=revoked, endings=(tombstones, revocations))
        return Step(f"{client.task}: stored", after, attrs.evolve(idle, over=True))

    def server_steps(self, store: RaceStore) -> Iterator[Change[RaceStore]]:
        """Land the newest hand-off, revoke the newest as the app, and bind a new user."""
        newest = store.connections[-1]
        in_time = newest.identity.created_at
        for what, fact in (
            (_LANDS, Authorized(newest.id, store.now + HOUR, in_time)),
            (_REVOKED, Revoked(newest.id, Actor.APP)),
        ):
            snapshot = loaded_for(fact, store.connections, store.binding)
            answer = record_fact(fact, snapshot, store.now)
            if isinstance(answer, Done):
                after = _stored(store, answer.value.writes)
                assert after is not None
                yield Change(what, after)
        gone = store.binding
        if gone is not None and gone.state is AccountState.TOMBSTONED and gone.generation == 1:
            made = bindings.provision(gone, COORDINATE, UserId("u-2"))
            assert isinstance(made, Done)
            yield Change("a new user comes", attrs.evolve(store, binding=made.value))

    def clock_steps(self, store: RaceStore, busy: bool) -> Iterator[Change[RaceStore]]:  # noqa: FBT001 - the parameter says which
        """Advance a tick, as often as allowed."""
        del busy
        if store.ticks:
            later = attrs.evolve(store, now=store.now + TICK, ticks=store.ticks - 1)
            yield Change("a tick passes", later)

    def busy(self, store: RaceStore, client: Racer) -> bool:
        """Return False: time ends no work here."""
        del store, client
        return False

    def check(
        self, before: RaceStore, after: RaceStore, had: Racer | None, has: Racer | None
    ) -> None:
        """Check laws 1, 2, 5, 6, 7 and 17, whole revocations, and instants that never go back."""
        if after.connections != before.connections or after.endings != before.endings:
            _check_connections(before.connections, after)
        if had is not None and has is not None and has.over and not had.over:
            _check_taken(after, has)

    def moved_store(self, store: RaceStore, by: timedelta) -> RaceStore:
        """Return the store unchanged: all worlds start at one instant, and ticks are counted."""
        del by
        return store

    def moved_client(self, client: Racer, by: timedelta) -> Racer:
        """Return the client unchanged."""
        del by
        return client

    def opening(self, store: RaceStore) -> Iterable[Line]:
        """Return one API key, an account, and the chain with its past."""
        return _opening(store.connections)

    def line(self, taken: Taken[RaceStore, Racer]) -> Line | None:
        """Return a line for every commit."""
        ids = _ids(taken.store.connections)
        if taken.client is not None:
            if not taken.what.endswith(": stored"):
                return None
            return _line(taken.client, taken.store, f"k-{taken.who}-{len(ids)}".replace(" ", "-"))
        newest = taken.store.connections[-1]
        fact: Line = {"connectionId": _name(len(ids) - 1)}
        if taken.what == _LANDS:
            made = format_time(newest.identity.created_at)
            ends = format_time(taken.store.now + HOUR)
            how: Line = {"type": "connection.authorize", "expiresAt": ends, "happenedAt": made}
            return {"fact": {**fact, **how}}
        if taken.what == _REVOKED:
            return {"fact": {**fact, "type": "connection.revoke", "actor": "APP"}}
        if taken.what == "a new user comes":
            return post("curae-connect/initiate", "k-new-user", {"appUserId": USER})
        return None


_LANDS: Final = "the newest hand-off lands"
_REVOKED: Final = "the app revokes the newest"


def _ids(connections: Connections) -> tuple[str, ...]:
    return tuple(each.id for each in connections)


def _old_chain(pasts: tuple[str, ...]) -> Connections:
    first = old_connection(pasts[0])
    if len(pasts) == 1:
        return (first,)
    new = new_ids(2, START)
    made = chains.reconnect(
        first, None, START, id=new.connection_id, next_action=new.next_action, era=None
    )
    assert isinstance(made, Done)
    second = made.value.connection
    first = bump_version(first)
    if pasts[1] == "PENDING":
        return first, second
    return first, triggers.revoke(second, START, actor=Actor.APP, era=None).value


def _asked(
    store: RaceStore, client: Racer, now: datetime, operation: Operation
) -> tuple[Write, ...]:
    named = operation.needs(CALLER).connection
    binding = store.binding
    snapshot = Snapshot(binding=binding)
    if named is not None:
        snapshot = loaded(store.connections, named, binding)
    # Unique ids, so that only rows can collide.
    number = 10 * (1 + [*Task].index(client.task)) + len(store.connections)
    decision = decide(
        Call(CALLER, operation, KEY.key), snapshot=snapshot, now=now, new_ids=new_ids(number, now)
    )
    if decision.status >= 400:
        return ()
    return tuple(
        each for each in decision.changes.writes if isinstance(each, ConnectionWrite | BindingWrite)
    )


def _recorded(store: RaceStore, now: datetime, fact: Fact) -> tuple[Write, ...]:
    answer = record_fact(fact, loaded_for(fact, store.connections, store.binding), now)
    return answer.value.writes if isinstance(answer, Done) else ()


def _stored(store: RaceStore, writes: tuple[Write, ...], how: Stores = CORRECT) -> RaceStore | None:
    stored = compared_and_set(store.connections, binding=store.binding, writes=writes, store=how)
    if stored is None:
        return None
    return attrs.evolve(store, connections=stored[0], binding=stored[1])


def _check_connections(before: Connections, after: RaceStore) -> None:
    connections = after.connections
    # Clocks may be ahead of the true time.
    now = max([after.now, *[each.updated_at for each in connections]])
    era = present_era(after.binding)
    check_rank_never_falls([*before, *connections])
    check_one_pending_successor((), stored=connections)
    for root in {each.identity.root_id: None for each in connections}:
        check_chain([each for each in connections if each.identity.root_id == root], now, era=era)
    for old, new in zip(before, connections, strict=False):
        _check_move(old, new)
    for each in connections[len(before) :]:
        older = each.identity.predecessor_id
        for recovered in before:
            if recovered.id == older and each.identity.created_at < recovered.updated_at:
                raise RuleBrokenError("clock", "it was made before what it recovers", each.id)
    for each in connections:
        for package in (*PACKAGES, "other"):
            check_access(each, package, now, era=era)
        if each.id in after.revoked and each.revoked_at is None and each.identity.era == era:
            what = f"a connection of the chain is {each.status}"
            raise RuleBrokenError("chain-revocation", what, f"connection {each.id}")
    check_tombstone([each for each in connections if each.id in after.gone], now, era=era)


def _check_move(old: Connection, new: Connection) -> None:
    if new == old:
        return
    where = f"connection {new.id}"
    if new.version != old.version + 1:
        raise RuleBrokenError("version", f"version {old.version} became {new.version}", where)
    if new.updated_at < old.updated_at:
        raise RuleBrokenError("clock", f"{old.updated_at} became {new.updated_at}", where)
    if old.revoked_at is not None:
        seen = RevocationAnswer(new.id, revoked_now=False, revoked_at=new.revoked_at)
        check_revocation([attrs.evolve(seen, revoked_at=old.revoked_at), seen], revoked=[new.id])


def _check_taken(store: RaceStore, racer: Racer) -> None:
    first = store.connections[0]
    later = following(store.connections, first.id)
    lost, era = False, present_era(store.binding)
    match racer.task:
        case Task.REVOKE:
            # A tombstone revoked the others before.
            alive = [each for each in (first, *later) if each.identity.era == era]
            lost = any(each.revoked_at is None for each in alive)
        case Task.TOMBSTONE:
            assert store.binding is not None
            lost = store.binding.generation == 1 and store.binding.state != "TOMBSTONED"
        case Task.REPORT:
            is_over = first.identity.era != era
            lost = first.status == "PENDING" and not later and not is_over
        case _:
            pass
    if lost:
        raise RuleBrokenError("fact", f"what {racer.task} said left no trace", f"chain {first.id}")


def _opening(connections: Connections) -> Iterator[Line]:
    first, *later = connections
    made = format_time(first.identity.created_at)
    yield {"at": made, **REGISTER}
    yield {"at": made, **post("curae-connect/initiate", "k-0", {"appUserId": USER})}
    yield {"at": made, "as": "c1", **CREATE}
    for past in PASTS.get(first.status, ()):
        soon = format_time(first.identity.created_at + TICK)
        yield {"at": soon, "fact": {"connectionId": _name(0), **past}}
    start = format_time(START)
    for second in later:
        again = post(f"connections/{_name(0)}:reconnect", "k-2")
        yield {"at": start, "as": "c2", **again}
        for past in PASTS.get(second.status, ()):
            yield {"at": start, "fact": {"connectionId": _name(1), **past}}


def _name(place: int) -> str:
    return f"{{c{place + 1}.connection.id}}"


def _line(racer: Racer, store: RaceStore, key: str) -> Line:
    count = len(store.connections)
    match racer.task:
        case Task.RECOVER_FIRST | Task.RECOVER_NEWEST:
            # The writes name the connection; another one may be the newest by now.
            named = next(w for w in racer.writes if isinstance(w, ConnectionWrite))
            place = _ids(store.connections).index(named.after.id)
            if racer.task is Task.RECOVER_FIRST:
                place = 0
            asked = post(f"connections/{_name(place)}:reconnect", key)
            return {"as": f"c{count + 1}", **asked} if len(racer.writes) > 1 else asked
        case Task.CREATE:
            made = post("connections", key, {"appUserId": USER, "dataPackages": [*PACKAGES]})
            return {"as": f"c{count + 1}", **made}
        case Task.REPORT:
            happened = store.connections[0].identity.created_at + TICK
            fact: Line = {
                "type": "connection.authorize",
                "expiresAt": format_time(store.now + HOUR),
                "happenedAt": format_time(happened),
            }
            return {"fact": {"connectionId": _name(0), **fact}}
        case Task.REVOKE:
            patient: Line = {"type": "connection.revoke", "actor": "PATIENT"}
            return {"fact": {"connectionId": _name(0), **patient}}
        case Task.TOMBSTONE:
            return {"fact": {"type": "binding.tombstone", **_COORDINATE_LINE}}


_COORDINATE_LINE: Final[Line] = {
    "customerAccountId": CALLER.customer_account_id,
    "appId": CALLER.app_id,
    "appUserId": USER,
}
