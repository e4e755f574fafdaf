"""One key, one execution: the record of an idempotency key, and the answer to a request with it.

The laws of this module: **at most one execution of a key takes effect**, and all clients that get
an answer get the same one, byte for byte; **a record belongs to one API key and its owner** (there
is no way to leave the scope out).

`RECORD_STANDING` decides the standing of a record at an instant. `IDEMPOTENCY` decides the answer
to a request with its key.

- A server that commits everything in one transaction stores `completed_record(attempt, response)`
  with its other writes. It needs no record in flight.
- A server that calls another service in between stores `in_flight_record(attempt, ...)` first. It
  then goes on with the functions of the module `attempt`.

Instants are clamped to the latest one that the record has seen, so a clock that steps back extends
nothing. Arguments that no correct program passes raise `ArgumentError`: a `now` that is not UTC, a
lease below 1 microsecond, a response that must not be stored, another key's record.
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
"""A parsed idempotency key: its quoted and its bare spelling are the same key."""

IDEMPOTENCY_KEY_MAX_LENGTH: Final = 255
"""The maximum length of an idempotency key, in characters [O]."""

_KEY: Final = re.compile(f"[!-~]{{1,{IDEMPOTENCY_KEY_MAX_LENGTH}}}")

RETENTION: Final = 24 * HOUR
"""The time for which a record is kept, in microseconds from the first use of its key [P]."""

_RETENTION_SPAN: Final = RETENTION * TICK

DEFAULT_LEASE: Final = MINUTE
"""The default lease of an attempt, in microseconds [O].

An attempt is one execution of a request. It must renew its lease, or end, in that time.
"""


class RecordState(StrEnum):
    """The stored state of an idempotency record.

    Attributes:
        IN_FLIGHT: An attempt is executing the request.
        RELEASED: The attempt ended without effect; a retry may run.
        COMPLETED: The response is stored; retries get it.
        FORGOTTEN: The response was erased on purpose; the key stays used.
    """

    IN_FLIGHT = "IN_FLIGHT"
    RELEASED = "RELEASED"
    COMPLETED = "COMPLETED"
    FORGOTTEN = "FORGOTTEN"


class LeaseState(StrEnum):
    """The state of a lease, the time in which an attempt must renew or end: running, or over."""

    RUNNING = "lease running"
    OVER = "lease over"


class LostLeaseAction(StrEnum):
    """The answer to a retry after the lease of an attempt (its time to renew or end) expired.

    The server chooses it when the attempt starts. EXECUTE runs the retry: right if effects commit
    together with the record, so the expired attempt had none. UNKNOWN refuses the retry: right if
    the attempt calls another service, so its effects may have happened.
    """

    EXECUTE = "execute"
    UNKNOWN = "unknown"


class RecordStanding(StrEnum):
    """The state of an idempotency record at an instant, after its lease and retention apply.

    The lease is the time in which a running attempt must renew or end.

    Attributes:
        ABSENT: There is no record, or its retention is over.
        RELEASED: The attempt ended without effect; a retry may run.
        IN_FLIGHT: An attempt is running under its lease.
        LEASE_OVER: The lease expired. The record's `lost_lease` is EXECUTE: a retry may run.
        UNKNOWN: The lease expired. The record's `lost_lease` is UNKNOWN: no retry runs before the
            server says what happened.
        COMPLETED: The response is stored; retries get it.
        FORGOTTEN: The response was erased on purpose; the key stays used.
    """

    ABSENT = "absent, or retention over"
    RELEASED = "released"
    IN_FLIGHT = "in flight, lease running"
    LEASE_OVER = "in flight, lease over"
    UNKNOWN = "unknown"
    COMPLETED = "completed"
    FORGOTTEN = "forgotten"


class FingerprintMatch(StrEnum):
    """The two cases of a request with a used key: the same request as before, or another.

    A fingerprint identifies the operation and values of a request.
    """

    SAME = "same fingerprint"
    OTHER = "other fingerprint"


@attrs.frozen
class Execute:
    """The outcome of a cell of the table `idempotency`: execute the request, as a new attempt."""

    def __str__(self) -> str:
        return "execute"


@attrs.frozen
class Repeat:
    """The outcome of a cell of the table `idempotency`: replay the stored response."""

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
"""The table `record-standing`: the standing (effective state) of a record within its retention."""

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
"""The table `idempotency`: the answer to a request with an idempotency key."""
# fmt: on


@attrs.frozen
class RecordKey:
    """The key of an idempotency record: the client's `key`, and the `owner` of the record [P].

    The owner is the API key's id with its app, customer account and environment.
    """

    owner: KeyOwner
    key: IdempotencyKey


@attrs.frozen
class Fingerprint:
    """The identity of a request: two requests with equal fingerprints are the same request [O].

    A record holds the fingerprint of its request, so that another request cannot use the same key.
    A fingerprint is made of the parsed operation, never of the request's text.

    Attributes:
        operation: The name of the operation.
        values: A digest of the path ids and the parsed body values.
    """

    operation: str
    values: str

    @classmethod
    def of(cls, operation: str, values: list[str]) -> Fingerprint:
        """Return the fingerprint of an operation and its values.

        Args:
            operation: The name of the operation.
            values: The path ids and the parsed body values as text, in a fixed order.
        """
        text = "\n".join(values)
        if text.count("\n") == len(values) - 1:
            return Fingerprint(operation, sha256(text.encode()).hexdigest())
        # A value contains a line feed, so only the lengths tell where each value ends.
        by_length = "".join([f"{len(value)}:{value}" for value in values])
        return Fingerprint(operation, f"lengths:{sha256(by_length.encode()).hexdigest()}")


class StoredResponse(ABC):
    """The base class of the responses that records keep for retries, such as `Response`."""

    __slots__ = ()

    @abstractmethod
    def to_storable(self) -> StoredResponse:
        """Return the response as it is stored for retries.

        A `service.response.Response` leaves out headers such as `Date`. A `ResponseReference`, for
        servers that store responses elsewhere, stays as it is.

        Raises:
            ArgumentError: The response has a status that must not be stored.
        """


@attrs.frozen
class Record:
    """An idempotency record as it is stored.

    Attributes:
        key: The key of the record; a store has at most one record for each key.
        fingerprint: The fingerprint of the request that used the key first.
        state: The stored state; rules ask for the standing.
        token: The number of the latest attempt. Each attempt gets a larger number than those
            before, even past retention, so an earlier attempt that still runs has a smaller one.
        first_used_at: When the key was first used, which began its retention. Once a store has
            dropped a record, tokens begin at 1 again; this instant then tells the attempts apart.
        seen_at: When the record was last written. If `now` is earlier, rules use `seen_at` instead.
        lease_until: When the lease of the running attempt expires (exclusive); `None` if none runs.
        lost_lease: The answer to a retry if the lease expires before the attempt renewed or ended.
        response: The response that retries get; `None` unless completed.
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
    """The right to execute a request; `begin_attempt` grants it.

    An attempt with a smaller token than the record may no longer change the record.

    Attributes:
        key: The key of the record.
        fingerprint: The fingerprint of the request to execute.
        token: A number larger than that of every earlier attempt of the stored record.
        first_used_at: When the key was first used, which began the record's retention.
        started_at: When the attempt began, but never before `Record.seen_at` of the stored record.
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
    """The answer to a retry: the stored response, to send again byte for byte.

    If you mark the answer as a replay, do so outside of these bytes.

    Attributes:
        response: The response to the first request, or a reference to it in the server's storage.
        rules: The names of the rules that decided.
    """

    response: StoredResponse
    rules: tuple[str, ...]


def parse_idempotency_key(value: object) -> IdempotencyKey:
    """Check an idempotency key and return it [O].

    The caller has already removed the quotes of a quoted key.

    Raises:
        ArgumentError: The value is not 1 to 255 visible ASCII characters.
    """
    if isinstance(value, str) and _KEY.fullmatch(value):
        return IdempotencyKey(value)
    raise ArgumentError("idempotencyKey", "1 to 255 visible ASCII characters")


def record_standing(record: Record | None, now: datetime) -> RecordStanding:
    """Return the standing of an idempotency record: its state at an instant [P, O].

    It can differ from the stored state, because the lease and the retention apply.

    Args:
        record: The record as it is stored; `None` if there is none.
        now: The instant, in UTC; `record.seen_at` counts instead if that is later.

    Returns:
        The standing; ABSENT if there is no record, or its retention has expired.
    """
    if record is None:
        return ABSENT
    now = max(now, record.seen_at)
    if now - record.first_used_at >= _RETENTION_SPAN:
        return ABSENT
    until = record.lease_until
    lease = OVER if until is None or now >= until else RUNNING
    return RECORD_STANDING[record.state, lease, record.lost_lease].outcome.value


def record_expires_at(record: Record) -> datetime:
    """Return when an idempotency record's retention ends: 24 hours after its key's first use [P].

    A store may drop the record from that instant, and never before.
    """
    return add_microseconds(record.first_used_at, RETENTION)


def begin_attempt(
    record: Record | None, key: RecordKey, fingerprint: Fingerprint, now: datetime
) -> Attempt | KnownResponse | Refused:
    """Decide what to do with a request that has an idempotency key [S, P; details O].

    Args:
        record: The record as it is stored; `None` if there is none.
        key: The idempotency key of the request, with its owner.
        fingerprint: The fingerprint of the requested operation.
        now: The instant of the request, in UTC.

    Returns:
        Attempt: execute, and store the record from `completed_record` with your writes, or the one
        from `in_flight_record` before you call another service. KnownResponse: the request was
        completed before; send that response. Refused: `IDEMPOTENCY_KEY_REUSED` if another request
        used the key; `IDEMPOTENCY_KEY_IN_FLIGHT` while another attempt runs;
        `IDEMPOTENCY_OUTCOME_UNKNOWN` if an attempt did not end in time and may have had effects;
        `IDEMPOTENCY_KEY_FORGOTTEN` if the stored response was erased.

    Raises:
        ArgumentError: `now` is not UTC, or the record belongs to another key.
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
    current = record_standing(record, now)
    row = IDEMPOTENCY[current, SAME if record.fingerprint == fingerprint else DIFFERENT]
    match row.outcome:
        case Repeat():
            assert record.response is not None  # noqa: S101 - a completed record holds one
            return KnownResponse(record.response, row.rules)
        case Execute():
            return Attempt(
                key=key,
                fingerprint=fingerprint,
                token=record.token + 1,
                first_used_at=now if current is ABSENT else record.first_used_at,
                started_at=now,
                rules=row.rules,
            )
        case RefuseWith(code):
            return Refused(
                _build_problem(code, record=record, fingerprint=fingerprint, now=now), row.rules
            )


def in_flight_record(
    attempt: Attempt,
    *,
    lease: int = DEFAULT_LEASE,
    lost_lease: LostLeaseAction = LostLeaseAction.EXECUTE,
) -> Record:
    """Return the IN_FLIGHT record to store before an attempt calls another service.

    Args:
        attempt: The attempt that `begin_attempt` returned.
        lease: The time in which the attempt must renew or end, in microseconds, at least 1.
        lost_lease: The answer to a retry if the lease expires before the attempt renewed or ended.

    Raises:
        ArgumentError: `lease` is below 1.
    """
    return Record(
        key=attempt.key,
        fingerprint=attempt.fingerprint,
        state=RecordState.IN_FLIGHT,
        token=attempt.token,
        first_used_at=attempt.first_used_at,
        seen_at=attempt.started_at,
        lease_until=compute_lease_end(attempt.started_at, lease),
        lost_lease=lost_lease,
        response=None,
    )


def completed_record(attempt: Attempt, response: StoredResponse) -> Record:
    """Return the COMPLETED record of an attempt, to commit in one transaction with its writes.

    Args:
        attempt: The attempt that `begin_attempt` returned.
        response: The response, or a reference to it in the server's storage.

    Raises:
        ArgumentError: `response` has a status that must not be stored.
    """
    return Record(
        key=attempt.key,
        fingerprint=attempt.fingerprint,
        state=RecordState.COMPLETED,
        token=attempt.token,
        first_used_at=attempt.first_used_at,
        seen_at=attempt.started_at,
        lease_until=None,
        lost_lease=LostLeaseAction.EXECUTE,
        response=response.to_storable(),
    )


def compute_lease_end(now: datetime, lease: int) -> datetime:
    """Return the instant at which a lease of `lease` microseconds from `now` expires.

    Raises:
        ArgumentError: `lease` is below 1.
    """
    if lease < 1:
        raise ArgumentError("lease", "at least 1 microsecond")
    return add_microseconds(now, lease)


def _build_problem(
    code: ProblemCode, record: Record, fingerprint: Fingerprint, now: datetime
) -> Problem:
    if code is ProblemCode.IDEMPOTENCY_KEY_REUSED:
        same_operation = record.fingerprint.operation == fingerprint.operation
        return Problem(code, ("values" if same_operation else "operation",))
    if code is ProblemCode.IDEMPOTENCY_KEY_IN_FLIGHT and record.lease_until is not None:
        return Problem(code, (ceil_seconds(elapsed(now, record.lease_until)),))
    return Problem(code)
