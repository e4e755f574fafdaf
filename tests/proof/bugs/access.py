"""Servers that let data flow where it may not."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.values import ConnectionId, DataPackage
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import Service


class _Lenient(Service):
    """A server that decides on another connection than the stored one."""

    def seen(self, connection: Connection) -> Connection:
        return connection

    def access(self, connection: Connection, package: str, now: datetime) -> bool:
        return super().access(self.seen(connection), package, now)


class WhileActionIsRequired(_Lenient):
    def seen(self, connection: Connection) -> Connection:
        waits = connection.status is Status.ACTION_REQUIRED
        return attrs.evolve(connection, status=Status.ACTIVE) if waits else connection


class AfterTheEnd(_Lenient):
    def seen(self, connection: Connection) -> Connection:
        return attrs.evolve(connection, expires_at=None)


class WhilePending(_Lenient):
    def seen(self, connection: Connection) -> Connection:
        pending = connection.status is Status.PENDING
        return attrs.evolve(connection, status=Status.ACTIVE) if pending else connection


class AnyPackage(Service):
    def access(self, connection: Connection, package: str, now: datetime) -> bool:
        identity = attrs.evolve(connection.identity, data_packages=(DataPackage(package),))
        return super().access(attrs.evolve(connection, identity=identity), package, now)


class CachedGrant(Service):
    def __init__(self) -> None:
        super().__init__()
        self.granted: set[tuple[ConnectionId, str]] = set()

    def access(self, connection: Connection, package: str, now: datetime) -> bool:
        if super().access(connection, package, now):
            self.granted.add((connection.id, package))
        return (connection.id, package) in self.granted


BUGS: Final = (
    VisibleBug(
        name="access-while-action-required",
        wrong="Data flows although the patient must act first.",
        breaks="law 5; access.action-required",
        found_by=("access.action-required",),
        make=WhileActionIsRequired,
    ),
    VisibleBug(
        name="access-after-the-end",
        wrong="Data flows after expiresAt, as long as nobody wrote the expiry down.",
        breaks="law 5; access.expired",
        seen="Yapily shows AUTHORIZED after a revocation at the bank",
        found_by=("access.until-expires-at",),
        make=AfterTheEnd,
    ),
    VisibleBug(
        name="access-while-pending",
        wrong="Data flows before the patient authorized.",
        breaks="law 5; access.pending",
        found_by=("access.pending",),
        make=WhilePending,
    ),
    VisibleBug(
        name="access-to-any-package",
        wrong="An active connection gives every data package.",
        breaks="law 5; access.active-other-package",
        found_by=("access.active-other-package",),
        make=AnyPackage,
    ),
    VisibleBug(
        name="cached-grant",
        wrong="A grant that was cached outlives the revocation.",
        breaks="law 5; access.revoked",
        seen="vercel/vercel#16578",
        found_by=("access.ends-with-a-revocation", "access.until-expires-at"),
        make=CachedGrant,
    ),
)
"""The seeded bugs about access."""
