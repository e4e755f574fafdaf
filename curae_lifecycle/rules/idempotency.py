"""One key, one execution: the record of an idempotency key, and what a request with the key gets.

The laws of this module: **at most one execution of a key takes effect**, and all who get an
answer get the same one, byte for byte; **a record belongs to one API key and
its owner** (there is no way to leave the scope out).

`RECORD_STANDING` says what a record is at an instant, `BEGIN` what a request with its key gets.
A server that commits everything in one transaction stores `completed_record(attempt, response)`
with its other writes and needs no state in flight. One that calls out in between stores
`in_flight_record(attempt, ...)` first, and goes on with what `attempt` holds. Instants are
clamped to the latest one that the record has seen, so a clock that steps back prolongs nothing.
What no correct program passes raises `ArgumentError`: a `now` that is not UTC, a lease below 1, a
response that must not be kept, another key's record.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final, NewType

import attrs

from curae_lifecycle.rules.credentials import KeyOwner
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Refused, RefuseWith, Value
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.tables import ANY, Axis, Row, Table
from curae_lifecycle.rules.values import (
    HOUR,
    MINUTE,
    TICK,
    add_microseconds,
    ceil_seconds,
    check_instant,
    elapsed,
)

IdempotencyKey = NewType("IdempotencyKey", str)
"""An idempotency key, parsed: what was quoted and what was bare are one."""

IDEMPOTENCY_KEY_MAX_LENGTH: Final = 255
"""The longest idempotency key, in characters [O]."""

_KEY: Final = re.compile(f"[!-~]{{1,{IDEMPOTENCY_KEY_MAX_LENGTH}}}")

RETENTION: Final = 24 * HOUR
"""How long a record is kept, in microseconds from the first use of its key [P]."""

_RETENTION: Final = RETENTION * TICK

DEFAULT_LEASE: Final = MINUTE
"""How long an attempt may run before it must renew, in microseconds [O]."""


class RecordState(StrEnum):
    """What is stored."""

    IN_FLIGHT = "IN_FLIGHT"
    RELEASED = "RELEASED"
    COMPLETED = "COMPLETED"
    FORGOTTEN = "FORGOTTEN"


class LeaseState(StrEnum):
    """Where an instant lies to the end of the attempt's lease."""

    RUNNING = "lease running"
    OVER = "lease over"


class LostLeaseAction(StrEnum):
    """What a lease that ran out means, chosen by the server when the attempt starts.

    EXECUTE is right where effects commit together with the record: the attempt had none.
    UNKNOWN is right where the attempt calls out: its effects may have happened.
    """

    EXECUTE = "execute"
    UNKNOWN = "unknown"


class RecordStanding(StrEnum):
    """What a record is at an instant."""

    ABSENT = "absent, or retention over"
    RELEASED = "released"
    IN_FLIGHT = "in flight, lease running"
    LEASE_OVER = "in flight, lease over"
    UNKNOWN = "unknown"
    COMPLETED = "completed"
    FORGOTTEN = "forgotten"


class FingerprintMatch(StrEnum):
    """The request's fingerprint beside the record's."""

    SAME = "same fingerprint"
    OTHER = "other fingerprint"


@attrs.frozen
class Execute:
    """A cell's verdict: run the operation, with the next token."""

    def __str__(self) -> str:
        return "execute"


@attrs.frozen
class Repeat:
    """A cell's verdict: answer what was answered."""

    def __str__(self) -> str:
        return "replay"


ABSENT, RELEASED, IN_FLIGHT, LEASE_OVER, UNKNOWN, COMPLETED, FORGOTTEN = RecordStanding
RUNNING, OVER = LeaseState
EXECUTE_AGAIN, OUTCOME_UNKNOWN = LostLeaseAction
SAME, DIFFERENT = FingerprintMatch
EXECUTE: Final = Execute()
REPEAT: Final = Repeat()
REUSED: Final = RefuseWith(ProblemCode.IDEMPOTENCY_KEY_REUSED)
BUSY: Final = RefuseWith(ProblemCode.IDEMPOTENCY_KEY_IN_FLIGHT)
NOT_KNOWN: Final = RefuseWith(ProblemCode.IDEMPOTENCY_OUTCOME_UNKNOWN)
ERASED: Final = RefuseWith(ProblemCode.IDEMPOTENCY_KEY_FORGOTTEN)

# fmt: off
RECORD_STANDING: Final = Table[tuple[RecordState, LeaseState, LostLeaseAction], Value[RecordStanding]](
    "record-standing",
    "What an idempotency record is at an instant within its retention.",
    (
        Axis.of("stored state", RecordState),
        Axis.of("lease", LeaseState),
        Axis.of("a lost lease means", LostLeaseAction),
    ),
    Row((RecordState.IN_FLIGHT, RUNNING, ANY), Value(IN_FLIGHT), "[O] Its attempt runs.", name="in-flight"),
    Row((RecordState.IN_FLIGHT, OVER, EXECUTE_AGAIN), Value(LEASE_OVER), "[O] Nothing committed.", name="lease-over"),
    Row((RecordState.IN_FLIGHT, OVER, OUTCOME_UNKNOWN), Value(UNKNOWN), "[O] It may have had effects.", name="unknown"),
    Row((RecordState.RELEASED, ANY, ANY), Value(RELEASED), "[O] An attempt left no effect."),
    Row((RecordState.COMPLETED, ANY, ANY), Value(COMPLETED), "[S] There is an answer to replay."),
    Row((RecordState.FORGOTTEN, ANY, ANY), Value(FORGOTTEN), "[O] The answer was erased on purpose."),
)
"""The table `record-standing`: what a record is at an instant within its retention."""

IDEMPOTENCY: Final = Table[tuple[RecordStanding, FingerprintMatch], Execute | Repeat | RefuseWith](
    "idempotency",
    "What a request with an idempotency key gets, by the key's record.",
    (Axis.of("record", RecordStanding), Axis.of("request", FingerprintMatch)),
    Row((ABSENT,     ANY),       EXECUTE,   "[P] The first use, or the record's 24 hours are over."),
    Row((RELEASED,   SAME),      EXECUTE,   "[O] Nothing took effect, so the retry runs."),
    Row((RELEASED,   DIFFERENT), REUSED,    "[O] A key belongs to one request.",              name="released.other"),
    Row((IN_FLIGHT,  SAME),      BUSY,      "[O] The caller may wait; what is left of the lease is named."),
    Row((IN_FLIGHT,  DIFFERENT), REUSED,    "[O] The fingerprint is asked before the lease.", name="in-flight.other"),
    Row((LEASE_OVER, SAME),      EXECUTE,   "[O] Effects commit with the record, so the dead worker left none."),
    Row((LEASE_OVER, DIFFERENT), REUSED,    "[O] Only the same request may take over.",       name="lease-over.other"),
    Row((UNKNOWN,    SAME),      NOT_KNOWN, "[O] Until the server resolves it, running again could run it twice."),
    Row((UNKNOWN,    DIFFERENT), REUSED,    "[O] A key belongs to one request.",              name="unknown.other"),
    Row((COMPLETED,  SAME),      REPEAT,    "[S] Retries replay the original response verbatim."),
    Row((COMPLETED,  DIFFERENT), REUSED,    "[O] Other requests must not get this answer.",   name="completed.other"),
    Row((FORGOTTEN,  SAME),      ERASED,    "[O] Erasing an answer must not run the request again."),
    Row((FORGOTTEN,  DIFFERENT), REUSED,    "[O] A key belongs to one request.",              name="forgotten.other"),
)
"""The table `idempotency`: what a request with a key gets."""
# fmt: on


@attrs.frozen
class RecordKey:
    """A record's key: an idempotency key within the API key it came with, and its owner [P]."""

    owner: KeyOwner
    key: IdempotencyKey

    def __hash__(self) -> int:
        # The API key's id tells owners apart, but for one that was registered again.
        return hash((self.owner.api_key_id, self.key))


@attrs.frozen
class Fingerprint:
    """What makes two requests the same: the parsed operation, never its text [O].

    Its values are a digest of the path ids and the validated body values.
    """

    operation: str
    values: str

    @classmethod
    def of(cls, operation: str, values: list[str]) -> Fingerprint:
        """The fingerprint of an operation and its values.

        Args:
            operation: Its name.
            values: What was read of it, in a fixed order.
        """
        text = "\n".join(values)
        if text.count("\n") == len(values) - 1:
            return Fingerprint(operation, sha256(text.encode()).hexdigest())
        # A value holds a line feed itself, so lengths must tell the values apart.
        by_length = "".join([f"{len(value)}:{value}" for value in values])
        return Fingerprint(operation, f"lengths:{sha256(by_length.encode()).hexdigest()}")


class StoredResponse(ABC):
    """What the first use of a key was answered, as the server keeps it; opaque to the rules."""

    __slots__ = ()

    @abstractmethod
    def to_storable(self) -> StoredResponse:
        """The response as a record may keep it; raises `ArgumentError` where none may."""


@attrs.frozen
class Record:
    """An idempotency record as it is stored.

    Attributes:
        key: Unique.
        fingerprint: Of the request that used the key first.
        state: The stored state; rules ask for the standing.
        token: Given to the latest attempt; only grows, also over retention, never reset.
        first_used_at: When retention began; with the token it names one attempt for ever.
        seen_at: The latest instant that the record has seen.
        lease_until: When the running attempt must have renewed or ended (exclusive).
        lost_lease: What it means if it has not.
        response: What retries get; `None` unless completed.
    """

    key: RecordKey
    fingerprint: Fingerprint
    state: RecordState
    token: int
    first_used_at: datetime
    seen_at: datetime
    lease_until: datetime | None
    lost_lease: LostLeaseAction
    response: StoredResponse | None


@attrs.frozen
class Attempt:
    """The right to execute a request: what `begin` gives, and what fences later acts.

    Attributes:
        token: Larger than every earlier attempt's.
        first_used_at: When the record's retention began.
        started_at: When the attempt began, clamped to what the record has seen.
        key: Whose it is.
        fingerprint: Of the request that it executes.
        rules: The names of the rules that decided.
    """

    key: RecordKey
    fingerprint: Fingerprint
    token: int
    first_used_at: datetime
    started_at: datetime
    rules: tuple[str, ...]


@attrs.frozen
class KnownResponse:
    """The answer is known: give it again, byte for byte, and say beside it that it is one.

    Attributes:
        response: The first answer, or where the server keeps it.
        rules: The names of the rules that decided.
    """

    response: StoredResponse
    rules: tuple[str, ...]


def parse_idempotency_key(value: object) -> IdempotencyKey:
    """An idempotency key, without the quotes it may come in [O].

    Raises:
        ArgumentError: It is no key, as the rules have it.
    """
    if isinstance(value, str) and _KEY.fullmatch(value):
        return IdempotencyKey(value)
    raise ArgumentError("idempotencyKey", "1 to 255 visible ASCII characters")


def record_standing(record: Record | None, now: datetime) -> RecordStanding:
    """What the record is at `now`, a UTC instant, or at the latest it has seen [P, O]."""
    if record is None:
        return ABSENT
    now = max(now, record.seen_at)
    if now - record.first_used_at >= _RETENTION:
        return ABSENT
    until = record.lease_until
    lease = OVER if until is None or now >= until else RUNNING
    return RECORD_STANDING[record.state, lease, record.lost_lease].outcome.value


def record_expires_at(record: Record) -> datetime:
    """When retention is over; a store drops the record then, and never before [P]."""
    return add_microseconds(record.first_used_at, RETENTION)


def begin_attempt(
    record: Record | None, key: RecordKey, fingerprint: Fingerprint, now: datetime
) -> Attempt | KnownResponse | Refused:
    """What a request with an idempotency key gets [S, P; details O].

    Args:
        record: The record as it is stored; `None` where there is none.
        key: The key as it was sent, and whose it is.
        fingerprint: Of the operation that is asked for.
        now: The instant at which it is asked, in UTC.

    Returns:
        Attempt: execute, then store `completed_record` or `in_flight_record`. KnownResponse:
        give it again. Refused: `IDEMPOTENCY_KEY_REUSED`, `_IN_FLIGHT`, `_OUTCOME_UNKNOWN` or
        `_FORGOTTEN`.

    Raises:
        ArgumentError: The instant is not UTC, or the record is of another key.
    """
    check_instant("now", now)
    if record is None:
        return Attempt(
            key=key,
            fingerprint=fingerprint,
            token=1,
            first_used_at=now,
            started_at=now,
            rules=IDEMPOTENCY[ABSENT, SAME].rules,
        )
    if record.key != key:
        raise ArgumentError("record", "the record of the key")
    now = max(now, record.seen_at)
    at = record_standing(record, now)
    row = IDEMPOTENCY[at, SAME if record.fingerprint == fingerprint else DIFFERENT]
    match row.outcome:
        case Repeat():
            assert record.response is not None  # noqa: S101 - a completed record holds one
            return KnownResponse(record.response, row.rules)
        case Execute():
            first = now if at is ABSENT else record.first_used_at
            return Attempt(
                key=key,
                fingerprint=fingerprint,
                token=record.token + 1,
                first_used_at=first,
                started_at=now,
                rules=row.rules,
            )
        case RefuseWith(code):
            return Refused(
                _problem(code, record=record, fingerprint=fingerprint, now=now), row.rules
            )


def in_flight_record(
    attempt: Attempt,
    *,
    lease: int = DEFAULT_LEASE,
    lost_lease: LostLeaseAction = LostLeaseAction.EXECUTE,
) -> Record:
    """The record of an attempt that calls out before it can commit.

    In `lease` microseconds it must renew or end; `lost_lease` is what it means if it does neither.
    """
    until = compute_lease_end(attempt.started_at, lease)
    return build_record(
        attempt,
        state=RecordState.IN_FLIGHT,
        seen_at=attempt.started_at,
        lease_until=until,
        lost_lease=lost_lease,
    )


def completed_record(attempt: Attempt, response: StoredResponse) -> Record:
    """The record of an attempt that commits its effects and its answer in one transaction.

    Args:
        attempt: What `begin` gave.
        response: Its answer, or where the server keeps it.
    """
    kept = response.to_storable()
    return build_record(
        attempt,
        state=RecordState.COMPLETED,
        seen_at=attempt.started_at,
        lease_until=None,
        lost_lease=LostLeaseAction.EXECUTE,
        response=kept,
    )


def build_record(
    source: Attempt | Record,
    state: RecordState,
    seen_at: datetime,
    lease_until: datetime | None,
    lost_lease: LostLeaseAction,
    response: StoredResponse | None = None,
) -> Record:
    """The record of an attempt, or of an earlier record, as it is from `seen_at` on.

    Args:
        source: The attempt, or the earlier record.
        state: What the record is now.
        seen_at: When that is.
        lease_until: When its lease is over, where it runs.
        lost_lease: What a lost lease means.
        response: Its answer, where it is completed.
    """
    key, fingerprint, token, first = (
        source.key,
        source.fingerprint,
        source.token,
        source.first_used_at,
    )
    return Record(
        key=key,
        fingerprint=fingerprint,
        state=state,
        token=token,
        first_used_at=first,
        seen_at=seen_at,
        lease_until=lease_until,
        lost_lease=lost_lease,
        response=response,
    )


def compute_lease_end(now: datetime, lease: int) -> datetime:
    """When a lease that is granted at `now` ends.

    Raises:
        ArgumentError: The lease is shorter than a microsecond.
    """
    if lease < 1:
        raise ArgumentError("lease", "at least 1 microsecond")
    return add_microseconds(now, lease)


def _problem(code: ProblemCode, record: Record, fingerprint: Fingerprint, now: datetime) -> Problem:
    if code is ProblemCode.IDEMPOTENCY_KEY_REUSED:
        other = record.fingerprint.operation != fingerprint.operation
        return Problem(code, ("operation" if other else "values",))
    if code is ProblemCode.IDEMPOTENCY_KEY_IN_FLIGHT and record.lease_until is not None:
        return Problem(code, (ceil_seconds(elapsed(now, record.lease_until)),))
    return Problem(code)
