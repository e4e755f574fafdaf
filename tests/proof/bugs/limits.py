"""Servers with wrong rate limits: the wrong number, or the wrong owner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from datetime import datetime, timedelta
from itertools import count
from typing import Final

import attrs

from curae_lifecycle.rules.ratelimit import (
    INITIATE_LIMIT,
    RateLimited,
)
from curae_lifecycle.rules.values import (
    AppUser,
    AppUserId,
    CustomerAccountId,
    Environment,
    ceil_seconds,
)
from curae_lifecycle.service.call import Call, Decision, decision_from_refusal
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.rate_keys import LimitKey
from curae_lifecycle.service.snapshot import Needs, NewIds, Snapshot
from curae_lifecycle.service.writes import RateWrite, Write
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import Service, collated
from tests.support.memory import overwrite

MINUTE: Final = timedelta(seconds=60)


class Refusing(Service):
    """A server that refuses by its own limit."""

    def limited(self, limited: RateLimited, gate: Gate, now: datetime) -> Decision:
        details = (limited.policy.name, ceil_seconds(limited.retry_after))
        return decision_from_refusal(refuse_at(gate, details), now, self.settings, limited=limited)


class _OwnLimiter(Refusing, ABC):
    """A server that counts initiates without the exact log."""

    def __init__(self) -> None:
        super().__init__()
        self.admitted: defaultdict[AppUser, list[datetime]] = defaultdict(list)

    @abstractmethod
    def wait(self, user: AppUser, now: datetime) -> timedelta | None:
        """Return the time to wait, or None if the request is admitted and charged."""

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        return attrs.evolve(snapshot, limit=None) if _initiates(call) else snapshot

    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        operation = call.operation
        if not isinstance(operation, Initiate) or not _is_charged(decision):
            return decision
        wait = self.wait(call.caller.coordinate(operation.app_user_id).app_user, now)
        if wait is None:
            return decision
        ticks = wait // timedelta(microseconds=1)
        return self.limited(RateLimited((), INITIATE_LIMIT, ticks), Gate.LIMIT, now)

    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        if call is not None and _initiates(call):
            writes = tuple(write for write in writes if not is_limit(write))
        return super().store(call, writes)


def _initiates(call: Call) -> bool:
    return isinstance(call.operation, Initiate)


def is_limit(write: Write) -> bool:
    return isinstance(write, RateWrite) and isinstance(write.key, LimitKey)


def _is_charged(decision: Decision) -> bool:
    return any(map(is_limit, decision.changes.writes))


class Eleven(_OwnLimiter):
    most = 11

    def wait(self, user: AppUser, now: datetime) -> timedelta | None:
        instants = self.admitted[user]
        if len(instants) >= self.most and now - instants[-self.most] < MINUTE:
            return instants[-self.most] + MINUTE - now
        instants.append(now)
        return None


class Nine(Eleven):
    most = 9


class FixedWindow(_OwnLimiter):
    def wait(self, user: AppUser, now: datetime) -> timedelta | None:
        window = now.replace(second=0, microsecond=0)
        instants = [at for at in self.admitted[user] if at >= window]
        if len(instants) >= 10:
            return window + MINUTE - now
        self.admitted[user] = [*instants, now]
        return None


class AnchoredWindow(_OwnLimiter):
    def wait(self, user: AppUser, now: datetime) -> timedelta | None:
        instants = self.admitted[user]
        if instants and now - instants[0] >= MINUTE:
            instants.clear()
        if len(instants) >= 10:
            return instants[0] + MINUTE - now
        instants.append(now)
        return None


class BurstAndRefill(_OwnLimiter):
    def wait(self, user: AppUser, now: datetime) -> timedelta | None:
        step = timedelta(seconds=6)
        arrival = max([now, *self.admitted[user]]) + step
        if arrival - now > MINUTE:
            return arrival - now - MINUTE
        self.admitted[user] = [arrival]
        return None


class RefusalsCharged(_OwnLimiter):
    def wait(self, user: AppUser, now: datetime) -> timedelta | None:
        instants = [at for at in self.admitted[user] if now - at < MINUTE]
        self.admitted[user] = [*instants, now]
        return instants[-10] + MINUTE - now if len(instants) >= 10 else None


class WindowTooLong(_OwnLimiter):
    def wait(self, user: AppUser, now: datetime) -> timedelta | None:
        instants = self.admitted[user]
        if len(instants) >= 10 and now - instants[-10] < MINUTE + timedelta(seconds=1):
            return max(instants[-10] + MINUTE - now, timedelta(microseconds=1))
        instants.append(now)
        return None


class TwoProcesses(Eleven):
    most = 10

    def __init__(self) -> None:
        super().__init__()
        self.turns = count()

    def wait(self, user: AppUser, now: datetime) -> timedelta | None:
        process = next(self.turns) % 2
        own = attrs.evolve(user, app_user_id=AppUserId(f"{process} {user.app_user_id}"))
        return super().wait(own, now)


# --- Owners ----------------------------------------------------------------------------------


class _Rekeyed(Service):
    """A server that counts by another key than the app user."""

    def limit_key(self, call: Call, key: LimitKey) -> LimitKey:
        del call
        return key

    def asked(self, call: Call) -> Needs:
        asked = super().asked(call)
        if asked.limit is None:
            return asked
        return attrs.evolve(asked, limit=self.limit_key(call, asked.limit))

    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        if call is not None:
            writes = tuple(self._moved(call, write) for write in writes)
        return super().store(call, writes)

    def _moved(self, call: Call, write: Write) -> Write:
        if isinstance(write, RateWrite) and isinstance(write.key, LimitKey):
            return attrs.evolve(write, key=self.limit_key(call, write.key))
        return write


def _user_named(key: LimitKey, name: str) -> LimitKey:
    return attrs.evolve(key, app_user=attrs.evolve(key.app_user, app_user_id=AppUserId(name)))


class LimitPerApp(_Rekeyed):
    def limit_key(self, call: Call, key: LimitKey) -> LimitKey:
        return _user_named(key, f"{call.caller.app_id} {key.app_user.app_user_id}")


class LimitPerApiKey(_Rekeyed):
    def limit_key(self, call: Call, key: LimitKey) -> LimitKey:
        return _user_named(key, f"{call.caller.api_key_id} {key.app_user.app_user_id}")


class LimitSharedByUsers(_Rekeyed):
    def limit_key(self, call: Call, key: LimitKey) -> LimitKey:
        del call
        return _user_named(key, "everyone")


class LimitSharedByTwins(_Rekeyed):
    def limit_key(self, call: Call, key: LimitKey) -> LimitKey:
        user = collated(call.caller.coordinate(key.app_user.app_user_id))
        return _user_named(key, user.app_user_id)


class LimitAcrossAccounts(_Rekeyed):
    def limit_key(self, call: Call, key: LimitKey) -> LimitKey:
        del call
        return LimitKey(
            AppUser(key.app_user.environment, CustomerAccountId(""), key.app_user.app_user_id),
            key.policy,
        )


class LimitAcrossEnvironments(_Rekeyed):
    def limit_key(self, call: Call, key: LimitKey) -> LimitKey:
        del call
        return attrs.evolve(key, app_user=attrs.evolve(key.app_user, environment=Environment.LIVE))


class GraduationSharesTheLimit(_Rekeyed):
    def limit_key(self, call: Call, key: LimitKey) -> LimitKey:
        del call
        return attrs.evolve(key, policy=INITIATE_LIMIT.name)


# --- At the same time ------------------------------------------------------------------------


class FirstTouchRace(Service):
    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        for write in writes:
            if is_limit(write):
                overwrite(self.memory, self._over_what_is_there(write))
        return super().store(call, tuple(write for write in writes if not is_limit(write)))


BUGS: Final = (
    VisibleBug(
        name="eleven",
        wrong="Eleven initiates are admitted in a minute.",
        breaks="law 10",
        seen="fixed windows and token buckets let 19 or 20 through",
        found_by=("idempotency.not-kept.429",),
        make=Eleven,
    ),
    VisibleBug(
        name="nine",
        wrong="The tenth initiate of a minute is refused.",
        breaks="law 10",
        found_by=("limit.reads-are-free",),
        make=Nine,
    ),
    VisibleBug(
        name="fixed-window",
        wrong="Ten are admitted in each minute of the clock, so twenty around its turn.",
        breaks="law 10",
        seen="django-ratelimit#317, envoyproxy/ratelimit#269, mailgun/gubernator#35",
        found_by=("limit.any-window",),
        make=FixedWindow,
    ),
    VisibleBug(
        name="anchored-window",
        wrong="Ten are admitted in each minute since the first call, so nineteen around its turn.",
        breaks="law 10",
        seen="limits' fixed window was seen to admit 19",
        found_by=("limit.sliding",),
        make=AnchoredWindow,
    ),
    VisibleBug(
        name="burst-and-refill",
        wrong="A token bucket of ten refills while it is drained, so nineteen pass in a minute.",
        breaks="law 10",
        seen="aiolimiter#298, boinkor-net/governor#219",
        found_by=("limit.any-window",),
        make=BurstAndRefill,
    ),
    VisibleBug(
        name="refusals-charged",
        wrong="Refused calls are charged, so who keeps trying never gets in.",
        breaks="law 10; request.limit",
        seen="upstash/ratelimit-js PR#161; limits and throttled-py with fixed windows",
        found_by=("limit.sliding",),
        make=RefusalsCharged,
    ),
    VisibleBug(
        name="window-too-long",
        wrong="At the second that Retry-After names the call is refused again.",
        breaks="law 10",
        seen="flask-limiter#62, vutran1710/PyrateLimiter#184",
        found_by=("limit.half-open",),
        make=WindowTooLong,
    ),
    VisibleBug(
        name="two-processes",
        wrong="Each of two processes counts on its own, so twenty pass.",
        breaks="law 10",
        seen="slowapi#226, flask-limiter#354",
        found_by=("idempotency.not-kept.429",),
        make=TwoProcesses,
    ),
    VisibleBug(
        name="limit-per-app",
        wrong="An app user is counted in each app apart.",
        breaks="law 10; request.limit",
        found_by=("limit.across-apps",),
        make=LimitPerApp,
    ),
    VisibleBug(
        name="limit-per-api-key",
        wrong="An app user is counted under each API key apart.",
        breaks="law 10; request.limit",
        found_by=("limit.across-apps",),
        make=LimitPerApiKey,
    ),
    VisibleBug(
        name="limit-shared-by-users",
        wrong="All users of a customer account share one limit.",
        breaks="request.limit",
        found_by=("idempotency.not-kept.429",),
        make=LimitSharedByUsers,
    ),
    VisibleBug(
        name="limit-across-accounts",
        wrong="Users of the same name in two customer accounts share one limit.",
        breaks="law 15; request.limit",
        found_by=("limit.across-apps",),
        make=LimitAcrossAccounts,
    ),
    VisibleBug(
        name="limit-across-environments",
        wrong="A user's test traffic counts against the live limit.",
        breaks="request.limit",
        found_by=("limit.environments",),
        make=LimitAcrossEnvironments,
    ),
    VisibleBug(
        name="graduation-shares-the-limit",
        wrong="Graduation hand-offs and initiates share one limit.",
        breaks="operation.graduation-handoff",
        found_by=("limit.graduation-leaves-initiates",),
        make=GraduationSharesTheLimit,
    ),
    VisibleBug(
        name="first-touch-race",
        wrong="A user's calls at once are counted from the same state, so more than ten pass.",
        breaks="law 10",
        seen="limits admitted 19 and token-bucket 20 on a key's first touch",
        found_by=("limit.at-once",),
        make=FirstTouchRace,
        slowly=True,
    ),
    VisibleBug(
        name="limit-shared-by-twins",
        wrong="Users whose ids a collation takes for the same share one limit.",
        breaks="section 1, appUserId is compared exactly",
        found_by=("account.twins",),
        make=LimitSharedByTwins,
    ),
)
"""The seeded bugs about the number and the owner of a limit."""
