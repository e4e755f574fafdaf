"""Programs that forget an outcome: each has an error at the marked line."""

from datetime import datetime
from typing import assert_never

from curae_lifecycle import (
    Actor,
    Caller,
    ConnectionId,
    Done,
    Expired,
    Snapshot,
    Granted,
    Ignored,
    NextAction,
    Refused,
    Request,
    UserId,
    decide_access,
    read,
    record_fact,
)
from curae_lifecycle.rules.attempt import release
from curae_lifecycle.rules.chain import Minted, reconnect
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    KnownResponse,
    Record,
    RecordKey,
    begin_attempt,
)
from curae_lifecycle.rules.ratelimit import Admitted, Charge, admit
from curae_lifecycle.rules.session import CuraeConnectSession, complete_handoff
from curae_lifecycle.rules.triggers import authorize, expire, revoke
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.response import status_of_stored


def authorize_without_refused(connection: Connection, now: datetime) -> Connection:
    answer = authorize(connection, now, era=None)
    match answer:
        case Done(after) | Ignored(after):
            return after
        case never:
            assert_never(never)  # error: [arg-type]


def authorize_without_ignored(connection: Connection, now: datetime) -> Connection:
    answer = authorize(connection, now, era=None)
    match answer:
        case Done(after):
            return after
        case Refused():
            return connection
        case never:
            assert_never(never)  # error: [arg-type]


def authorize_and_fall_through(connection: Connection, now: datetime) -> Connection:  # error: [return]
    match authorize(connection, now, era=None):
        case Done(after) | Ignored(after):
            return after


def authorize_and_hope(connection: Connection, now: datetime) -> Connection:
    return authorize(connection, now, era=None).value  # error: [union-attr]


def expire_without_done(connection: Connection, now: datetime) -> Connection:
    answer = expire(connection, now, era=None)
    if isinstance(answer, Ignored):
        return answer.value
    if isinstance(answer, Refused):
        return connection
    assert_never(answer)  # error: [arg-type]


def revoke_without_ignored(connection: Connection, now: datetime) -> Connection:
    answer = revoke(connection, now, actor=Actor.APP, era=None)
    match answer:
        case Done(after):
            return after
        case never:
            assert_never(never)  # error: [arg-type]


def reconnect_without_refused(
    connection: Connection, now: datetime, id: ConnectionId, next_action: NextAction
) -> Connection:
    answer = reconnect(connection, None, now, id=id, next_action=next_action, era=None)
    match answer:
        case Done(recovery):
            return recovery.connection
        case never:
            assert_never(never)  # error: [arg-type]


def reconnect_without_reissued(
    connection: Connection, now: datetime, id: ConnectionId, next_action: NextAction
) -> Connection | None:
    answer = reconnect(connection, None, now, id=id, next_action=next_action, era=None)
    if isinstance(answer, Refused):
        return None
    match answer.value:
        case Minted(made):
            return made
        case never:
            assert_never(never)  # error: [arg-type]


def begin_without_replay(
    record: Record, key: RecordKey, fingerprint: Fingerprint, now: datetime
) -> int:
    begun = begin_attempt(record, key=key, fingerprint=fingerprint, now=now)
    match begun:
        case Attempt():
            return begun.token
        case Refused():
            return 0
        case never:
            assert_never(never)  # error: [arg-type]


def begin_without_refused(
    record: Record, key: RecordKey, fingerprint: Fingerprint, now: datetime
) -> int:
    begun = begin_attempt(record, key=key, fingerprint=fingerprint, now=now)
    match begun:
        case Attempt():
            return begun.token
        case KnownResponse(response):
            return status_of_stored(response)
        case never:
            assert_never(never)  # error: [arg-type]


def release_without_lease_lost(record: Record, attempt: Attempt, now: datetime) -> Record:
    answer = release(record, attempt, now)
    match answer:
        case Done(after):
            return after
        case never:
            assert_never(never)  # error: [arg-type]


def access_without_denied(connection: Connection, now: datetime) -> datetime | None:
    decision = decide_access(connection, "labs", now, era=None)
    match decision:
        case Granted(valid_until):
            return valid_until
        case never:
            assert_never(never)  # error: [arg-type]


def access_without_a_reason(connection: Connection, now: datetime) -> str:
    return decide_access(connection, "labs", now, era=None).reason  # error: [union-attr]


def limits_without_limited(charges: tuple[Charge, ...], now: datetime) -> Admitted:
    answer = admit(charges, now)
    match answer:
        case Admitted():
            return answer
        case never:
            assert_never(never)  # error: [arg-type]


def handoff_without_refused(session: CuraeConnectSession, now: datetime) -> CuraeConnectSession:
    answer = complete_handoff(session, binding=None, user_id=UserId("u-1"), now=now)
    match answer:
        case Done(landing) | Ignored(landing):
            return landing.session
        case never:
            assert_never(never)  # error: [arg-type]


def fact_without_refused(id: ConnectionId, snapshot: Snapshot, now: datetime) -> int:
    answer = record_fact(Expired(id), snapshot, now)
    match answer:
        case Done(changes):
            return len(changes.writes)
        case Ignored():
            return 0
        case never:
            assert_never(never)  # error: [arg-type]


def request_without_refusal(request: Request, caller: Caller, now: datetime) -> Call:
    return read(request, caller, now)  # error: [return-value]
