"""Servers with wrong tombstones: too many or too few ended connections."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.rules.triggers import revoke
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.reconnect import ConnectionReconnected
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.service.writes import ConnectionWrite
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.revocation import refused
from tests.proof.bugs.service import Service, collated


class _Reaches(Service):
    """A server whose tombstone ends other connections than those of the coordinate."""

    def reached(self, fact: Tombstoned, held: tuple[Connection, ...]) -> tuple[Connection, ...]:
        del fact
        return held

    def judge_fact(self, fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
        if not isinstance(fact, Tombstoned):
            return super().judge_fact(fact, snapshot, now)
        reached = self.reached(fact, snapshot.connections)
        answer = super().judge_fact(fact, attrs.evolve(snapshot, connections=()), now)
        if not isinstance(answer, Done):
            return answer
        return Done(answer.value + _ended(reached, now), answer.rules)


def _ended(reached: tuple[Connection, ...], now: datetime) -> Changes:
    after = [revoke(each, now, actor=Actor.PLATFORM) for each in reached]
    pairs = zip(reached, after, strict=True)
    return Changes(
        tuple(ConnectionWrite(old, new.value) for old, new in pairs if isinstance(new, Done))
    )


class EndsNothing(_Reaches):
    def reached(self, fact: Tombstoned, held: tuple[Connection, ...]) -> tuple[Connection, ...]:
        del fact, held
        return ()


class EndsTheNewest(_Reaches):
    def reached(self, fact: Tombstoned, held: tuple[Connection, ...]) -> tuple[Connection, ...]:
        del fact
        return held[-1:]


class EndsTheActive(_Reaches):
    def reached(self, fact: Tombstoned, held: tuple[Connection, ...]) -> tuple[Connection, ...]:
        del fact
        return tuple(each for each in held if each.status is Status.ACTIVE)


class EndsTheTwins(_Reaches):
    def reached(self, fact: Tombstoned, held: tuple[Connection, ...]) -> tuple[Connection, ...]:
        del held
        gone = collated(fact.coordinate)
        everybody = self.memory._connections.values()
        return tuple(each for each in everybody if collated(each.identity.coordinate) == gone)


class RevokesAgain(_Reaches):
    def reached(self, fact: Tombstoned, held: tuple[Connection, ...]) -> tuple[Connection, ...]:
        del fact
        return tuple(attrs.evolve(each, status=Status.ACTIVE, revoked_at=None) for each in held)

    compares = False


class IgnoredEnds(Service):
    def judge_fact(self, fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
        answer = super().judge_fact(fact, snapshot, now)
        if isinstance(fact, Tombstoned) and isinstance(answer, Ignored):
            self.store(None, _ended(snapshot.connections, now).writes)
        return answer


class NextUserReads(Service):
    def access(self, connection: Connection, package: str, now: datetime) -> bool:
        bound = self.memory.binding(connection.identity.coordinate)
        if bound is not None and bound.state is AccountState.LIMITED and bound.generation > 1:
            connection = attrs.evolve(connection, status=Status.ACTIVE, revoked_at=None)
        return super().access(connection, package, now)


class NoReconnectAfter(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        before = snapshot.connection
        if before is None or before.revoked_by is not Actor.PLATFORM:
            return decision
        if not isinstance(decision.reply, ConnectionReconnected):
            return decision
        code = ProblemCode.CONNECTION_NOT_RECONNECTABLE
        return refused(decision, code, before.id, "ALREADY_ACTIVE")


BUGS: Final = (
    VisibleBug(
        name="tombstone-leaves-access",
        wrong="A tombstone marks the account and leaves its connections alive.",
        breaks="law 17",
        found_by=("law-17.tombstone", "law-17.next-user"),
        make=EndsNothing,
    ),
    VisibleBug(
        name="tombstone-ends-the-newest",
        wrong="A tombstone ends the user's newest connection alone.",
        breaks="law 17",
        found_by=("law-17.tombstone",),
        make=EndsTheNewest,
    ),
    VisibleBug(
        name="tombstone-ends-the-active",
        wrong="A tombstone ends active connections and leaves pending ones, whose page can still be finished.",
        breaks="law 17",
        found_by=("law-17.tombstone", "law-17.ignored"),
        make=EndsTheActive,
    ),
    VisibleBug(
        name="tombstone-ends-the-twins",
        wrong="A tombstone also ends the connections of users whose ids a collation takes for the same.",
        breaks="section 1, appUserId is compared exactly",
        found_by=("account.twins",),
        make=EndsTheTwins,
    ),
    VisibleBug(
        name="tombstone-revokes-again",
        wrong="A tombstone writes a later revokedAt over the first.",
        breaks="law 2; law 17",
        found_by=("law-17.tombstone",),
        make=RevokesAgain,
    ),
    VisibleBug(
        name="ignored-tombstone-ends",
        wrong="A tombstone that is ignored ends connections all the same.",
        breaks="law 11; law 17",
        found_by=("law-17.ignored",),
        make=IgnoredEnds,
    ),
    VisibleBug(
        name="next-user-reads",
        wrong="Once somebody is bound again, the access of the user before is open to them.",
        breaks="law 17",
        found_by=("law-17.next-user",),
        make=NextUserReads,
    ),
    VisibleBug(
        name="no-reconnect-after-tombstone",
        wrong="What a tombstone revoked can never be reconnected.",
        breaks="connection.reconnect.revoked",
        found_by=("law-17.next-user",),
        make=NoReconnectAfter,
    ),
)
"""The seeded bugs about tombstones."""
