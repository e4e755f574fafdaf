"""Stores that get the record of a running attempt wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.attempt import complete, release, renew
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
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
from curae_lifecycle.rules.values import MINUTE
from curae_lifecycle.service.response import Response
from tests.bugs.attempt_model import Ended, KeyStore, probe
from tests.bugs.bug import HiddenBug


def _late_completes(
    record: Record | None, attempt: Attempt, response: Response, now: datetime
) -> Ended:
    return complete(_as_held_by(record, attempt), attempt, response, min(now, attempt.at))


def _late_releases(record: Record | None, attempt: Attempt, now: datetime) -> Ended:
    return release(_as_held_by(record, attempt), attempt, min(now, attempt.at))


def _late_renews(record: Record | None, attempt: Attempt, now: datetime) -> Ended:
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
        bare = attrs.evolve(ended.value, fingerprint=Fingerprint.of("create", [""]))
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
_FOUND: Final = "bugs.attempt_model.probe"

BUGS: Final = (
    HiddenBug(
        "late-attempt-completes",
        "An attempt whose lease is over overwrites the newer answer.",
        "law 12; attempt.completed",
        "aegra#502, powertools-python 3.37.0, justonce, fastidempotent",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(complete=_late_completes),
    ),
    HiddenBug(
        "late-attempt-releases",
        "An attempt whose lease is over deletes the newer record, and a third one runs.",
        "law 12; attempt.completed",
        "lion-reader#917, powertools-python 3.37.0",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(release=_late_releases),
    ),
    HiddenBug(
        "late-attempt-renews",
        "The heartbeat of an attempt that lost its lease takes the lease back.",
        "law 12; attempt.in-flight.other",
        "altinn-studio#18507, stroom#5772",
        _FOUND,
        probe,
        RIGHT,
        KeyStore(renew=_late_renews),
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
        "Another payload under a key in flight has to wait instead of being refused.",
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
