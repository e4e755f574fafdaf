"""Oracles of the tables of idempotency records."""

from __future__ import annotations

from datetime import datetime
from itertools import product

import attrs

from curae_lifecycle.rules.attempt import LeaseLost, forget, resolve
from curae_lifecycle.rules.idempotency import (
    Attempt,
    KnownResponse,
    LostLeaseAction,
    Record,
    RecordState,
    begin_attempt,
    record_standing,
)
from curae_lifecycle.rules.outcomes import Done, Refused
from tests.proof.oracles.oracle import Answer, answered, said
from tests.support import specimens
from tests.support.specimens import (
    ACTS,
    ANSWER,
    KEY,
    RECORDS,
    Act,
    Key,
    act,
    first_attempt,
    running,
)
from tests.support.strategies import START, TICK


def record_standings() -> list[Answer]:
    def stood(state: RecordState, ends: datetime, means: LostLeaseAction) -> tuple[str, Key]:
        record = attrs.evolve(running(), state=state, lease_until=ends, lost_lease=means)
        return record_standing(record, START), ()

    leases = (("lease running", START + TICK), ("lease over", START))
    return [
        answered((state, lease, means), stood, state, ends, means)
        for state, (lease, ends), means in product(RecordState, leases, LostLeaseAction)
    ]


def begins() -> list[Answer]:
    def begun(record: Record | None, now: datetime, *, same: bool) -> tuple[str, Key]:
        asked = specimens.SAME if same else specimens.OTHERS["values"]
        answer = begin_attempt(record, key=KEY, fingerprint=asked, now=now)
        match answer:
            case Attempt():
                return "execute", answer.rules
            case KnownResponse():
                return "replay", answer.rules
            case Refused():
                return said(answer), answer.rules

    matches = (("same fingerprint", True), ("other fingerprint", False))
    return [
        answered((name, match), begun, record, now, same=same)
        for (name, record, now), (match, same) in product(RECORDS, matches)
    ]


def attempts() -> list[Answer]:
    def acted(what: Act, record: Record | None, now: datetime, token: int) -> tuple[str, Key]:
        answer = act(
            what, record=record, attempt=attrs.evolve(first_attempt(), token=token), now=now
        )
        deed = "lease lost" if isinstance(answer, LeaseLost) else answer.value.state
        return deed, answer.rules

    holders = (("this attempt", 1), ("another attempt", 2))
    return [
        answered((what, name, holder), acted, what, record, now, token)
        for (name, record, now), what, (holder, token) in product(RECORDS, ACTS, holders)
        # A missing record has no holder.
        if record is not None or token != 1
    ]


def upkeeps() -> list[Answer]:
    def kept(what: str, record: Record | None, now: datetime) -> tuple[str, Key]:
        match what:
            case "resolve with a response":
                answer = resolve(record, now, response=ANSWER)
            case "resolve as not executed":
                answer = resolve(record, now, response=None)
            case _:
                answer = forget(record, now)
        return said(answer, answer.value.state if isinstance(answer, Done) else ""), answer.rules

    acts = ("resolve with a response", "resolve as not executed", "forget")
    return [
        answered((what, name), kept, what, record, now)
        for (name, record, now), what in product(RECORDS, acts)
    ]
