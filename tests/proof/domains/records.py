"""Domains of idempotency records: each at every instant, under every act."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import product
from typing import Final

import attrs

from curae_lifecycle.rules import attempt as attempts
from curae_lifecycle.rules import idempotency
from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    IdempotencyKey,
    KnownResponse,
    LostLeaseAction,
    Record,
    RecordState,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import ApiKeyId
from curae_lifecycle.service.response import Response
from tests.proof.domains.marks import Mark
from tests.proof.reference import tables
from tests.support.specimens import KEY, refusal, rule_word
from tests.support.strategies import START, TICK

SAME: Final = Fingerprint("create-connection", "0")
ELSE: Final = Fingerprint("create-connection", "1")
KEPT: Final = Response(201, (("content-type", "application/json"),), b"{}")
DAY: Final = 24 * 60 * 60 * 1_000_000


def record_is(state: str, lease: Mark, means: str, now: int) -> str:
    """Return the standing of a record at an instant."""
    if now >= DAY:
        return "absent, or retention over"
    runs = lease is not None and now < lease
    return tables.RECORD_STANDING[state, "lease running" if runs else "lease over", means]


def since(ticks: int) -> datetime:
    return START + timedelta(microseconds=ticks)


def record_acts(size: int) -> int:
    """Compare every record under every act, also at the end of its retention."""
    instants = (*range(size), DAY - 1, DAY, DAY + 1)
    cases = 0
    for state, means, lease, seen in product(
        RecordState, LostLeaseAction, (None, *instants), instants
    ):
        record = Record(
            key=KEY,
            fingerprint=SAME,
            state=state,
            token=3,
            first_used_at=START,
            seen_at=since(seen),
            lease_until=None if lease is None else since(lease),
            lost_lease=means,
            response=KEPT if state is RecordState.COMPLETED else None,
        )
        for now in instants:
            clamped = max(now, seen)
            standing = record_is(state, lease=lease, means=means, now=clamped)
            cases += check_begin(record, standing=standing, now=now, clamped=clamped, lease=lease)
            cases += check_attempts(record, standing=standing, now=now, clamped=clamped)
            cases += check_upkeep(record, standing=standing, now=now, clamped=clamped)
    return cases


def check_begin(record: Record, standing: str, now: int, clamped: int, lease: Mark) -> int:
    for asked, match in ((SAME, "same fingerprint"), (ELSE, "other fingerprint")):
        answer = idempotency.begin_attempt(record, key=KEY, fingerprint=asked, now=since(now))
        cell = tables.IDEMPOTENCY[standing, match]
        if cell == "execute":
            assert isinstance(answer, Attempt)
            at = since(clamped)
            first = at if standing.startswith("absent") else START
            assert answer == Attempt(
                key=KEY,
                fingerprint=asked,
                token=4,
                first_used_at=first,
                started_at=at,
                rules=answer.rules,
            )
            (rule,) = answer.rules
            assert rule.removesuffix(".same") == f"idempotency.{rule_word(standing)}"
        elif cell == "replay":
            assert isinstance(answer, KnownResponse)
            assert answer.response is KEPT
        else:
            assert isinstance(answer, Refused)
            assert refusal(answer) == cell
            left = () if lease is None else (max(1, -((clamped - lease) // 1_000_000)),)
            details = {"IDEMPOTENCY_KEY_REUSED": ("values",), "IDEMPOTENCY_KEY_IN_FLIGHT": left}
            assert answer.problem.detail_values == details.get(answer.problem.code, ())
    return 2


HOLDER: Final = Attempt(
    key=KEY, fingerprint=SAME, token=3, first_used_at=START, started_at=START, rules=()
)
OTHERS: Final = (
    attrs.evolve(HOLDER, token=2),
    attrs.evolve(HOLDER, token=4),
    attrs.evolve(HOLDER, first_used_at=START + TICK),
    attrs.evolve(HOLDER, key=attrs.evolve(KEY, key=IdempotencyKey("k-2"))),
    attrs.evolve(
        HOLDER, key=attrs.evolve(KEY, owner=attrs.evolve(KEY.owner, api_key_id=ApiKeyId("key-2")))
    ),
)


def check_attempts(record: Record, standing: str, now: int, clamped: int) -> int:
    at = since(now)
    for attempt in (HOLDER, *OTHERS):
        holder = "this attempt" if attempt is HOLDER else "another attempt"
        renewed = attempts.renew(record, attempt, at, lease=7)
        completed = attempts.complete(record, attempt=attempt, response=KEPT, now=at)
        released = attempts.release(record, attempt, at)
        for act, answer, lease, response in (
            ("renew", renewed, since(clamped + 7), None),
            ("complete", completed, None, KEPT),
            ("release", released, None, None),
        ):
            cell = tables.ATTEMPT[act, standing, holder]
            if cell != "lease lost":
                expected = attrs.evolve(
                    record,
                    state=RecordState(cell),
                    seen_at=since(clamped),
                    lease_until=lease,
                    response=response,
                )
                assert isinstance(answer, Done)
                assert answer.value == expected
            else:
                assert isinstance(answer, LeaseLost)
                assert answer.record is record
    return 3 * (1 + len(OTHERS))


def check_upkeep(record: Record, standing: str, now: int, clamped: int) -> int:
    at = since(now)
    for act, answer in (
        ("resolve with a response", attempts.resolve(record, at, response=KEPT)),
        ("resolve as not executed", attempts.resolve(record, at, response=None)),
        ("forget", attempts.forget(record, at)),
    ):
        cell = tables.RECORD_UPKEEP[act, standing]
        if cell == "ignore":
            assert isinstance(answer, Ignored)
            assert answer.value is record
        else:
            expected = attrs.evolve(
                record,
                state=RecordState(cell),
                seen_at=since(clamped),
                lease_until=None,
                response=KEPT if cell == "COMPLETED" else None,
            )
            assert isinstance(answer, Done)
            assert answer.value == expected
    return 3
