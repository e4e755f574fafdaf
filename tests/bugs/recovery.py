"""Servers that get recovery wrong: what a reconnect makes, and of which connections."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Connection, Standing, Status, standing
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.values import ConnectionId, NextAction
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes, ConnectionWrite, Write
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, FactSnapshot
from curae_lifecycle.service.operations.operation import ProblemReply
from curae_lifecycle.service.operations.reconnect import ConnectionReconnected, Reconnect
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from tests.bugs.bug import VisibleBug
from tests.bugs.service import Service, alone, with_writes
from tests.wrong_stores import only_counts


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
        return with_writes(decision, ConnectionWrite(before, again))


class SuccessorPerRetry(Service):
    compares = False

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        return alone(snapshot) if _is_reconnect(call) else snapshot


def _is_reconnect(call: Call) -> bool:
    return isinstance(call.operation, Reconnect)


class SuccessorPerRecovery(Service):
    compares = False

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        if not _is_reconnect(call) or snapshot.successor is None:
            return snapshot
        pending = standing(snapshot.successor, self.now()) is Standing.PENDING
        return snapshot if pending else alone(snapshot)


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


class _OtherIds(Service):
    """Names other connections where one is superseded."""

    def names(self, own: Connection, later: tuple[Connection, ...]) -> tuple[Connection, ...]:
        raise NotImplementedError

    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        reply, own = decision.reply, snapshot.connection
        if own is None or not isinstance(reply, ProblemReply):
            return decision
        if reply.problem.code is not ProblemCode.CONNECTION_SUPERSEDED:
            return decision
        named = self.names(own, self.memory._connections.following(own))
        problem = Problem(reply.problem.code, (own.id, *[each.id for each in named]))
        return attrs.evolve(decision, reply=ProblemReply(problem))


class SupersededNamesItself(_OtherIds):
    def names(self, own: Connection, later: tuple[Connection, ...]) -> tuple[Connection, ...]:
        return own, later[-1]


class NextIsTheHead(_OtherIds):
    def names(self, own: Connection, later: tuple[Connection, ...]) -> tuple[Connection, ...]:
        del own
        return later[0], later[0]


class HeadWithinReach(_OtherIds):
    def names(self, own: Connection, later: tuple[Connection, ...]) -> tuple[Connection, ...]:
        del own
        return later[0], later[:16][-1]


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
            return with_writes(decision, ConnectionWrite(before, touched))
        return decision


class SupersededAuthorized(Service):
    compares = False

    def load_fact(self, fact: Fact) -> FactSnapshot:
        snapshot = super().load_fact(fact)
        if not isinstance(fact, Authorized):
            return snapshot
        return attrs.evolve(snapshot, successor=None, head=None)


# --- At the same time ------------------------------------------------------------------------


class NoUniquePredecessor(Service):
    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        for write in writes:
            predecessor = isinstance(write, ConnectionWrite) and write.after.identity.predecessor_id
            if predecessor:
                self.memory._connections._successors.pop(predecessor, None)
        return super().store(call, tuple(each for each in writes if not only_counts(each)))


BUGS: Final = (
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
        "no-unique-predecessor",
        "Nothing keeps two successors of one connection apart when they are made at once.",
        "law 7",
        "plaid/support#198, NangoHQ/nango#3491",
        ("law-07.at-once",),
        NoUniquePredecessor,
        slowly=True,
    ),
    VisibleBug(
        "next-is-the-head",
        "The refusal of a superseded connection names the next one as the chain's head.",
        "recovery.revoked.other",
        "",
        ("recovery.revoked.other", "law-06.long-chain"),
        NextIsTheHead,
    ),
    VisibleBug(
        "head-within-reach",
        "The search for a chain's head gives up after sixteen connections.",
        "recovery.revoked.other",
        "",
        ("law-06.long-chain",),
        HeadWithinReach,
    ),
)
"""What is wrong with recovery."""
