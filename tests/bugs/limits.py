"""Servers that get rate limits wrong: how many, whose, what is charged, what is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from datetime import datetime, timedelta
from itertools import count
from typing import Final

import attrs

from curae_lifecycle.rules.ratelimit import (
    INITIATE_LIMIT,
    Charge,
    Limited,
    admit,
    admit_one,
    fresh_state,
)
from curae_lifecycle.rules.values import (
    AppUser,
    AppUserId,
    Coordinate,
    CustomerAccountId,
    Environment,
    ceil_seconds,
    parse_app_user_id,
)
from curae_lifecycle.service.call import Call, Decision, refused
from curae_lifecycle.service.changes import LimitKey, RateWrite, Write
from curae_lifecycle.service.decide import needs
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Needs, NewIds, Snapshot
from curae_lifecycle.web.json import parse_json
from curae_lifecycle.web.request import Request, bearer
from tests.bugs.bug import VisibleBug
from tests.bugs.service import Service, header_of, with_header, with_members, without_header

MINUTE: Final = timedelta(seconds=60)


class _Refusing(Service):
    """Refuses by a limit of its own."""

    def limited(self, limited: Limited, gate: Gate, now: datetime) -> Decision:
        details = (limited.policy.name, ceil_seconds(limited.retry_after))
        return refused(refuse_at(gate, details), now, self.settings, limited=limited)


class _OwnLimiter(_Refusing, ABC):
    """Counts initiates in its own way instead of by the exact log."""

    def __init__(self) -> None:
        super().__init__()
        self.admitted: defaultdict[AppUser, list[datetime]] = defaultdict(list)

    @abstractmethod
    def wait(self, user: AppUser, now: datetime) -> timedelta | None:
        """How long to wait; `None` where it is admitted and charged."""

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        return attrs.evolve(snapshot, limit=None) if _initiates(call) else snapshot

    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        operation = call.operation
        if not isinstance(operation, Initiate) or not _is_charged(decision):
            return decision
        wait = self.wait(call.caller.coordinate(operation.app_user_id).app_user, now)
        if wait is None:
            return decision
        ticks = wait // timedelta(microseconds=1)
        return self.limited(Limited((), INITIATE_LIMIT, ticks), Gate.LIMIT, now)

    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        if call is not None and _initiates(call):
            writes = tuple(write for write in writes if not _is_limit(write))
        return super().store(call, writes)


def _initiates(call: Call) -> bool:
    return isinstance(call.operation, Initiate)


def _is_limit(write: Write) -> bool:
    return isinstance(write, RateWrite) and isinstance(write.key, LimitKey)


def _is_charged(decision: Decision) -> bool:
    return any(map(_is_limit, decision.changes.writes))


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


# --- Whose limit ------------------------------------------------------------------------------


class _Rekeyed(Service):
    """Counts by another key than the app user."""

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


# --- What is charged --------------------------------------------------------------------------


class GraduationUnlimited(Service):
    compares = False

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        if isinstance(call.operation, StartGraduation):
            return attrs.evolve(snapshot, limit=None)
        return snapshot


class RuledOutNotCharged(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        if decision.status != 409:
            return decision
        kept = tuple(write for write in decision.changes.writes if not _is_limit(write))
        return attrs.evolve(decision, changes=attrs.evolve(decision.changes, writes=kept))


class _Charging(_Refusing):
    """Charges initiates where the rules do not."""

    def charge(self, coordinate: Coordinate, now: datetime) -> RateWrite | Limited:
        key = LimitKey(coordinate.app_user, INITIATE_LIMIT.name)
        stored = self.world._rate(key)
        before = fresh_state(INITIATE_LIMIT) if stored is None else stored
        after = admit_one(INITIATE_LIMIT, before, now)
        if isinstance(after, Limited):
            return after
        return RateWrite(key, INITIATE_LIMIT, stored, after)


class AccountStateCharged(_Charging):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        if not isinstance(call.operation, GetAccountState):
            return decision
        coordinate = call.caller.coordinate(call.operation.app_user_id)
        charge = self.charge(coordinate, now)
        if isinstance(charge, Limited):
            return decision
        writes = (*decision.changes.writes, charge)
        return attrs.evolve(decision, changes=attrs.evolve(decision.changes, writes=writes))


class MalformedCharged(_Charging):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        result = super().read(request, now)
        caller = self.world.caller(bearer(request))
        refused = isinstance(result, Decision) and result.status == 400
        if not refused or caller is None or not request.target.endswith("/initiate"):
            return result
        try:
            body = parse_json(request.body) if isinstance(request.body, bytes) else None
            user = parse_app_user_id(body.get("appUserId") if isinstance(body, dict) else None)
        except ValueError:
            return result
        coordinate = caller.coordinate(user)
        charge = self.charge(coordinate, now)
        if isinstance(charge, Limited):
            return self.limited(charge, Gate.LIMIT, now)
        self.world.store((charge,))
        return result


class RefusalDrainsTheBucket(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        buckets = self.settings.buckets
        states = [
            fresh_state(bucket) if state is None else state
            for bucket, state in zip(buckets, snapshot.buckets, strict=True)
        ]
        answer = admit(tuple(map(Charge, buckets, states)), now)
        if decision.status != 429 or isinstance(answer, Limited):
            return decision
        keys = needs(call).buckets
        charges = zip(keys, buckets, snapshot.buckets, answer.states, strict=True)
        writes = tuple(RateWrite(*charge) for charge in charges)
        return attrs.evolve(decision, changes=attrs.evolve(decision.changes, writes=writes))


class ReplayFreeOfTheBucket(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        if not decision.replayed:
            return decision
        return attrs.evolve(decision, changes=attrs.evolve(decision.changes, writes=()))


class UnknownFreeOfTheBucket(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids)
        if decision.status != 404:
            return decision
        kept = tuple(write for write in decision.changes.writes if not isinstance(write, RateWrite))
        return attrs.evolve(decision, changes=attrs.evolve(decision.changes, writes=kept))


class BucketStartsEmpty(_Refusing):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        first = snapshot.buckets and all(state is None for state in snapshot.buckets)
        if first:
            bucket = self.settings.buckets[0]
            return self.limited(Limited((), bucket, 1_000_000), Gate.BUCKETS, now)
        return super().decide(call, snapshot, now, new_ids)


class BucketsIgnored(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        full = attrs.evolve(snapshot, buckets=(None,) * len(snapshot.buckets))
        return super().decide(call, full, now, new_ids)

    compares = False


# --- What is told -----------------------------------------------------------------------------


class _Told(Service):
    """Does something to every 429."""

    def tell(self, response: Response) -> Response:
        return response

    def answered(self, response: Response) -> Response:
        return self.tell(response) if response.status == 429 else response


class WaitOneSecondShort(_Told):
    def tell(self, response: Response) -> Response:
        wait = max(1, int(header_of(response, "retry-after")) - 1)
        return with_header(response, "retry-after", str(wait))


class WaitNegative(_Told):
    def tell(self, response: Response) -> Response:
        return with_header(response, "retry-after", "-1484742195")


class WaitMissing(_Told):
    def tell(self, response: Response) -> Response:
        return without_header(response, "retry-after")


class WaitAlwaysAMinute(_Told):
    def tell(self, response: Response) -> Response:
        told = with_members(response, "details", retryAfter=60)
        return with_header(
            with_header(told, "retry-after", "60"), "ratelimit", '"initiate";r=0;t=60'
        )


class LimitCacheable(_Told):
    def tell(self, response: Response) -> Response:
        return without_header(response, "cache-control")


class ResetInEpochSeconds(_Told):
    def tell(self, response: Response) -> Response:
        reset = int(self.now().timestamp()) + int(header_of(response, "retry-after"))
        return with_header(response, "ratelimit", f'"initiate";r=0;t={reset}')


class LegacyHeadersOnly(_Told):
    def tell(self, response: Response) -> Response:
        left = without_header(response, "ratelimit", "ratelimit-policy")
        return with_header(left, "x-ratelimit-remaining", "0")


class UserInAHeader(Service):
    def sent(self, request: Request, response: Response) -> Response:
        if response.status != 429:
            return response
        body = request.body if isinstance(request.body, bytes) else b""
        user = body.decode().partition('"appUserId"')[2].strip(' :"').partition('"')[0]
        policy = header_of(response, "ratelimit-policy")
        return with_header(response, "ratelimit-policy", f'{policy};pk="{user}"')


class LimitNotRetryable(_Told):
    def tell(self, response: Response) -> Response:
        return with_members(response, "", retryable=False)


class LimitAs503(_Told):
    def tell(self, response: Response) -> Response:
        return attrs.evolve(with_members(response, "", status=503), status=503)


# --- At the same time -------------------------------------------------------------------------


class FirstTouchRace(Service):
    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        for write in writes:
            if _is_limit(write):
                self.world._set(self._over_what_is_there(write))
        return super().store(call, tuple(write for write in writes if not _is_limit(write)))


BUGS: Final = (
    VisibleBug(
        "eleven",
        "Eleven initiates are admitted in a minute.",
        "law 10",
        "fixed windows and token buckets let 19 or 20 through",
        ("idempotency.not-kept.429",),
        Eleven,
    ),
    VisibleBug(
        "nine",
        "The tenth initiate of a minute is refused.",
        "law 10",
        "",
        ("limit.reads-are-free",),
        Nine,
    ),
    VisibleBug(
        "fixed-window",
        "Ten are admitted in each minute of the clock, so twenty around its turn.",
        "law 10",
        "django-ratelimit#317, envoyproxy/ratelimit#269, mailgun/gubernator#35",
        ("limit.any-window",),
        FixedWindow,
    ),
    VisibleBug(
        "anchored-window",
        "Ten are admitted in each minute since the first call, so nineteen around its turn.",
        "law 10",
        "limits' fixed window was seen to admit 19",
        ("limit.sliding",),
        AnchoredWindow,
    ),
    VisibleBug(
        "burst-and-refill",
        "A token bucket of ten refills while it is drained, so nineteen pass in a minute.",
        "law 10",
        "aiolimiter#298, boinkor-net/governor#219",
        ("limit.any-window",),
        BurstAndRefill,
    ),
    VisibleBug(
        "refusals-charged",
        "Refused calls are charged, so who keeps trying never gets in.",
        "law 10; request.limit",
        "upstash/ratelimit-js PR#161; limits and throttled-py with fixed windows",
        ("limit.sliding",),
        RefusalsCharged,
    ),
    VisibleBug(
        "window-too-long",
        "At the second that Retry-After names the call is refused again.",
        "law 10",
        "flask-limiter#62, vutran1710/PyrateLimiter#184",
        ("limit.half-open",),
        WindowTooLong,
    ),
    VisibleBug(
        "two-processes",
        "Each of two processes counts on its own, so twenty pass.",
        "law 10",
        "slowapi#226, flask-limiter#354",
        ("idempotency.not-kept.429",),
        TwoProcesses,
    ),
    VisibleBug(
        "limit-per-app",
        "An app user is counted in each app apart.",
        "law 10; request.limit",
        "",
        ("limit.across-apps",),
        LimitPerApp,
    ),
    VisibleBug(
        "limit-per-api-key",
        "An app user is counted under each API key apart.",
        "law 10; request.limit",
        "",
        ("limit.across-apps",),
        LimitPerApiKey,
    ),
    VisibleBug(
        "limit-shared-by-users",
        "All users of a customer account share one limit.",
        "request.limit",
        "",
        ("idempotency.not-kept.429",),
        LimitSharedByUsers,
    ),
    VisibleBug(
        "limit-across-accounts",
        "Users of the same name in two customer accounts share one limit.",
        "law 15; request.limit",
        "",
        ("limit.across-apps",),
        LimitAcrossAccounts,
    ),
    VisibleBug(
        "limit-across-environments",
        "A user's test traffic counts against the live limit.",
        "request.limit",
        "",
        ("limit.environments",),
        LimitAcrossEnvironments,
    ),
    VisibleBug(
        "graduation-shares-the-limit",
        "Graduation hand-offs and initiates share one limit.",
        "operation.graduation-handoff",
        "",
        ("limit.graduation-leaves-initiates",),
        GraduationSharesTheLimit,
    ),
    VisibleBug(
        "graduation-unlimited",
        "Graduation hand-offs are not limited.",
        "operation.graduation-handoff",
        "",
        ("order.limit",),
        GraduationUnlimited,
    ),
    VisibleBug(
        "ruled-out-not-charged",
        "Calls that the rule refuses with 409 cost nothing.",
        "request.limit",
        "flask-limiter#234, flask-limiter#448",
        ("order.limit",),
        RuledOutNotCharged,
    ),
    VisibleBug(
        "account-state-charged",
        "Reading the account state counts as an initiate.",
        "operation.account-state",
        "boinkor-net/governor#66, upstash/ratelimit-js#111",
        ("limit.costs-nothing",),
        AccountStateCharged,
    ),
    VisibleBug(
        "malformed-charged",
        "A malformed initiate counts.",
        "request.body",
        "",
        ("limit.costs-nothing",),
        MalformedCharged,
    ),
    VisibleBug(
        "refusal-drains-the-bucket",
        "An app user's refused calls drain the bucket that the whole API key shares.",
        "request.limit, all or nothing",
        "Flask-Limiter leaves 79 instead of 97; slowapi#169, mailgun/gubernator#45",
        ("bucket.all-or-nothing",),
        RefusalDrainsTheBucket,
    ),
    VisibleBug(
        "replay-free-of-the-bucket",
        "Replays charge no bucket, so a retry loop is never slowed down.",
        "request.buckets",
        "",
        ("bucket.charges",),
        ReplayFreeOfTheBucket,
    ),
    VisibleBug(
        "unknown-free-of-the-bucket",
        "Guessing ids charges no bucket.",
        "request.buckets",
        "",
        ("bucket.charges",),
        UnknownFreeOfTheBucket,
    ),
    VisibleBug(
        "bucket-starts-empty",
        "The first request of an API key finds its bucket empty.",
        "request.buckets",
        "",
        (
            "request.buckets",
            "bucket.refusals-drain-no-other",
        ),
        BucketStartsEmpty,
    ),
    VisibleBug(
        "buckets-ignored",
        "The platform's buckets are never asked.",
        "request.buckets",
        "",
        (
            "request.buckets",
            "bucket.refusals-drain-no-other",
        ),
        BucketsIgnored,
    ),
    VisibleBug(
        "wait-one-second-short",
        "Retry-After is rounded down.",
        "law 10; problem.rate-limited",
        "flask-limiter#62; django-ratelimit was refused at every advertised instant",
        ("request.buckets",),
        WaitOneSecondShort,
    ),
    VisibleBug(
        "wait-negative",
        "Retry-After is a negative number.",
        "problem.rate-limited",
        "flask-limiter#62",
        ("request.buckets",),
        WaitNegative,
    ),
    VisibleBug(
        "wait-missing",
        "A 429 has no Retry-After.",
        "problem.rate-limited",
        "symfony#40289, httprate#47, Metron#629",
        ("request.buckets",),
        WaitMissing,
    ),
    VisibleBug(
        "wait-always-a-minute",
        "Retry-After is the length of the window, however much of it is over.",
        "law 10",
        "throttled-py's sliding window was seen 30 s off",
        ("request.buckets",),
        WaitAlwaysAMinute,
    ),
    VisibleBug(
        "limit-cacheable",
        "A 429 may be stored by a cache.",
        "section 5, headers of a 429",
        "",
        ("request.buckets",),
        LimitCacheable,
    ),
    VisibleBug(
        "reset-in-epoch-seconds",
        "RateLimit tells an instant where a number of seconds belongs.",
        "section 5, headers of a 429",
        "zalando/restful-api-guidelines#379",
        ("request.buckets",),
        ResetInEpochSeconds,
    ),
    VisibleBug(
        "legacy-headers-only",
        "A 429 carries X-RateLimit headers in place of the standard ones.",
        "section 5, headers of a 429",
        "slowapi#33, go-limiter#22",
        ("request.buckets",),
        LegacyHeadersOnly,
    ),
    VisibleBug(
        "user-in-a-header",
        "The app user's id is told as the partition key of the policy.",
        "section 5, headers of a 429",
        "",
        ("request.buckets",),
        UserInAHeader,
    ),
    VisibleBug(
        "limit-not-retryable",
        "A 429 says that a retry cannot help.",
        "problem.rate-limited",
        "codatio/codat-docs#1842, woocommerce/woocommerce-square#106",
        ("law-16.problems",),
        LimitNotRetryable,
    ),
    VisibleBug(
        "limit-as-503",
        "The limit answers 503.",
        "law 16; problem.rate-limited",
        "",
        (
            "bucket.refusals-drain-no-other",
            "law-16.problems",
        ),
        LimitAs503,
    ),
    VisibleBug(
        "first-touch-race",
        "A user's calls at once are counted from the same state, so more than ten pass.",
        "law 10",
        "limits admitted 19 and token-bucket 20 on a key's first touch",
        ("limit.at-once",),
        FirstTouchRace,
        slowly=True,
    ),
)
"""What is wrong with rate limits."""
