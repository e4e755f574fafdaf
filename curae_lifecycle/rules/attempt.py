"""What may be done with an idempotency record after its attempt began.

The law of this module: **an attempt that lost its lease can do nothing** to the record.

`ATTEMPT` says what a running attempt may still do, `UPKEEP` what the server may do without one.
What no correct program passes raises `ArgumentError`: a `now` that is not UTC, a lease below 1, a
response that must not be kept.
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
    build_record,
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
    """What an attempt may want to do with its record."""

    RENEW = "renew"
    COMPLETE = "complete"
    RELEASE = "release"


class Holder(StrEnum):
    """Whether the attempt is the one that the record was last given to."""

    CURRENT = "this attempt"
    OTHER = "another attempt"


class UpkeepAction(StrEnum):
    """What the server may do with a record without an attempt."""

    RESOLVE_ANSWERED = "resolve with a response"
    RESOLVE_NOTHING = "resolve as not executed"
    FORGET = "forget"


@attrs.frozen
class Lose:
    """A cell's verdict: the attempt lost its lease."""

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
"""The table `attempt`: what a running attempt may still do."""

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
"""The table `record-upkeep`: what the server may do with a record without holding it."""
# fmt: on


@attrs.frozen
class LeaseLost:
    """The attempt may no longer touch the record, which is as it was: roll back what it did.

    Attributes:
        record: The record as it is stored.
        rules: The names of the rules that decided.
    """

    record: Record | None
    rules: tuple[str, ...]


def renew(
    record: Record | None, attempt: Attempt, now: datetime, *, lease: int = DEFAULT_LEASE
) -> Done[Record] | LeaseLost:
    """Prolong the lease of a running attempt [O].

    Args:
        record: The record as it is stored; `None` where there is none.
        attempt: What `begin` gave.
        now: The instant at which it is asked, in UTC.
        lease: How long it may run from `now` on, in microseconds.

    Returns:
        Done: the record with its longer lease. LeaseLost: the attempt may no longer touch it.
    """
    return _act(RENEW, record=record, attempt=attempt, now=now, lease=lease, response=None)


def complete(
    record: Record | None, attempt: Attempt, response: StoredResponse, now: datetime
) -> Done[Record] | LeaseLost:
    """End a running attempt with the answer that retries will get [S].

    Args:
        record: The record as it is stored; `None` where there is none.
        attempt: What `begin` gave.
        response: The answer, or where the server keeps it.
        now: The instant at which it is asked, in UTC.

    Returns:
        Done: COMPLETED now. LeaseLost: the attempt may no longer touch the record.
    """
    return _act(
        COMPLETE,
        record=record,
        attempt=attempt,
        now=now,
        lease=None,
        response=response.to_storable(),
    )


def release(record: Record | None, attempt: Attempt, now: datetime) -> Done[Record] | LeaseLost:
    """End a running attempt that left no effect, so that a retry may run [O].

    Args:
        record: The record as it is stored; `None` where there is none.
        attempt: What `begin` gave.
        now: The instant at which it is asked, in UTC.

    Returns:
        Done: RELEASED now. LeaseLost: the attempt may no longer touch the record.
    """
    return _act(RELEASE, record=record, attempt=attempt, now=now, lease=None, response=None)


def resolve(
    record: Record | None, now: datetime, *, response: StoredResponse | None
) -> Done[Record] | Ignored[Record | None]:
    """Say what became of an attempt whose worker died [O].

    The response is what it answered, `None` where it is known that nothing happened.

    Args:
        record: The record as it is stored; `None` where there is none.
        now: The instant at which it is asked, in UTC.
        response: What the attempt answered; `None` where it did not take effect.

    Returns:
        Done: COMPLETED now, or RELEASED. Ignored: there was nothing to resolve.
    """
    if response is None:
        return _upkeep(NOTHING, record=record, now=now, response=None)
    return _upkeep(ANSWERED, record=record, now=now, response=response.to_storable())


def forget(record: Record | None, now: datetime) -> Done[Record] | Ignored[Record | None]:
    """Erase the answer on purpose; the key stays used and never executes again [O].

    Args:
        record: The record as it is stored; `None` where there is none.
        now: The instant at which it is asked, in UTC.

    Returns:
        Done: FORGOTTEN now. Ignored: there was nothing to erase.
    """
    return _upkeep(FORGET, record=record, now=now, response=None)


def _act(
    act: AttemptAction,
    record: Record | None,
    attempt: Attempt,
    now: datetime,
    lease: int | None,
    response: StoredResponse | None,
) -> Done[Record] | LeaseLost:
    check_instant("now", now)
    holder = MINE if record is not None and _holds(attempt, record) else OTHERS
    row = ATTEMPT[act, record_standing(record, now), holder]
    if record is None or isinstance(row.outcome, Lose):
        return LeaseLost(record, row.rules)
    now = max(now, record.seen_at)
    until = None if lease is None else compute_lease_end(now, lease)
    moved = build_record(
        record,
        state=row.outcome.to,
        seen_at=now,
        lease_until=until,
        lost_lease=record.lost_lease,
        response=response,
    )
    return Done(moved, row.rules)


def _holds(attempt: Attempt, record: Record) -> bool:
    # The token alone could come again after retention; with the first use it cannot.
    return (
        attempt.token == record.token
        and attempt.first_used_at == record.first_used_at
        and attempt.key == record.key
    )


def _upkeep(
    act: UpkeepAction, record: Record | None, now: datetime, response: StoredResponse | None
) -> Done[Record] | Ignored[Record | None]:
    check_instant("now", now)
    row = UPKEEP[act, record_standing(record, now)]
    if record is None or isinstance(row.outcome, Ignore):
        return Ignored(record, row.rules)
    now, lost = max(now, record.seen_at), record.lost_lease
    return Done(
        build_record(
            record,
            state=row.outcome.to,
            seen_at=now,
            lease_until=None,
            lost_lease=lost,
            response=response,
        ),
        row.rules,
    )
