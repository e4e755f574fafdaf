"""Claims about instants: spans between them, and ends of intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

from curae_lifecycle.rules import connection, idempotency, values
from curae_lifecycle.rules.connection import Connection, Standing, Status
from curae_lifecycle.rules.idempotency import LostLeaseAction, Record, RecordStanding, RecordState
from tests.proof.symbolic.claims import Claim, Mistake, as_datetime, as_int, as_number, span
from tests.proof.symbolic.integers import Instant, assume, instant, number, require
from tests.support.strategies import pending

# --- The numbers themselves ------------------------------------------------------------------


def numbers_are_pythons() -> None:
    for left in range(-12, 13):
        for right in range(-12, 13):
            first, second = number(f"l{left}", left, left), number(f"r{right}", right, right)
            require(first + second == left + right, "a sum")
            require(first - second == left - right, "a difference")
            require(first * second == left * right, "a product")
            require((first < second) if left < right else (first >= second), "an order")
            if right > 0:
                require(first // second == left // right, "a quotient, rounded down")


# --- Spans -----------------------------------------------------------------------------------


def whole_seconds() -> None:
    span = number("span")
    seconds = as_number(values.ceil_seconds(as_int(span)))
    require(seconds >= 1, "at least 1")
    require(seconds * values.SECOND >= span, "no less than the span")
    if seconds > 1:
        require((seconds - 1) * values.SECOND < span, "the fewest that are no less")


def spans_add_up() -> None:
    first, second, third = instant("first"), instant("second"), instant("third")
    through = span(first, second) + span(second, third)
    require(through == span(first, third), "two spans are the span of both")
    backwards = span(first, second) < 0
    require(backwards if second < first else span(first, second) >= 0, "negative backwards")


# --- Intervals -------------------------------------------------------------------------------


def standing_ends(status: Status, before: Standing, over: Standing) -> Callable[[], None]:
    def check() -> None:
        now, end = instant("now"), instant("end")
        held = Connection(
            pending().identity,
            status,
            as_datetime(now),
            handoff_deadline=as_datetime(end) if status is Status.PENDING else None,
            expires_at=None if status is Status.PENDING else as_datetime(end),
        )
        at = connection.standing(held, as_datetime(now), era=None)
        require(at is (before if now < end else over), "half-open: at its end it is over")

    return check


def record_ends() -> None:
    now, first, seen, lease = (instant(name) for name in ("now", "first", "seen", "lease"))
    assume(span(first, seen) >= 0)
    for lost in LostLeaseAction:
        record = Record(
            key=cast("idempotency.RecordKey", None),
            fingerprint=idempotency.Fingerprint("create", ""),
            state=RecordState.IN_FLIGHT,
            token=1,
            first_used_at=as_datetime(first),
            seen_at=as_datetime(seen),
            lease_until=as_datetime(lease),
            lost_lease=lost,
            response=None,
        )
        at = idempotency.record_standing(record, as_datetime(now))
        latest = _latest(now, seen)
        over = (
            RecordStanding.LEASE_OVER if lost is LostLeaseAction.EXECUTE else RecordStanding.UNKNOWN
        )
        if span(first, latest) >= idempotency.RETENTION:
            require(at is RecordStanding.ABSENT, "retention is over at its end")
        else:
            running = latest < lease
            require(at is (RecordStanding.IN_FLIGHT if running else over), "a lease is half-open")


def _latest(first: Instant, second: Instant) -> Instant:
    if first < second:
        return second
    return first


# --- All of them -----------------------------------------------------------------------------


def claims() -> Iterator[Claim]:
    """Yield the claims about instants and their numbers."""
    yield Claim("the solver's integers are Python's, from -12 to 12", numbers_are_pythons, ())
    yield Claim(
        "ceil_seconds is the fewest whole seconds, at least 1",
        whole_seconds,
        (
            Mistake(
                module=values,
                function="ceil_seconds",
                right="-(-span // SECOND)",
                wrong="span // SECOND",
            ),
            Mistake(
                module=values,
                function="ceil_seconds",
                right="-(-span // SECOND)",
                wrong="span // SECOND + 1",
            ),
            Mistake(
                module=values,
                function="ceil_seconds",
                right="max(1, -(-span // SECOND))",
                wrong="-(-span // SECOND)",
            ),
        ),
    )
    yield Claim(
        "elapsed adds up, and is negative exactly where the clock ran backwards",
        spans_add_up,
        (Mistake(module=values, function="elapsed", right="(now - since)", wrong="(since - now)"),),
    )
    for status, before, over in (
        (Status.PENDING, Standing.PENDING, Standing.LAPSED),
        (Status.ACTIVE, Standing.ACTIVE, Standing.EXPIRED),
        (Status.ACTION_REQUIRED, Standing.ACTION_REQUIRED, Standing.EXPIRED),
    ):
        yield Claim(
            f"a connection stored {status} is over at its end and not a tick before",
            standing_ends(status, before, over),
            (
                Mistake(
                    module=connection,
                    function="standing",
                    right="now < deadline",
                    wrong="now <= deadline",
                ),
            ),
        )
    yield Claim(
        "a record's lease and retention are over at their ends and not a tick before",
        record_ends,
        (
            Mistake(
                module=idempotency,
                function="record_standing",
                right=">= _RETENTION",
                wrong="> _RETENTION",
            ),
            Mistake(
                module=idempotency,
                function="record_standing",
                right="now = max(now, record.seen_at)",
                wrong="pass",
            ),
            Mistake(
                module=idempotency,
                function="record_standing",
                right="now >= until",
                wrong="now > until",
            ),
        ),
    )
