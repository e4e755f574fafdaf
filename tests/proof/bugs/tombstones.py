"""Servers with wrong tombstones: too many or too few ended connections."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding, present_era
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.rules.triggers import revoke
from curae_lifecycle.rules.values import Coordinate
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.reconnect import ConnectionReconnected
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.revocation import refused
from tests.proof.bugs.service import Service, collated
from tests.support.memory import overwrite


class WithoutEras(Service):
    """A server without eras: a tombstone ends the connections that it reaches, all by default."""

    def reached(
        self, coordinate: Coordinate, held: tuple[Connection, ...]
    ) -> tuple[Connection, ...]:
        del coordinate
        return held

    def judge_fact(self, fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
        answer = super().judge_fact(fact, snapshot, now)
        if not isinstance(fact, Tombstoned) or not isinstance(answer, Done):
            return answer
        (write,) = answer.value.writes
        assert isinstance(write, BindingWrite)
        era = present_era(write.before)
        same = BindingWrite(write.before, attrs.evolve(write.after, era=era))
        return Done(attrs.evolve(answer.value, writes=(same,)), answer.rules)

    def swept(self, binding: LimitedAccountAppBinding, held: tuple[Connection, ...]) -> Changes:
        now = self.now()
        reached = self.reached(binding.coordinate, held)
        answers = tuple(revoke(each, now, actor=Actor.PLATFORM, era=None) for each in reached)
        for before, answer in zip(reached, answers, strict=True):
            if isinstance(answer, Done):
                overwrite(self.memory, ConnectionWrite(before, answer.value))
        return NO_CHANGES


class EndsNothing(WithoutEras):
    def reached(
        self, coordinate: Coordinate, held: tuple[Connection, ...]
    ) -> tuple[Connection, ...]:
        del coordinate, held
        return ()


class EndsTheNewest(WithoutEras):
    def reached(
        self, coordinate: Coordinate, held: tuple[Connection, ...]
    ) -> tuple[Connection, ...]:
        del coordinate
        return held[-1:]


class EndsTheActive(WithoutEras):
    def reached(
        self, coordinate: Coordinate, held: tuple[Connection, ...]
    ) -> tuple[Connection, ...]:
        del coordinate
        return tuple(each for each in held if each.status is Status.ACTIVE)


class EndsTheTwins(WithoutEras):
    def reached(
        self, coordinate: Coordinate, held: tuple[Connection, ...]
    ) -> tuple[Connection, ...]:
        del held
        gone = collated(coordinate)
        everybody = self.memory._connections.values()
        return tuple(each for each in everybody if collated(each.identity.coordinate) == gone)


class RevokesAgain(WithoutEras):
    def reached(
        self, coordinate: Coordinate, held: tuple[Connection, ...]
    ) -> tuple[Connection, ...]:
        del coordinate
        return tuple(attrs.evolve(each, status=Status.ACTIVE, revoked_at=None) for each in held)


class NobodyIsIgnored(Service):
    def judge_fact(self, fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
        if isinstance(fact, Tombstoned) and snapshot.binding is None:
            return Ignored(NO_CHANGES, ("binding.tombstone.unlinked",))
        return super().judge_fact(fact, snapshot, now)


class NextUserReads(Service):
    def access(self, connection: Connection, package: str, now: datetime) -> bool:
        bound = self.memory.binding(connection.identity.coordinate)
        if bound is not None and bound.state is AccountState.LIMITED and bound.generation > 1:
            identity = attrs.evolve(connection.identity, era=bound.era)
            connection = attrs.evolve(
                connection, identity=identity, status=Status.ACTIVE, revoked_at=None
            )
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
        found_by=("law-17.tombstone", "law-17.nobody-bound"),
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
        name="tombstone-of-nobody",
        wrong="A tombstone where nobody is bound is ignored, and its connections stay alive.",
        breaks="law 17; binding.tombstone.unlinked",
        found_by=("law-17.nobody-bound", "binding.tombstone.unlinked"),
        make=NobodyIsIgnored,
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
