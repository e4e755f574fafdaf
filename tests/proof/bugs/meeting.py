"""Servers whose store compares something else than the loaded value in a race."""

from __future__ import annotations

from typing import Final

from curae_lifecycle.rules.connection import Status
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    RateWrite,
    RecordWrite,
    Write,
)
from curae_lifecycle.stores.memory import MemoryStore
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import Service
from tests.proof.bugs.tombstones import WithoutEras
from tests.support.memory import is_current, overwrite
from tests.support.wrong_stores import only_counts


class _Loose(Service):
    """A server that does not compare some of its writes."""

    def loose(self, write: Write) -> bool:
        del write
        return False

    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        del call
        with self._lock:
            held = [self._over_what_is_there(each) if self.loose(each) else each for each in writes]
            compared = [each for each in held if not self.loose(each)]
            if not all(is_current(self.memory, each) for each in compared):
                return False
            for each in held:
                overwrite(self.memory, each)
            return True


class ConnectionsUncompared(_Loose):
    def loose(self, write: Write) -> bool:
        return isinstance(write, ConnectionWrite)


class ErasLeftOut(WithoutEras, ConnectionsUncompared):
    """A server whose tombstones write down what they find, and nothing else."""


class PendingUncompared(_Loose):
    def loose(self, write: Write) -> bool:
        # The bug assumes that nothing else changes a pending connection.
        return isinstance(write, ConnectionWrite) and write.after.status is Status.PENDING


class FactsUncompared(Service):
    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        if call is not None:
            return super().store(call, writes)
        with self._lock:
            for write in writes:
                overwrite(self.memory, write)
            return True


class BindingsUncompared(_Loose):
    def loose(self, write: Write) -> bool:
        return isinstance(write, BindingWrite)


class RecordsUncompared(_Loose):
    def loose(self, write: Write) -> bool:
        return isinstance(write, RecordWrite)


class LimitsUncompared(_Loose):
    def loose(self, write: Write) -> bool:
        return isinstance(write, RateWrite)


class RelyingUncounted(Service):
    """A server that skips writes that only bump a version."""

    kept_in = MemoryStore

    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        return super().store(call, tuple([each for each in writes if not only_counts(each)]))


class VersionsOfOneStatus(Service):
    """A server that compares the status instead of the version."""

    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        with self._lock:
            return super().store(call, tuple([self._brought_up(each) for each in writes]))

    def _brought_up(self, write: Write) -> Write:
        if isinstance(write, ConnectionWrite) and write.before is not None:
            held = self.memory.connection(write.before.id)
            if held is not None and held.status is write.before.status:
                return ConnectionWrite(held, write.after)
        return write


BUGS: Final = (
    VisibleBug(
        name="connections-uncompared",
        wrong="A connection is written without looking at what it replaces.",
        breaks="law 1; law 2",
        found_by=(
            "race.authorize.revoke",
            "race.require-action.revoke",
            "race.reissue.authorize",
            "race.reissue.revoke",
            "race.reconnect.revoke",
            "race.chain-revocation.authorize",
            "race.chain-revocation.reissue",
        ),
        make=ConnectionsUncompared,
        slowly=True,
    ),
    VisibleBug(
        name="pending-uncompared",
        wrong="A reissue is written over whatever became of the connection meanwhile.",
        breaks="law 1; recovery.revoked.pending",
        found_by=("race.reissue.authorize", "race.reissue.revoke"),
        make=PendingUncompared,
        slowly=True,
    ),
    VisibleBug(
        name="facts-uncompared",
        wrong="What a fact moves is written without looking at what it replaces.",
        breaks="law 2; law 17",
        found_by=("race.authorize.revoke", "race.tombstone.graduate"),
        make=FactsUncompared,
        slowly=True,
    ),
    VisibleBug(
        name="eras-left-out",
        wrong="A tombstone begins no era, and a late write brings back a connection that it ended.",
        breaks="law 17",
        found_by=("race.tombstone.authorize", "race.tombstone.reissue"),
        make=ErasLeftOut,
        slowly=True,
    ),
    VisibleBug(
        name="bindings-uncompared",
        wrong="A binding is written without looking at what it replaces.",
        breaks="law 17; binding.complete-sign-up.active.other",
        found_by=("race.tombstone.graduate", "race.sign-up.sign-up"),
        make=BindingsUncompared,
        slowly=True,
    ),
    VisibleBug(
        name="records-uncompared",
        wrong="A record is written without looking at what it replaces.",
        breaks="law 12",
        found_by=("race.one-key.two-operations", "idempotency.at-once.other-bodies"),
        make=RecordsUncompared,
        slowly=True,
    ),
    VisibleBug(
        name="limits-uncompared",
        wrong="The log of an app user is written without looking at what it replaces.",
        breaks="law 10",
        found_by=("race.limit.last-initiate", "limit.at-once"),
        make=LimitsUncompared,
        slowly=True,
    ),
    VisibleBug(
        name="relying-uncounted",
        wrong="What a decision only relied on is not written, so nobody else sees that it did.",
        breaks="law 6; section 2, every write moves a version",
        found_by=("race.late-authorization.reconnect",),
        make=RelyingUncounted,
        slowly=True,
    ),
    VisibleBug(
        name="status-for-a-version",
        wrong="A connection counts as unmoved where its status is, and its version is not looked at.",
        breaks="law 6; section 2, every write moves a version",
        found_by=("race.late-authorization.reconnect",),
        make=VersionsOfOneStatus,
        slowly=True,
    ),
)
"""The seeded bugs about races."""
