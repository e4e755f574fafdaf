"""Stores and outboxes that are wrong where no client can see it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.chain import reconnect
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.triggers import authorize, revoke
from curae_lifecycle.rules.values import (
    AppUserId,
    ConnectionId,
    DataPackage,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import (
    AccessEnded,
    Changes,
    ConnectionWrite,
    Event,
    EventKind,
    RateWrite,
    RecordWrite,
    SuccessorsLive,
    Write,
)
from curae_lifecycle.service.decide import decide, needs
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, FactSnapshot, record_fact
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.laws import (
    check_chain,
    check_nothing_changed,
    check_one_execution,
    check_rate_limit,
    check_replay,
)
from curae_lifecycle.web.respond import Answer, respond
from tests.bugs.bug import HiddenBug
from tests.bugs.service import LIFETIME, START, only_counts
from tests.bugs.values import COORDINATE, pending
from tests.server import CALLER

MINUTE: Final = timedelta(minutes=1)
LATE: Final = START + LIFETIME + MINUTE


def _new_ids(number: int, now: datetime) -> NewIds:
    return NewIds(
        ConnectionId(f"00000000-0000-4000-8000-{number:012x}"),
        SessionId(f"00000000-0000-4000-9000-{number:012x}"),
        UserId(f"limited-{number}"),
        NextAction(f"https://connect.example/{number}", now + LIFETIME),
    )


# --- What the server and the outbox hear --------------------------------------------------------

RecordFact = Callable[[Fact, FactSnapshot, datetime], FactAnswer]


def _active() -> Connection:
    answer = authorize(pending(), START)
    assert isinstance(answer, Done)
    return answer.value


def _revoked() -> Connection:
    return revoke(_active(), START, actor=Actor.APP).value


def probe_ignored(record: RecordFact) -> None:
    """What is ignored or refused leaves no trace and reaches nobody."""
    revoked = _revoked()
    facts: tuple[Fact, ...] = (Revoked(revoked.id, Actor.PATIENT), Authorized(revoked.id))
    for fact in facts:
        answer = record(fact, FactSnapshot(revoked), START + MINUTE)
        changes = answer.value if isinstance(answer, Done | Ignored) else Changes()
        check_nothing_changed(revoked, revoked, changes)


def probe_endings(record: RecordFact) -> None:
    """Whatever ends an access tells the server to end it, and who lives on."""
    active = _active()
    now = START + MINUTE
    ended = record(Revoked(active.id, Actor.PATIENT), FactSnapshot(active), now)
    assert isinstance(ended, Done)
    if AccessEnded(active.id, now) not in ended.value.effects:
        raise AssertionError("connection.revoke.active: nothing ends the cached grants")
    revoked = _revoked()
    recovery = reconnect(
        revoked,
        None,
        now,
        id=_new_ids(2, now).connection_id,
        next_action=_new_ids(2, now).next_action,
    )
    assert isinstance(recovery, Done)
    successor = recovery.value.connection
    old = attrs.evolve(_active(), identity=revoked.identity)
    ended = record(Revoked(old.id, Actor.UPSTREAM), FactSnapshot(old, successor, successor), now)
    assert isinstance(ended, Done)
    if SuccessorsLive(old.id, successor.id) not in ended.value.effects:
        raise AssertionError("revocation-reach.upstream: nobody learns that a successor lives")


def _tells_what_it_ignored(fact: Fact, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
    answer = record_fact(fact, snapshot, now)
    if isinstance(answer, Ignored) and snapshot.connection is not None:
        event = Event(EventKind.CONNECTION_REVOKED, snapshot.connection, now)
        return Ignored(Changes((), (), (event,)), answer.rules)
    return answer


def _writes_what_it_refused(fact: Fact, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
    answer = record_fact(fact, snapshot, now)
    connection = snapshot.connection
    if isinstance(answer, Done) or connection is None:
        return answer
    touched = ConnectionWrite(connection, attrs.evolve(connection, updated_at=now))
    return Ignored(Changes((touched,)), answer.rules)


def _without(kind: type) -> RecordFact:
    def record(fact: Fact, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
        answer = record_fact(fact, snapshot, now)
        if not isinstance(answer, Done):
            return answer
        effects = tuple(each for each in answer.value.effects if not isinstance(each, kind))
        return Done(attrs.evolve(answer.value, effects=effects), answer.rules)

    return record


# --- What a replay writes ---------------------------------------------------------------------

Decide = Callable[[Call, Snapshot, datetime, NewIds], Decision]


def _initiate(key: str) -> Call:
    return Call(CALLER, Initiate(AppUserId("user-1")), IdempotencyKey(key))


def probe_silent_replay(decides: Decide) -> None:
    """A replay writes nothing, does nothing and reaches nobody."""
    call = _initiate("k-1")
    first = respond(decides(call, Snapshot(), START, _new_ids(1, START)))
    kept = next(each for each in first.changes.writes if isinstance(each, RecordWrite))
    again = respond(decides(call, Snapshot(record=kept.after), START, _new_ids(2, START)))
    check_replay(first.response, again.response, again.changes)


def _replay_with(again: Callable[[Changes], Changes]) -> Decide:
    def decides(call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = decide(call, snapshot, now, new_ids)
        if not decision.replayed:
            return decision
        anew = decide(call, attrs.evolve(snapshot, record=None), now, new_ids)
        return attrs.evolve(decision, changes=decision.changes + again(anew.changes))

    return decides


# --- Stores -----------------------------------------------------------------------------------

Make = Callable[[], MemoryStore]


def _memory() -> MemoryStore:
    return MemoryStore(capacity=8)


def _answer(memory: MemoryStore, call: Call, number: int, now: datetime) -> Answer:
    snapshot = memory.load(needs(call))
    answer = respond(decide(call, snapshot, now, _new_ids(number, now)))
    assert memory.store(answer.changes.writes)
    return answer


def probe_all_or_nothing(make: Make) -> None:
    """A decision whose second write comes too late leaves none of its writes behind."""
    memory = make()
    made, moved = pending(1), pending(2)
    assert memory.store((ConnectionWrite(None, moved),))
    late = attrs.evolve(moved, updated_at=START + MINUTE)
    before = memory.connection(made.id)
    stored = memory.store((ConnectionWrite(None, made), ConnectionWrite(late, moved)))
    assert not stored
    check_nothing_changed(before, memory.connection(made.id))


def _race(memory: MemoryStore, fact: Fact, call: Call) -> None:
    # Both read before either stores; the fact stores second and is judged again where it must be.
    read = memory.load_fact(fact)
    _answer(memory, call, 3, LATE)
    answer = record_fact(fact, read, LATE)
    assert isinstance(answer, Done)
    if not memory.store(answer.value.writes):
        memory.record(fact, LATE)


def probe_late_authorization(make: Make) -> None:
    """A late authorization and a reconnect that read the same connection are not both stored."""
    memory = make()
    root = pending(1)
    assert memory.store((ConnectionWrite(None, root),))
    call = Call(CALLER, Reconnect(root.id), IdempotencyKey("k-1"))
    _race(memory, Authorized(root.id, happened_at=START + MINUTE), call)
    memory.record(Authorized(_new_ids(3, LATE).connection_id), LATE)
    check_chain(list(memory._connections.values()), LATE)


def _check_over(memory: MemoryStore, rule: str) -> None:
    for each in memory._connections.values():
        if each.status is not Status.REVOKED:
            raise AssertionError(f"{rule}: {each.id} outlives what ends every access")


def probe_revoked_head(make: Make) -> None:
    """A patient's revocation also reaches a recovery that was made while it was decided."""
    memory = make()
    root, head = pending(1), _new_ids(2, START).connection_id
    assert memory.store((ConnectionWrite(None, root),))
    memory.record(Authorized(root.id), START)
    memory.record(ActionRequired(root.id, "portal_login"), START)
    _answer(memory, Call(CALLER, Reconnect(root.id), IdempotencyKey("k-1")), 2, START)
    memory.record(Revoked(head, Actor.UPSTREAM), START)
    recovered = Call(CALLER, Reconnect(head), IdempotencyKey("k-2"))
    _race(memory, Revoked(root.id, Actor.PATIENT), recovered)
    _check_over(memory, "revocation-reach.patient")


def probe_tombstone(make: Make) -> None:
    """A tombstone also reaches a connection that was made while it was decided."""
    memory = make()
    _answer(memory, _initiate("k-1"), 1, START)
    made = CreateConnection(COORDINATE.app_user_id, (DataPackage("labs"),))
    _race(memory, Tombstoned(COORDINATE), Call(CALLER, made, IdempotencyKey("k-2")))
    _check_over(memory, "law 17")


def probe_retention(make: Make) -> None:
    """A retry gets its answer, however many other keys came in between."""
    memory = make()
    first = _answer(memory, _initiate("k-1"), 1, START)
    for number in range(2, 8):
        user = Initiate(AppUserId(f"user-{number}"))
        other = Call(CALLER, user, IdempotencyKey(f"k-{number}"))
        _answer(memory, other, number, START)
    again = _answer(memory, _initiate("k-1"), 9, START)
    sessions = sum(each.coordinate == COORDINATE for each in memory._sessions.values())
    check_one_execution([first.response, again.response], sessions)


def probe_purge(make: Make) -> None:
    """A limit that still counts is not dropped, and one that counts no more is."""
    memory = make()
    user = COORDINATE.app_user_id
    admitted: list[datetime] = []
    for number, second in enumerate([0] * 10 + [30] * 3):
        now = START + timedelta(seconds=second)
        memory.purge(now)
        call = Call(CALLER, Initiate(user), IdempotencyKey(f"k-{number}"))
        answer = respond(decide(call, memory.load(needs(call)), now, _new_ids(number, now)))
        rates = [each for each in answer.changes.writes if isinstance(each, RateWrite)]
        assert memory.store(tuple(rates))
        admitted += [now] * (answer.response.status == 201)
    check_rate_limit(admitted)
    memory.purge(START + timedelta(hours=1))
    if memory._rates:
        raise AssertionError("section 5: a limit that counts no more is held for ever")


class _StoresOneByOne(MemoryStore):
    def store(self, writes: tuple[Write, ...]) -> bool:
        stored = [super(_StoresOneByOne, self).store((write,)) for write in writes]
        return all(stored)


class _CountsLeftOut(MemoryStore):
    def store(self, writes: tuple[Write, ...]) -> bool:
        return super().store(tuple(each for each in writes if not only_counts(each)))


class _EvictsTheOldest(MemoryStore):
    def store(self, writes: tuple[Write, ...]) -> bool:
        while len(self._records) >= 3:
            del self._records[next(iter(self._records))]
        return super().store(writes)


class _DropsLimitsEarly(MemoryStore):
    def purge(self, now: datetime, most: int | None = None) -> int:
        del now, most
        dropped = len(self._rates)
        self._rates.clear()
        self._accounts._by_owner.clear()
        return dropped


class _NeverDrops(MemoryStore):
    def purge(self, now: datetime, most: int | None = None) -> int:
        del now, most
        return 0


# --- Landing ----------------------------------------------------------------------------------


def probe_landing(record: RecordFact) -> None:
    """Only a tombstone ends what binds a user, and a landed session keeps its own."""
    memory = MemoryStore()
    call = Call(CALLER, Initiate(COORDINATE.app_user_id, prefer_signup=True), IdempotencyKey("k"))
    _answer(memory, call, 1, START)
    second = attrs.evolve(call, key=IdempotencyKey("l"))
    _answer(memory, second, 2, START)
    for number, user in ((1, "u-1"), (1, "u-2"), (2, "u-2"), (2, "u-1")):
        fact = HandoffCompleted(_new_ids(number, START).session_id, UserId(user))
        answer = record(fact, memory.load_fact(fact), START)
        if isinstance(answer, Done):
            for write in answer.value.writes:
                memory._set(write)
        bound = memory.binding(COORDINATE)
        assert bound is not None
        if bound.user_id != "u-1":
            raise AssertionError("binding.complete-sign-up.active.other: silently rebound")
        for session in memory._sessions.values():
            if session.landed_at is not None and session.user_id != bound.user_id:
                raise AssertionError("completion: a session landed for somebody who is not bound")
    tombstoned = record(
        Tombstoned(COORDINATE), FactSnapshot(binding=memory.binding(COORDINATE)), START
    )
    assert isinstance(tombstoned, Done)


def _rebinds(fact: Fact, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
    binding = snapshot.binding
    active = binding is not None and binding.state is AccountState.ACTIVE
    if isinstance(fact, HandoffCompleted) and active:
        snapshot = attrs.evolve(snapshot, binding=None)
    return record_fact(fact, snapshot, now)


def _lands_alone(fact: Fact, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
    if isinstance(fact, HandoffCompleted) and snapshot.binding is not None:
        same = attrs.evolve(snapshot.binding, user_id=fact.user_id)
        return record_fact(fact, attrs.evolve(snapshot, binding=same), now)
    return record_fact(fact, snapshot, now)


FACT_BUGS: Final = (
    HiddenBug(
        "event-of-what-was-ignored",
        "A second revocation is ignored and tells the outbox all the same.",
        "law 11",
        "protean PR#806",
        "laws.check_nothing_changed",
        probe_ignored,
        record_fact,
        _tells_what_it_ignored,
    ),
    HiddenBug(
        "write-of-what-was-refused",
        "A fact that was refused moves updatedAt.",
        "law 11",
        "",
        "laws.check_nothing_changed",
        probe_ignored,
        record_fact,
        _writes_what_it_refused,
    ),
    HiddenBug(
        "grants-not-dropped",
        "A revocation does not tell the server to drop its cached grants.",
        "connection.revoke.active; section 2, effects",
        "vercel/vercel#16578",
        "bugs.stores.probe_endings",
        probe_endings,
        record_fact,
        _without(AccessEnded),
    ),
    HiddenBug(
        "live-successors-not-reported",
        "Revoking an old id does not report that a later connection is alive.",
        "revocation-reach.upstream; section 2, effects",
        "vm0-ai/vm0#34891",
        "bugs.stores.probe_endings",
        probe_endings,
        record_fact,
        _without(SuccessorsLive),
    ),
    HiddenBug(
        "silently-rebound",
        "A second sign-up replaces the user that is bound.",
        "binding.complete-sign-up.active.other",
        "",
        "bugs.stores.probe_landing",
        probe_landing,
        record_fact,
        _rebinds,
    ),
    HiddenBug(
        "lands-for-a-stranger",
        "A session lands for a user who is not the one that is bound.",
        "binding.complete-sign-up.active.other; section 3, landing",
        "",
        "bugs.stores.probe_landing",
        probe_landing,
        record_fact,
        _lands_alone,
    ),
)

REPLAY_BUGS: Final = (
    HiddenBug(
        "event-of-a-replay",
        "A replay sends the outbox again what was sent before.",
        "law 9",
        "xstate#1757: actions run again when a state is loaded",
        "laws.check_replay",
        probe_silent_replay,
        decide,
        _replay_with(lambda anew: Changes(events=anew.events)),
    ),
    HiddenBug(
        "effect-of-a-replay",
        "A replay provisions another LIMITED user.",
        "law 9",
        "xstate#1757",
        "laws.check_replay",
        probe_silent_replay,
        decide,
        _replay_with(lambda anew: Changes(effects=anew.effects)),
    ),
)

STORE_BUGS: Final = (
    HiddenBug(
        "stored-one-by-one",
        "A decision's writes are stored one by one, so a conflict leaves the first ones behind.",
        "law 11; changes, all or nothing",
        "pytransitions#485, stateless#381, appccelerate#70",
        "laws.check_nothing_changed",
        probe_all_or_nothing,
        _memory,
        lambda: _StoresOneByOne(capacity=8),
    ),
    HiddenBug(
        "late-authorization-not-counted",
        "A late authorization does not see that the connection was recovered meanwhile.",
        "law 6",
        "django-logic#86, pluginaweek/state_machine#241",
        "laws.check_chain",
        probe_late_authorization,
        _memory,
        lambda: _CountsLeftOut(capacity=8),
    ),
    HiddenBug(
        "revoked-head-not-counted",
        "A revocation of a chain does not see that its revoked head was recovered meanwhile.",
        "revocation-reach.patient; section 2, a version that moves with every write",
        "",
        "bugs.stores.probe_revoked_head",
        probe_revoked_head,
        _memory,
        lambda: _CountsLeftOut(capacity=8),
    ),
    HiddenBug(
        "creation-not-counted",
        "A tombstone does not see that a connection was made meanwhile, as nothing counted the binding.",
        "law 17",
        "",
        "bugs.stores.probe_tombstone",
        probe_tombstone,
        _memory,
        lambda: _CountsLeftOut(capacity=8),
    ),
    HiddenBug(
        "oldest-record-evicted",
        "A store that is full drops its oldest record, and the retry executes.",
        "law 12",
        "fastidempotent, throttled-py's store of 1,024 keys",
        "laws.check_one_execution",
        probe_retention,
        _memory,
        lambda: _EvictsTheOldest(capacity=8),
    ),
    HiddenBug(
        "limit-dropped-early",
        "A sweep drops limits that still count.",
        "law 10",
        "tensorzero#6346, Django's cache of 300 entries",
        "laws.check_rate_limit",
        probe_purge,
        _memory,
        lambda: _DropsLimitsEarly(capacity=8),
    ),
    HiddenBug(
        "limit-never-dropped",
        "A limit that counts no more is held for ever.",
        "section 5, state expires at a computed instant",
        "limits#132, upstash#95, better-auth#7161",
        "bugs.stores.probe_purge",
        probe_purge,
        _memory,
        lambda: _NeverDrops(capacity=8),
    ),
)
