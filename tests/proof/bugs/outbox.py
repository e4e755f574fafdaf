"""Facts and replays that a wrong server reports to the outbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.chain import reconnect
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.triggers import authorize, revoke
from curae_lifecycle.rules.values import (
    UserId,
)
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.effects import AccessEnded, SuccessorsLive
from curae_lifecycle.service.events import Event, EventKind
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, record_fact
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.service.writes import ConnectionWrite, RecordWrite
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.laws import (
    check_nothing_changed,
    check_replay,
)
from curae_lifecycle.web.respond import respond
from tests.proof.bugs.bug import HiddenBug
from tests.proof.bugs.service import START
from tests.proof.bugs.stores import MINUTE, initiate, new_ids, serve
from tests.proof.bugs.values import COORDINATE, pending
from tests.support.memory import overwrite
from tests.support.server import CALLER

RecordFact = Callable[[Fact, Snapshot, datetime], FactAnswer]


def _active() -> Connection:
    answer = authorize(pending(), START, era=None)
    assert isinstance(answer, Done)
    return answer.value


def _revoked() -> Connection:
    return revoke(_active(), START, actor=Actor.APP, era=None).value


def probe_ignored(record: RecordFact) -> None:
    """Check that an ignored or refused fact writes and emits nothing."""
    revoked = _revoked()
    facts: tuple[Fact, ...] = (Revoked(revoked.id, Actor.PATIENT), Authorized(revoked.id))
    for fact in facts:
        answer = record(fact, Snapshot(connection=revoked), START + MINUTE)
        changes = answer.value if isinstance(answer, Done | Ignored) else Changes()
        check_nothing_changed(revoked, revoked, changes)


def probe_endings(record: RecordFact) -> None:
    """Check that every end of access emits its effect and names the live successor."""
    active = _active()
    now = START + MINUTE
    ended = record(Revoked(active.id, Actor.PATIENT), Snapshot(connection=active), now)
    assert isinstance(ended, Done)
    if AccessEnded(active.id, now) not in ended.value.effects:
        raise AssertionError("connection.revoke.active: nothing ends the cached grants")
    revoked = _revoked()
    recovery = reconnect(
        revoked,
        None,
        now,
        id=new_ids(2, now).connection_id,
        next_action=new_ids(2, now).next_action,
        era=None,
    )
    assert isinstance(recovery, Done)
    successor = recovery.value.connection
    old = attrs.evolve(_active(), identity=revoked.identity)
    ended = record(
        Revoked(old.id, Actor.UPSTREAM),
        Snapshot(connection=old, successor=successor, head=successor),
        now,
    )
    assert isinstance(ended, Done)
    if SuccessorsLive(old.id, successor.id) not in ended.value.effects:
        raise AssertionError("revocation-reach.upstream: nobody learns that a successor lives")


def _tells_what_it_ignored(fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
    answer = record_fact(fact, snapshot, now)
    if isinstance(answer, Ignored) and snapshot.connection is not None:
        event = Event(EventKind.CONNECTION_REVOKED, snapshot.connection, now)
        return Ignored(Changes((), (), (event,)), answer.rules)
    return answer


def _writes_what_it_refused(fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
    answer = record_fact(fact, snapshot, now)
    connection = snapshot.connection
    if isinstance(answer, Done) or connection is None:
        return answer
    touched = ConnectionWrite(connection, attrs.evolve(connection, updated_at=now))
    return Ignored(Changes((touched,)), answer.rules)


def _without(kind: type) -> RecordFact:
    def record(fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
        answer = record_fact(fact, snapshot, now)
        if not isinstance(answer, Done):
            return answer
        effects = tuple(each for each in answer.value.effects if not isinstance(each, kind))
        return Done(attrs.evolve(answer.value, effects=effects), answer.rules)

    return record


# --- Writes of a replay -----------------------------------------------------------------------

Decide = Callable[[Call, Snapshot, datetime, NewIds], Decision]


def probe_silent_replay(decides: Decide) -> None:
    """Check that a replay writes and emits nothing."""
    call = initiate("k-1")
    first = respond(decides(call, Snapshot(), START, new_ids(1, START)))
    kept = next(each for each in first.changes.writes if isinstance(each, RecordWrite))
    again = respond(decides(call, Snapshot(record=kept.after), START, new_ids(2, START)))
    check_replay(first.response, again.response, again.changes)


def _replay_with(again: Callable[[Changes], Changes]) -> Decide:
    def decides(call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = decide(call, snapshot=snapshot, now=now, new_ids=new_ids)
        if not decision.replayed:
            return decision
        anew = decide(call, snapshot=attrs.evolve(snapshot, record=None), now=now, new_ids=new_ids)
        return attrs.evolve(decision, changes=decision.changes + again(anew.changes))

    return decides


# --- Landing ----------------------------------------------------------------------------------


def probe_landing(record: RecordFact) -> None:
    """Check that only a tombstone unbinds a user, and that a landed session keeps its user."""
    memory = MemoryStore(clock=lambda: START)
    call = Call(CALLER, Initiate(COORDINATE.app_user_id, prefer_signup=True), IdempotencyKey("k"))
    serve(memory, call=call, number=1, now=START)
    second = attrs.evolve(call, key=IdempotencyKey("l"))
    serve(memory, call=second, number=2, now=START)
    for number, user in ((1, "u-1"), (1, "u-2"), (2, "u-2"), (2, "u-1")):
        fact = HandoffCompleted(new_ids(number, START).session_id, UserId(user))
        answer = record(fact, memory.load(fact.needs()).snapshot, START)
        if isinstance(answer, Done):
            for write in answer.value.writes:
                overwrite(memory, write)
        bound = memory.binding(COORDINATE)
        assert bound is not None
        if bound.user_id != "u-1":
            raise AssertionError("binding.complete-sign-up.active.other: silently rebound")
        for session in memory._sessions.values():
            if session.landed_at is not None and session.user_id != bound.user_id:
                raise AssertionError("completion: a session landed for somebody who is not bound")
    tombstoned = record(Tombstoned(COORDINATE), Snapshot(binding=memory.binding(COORDINATE)), START)
    assert isinstance(tombstoned, Done)


def _rebinds(fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
    binding = snapshot.binding
    active = binding is not None and binding.state is AccountState.ACTIVE
    if isinstance(fact, HandoffCompleted) and active:
        snapshot = attrs.evolve(snapshot, binding=None)
    return record_fact(fact, snapshot, now)


def _lands_alone(fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
    if isinstance(fact, HandoffCompleted) and snapshot.binding is not None:
        same = attrs.evolve(snapshot.binding, user_id=fact.user_id)
        return record_fact(fact, attrs.evolve(snapshot, binding=same), now)
    return record_fact(fact, snapshot, now)


FACT_BUGS: Final = (
    HiddenBug(
        name="event-of-what-was-ignored",
        wrong="A second revocation is ignored and tells the outbox all the same.",
        breaks="law 11",
        seen="protean PR#806",
        found_by="laws.check_nothing_changed",
        probe=probe_ignored,
        right=record_fact,
        mistaken=_tells_what_it_ignored,
    ),
    HiddenBug(
        name="write-of-what-was-refused",
        wrong="A fact that was refused moves updatedAt.",
        breaks="law 11",
        found_by="laws.check_nothing_changed",
        probe=probe_ignored,
        right=record_fact,
        mistaken=_writes_what_it_refused,
    ),
    HiddenBug(
        name="grants-not-dropped",
        wrong="A revocation does not tell the server to drop its cached grants.",
        breaks="connection.revoke.active; section 2, effects",
        seen="vercel/vercel#16578",
        found_by="bugs.outbox.probe_endings",
        probe=probe_endings,
        right=record_fact,
        mistaken=_without(AccessEnded),
    ),
    HiddenBug(
        name="live-successors-not-reported",
        wrong="Revoking an old id does not report that a later connection is alive.",
        breaks="revocation-reach.upstream; section 2, effects",
        seen="vm0-ai/vm0#34891",
        found_by="bugs.outbox.probe_endings",
        probe=probe_endings,
        right=record_fact,
        mistaken=_without(SuccessorsLive),
    ),
    HiddenBug(
        name="silently-rebound",
        wrong="A second sign-up replaces the user that is bound.",
        breaks="binding.complete-sign-up.active.other",
        found_by="bugs.outbox.probe_landing",
        probe=probe_landing,
        right=record_fact,
        mistaken=_rebinds,
    ),
    HiddenBug(
        name="lands-for-a-stranger",
        wrong="A session lands for a user who is not the one that is bound.",
        breaks="binding.complete-sign-up.active.other; section 3, landing",
        found_by="bugs.outbox.probe_landing",
        probe=probe_landing,
        right=record_fact,
        mistaken=_lands_alone,
    ),
)


REPLAY_BUGS: Final = (
    HiddenBug(
        name="event-of-a-replay",
        wrong="A replay sends the outbox again what was sent before.",
        breaks="law 9",
        seen="xstate#1757: actions run again when a state is loaded",
        found_by="laws.check_replay",
        probe=probe_silent_replay,
        right=decide,
        mistaken=_replay_with(lambda anew: Changes(events=anew.events)),
    ),
    HiddenBug(
        name="effect-of-a-replay",
        wrong="A replay provisions another LIMITED user.",
        breaks="law 9",
        seen="xstate#1757",
        found_by="laws.check_replay",
        probe=probe_silent_replay,
        right=decide,
        mistaken=_replay_with(lambda anew: Changes(effects=anew.effects)),
    ),
)
