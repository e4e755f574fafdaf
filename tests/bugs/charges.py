"""Servers that get rate limits wrong: what is charged, and what a refusal says."""

from __future__ import annotations

from datetime import datetime
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
    Coordinate,
    parse_app_user_id,
)
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import BucketKey, LimitKey, RateWrite, Write
from curae_lifecycle.service.decide import needs
from curae_lifecycle.service.gates import Gate
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Needs, NewIds, Snapshot
from curae_lifecycle.web.json import parse_json
from curae_lifecycle.web.request import Request, bearer
from tests.bugs.bug import VisibleBug
from tests.bugs.limits import Refusing, is_limit
from tests.bugs.service import (
    ANYBODY,
    Service,
    header_of,
    with_header,
    with_members,
    without_header,
)

# --- What is charged -------------------------------------------------------------------------


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
        kept = tuple(write for write in decision.changes.writes if not is_limit(write))
        return attrs.evolve(decision, changes=attrs.evolve(decision.changes, writes=kept))


class _Charging(Refusing):
    """Charges initiates where the rules do not."""

    def charge(self, coordinate: Coordinate, now: datetime) -> RateWrite | Limited:
        key = LimitKey(coordinate.app_user, INITIATE_LIMIT.name)
        stored = self.memory._rates.of(key)
        before = fresh_state(INITIATE_LIMIT) if stored is None else stored
        after = admit_one(INITIATE_LIMIT, before, now)
        if isinstance(after, int):
            return Limited((before,), INITIATE_LIMIT, after)
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
        caller = self.memory.caller(bearer(request))
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
        self.memory.store((charge,))
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


class BucketStartsEmpty(Refusing):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        first = snapshot.buckets and all(state is None for state in snapshot.buckets)
        if first:
            bucket = self.settings.buckets[0]
            return self.limited(Limited((), bucket, 1_000_000), Gate.BUCKETS, now)
        return super().decide(call, snapshot, now, new_ids)


class BucketOfTheKeyAlone(Service):
    def whose(self, key: BucketKey) -> BucketKey:
        return attrs.evolve(key, owner=attrs.evolve(ANYBODY, api_key_id=key.owner.api_key_id))

    def asked(self, call: Call) -> Needs:
        asked = super().asked(call)
        return attrs.evolve(asked, buckets=tuple(map(self.whose, asked.buckets)))

    def store(self, call: Call | None, writes: tuple[Write, ...]) -> bool:
        return super().store(
            call,
            tuple(
                attrs.evolve(write, key=self.whose(write.key))
                if isinstance(write, RateWrite) and isinstance(write.key, BucketKey)
                else write
                for write in writes
            ),
        )


class BucketsIgnored(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        full = attrs.evolve(snapshot, buckets=(None,) * len(snapshot.buckets))
        return super().decide(call, full, now, new_ids)

    compares = False


# --- What a refusal says -----------------------------------------------------------------------


class _Refusals(Service):
    """Does something to every 429."""

    def said(self, response: Response) -> Response:
        return response

    def answered(self, response: Response) -> Response:
        return self.said(response) if response.status == 429 else response


class WaitOneSecondShort(_Refusals):
    def said(self, response: Response) -> Response:
        wait = max(1, int(header_of(response, "retry-after")) - 1)
        return with_header(response, "retry-after", str(wait))


class WaitNegative(_Refusals):
    def said(self, response: Response) -> Response:
        return with_header(response, "retry-after", "-1484742195")


class WaitMissing(_Refusals):
    def said(self, response: Response) -> Response:
        return without_header(response, "retry-after")


class WaitAlwaysAMinute(_Refusals):
    def said(self, response: Response) -> Response:
        text = with_members(response, "details", retryAfter=60)
        return with_header(
            with_header(text, "retry-after", "60"), "ratelimit", '"initiate";r=0;t=60'
        )


class LimitCacheable(_Refusals):
    def said(self, response: Response) -> Response:
        return without_header(response, "cache-control")


class ResetInEpochSeconds(_Refusals):
    def said(self, response: Response) -> Response:
        reset = int(self.now().timestamp()) + int(header_of(response, "retry-after"))
        return with_header(response, "ratelimit", f'"initiate";r=0;t={reset}')


class LegacyHeadersOnly(_Refusals):
    def said(self, response: Response) -> Response:
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


class LimitNotRetryable(_Refusals):
    def said(self, response: Response) -> Response:
        return with_members(response, "", retryable=False)


class LimitAs503(_Refusals):
    def said(self, response: Response) -> Response:
        return attrs.evolve(with_members(response, "", status=503), status=503)


BUGS: Final = (
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
        "RateLimit holds an instant where a number of seconds belongs.",
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
        "The app user's id is sent as the partition key of the policy.",
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
        "bucket-of-the-key-alone",
        "An API key that is registered again for another owner keeps the old owner's empty bucket.",
        "section 4, scope; request.buckets",
        "",
        ("bucket.owner",),
        BucketOfTheKeyAlone,
    ),
)
"""What is wrong with what is charged and said."""
