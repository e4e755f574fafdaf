"""Servers that get connections wrong: revocation, recovery, standing and time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.chain import revoke_chain
from curae_lifecycle.rules.connection import Actor, Connection, Standing, Status, standing
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.values import ConnectionId, NextAction
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes, ConnectionWrite, Write
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, FactSnapshot
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.operation import ProblemReply
from curae_lifecycle.service.operations.reconnect import ConnectionReconnected, Reconnect
from curae_lifecycle.service.operations.revoke import ConnectionRevoked
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.service.status import status_of
from curae_lifecycle.web.request import Request
from tests.bugs.bug import VisibleBug
from tests.bugs.service import Service, document, part, with_members


class _Misread(Service):
    """Shows the rules another connection than the stored one, so its writes compare nothing."""

    compares = False

    def misread(self, connection: Connection, call: Call) -> Connection:
        del call
        return connection

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        connection = snapshot.connection
        if connection is None:
            return snapshot
        return attrs.evolve(snapshot, connection=self.misread(connection, call))


class _MisreadFact(Service):
    """The same for what the platform learns."""

    compares = False

    def misread_fact(self, connection: Connection, fact: Fact) -> Connection:
        del fact
        return connection

    def load_fact(self, fact: Fact) -> FactSnapshot:
        snapshot = super().load_fact(fact)
        connection = snapshot.connection
        if connection is None:
            return snapshot
        return attrs.evolve(snapshot, connection=self.misread_fact(connection, fact))


def _with_writes(decision: Decision, *writes: Write) -> Decision:
    changes = decision.changes
    more = Changes((*changes.writes, *writes), changes.effects, changes.events)
    return attrs.evolve(decision, changes=more)


def _refused(decision: Decision, code: ProblemCode, *facts: str) -> Decision:
    problem = Problem(code, facts)
    return attrs.evolve(
        decision, reply=ProblemReply(problem), status=status_of(problem), changes=Changes()
    )


# --- Revocation -------------------------------------------------------------------------------


class LateAuthorizationRevives(_MisreadFact):
    def misread_fact(self, connection: Connection, fact: Fact) -> Connection:
        if isinstance(fact, Authorized) and connection.status is Status.REVOKED:
            return attrs.evolve(connection, status=Status.PENDING, handoff_deadline=None)
        return connection


class LateFailureRevives(_MisreadFact):
    def misread_fact(self, connection: Connection, fact: Fact) -> Connection:
        if isinstance(fact, ActionRequired) and connection.status is Status.REVOKED:
            return attrs.evolve(connection, status=Status.ACTIVE)
        return connection


class ExpiryBeatsRevocation(_MisreadFact):
    def misread_fact(self, connection: Connection, fact: Fact) -> Connection:
        if isinstance(fact, Expired) and connection.status is Status.REVOKED:
            return attrs.evolve(connection, status=Status.ACTIVE)
        return connection


class RevokedAtMoves(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        reply = decision.reply
        if isinstance(reply, ConnectionRevoked) and not reply.revoked_now:
            moved = attrs.evolve(reply.connection, revoked_at=now)
            decision = attrs.evolve(decision, reply=attrs.evolve(reply, connection=moved))
            return _with_writes(decision, ConnectionWrite(reply.connection, moved))
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
            return _refused(decision, ProblemCode.CONNECTION_NOT_PENDING, ended, "REVOKED")
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
            return _refused(
                decision, ProblemCode.CONNECTION_NOT_RECONNECTABLE, connection.id, "STILL_PENDING"
            )
        return decision


class AppRevokesTheChain(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        connection = snapshot.connection
        if not isinstance(decision.reply, ConnectionRevoked) or connection is None:
            return decision
        answers = revoke_chain(connection, snapshot.following, now, actor=Actor.PATIENT)
        later = zip(snapshot.following, answers[1:], strict=True)
        return _with_writes(
            decision,
            *(
                ConnectionWrite(before, answer.value)
                for before, answer in later
                if isinstance(answer, Done)
            ),
        )


class PatientRevokesOne(Service):
    compares = False

    def judge_fact(self, fact: Fact, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
        if isinstance(fact, Revoked):
            snapshot = attrs.evolve(snapshot, following=())
        return super().judge_fact(fact, snapshot, now)


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
            return _with_writes(decision, ConnectionWrite(snapshot.connection, bare))
        return decision


class ReconnectRevivesRevokedSuccessor(Service):
    compares = False

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        if not isinstance(call.operation, Reconnect) or not snapshot.following:
            return snapshot
        successor, *later = snapshot.following
        if successor.status is not Status.REVOKED:
            return snapshot
        alive = attrs.evolve(
            successor, status=Status.PENDING, handoff_deadline=None, revoked_at=None
        )
        return attrs.evolve(snapshot, following=(alive, *later))


# --- Recovery ---------------------------------------------------------------------------------


class ReconnectKeepsTheId(Service):
    compares = False

    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        before = snapshot.connection
        if not isinstance(decision.reply, ConnectionReconnected) or before is None:
            return decision
        again = attrs.evolve(
            before,
            status=Status.PENDING,
            updated_at=now,
            handoff_deadline=new_ids.next_action.expires_at,
            revoked_at=None,
        )
        reply = attrs.evolve(decision.reply, connection=again)
        decision = attrs.evolve(decision, reply=reply, changes=Changes())
        return _with_writes(decision, ConnectionWrite(before, again))


class SuccessorPerRetry(Service):
    compares = False

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        return attrs.evolve(snapshot, following=()) if _is_reconnect(call) else snapshot


def _is_reconnect(call: Call) -> bool:
    return isinstance(call.operation, Reconnect)


class SuccessorPerRecovery(Service):
    compares = False

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        if not _is_reconnect(call) or not snapshot.following:
            return snapshot
        if standing(snapshot.following[0], self.now()) is Standing.PENDING:
            return snapshot
        return attrs.evolve(snapshot, following=())


class ReissueKeepsTheUrl(Service):
    def __init__(self) -> None:
        super().__init__()
        self.actions: dict[ConnectionId, NextAction] = {}

    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        reply = decision.reply
        if isinstance(reply, ConnectionReconnected):
            first = self.actions.setdefault(reply.connection.id, reply.next_action)
            return attrs.evolve(decision, reply=attrs.evolve(reply, next_action=first))
        return decision


class ReissueKeepsTheDeadline(Service):
    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        kept: list[Write] = []
        for write in writes:
            if (
                isinstance(write, ConnectionWrite)
                and write.before
                and write.before.status is (Status.PENDING)
            ):
                deadline = write.before.handoff_deadline
                after = attrs.evolve(write.after, handoff_deadline=deadline)
                kept.append(attrs.evolve(write, after=after))
            else:
                kept.append(write)
        return super().store(call, tuple(kept))


class ActiveReconnected(_Misread):
    def misread(self, connection: Connection, call: Call) -> Connection:
        if _is_reconnect(call) and connection.status is Status.ACTIVE:
            return attrs.evolve(connection, status=Status.EXPIRED)
        return connection


class PendingReconnected(_Misread):
    def misread(self, connection: Connection, call: Call) -> Connection:
        if _is_reconnect(call) and connection.status is Status.PENDING:
            return attrs.evolve(connection, status=Status.EXPIRED)
        return connection


class LapsedNotRecovered(_Misread):
    def misread(self, connection: Connection, call: Call) -> Connection:
        if _is_reconnect(call) and connection.status is Status.PENDING:
            return attrs.evolve(connection, handoff_deadline=None)
        return connection


class ExpiredNotRecovered(_Misread):
    def misread(self, connection: Connection, call: Call) -> Connection:
        if _is_reconnect(call) and standing(connection, self.now()) is Standing.EXPIRED:
            return attrs.evolve(connection, status=Status.ACTIVE, expires_at=None)
        return connection


class ActionRequiredNotRecovered(_Misread):
    def misread(self, connection: Connection, call: Call) -> Connection:
        if _is_reconnect(call) and connection.status is Status.ACTION_REQUIRED:
            return attrs.evolve(connection, status=Status.ACTIVE)
        return connection


class SupersededNamesItself(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        reply = decision.reply
        if (
            isinstance(reply, ProblemReply)
            and reply.problem.code is ProblemCode.CONNECTION_SUPERSEDED
            and snapshot.connection is not None
        ):
            own = snapshot.connection.id
            problem = Problem(reply.problem.code, (own, own))
            return attrs.evolve(decision, reply=ProblemReply(problem))
        return decision


class RecoveryNarrowsPackages(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        reply = decision.reply
        if not isinstance(reply, ConnectionReconnected):
            return decision
        narrow = attrs.evolve(
            reply.connection.identity,
            data_packages=reply.connection.identity.data_packages[:1],
        )
        made = attrs.evolve(reply.connection, identity=narrow)
        writes = tuple(
            attrs.evolve(write, after=made)
            if isinstance(write, ConnectionWrite) and write.after.id == made.id
            else write
            for write in decision.changes.writes
        )
        changes = attrs.evolve(decision.changes, writes=writes)
        return attrs.evolve(decision, reply=attrs.evolve(reply, connection=made), changes=changes)


class PreviousIdIsTheRoot(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        reply = decision.reply
        if isinstance(reply, ConnectionReconnected):
            root = reply.connection.identity.root_id
            return attrs.evolve(decision, reply=attrs.evolve(reply, previous_connection_id=root))
        return decision


class ReconnectTouchesPredecessor(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        before = snapshot.connection
        if isinstance(decision.reply, ConnectionReconnected) and before is not None:
            touched = attrs.evolve(
                before, status=Status.REVOKED, revoked_at=before.revoked_at or now
            )
            return _with_writes(decision, ConnectionWrite(before, touched))
        return decision


class SupersededAuthorized(Service):
    compares = False

    def load_fact(self, fact: Fact) -> FactSnapshot:
        snapshot = super().load_fact(fact)
        return attrs.evolve(snapshot, following=()) if isinstance(fact, Authorized) else snapshot


# --- Standing and time ------------------------------------------------------------------------


def _shown(request: Request, response: Response, service: Service) -> Connection | None:
    if request.method != "GET":
        return None
    shown = part(document(response), "connection")
    return service.world.connection(ConnectionId(str(shown.get("id"))))


class StoredStatusShown(Service):
    def sent(self, request: Request, response: Response) -> Response:
        connection = _shown(request, response, self)
        if connection is None:
            return response
        return with_members(response, "connection", status=connection.status)


class NeverLapses(Service):
    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        kept = tuple(
            attrs.evolve(write, after=attrs.evolve(write.after, handoff_deadline=None))
            if isinstance(write, ConnectionWrite)
            else write
            for write in writes
        )
        return super().store(call, kept)


class LapsesAtOnce(Service):
    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        kept = tuple(
            attrs.evolve(
                write,
                after=attrs.evolve(write.after, handoff_deadline=write.after.identity.created_at),
            )
            if isinstance(write, ConnectionWrite)
            else write
            for write in writes
        )
        return super().store(call, kept)


class FiveMinutesLeeway(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        if isinstance(call.operation, GetConnection):
            now -= timedelta(minutes=5)
        return super().decide(call, snapshot, now, new_ids)


class LapseIsStored(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        connection = snapshot.connection
        if (
            isinstance(call.operation, GetConnection)
            and connection is not None
            and standing(connection, now) is Standing.LAPSED
        ):
            lapsed = attrs.evolve(connection, status=Status.EXPIRED)
            return _with_writes(decision, ConnectionWrite(connection, lapsed))
        return decision


class LateCompletionAccepted(_MisreadFact):
    def misread_fact(self, connection: Connection, fact: Fact) -> Connection:
        if isinstance(fact, Authorized) and connection.status is Status.PENDING:
            return attrs.evolve(connection, handoff_deadline=None)
        return connection


class AuthorizedOnArrival(Service):
    def judge_fact(self, fact: Fact, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
        if isinstance(fact, Authorized):
            fact = attrs.evolve(fact, happened_at=None)
        return super().judge_fact(fact, snapshot, now)


class CloseSignalEnds(_MisreadFact):
    def misread_fact(self, connection: Connection, fact: Fact) -> Connection:
        if isinstance(fact, Expired) and connection.status is Status.PENDING:
            return attrs.evolve(connection, status=Status.ACTIVE)
        return connection


class LastReasonStands(_MisreadFact):
    def misread_fact(self, connection: Connection, fact: Fact) -> Connection:
        if isinstance(fact, ActionRequired) and connection.status is Status.ACTION_REQUIRED:
            return attrs.evolve(connection, status=Status.ACTIVE)
        return connection


class ExpiryMovesTheEnd(Service):
    def judge_fact(self, fact: Fact, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
        answer = super().judge_fact(fact, snapshot, now)
        if not isinstance(fact, Expired) or not isinstance(answer, Done):
            return answer
        writes = tuple(
            attrs.evolve(write, after=attrs.evolve(write.after, expires_at=now))
            if isinstance(write, ConnectionWrite)
            else write
            for write in answer.value.writes
        )
        return Done(attrs.evolve(answer.value, writes=writes), answer.rules)


class SecondAuthorizationMovesTheEnd(_MisreadFact):
    def misread_fact(self, connection: Connection, fact: Fact) -> Connection:
        if isinstance(fact, Authorized) and connection.status is Status.ACTIVE:
            return attrs.evolve(connection, status=Status.PENDING, handoff_deadline=None)
        return connection


class LapsedSpelledOut(Service):
    def sent(self, request: Request, response: Response) -> Response:
        connection = _shown(request, response, self)
        if connection is None or standing(connection, self.now()) is not Standing.LAPSED:
            return response
        return with_members(response, "connection", status="LAPSED")


# --- At the same time -------------------------------------------------------------------------


class NoCompareAndSet(Service):
    compares = False


class NoUniquePredecessor(Service):
    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        for write in writes:
            if isinstance(write, ConnectionWrite) and write.is_head:
                self.world._successors.pop(write.after.id, None)
        return super().store(call, writes)


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
        "reconnect-keeps-the-id",
        "A reconnect makes the old connection pending again instead of minting a new one.",
        "law 1; recovery.revoked.none",
        "Plaid, Nango and Stripe keep the id; the-momentum/open-wearables#656",
        (
            "recovery.revoked.none",
            "connection.reconnect.revoked",
        ),
        ReconnectKeepsTheId,
    ),
    VisibleBug(
        "successor-per-retry",
        "Every retry of a reconnect with a new key makes another successor.",
        "law 7; recovery.revoked.pending",
        "we-promise/sure#3657, plaid/plaid-node#222, actualbudget/actual-server#476",
        (
            "recovery.revoked.pending",
            "recovery.action-required.pending",
        ),
        SuccessorPerRetry,
    ),
    VisibleBug(
        "successor-per-recovery",
        "A connection whose successor is active is recovered once more: the chain forks.",
        "law 6; recovery.revoked.other",
        "UsefulSoftwareCo/executor#1324, decocms/studio#4605",
        (
            "recovery.revoked.other",
            "recovery.successor-active",
        ),
        SuccessorPerRecovery,
    ),
    VisibleBug(
        "reissue-keeps-the-url",
        "A repeated reconnect answers the first URL again, which may be over.",
        "recovery.revoked.pending",
        "oauth-io/oauthd#47",
        (
            "recovery.revoked.pending",
            "recovery.action-required.pending",
        ),
        ReissueKeepsTheUrl,
    ),
    VisibleBug(
        "reissue-keeps-the-deadline",
        "A repeated reconnect gives a fresh URL, but the connection lapses with the first one.",
        "recovery.revoked.pending",
        "plaid/react-plaid-link#258",
        ("recovery.reissue-moves-the-deadline",),
        ReissueKeepsTheDeadline,
    ),
    VisibleBug(
        "active-reconnected",
        "An active connection can be reconnected, so the account is billed twice.",
        "connection.reconnect.active",
        "TrueLayer's docs warn of double billing",
        ("connection.reconnect.active",),
        ActiveReconnected,
    ),
    VisibleBug(
        "pending-reconnected",
        "A pending connection can be reconnected while its hosted page is still open.",
        "connection.reconnect.pending",
        "",
        ("connection.reconnect.pending",),
        PendingReconnected,
    ),
    VisibleBug(
        "lapsed-not-recovered",
        "A connection whose hosted page ran out counts as pending for ever: a dead end.",
        "connection.reconnect.lapsed",
        "oauth-io/oauthd#47",
        ("connection.reconnect.lapsed",),
        LapsedNotRecovered,
    ),
    VisibleBug(
        "expired-not-recovered",
        "An expired connection cannot be reconnected.",
        "connection.reconnect.expired",
        "actualbudget/actual#1290, firefly-iii/firefly-iii#11486",
        (
            "connection.reconnect.expired",
            "standing.active-over",
        ),
        ExpiredNotRecovered,
    ),
    VisibleBug(
        "action-required-not-recovered",
        "A connection that waits for the patient cannot be reconnected.",
        "connection.reconnect.action-required",
        "invoiceninja/ui#1770",
        ("connection.reconnect.action-required",),
        ActionRequiredNotRecovered,
    ),
    VisibleBug(
        "superseded-names-itself",
        "The refusal of a superseded connection names that connection and not the next one.",
        "recovery.revoked.other",
        "",
        (
            "recovery.revoked.other",
            "recovery.successor-active",
        ),
        SupersededNamesItself,
    ),
    VisibleBug(
        "recovery-narrows-packages",
        "The recovered connection has fewer data packages than the one it recovers.",
        "law 6; recovery.revoked.none",
        "",
        (
            "recovery.revoked.none",
            "law-06.chain-of-three",
        ),
        RecoveryNarrowsPackages,
    ),
    VisibleBug(
        "previous-id-is-the-root",
        "previousConnectionId names the first connection of the chain.",
        "recovery.revoked.none",
        "invoiceninja/ui#1770",
        ("law-06.chain-of-three",),
        PreviousIdIsTheRoot,
    ),
    VisibleBug(
        "reconnect-touches-predecessor",
        "A reconnect revokes the connection that it recovers.",
        "recovery.expired.none",
        "",
        (
            "recovery.expired.none",
            "connection.reconnect.action-required",
        ),
        ReconnectTouchesPredecessor,
    ),
    VisibleBug(
        "superseded-authorized",
        "A connection that was recovered is authorized late: two of one chain are active.",
        "law 6; authorization.successor-pending",
        "plaid/plaid-link-android#332",
        ("authorization.successor-pending",),
        SupersededAuthorized,
    ),
    VisibleBug(
        "stored-status-shown",
        "The wire shows what is stored, whatever the clock says.",
        "law 4; wire-status.expired, standing.active-over",
        "Yapily shows AUTHORIZED after a revocation at the bank",
        (
            "standing.active-over",
            "connection.require-action.lapsed",
        ),
        StoredStatusShown,
    ),
    VisibleBug(
        "never-lapses",
        "A pending connection has no deadline: it stays pending for ever.",
        "standing.lapsed",
        "NangoHQ/nango#5849, bytechefhq/bytechef#5238",
        (
            "standing.lapsed",
            "connection.require-action.lapsed",
        ),
        NeverLapses,
    ),
    VisibleBug(
        "lapses-at-once",
        "The deadline of the hosted page is computed without its lifetime.",
        "standing.pending",
        "coralproject/talk#2356, SandeepVashishtha/Eventra#8049",
        (
            "standing.pending",
            "request.body.id-in-any-case",
        ),
        LapsesAtOnce,
    ),
    VisibleBug(
        "five-minutes-leeway",
        "What ended less than five minutes ago counts as going on.",
        "standing.active-over",
        "Altinn/altinn-studio#4085, AzureAD/microsoft-authentication-library-for-js#3070",
        (
            "standing.active-over",
            "connection.require-action.lapsed",
        ),
        FiveMinutesLeeway,
    ),
    VisibleBug(
        "lapse-is-stored",
        "Reading a lapsed connection stores the lapse, which beats a completion recorded late.",
        "connection.authorize.pending",
        "UsefulSoftwareCo/executor#735, vellum-ai/vellum-assistant#42296",
        ("connection.authorize.lapsed",),
        LapseIsStored,
    ),
    VisibleBug(
        "late-completion-accepted",
        "An authorization that happened after the hosted page was over is accepted.",
        "connection.authorize.lapsed",
        "plaid/plaid-link-android#332",
        ("connection.authorize.lapsed",),
        LateCompletionAccepted,
    ),
    VisibleBug(
        "authorized-on-arrival",
        "An authorization is judged when it arrives and not when it happened.",
        "connection.authorize.pending",
        "plaid/plaid-link-android#332",
        ("authorization.no-successor",),
        AuthorizedOnArrival,
    ),
    VisibleBug(
        "close-signal-ends",
        "A closed window ends a pending connection, and its late completion is refused.",
        "connection.expire.pending",
        "UsefulSoftwareCo/executor#735, vellum-ai/vellum-assistant#42296",
        ("connection.expire.pending",),
        CloseSignalEnds,
    ),
    VisibleBug(
        "last-reason-stands",
        "A second reason to act overwrites the first.",
        "connection.require-action.action-required",
        "get-engram/engram#389",
        ("connection.require-action.action-required",),
        LastReasonStands,
    ),
    VisibleBug(
        "expiry-moves-the-end",
        "Recording an expiry overwrites expiresAt.",
        "connection.expire.active",
        "",
        ("connection.expire.active",),
        ExpiryMovesTheEnd,
    ),
    VisibleBug(
        "second-authorization-moves-the-end",
        "A repeated authorization restarts an active connection and moves its end.",
        "connection.authorize.active",
        "",
        ("connection.authorize.active",),
        SecondAuthorizationMovesTheEnd,
    ),
    VisibleBug(
        "lapsed-spelled-out",
        "The wire shows a sixth status, LAPSED.",
        "wire-status.lapsed",
        "",
        ("connection.require-action.lapsed",),
        LapsedSpelledOut,
    ),
    VisibleBug(
        "no-compare-and-set",
        "The store writes without looking at what it replaces: the last writer wins.",
        "laws 2, 7 and 12",
        "django-fsm#46, pytransitions#459, django-logic#86",
        (
            "idempotency.at-once.create",
            "law-07.at-once",
        ),
        NoCompareAndSet,
        slowly=True,
    ),
    VisibleBug(
        "no-unique-predecessor",
        "Nothing keeps two successors of one connection apart when they are made at once.",
        "law 7",
        "plaid/support#198, NangoHQ/nango#3491",
        ("law-07.at-once",),
        NoUniquePredecessor,
        slowly=True,
    ),
)
"""What is wrong with connections."""
