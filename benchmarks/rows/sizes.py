"""Benchmarks of memory: the bytes that each of many stored values takes.

Each value has its own texts and instants, as if it was read from a request or a row. The values of
one app share its id, its account and the names of the rules. These are counted once, so they add
hardly anything to a figure. The floor is the least that could hold the instants of a log.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from datetime import datetime, timedelta
from struct import pack
from typing import Final

from benchmarks.measure import Quantity
from benchmarks.rows.idempotency import ANSWER, HEADERS
from benchmarks.rows.subjects import CALLER, COORDINATE, END, NOW, PACKAGES, connection_id
from curae_lifecycle.rules.connection import Connection, ConnectionIdentity, Status
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    IdempotencyKey,
    Record,
    RecordKey,
    completed_record,
)
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT, RateState, admit_one, fresh_state
from curae_lifecycle.rules.values import AppUserId, Coordinate, to_epoch_microseconds
from curae_lifecycle.service.response import Response

_RULES: Final = ("idempotency.absent",)


def bytes_each(make: Callable[[int], object], many: int) -> float:
    """Return how many bytes one of many values takes, without the list that holds them."""
    make(-1)
    gc.collect()
    kept: list[object] = [None] * many
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(many):
            kept[number] = make(number)
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / many
    finally:
        tracemalloc.stop()


def at(number: int, seconds: float = 0) -> datetime:
    """Return an instant that differs for each number."""
    return NOW + timedelta(seconds=seconds, microseconds=number + 2)


def full_log(number: int) -> RateState:
    """Return a full log of ten."""
    state = fresh_state(INITIATE_LIMIT)
    for each in range(INITIATE_LIMIT.limit):
        charged = admit_one(INITIATE_LIMIT, state, at(number, each))
        assert not isinstance(charged, int)
        state = charged
    return state


def packed_log(number: int) -> bytes:
    """Return the instants of `full_log`, packed to eight bytes each."""
    return pack(">10q", *[to_epoch_microseconds(at(number, each)) for each in range(10)])


def record(number: int) -> Record:
    """Return the record of a completed request, with its key and the bytes of its response."""
    key = RecordKey(CALLER.key_owner, IdempotencyKey(f"0b7c1b2a-9a43-4b0f-8a57-{number:012}"))
    fingerprint = Fingerprint.of("initiate", [f"user-{number}", "false"])
    now = at(number)
    response = Response(201, HEADERS, ANSWER + b" ")
    return completed_record(
        Attempt(
            key=key,
            fingerprint=fingerprint,
            token=1,
            first_used_at=now,
            started_at=now,
            rules=_RULES,
        ),
        response,
    )


def connection(number: int) -> Connection:
    """Return an active connection."""
    identifier = connection_id(number)
    user = AppUserId(f"user-{number}")
    coordinate = Coordinate(
        environment=COORDINATE.environment,
        app_id=COORDINATE.app_id,
        customer_account_id=COORDINATE.customer_account_id,
        app_user_id=user,
    )
    identity = ConnectionIdentity(
        id=identifier,
        coordinate=coordinate,
        data_packages=PACKAGES,
        created_at=at(number),
        predecessor_id=None,
        root_id=identifier,
    )
    authorized, handed = at(number, 60), at(number, 1800)
    end = END + timedelta(microseconds=number)
    return Connection(
        identity=identity,
        status=Status.ACTIVE,
        updated_at=authorized,
        handoff_deadline=handed,
        authorized_at=authorized,
        expires_at=end,
    )


def quantities(many: int) -> list[Quantity]:
    """Measure the sizes of ours and of the floor."""
    asked: list[tuple[str, str, Callable[[int], object], str]] = [
        ("a connection", "ours", connection, ""),
        ("a full log of ten", "ours", full_log, ""),
        ("a full log of ten", "floor: ten integers, packed", packed_log, ""),
        ("a record", "ours", record, f"an answer of {len(ANSWER) + 1} bytes among it"),
    ]
    return [
        Quantity(
            family="memory",
            name=name,
            side=side,
            value=bytes_each(make, many),
            unit="B",
            lacks=what,
        )
        for name, side, make, what in asked
    ]


def of_powertools(many: int) -> Quantity:
    """Measure the size of a record of Powertools for AWS Lambda."""
    from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import (
        DataRecord,
    )

    def make(number: int) -> object:
        return DataRecord(
            idempotency_key=f"function.initiate#{number:032x}",
            status=str(b"COMPLETED", "ascii"),
            expiry_timestamp=1_767_225_600 + number,
            response_data=ANSWER.decode(),
            payload_hash=f"{number:032x}",
        )

    return Quantity(
        family="memory",
        name="a record",
        side="aws-lambda-powertools",
        value=bytes_each(make, many),
        unit="B",
        lacks="the same answer, and digests of 32 characters",
    )
