"""Strategies for idempotency records, their attempts and their responses.

The law of this module: **only begin, renew, complete, release, resolve and forget make records**.
A record's token counts the attempts that began.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import attrs
from hypothesis import strategies as st

from curae_lifecycle.rules import attempt as acts
from curae_lifecycle.rules import idempotency
from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.idempotency import Attempt, Record, RecordKey, RecordStanding
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.service.decide import fingerprint
from curae_lifecycle.service.response import Response, ResponseReference
from curae_lifecycle.testing.strategies import values
from curae_lifecycle.testing.strategies.expect import expect_done, expect_type
from curae_lifecycle.testing.strategies.request import operations
from curae_lifecycle.testing.strategies.values import START, TICK

_DAY: Final = timedelta(hours=24)
_LEASE: Final = timedelta(minutes=1)


def fingerprints() -> st.SearchStrategy[idempotency.Fingerprint]:
    """Draw fingerprints: an operation's name with a digest of its values.

    By it a server tells a retry from another request with the same idempotency key.
    """
    return operations().map(fingerprint)


def record_keys() -> st.SearchStrategy[RecordKey]:
    """Draw keys of idempotency records: an API key with its owner, and an idempotency key."""
    return st.builds(RecordKey, values.key_owners(), values.idempotency_keys())


def responses() -> st.SearchStrategy[Response]:
    """Draw responses that a record may keep and replay, with the status 200, 201, 404 or 409."""
    return st.builds(
        Response,
        st.sampled_from((200, 201, 404, 409)),
        st.sampled_from(
            ((("content-type", "application/json"),), (("x-hop", "1"), ("x-hop", "2")))
        ),
        st.binary(max_size=8),
    )


def response_references() -> st.SearchStrategy[ResponseReference]:
    """Draw references to responses that a server keeps outside the record."""
    return st.builds(ResponseReference, st.sampled_from((200, 201, 404, 409)), st.just("vault/1"))


def attempts() -> st.SearchStrategy[Attempt]:
    """Draw attempts, which are rights to execute a request under an idempotency key.

    Each is the first, second or third of its key; the earlier ones ended without effect.
    """
    return st.builds(_attempt, record_keys(), fingerprints(), st.integers(0, 2))


def records_in_standing(standing: RecordStanding) -> st.SearchStrategy[tuple[Record, datetime]]:
    """Draw an idempotency record, and an instant at which the record has a given standing.

    Args:
        standing: What the record is at the instant, such as COMPLETED. For ABSENT, its retention of
            24 hours has ended.
    """
    return _records_in_standing(standing)


@st.composite
def _records_in_standing(draw: st.DrawFn, standing: RecordStanding) -> tuple[Record, datetime]:
    attempt = draw(attempts())
    lost_lease = draw(st.sampled_from(idempotency.LostLeaseAction))
    if standing in {RecordStanding.UNKNOWN, RecordStanding.LEASE_OVER}:
        unknown = standing is RecordStanding.UNKNOWN
        lost_lease = (
            idempotency.LostLeaseAction.UNKNOWN if unknown else idempotency.LostLeaseAction.EXECUTE
        )
    running = idempotency.in_flight_record(attempt, lost_lease=lost_lease)
    # Each of these is less than the lease, the last one by one microsecond.
    offset = draw(st.sampled_from((timedelta(0), TICK, _LEASE - TICK)))
    now = attempt.started_at + offset
    match standing:
        case RecordStanding.IN_FLIGHT:
            return running, now
        case RecordStanding.LEASE_OVER | RecordStanding.UNKNOWN:
            return running, attempt.started_at + _LEASE + offset
        case RecordStanding.RELEASED:
            return expect_done(Record, acts.release(running, attempt, now)), now
        case RecordStanding.COMPLETED:
            response = draw(st.one_of(responses(), response_references()))
            return expect_done(
                Record, acts.complete(running, attempt=attempt, response=response, now=now)
            ), now
        case RecordStanding.FORGOTTEN:
            return expect_done(Record, acts.forget(running, now)), now
        case RecordStanding.ABSENT:
            return running, attempt.first_used_at + _DAY + offset


def records() -> st.SearchStrategy[Record]:
    """Draw idempotency records of requests that run or have ended in any way.

    The standing of a record, such as LEASE_OVER, also depends on an instant, which is not drawn.
    """
    return st.sampled_from(RecordStanding).flatmap(records_in_standing).map(lambda drawn: drawn[0])


def _attempt(key: RecordKey, fingerprint: idempotency.Fingerprint, released: int) -> Attempt:
    record: Record | None = None
    for earlier in range(released):
        now = START + timedelta(seconds=earlier)
        attempt = _begin(record, key=key, fingerprint=fingerprint, now=now)
        record = expect_done(
            Record, acts.release(idempotency.in_flight_record(attempt), attempt, now)
        )
    return _begin(record, key=key, fingerprint=fingerprint, now=START + timedelta(seconds=released))


def _begin(
    record: Record | None, key: RecordKey, fingerprint: idempotency.Fingerprint, now: datetime
) -> Attempt:
    return expect_type(
        Attempt, idempotency.begin_attempt(record, key=key, fingerprint=fingerprint, now=now)
    )


# --- Histories ------------------------------------------------------------------------------


class RecordAct(StrEnum):
    """The events that can happen to an idempotency key in a drawn history, the simplest first.

    An attempt is the right to execute a request with the key; its lease says for how long.

    Attributes:
        BEGIN: A request with the key arrives, to begin an attempt.
        COMPLETE: The attempt ends with a response.
        RELEASE: The attempt ends without effect.
        RENEW: The attempt renews its lease.
        BEGIN_OTHER: A request with the same key but other values arrives, to begin an attempt.
        RESOLVE: An operator records the response of an attempt whose worker died.
        RESOLVE_NOTHING: An operator records that an attempt whose worker died had no effect.
        FORGET: An operator erases the stored response.
    """

    BEGIN = "begin"
    COMPLETE = "complete"
    RELEASE = "release"
    RENEW = "renew"
    BEGIN_OTHER = "begin with another payload"
    RESOLVE = "resolve with an answer"
    RESOLVE_NOTHING = "resolve, since nothing happened"
    FORGET = "forget"


RecordAnswer = (
    Attempt
    | idempotency.KnownResponse
    | Refused
    | Done[Record]
    | LeaseLost
    | Ignored[Record]
    | Ignored[Record | None]
)
"""The answer of the rules to a `RecordAct`, an event of an idempotency key."""


@attrs.frozen
class RecordStep:
    """One event in the history of an idempotency key, with the rules' answer and the record.

    Attributes:
        now: The instant of the event.
        act: The event.
        attempt: The attempt that completed, released or renewed; `None` for the other events.
        answer: The answer of the rules to the event.
        record: The stored record after the event; `None` if there is none.
    """

    now: datetime
    act: RecordAct
    attempt: Attempt | None
    answer: RecordAnswer
    record: Record | None


@attrs.frozen
class RecordHistory:
    """An idempotency key with the events that happened to its record, in time order.

    Attributes:
        key: The key of the record.
        fingerprint: The fingerprint of the request that BEGIN sends with the key.
        other: The fingerprint of the different request that BEGIN_OTHER sends with the same key.
        steps: The events, oldest first. A complete, release or renew is left out if no attempt has
            begun before it.
    """

    key: RecordKey
    fingerprint: idempotency.Fingerprint
    other: idempotency.Fingerprint
    steps: tuple[RecordStep, ...]

    @property
    def record(self) -> Record | None:
        """The stored record after the last event; `None` if no event stored one."""
        return self.steps[-1].record if self.steps else None

    @property
    def records(self) -> tuple[Record, ...]:
        """The stored record after each event, oldest first; events that leave none are skipped."""
        return tuple(step.record for step in self.steps if step.record is not None)


_Move = tuple[timedelta, RecordAct, idempotency.LostLeaseAction, int]
"""Offset from `START`, act, what a lost lease means, and attempt (0 is the newest)."""

_OFFSETS: Final = (
    *(timedelta(0), TICK, _LEASE - TICK, _LEASE, 2 * _LEASE),
    *(_DAY - TICK, _DAY, _DAY + _LEASE),
)


def record_histories(*, max_steps: int = 6) -> st.SearchStrategy[RecordHistory]:
    """Draw histories of one idempotency record: a key with the events that happen to its record.

    Each step is a `RecordAct`: a request with the key begins an attempt; an attempt completes, is
    released or renews its lease; or an operator resolves or forgets the record. The request is the
    same each time, except in BEGIN_OTHER. The attempt that ends or renews is the newest one
    or the one before, and may have lost its lease. A history lasts up to 24 hours and 1 minute.

    Args:
        max_steps: The largest number of steps.
    """
    offsets, acts = st.sampled_from(_OFFSETS), st.sampled_from(RecordAct)
    lost_leases = st.sampled_from(
        (idempotency.LostLeaseAction.EXECUTE, idempotency.LostLeaseAction.UNKNOWN)
    )
    move = st.tuples(offsets, acts, lost_leases, st.integers(0, 1))
    first = idempotency.Fingerprint.of("initiate", ["user-1", "false"])
    second = idempotency.Fingerprint.of("initiate", ["user-2", "false"])
    fingerprint_pairs = st.permutations((first, second)).map(tuple)
    return st.builds(
        _play, record_keys(), fingerprint_pairs, responses(), st.lists(move, max_size=max_steps)
    )


def _play(
    key: RecordKey,
    fingerprint_pair: tuple[idempotency.Fingerprint, ...],
    response: Response,
    moves: list[_Move],
) -> RecordHistory:
    record: Record | None = None
    attempts: list[Attempt] = []
    steps: list[RecordStep] = []
    for offset, act, lost_lease, nth_newest in sorted(moves, key=lambda move: move[0]):
        now = START + offset
        attempt: Attempt | None = None
        answer: RecordAnswer
        match act:
            case RecordAct.BEGIN | RecordAct.BEGIN_OTHER:
                sent = fingerprint_pair[act is RecordAct.BEGIN_OTHER]
                answer = idempotency.begin_attempt(record, key=key, fingerprint=sent, now=now)
                if isinstance(answer, Attempt):
                    attempts.append(answer)
                    record = idempotency.in_flight_record(answer, lost_lease=lost_lease)
            case RecordAct.RESOLVE | RecordAct.RESOLVE_NOTHING:
                found = response if act is RecordAct.RESOLVE else None
                answer = acts.resolve(record, now, response=found)
            case RecordAct.FORGET:
                answer = acts.forget(record, now)
            case RecordAct.COMPLETE | RecordAct.RELEASE | RecordAct.RENEW:
                if not attempts:
                    continue
                attempt = attempts[max(0, len(attempts) - 1 - nth_newest)]
                answer = _act_of_attempt(
                    record, act=act, attempt=attempt, response=response, now=now
                )
        match answer:
            case Done(value=Record() as after):
                record = after
            case _:
                pass
        steps.append(RecordStep(now=now, act=act, attempt=attempt, answer=answer, record=record))
    return RecordHistory(
        key=key, fingerprint=fingerprint_pair[0], other=fingerprint_pair[1], steps=tuple(steps)
    )


def _act_of_attempt(
    record: Record | None, act: RecordAct, attempt: Attempt, response: Response, now: datetime
) -> Done[Record] | LeaseLost:
    if act is RecordAct.COMPLETE:
        return acts.complete(record, attempt=attempt, response=response, now=now)
    if act is RecordAct.RELEASE:
        return acts.release(record, attempt, now)
    return acts.renew(record, attempt, now)
