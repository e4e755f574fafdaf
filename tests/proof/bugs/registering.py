"""Servers that use a former caller of an API key, and servers that purge too much."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Status
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.ratelimit import fresh_state
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.testing.conformance import ApiKeyRequest
from curae_lifecycle.testing.conformance.fact_hooks import caller_of
from curae_lifecycle.web.request import Request
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import Service
from tests.support.instants import caller_at
from tests.support.memory import overwrite


class ScopesOnlyGrow(Service):
    def register_again(self, api_key: str, wanted: ApiKeyRequest) -> None:
        before = caller_at(self.memory, ApiKey(api_key))
        scopes = wanted.scopes if before is None else wanted.scopes | before.scopes
        super().register_again(api_key, attrs.evolve(wanted, scopes=scopes))


class AppOfTheFirst(Service):
    def register_again(self, api_key: str, wanted: ApiKeyRequest) -> None:
        before = caller_at(self.memory, ApiKey(api_key))
        app_id = wanted.app_id if before is None else before.app_id
        super().register_again(api_key, attrs.evolve(wanted, app_id=app_id))


class WithdrawnButCached(Service):
    def __init__(self) -> None:
        super().__init__()
        self.cached: dict[str, ApiKeyRequest] = {}

    def register_again(self, api_key: str, wanted: ApiKeyRequest) -> None:
        self.cached[api_key] = wanted
        super().register_again(api_key, wanted)

    def caller(self, request: Request) -> Caller | None:
        known = super().caller(request)
        text = dict(request.headers).get("Authorization", "").partition(" ")[2]
        if known is None and text in self.cached:
            return caller_of(text, self.cached[text])
        return known


class PurgesLimits(Service):
    def purge(self) -> None:
        super().purge()
        rates = self.memory._rates
        for key, (_, policy) in [*rates.items()]:
            rates[key] = fresh_state(policy), policy


class _Asked(Service):
    """A server with a wrong purge on request, and a right one as time passes."""

    def pass_time(self, span: timedelta) -> None:
        with self._lock:
            self.clock += span


class PurgesAnswersOfToday(_Asked):
    def purge(self) -> None:
        for key, record in [*self.memory._records.items()]:
            if record.first_used_at + timedelta(hours=12) < self.clock:
                del self.memory._records[key]


class PurgesAtOnce(_Asked):
    def purge(self) -> None:
        # A right store drops what expired five minutes ago.
        self.memory.purge(self.clock + timedelta(minutes=5))


class PurgesTheEnd(_Asked):
    def purge(self) -> None:
        for held in [*self.memory._connections.values()]:
            if held.revoked_at is not None and held.revoked_at + timedelta(days=1) < self.clock:
                over = attrs.evolve(held, status=Status.EXPIRED, revoked_at=None)
                overwrite(self.memory, ConnectionWrite(held, over))


BUGS: Final = (
    VisibleBug(
        name="scopes-only-grow",
        wrong="An API key that is registered again with fewer scopes keeps those that it had.",
        breaks="permission.scope-missing",
        found_by=("registration.scopes",),
        make=ScopesOnlyGrow,
    ),
    VisibleBug(
        name="app-of-the-first",
        wrong="An API key stands for the app that it was first registered for, whatever is said later.",
        breaks="law 15",
        found_by=("registration.other-app", "idempotency.scope.owner"),
        make=AppOfTheFirst,
    ),
    VisibleBug(
        name="withdrawn-but-cached",
        wrong="An API key that was withdrawn is still let in, from a cache.",
        breaks="request.credentials",
        found_by=("registration.withdrawn",),
        make=WithdrawnButCached,
    ),
    VisibleBug(
        name="purge-drops-limits",
        wrong="A purge drops the rate limits that still run.",
        breaks="law 10",
        found_by=("purge.live",),
        make=PurgesLimits,
    ),
    VisibleBug(
        name="purge-drops-answers-of-today",
        wrong="A purge drops kept answers after twelve hours.",
        breaks="law 9; section 4, kept 24 h from first use",
        found_by=("purge.within-a-day",),
        make=PurgesAnswersOfToday,
    ),
    VisibleBug(
        name="purge-at-once",
        wrong="A purge drops what has just expired, although another clock may be behind.",
        breaks="law 9; section 2, nothing is dropped before its deadline plus 5 minutes",
        found_by=("purge.within-a-day",),
        make=PurgesAtOnce,
    ),
    VisibleBug(
        name="purge-forgets-the-end",
        wrong="A purge clears who revoked and when, so what was revoked looks expired.",
        breaks="law 1; law 2",
        found_by=("purge.over",),
        make=PurgesTheEnd,
    ),
)
"""The seeded bugs about registrations and purges."""
