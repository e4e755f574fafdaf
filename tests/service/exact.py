"""What the tests of whole answers share: one server, one caller, ten past the hour."""

from __future__ import annotations

from typing import Final, TypeVar

import attrs

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.idempotency import Attempt, IdempotencyKey, RecordKey
from curae_lifecycle.rules.ratelimit import Bucket, BucketState
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide, fingerprint
from curae_lifecycle.service.events import Event, EventKind, Subject
from curae_lifecycle.service.operations.operation import Operation, Reply
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.writes import RateWrite
from tests.support.server import CALLER, call, new_ids, successor
from tests.support.strategies import START, apply_trigger, at, pending

KEY: Final = RecordKey(CALLER.key_owner, IdempotencyKey("k-1"))
BUCKET: Final = Bucket(name="platform", capacity=2, refill=1, seconds=60)
SETTINGS: Final = Settings(buckets=(BUCKET,))
NOW: Final = at(10)
NEW: Final = new_ids(2, NOW)
# Microseconds since 1970 at `NOW`, and one token later.
ARRIVAL: Final = 1_767_226_200_000_000
CHARGED: Final = RateWrite(
    key=BucketKey(CALLER.key_owner, BUCKET),
    policy=BUCKET,
    before=BucketState(ARRIVAL),
    after=BucketState(ARRIVAL + 60_000_000),
)
ACTIVE: Final = apply_trigger(pending(), "authorize", at(5))
REVOKED: Final = apply_trigger(pending(), "PATIENT", START)
NEXT: Final = successor(START)


def asked(operation: Operation, snapshot: Snapshot, *, keyed: bool = True) -> Decision:
    """What a request is answered where one token of two is left."""
    stored = attrs.evolve(snapshot, buckets=(BucketState(ARRIVAL),))
    return decide(served(operation, keyed=keyed), snapshot=stored, now=NOW, new_ids=NEW)


def served(operation: Operation, *, keyed: bool = True) -> Call:
    """A request to a server with a bucket."""
    return attrs.evolve(call(operation, "k-1" if keyed else None), settings=SETTINGS)


def decided(
    reply: Reply,
    status: int,
    changes: Changes,
    rules: tuple[str, ...],
    attempt: Attempt | None = None,
) -> Decision:
    """The decision of that server at `NOW`."""
    return Decision(
        reply=reply,
        status=status,
        decided_at=NOW,
        changes=changes,
        rules=rules,
        attempt=attempt,
        record=None,
        settings=SETTINGS,
    )


def attempt(operation: Operation) -> Attempt:
    return Attempt(
        key=KEY,
        fingerprint=fingerprint(operation),
        token=1,
        first_used_at=NOW,
        started_at=NOW,
        rules=("idempotency.absent",),
    )


Stored = TypeVar("Stored", Connection, LimitedAccountAppBinding)


def counted(value: Stored) -> Stored:
    """A value one write later."""
    return attrs.evolve(value, version=value.version + 1)


def event(kind: str, subject: Subject, now_at: int = 10) -> Event:
    return Event(EventKind(kind), subject, at(now_at))
