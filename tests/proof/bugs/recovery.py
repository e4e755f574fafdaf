"""Servers with a wrong recovery: of the wrong connections, or with a wrong successor."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Connection, Standing, Status, standing
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.values import ConnectionId, NextAction
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.operations.operation import ProblemReply
from curae_lifecycle.service.operations.reconnect import ConnectionReconnected, Reconnect
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.service.writes import ConnectionWrite, Write
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import Service, alone, with_writes
from tests.support.wrong_stores import only_counts


class _Misread(Service):
    """A server that gives the rules another connection, so that its writes compare nothing."""

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
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
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
        pending = standing(snapshot.successor, self.now(), era=None) is Standing.PENDING
        return snapshot if pending else alone(snapshot)


class ReissueKeepsTheUrl(Service):
    def __init__(self) -> None:
        super().__init__()
        self.actions: dict[ConnectionId, NextAction] = {}

    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
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
        if _is_reconnect(call) and standing(connection, self.now(), era=None) is Standing.EXPIRED:
            return attrs.evolve(connection, status=Status.ACTIVE, expires_at=None)
        return connection


class ActionRequiredNotRecovered(_Misread):
    def misread(self, connection: Connection, call: Call) -> Connection:
        if _is_reconnect(call) and connection.status is Status.ACTION_REQUIRED:
            return attrs.evolve(connection, status=Status.ACTIVE)
        return connection


class _OtherIds(Service):
    """A server whose superseded problem names other connections."""

    def names(self, own: Connection, later: tuple[Connection, ...]) -> tuple[Connection, ...]:
        raise NotImplementedError

    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
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
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
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
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        reply = decision.reply
        if isinstance(reply, ConnectionReconnected):
            root = reply.connection.identity.root_id
            return attrs.evolve(decision, reply=attrs.evolve(reply, previous_connection_id=root))
        return decision


class ReconnectTouchesPredecessor(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        before = snapshot.connection
        if isinstance(decision.reply, ConnectionReconnected) and before is not None:
            touched = attrs.evolve(
                before, status=Status.REVOKED, revoked_at=before.revoked_at or now
            )
            return with_writes(decision, ConnectionWrite(before, touched))
        return decision


class SupersededAuthorized(Service):
    compares = False

    def load_fact(self, fact: Fact) -> Snapshot:
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
        name="reconnect-keeps-the-id",
        wrong="A reconnect makes the old connection pending again instead of minting a new one.",
        breaks="law 1; recovery.revoked.none",
        seen="Plaid, Nango and Stripe keep the id; the-momentum/open-wearables#656",
        found_by=(
            "recovery.revoked.none",
            "connection.reconnect.revoked",
        ),
        make=ReconnectKeepsTheId,
    ),
    VisibleBug(
        name="successor-per-retry",
        wrong="Every retry of a reconnect with a new key makes another successor.",
        breaks="law 7; recovery.revoked.pending",
        seen="we-promise/sure#3657, plaid/plaid-node#222, actualbudget/actual-server#476",
        found_by=(
            "recovery.revoked.pending",
            "recovery.action-required.pending",
        ),
        make=SuccessorPerRetry,
    ),
    VisibleBug(
        name="successor-per-recovery",
        wrong="A connection whose successor is active is recovered once more: the chain forks.",
        breaks="law 6; recovery.revoked.other",
        seen="UsefulSoftwareCo/executor#1324, decocms/studio#4605",
        found_by=(
            "recovery.revoked.other",
            "recovery.successor-active",
        ),
        make=SuccessorPerRecovery,
    ),
    VisibleBug(
        name="reissue-keeps-the-url",
        wrong="A repeated reconnect answers the first URL again, which may be over.",
        breaks="recovery.revoked.pending",
        seen="oauth-io/oauthd#47",
        found_by=(
            "recovery.revoked.pending",
            "recovery.action-required.pending",
        ),
        make=ReissueKeepsTheUrl,
    ),
    VisibleBug(
        name="reissue-keeps-the-deadline",
        wrong="A repeated reconnect gives a fresh URL, but the connection lapses with the first one.",
        breaks="recovery.revoked.pending",
        seen="plaid/react-plaid-link#258",
        found_by=("recovery.reissue-moves-the-deadline",),
        make=ReissueKeepsTheDeadline,
    ),
    VisibleBug(
        name="active-reconnected",
        wrong="An active connection can be reconnected, so the account is billed twice.",
        breaks="connection.reconnect.active",
        seen="TrueLayer's docs warn of double billing",
        found_by=("connection.reconnect.active",),
        make=ActiveReconnected,
    ),
    VisibleBug(
        name="pending-reconnected",
        wrong="A pending connection can be reconnected while its hosted page is still open.",
        breaks="connection.reconnect.pending",
        found_by=("connection.reconnect.pending",),
        make=PendingReconnected,
    ),
    VisibleBug(
        name="lapsed-not-recovered",
        wrong="A connection whose hosted page ran out counts as pending for ever: a dead end.",
        breaks="connection.reconnect.lapsed",
        seen="oauth-io/oauthd#47",
        found_by=("connection.reconnect.lapsed",),
        make=LapsedNotRecovered,
    ),
    VisibleBug(
        name="expired-not-recovered",
        wrong="An expired connection cannot be reconnected.",
        breaks="connection.reconnect.expired",
        seen="actualbudget/actual#1290, firefly-iii/firefly-iii#11486",
        found_by=(
            "connection.reconnect.expired",
            "standing.active-over",
        ),
        make=ExpiredNotRecovered,
    ),
    VisibleBug(
        name="action-required-not-recovered",
        wrong="A connection that waits for the patient cannot be reconnected.",
        breaks="connection.reconnect.action-required",
        seen="invoiceninja/ui#1770",
        found_by=("connection.reconnect.action-required",),
        make=ActionRequiredNotRecovered,
    ),
    VisibleBug(
        name="superseded-names-itself",
        wrong="The refusal of a superseded connection names that connection and not the next one.",
        breaks="recovery.revoked.other",
        found_by=(
            "recovery.revoked.other",
            "recovery.successor-active",
        ),
        make=SupersededNamesItself,
    ),
    VisibleBug(
        name="recovery-narrows-packages",
        wrong="The recovered connection has fewer data packages than the one it recovers.",
        breaks="law 6; recovery.revoked.none",
        found_by=(
            "recovery.revoked.none",
            "law-06.chain-of-three",
        ),
        make=RecoveryNarrowsPackages,
    ),
    VisibleBug(
        name="previous-id-is-the-root",
        wrong="previousConnectionId names the first connection of the chain.",
        breaks="recovery.revoked.none",
        seen="invoiceninja/ui#1770",
        found_by=("law-06.chain-of-three",),
        make=PreviousIdIsTheRoot,
    ),
    VisibleBug(
        name="reconnect-touches-predecessor",
        wrong="A reconnect revokes the connection that it recovers.",
        breaks="recovery.expired.none",
        found_by=(
            "recovery.expired.none",
            "connection.reconnect.action-required",
        ),
        make=ReconnectTouchesPredecessor,
    ),
    VisibleBug(
        name="superseded-authorized",
        wrong="A connection that was recovered is authorized late: two of one chain are active.",
        breaks="law 6; authorization.successor-pending",
        seen="plaid/plaid-link-android#332",
        found_by=("authorization.successor-pending",),
        make=SupersededAuthorized,
    ),
    VisibleBug(
        name="no-unique-predecessor",
        wrong="Nothing keeps two successors of one connection apart when they are made at once.",
        breaks="law 7",
        seen="plaid/support#198, NangoHQ/nango#3491",
        found_by=("law-07.at-once",),
        make=NoUniquePredecessor,
        slowly=True,
    ),
    VisibleBug(
        name="next-is-the-head",
        wrong="The refusal of a superseded connection names the next one as the chain's head.",
        breaks="recovery.revoked.other",
        found_by=("recovery.revoked.other", "law-06.long-chain"),
        make=NextIsTheHead,
    ),
    VisibleBug(
        name="head-within-reach",
        wrong="The search for a chain's head gives up after sixteen connections.",
        breaks="recovery.revoked.other",
        found_by=("law-06.long-chain",),
        make=HeadWithinReach,
    ),
)
"""The seeded bugs about recovery."""
