"""Transitions of an idempotency record after its attempt began.

The law of this module: **an attempt that lost its lease can do nothing** to the record.

`ATTEMPT` decides what a running attempt may still do. `UPKEEP` decides what the server may do
without an attempt. Arguments that no correct program passes raise `ArgumentError`: a `now` that is
not UTC, a lease below 1 microsecond, a response that must not be stored.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules.idempotency import (
    DEFAULT_LEASE,
    Attempt,
    Record,
    RecordStanding,
    RecordState,
    StoredResponse,
    compute_lease_end,
    record_standing,
)
from curae_lifecycle.rules.outcomes import (
    IGNORE,
    Done,
    Ignore,
    Ignored,
    MoveTo,
)
from curae_lifecycle.rules.tables import ANY, Axis, Row, Table
from curae_lifecycle.rules.values import check_instant


class AttemptAction(StrEnum):
    """The actions that a running attempt may ask for on its idempotency record.

    An attempt is one execution of a request under its idempotency key.

    Attributes:
        RENEW: Extend the lease, the time in which the attempt must renew or end.
        COMPLETE: End the attempt with the response that retries get.
        RELEASE: End the attempt without effect, so that a retry may run.
    """

    RENEW = "renew"
    COMPLETE = "complete"
    RELEASE = "release"


class Holder(StrEnum):
    """The two cases of an attempt that acts on an idempotency record: it holds the record, or not.

    Attributes:
        CURRENT: The record's latest attempt is this one.
        OTHER: Another attempt took over and holds the record, or there is no record.
    """

    CURRENT = "this attempt"
    OTHER = "another attempt"


class UpkeepAction(StrEnum):
    """The actions on an idempotency record that a server or its operator takes, not an attempt.

    Attributes:
        RESOLVE_ANSWERED: Record that an attempt whose worker died took effect, with its response.
        RESOLVE_NOTHING: Record that an attempt whose worker died had no effect.
        FORGET: Erase the stored response on purpose; the idempotency key stays used.
    """

    RESOLVE_ANSWERED = "resolve with a response"
    RESOLVE_NOTHING = "resolve as not executed"
    FORGET = "forget"


@attrs.frozen
class Lose:
    """The outcome of a cell of the table `attempt`: the attempt can no longer change the record.

    `renew`, `complete` or `release` returns `LeaseLost`.
    """

    def __str__(self) -> str:
        return "lease lost"


RENEW, COMPLETE, RELEASE = AttemptAction
ANSWERED, NOTHING, FORGET = UpkeepAction
MINE, OTHERS = Holder
ABSENT, RELEASED, IN_FLIGHT, LEASE_OVER, UNKNOWN, COMPLETED, FORGOTTEN = RecordStanding

TO_IN_FLIGHT: Final = MoveTo(RecordState.IN_FLIGHT)
TO_COMPLETED: Final = MoveTo(RecordState.COMPLETED)
TO_RELEASED: Final = MoveTo(RecordState.RELEASED)
TO_FORGOTTEN: Final = MoveTo(RecordState.FORGOTTEN)
LOST: Final = Lose()

# fmt: off
ATTEMPT: Final = Table[tuple[AttemptAction, RecordStanding, Holder], MoveTo[RecordState] | Lose](
    "attempt",
    "What a running attempt may still do: everything while it holds the lease, nothing after.",
    (Axis.of("act", AttemptAction), Axis.of("record", RecordStanding), Axis.of("holder", Holder)),
    Row((RENEW,    IN_FLIGHT,  MINE),   TO_IN_FLIGHT, "[O] It is at work and says so.", name="renew"),
    Row((COMPLETE, IN_FLIGHT,  MINE),   TO_COMPLETED, "[S] Its answer is the one that retries get.", name="complete"),
    Row((RELEASE,  IN_FLIGHT,  MINE),   TO_RELEASED,  "[O] It left no effect, so a retry may run.", name="release"),
    Row((ANY,      IN_FLIGHT,  OTHERS), LOST,         "[O] Another attempt took over.", name="in-flight.other"),
    Row((ANY,      ABSENT,     ANY),    LOST,         "[O] Its record is gone, and with it every claim."),
    Row((ANY,      RELEASED,   ANY),    LOST,         "[O] Nobody holds a released record."),
    Row((ANY,      LEASE_OVER, ANY),    LOST,         "[O] It may be taken over at any moment, so its time is up."),
    Row((ANY,      UNKNOWN,    ANY),    LOST,         "[O] Only the server can say what happened, by resolving it."),
    Row((ANY,      COMPLETED,  ANY),    LOST,         "[O] The answer stands; a late attempt overwrites nothing."),
    Row((ANY,      FORGOTTEN,  ANY),    LOST,         "[O] What was erased on purpose stays erased."),
)
"""The table `attempt`: whether an attempt may still renew, complete or release its record."""

UPKEEP: Final = Table[tuple[UpkeepAction, RecordStanding], MoveTo[RecordState] | Ignore](
    "record-upkeep",
    "What the server may do with a record without holding it.",
    (Axis.of("act", UpkeepAction), Axis.of("record", RecordStanding)),
    Row((ANSWERED, ABSENT),     IGNORE,       "[O] There is no record.", name="resolve-answered.absent"),
    Row((ANSWERED, RELEASED),   IGNORE,       "[O] Nothing took effect.", name="resolve-answered.released"),
    Row((ANSWERED, IN_FLIGHT),  IGNORE,       "[O] Its attempt will say.", name="resolve-answered.in-flight"),
    Row((ANSWERED, LEASE_OVER), TO_COMPLETED, "[O] It happened, with this answer.", name="resolve-answered.lease-over"),
    Row((ANSWERED, UNKNOWN),    TO_COMPLETED, "[O] It happened, with this answer.", name="resolve-answered.unknown"),
    Row((ANSWERED, COMPLETED),  IGNORE,       "[O] The answer stands.", name="resolve-answered.completed"),
    Row((ANSWERED, FORGOTTEN),  IGNORE,       "[O] What was erased stays so.", name="resolve-answered.forgotten"),
    Row((NOTHING,  ABSENT),     IGNORE,       "[O] There is no record.", name="resolve-nothing.absent"),
    Row((NOTHING,  RELEASED),   IGNORE,       "[O] Nothing took effect.", name="resolve-nothing.released"),
    Row((NOTHING,  IN_FLIGHT),  IGNORE,       "[O] Its attempt will say.", name="resolve-nothing.in-flight"),
    Row((NOTHING,  LEASE_OVER), TO_RELEASED,  "[O] Nothing happened; a retry runs.", name="resolve-nothing.lease-over"),
    Row((NOTHING,  UNKNOWN),    TO_RELEASED,  "[O] Nothing happened; a retry runs.", name="resolve-nothing.unknown"),
    Row((NOTHING,  COMPLETED),  IGNORE,       "[O] The answer stands.", name="resolve-nothing.completed"),
    Row((NOTHING,  FORGOTTEN),  IGNORE,       "[O] What was erased stays so.", name="resolve-nothing.forgotten"),
    Row((FORGET,   ABSENT),     IGNORE,       "[O] There is nothing to erase."),
    Row((FORGET,   RELEASED),   TO_FORGOTTEN, "[O] The key stays used, so nothing runs twice."),
    Row((FORGET,   IN_FLIGHT),  TO_FORGOTTEN, "[O] The key stays used, so nothing runs twice."),
    Row((FORGET,   LEASE_OVER), TO_FORGOTTEN, "[O] The key stays used, so nothing runs twice."),
    Row((FORGET,   UNKNOWN),    TO_FORGOTTEN, "[O] The key stays used, so nothing runs twice."),
    Row((FORGET,   COMPLETED),  TO_FORGOTTEN, "[O] The key stays used, so nothing runs twice."),
    Row((FORGET,   FORGOTTEN),  IGNORE,       "[O] It was erased before."),
)
"""The table `record-upkeep`: the effect of each `UpkeepAction` on an idempotency record.

The server or its operator resolves an attempt whose worker died, or erases a stored response.
"""
# fmt: on


@attrs.frozen
class LeaseLost:
    """The outcome for an attempt that may no longer change its record, which is unchanged.

    The lease, the time in which the attempt must renew or end, has expired, or the record is no
    longer in flight for this attempt. The caller must roll back whatever the attempt did.

    Attributes:
        record: The record as it is stored; `None` if there is none.
        rules: The names of the rules that decided, in order.
    """

    record: Record | None
    rules: tuple[str, ...]


def renew(
    record: Record | None, attempt: Attempt, now: datetime, *, lease: int = DEFAULT_LEASE
) -> Done[Record] | LeaseLost:
    """Extend the lease of a running attempt: the time in which it must renew or end [O].

    Args:
        record: The record as it is stored; `None` if there is none.
        attempt: The attempt that `begin_attempt` returned.
        now: The instant of the renewal, in UTC.
        lease: The length of the new lease from `now`, in microseconds, at least 1.

    Returns:
        Done: the record with the new lease. LeaseLost: the record is not in flight for this
        attempt, or the lease has expired, even if no other attempt began since.

    Raises:
        ArgumentError: `now` is not UTC, or `lease` is below 1.
    """
    return _act(RENEW, record=record, attempt=attempt, now=now, lease=lease)


def complete(
    record: Record | None, attempt: Attempt, response: StoredResponse, now: datetime
) -> Done[Record] | LeaseLost:
    """End a running attempt with the response that retries get [S].

    Args:
        record: The record as it is stored; `None` if there is none.
        attempt: The attempt that `begin_attempt` returned.
        response: The response, or a reference to it in the server's storage.
        now: The instant of the completion, in UTC.

    Returns:
        Done: the record, now COMPLETED. LeaseLost: the lease has expired, or the record is not in
        flight for this attempt.

    Raises:
        ArgumentError: `now` is not UTC, or `response` has a status that must not be stored.
    """
    kept = response.to_storable()
    return _act(COMPLETE, record=record, attempt=attempt, now=now, response=kept)


def release(record: Record | None, attempt: Attempt, now: datetime) -> Done[Record] | LeaseLost:
    """End a running attempt that left no effect, so that a retry may run [O].

    Args:
        record: The record as it is stored; `None` if there is none.
        attempt: The attempt that `begin_attempt` returned.
        now: The instant of the release, in UTC.

    Returns:
        Done: the record, now RELEASED. LeaseLost: the lease has expired, or the record is not in
        flight for this attempt.

    Raises:
        ArgumentError: `now` is not UTC.
    """
    return _act(RELEASE, record=record, attempt=attempt, now=now)


def resolve(
    record: Record | None, now: datetime, *, response: StoredResponse | None
) -> Done[Record] | Ignored[Record | None]:
    """Record the result of an attempt whose worker died before it could end the attempt [O].

    A record can be resolved only if it is in flight and the attempt's lease (the time to renew or
    end) has expired.

    Args:
        record: The record as it is stored; `None` if there is none.
        now: The instant of the resolution, in UTC.
        response: The response of the attempt; `None` if the attempt is known to have had no effect.

    Returns:
        Done: the record, now COMPLETED, or RELEASED if `response` is `None`. Ignored: there is
        no record in flight whose lease has expired; the value is `record`.

    Raises:
        ArgumentError: `now` is not UTC, or `response` has a status that must not be stored.
    """
    if response is None:
        return _upkeep(NOTHING, record, now)
    return _upkeep(ANSWERED, record, now, response=response.to_storable())


def forget(record: Record | None, now: datetime) -> Done[Record] | Ignored[Record | None]:
    """Erase the stored response of an idempotency key on purpose [O].

    The key stays used: until its record expires, 24 hours after the first use of the key, no
    request with the key is executed. An attempt that is still running can no longer complete.

    Args:
        record: The record as it is stored; `None` if there is none.
        now: The instant of the erasure, in UTC.

    Returns:
        Done: the record, now FORGOTTEN. Ignored: there is no record, it has expired, or it was
        FORGOTTEN before; the value is `record`.

    Raises:
        ArgumentError: `now` is not UTC.
    """
    return _upkeep(FORGET, record, now)


def _act(
    act: AttemptAction,
    record: Record | None,
    attempt: Attempt,
    now: datetime,
    *,
    lease: int | None = None,
    response: StoredResponse | None = None,
) -> Done[Record] | LeaseLost:
    check_instant("now", now)
    holder = MINE if record is not None and _holds(attempt, record) else OTHERS
    row = ATTEMPT[act, record_standing(record, now), holder]
    if record is None or isinstance(row.outcome, Lose):
        return LeaseLost(record, row.rules)
    now = max(now, record.seen_at)
    updated = attrs.evolve(
        record,
        state=row.outcome.to,
        seen_at=now,
        lease_until=None if lease is None else compute_lease_end(now, lease),
        response=response,
    )
    return Done(updated, row.rules)


def _holds(attempt: Attempt, record: Record) -> bool:
    # Tokens can repeat once retention has dropped the record; the first use tells them apart.
    return (
        attempt.token == record.token
        and attempt.first_used_at == record.first_used_at
        and attempt.key == record.key
    )


def _upkeep(
    act: UpkeepAction,
    record: Record | None,
    now: datetime,
    *,
    response: StoredResponse | None = None,
) -> Done[Record] | Ignored[Record | None]:
    check_instant("now", now)
    row = UPKEEP[act, record_standing(record, now)]
    if record is None or isinstance(row.outcome, Ignore):
        return Ignored(record, row.rules)
    updated = attrs.evolve(
        record,
        state=row.outcome.to,
        seen_at=max(now, record.seen_at),
        lease_until=None,
        response=response,
    )
    return Done(updated, row.rules)
