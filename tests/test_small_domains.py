"""Small domains of the pure functions, exhausted against answers written from the rules alone.

Each function of `DOMAINS` walks one finite domain, compares every answer with its own, and
returns how many it compared. The references below share nothing with the package: instants are
small integers, statuses and verdicts are words. `benchmarks/small_domains.py` runs the largest
sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import product
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules import attempt as attempts
from curae_lifecycle.rules import chain as chains
from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules import idempotency, ratelimit, triggers, values
from curae_lifecycle.rules import merge as merging
from curae_lifecycle.rules.access import Denied, Granted, decide_access
from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.chain import Minted
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    IdempotencyKey,
    KnownResponse,
    LostLease,
    Record,
    RecordKey,
    RecordState,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.ratelimit import (
    Bucket,
    BucketState,
    ExactLog,
    Limited,
    LogState,
    RateState,
)
from curae_lifecycle.rules.session import Handoff, complete_handoff
from curae_lifecycle.rules.values import LAST_INSTANT, ApiKeyId, ConnectionId, NextAction, UserId
from curae_lifecycle.service.response import Response
from tests import test_session
from tests.strategies import COORDINATE, START, TICK, pending, uuid

Mark = int | None
"""An instant of a reference: ticks after `START`, or none set."""

TICKS: Final = tuple(START + TICK * number for number in range(128))
IDENTITY: Final = pending().identity
STATUSES: Final = ("PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED")
STANDINGS: Final = ("PENDING", "LAPSED", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED")


def instant(mark: Mark) -> datetime | None:
    return None if mark is None else TICKS[mark]


def marks(size: int) -> tuple[Mark, ...]:
    return (None, *range(size))


# --- Connections -------------------------------------------------------------------------------


def stands(status: str, deadline: Mark, end: Mark, now: int) -> str:
    """Section 2 of the rules: what a connection is at an instant."""
    if status == "PENDING":
        return "LAPSED" if deadline is not None and deadline <= now else "PENDING"
    if status in {"ACTIVE", "ACTION_REQUIRED"} and end is not None and end <= now:
        return "EXPIRED"
    return status


def stored(status: str, deadline: Mark, end: Mark) -> Connection:
    return Connection(
        IDENTITY,
        Status(status),
        START,
        instant(deadline),
        START,
        instant(end),
        "portal_login",
        START,
        Actor.APP,
    )


def standings(size: int) -> int:
    cases = 0
    for status, deadline, end in product(STATUSES, marks(size), marks(size)):
        connection = stored(status, deadline, end)
        moves = deadline if status == "PENDING" else end
        changes = instant(moves if status in {"PENDING", "ACTIVE", "ACTION_REQUIRED"} else None)
        assert rules.next_deadline(connection) == changes
        for now in range(size):
            expected = stands(status, deadline, end, now)
            assert rules.standing(connection, TICKS[now]) == expected
            cases += 1
    return cases


def accesses(size: int) -> int:
    cases = 0
    for status, deadline, end, now in product(STATUSES, marks(size), marks(size), range(size)):
        connection = stored(status, deadline, end)
        standing = stands(status, deadline, end, now)
        for package in ("clinical_summary", "labs", "lab"):
            answer = decide_access(connection, package, TICKS[now])
            if standing == "ACTIVE" and package != "lab":
                assert isinstance(answer, Granted)
                assert answer.valid_until == instant(end)
                assert answer.rule == "access.active"
            else:
                reason = "PACKAGE_NOT_GRANTED" if standing == "ACTIVE" else standing
                assert isinstance(answer, Denied)
                assert answer.reason == reason
                assert answer.problem.code == "CONNECTION_ACCESS_DENIED"
                assert answer.problem.values == (IDENTITY.id, package, reason)
            cases += 1
    return cases


NOT_PENDING: Final = "CONNECTION_NOT_PENDING"
ANSWERS: Final = {
    "authorize": ("ACTIVE", "HANDOFF_LAPSED", "ignore", NOT_PENDING, NOT_PENDING, NOT_PENDING),
    "require_action": ("ACTION_REQUIRED", "ignore", "ACTION_REQUIRED") + ("ignore",) * 3,
    "expire": ("ignore", "ignore", "EXPIRED", "EXPIRED", "record", "ignore"),
    "revoke": ("REVOKED",) * 5 + ("ignore",),
}
"""Section 2 of the rules: facts and commands, by standing."""


def happen(
    event: str, connection: Connection, now: int, happened: Mark
) -> Done[Connection] | Ignored[Connection] | Refused:
    at, when = TICKS[now], instant(happened)
    match event:
        case "authorize":
            return triggers.authorize(connection, at, expires_at=TICKS[99], happened_at=when)
        case "require_action":
            return triggers.require_action(connection, at, reason="new", happened_at=when)
        case "expire":
            return triggers.expire(connection, at, happened_at=when)
        case _:
            return triggers.revoke(connection, at, actor=Actor.PATIENT, happened_at=when)


def moved(event: str, connection: Connection, now: int, happened: int) -> Connection:
    """The connection with the members that a transition names, and nothing else."""
    at, when = TICKS[now], TICKS[happened]
    match event:
        case "authorize":
            return attrs.evolve(
                connection,
                status=Status.ACTIVE,
                updated_at=at,
                authorized_at=when,
                expires_at=TICKS[99],
            )
        case "require_action":
            return attrs.evolve(
                connection,
                status=Status.ACTION_REQUIRED,
                updated_at=at,
                action_required_reason="new",
            )
        case "expire":
            return attrs.evolve(connection, status=Status.EXPIRED, updated_at=at)
        case _:
            return attrs.evolve(
                connection,
                status=Status.REVOKED,
                updated_at=at,
                revoked_at=when,
                revoked_by=Actor.PATIENT,
            )


def check_event(connection: Connection, verdict: str, event: str, now: int, past: Mark) -> None:
    happened = now if past is None else past
    answer = happen(event, connection, now, past)
    if verdict == "record":
        verdict = "ignore" if connection.status is Status.EXPIRED else "EXPIRED"
    if verdict in STATUSES:
        assert isinstance(answer, Done)
        assert answer.value == moved(event, connection, now, happened)
        assert answer.value.identity is connection.identity
    elif verdict == "ignore":
        assert isinstance(answer, Ignored)
        assert answer.value is connection
    else:
        assert isinstance(answer, Refused)
        told = {
            "HANDOFF_LAPSED": connection.handoff_deadline,
            NOT_PENDING: rules.standing(connection, TICKS[happened]),
        }
        assert answer.problem.code == verdict
        assert answer.problem.values == (connection.id, told[verdict])


def events(size: int) -> int:
    cases = 0
    for status, deadline, end in product(STATUSES, marks(size), marks(size)):
        connection = stored(status, deadline, end)
        for now, event in product(range(size), ANSWERS):
            for past in (None, *range(now + 1)):
                # Facts are judged at the instant they happened, commands at `now`.
                judged = now if past is None or event == "revoke" else past
                standing = stands(status, deadline, end, judged)
                verdict = ANSWERS[event][STANDINGS.index(standing)]
                check_event(connection, verdict, event, now, past)
                cases += 1
    return cases


ACTION_ENDS: Final = 100


def reconnects(size: int) -> int:
    """Every standing of a connection beside every standing of its successor."""
    cases = 0
    action = NextAction("https://connect.example/2", TICKS[ACTION_ENDS])
    later_identity = attrs.evolve(
        IDENTITY, id=ConnectionId(uuid(7)), predecessor_id=IDENTITY.id, root_id=IDENTITY.id
    )
    olds = [*product(STATUSES, marks(size), marks(size))]
    for now, (status, deadline, end) in product(range(size), olds):
        old = stored(status, deadline, end)
        standing = stands(status, deadline, end, now)
        for other in (None, *olds):
            later = None if other is None else attrs.evolve(stored(*other), identity=later_identity)
            answer = chains.reconnect(
                old, later, TICKS[now], id=ConnectionId(uuid(9)), next_action=action
            )
            cases += 1
            if standing in {"PENDING", "ACTIVE"}:
                reason = "STILL_PENDING" if standing == "PENDING" else "ALREADY_ACTIVE"
                assert isinstance(answer, Refused)
                assert answer.problem.code == "CONNECTION_NOT_RECONNECTABLE"
                assert answer.problem.values == (old.id, reason)
            elif later is None or other is None:
                made = Connection(
                    attrs.evolve(
                        IDENTITY,
                        id=ConnectionId(uuid(9)),
                        created_at=TICKS[now],
                        predecessor_id=old.id,
                    ),
                    Status.PENDING,
                    TICKS[now],
                    TICKS[ACTION_ENDS],
                )
                assert isinstance(answer, Done)
                assert answer.value == Minted(made)
            elif stands(*other, now) == "PENDING":
                again = attrs.evolve(
                    later, updated_at=TICKS[now], handoff_deadline=TICKS[ACTION_ENDS]
                )
                assert isinstance(answer, Done)
                assert answer.value == chains.Reissued(later, again)
            else:
                assert isinstance(answer, Refused)
                assert answer.problem.code == "CONNECTION_SUPERSEDED"
                assert answer.problem.values == (old.id, later.id)
    return cases


def revocations(size: int) -> int:
    """Every chain of up to `size` connections, revoked at its head by everybody."""
    cases = 0
    for length in range(1, size + 1):
        for statuses in product(STATUSES, repeat=length):
            named, *following = [stored(status, 50, 50) for status in statuses]
            for actor, past in product(Actor, (None, 3)):
                answers = chains.revoke_chain(
                    named, tuple(following), TICKS[5], actor=actor, happened_at=instant(past)
                )
                reach = length if actor in {"PATIENT", "PLATFORM"} else 1
                assert len(answers) == reach
                for before, answer in zip((named, *following), answers, strict=False):
                    if before.status == "REVOKED":
                        assert isinstance(answer, Ignored)
                        assert answer.value is before
                    else:
                        assert isinstance(answer, Done)
                        expected = attrs.evolve(
                            moved("revoke", before, 5, 5 if past is None else past),
                            revoked_by=actor,
                        )
                        assert answer.value == expected
                cases += 1
    return cases


Fields = tuple[int, Mark, str | None]
"""A snapshot of the first group: rank, when it was revoked, and by whom."""

Known = tuple[int, Mark, Mark, Mark, Mark]
"""A snapshot of the second: updated, deadline, authorized, expires, and a reason's number."""


def earliest(known: list[Mark]) -> Mark:
    return min((mark for mark in known if mark is not None), default=None)


def latest(known: list[Mark]) -> Mark:
    return max((mark for mark in known if mark is not None), default=None)


def revoked_first(snapshots: tuple[Fields, ...]) -> Fields:
    """The highest rank, and the earliest revocation that is known; ties go to the first name."""
    rank = max(rank for rank, _, _ in snapshots)
    at = earliest([at for _, at, _ in snapshots])
    names = [by for _, when, by in snapshots if when == at]
    return rank, at, min((by for by in names if by is not None), default=None)


def revoked(fields: Fields) -> Connection:
    rank, at, by = fields
    return Connection(
        IDENTITY,
        Status(STATUSES[rank]),
        START,
        revoked_at=instant(at),
        revoked_by=None if by is None else Actor(by),
    )


def merge_revocations(size: int) -> int:
    """Every triple: associative, commutative, idempotent, and what the reference says."""
    names = (None, "APP", "PATIENT")
    pool: list[Fields] = [*product(range(5), marks(size), names)]
    built = {fields: revoked(fields) for fields in pool}
    cases = 0
    for one, other in product(pool, repeat=2):
        pair = merging.merge(built[one], built[other])
        assert pair == built[revoked_first((one, other))]
        if one == other:
            assert pair == built[one]
        for third in pool:
            assert merging.merge(pair, built[third]) == built[revoked_first((one, other, third))]
            cases += 1
    return cases


def merge_times(size: int) -> int:
    """Every pair of snapshots that differ in the other members."""
    options = marks(size)
    pool: list[Known] = [*product(range(size), options, options, options, options)]
    reasons = [f"reason-{number}" for number in range(size)]

    def built(known: Known) -> Connection:
        updated, deadline, authorized, end, reason = known
        return Connection(
            IDENTITY,
            Status.ACTIVE,
            TICKS[updated],
            instant(deadline),
            instant(authorized),
            instant(end),
            None if reason is None else reasons[reason],
        )

    connections = {known: built(known) for known in pool}
    cases = 0
    for one, other in product(pool, repeat=2):
        joined = (
            max(one[0], other[0]),
            latest([one[1], other[1]]),
            earliest([one[2], other[2]]),
            earliest([one[3], other[3]]),
            earliest([one[4], other[4]]),
        )
        assert merging.merge(connections[one], connections[other]) == connections[joined]
        cases += 1
    return cases


# --- Rate limits -------------------------------------------------------------------------------

HALF: Final = 500_000
SLOTS: Final = tuple(START + timedelta(microseconds=HALF * slot) for slot in range(24))


def log_histories(size: int) -> int:
    """Every history of `size` calls in as many half seconds, in any order of time.

    The reference keeps every admission: a call is admitted where the limit-th latest of those
    that it would join is a full window old.
    """
    return sum(
        _log_histories(ExactLog("log", limit, seconds), cost, size, ratelimit.FRESH_LOG, [])
        for limit, seconds in product((1, 2, 3), (1, 2))
        for cost in range(1, limit + 1)
    )


def check_wait(
    policy: ExactLog | Bucket, state: RateState, now: datetime, cost: int, wait: int
) -> None:
    """After the wait it is admitted; a tick earlier there is a tick to wait."""
    charges = (ratelimit.Charge(policy, state),)
    then = now + timedelta(microseconds=wait)
    assert isinstance(ratelimit.admit(charges, then, cost=cost), ratelimit.Admitted)
    early = ratelimit.admit(charges, then - TICK, cost=cost)
    assert early == Limited((state,), policy, 1)


def _log_histories(
    policy: ExactLog, cost: int, size: int, state: LogState, admitted: list[int], depth: int = 0
) -> int:
    if depth == size:
        return 0
    cases = 0
    window = policy.seconds * 2
    room = policy.limit - cost
    for slot in range(size):
        now = SLOTS[slot]
        # Those in the way: all but the `room` latest must be a full window old.
        crowd = sorted(admitted)[: len(admitted) - room] if room < len(admitted) else []
        wait = max((crowd[-1] + window - slot, 0)) if crowd else 0
        answer = ratelimit.admit((ratelimit.Charge(policy, state),), now, cost=cost)
        cases += 1
        if wait:
            assert isinstance(answer, Limited)
            assert answer.retry_after == wait * HALF
            assert answer.states[0] is state
            assert answer.policy is policy
            check_wait(policy, state, now, cost, answer.retry_after)
            continue
        assert isinstance(answer, ratelimit.Admitted)
        (after,) = answer.states
        assert isinstance(after, LogState)
        joined = [*admitted, *[slot] * cost]
        kept = sorted(joined)[-policy.limit :]
        left = sum(slot - at < window for at in kept)
        assert ratelimit.available(policy, after, now) == policy.limit - left
        ends = SLOTS[max(kept)] + timedelta(seconds=policy.seconds)
        assert ratelimit.state_expires_at(policy, after) == ends
        cases += _log_histories(policy, cost, size, after, joined, depth + 1)
    return cases


THIRD: Final = 333_333
THIRDS: Final = tuple(START + timedelta(microseconds=THIRD * slot) for slot in range(24))


def bucket_histories(size: int) -> int:
    """Every history of `size` calls in as many thirds of a second, in any order of time.

    The reference is a bucket of water: it holds `capacity` units of `seconds` × 10⁶ drops, and
    every microsecond adds `refill` drops.
    """
    cases = 0
    for capacity, refill, seconds in product((1, 2, 3), (1, 2, 3), (1, 2)):
        policy = Bucket("bucket", capacity, refill, seconds)
        full = capacity * seconds * 1_000_000
        for cost in range(1, min(capacity, 2) + 1):
            cases += _bucket_histories(policy, cost, size, ratelimit.FULL_BUCKET, (full, 0), 0)
    return cases


def _bucket_histories(
    policy: Bucket, cost: int, size: int, state: RateState, water: tuple[int, int], depth: int
) -> int:
    if depth == size:
        return 0
    unit = policy.seconds * 1_000_000
    full = policy.capacity * unit
    level, since = water
    cases = 0
    for slot in range(size):
        now = THIRDS[slot]
        # Where time runs backwards, what came in since then is not there yet.
        there = min(full, level + (slot - since) * THIRD * policy.refill)
        answer = ratelimit.admit((ratelimit.Charge(policy, state),), now, cost=cost)
        cases += 1
        missing = cost * unit - there
        if missing > 0:
            assert isinstance(answer, Limited)
            assert (answer.retry_after - 1) * policy.refill < missing
            assert missing <= answer.retry_after * policy.refill
            check_wait(policy, state, now, cost, answer.retry_after)
            continue
        assert isinstance(answer, ratelimit.Admitted)
        (after,) = answer.states
        assert isinstance(after, BucketState)
        left = there - cost * unit
        assert ratelimit.available(policy, after, now) == left // unit
        ends = ratelimit.state_expires_at(policy, after)
        assert ends is not None
        filled = (ends - now) // TICK
        assert left + filled * policy.refill >= full > left + (filled - 1) * policy.refill
        cases += _bucket_histories(policy, cost, size, after, (left, slot), depth + 1)
    return cases


# --- Idempotency records -----------------------------------------------------------------------

KEY: Final = RecordKey(ApiKeyId("key-1"), IdempotencyKey("k-1"))
SAME: Final = Fingerprint("create-connection", "0")
ELSE: Final = Fingerprint("create-connection", "1")
KEPT: Final = Response(201, (("content-type", "application/json"),), b"{}")
DAY: Final = 24 * 60 * 60 * 1_000_000
REFUSALS: Final = {
    "in flight": "IDEMPOTENCY_KEY_IN_FLIGHT",
    "unknown": "IDEMPOTENCY_OUTCOME_UNKNOWN",
    "forgotten": "IDEMPOTENCY_KEY_FORGOTTEN",
}
UPKEEP: Final = {
    "answered": {"lease over": "COMPLETED", "unknown": "COMPLETED"},
    "nothing": {"lease over": "RELEASED", "unknown": "RELEASED"},
    "forget": dict.fromkeys(
        ("released", "in flight", "lease over", "unknown", "completed"), "FORGOTTEN"
    ),
}


def record_is(state: str, lease: Mark, means: str, now: int) -> str:
    """Section 4 of the rules: what a record is at an instant that it has seen."""
    if now >= DAY:
        return "absent"
    if state != "IN_FLIGHT":
        return state.lower()
    if lease is not None and now < lease:
        return "in flight"
    return "lease over" if means == "execute" else "unknown"


def since(ticks: int) -> datetime:
    return START + timedelta(microseconds=ticks)


def record_acts(size: int) -> int:
    """Every record at every instant, also those where retention ends, under every act."""
    instants = (*range(size), DAY - 1, DAY, DAY + 1)
    cases = 0
    for state, means, lease, seen in product(RecordState, LostLease, (None, *instants), instants):
        record = Record(
            KEY,
            SAME,
            state,
            3,
            START,
            since(seen),
            None if lease is None else since(lease),
            means,
            KEPT if state is RecordState.COMPLETED else None,
        )
        for now in instants:
            clamped = max(now, seen)
            standing = record_is(state, lease, means, clamped)
            cases += check_begin(record, standing, now, clamped, lease)
            cases += check_attempts(record, standing, now, clamped)
            cases += check_upkeep(record, standing, now, clamped)
    return cases


def check_begin(record: Record, standing: str, now: int, clamped: int, lease: Mark) -> int:
    for asked in (SAME, ELSE):
        answer = idempotency.begin(record, KEY, asked, since(now))
        if standing == "absent":
            at = since(clamped)
            assert isinstance(answer, Attempt)
            assert answer == Attempt(KEY, asked, 4, at, at, ("idempotency.absent",))
        elif asked is ELSE:
            assert isinstance(answer, Refused)
            assert answer.problem.code == "IDEMPOTENCY_KEY_REUSED"
            assert answer.problem.values == ("values",)
        elif standing in REFUSALS:
            assert isinstance(answer, Refused)
            assert answer.problem.code == REFUSALS[standing]
            left = () if lease is None else (max(1, -((clamped - lease) // 1_000_000)),)
            assert answer.problem.values == (left if standing == "in flight" else ())
        elif standing == "completed":
            assert isinstance(answer, KnownResponse)
            assert answer.response is KEPT
        else:
            assert isinstance(answer, Attempt)
            assert answer.rules == (f"idempotency.{standing.replace(' ', '-')}.same",)
            assert answer == Attempt(KEY, SAME, 4, START, since(clamped), answer.rules)
    return 2


HOLDER: Final = Attempt(KEY, SAME, 3, START, START, ())
OTHERS: Final = (
    attrs.evolve(HOLDER, token=2),
    attrs.evolve(HOLDER, token=4),
    attrs.evolve(HOLDER, first_used_at=START + TICK),
    attrs.evolve(HOLDER, key=RecordKey(ApiKeyId("key-2"), IdempotencyKey("k-1"))),
)


def check_attempts(record: Record, standing: str, now: int, clamped: int) -> int:
    at = since(now)
    for attempt in (HOLDER, *OTHERS):
        holds = standing == "in flight" and attempt is HOLDER
        renewed = attempts.renew(record, attempt, at, lease=7)
        completed = attempts.complete(record, attempt, KEPT, at)
        released = attempts.release(record, attempt, at)
        for answer, state, lease, response in (
            (renewed, RecordState.IN_FLIGHT, since(clamped + 7), None),
            (completed, RecordState.COMPLETED, None, KEPT),
            (released, RecordState.RELEASED, None, None),
        ):
            if holds:
                expected = attrs.evolve(
                    record,
                    state=state,
                    seen_at=since(clamped),
                    lease_until=lease,
                    response=response,
                )
                assert isinstance(answer, Done)
                assert answer.value == expected
            else:
                assert isinstance(answer, LeaseLost)
                assert answer.record is record
    return 15


def check_upkeep(record: Record, standing: str, now: int, clamped: int) -> int:
    at = since(now)
    for act, answer in (
        ("answered", attempts.resolve(record, at, response=KEPT)),
        ("nothing", attempts.resolve(record, at, response=None)),
        ("forget", attempts.forget(record, at)),
    ):
        state = UPKEEP[act].get(standing)
        if state is None:
            assert isinstance(answer, Ignored)
            assert answer.value is record
        else:
            expected = attrs.evolve(
                record,
                state=RecordState(state),
                seen_at=since(clamped),
                lease_until=None,
                response=KEPT if act == "answered" else None,
            )
            assert isinstance(answer, Done)
            assert answer.value == expected
    return 3


# --- Sessions ----------------------------------------------------------------------------------


def handoffs(size: int) -> int:
    """Every session of Path B at every instant: who completes it, and when it happened."""
    cases = 0
    for end, landed_for, user, now in product(
        range(1, size), (None, "u-1", "u-2"), ("u-1", "u-2"), range(size)
    ):
        session = attrs.evolve(
            test_session.waiting(),
            created_at=START,
            expires_at=TICKS[end],
            handoff=Handoff.AWAITED if landed_for is None else Handoff.LANDED,
            landed_at=None if landed_for is None else START,
            user_id=None if landed_for is None else UserId(landed_for),
        )
        for past in (None, *range(now + 1)):
            happened = now if past is None else past
            answer = complete_handoff(
                session, None, UserId(user), TICKS[now], happened_at=instant(past)
            )
            cases += 1
            if landed_for == user:
                assert isinstance(answer, Ignored)
                assert answer.value.session is session
                assert answer.value.binding is None
            elif landed_for is not None:
                assert isinstance(answer, Refused)
                assert answer.problem.code == "BINDING_CONFLICT"
                assert answer.problem.values == ("UNLINKED",)
            elif happened >= end:
                assert isinstance(answer, Refused)
                assert answer.problem.code == "SESSION_EXPIRED"
                assert answer.problem.values == (session.id, TICKS[end])
            else:
                assert isinstance(answer, Done)
                assert answer.value.session == attrs.evolve(
                    session,
                    handoff=Handoff.LANDED,
                    landed_at=TICKS[happened],
                    user_id=UserId(user),
                )
                bound = answer.value.binding
                assert bound is not None
                assert (bound.coordinate, bound.user_id) == (COORDINATE, user)
                assert (bound.state, bound.generation) == ("ACTIVE", 1)
    return cases


# --- Time and text -----------------------------------------------------------------------------


def spans(size: int) -> int:
    """Every span from -`size` to `size` microseconds, in whole seconds rounded up, at least 1."""
    cases = 0
    for span in range(-size, size):
        whole, rest = divmod(span, 1_000_000)
        expected = whole + 1 if rest else whole
        assert values.ceil_seconds(span) == max(expected, 1)
        cases += 1
    return cases


def intervals(size: int) -> int:
    """Instants around the epoch, a leap second's day and the last one, apart in both directions."""
    cases = 0
    epoch = datetime(1970, 1, 1, tzinfo=START.tzinfo)
    for base in (epoch, START, LAST_INSTANT - timedelta(microseconds=size)):
        offset = (base - epoch) // TICK
        for first in range(size):
            at = base + timedelta(microseconds=first)
            assert values.microseconds(at) == offset + first
            assert values.instant_at(offset + first) == at
            for second in range(0, 2 * size, 3):
                by = second - first
                there = values.later(at, by)
                past_the_end = base not in {epoch, START} and second > size
                assert there == (
                    LAST_INSTANT if past_the_end else base + timedelta(microseconds=second)
                )
                if not past_the_end:
                    assert values.elapsed(at, there) == by
                    assert values.elapsed(there, at) == -by
                cases += 1
    return cases


def printed_times(size: int) -> int:
    """Every `size`-th microsecond of a second, and every second of a day."""
    cases = 0
    for microsecond in range(0, 1_000_000, size):
        text = f"2026-01-01T00:00:00.{microsecond:06}"
        while text[-1] in "0." and "." in text:
            text = text[:-1]
        instant = START.replace(microsecond=microsecond)
        assert values.format_time(instant) == text + "Z"
        cases += 1
    for second in range(0, 86_400, size):
        hours, rest = divmod(second, 3600)
        clock = f"{hours:02}:{rest // 60:02}:{rest % 60:02}"
        assert values.format_time(START + timedelta(seconds=second)) == f"2026-01-01T{clock}Z"
        cases += 1
    return cases


LETTERS: Final = " a_0B\x00\ud800\u00a0~"
"""White space, what a token holds and what it does not, a control, a surrogate, a last ASCII."""


def accepts(parse: Callable[[object], str], text: str) -> bool:
    try:
        return parse(text) == text
    except ArgumentError:
        return False


def texts(size: int) -> int:
    """Every text of up to `size` letters under each rule for text."""
    cases = 0
    for letters in lengths(size):
        text = "".join(letters)
        seen = set(letters)
        safe = text != "" and not seen & {"\x00", "\ud800"}
        ends = text[:1] + text[-1:]
        edged = " " in ends or "\u00a0" in ends
        assert accepts(values.parse_app_user_id, text) == (safe and not edged)
        assert accepts(values.parse_reason, text) == (text != "" and "\ud800" not in seen)
        assert accepts(idempotency.parse_key, text) == (text != "" and seen <= set("a_0B~"))
        token = text != "" and text[0] == "a" and seen <= set("a_0")
        assert accepts(lambda given: "".join(values.parse_data_packages([given])), text) == token
        cases += 4
    return cases


def lengths(size: int) -> Iterator[tuple[str, ...]]:
    for length in range(size + 1):
        yield from product(LETTERS, repeat=length)


# --- Sizes -------------------------------------------------------------------------------------


@attrs.frozen
class Domain:
    """A domain and its sizes: in every run, in the heavy one, and in the long one."""

    walk: Callable[[int], int]
    small: int
    heavy: int
    long: int


DOMAINS: Final = (
    Domain(standings, 6, 16, 64),
    Domain(accesses, 3, 6, 24),
    Domain(events, 3, 4, 12),
    Domain(reconnects, 1, 2, 4),
    Domain(revocations, 2, 3, 6),
    Domain(merge_revocations, 1, 1, 3),
    Domain(merge_times, 1, 2, 3),
    Domain(log_histories, 4, 6, 7),
    Domain(bucket_histories, 3, 5, 6),
    Domain(record_acts, 1, 2, 10),
    Domain(handoffs, 5, 8, 60),
    Domain(spans, 10_000, 60_000, 3_000_000),
    Domain(intervals, 30, 60, 800),
    Domain(printed_times, 97, 29, 1),
    Domain(texts, 3, 4, 6),
)


def walked(size: str) -> Iterator[tuple[str, int]]:
    """Every domain at one of its sizes, with the number of answers that were compared."""
    for domain in DOMAINS:
        number: int = getattr(domain, size)
        yield domain.walk.__name__, domain.walk(number)


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.walk.__name__)
def test_a_small_domain_is_answered_as_the_rules_say(domain: Domain) -> None:
    assert domain.walk(domain.small) > 0


@pytest.mark.heavy
def test_the_small_domains_are_exhausted() -> None:
    assert sum(cases for _, cases in walked("heavy")) >= 300_000
