"""Wrong stores whose mistakes no client can see."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.binding import present_era
from curae_lifecycle.rules.connection import Actor, Standing, Status, standing
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import (
    AppUserId,
    ConnectionId,
    DataPackage,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, record_fact
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.snapshot import Needs, NewIds
from curae_lifecycle.service.writes import ConnectionWrite, RateWrite, Write
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.laws import (
    check_chain,
    check_nothing_changed,
    check_one_execution,
    check_rate_limit,
)
from curae_lifecycle.web.respond import Answer, respond
from tests.proof.bugs.bug import HiddenBug
from tests.proof.bugs.service import LIFETIME, START
from tests.proof.bugs.values import COORDINATE, pending
from tests.support.instants import commit_writes, record_at
from tests.support.server import CALLER
from tests.support.wrong_stores import only_counts

MINUTE: Final = timedelta(minutes=1)
LATE: Final = START + LIFETIME + MINUTE


def new_ids(number: int, now: datetime) -> NewIds:
    return NewIds(
        connection_id=ConnectionId(f"00000000-0000-4000-8000-{number:012x}"),
        session_id=SessionId(f"00000000-0000-4000-9000-{number:012x}"),
        user_id=UserId(f"limited-{number}"),
        next_action=NextAction(f"https://connect.example/{number}", now + LIFETIME),
    )


def initiate(key: str) -> Call:
    return Call(CALLER, Initiate(AppUserId("user-1")), IdempotencyKey(key))


Make = Callable[[], MemoryStore]


def _memory() -> MemoryStore:
    return MemoryStore(capacity=8, clock=lambda: START)


def serve(memory: MemoryStore, call: Call, number: int, now: datetime) -> Answer:
    snapshot = memory.load(call.needs).snapshot
    answer = respond(decide(call, snapshot=snapshot, now=now, new_ids=new_ids(number, now)))
    assert commit_writes(memory, answer.changes.writes)
    return answer


def probe_all_or_nothing(make: Make) -> None:
    """Check that a decision whose second write is late stores none of its writes."""
    memory = make()
    made, moved = pending(1), pending(2)
    assert commit_writes(memory, (ConnectionWrite(None, moved),))
    late = attrs.evolve(moved, updated_at=START + MINUTE)
    before = memory.connection(made.id)
    stored = commit_writes(memory, (ConnectionWrite(None, made), ConnectionWrite(late, moved)))
    assert not stored
    check_nothing_changed(before, memory.connection(made.id))


def _race(memory: MemoryStore, fact: Fact, call: Call) -> None:
    # Both load before either commits; the fact commits second and is judged again on a conflict.
    read = memory.load(fact.needs()).snapshot
    serve(memory, call=call, number=3, now=LATE)
    answer = record_fact(fact, read, LATE)
    assert isinstance(answer, Done)
    if not commit_writes(memory, answer.value.writes):
        record_at(memory, fact, LATE)


def probe_late_authorization(make: Make) -> None:
    """Check that a late authorization and a racing reconnect are not both stored."""
    memory = make()
    root = pending(1)
    assert commit_writes(memory, (ConnectionWrite(None, root),))
    call = Call(CALLER, Reconnect(root.id), IdempotencyKey("k-1"))
    _race(memory, Authorized(root.id, happened_at=START + MINUTE), call)
    record_at(memory, Authorized(new_ids(3, LATE).connection_id), LATE)
    check_chain(list(memory._connections.values()), LATE, era=None)


def _check_over(memory: MemoryStore, rule: str) -> None:
    for each in memory._connections.values():
        if each.status is not Status.REVOKED:
            raise AssertionError(f"{rule}: {each.id} outlives what ends every access")


def probe_revoked_head(make: Make) -> None:
    """Check that a patient's revocation reaches a successor created meanwhile."""
    memory = make()
    root, head = pending(1), new_ids(2, START).connection_id
    assert commit_writes(memory, (ConnectionWrite(None, root),))
    record_at(memory, Authorized(root.id), START)
    record_at(memory, ActionRequired(root.id, "portal_login"), START)
    serve(memory, call=Call(CALLER, Reconnect(root.id), IdempotencyKey("k-1")), number=2, now=START)
    record_at(memory, Revoked(head, Actor.UPSTREAM), START)
    recovered = Call(CALLER, Reconnect(head), IdempotencyKey("k-2"))
    _race(memory, Revoked(root.id, Actor.PATIENT), recovered)
    _check_over(memory, "revocation-reach.patient")


def probe_tombstone(make: Make) -> None:
    """Check that a tombstone reaches a connection created meanwhile."""
    memory = make()
    serve(memory, call=initiate("k-1"), number=1, now=START)
    made = CreateConnection(COORDINATE.app_user_id, (DataPackage("labs"),))
    _race(memory, Tombstoned(COORDINATE), Call(CALLER, made, IdempotencyKey("k-2")))
    for each in [*memory._connections]:
        loaded = memory.load(Needs(connection=each)).snapshot
        assert loaded.connection is not None
        stands = standing(loaded.connection, LATE, era=present_era(loaded.binding))
        if stands is not Standing.REVOKED:
            raise AssertionError(f"law 17: {each} outlives the tombstone")


def probe_retention(make: Make) -> None:
    """Check that a retry gets its response after many other keys."""
    memory = make()
    first = serve(memory, call=initiate("k-1"), number=1, now=START)
    for number in range(2, 8):
        user = Initiate(AppUserId(f"user-{number}"))
        other = Call(CALLER, user, IdempotencyKey(f"k-{number}"))
        serve(memory, call=other, number=number, now=START)
    again = serve(memory, call=initiate("k-1"), number=9, now=START)
    sessions = sum(each.coordinate == COORDINATE for each in memory._sessions.values())
    check_one_execution([first.response, again.response], sessions)


def probe_purge(make: Make) -> None:
    """Check that a purge drops only limits that no longer count."""
    memory = make()
    user = COORDINATE.app_user_id
    admitted: list[datetime] = []
    for number, second in enumerate([0] * 10 + [30] * 3):
        now = START + timedelta(seconds=second)
        memory.purge(now)
        call = Call(CALLER, Initiate(user), IdempotencyKey(f"k-{number}"))
        answer = respond(
            decide(
                call,
                snapshot=memory.load(call.needs).snapshot,
                now=now,
                new_ids=new_ids(number, now),
            )
        )
        rates = [each for each in answer.changes.writes if isinstance(each, RateWrite)]
        assert commit_writes(memory, tuple(rates))
        admitted += [now] * (answer.response.status == 201)
    check_rate_limit(admitted)
    memory.purge(START + timedelta(hours=1))
    if memory._rates:
        raise AssertionError("section 5: a limit that counts no more is held for ever")


class _StoresOneByOne(MemoryStore):
    def _store(self, writes: tuple[Write, ...]) -> bool:
        stored = [super(_StoresOneByOne, self)._store((write,)) for write in writes]
        return all(stored)


class _CountsLeftOut(MemoryStore):
    def _store(self, writes: tuple[Write, ...]) -> bool:
        return super()._store(tuple(each for each in writes if not only_counts(each)))


class _LoadsNoBinding(MemoryStore):
    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        loaded = super().load(needs, key_digest)
        if needs.connection is None:
            return loaded
        return attrs.evolve(loaded, snapshot=attrs.evolve(loaded.snapshot, binding=None))


class _EvictsTheOldest(MemoryStore):
    def _store(self, writes: tuple[Write, ...]) -> bool:
        while len(self._records) >= 3:
            del self._records[next(iter(self._records))]
        return super()._store(writes)


class _DropsLimitsEarly(MemoryStore):
    def purge(self, now: datetime | None = None, limit: int | None = None) -> int:
        del now, limit
        dropped = len(self._rates)
        self._rates.clear()
        self._accounts._by_owner.clear()
        return dropped


class _NeverDrops(MemoryStore):
    def purge(self, now: datetime | None = None, limit: int | None = None) -> int:
        del now, limit
        return 0


BUGS: Final = (
    HiddenBug(
        name="stored-one-by-one",
        wrong="A decision's writes are stored one by one, so a conflict leaves the first ones behind.",
        breaks="law 11; changes, all or nothing",
        seen="pytransitions#485, stateless#381, appccelerate#70",
        found_by="laws.check_nothing_changed",
        probe=probe_all_or_nothing,
        right=_memory,
        mistaken=lambda: _StoresOneByOne(capacity=8),
    ),
    HiddenBug(
        name="late-authorization-not-counted",
        wrong="A late authorization does not see that the connection was recovered meanwhile.",
        breaks="law 6",
        seen="django-logic#86, pluginaweek/state_machine#241",
        found_by="laws.check_chain",
        probe=probe_late_authorization,
        right=_memory,
        mistaken=lambda: _CountsLeftOut(capacity=8),
    ),
    HiddenBug(
        name="revoked-head-not-counted",
        wrong="A revocation of a chain does not see that its revoked head was recovered meanwhile.",
        breaks="revocation-reach.patient; section 2, a version that moves with every write",
        found_by="bugs.stores.probe_revoked_head",
        probe=probe_revoked_head,
        right=_memory,
        mistaken=lambda: _CountsLeftOut(capacity=8),
    ),
    HiddenBug(
        name="binding-not-loaded",
        wrong="A connection is loaded without its binding, so what arrives after a tombstone is alive.",
        breaks="law 17",
        found_by="bugs.stores.probe_tombstone",
        probe=probe_tombstone,
        right=_memory,
        mistaken=lambda: _LoadsNoBinding(capacity=8),
    ),
    HiddenBug(
        name="oldest-record-evicted",
        wrong="A store that is full drops its oldest record, and the retry executes.",
        breaks="law 12",
        seen="fastidempotent, throttled-py's store of 1,024 keys",
        found_by="laws.check_one_execution",
        probe=probe_retention,
        right=_memory,
        mistaken=lambda: _EvictsTheOldest(capacity=8),
    ),
    HiddenBug(
        name="limit-dropped-early",
        wrong="A sweep drops limits that still count.",
        breaks="law 10",
        seen="tensorzero#6346, Django's cache of 300 entries",
        found_by="laws.check_rate_limit",
        probe=probe_purge,
        right=_memory,
        mistaken=lambda: _DropsLimitsEarly(capacity=8),
    ),
    HiddenBug(
        name="limit-never-dropped",
        wrong="A limit that counts no more is held for ever.",
        breaks="section 5, state expires at a computed instant",
        seen="limits#132, upstash#95, better-auth#7161",
        found_by="bugs.stores.probe_purge",
        probe=probe_purge,
        right=_memory,
        mistaken=lambda: _NeverDrops(capacity=8),
    ),
)
