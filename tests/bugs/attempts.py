"""An idempotency record that is worked on: a predicted model, and stores that do otherwise.

The model shares nothing with the rules. It is asked about every order of a few steps: requests
with this payload or another, an attempt that renews, completes or releases (in time or long
after), time that passes or runs back, an answer that is erased, a store under pressure.
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
    LostLease,
    Record,
    RecordKey,
    RecordState,
    begin,
    in_flight_record,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.rules.values import MINUTE, ApiKeyId
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.laws import LawBrokenError
from tests.bugs.bug import HiddenBug
from tests.bugs.service import START

KEY: Final = RecordKey(ApiKeyId("key-1"), IdempotencyKey("k-1"))
DAY: Final = timedelta(hours=24)
LEASE: Final = timedelta(minutes=1)

Ended = Done[Record] | LeaseLost


def _start(attempt: Attempt, lost_lease: LostLease) -> Record:
    return in_flight_record(attempt, lease=MINUTE, lost_lease=lost_lease)


def _renew(record: Record | None, attempt: Attempt, now: datetime) -> Ended:
    return renew(record, attempt, now, lease=MINUTE)


def _keep(record: Record | None) -> Record | None:
    return record


@attrs.frozen
class KeyStore:
    """What a server does with the record of one key; a bug replaces one of them."""

    begin: Callable[
        [Record | None, RecordKey, Fingerprint, datetime], Attempt | KnownResponse | Refused
    ] = begin
    start: Callable[[Attempt, LostLease], Record] = _start
    renew: Callable[[Record | None, Attempt, datetime], Ended] = _renew
    complete: Callable[[Record | None, Attempt, Response, datetime], Ended] = complete
    release: Callable[[Record | None, Attempt, datetime], Ended] = release
    forget: Callable[[Record | None, datetime], Done[Record] | Ignored[Record | None]] = forget
    under_pressure: Callable[[Record | None], Record | None] = _keep


# --- The model --------------------------------------------------------------------------------


@attrs.frozen
class Predicted:
    """What the record must be, in plain words.

    Attributes:
        state: nothing, working, released, done or forgotten.
        payload: Which payload used the key first.
        since: When it did.
        seen: The latest instant at which anything was done.
        holder: The attempt that works, by its number.
        until: When its lease is over.
        answer: What retries get.
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
    """The record, the model beside it, the clock and the attempts that were given out."""

    record: Record | None
    predicted: Predicted
    now: datetime
    attempts: tuple[Attempt, ...] = ()


def _broken(what: str, situation: Situation, step: str) -> LawBrokenError:
    return LawBrokenError(
        12, what, f"{step}, where the key is {situation.predicted.state}; one idempotency key"
    )


def _clock(situation: Situation) -> tuple[datetime, bool]:
    # The clock never counts as earlier than what was seen; after a day the key is new.
    model = situation.predicted
    if model.state == "nothing":
        return situation.now, False
    now = max(situation.now, model.seen)
    return now, now - model.since < DAY


def _expected(model: Predicted, payload: str, now: datetime, lost: LostLease) -> str:
    # The refusal of a request whose key is known; empty where it executes or is answered.
    if payload != model.payload:
        return "IDEMPOTENCY_KEY_REUSED"
    if model.state == "forgotten":
        return "IDEMPOTENCY_KEY_FORGOTTEN"
    if model.state == "working" and now < model.until:
        return "IDEMPOTENCY_KEY_IN_FLIGHT"
    if model.state == "working" and lost is LostLease.UNKNOWN:
        return "IDEMPOTENCY_OUTCOME_UNKNOWN"
    return ""


def _ask(store: KeyStore, lost: LostLease, payload: str, before: Situation) -> Situation:
    model = before.predicted
    now, alive = _clock(before)
    step = f"a request with payload {payload}"
    answer = store.begin(before.record, KEY, Fingerprint.of("create", payload), before.now)
    refusal = _expected(model, payload, now, lost) if alive else ""
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
    working = Predicted("working", payload, since, now, len(before.attempts), now + LEASE)
    return Situation(store.start(answer, lost), working, before.now, (*before.attempts, answer))


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


def _steps(store: KeyStore, lost: LostLease, before: Situation) -> list[Situation]:
    after = [_ask(store, lost, payload, before) for payload in ("a", "b")]
    for number in range(len(before.attempts)):
        after += [_act(store, act, number, before) for act in ("renew", "complete", "release")]
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
    """Every order of six steps, under both meanings of a lost lease."""
    for lost in LostLease:
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


# --- The mistakes -----------------------------------------------------------------------------


def _zombie_completes(
    record: Record | None, attempt: Attempt, response: Response, now: datetime
) -> Ended:
    return complete(_as_held_by(record, attempt), attempt, response, min(now, attempt.at))


def _zombie_releases(record: Record | None, attempt: Attempt, now: datetime) -> Ended:
    return release(_as_held_by(record, attempt), attempt, min(now, attempt.at))


def _zombie_renews(record: Record | None, attempt: Attempt, now: datetime) -> Ended:
    if record is None or record.state is not RecordState.IN_FLIGHT:
        return renew(record, attempt, now, lease=MINUTE)
    return renew(_as_held_by(record, attempt), attempt, now, lease=MINUTE)


def _as_held_by(record: Record | None, attempt: Attempt) -> Record:
    held = in_flight_record(attempt, lease=MINUTE)
    return held if record is None else attrs.evolve(held, seen_at=attempt.at)


def _lease_alone(record: Record | None, attempt: Attempt) -> Record | None:
    # Whoever comes while a lease runs counts as its holder.
    if record is None:
        return None
    return attrs.evolve(record, token=attempt.token, first_used_at=attempt.first_used_at)


def _unfenced_complete(
    record: Record | None, attempt: Attempt, response: Response, now: datetime
) -> Ended:
    return complete(_lease_alone(record, attempt), attempt, response, now)


def _unfenced_release(record: Record | None, attempt: Attempt, now: datetime) -> Ended:
    return release(_lease_alone(record, attempt), attempt, now)


def _anyone_takes_over(
    record: Record | None, key: RecordKey, fingerprint: Fingerprint, now: datetime
) -> Attempt | KnownResponse | Refused:
    if (
        record is not None
        and record.lease_until is not None
        and max(now, record.seen_at) >= record.lease_until
    ):
        record = attrs.evolve(record, fingerprint=fingerprint)
    return begin(record, key, fingerprint, now)


def _token_starts_again(
    record: Record | None, key: RecordKey, fingerprint: Fingerprint, now: datetime
) -> Attempt | KnownResponse | Refused:
    answer = begin(record, key, fingerprint, now)
    released = record is not None and record.state is RecordState.RELEASED
    if released and isinstance(answer, Attempt):
        return attrs.evolve(answer, token=1)
    return answer


def _in_flight_evicted(record: Record | None) -> Record | None:
    if record is not None and record.state is RecordState.IN_FLIGHT:
        return None
    return record


def _completed_evicted(record: Record | None) -> Record | None:
    if record is not None and record.state is RecordState.COMPLETED:
        return None
    return record


def _locked_for_ever(attempt: Attempt, lost_lease: LostLease) -> Record:
    return in_flight_record(attempt, lease=60 * 24 * 7 * MINUTE, lost_lease=lost_lease)


def _no_deadline(attempt: Attempt, lost_lease: LostLease) -> Record:
    # Without a deadline a live attempt looks like an orphan.
    return attrs.evolve(in_flight_record(attempt, lost_lease=lost_lease), lease_until=None)


def _always_executes(attempt: Attempt, lost_lease: LostLease) -> Record:
    del lost_lease
    return in_flight_record(attempt, lease=MINUTE, lost_lease=LostLease.EXECUTE)


def _fingerprint_lost(
    record: Record | None, attempt: Attempt, response: Response, now: datetime
) -> Ended:
    ended = complete(record, attempt, response, now)
    if isinstance(ended, Done):
        bare = attrs.evolve(ended.value, fingerprint=Fingerprint.of("create", ""))
        return Done(bare, ended.rules)
    return ended


def _forget_deletes(record: Record | None, now: datetime) -> Done[Record] | Ignored[Record | None]:
    del record, now
    return Ignored(None, ())


def _believes_the_clock(
    record: Record | None, key: RecordKey, fingerprint: Fingerprint, now: datetime
) -> Attempt | KnownResponse | Refused:
    if record is not None:
        record = attrs.evolve(record, seen_at=min(now, record.seen_at))
    return begin(record, key, fingerprint, now)


def _lease_checked_first(
    record: Record | None, key: RecordKey, fingerprint: Fingerprint, now: datetime
) -> Attempt | KnownResponse | Refused:
    answer = begin(record, key, fingerprint, now)
    if record is not None and isinstance(answer, Refused):
        running = begin(record, key, record.fingerprint, now)
        if isinstance(running, Refused):
            return running
    return answer


def _release_keeps_the_lock(record: Record | None, attempt: Attempt, now: datetime) -> Ended:
    ended = release(record, attempt, now)
    if isinstance(ended, Done) and record is not None:
        return Done(attrs.evolve(record, seen_at=ended.value.seen_at), ended.rules)
    return ended


def _mismatch_executes(
    record: Record | None, key: RecordKey, fingerprint: Fingerprint, now: datetime
) -> Attempt | KnownResponse | Refused:
    answer = begin(record, key, fingerprint, now)
    if (
        record is not None
        and record.state is RecordState.RELEASED
        and isinstance(answer, Refused)
        and answer.problem.code is ProblemCode.IDEMPOTENCY_KEY_REUSED
    ):
        return begin(attrs.evolve(record, fingerprint=fingerprint), key, fingerprint, now)
    return answer


RIGHT: Final = KeyStore()
_FOUND: Final = "bugs.attempts.probe"

BUGS: Final = (
    HiddenBug(
        "zombie-completes",
        "An attempt whose lease is over overwrites the newer answer.",
        "law 12; attempt.completed",
        "aegra#502, powertools-python 3.37.0, justonce, fastidempotent",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(complete=_zombie_completes),
    ),
    HiddenBug(
        "zombie-releases",
        "An attempt whose lease is over deletes the newer record, and a third one runs.",
        "law 12; attempt.completed",
        "lion-reader#917, powertools-python 3.37.0",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(release=_zombie_releases),
    ),
    HiddenBug(
        "zombie-renews",
        "The heartbeat of an attempt that lost its lease takes the lease back.",
        "law 12; attempt.in-flight.other",
        "altinn-studio#18507, stroom#5772",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(renew=_zombie_renews),
    ),
    HiddenBug(
        "unfenced-complete",
        "Whoever comes while a lease runs completes it, whoever holds it.",
        "law 12; attempt.in-flight.other",
        "aegra#547",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(complete=_unfenced_complete),
    ),
    HiddenBug(
        "unfenced-release",
        "Whoever comes while a lease runs releases it, whoever holds it.",
        "law 12; attempt.in-flight.other",
        "altinn-studio#18507",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(release=_unfenced_release),
    ),
    HiddenBug(
        "anyone-takes-over",
        "A lease that is over is taken over by a request with another payload.",
        "law 12; idempotency.lease-over.other",
        "idemkit and fastapi-idempotency",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(begin=_anyone_takes_over),
    ),
    HiddenBug(
        "token-starts-again",
        "After a release the tokens start at one, and an old attempt fits again.",
        "law 12; section 4, tokens only grow",
        "",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(begin=_token_starts_again),
    ),
    HiddenBug(
        "in-flight-evicted",
        "A full store evicts the record of a request that is being worked on.",
        "law 12; section 4, nothing live is evicted",
        "fastapi-idempotency-key",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(under_pressure=_in_flight_evicted),
    ),
    HiddenBug(
        "completed-evicted",
        "A full store evicts a completed record within its retention.",
        "law 12; section 4, nothing live is evicted",
        "fastidempotent; AnchorNet#221",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(under_pressure=_completed_evicted),
    ),
    HiddenBug(
        "locked-for-ever",
        "A worker that dies leaves its key locked for days.",
        "idempotency.lease-over.same",
        "snok#16: 409 for ever",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(start=_locked_for_ever),
    ),
    HiddenBug(
        "no-deadline",
        "A live attempt has no deadline, so it is taken for an orphan and run again.",
        "law 12; idempotency.in-flight.same",
        "powertools-python#8386",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(start=_no_deadline),
    ),
    HiddenBug(
        "unknown-outcome-executes",
        "A lease that ran out is executed again although the dead worker may have called out.",
        "law 12; idempotency.unknown.same",
        "all the libraries that were run but justonce",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(start=_always_executes),
    ),
    HiddenBug(
        "fingerprint-lost",
        "Completing a record drops its fingerprint, and the identical retry is refused.",
        "law 9; idempotency.completed.same",
        "powertools-typescript#5705",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(complete=_fingerprint_lost),
    ),
    HiddenBug(
        "forget-deletes",
        "Erasing an answer deletes its record, and the retry executes.",
        "law 12; idempotency.forgotten.same",
        "granit-dotnet#1151",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(forget=_forget_deletes),
    ),
    HiddenBug(
        "clock-believed",
        "A clock that steps back brings a lease back that was over.",
        "section 4, instants are clamped",
        "stroom#5772, idempotency4j on Redis' clock",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(begin=_believes_the_clock),
    ),
    HiddenBug(
        "lease-checked-first",
        "Another payload under a key in flight is told to wait instead of being refused.",
        "idempotency.in-flight.other",
        "idempot-js#183",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(begin=_lease_checked_first),
    ),
    HiddenBug(
        "release-keeps-the-lock",
        "An attempt that failed releases its record and the lock stays.",
        "idempotency.released.same",
        "snok#16, fastapi-idempotency-key",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(release=_release_keeps_the_lock),
    ),
    HiddenBug(
        "released-to-anyone",
        "A released key may be used for another request.",
        "idempotency.released.other",
        "powertools-python#3781",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(begin=_mismatch_executes),
    ),
)
