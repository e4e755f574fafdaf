"""Servers that lose facts because clocks disagree, or record wrong instants."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.service.changes import NO_CHANGES
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.writes import ConnectionWrite, Write
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import Service


class AheadIsLost(Service):
    def judge_fact(self, fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
        if fact.happened_at is not None and fact.happened_at > now:
            return Ignored(NO_CHANGES, ())
        return super().judge_fact(fact, snapshot, now)


class _AsReported(Service):
    """A server that records the reported instant unchanged."""

    def is_kept(self, write: ConnectionWrite, happened_at: datetime, now: datetime) -> bool:
        raise NotImplementedError

    def judge_fact(self, fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
        answer = super().judge_fact(fact, snapshot, now)
        at = fact.happened_at
        if at is None or not isinstance(answer, Done):
            return answer
        writes = tuple(self._reported(write, at, now) for write in answer.value.writes)
        return Done(attrs.evolve(answer.value, writes=writes), answer.rules)

    def _reported(self, write: Write, at: datetime, now: datetime) -> Write:
        if not isinstance(write, ConnectionWrite) or not self.is_kept(write, at, now):
            return write
        after = write.after
        if after.revoked_at is None:
            return ConnectionWrite(write.before, attrs.evolve(after, authorized_at=at))
        return ConnectionWrite(write.before, attrs.evolve(after, revoked_at=at))


class AheadIsKept(_AsReported):
    def is_kept(self, write: ConnectionWrite, happened_at: datetime, now: datetime) -> bool:
        del write
        return happened_at > now


class BeforeTheMaking(_AsReported):
    def is_kept(self, write: ConnectionWrite, happened_at: datetime, now: datetime) -> bool:
        del now
        return happened_at < write.after.identity.created_at


class RevokedOnArrival(Service):
    def judge_fact(self, fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
        if isinstance(fact, Revoked):
            fact = attrs.evolve(fact, happened_at=None)
        return super().judge_fact(fact, snapshot, now)


class LateRevocationOfOne(Service):
    def judge_fact(self, fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
        if isinstance(fact, Revoked) and fact.happened_at is not None:
            snapshot = attrs.evolve(snapshot, following=())
        return super().judge_fact(fact, snapshot, now)


BUGS: Final = (
    VisibleBug(
        name="clock-ahead-is-lost",
        wrong="A fact that a clock ahead reports is dropped, a revocation too.",
        breaks="section 2, clocks",
        found_by=("clock.ahead.revoke", "clock.ahead.authorize"),
        make=AheadIsLost,
    ),
    VisibleBug(
        name="clock-ahead-is-kept",
        wrong="What a clock ahead reports is recorded as it says, so it happens in the future.",
        breaks="section 2, clocks",
        found_by=("clock.ahead.authorize", "clock.ahead.revoke"),
        make=AheadIsKept,
    ),
    VisibleBug(
        name="before-the-making",
        wrong="A connection is authorized or revoked before it was made.",
        breaks="section 2, clocks",
        found_by=("clock.before-the-making.authorize", "clock.before-the-making.revoke"),
        make=BeforeTheMaking,
    ),
    VisibleBug(
        name="revoked-on-arrival",
        wrong="A revocation that is recorded late counts from then.",
        breaks="section 10, a late fact",
        found_by=("clock.late.revoke",),
        make=RevokedOnArrival,
    ),
    VisibleBug(
        name="late-revocation-of-one",
        wrong="A patient's revocation that is recorded late leaves the successor alive.",
        breaks="revocation-reach.patient",
        found_by=("clock.late.revoke",),
        make=LateRevocationOfOne,
    ),
)
"""The seeded bugs about clocks."""
