"""Servers with a wrong revocation: its reach, its effects, and its precedence."""

from __future__ import annotations

from datetime import datetime
from itertools import takewhile
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Actor, Connection, Standing, Status, standing
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.triggers import revoke
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.operation import ProblemReply
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import ConnectionRevoked
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.service.status import status_of
from curae_lifecycle.service.writes import ConnectionWrite, Write
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import MisreadFact, Service, with_writes


def refused(decision: Decision, code: ProblemCode, *facts: str) -> Decision:
    problem = Problem(code, facts)
    return attrs.evolve(
        decision, reply=ProblemReply(problem), status=status_of(problem), changes=Changes()
    )


class LateAuthorizationRevives(MisreadFact):
    def misread_fact(self, connection: Connection, fact: Fact) -> Connection:
        if isinstance(fact, Authorized) and connection.status is Status.REVOKED:
            return attrs.evolve(
                connection, status=Status.PENDING, revoked_at=None, handoff_deadline=None
            )
        return connection


class LateFailureRevives(MisreadFact):
    def misread_fact(self, connection: Connection, fact: Fact) -> Connection:
        if isinstance(fact, ActionRequired) and connection.status is Status.REVOKED:
            return attrs.evolve(connection, status=Status.ACTIVE, revoked_at=None)
        return connection


class ExpiryBeatsRevocation(MisreadFact):
    def misread_fact(self, connection: Connection, fact: Fact) -> Connection:
        if isinstance(fact, Expired) and connection.status is Status.REVOKED:
            return attrs.evolve(connection, status=Status.ACTIVE, revoked_at=None)
        return connection


class RevokedAtMoves(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        reply = decision.reply
        if isinstance(reply, ConnectionRevoked) and not reply.revoked_now:
            moved = attrs.evolve(reply.connection, revoked_at=now)
            decision = attrs.evolve(decision, reply=attrs.evolve(reply, connection=moved))
            return with_writes(decision, ConnectionWrite(reply.connection, moved))
        return decision


class RevokedNowAlways(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        reply = decision.reply
        if isinstance(reply, ConnectionRevoked):
            return attrs.evolve(decision, reply=attrs.evolve(reply, revoked_now=True))
        return decision


class RevokedNowByTheApp(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        reply = decision.reply
        if isinstance(reply, ConnectionRevoked) and reply.connection.revoked_by is not Actor.APP:
            return attrs.evolve(decision, reply=attrs.evolve(reply, revoked_now=True))
        return decision


class SecondRevokeRefused(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        reply = decision.reply
        if isinstance(reply, ConnectionRevoked) and not reply.revoked_now:
            ended = reply.connection.id
            return refused(decision, ProblemCode.CONNECTION_NOT_PENDING, ended, "REVOKED")
        return decision


class PendingNotRevocable(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        connection = snapshot.connection
        if (
            isinstance(decision.reply, ConnectionRevoked)
            and connection is not None
            and standing(connection, now, era=None) is Standing.PENDING
        ):
            return refused(
                decision, ProblemCode.CONNECTION_NOT_RECONNECTABLE, connection.id, "STILL_PENDING"
            )
        return decision


class AppRevokesTheChain(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        connection = snapshot.connection
        if not isinstance(decision.reply, ConnectionRevoked) or connection is None:
            return decision
        following = self.memory._connections.following(connection)
        answers = [revoke(each, now, actor=Actor.APP, era=None) for each in following]
        return with_writes(
            decision,
            *(
                ConnectionWrite(before, answer.value)
                for before, answer in zip(following, answers, strict=True)
                if isinstance(answer, Done)
            ),
        )


class PatientRevokesOne(Service):
    def reached(self, following: tuple[Connection, ...]) -> tuple[Connection, ...]:
        del following
        return ()

    def judge_fact(self, fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
        if isinstance(fact, Revoked):
            snapshot = attrs.evolve(snapshot, following=self.reached(snapshot.following))
        return super().judge_fact(fact, snapshot, now)


class PatientRevokesSixteen(PatientRevokesOne):
    def reached(self, following: tuple[Connection, ...]) -> tuple[Connection, ...]:
        return following[:16]


class PatientStopsAtALapse(PatientRevokesOne):
    def reached(self, following: tuple[Connection, ...]) -> tuple[Connection, ...]:
        now = self.now()
        return tuple(
            takewhile(lambda each: standing(each, now, era=None) is not Standing.LAPSED, following)
        )


class FailedRefreshRevokes(Service):
    def judge_fact(self, fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
        connection = snapshot.connection
        if (
            isinstance(fact, ActionRequired)
            and connection is not None
            and connection.status is Status.ACTIVE
        ):
            fact = Revoked(fact.connection_id, Actor.UPSTREAM, fact.happened_at)
        return super().judge_fact(fact, snapshot, now)


class GetFromCache(Service):
    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[ConnectionId, Snapshot] = {}

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        operation = call.operation
        if isinstance(operation, GetConnection) and snapshot.connection is not None:
            return self.cache.setdefault(operation.connection_id, snapshot)
        return snapshot


class RevokedDisappears(Service):
    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        connection = snapshot.connection
        if (
            isinstance(call.operation, GetConnection)
            and connection is not None
            and connection.status is Status.REVOKED
        ):
            return attrs.evolve(snapshot, connection=None)
        return snapshot


class StaleReplica(Service):
    def __init__(self) -> None:
        super().__init__()
        self.earlier: dict[ConnectionId, Connection] = {}

    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        for write in writes:
            if isinstance(write, ConnectionWrite) and write.before is not None:
                self.earlier[write.after.id] = write.before
        return super().store(call, writes)

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        operation = call.operation
        if isinstance(operation, GetConnection) and snapshot.connection is not None:
            stale = self.earlier.get(operation.connection_id, snapshot.connection)
            return attrs.evolve(snapshot, connection=stale)
        return snapshot


class ReasonLostOnRevoke(Service):
    compares = False

    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        reply = decision.reply
        if isinstance(reply, ConnectionRevoked) and reply.revoked_now:
            bare = attrs.evolve(reply.connection, action_required_reason=None)
            decision = attrs.evolve(decision, reply=attrs.evolve(reply, connection=bare))
            return with_writes(decision, ConnectionWrite(snapshot.connection, bare))
        return decision


class ReconnectRevivesRevokedSuccessor(Service):
    compares = False

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        successor = snapshot.successor
        if not isinstance(call.operation, Reconnect) or successor is None:
            return snapshot
        if successor.status is not Status.REVOKED:
            return snapshot
        alive = attrs.evolve(
            successor, status=Status.PENDING, handoff_deadline=None, revoked_at=None
        )
        return attrs.evolve(snapshot, successor=alive)


class NoCompareAndSet(Service):
    compares = False


BUGS: Final = (
    VisibleBug(
        name="late-authorization-revives",
        wrong="An authorization that is recorded late makes a revoked connection active again.",
        breaks="law 1; connection.authorize.revoked",
        seen="langfuse/langfuse#17388, onetimesecret/onetimesecret#3692",
        found_by=(
            "connection.authorize.revoked",
            "authorization.late-after-revoke",
        ),
        make=LateAuthorizationRevives,
    ),
    VisibleBug(
        name="late-failure-revives",
        wrong="A failed refresh that is recorded late lowers a revoked connection to action required.",
        breaks="law 1; connection.require-action.revoked",
        seen="better-auth/better-auth#11073",
        found_by=(
            "connection.require-action.revoked",
            "law-01.rank-never-falls",
        ),
        make=LateFailureRevives,
    ),
    VisibleBug(
        name="expiry-beats-revocation",
        wrong="An expiry that is recorded late turns a revoked connection into an expired one.",
        breaks="law 1; connection.expire.revoked",
        seen="stripe/stripe-cli#418",
        found_by=("connection.expire.revoked",),
        make=ExpiryBeatsRevocation,
    ),
    VisibleBug(
        name="revoked-at-moves",
        wrong="A second revoke writes a later revokedAt over the first.",
        breaks="law 2; connection.revoke.revoked",
        found_by=("law-02.revoked-once",),
        make=RevokedAtMoves,
    ),
    VisibleBug(
        name="revoked-now-always",
        wrong="Every revoke says that it was the one that revoked.",
        breaks="law 2; connection.revoke.revoked",
        found_by=(
            "connection.revoke.revoked",
            "law-02.revoked-once",
        ),
        make=RevokedNowAlways,
    ),
    VisibleBug(
        name="revoked-now-by-the-app",
        wrong="A revoke says that it revoked what the patient or the platform had revoked.",
        breaks="law 2; connection.revoke.revoked",
        found_by=(
            "revocation-reach.patient",
            "law-17.tombstone",
        ),
        make=RevokedNowByTheApp,
    ),
    VisibleBug(
        name="second-revoke-refused",
        wrong="Revoking what is revoked is answered with a conflict.",
        breaks="connection.revoke.revoked",
        seen="Visa and MoneyOne answer a second revoke with an error",
        found_by=("connection.revoke.revoked",),
        make=SecondRevokeRefused,
    ),
    VisibleBug(
        name="pending-not-revocable",
        wrong="A pending connection cannot be revoked before the patient is through.",
        breaks="connection.revoke.pending",
        seen="vm0-ai/vm0#34891",
        found_by=(
            "connection.revoke.pending",
            "request.body.empty",
        ),
        make=PendingNotRevocable,
    ),
    VisibleBug(
        name="app-revokes-the-chain",
        wrong="An app that revokes an old id ends the access of its live successor too.",
        breaks="revocation-reach.app",
        seen="vm0-ai/vm0#34891",
        found_by=(
            "revocation-reach.app",
            "revocation-reach.old-id",
        ),
        make=AppRevokesTheChain,
    ),
    VisibleBug(
        name="patient-revokes-one",
        wrong="A patient's revocation of an old id leaves the successor alive.",
        breaks="revocation-reach.patient",
        found_by=(
            "revocation-reach.patient",
            "revocation-reach.patient-after-app",
        ),
        make=PatientRevokesOne,
    ),
    VisibleBug(
        name="failed-refresh-revokes",
        wrong="A failed upstream refresh revokes a healthy connection.",
        breaks="connection.require-action.active",
        seen="the-momentum/open-wearables#1433 and #1203, get-engram/engram#389",
        found_by=("connection.require-action.active",),
        make=FailedRefreshRevokes,
    ),
    VisibleBug(
        name="get-from-cache",
        wrong="A connection is read from a cache that nothing ever clears.",
        breaks="law 1; connection.revoke.active",
        seen="vercel/vercel#16578",
        found_by=(
            "connection.revoke.active",
            "connection.authorize.pending",
        ),
        make=GetFromCache,
    ),
    VisibleBug(
        name="revoked-disappears",
        wrong="A revoked connection is deleted: reading it is a 404.",
        breaks="connection.revoke.active",
        seen="Nango, Merge and Finch delete what is revoked",
        found_by=(
            "connection.revoke.active",
            "authorization.late-after-revoke",
        ),
        make=RevokedDisappears,
    ),
    VisibleBug(
        name="stale-replica",
        wrong="Reads go to a replica that is one write behind.",
        breaks="law 2; connection.revoke.active",
        seen="Yapily shows AUTHORIZED after a revocation at the bank",
        found_by=(
            "connection.revoke.active",
            "authorization.late-after-action-required",
        ),
        make=StaleReplica,
    ),
    VisibleBug(
        name="reason-lost-on-revoke",
        wrong="A revocation erases why the patient had to act.",
        breaks="connection.revoke.action-required",
        seen="get-engram/engram#389",
        found_by=(
            "connection.revoke.action-required",
            "connection.reason-survives-revoke",
        ),
        make=ReasonLostOnRevoke,
    ),
    VisibleBug(
        name="reconnect-revives-revoked-successor",
        wrong="A reconnect whose successor was revoked makes that successor pending again.",
        breaks="law 1; recovery.revoked.other",
        seen="PostHog/posthog#84974",
        found_by=(
            "recovery.revoked.other",
            "recovery.action-required.other",
        ),
        make=ReconnectRevivesRevokedSuccessor,
    ),
    VisibleBug(
        name="no-compare-and-set",
        wrong="The store writes without looking at what it replaces: the last writer wins.",
        breaks="law 2; law 7; law 12",
        seen="django-fsm#46, pytransitions#459, django-logic#86",
        found_by=(
            "idempotency.at-once.create",
            "law-07.at-once",
        ),
        make=NoCompareAndSet,
        slowly=True,
    ),
    VisibleBug(
        name="patient-revokes-sixteen",
        wrong="A patient's revocation reaches no further than sixteen connections.",
        breaks="revocation-reach.patient",
        found_by=("revocation-reach.long-chain",),
        make=PatientRevokesSixteen,
    ),
    VisibleBug(
        name="patient-stops-at-a-lapse",
        wrong="A patient's revocation stops at a connection that lapsed, and misses the live one after it.",
        breaks="revocation-reach.patient",
        found_by=("revocation-reach.over-lapsed-links",),
        make=PatientStopsAtALapse,
    ),
)
"""The seeded bugs about revocation."""
