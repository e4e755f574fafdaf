"""One key, one execution: the record of an idempotency key and what may be done with it.

The laws of this module: **at most one execution of a key takes effect**, and all who get an
answer get the same one, byte for byte; **a record belongs to one API key** (there is no way to
leave the scope out); **an attempt that lost its lease can do nothing** to the record.

Four tables decide. `RECORD_STANDING` says what a record is at an instant, `BEGIN` what a
request with its key gets, `ATTEMPT` what a running attempt may still do, and `UPKEEP` what the
server may do without one.

A server that commits everything in one transaction stores `completed_record(attempt, response)`
with its other writes and needs no state in flight. One that calls out in between stores
`in_flight_record(attempt, ...)` first and then renews, completes or releases. Instants are
clamped to the latest one that the record has seen, so a clock that steps back prolongs nothing.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Final, NewType

import attrs

from curae_lifecycle.rules.outcomes import Done, Ignore, Ignored, MoveTo, Refused, RefuseWith
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.tables import ANY, Axis, Row, Table
from curae_lifecycle.rules.values import (
    HOUR,
    MINUTE,
    ApiKeyId,
    ArgumentError,
    ceil_seconds,
    check_instant,
    elapsed,
    later,
)

IdempotencyKey = NewType("IdempotencyKey", str)

KEY_MAX: Final = 255
RETENTION: Final = 24 * HOUR
"""How long a record is kept, in microseconds from the first use of its key [P]."""

DEFAULT_LEASE: Final = MINUTE
"""How long an attempt may run before it must renew, in microseconds [O]."""


class RecordState(StrEnum):
    """What is stored."""

    IN_FLIGHT = "IN_FLIGHT"
    RELEASED = "RELEASED"
    COMPLETED = "COMPLETED"
    FORGOTTEN = "FORGOTTEN"


class Lease(StrEnum):
    """Where an instant lies to the end of the attempt's lease."""

    RUNNING = "lease running"
    OVER = "lease over"


class LostLease(StrEnum):
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


class Match(StrEnum):
    """The request's fingerprint beside the record's."""

    SAME = "same fingerprint"
    OTHER = "other fingerprint"


class Act(StrEnum):
    """What an attempt may want to do with its record."""

    RENEW = "renew"
    COMPLETE = "complete"
    RELEASE = "release"


class Holder(StrEnum):
    """Whether the attempt is the one that the record was last given to."""

    CURRENT = "this attempt"
    OTHER = "another attempt"


class ServerAct(StrEnum):
    """What the server may do with a record without an attempt."""

    RESOLVE_ANSWERED = "resolve with a response"
    RESOLVE_NOTHING = "resolve as not executed"
    FORGET = "forget"


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


@attrs.frozen
class Lose:
    """A cell's verdict: the attempt lost its lease."""

    def __str__(self) -> str:
        return "lease lost"


RECORD_STANDING: Final = Table[tuple[RecordState, Lease, LostLease], MoveTo[RecordStanding]](
    "record-standing",
    "What an idempotency record is at an instant within its retention.",
    (
        Axis.of("stored state", RecordState),
        Axis.of("lease", Lease),
        Axis.of("a lost lease means", LostLease),
    ),
    (
        Row(
            "record-standing.in-flight",
            (RecordState.IN_FLIGHT, Lease.RUNNING, ANY),
            MoveTo(RecordStanding.IN_FLIGHT),
            "[O] Its attempt is at work.",
        ),
        Row(
            "record-standing.lease-over",
            (RecordState.IN_FLIGHT, Lease.OVER, LostLease.EXECUTE),
            MoveTo(RecordStanding.LEASE_OVER),
            "[O] Its worker died; nothing that it did was committed.",
        ),
        Row(
            "record-standing.unknown",
            (RecordState.IN_FLIGHT, Lease.OVER, LostLease.UNKNOWN),
            MoveTo(RecordStanding.UNKNOWN),
            "[O] Its worker died; effects outside the transaction may have happened.",
        ),
        Row(
            "record-standing.released",
            (RecordState.RELEASED, ANY, ANY),
            MoveTo(RecordStanding.RELEASED),
            "[O] An attempt ended in something retryable.",
        ),
        Row(
            "record-standing.completed",
            (RecordState.COMPLETED, ANY, ANY),
            MoveTo(RecordStanding.COMPLETED),
            "[S] There is an answer to replay.",
        ),
        Row(
            "record-standing.forgotten",
            (RecordState.FORGOTTEN, ANY, ANY),
            MoveTo(RecordStanding.FORGOTTEN),
            "[O] The answer was erased on purpose.",
        ),
    ),
)

BeginVerdict = Execute | Repeat | RefuseWith

_REUSED: Final = RefuseWith(ProblemCode.IDEMPOTENCY_KEY_REUSED)

BEGIN: Final = Table[tuple[RecordStanding, Match], BeginVerdict](
    "idempotency",
    "What a request with an idempotency key gets, by the key's record.",
    (Axis.of("record", RecordStanding), Axis.of("request", Match)),
    (
        Row(
            "idempotency.absent",
            (RecordStanding.ABSENT, ANY),
            Execute(),
            "[P] The first use, or the record's 24 hours are over.",
        ),
        Row(
            "idempotency.released.same",
            (RecordStanding.RELEASED, Match.SAME),
            Execute(),
            "[O] Nothing took effect, so the retry runs.",
        ),
        Row(
            "idempotency.released.other",
            (RecordStanding.RELEASED, Match.OTHER),
            _REUSED,
            "[O] A key belongs to one request even where that one did not finish.",
        ),
        Row(
            "idempotency.in-flight.same",
            (RecordStanding.IN_FLIGHT, Match.SAME),
            RefuseWith(ProblemCode.IDEMPOTENCY_KEY_IN_FLIGHT),
            "[O] Waiting is the caller's choice; what is left of the lease is told.",
        ),
        Row(
            "idempotency.in-flight.other",
            (RecordStanding.IN_FLIGHT, Match.OTHER),
            _REUSED,
            "[O] The fingerprint is asked before the lease.",
        ),
        Row(
            "idempotency.lease-over.same",
            (RecordStanding.LEASE_OVER, Match.SAME),
            Execute(),
            "[O] Effects commit with the record, so the dead worker left none.",
        ),
        Row(
            "idempotency.lease-over.other",
            (RecordStanding.LEASE_OVER, Match.OTHER),
            _REUSED,
            "[O] Only the same request may take over.",
        ),
        Row(
            "idempotency.unknown.same",
            (RecordStanding.UNKNOWN, Match.SAME),
            RefuseWith(ProblemCode.IDEMPOTENCY_OUTCOME_UNKNOWN),
            "[O] Until the server resolves it, running again could run it twice.",
        ),
        Row(
            "idempotency.unknown.other",
            (RecordStanding.UNKNOWN, Match.OTHER),
            _REUSED,
            "[O] A key belongs to one request.",
        ),
        Row(
            "idempotency.completed_record.same",
            (RecordStanding.COMPLETED, Match.SAME),
            Repeat(),
            "[S] Retries replay the original response verbatim.",
        ),
        Row(
            "idempotency.completed_record.other",
            (RecordStanding.COMPLETED, Match.OTHER),
            _REUSED,
            "[O] Another request must not get this one's answer.",
        ),
        Row(
            "idempotency.forgotten.same",
            (RecordStanding.FORGOTTEN, Match.SAME),
            RefuseWith(ProblemCode.IDEMPOTENCY_KEY_FORGOTTEN),
            "[O] Erasing an answer must not run the request again.",
        ),
        Row(
            "idempotency.forgotten.other",
            (RecordStanding.FORGOTTEN, Match.OTHER),
            _REUSED,
            "[O] A key belongs to one request.",
        ),
    ),
)

ATTEMPT: Final = Table[tuple[Act, RecordStanding, Holder], MoveTo[RecordState] | Lose](
    "attempt",
    "What a running attempt may still do: everything while it holds the lease, nothing after.",
    (Axis.of("act", Act), Axis.of("record", RecordStanding), Axis.of("holder", Holder)),
    (
        Row(
            "attempt.renew",
            (Act.RENEW, RecordStanding.IN_FLIGHT, Holder.CURRENT),
            MoveTo(RecordState.IN_FLIGHT),
            "[O] It is at work and says so.",
        ),
        Row(
            "attempt.complete",
            (Act.COMPLETE, RecordStanding.IN_FLIGHT, Holder.CURRENT),
            MoveTo(RecordState.COMPLETED),
            "[S] Its answer is the one that retries get.",
        ),
        Row(
            "attempt.release",
            (Act.RELEASE, RecordStanding.IN_FLIGHT, Holder.CURRENT),
            MoveTo(RecordState.RELEASED),
            "[O] It ended in something retryable and left no effect.",
        ),
        Row(
            "attempt.in-flight.other",
            (ANY, RecordStanding.IN_FLIGHT, Holder.OTHER),
            Lose(),
            "[O] Another attempt took over; a token that is not the record's is fenced off.",
        ),
        Row(
            "attempt.absent",
            (ANY, RecordStanding.ABSENT, ANY),
            Lose(),
            "[O] Its record is gone, and with it every claim.",
        ),
        Row(
            "attempt.released",
            (ANY, RecordStanding.RELEASED, ANY),
            Lose(),
            "[O] Nobody holds a released record.",
        ),
        Row(
            "attempt.lease-over",
            (ANY, RecordStanding.LEASE_OVER, ANY),
            Lose(),
            "[O] It may be taken over at any moment, so its time is up.",
        ),
        Row(
            "attempt.unknown",
            (ANY, RecordStanding.UNKNOWN, ANY),
            Lose(),
            "[O] Only the server can say what happened, by resolving it.",
        ),
        Row(
            "attempt.completed",
            (ANY, RecordStanding.COMPLETED, ANY),
            Lose(),
            "[O] The answer stands; a zombie overwrites nothing.",
        ),
        Row(
            "attempt.forgotten",
            (ANY, RecordStanding.FORGOTTEN, ANY),
            Lose(),
            "[O] What was erased on purpose stays erased.",
        ),
    ),
)

UPKEEP: Final = Table[tuple[ServerAct, RecordStanding], MoveTo[RecordState] | Ignore](
    "record-upkeep",
    "What the server may do with a record without holding it.",
    (Axis.of("act", ServerAct), Axis.of("record", RecordStanding)),
    (
        Row(
            "record-upkeep.resolve-answered.absent",
            (ServerAct.RESOLVE_ANSWERED, RecordStanding.ABSENT),
            Ignore(),
            "[O] There is no record to resolve.",
        ),
        Row(
            "record-upkeep.resolve-answered.released",
            (ServerAct.RESOLVE_ANSWERED, RecordStanding.RELEASED),
            Ignore(),
            "[O] It is resolved: nothing took effect.",
        ),
        Row(
            "record-upkeep.resolve-answered.in-flight",
            (ServerAct.RESOLVE_ANSWERED, RecordStanding.IN_FLIGHT),
            Ignore(),
            "[O] Its attempt is at work and will say.",
        ),
        Row(
            "record-upkeep.resolve-answered.lease-over",
            (ServerAct.RESOLVE_ANSWERED, RecordStanding.LEASE_OVER),
            MoveTo(RecordState.COMPLETED),
            "[O] The server found out that it happened, and what it answered.",
        ),
        Row(
            "record-upkeep.resolve-answered.unknown",
            (ServerAct.RESOLVE_ANSWERED, RecordStanding.UNKNOWN),
            MoveTo(RecordState.COMPLETED),
            "[O] The server found out that it happened, and what it answered.",
        ),
        Row(
            "record-upkeep.resolve-answered.completed",
            (ServerAct.RESOLVE_ANSWERED, RecordStanding.COMPLETED),
            Ignore(),
            "[O] It is resolved: the answer stands.",
        ),
        Row(
            "record-upkeep.resolve-answered.forgotten",
            (ServerAct.RESOLVE_ANSWERED, RecordStanding.FORGOTTEN),
            Ignore(),
            "[O] What was erased on purpose stays erased.",
        ),
        Row(
            "record-upkeep.resolve-nothing.absent",
            (ServerAct.RESOLVE_NOTHING, RecordStanding.ABSENT),
            Ignore(),
            "[O] There is no record to resolve.",
        ),
        Row(
            "record-upkeep.resolve-nothing.released",
            (ServerAct.RESOLVE_NOTHING, RecordStanding.RELEASED),
            Ignore(),
            "[O] It is resolved: nothing took effect.",
        ),
        Row(
            "record-upkeep.resolve-nothing.in-flight",
            (ServerAct.RESOLVE_NOTHING, RecordStanding.IN_FLIGHT),
            Ignore(),
            "[O] Its attempt is at work and will say.",
        ),
        Row(
            "record-upkeep.resolve-nothing.lease-over",
            (ServerAct.RESOLVE_NOTHING, RecordStanding.LEASE_OVER),
            MoveTo(RecordState.RELEASED),
            "[O] The server found out that nothing happened, so a retry may run.",
        ),
        Row(
            "record-upkeep.resolve-nothing.unknown",
            (ServerAct.RESOLVE_NOTHING, RecordStanding.UNKNOWN),
            MoveTo(RecordState.RELEASED),
            "[O] The server found out that nothing happened, so a retry may run.",
        ),
        Row(
            "record-upkeep.resolve-nothing.completed",
            (ServerAct.RESOLVE_NOTHING, RecordStanding.COMPLETED),
            Ignore(),
            "[O] It is resolved: the answer stands.",
        ),
        Row(
            "record-upkeep.resolve-nothing.forgotten",
            (ServerAct.RESOLVE_NOTHING, RecordStanding.FORGOTTEN),
            Ignore(),
            "[O] What was erased on purpose stays erased.",
        ),
        Row(
            "record-upkeep.forget.absent",
            (ServerAct.FORGET, RecordStanding.ABSENT),
            Ignore(),
            "[O] There is nothing to erase.",
        ),
        Row(
            "record-upkeep.forget.released",
            (ServerAct.FORGET, RecordStanding.RELEASED),
            MoveTo(RecordState.FORGOTTEN),
            "[O] The answer is erased; the key stays used, so nothing runs twice.",
        ),
        Row(
            "record-upkeep.forget.in-flight",
            (ServerAct.FORGET, RecordStanding.IN_FLIGHT),
            MoveTo(RecordState.FORGOTTEN),
            "[O] The answer is erased; the key stays used, so nothing runs twice.",
        ),
        Row(
            "record-upkeep.forget.lease-over",
            (ServerAct.FORGET, RecordStanding.LEASE_OVER),
            MoveTo(RecordState.FORGOTTEN),
            "[O] The answer is erased; the key stays used, so nothing runs twice.",
        ),
        Row(
            "record-upkeep.forget.unknown",
            (ServerAct.FORGET, RecordStanding.UNKNOWN),
            MoveTo(RecordState.FORGOTTEN),
            "[O] The answer is erased; the key stays used, so nothing runs twice.",
        ),
        Row(
            "record-upkeep.forget.completed",
            (ServerAct.FORGET, RecordStanding.COMPLETED),
            MoveTo(RecordState.FORGOTTEN),
            "[O] The answer is erased; the key stays used, so nothing runs twice.",
        ),
        Row(
            "record-upkeep.forget.forgotten",
            (ServerAct.FORGET, RecordStanding.FORGOTTEN),
            Ignore(),
            "[O] It was erased before.",
        ),
    ),
)


@attrs.frozen
class RecordKey:
    """A record's key: an idempotency key within the API key it came with [P].

    Attributes:
        api_key_id: The server's id of the API key; there is no scope without one.
        key: The idempotency key.
    """

    api_key_id: ApiKeyId
    key: IdempotencyKey


@attrs.frozen
class Fingerprint:
    """What makes two requests the same: the parsed operation, never its text [O].

    Attributes:
        operation: The operation's name.
        values: A digest of its path ids and validated body values.
    """

    operation: str
    values: str

    @classmethod
    def of(cls, operation: str, *values: str) -> Fingerprint:
        """The fingerprint of an operation and its values, in a fixed order."""
        text = "\n".join(values)
        if text.count("\n") == len(values) - 1:
            return cls(operation, _digest(text))
        # A value holds a line feed itself, so lengths must tell the values apart.
        told_apart = "".join([f"{len(value)}:{value}" for value in values])
        return cls(operation, f"lengths:{_digest(told_apart)}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@attrs.frozen
class Response:
    """An HTTP response: what is answered, and what is kept to be answered again.

    Attributes:
        status: The HTTP status.
        headers: Names in lower case and values, in order, repetitions included.
        body: The exact bytes; they can hold a hand-off URL, so no repr shows them.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = attrs.field(repr=False)


@attrs.frozen
class ResponseReference:
    """Where the server keeps a response, encrypted, instead of the record.

    Attributes:
        status: The HTTP status of the response kept there.
        reference: The server's own name of the place.
    """

    status: int
    reference: str


StoredResponse = Response | ResponseReference


@attrs.frozen
class Record:
    """An idempotency record as it is stored.

    Attributes:
        key: Whose key it is; unique.
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
    lost_lease: LostLease
    response: StoredResponse | None


@attrs.frozen
class Attempt:
    """The right to execute: what `begin` gives, and what fences later acts.

    Attributes:
        key: The record's key.
        fingerprint: The request's fingerprint.
        token: Larger than every earlier attempt's.
        first_used_at: When the record's retention began.
        at: When the attempt began, clamped to what the record has seen.
        rules: The names of the rules that decided.
    """

    key: RecordKey
    fingerprint: Fingerprint
    token: int
    first_used_at: datetime
    at: datetime
    rules: tuple[str, ...]


@attrs.frozen
class KnownResponse:
    """The answer is known: give it again, byte for byte, and say beside it that it is one.

    Attributes:
        response: What was kept.
        rules: The names of the rules that decided.
    """

    response: StoredResponse
    rules: tuple[str, ...]


@attrs.frozen
class LeaseLost:
    """The attempt may no longer touch the record: roll back what it did.

    Attributes:
        record: The record as it was passed in.
        rules: The names of the rules that decided.
    """

    record: Record | None
    rules: tuple[str, ...]


def parse_key(value: object) -> IdempotencyKey:
    """An idempotency key, without the quotes it may come in [O].

    Raises:
        ArgumentError: Not 1 to 255 visible ASCII characters.
    """
    if (
        isinstance(value, str)
        and 0 < len(value) <= KEY_MAX
        and value.isascii()
        and value.isprintable()
        and " " not in value
    ):
        return IdempotencyKey(value)
    raise ArgumentError("Idempotency-Key", "1 to 255 visible ASCII characters")


def record_standing(record: Record | None, now: datetime) -> RecordStanding:
    """What the record is at `now`, a UTC instant, or at the latest it has seen [P, O]."""
    if record is None:
        return RecordStanding.ABSENT
    now = max(now, record.seen_at)
    if elapsed(record.first_used_at, now) >= RETENTION:
        return RecordStanding.ABSENT
    running = record.lease_until is not None and now < record.lease_until
    lease = Lease.RUNNING if running else Lease.OVER
    return RECORD_STANDING[record.state, lease, record.lost_lease].outcome.to


def record_expires_at(record: Record) -> datetime:
    """When retention is over; a store drops the record then, and never before [P]."""
    return later(record.first_used_at, RETENTION)


def begin(
    record: Record | None, key: RecordKey, fingerprint: Fingerprint, now: datetime
) -> Attempt | KnownResponse | Refused:
    """What a request with an idempotency key gets [S, P; details O].

    Args:
        record: The key's record as stored, where there is one.
        key: The idempotency key within its API key.
        fingerprint: The request's.
        now: The instant of the request.

    Returns:
        Attempt: execute, then store `completed_record` or `in_flight_record`. KnownResponse:
        give it again. Refused: `IDEMPOTENCY_KEY_REUSED`, `_IN_FLIGHT`, `_OUTCOME_UNKNOWN` or `_FORGOTTEN`.

    Raises:
        ArgumentError: `now` is no UTC instant, or the record is another key's.
    """
    check_instant("now", now)
    if record is None:
        return Attempt(key, fingerprint, 1, now, now, BEGIN.cells[_FIRST_USE].rules)
    if record.key != key:
        raise ArgumentError("record", "the record of the key")
    now = max(now, record.seen_at)
    at = record_standing(record, now)
    same = record.fingerprint == fingerprint
    row = BEGIN.cells[at, Match.SAME if same else Match.OTHER]
    match row.outcome:
        case Execute():
            first = now if at is RecordStanding.ABSENT else record.first_used_at
            return Attempt(key, fingerprint, record.token + 1, first, now, row.rules)
        case Repeat():
            assert record.response is not None  # noqa: S101 - a completed record holds one
            return KnownResponse(record.response, row.rules)
        case RefuseWith(code):
            return Refused(_problem(code, record, fingerprint, now), row.rules)


_FIRST_USE: Final = (RecordStanding.ABSENT, Match.SAME)


def in_flight_record(
    attempt: Attempt,
    *,
    lease: int = DEFAULT_LEASE,
    lost_lease: LostLease = LostLease.EXECUTE,
) -> Record:
    """The record of an attempt that calls out before it can commit.

    Args:
        attempt: What `begin` gave.
        lease: Microseconds until it must renew or end.
        lost_lease: What it means if it does neither.

    Raises:
        ArgumentError: A lease below 1.
    """
    return Record(
        attempt.key,
        attempt.fingerprint,
        RecordState.IN_FLIGHT,
        attempt.token,
        attempt.first_used_at,
        attempt.at,
        _lease_until(attempt.at, lease),
        lost_lease,
        None,
    )


def completed_record(attempt: Attempt, response: StoredResponse) -> Record:
    """The record of an attempt that commits its effects and its answer in one transaction.

    Raises:
        ArgumentError: A response that must not be kept (see `is_kept`).
    """
    response = _keepable(response)
    return Record(
        attempt.key,
        attempt.fingerprint,
        RecordState.COMPLETED,
        attempt.token,
        attempt.first_used_at,
        attempt.at,
        None,
        LostLease.EXECUTE,
        response,
    )


def renew(
    record: Record | None, attempt: Attempt, now: datetime, *, lease: int = DEFAULT_LEASE
) -> Done[Record] | LeaseLost:
    """Prolong the lease of a running attempt [O].

    Raises:
        ArgumentError: `now` is no UTC instant, or a lease below 1.
    """
    return _act(Act.RENEW, record, attempt, now, lease, None)


def complete(
    record: Record | None, attempt: Attempt, response: StoredResponse, now: datetime
) -> Done[Record] | LeaseLost:
    """End a running attempt with the answer that retries will get [S].

    Raises:
        ArgumentError: `now` is no UTC instant, or a response that must not be kept.
    """
    return _act(Act.COMPLETE, record, attempt, now, None, _keepable(response))


def release(record: Record | None, attempt: Attempt, now: datetime) -> Done[Record] | LeaseLost:
    """End a running attempt that left no effect, so that a retry may run [O].

    Raises:
        ArgumentError: `now` is no UTC instant.
    """
    return _act(Act.RELEASE, record, attempt, now, None, None)


def resolve(
    record: Record | None, now: datetime, *, response: StoredResponse | None
) -> Done[Record] | Ignored[Record | None]:
    """Say what became of an attempt whose worker died [O].

    Args:
        record: The record as stored.
        now: The instant.
        response: What the attempt answered; `None` where it is known that nothing happened.

    Raises:
        ArgumentError: `now` is no UTC instant, or a response that must not be kept.
    """
    if response is None:
        return _upkeep(ServerAct.RESOLVE_NOTHING, record, now, None)
    return _upkeep(ServerAct.RESOLVE_ANSWERED, record, now, _keepable(response))


def forget(record: Record | None, now: datetime) -> Done[Record] | Ignored[Record | None]:
    """Erase the answer on purpose; the key stays used and never executes again [O].

    Raises:
        ArgumentError: `now` is no UTC instant.
    """
    return _upkeep(ServerAct.FORGET, record, now, None)


def is_kept(status: int) -> bool:
    """Whether a response with this status is kept: the rule itself reached it [O].

    A 409 that says *retryable* never reaches a record: `begin` answers it.
    """
    return 200 <= status < 300 or status in {404, 409}  # noqa: PLR2004 - HTTP's own numbers


_NEVER_KEPT: Final = frozenset(
    {
        "date",
        "set-cookie",
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def kept_headers(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The headers that a record may keep: not `Date`, `Set-Cookie` or hop-by-hop ones [O]."""
    dropped = {
        name.strip().lower()
        for header, value in headers
        if header.lower() == "connection"
        for name in value.split(",")
    }
    return tuple(
        (name, value)
        for name, value in headers
        if name.lower() not in _NEVER_KEPT and name.lower() not in dropped
    )


def _act(
    act: Act,
    record: Record | None,
    attempt: Attempt,
    now: datetime,
    lease: int | None,
    response: StoredResponse | None,
) -> Done[Record] | LeaseLost:
    check_instant("now", now)
    # The token alone could come again after retention; with the first use it cannot.
    current = record is not None and (record.key, record.token, record.first_used_at) == (
        attempt.key,
        attempt.token,
        attempt.first_used_at,
    )
    holder = Holder.CURRENT if current else Holder.OTHER
    row = ATTEMPT[act, record_standing(record, now), holder]
    if record is None or isinstance(row.outcome, Lose):
        return LeaseLost(record, row.rules)
    now = max(now, record.seen_at)
    until = None if lease is None else _lease_until(now, lease)
    return Done(_moved(record, row.outcome.to, now, until, response), row.rules)


def _upkeep(
    act: ServerAct, record: Record | None, now: datetime, response: StoredResponse | None
) -> Done[Record] | Ignored[Record | None]:
    check_instant("now", now)
    row = UPKEEP[act, record_standing(record, now)]
    if record is None or isinstance(row.outcome, Ignore):
        return Ignored(record, row.rules)
    moved = _moved(record, row.outcome.to, max(now, record.seen_at), None, response)
    return Done(moved, row.rules)


def _moved(
    record: Record,
    state: RecordState,
    now: datetime,
    lease_until: datetime | None,
    response: StoredResponse | None,
) -> Record:
    return Record(
        record.key,
        record.fingerprint,
        state,
        record.token,
        record.first_used_at,
        now,
        lease_until,
        record.lost_lease,
        response,
    )


def _lease_until(now: datetime, lease: int) -> datetime:
    if lease < 1:
        raise ArgumentError("lease", "at least 1 microsecond")
    return later(now, lease)


def _keepable(response: StoredResponse) -> StoredResponse:
    if not is_kept(response.status):
        raise ArgumentError("response", "a 2xx, 404 or 409; release the attempt instead")
    if isinstance(response, ResponseReference):
        return response
    headers = kept_headers(response.headers)
    if headers == response.headers:
        return response
    return Response(response.status, headers, response.body)


def _problem(code: ProblemCode, record: Record, fingerprint: Fingerprint, now: datetime) -> Problem:
    if code is ProblemCode.IDEMPOTENCY_KEY_REUSED:
        other = record.fingerprint.operation != fingerprint.operation
        return Problem(code, ("operation" if other else "values",))
    if code is ProblemCode.IDEMPOTENCY_KEY_IN_FLIGHT and record.lease_until is not None:
        return Problem(code, (ceil_seconds(elapsed(now, record.lease_until)),))
    return Problem(code)
