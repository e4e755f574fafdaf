"""A model of an idempotency record in use, which predicts a correct server.

The model shares nothing with the rules. It runs every order of a few steps: requests with this
payload or another; an attempt that renews, completes or releases, in time or late; time that passes
or runs back; an erased response; a store under pressure.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.attempt import LeaseLost, complete, forget, release, renew
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    IdempotencyKey,
    KnownResponse,
    LostLeaseAction,
    Record,
    RecordKey,
    begin_attempt,
    in_flight_record,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import MINUTE
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.laws import LawBrokenError
from tests.proof.bugs.service import START
from tests.support.server import CALLER

KEY: Final = RecordKey(CALLER.key_owner, IdempotencyKey("k-1"))
DAY: Final = timedelta(hours=24)
LEASE: Final = timedelta(minutes=1)

Ended = Done[Record] | LeaseLost


def _start(attempt: Attempt, lost_lease: LostLeaseAction) -> Record:
    return in_flight_record(attempt, lease=MINUTE, lost_lease=lost_lease)


def _renew(record: Record | None, attempt: Attempt, now: datetime) -> Ended:
    return renew(record, attempt, now, lease=MINUTE)


def _keep(record: Record | None) -> Record | None:
    return record


@attrs.frozen
class KeyStore:
    """The steps of a server on the record of one key; a bug replaces one of them."""

    begin: Callable[
        [Record | None, RecordKey, Fingerprint, datetime], Attempt | KnownResponse | Refused
    ] = begin_attempt
    start: Callable[[Attempt, LostLeaseAction], Record] = _start
    renew: Callable[[Record | None, Attempt, datetime], Ended] = _renew
    complete: Callable[[Record | None, Attempt, Response, datetime], Ended] = complete
    release: Callable[[Record | None, Attempt, datetime], Ended] = release
    forget: Callable[[Record | None, datetime], Done[Record] | Ignored[Record | None]] = forget
    under_pressure: Callable[[Record | None], Record | None] = _keep


# --- The model --------------------------------------------------------------------------------


@attrs.frozen
class Predicted:
    """The predicted record.

    Attributes:
        state: nothing, working, released, done or forgotten.
        payload: The payload that used the key first.
        since: The instant of the first use.
        seen: The latest instant of any step.
        holder: The number of the running attempt.
        until: The end of its lease.
        answer: The response to retries.
    """

    state: str = "nothing"
    payload: str = ""
    since: datetime = START
    seen: datetime = START
    holder: int = -1
    until: datetime = START
    answer: str = ""


@attrs.frozen
class Situation:
    """The record, its model, the clock and the started attempts."""

    record: Record | None
    predicted: Predicted
    now: datetime
    attempts: tuple[Attempt, ...] = ()


def _broken(what: str, situation: Situation, step: str) -> LawBrokenError:
    return LawBrokenError(
        12, what, f"{step}, where the key is {situation.predicted.state}; one idempotency key"
    )


def _clock(situation: Situation) -> tuple[datetime, bool]:
    # The clock counts as no earlier than the last step; after a day the key is new.
    model = situation.predicted
    if model.state == "nothing":
        return situation.now, False
    now = max(situation.now, model.seen)
    return now, now - model.since < DAY


def _expected(model: Predicted, payload: str, now: datetime, lost: LostLeaseAction) -> str:
    # The refusal of a known key; empty if it executes or replays.
    if payload != model.payload:
        return "IDEMPOTENCY_KEY_REUSED"
    if model.state == "forgotten":
        return "IDEMPOTENCY_KEY_FORGOTTEN"
    if model.state == "working" and now < model.until:
        return "IDEMPOTENCY_KEY_IN_FLIGHT"
    if model.state == "working" and lost is LostLeaseAction.UNKNOWN:
        return "IDEMPOTENCY_OUTCOME_UNKNOWN"
    return ""


def _ask(store: KeyStore, lost: LostLeaseAction, payload: str, before: Situation) -> Situation:
    model = before.predicted
    now, alive = _clock(before)
    step = f"a request with payload {payload}"
    answer = store.begin(before.record, KEY, Fingerprint.of("create", [payload]), before.now)
    refusal = _expected(model, payload=payload, now=now, lost=lost) if alive else ""
    if refusal:
        if not isinstance(answer, Refused) or answer.problem.code != refusal:
            seen = "it executes" if isinstance(answer, Attempt) else "it is answered otherwise"
            raise _broken(f"{seen} instead of {refusal}", before, step)
        return before
    if alive and model.state == "done":
        _check_answer(answer, step, before)
        return before
    if not isinstance(answer, Attempt):
        raise _broken("it is stuck: nothing runs", before, step)
    if any(answer.token <= each.token for each in before.attempts):
        raise _broken("its token was given out before", before, step)
    since = model.since if alive else now
    working = Predicted(
        state="working",
        payload=payload,
        since=since,
        seen=now,
        holder=len(before.attempts),
        until=now + LEASE,
    )
    return Situation(
        record=store.start(answer, lost),
        predicted=working,
        now=before.now,
        attempts=(*before.attempts, answer),
    )


def _check_answer(answer: Attempt | KnownResponse | Refused, step: str, before: Situation) -> None:
    if not isinstance(answer, KnownResponse):
        raise _broken("it is not the answer that was given", before, step)
    kept = answer.response
    if not isinstance(kept, Response) or kept.body.decode() != before.predicted.answer:
        raise _broken("another answer than was given", before, step)


def _act(store: KeyStore, act: str, number: int, before: Situation) -> Situation:
    model = before.predicted
    attempt = before.attempts[number]
    now, alive = _clock(before)
    may = alive and model.state == "working" and model.holder == number and now < model.until
    body = f"answer {number}"
    match act:
        case "renew":
            ended = store.renew(before.record, attempt, before.now)
        case "complete":
            response = Response(201, (), body.encode())
            ended = store.complete(before.record, attempt, response, before.now)
        case _:
            ended = store.release(before.record, attempt, before.now)
    step = f"attempt {number} wants to {act}"
    if isinstance(ended, LeaseLost):
        if may:
            raise _broken("it holds the lease and may not", before, step)
        return before
    if not may:
        raise _broken("it lost its lease and does so all the same", before, step)
    moved = {
        "renew": attrs.evolve(model, seen=now, until=now + LEASE),
        "complete": attrs.evolve(model, state="done", seen=now, answer=body),
        "release": attrs.evolve(model, state="released", seen=now),
    }[act]
    return attrs.evolve(before, record=ended.value, predicted=moved)


def _forget(store: KeyStore, before: Situation) -> Situation:
    now, alive = _clock(before)
    answer = store.forget(before.record, before.now)
    if not alive:
        return before
    model = attrs.evolve(before.predicted, state="forgotten", seen=now)
    return attrs.evolve(before, record=answer.value, predicted=model)


def _steps(store: KeyStore, lost: LostLeaseAction, before: Situation) -> list[Situation]:
    after = [_ask(store, lost=lost, payload=payload, before=before) for payload in ("a", "b")]
    for number in range(len(before.attempts)):
        after += [
            _act(store, act=act, number=number, before=before)
            for act in ("renew", "complete", "release")
        ]
    after.append(_forget(store, before))
    after.append(attrs.evolve(before, record=store.under_pressure(before.record)))
    after += [
        attrs.evolve(before, now=before.now + span)
        for span in (LEASE, -LEASE, DAY)
        if START - LEASE <= before.now + span <= START + DAY + LEASE
    ]
    return after


DEPTH: Final = 6
ATTEMPTS: Final = 2


def probe(store: KeyStore) -> None:
    """Run every order of six steps, under both meanings of a lost lease."""
    for lost in LostLeaseAction:
        frontier = [Situation(None, Predicted(), START)]
        seen = set(frontier)
        for _ in range(DEPTH):
            reached = [
                after
                for before in frontier
                if len(before.attempts) <= ATTEMPTS
                for after in _steps(store, lost, before)
            ]
            frontier = [each for each in dict.fromkeys(reached) if each not in seen]
            seen.update(frontier)
