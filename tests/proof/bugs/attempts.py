"""Wrong stores of the record of a running attempt."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Final

import attrs

from curae_lifecycle.rules.attempt import complete, release, renew
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    KnownResponse,
    LostLeaseAction,
    Record,
    RecordKey,
    RecordState,
    begin_attempt,
    in_flight_record,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.rules.values import MINUTE
from curae_lifecycle.service.response import Response
from tests.proof.bugs.attempt_model import Ended, KeyStore, probe
from tests.proof.bugs.bug import HiddenBug


def _late_completes(
    record: Record | None, attempt: Attempt, response: Response, now: datetime
) -> Ended:
    return complete(
        _as_held_by(record, attempt),
        attempt=attempt,
        response=response,
        now=min(now, attempt.started_at),
    )


def _late_releases(record: Record | None, attempt: Attempt, now: datetime) -> Ended:
    return release(_as_held_by(record, attempt), attempt, min(now, attempt.started_at))


def _late_renews(record: Record | None, attempt: Attempt, now: datetime) -> Ended:
    if record is None or record.state is not RecordState.IN_FLIGHT:
        return renew(record, attempt, now, lease=MINUTE)
    return renew(_as_held_by(record, attempt), attempt, now, lease=MINUTE)


def _as_held_by(record: Record | None, attempt: Attempt) -> Record:
    held = in_flight_record(attempt, lease=MINUTE)
    return held if record is None else attrs.evolve(held, seen_at=attempt.started_at)


def _lease_alone(record: Record | None, attempt: Attempt) -> Record | None:
    # Any caller during a lease counts as its holder.
    if record is None:
        return None
    return attrs.evolve(record, token=attempt.token, first_used_at=attempt.first_used_at)


def _unfenced_complete(
    record: Record | None, attempt: Attempt, response: Response, now: datetime
) -> Ended:
    return complete(_lease_alone(record, attempt), attempt=attempt, response=response, now=now)


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
    return begin_attempt(record, key=key, fingerprint=fingerprint, now=now)


def _token_starts_again(
    record: Record | None, key: RecordKey, fingerprint: Fingerprint, now: datetime
) -> Attempt | KnownResponse | Refused:
    answer = begin_attempt(record, key=key, fingerprint=fingerprint, now=now)
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


def _locked_for_ever(attempt: Attempt, lost_lease: LostLeaseAction) -> Record:
    return in_flight_record(attempt, lease=60 * 24 * 7 * MINUTE, lost_lease=lost_lease)


def _no_deadline(attempt: Attempt, lost_lease: LostLeaseAction) -> Record:
    # Without a deadline a running attempt looks abandoned.
    return attrs.evolve(in_flight_record(attempt, lost_lease=lost_lease), lease_until=None)


def _always_executes(attempt: Attempt, lost_lease: LostLeaseAction) -> Record:
    del lost_lease
    return in_flight_record(attempt, lease=MINUTE, lost_lease=LostLeaseAction.EXECUTE)


def _fingerprint_lost(
    record: Record | None, attempt: Attempt, response: Response, now: datetime
) -> Ended:
    ended = complete(record, attempt=attempt, response=response, now=now)
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
    return begin_attempt(record, key=key, fingerprint=fingerprint, now=now)


def _lease_checked_first(
    record: Record | None, key: RecordKey, fingerprint: Fingerprint, now: datetime
) -> Attempt | KnownResponse | Refused:
    answer = begin_attempt(record, key=key, fingerprint=fingerprint, now=now)
    if record is not None and isinstance(answer, Refused):
        running = begin_attempt(record, key=key, fingerprint=record.fingerprint, now=now)
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
    answer = begin_attempt(record, key=key, fingerprint=fingerprint, now=now)
    if (
        record is not None
        and record.state is RecordState.RELEASED
        and isinstance(answer, Refused)
        and answer.problem.code is ProblemCode.IDEMPOTENCY_KEY_REUSED
    ):
        return begin_attempt(
            attrs.evolve(record, fingerprint=fingerprint), key=key, fingerprint=fingerprint, now=now
        )
    return answer


key_bug: Final = partial(
    HiddenBug, found_by="bugs.attempt_model.probe", probe=probe, right=KeyStore()
)

BUGS: Final = (
    key_bug(
        name="late-attempt-completes",
        wrong="An attempt whose lease is over overwrites the newer answer.",
        breaks="law 12; attempt.completed",
        seen="aegra#502, powertools-python 3.37.0, justonce, fastidempotent",
        mistaken=KeyStore(complete=_late_completes),
    ),
    key_bug(
        name="late-attempt-releases",
        wrong="An attempt whose lease is over deletes the newer record, and a third one runs.",
        breaks="law 12; attempt.completed",
        seen="lion-reader#917, powertools-python 3.37.0",
        mistaken=KeyStore(release=_late_releases),
    ),
    key_bug(
        name="late-attempt-renews",
        wrong="The heartbeat of an attempt that lost its lease takes the lease back.",
        breaks="law 12; attempt.in-flight.other",
        seen="altinn-studio#18507, stroom#5772",
        mistaken=KeyStore(renew=_late_renews),
    ),
    key_bug(
        name="unfenced-complete",
        wrong="Whoever comes while a lease runs completes it, whoever holds it.",
        breaks="law 12; attempt.in-flight.other",
        seen="aegra#547",
        mistaken=KeyStore(complete=_unfenced_complete),
    ),
    key_bug(
        name="unfenced-release",
        wrong="Whoever comes while a lease runs releases it, whoever holds it.",
        breaks="law 12; attempt.in-flight.other",
        seen="altinn-studio#18507",
        mistaken=KeyStore(release=_unfenced_release),
    ),
    key_bug(
        name="anyone-takes-over",
        wrong="A lease that is over is taken over by a request with another payload.",
        breaks="law 12; idempotency.lease-over.other",
        seen="idemkit and fastapi-idempotency",
        mistaken=KeyStore(begin=_anyone_takes_over),
    ),
    key_bug(
        name="token-starts-again",
        wrong="After a release the tokens start at one, and an old attempt fits again.",
        breaks="law 12; section 4, tokens only grow",
        mistaken=KeyStore(begin=_token_starts_again),
    ),
    key_bug(
        name="in-flight-evicted",
        wrong="A full store evicts the record of a request that is being worked on.",
        breaks="law 12; section 4, nothing live is evicted",
        seen="fastapi-idempotency-key",
        mistaken=KeyStore(under_pressure=_in_flight_evicted),
    ),
    key_bug(
        name="completed-evicted",
        wrong="A full store evicts a completed record within its retention.",
        breaks="law 12; section 4, nothing live is evicted",
        seen="fastidempotent; AnchorNet#221",
        mistaken=KeyStore(under_pressure=_completed_evicted),
    ),
    key_bug(
        name="locked-for-ever",
        wrong="A worker that dies leaves its key locked for days.",
        breaks="idempotency.lease-over.same",
        seen="snok#16: 409 for ever",
        mistaken=KeyStore(start=_locked_for_ever),
    ),
    key_bug(
        name="no-deadline",
        wrong="A live attempt has no deadline, so it is taken for an orphan and run again.",
        breaks="law 12; idempotency.in-flight.same",
        seen="powertools-python#8386",
        mistaken=KeyStore(start=_no_deadline),
    ),
    key_bug(
        name="unknown-outcome-executes",
        wrong="A lease that ran out is executed again although the dead worker may have called out.",
        breaks="law 12; idempotency.unknown.same",
        seen="all the libraries that were run but justonce",
        mistaken=KeyStore(start=_always_executes),
    ),
    key_bug(
        name="fingerprint-lost",
        wrong="Completing a record drops its fingerprint, and the identical retry is refused.",
        breaks="law 9; idempotency.completed.same",
        seen="powertools-typescript#5705",
        mistaken=KeyStore(complete=_fingerprint_lost),
    ),
    key_bug(
        name="forget-deletes",
        wrong="Erasing an answer deletes its record, and the retry executes.",
        breaks="law 12; idempotency.forgotten.same",
        seen="granit-dotnet#1151",
        mistaken=KeyStore(forget=_forget_deletes),
    ),
    key_bug(
        name="clock-believed",
        wrong="A clock that steps back brings a lease back that was over.",
        breaks="section 4, instants are clamped",
        seen="stroom#5772, idempotency4j on Redis' clock",
        mistaken=KeyStore(begin=_believes_the_clock),
    ),
    key_bug(
        name="lease-checked-first",
        wrong="Another payload under a key in flight has to wait instead of being refused.",
        breaks="idempotency.in-flight.other",
        seen="idempot-js#183",
        mistaken=KeyStore(begin=_lease_checked_first),
    ),
    key_bug(
        name="release-keeps-the-lock",
        wrong="An attempt that failed releases its record and the lock stays.",
        breaks="idempotency.released.same",
        seen="snok#16, fastapi-idempotency-key",
        mistaken=KeyStore(release=_release_keeps_the_lock),
    ),
    key_bug(
        name="released-to-anyone",
        wrong="A released key may be used for another request.",
        breaks="idempotency.released.other",
        seen="powertools-python#3781",
        mistaken=KeyStore(begin=_mismatch_executes),
    ),
)
