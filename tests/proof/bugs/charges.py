"""Servers with wrong rate limits: wrong charges and wrong refusals."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.ratelimit import (
    INITIATE_LIMIT,
    BucketState,
    Charge,
    RateLimited,
    RateState,
    admit,
    admit_one,
    fresh_state,
)
from curae_lifecycle.rules.values import (
    Coordinate,
    from_epoch_microseconds,
    parse_app_user_id,
)
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.gates import Gate
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Needs, NewIds, Snapshot
from curae_lifecycle.service.writes import RateWrite, Write
from curae_lifecycle.web.json import parse_json
from curae_lifecycle.web.request import Request, bearer
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.limits import Refusing, is_limit
from tests.proof.bugs.service import (
    ANYBODY,
    Service,
    header_of,
    with_header,
    with_members,
    without_header,
)
from tests.support.instants import caller_at, commit_writes

# --- Charges ---------------------------------------------------------------------------------


class GraduationUnlimited(Service):
    compares = False

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        if isinstance(call.operation, StartGraduation):
            return attrs.evolve(snapshot, limit=None)
        return snapshot


class RuledOutNotCharged(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        if decision.status != 409:
            return decision
        kept = tuple(write for write in decision.changes.writes if not is_limit(write))
        return attrs.evolve(decision, changes=attrs.evolve(decision.changes, writes=kept))


class _Charging(Refusing):
    """A server that charges initiates in other cases than the rules."""

    def charge(self, coordinate: Coordinate, now: datetime) -> RateWrite | RateLimited:
        key = LimitKey(coordinate.app_user, INITIATE_LIMIT.name)
        stored = self.memory._rates.of(key)
        before = fresh_state(INITIATE_LIMIT) if stored is None else stored
        after = admit_one(INITIATE_LIMIT, before, now)
        if isinstance(after, int):
            return RateLimited((before,), INITIATE_LIMIT, after)
        return RateWrite(key=key, policy=INITIATE_LIMIT, before=stored, after=after)


class AccountStateCharged(_Charging):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        if not isinstance(call.operation, GetAccountState):
            return decision
        coordinate = call.caller.coordinate(call.operation.app_user_id)
        charge = self.charge(coordinate, now)
        if isinstance(charge, RateLimited):
            return decision
        writes = (*decision.changes.writes, charge)
        return attrs.evolve(decision, changes=attrs.evolve(decision.changes, writes=writes))


class MalformedCharged(_Charging):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        result = super().read(request, now)
        caller = caller_at(self.memory, bearer(request))
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
        if isinstance(charge, RateLimited):
            return self.limited(charge, Gate.LIMIT, now)
        commit_writes(self.memory, (charge,))
        return result


class RefusalDrainsTheBucket(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        buckets = self.settings.buckets
        states = [
            fresh_state(bucket) if state is None else state
            for bucket, state in zip(buckets, snapshot.buckets, strict=True)
        ]
        answer = admit(tuple(map(Charge, buckets, states)), now)
        if decision.status != 429 or isinstance(answer, RateLimited):
            return decision
        keys = call.needs.buckets
        charges = zip(keys, buckets, snapshot.buckets, answer.states, strict=True)
        writes = tuple(RateWrite(*charge) for charge in charges)
        return attrs.evolve(decision, changes=attrs.evolve(decision.changes, writes=writes))


class ReplayFreeOfTheBucket(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        if not decision.replayed:
            return decision
        return attrs.evolve(decision, changes=attrs.evolve(decision.changes, writes=()))


class UnknownFreeOfTheBucket(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        decision = super().decide(call, snapshot, now, new_ids=new_ids)
        if decision.status != 404:
            return decision
        kept = tuple(write for write in decision.changes.writes if not isinstance(write, RateWrite))
        return attrs.evolve(decision, changes=attrs.evolve(decision.changes, writes=kept))


class BucketStartsEmpty(Refusing):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        first = snapshot.buckets and all(state is None for state in snapshot.buckets)
        if first:
            bucket = self.settings.buckets[0]
            return self.limited(RateLimited((), bucket, 1_000_000), Gate.BUCKETS, now)
        return super().decide(call, snapshot, now, new_ids=new_ids)


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


def wait_for(state: RateState | None, now: datetime) -> timedelta:
    """Return the time until a bucket is full."""
    if not isinstance(state, BucketState):
        return timedelta(0)
    return from_epoch_microseconds(state.full_at) - now


class BucketLocksUntilTheWrongClock(Refusing):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        for bucket, state in zip(self.settings.buckets, snapshot.buckets, strict=True):
            wait = wait_for(state, now)
            if wait > timedelta(seconds=bucket.window):
                limited = RateLimited((), bucket, wait // timedelta(microseconds=1))
                return self.limited(limited, Gate.BUCKETS, now)
        return super().decide(call, snapshot, now, new_ids=new_ids)


class CorrectedClockFillsTheBucket(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        pairs = zip(self.settings.buckets, snapshot.buckets, strict=True)
        states = tuple(
            None if wait_for(state, now) > timedelta(seconds=bucket.window) else state
            for bucket, state in pairs
        )
        full = attrs.evolve(snapshot, buckets=states)
        decision = super().decide(call, full, now, new_ids=new_ids)
        # The writes replace what is stored.
        writes = tuple(
            attrs.evolve(each, before=snapshot.buckets[call.needs.buckets.index(each.key)])
            if isinstance(each, RateWrite) and isinstance(each.key, BucketKey)
            else each
            for each in decision.changes.writes
        )
        return attrs.evolve(decision, changes=attrs.evolve(decision.changes, writes=writes))


class BucketsIgnored(Service):
    def decide(self, call: Call, snapshot: Snapshot, now: datetime, new_ids: NewIds) -> Decision:
        full = attrs.evolve(snapshot, buckets=(None,) * len(snapshot.buckets))
        return super().decide(call, full, now, new_ids=new_ids)

    compares = False


# --- Refusals ----------------------------------------------------------------------------------


class _Refusals(Service):
    """A server that changes every 429."""

    def said(self, response: Response) -> Response:
        return response

    def answered(self, response: Response) -> Response:
        return self.said(response) if response.status == 429 else response


class WaitOneSecondShort(_Refusals):
    def said(self, response: Response) -> Response:
        wait = max(1, int(header_of(response, "retry-after")) - 1)
        return with_header(response, "retry-after", str(wait))


class WaitOfAnHourAtMost(_Refusals):
    def said(self, response: Response) -> Response:
        wait, end = header_of(response, "retry-after"), header_of(response, "ratelimit")
        if int(wait) <= 3600:
            return response
        short = with_members(response, "details", retryAfter=3600)
        short = with_header(short, "ratelimit", end.replace(f"t={wait}", "t=3600"))
        return with_header(short, "retry-after", "3600")


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
        name="graduation-unlimited",
        wrong="Graduation hand-offs are not limited.",
        breaks="operation.graduation-handoff",
        found_by=("order.limit",),
        make=GraduationUnlimited,
    ),
    VisibleBug(
        name="ruled-out-not-charged",
        wrong="Calls that the rule refuses with 409 cost nothing.",
        breaks="request.limit",
        seen="flask-limiter#234, flask-limiter#448",
        found_by=("order.limit",),
        make=RuledOutNotCharged,
    ),
    VisibleBug(
        name="account-state-charged",
        wrong="Reading the account state counts as an initiate.",
        breaks="operation.account-state",
        seen="boinkor-net/governor#66, upstash/ratelimit-js#111",
        found_by=("limit.costs-nothing",),
        make=AccountStateCharged,
    ),
    VisibleBug(
        name="malformed-charged",
        wrong="A malformed initiate counts.",
        breaks="request.body",
        found_by=("limit.costs-nothing",),
        make=MalformedCharged,
    ),
    VisibleBug(
        name="refusal-drains-the-bucket",
        wrong="An app user's refused calls drain the bucket that the whole API key shares.",
        breaks="request.limit, all or nothing",
        seen="Flask-Limiter leaves 79 instead of 97; slowapi#169, mailgun/gubernator#45",
        found_by=("bucket.all-or-nothing",),
        make=RefusalDrainsTheBucket,
    ),
    VisibleBug(
        name="replay-free-of-the-bucket",
        wrong="Replays charge no bucket, so a retry loop is never slowed down.",
        breaks="request.buckets",
        found_by=("bucket.charges",),
        make=ReplayFreeOfTheBucket,
    ),
    VisibleBug(
        name="unknown-free-of-the-bucket",
        wrong="Guessing ids charges no bucket.",
        breaks="request.buckets",
        found_by=("bucket.charges",),
        make=UnknownFreeOfTheBucket,
    ),
    VisibleBug(
        name="bucket-starts-empty",
        wrong="The first request of an API key finds its bucket empty.",
        breaks="request.buckets",
        found_by=(
            "request.buckets",
            "bucket.refusals-drain-no-other",
        ),
        make=BucketStartsEmpty,
    ),
    VisibleBug(
        name="bucket-locks-until-the-wrong-clock",
        wrong="After a clock that was an hour ahead is corrected, the key is refused for an hour.",
        breaks="request.buckets",
        seen="",
        found_by=("bucket.clock-corrected",),
        make=BucketLocksUntilTheWrongClock,
    ),
    VisibleBug(
        name="corrected-clock-fills-the-bucket",
        wrong="Any backward step of the clock fills every bucket.",
        breaks="request.buckets",
        seen="",
        found_by=("bucket.clock-corrected", "bucket.clock-corrected-slightly"),
        make=CorrectedClockFillsTheBucket,
    ),
    VisibleBug(
        name="buckets-ignored",
        wrong="The platform's buckets are never asked.",
        breaks="request.buckets",
        found_by=(
            "request.buckets",
            "bucket.refusals-drain-no-other",
        ),
        make=BucketsIgnored,
    ),
    VisibleBug(
        name="wait-one-second-short",
        wrong="Retry-After is rounded down.",
        breaks="law 10; problem.rate-limited",
        seen="flask-limiter#62; django-ratelimit was refused at every advertised instant",
        found_by=("request.buckets",),
        make=WaitOneSecondShort,
    ),
    VisibleBug(
        name="wait-of-an-hour-at-most",
        wrong="A Retry-After of more than an hour says one hour.",
        breaks="law 10; problem.rate-limited",
        found_by=("request.buckets",),
        make=WaitOfAnHourAtMost,
    ),
    VisibleBug(
        name="wait-negative",
        wrong="Retry-After is a negative number.",
        breaks="problem.rate-limited",
        seen="flask-limiter#62",
        found_by=("request.buckets",),
        make=WaitNegative,
    ),
    VisibleBug(
        name="wait-missing",
        wrong="A 429 has no Retry-After.",
        breaks="problem.rate-limited",
        seen="symfony#40289, httprate#47, Metron#629",
        found_by=("request.buckets",),
        make=WaitMissing,
    ),
    VisibleBug(
        name="wait-always-a-minute",
        wrong="Retry-After is the length of the window, however much of it is over.",
        breaks="law 10",
        seen="throttled-py's sliding window was seen 30 s off",
        found_by=("request.buckets",),
        make=WaitAlwaysAMinute,
    ),
    VisibleBug(
        name="limit-cacheable",
        wrong="A 429 may be stored by a cache.",
        breaks="section 5, headers of a 429",
        found_by=("request.buckets",),
        make=LimitCacheable,
    ),
    VisibleBug(
        name="reset-in-epoch-seconds",
        wrong="RateLimit holds an instant where a number of seconds belongs.",
        breaks="section 5, headers of a 429",
        seen="zalando/restful-api-guidelines#379",
        found_by=("request.buckets",),
        make=ResetInEpochSeconds,
    ),
    VisibleBug(
        name="legacy-headers-only",
        wrong="A 429 carries X-RateLimit headers in place of the standard ones.",
        breaks="section 5, headers of a 429",
        seen="slowapi#33, go-limiter#22",
        found_by=("request.buckets",),
        make=LegacyHeadersOnly,
    ),
    VisibleBug(
        name="user-in-a-header",
        wrong="The app user's id is sent as the partition key of the policy.",
        breaks="section 5, headers of a 429",
        found_by=("request.buckets",),
        make=UserInAHeader,
    ),
    VisibleBug(
        name="limit-not-retryable",
        wrong="A 429 says that a retry cannot help.",
        breaks="problem.rate-limited",
        seen="codatio/codat-docs#1842, woocommerce/woocommerce-square#106",
        found_by=("law-16.problems",),
        make=LimitNotRetryable,
    ),
    VisibleBug(
        name="limit-as-503",
        wrong="The limit answers 503.",
        breaks="law 16; problem.rate-limited",
        found_by=(
            "bucket.refusals-drain-no-other",
            "law-16.problems",
        ),
        make=LimitAs503,
    ),
    VisibleBug(
        name="bucket-of-the-key-alone",
        wrong="An API key that is registered again for another owner keeps the old owner's empty bucket.",
        breaks="section 4, scope; request.buckets",
        found_by=("bucket.owner",),
        make=BucketOfTheKeyAlone,
    ),
)
"""The seeded bugs about charges and refusals of rate limits."""
