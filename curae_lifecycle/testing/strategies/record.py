"""Idempotency records in each standing.

The law of this module: **begin, renew, complete, release, resolve and forget made every record**,
and attempts that began counted its token up.
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
    """Draw fingerprints of operations."""
    return operations().map(fingerprint)


def record_keys() -> st.SearchStrategy[RecordKey]:
    """Draw idempotency keys within API keys."""
    return st.builds(RecordKey, values.key_owners(), values.idempotency_keys())


def responses() -> st.SearchStrategy[Response]:
    """Draw responses that may be kept and replayed."""
    return st.builds(
        Response,
        st.sampled_from((200, 201, 404, 409)),
        st.sampled_from(
            ((("content-type", "application/json"),), (("x-hop", "1"), ("x-hop", "2")))
        ),
        st.binary(max_size=8),
    )


def response_references() -> st.SearchStrategy[ResponseReference]:
    """Draw references to responses that a server keeps elsewhere."""
    return st.builds(ResponseReference, st.sampled_from((200, 201, 404, 409)), st.just("vault/1"))


def attempts() -> st.SearchStrategy[Attempt]:
    """Draw attempts: first ones, and later ones after attempts that were released."""
    return st.builds(_attempt, record_keys(), fingerprints(), st.integers(0, 2))


@st.composite
def records_in_standing(draw: st.DrawFn, standing: RecordStanding) -> tuple[Record, datetime]:
    """Draw records with an instant at which they have a standing.

    Args:
        draw: Hypothesis passes it.
        standing: The standing; a record past its retention is ABSENT.
    """
    attempt = draw(attempts())
    lost = draw(st.sampled_from(idempotency.LostLeaseAction))
    if standing in {RecordStanding.UNKNOWN, RecordStanding.LEASE_OVER}:
        unknown = standing is RecordStanding.UNKNOWN
        lost = (
            idempotency.LostLeaseAction.UNKNOWN if unknown else idempotency.LostLeaseAction.EXECUTE
        )
    running = idempotency.in_flight_record(attempt, lost_lease=lost)
    # Within the lease, including its last microsecond.
    within = draw(st.sampled_from((timedelta(0), TICK, _LEASE - TICK)))
    now = attempt.started_at + within
    match standing:
        case RecordStanding.IN_FLIGHT:
            return running, now
        case RecordStanding.LEASE_OVER | RecordStanding.UNKNOWN:
            return running, attempt.started_at + _LEASE + within
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
            return running, attempt.first_used_at + _DAY + within


def records() -> st.SearchStrategy[Record]:
    """Draw idempotency records in each standing."""
    return st.sampled_from(RecordStanding).flatmap(records_in_standing).map(lambda drawn: drawn[0])


def _attempt(key: RecordKey, print_: idempotency.Fingerprint, released: int) -> Attempt:
    record: Record | None = None
    for earlier in range(released):
        now = START + timedelta(seconds=earlier)
        attempt = _begun(record, key=key, print_=print_, now=now)
        record = expect_done(
            Record, acts.release(idempotency.in_flight_record(attempt), attempt, now)
        )
    return _begun(record, key=key, print_=print_, now=START + timedelta(seconds=released))


def _begun(
    record: Record | None, key: RecordKey, print_: idempotency.Fingerprint, now: datetime
) -> Attempt:
    return expect_type(
        Attempt, idempotency.begin_attempt(record, key=key, fingerprint=print_, now=now)
    )


# --- Histories ------------------------------------------------------------------------------


class RecordAct(StrEnum):
    """Acts on one key; the simplest first."""

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
"""The answer to an act."""


@attrs.frozen
class RecordStep:
    """A step of a history.

    Attributes:
        now: The instant.
        act: The act.
        attempt: The attempt that acted; `None` for a begin and for an act of the server.
        answer: The answer.
        record: The record after the step.
    """

    now: datetime
    act: RecordAct
    attempt: Attempt | None
    answer: RecordAnswer
    record: Record | None


@attrs.frozen
class RecordHistory:
    """A key with its history: retries, takeovers, renewals, lost workers, erasures.

    Attributes:
        key: The key.
        fingerprint: The fingerprint of its request.
        other: The fingerprint of another request with the same key.
        steps: The acts, in order.
    """

    key: RecordKey
    fingerprint: idempotency.Fingerprint
    other: idempotency.Fingerprint
    steps: tuple[RecordStep, ...]

    @property
    def record(self) -> Record | None:
        """The record after the last step; `None` if none was stored."""
        return self.steps[-1].record if self.steps else None

    @property
    def records(self) -> tuple[Record, ...]:
        """The stored records, oldest first."""
        return tuple(step.record for step in self.steps if step.record is not None)


_Move = tuple[timedelta, RecordAct, idempotency.LostLeaseAction, int]
"""The offset, the act, the meaning of a lost lease, and the position of the attempt from the newest."""

_OFFSETS: Final = (
    *(timedelta(0), TICK, _LEASE - TICK, _LEASE, 2 * _LEASE),
    *(_DAY - TICK, _DAY, _DAY + _LEASE),
)


def record_histories(*, max_steps: int = 6) -> st.SearchStrategy[RecordHistory]:
    """Draw histories of one idempotency key, with acts of live and of lost workers.

    Args:
        max_steps: The largest number of acts.
    """
    offsets, acts = st.sampled_from(_OFFSETS), st.sampled_from(RecordAct)
    leases = st.sampled_from(
        (idempotency.LostLeaseAction.EXECUTE, idempotency.LostLeaseAction.UNKNOWN)
    )
    move = st.tuples(offsets, acts, leases, st.integers(0, 1))
    first = idempotency.Fingerprint.of("initiate", ["user-1", "false"])
    second = idempotency.Fingerprint.of("initiate", ["user-2", "false"])
    prints = st.permutations((first, second)).map(tuple)
    return st.builds(_play, record_keys(), prints, responses(), st.lists(move, max_size=max_steps))


def _play(
    key: RecordKey,
    prints: tuple[idempotency.Fingerprint, ...],
    response: Response,
    moves: list[_Move],
) -> RecordHistory:
    record: Record | None = None
    attempts: list[Attempt] = []
    steps: list[RecordStep] = []
    for offset, act, lost_lease, back in sorted(moves, key=lambda move: move[0]):
        now = START + offset
        attempt: Attempt | None = None
        answer: RecordAnswer
        match act:
            case RecordAct.BEGIN | RecordAct.BEGIN_OTHER:
                print_ = prints[act is RecordAct.BEGIN_OTHER]
                answer = idempotency.begin_attempt(record, key=key, fingerprint=print_, now=now)
                if isinstance(answer, Attempt):
                    attempts.append(answer)
                    record = idempotency.in_flight_record(answer, lost_lease=lost_lease)
            case RecordAct.RESOLVE | RecordAct.RESOLVE_NOTHING:
                said = response if act is RecordAct.RESOLVE else None
                answer = acts.resolve(record, now, response=said)
            case RecordAct.FORGET:
                answer = acts.forget(record, now)
            case RecordAct.COMPLETE | RecordAct.RELEASE | RecordAct.RENEW:
                if not attempts:
                    # No attempt has begun yet.
                    continue
                attempt = attempts[max(0, len(attempts) - 1 - back)]
                answer = _go_on(record, act=act, attempt=attempt, response=response, now=now)
        match answer:
            case Done(value=Record() as after):
                record = after
            case _:
                pass
        steps.append(RecordStep(now=now, act=act, attempt=attempt, answer=answer, record=record))
    return RecordHistory(key=key, fingerprint=prints[0], other=prints[1], steps=tuple(steps))


def _go_on(
    record: Record | None, act: RecordAct, attempt: Attempt, response: Response, now: datetime
) -> Done[Record] | LeaseLost:
    if act is RecordAct.COMPLETE:
        return acts.complete(record, attempt=attempt, response=response, now=now)
    if act is RecordAct.RELEASE:
        return acts.release(record, attempt, now)
    return acts.renew(record, attempt, now)
