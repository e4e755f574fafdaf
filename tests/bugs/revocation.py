"""Servers that get revocation wrong: what it ends, whom it reaches, and what beats it."""

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
from curae_lifecycle.service.changes import Changes, ConnectionWrite, Write
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, FactSnapshot
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.operation import ProblemReply
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import ConnectionRevoked
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.service.status import status_of
from tests.bugs.bug import VisibleBug
from tests.bugs.service import MisreadFact, Service, with_writes


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
        decision = super().decide(call, snapshot, now, new_ids)
        reply = decision.reply
        if isinstance(reply, ConnectionRevoked) and not reply.revoked_now:
            moved = attrs.evolve(reply.connection, revoked_at=now)
            decision = attrs.evolve(decision, reply=attrs.evolve(reply, connection=moved))
            return with_writes(decision, ConnectionWrite(reply.connection, moved))
        return decision


class RevokedNowAlways(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        reply = decision.reply
        if isinstance(reply, ConnectionRevoked):
            return attrs.evolve(decision, reply=attrs.evolve(reply, revoked_now=True))
        return decision


class SecondRevokeRefused(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        reply = decision.reply
        if isinstance(reply, ConnectionRevoked) and not reply.revoked_now:
            ended = reply.connection.id
            return refused(decision, ProblemCode.CONNECTION_NOT_PENDING, ended, "REVOKED")
        return decision


class PendingNotRevocable(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        connection = snapshot.connection
        if (
            isinstance(decision.reply, ConnectionRevoked)
            and connection is not None
            and standing(connection, now) is Standing.PENDING
        ):
            return refused(
                decision, ProblemCode.CONNECTION_NOT_RECONNECTABLE, connection.id, "STILL_PENDING"
            )
        return decision


class AppRevokesTheChain(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        connection = snapshot.connection
        if not isinstance(decision.reply, ConnectionRevoked) or connection is None:
            return decision
        following = self.memory._connections.following(connection)
        answers = [revoke(each, now, actor=Actor.APP) for each in following]
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

    def judge_fact(self, fact: Fact, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
        if isinstance(fact, Revoked):
            snapshot = attrs.evolve(snapshot, following=self.reached(snapshot.following))
        return super().judge_fact(fact, snapshot, now)


class PatientRevokesSixteen(PatientRevokesOne):
    def reached(self, following: tuple[Connection, ...]) -> tuple[Connection, ...]:
        return following[:16]


class PatientStopsAtALapse(PatientRevokesOne):
    def reached(self, following: tuple[Connection, ...]) -> tuple[Connection, ...]:
        now = self.now()
        return tuple(takewhile(lambda each: standing(each, now) is not Standing.LAPSED, following))


class FailedRefreshRevokes(Service):
    def judge_fact(self, fact: Fact, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
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
        decision = super().decide(call, snapshot, now, new_ids)
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
        "late-authorization-revives",
        "An authorization that is recorded late makes a revoked connection active again.",
        "law 1; connection.authorize.revoked",
        "langfuse/langfuse#17388, onetimesecret/onetimesecret#3692",
        (
            "connection.authorize.revoked",
            "authorization.late-after-revoke",
        ),
        LateAuthorizationRevives,
    ),
    VisibleBug(
        "late-failure-revives",
        "A failed refresh that is recorded late lowers a revoked connection to action required.",
        "law 1; connection.require-action.revoked",
        "better-auth/better-auth#11073",
        (
            "connection.require-action.revoked",
            "law-01.rank-never-falls",
        ),
        LateFailureRevives,
    ),
    VisibleBug(
        "expiry-beats-revocation",
        "An expiry that is recorded late turns a revoked connection into an expired one.",
        "law 1; connection.expire.revoked",
        "stripe/stripe-cli#418",
        ("connection.expire.revoked",),
        ExpiryBeatsRevocation,
    ),
    VisibleBug(
        "revoked-at-moves",
        "A second revoke writes a later revokedAt over the first.",
        "law 2; connection.revoke.revoked",
        "",
        ("law-02.revoked-once",),
        RevokedAtMoves,
    ),
    VisibleBug(
        "revoked-now-always",
        "Every revoke says that it was the one that revoked.",
        "law 2; connection.revoke.revoked",
        "",
        (
            "connection.revoke.revoked",
            "law-02.revoked-once",
        ),
        RevokedNowAlways,
    ),
    VisibleBug(
        "second-revoke-refused",
        "Revoking what is revoked is answered with a conflict.",
        "connection.revoke.revoked",
        "Visa and MoneyOne answer a second revoke with an error",
        ("connection.revoke.revoked",),
        SecondRevokeRefused,
    ),
    VisibleBug(
        "pending-not-revocable",
        "A pending connection cannot be revoked before the patient is through.",
        "connection.revoke.pending",
        "vm0-ai/vm0#34891",
        (
            "connection.revoke.pending",
            "request.body.empty",
        ),
        PendingNotRevocable,
    ),
    VisibleBug(
        "app-revokes-the-chain",
        "An app that revokes an old id ends the access of its live successor too.",
        "revocation-reach.app",
        "vm0-ai/vm0#34891",
        (
            "revocation-reach.app",
            "revocation-reach.old-id",
        ),
        AppRevokesTheChain,
    ),
    VisibleBug(
        "patient-revokes-one",
        "A patient's revocation of an old id leaves the successor alive.",
        "revocation-reach.patient",
        "",
        (
            "revocation-reach.patient",
            "revocation-reach.patient-after-app",
        ),
        PatientRevokesOne,
    ),
    VisibleBug(
        "failed-refresh-revokes",
        "A failed upstream refresh revokes a healthy connection.",
        "connection.require-action.active",
        "the-momentum/open-wearables#1433 and #1203, get-engram/engram#389",
        ("connection.require-action.active",),
        FailedRefreshRevokes,
    ),
    VisibleBug(
        "get-from-cache",
        "A connection is read from a cache that nothing ever clears.",
        "law 1; connection.revoke.active",
        "vercel/vercel#16578",
        (
            "connection.revoke.active",
            "connection.authorize.pending",
        ),
        GetFromCache,
    ),
    VisibleBug(
        "revoked-disappears",
        "A revoked connection is deleted: reading it is a 404.",
        "connection.revoke.active",
        "Nango, Merge and Finch delete what is revoked",
        (
            "connection.revoke.active",
            "authorization.late-after-revoke",
        ),
        RevokedDisappears,
    ),
    VisibleBug(
        "stale-replica",
        "Reads go to a replica that is one write behind.",
        "law 2; connection.revoke.active",
        "Yapily shows AUTHORIZED after a revocation at the bank",
        (
            "connection.revoke.active",
            "authorization.late-after-action-required",
        ),
        StaleReplica,
    ),
    VisibleBug(
        "reason-lost-on-revoke",
        "A revocation erases why the patient had to act.",
        "connection.revoke.action-required",
        "get-engram/engram#389",
        (
            "connection.revoke.action-required",
            "connection.reason-survives-revoke",
        ),
        ReasonLostOnRevoke,
    ),
    VisibleBug(
        "reconnect-revives-revoked-successor",
        "A reconnect whose successor was revoked makes that successor pending again.",
        "law 1; recovery.revoked.other",
        "PostHog/posthog#84974",
        (
            "recovery.revoked.other",
            "recovery.action-required.other",
        ),
        ReconnectRevivesRevokedSuccessor,
    ),
    VisibleBug(
        "no-compare-and-set",
        "The store writes without looking at what it replaces: the last writer wins.",
        "law 2; law 7; law 12",
        "django-fsm#46, pytransitions#459, django-logic#86",
        (
            "idempotency.at-once.create",
            "law-07.at-once",
        ),
        NoCompareAndSet,
        slowly=True,
    ),
    VisibleBug(
        "patient-revokes-sixteen",
        "A patient's revocation reaches no further than sixteen connections.",
        "revocation-reach.patient",
        "",
        ("revocation-reach.long-chain",),
        PatientRevokesSixteen,
    ),
    VisibleBug(
        "patient-stops-at-a-lapse",
        "A patient's revocation stops at a connection that lapsed, and misses the live one after it.",
        "revocation-reach.patient",
        "",
        ("revocation-reach.over-lapsed-links",),
        PatientStopsAtALapse,
    ),
)
"""What is wrong with revocation."""
