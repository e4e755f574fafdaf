"""Programs that handle every outcome, and so need no `else`."""

from datetime import datetime
from typing import assert_never

from curae_lifecycle import (
    Actor,
    Authorized,
    ConnectionId,
    Done,
    Snapshot,
    Granted,
    Ignored,
    NextAction,
    Refused,
    Response,
    decide_access,
    record_fact,
)
from curae_lifecycle.rules.access import Denied
from curae_lifecycle.rules.attempt import LeaseLost, complete
from curae_lifecycle.rules.chain import Minted, Reissued, reconnect
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.idempotency import Attempt, Fingerprint, KnownResponse, RecordKey, begin_attempt
from curae_lifecycle.rules.ratelimit import Admitted, Charge, RateLimited, admit
from curae_lifecycle.rules.triggers import authorize, revoke
from curae_lifecycle.service.response import ResponseReference


def record_authorization(connection: Connection, now: datetime) -> Connection:
    match authorize(connection, now, era=None):
        case Done(after) | Ignored(after):
            return after
        case Refused(problem):
            raise ValueError(problem.detail)


def revoked_now(connection: Connection, now: datetime) -> bool:
    match revoke(connection, now, actor=Actor.APP, era=None):
        case Done():
            return True
        case Ignored():
            return False


def recovered(
    connection: Connection,
    successor: Connection | None,
    now: datetime,
    id: ConnectionId,
    next_action: NextAction,
) -> Connection | str:
    answer = reconnect(connection, successor, now, id=id, next_action=next_action, era=None)
    match answer:
        case Done(Minted(made)):
            return made
        case Done(Reissued(_, after)):
            return after
        case Done():
            raise AssertionError
        case Refused(problem):
            return problem.code
        case never:
            assert_never(never)


def may_read(connection: Connection, now: datetime) -> str:
    decision = decide_access(connection, "labs", now, era=None)
    match decision:
        case Granted(valid_until):
            return "for ever" if valid_until is None else valid_until.isoformat()
        case Denied(reason, problem):
            return f"{reason}: {problem.detail}"
        case never:
            assert_never(never)


def execute(key: RecordKey, fingerprint: Fingerprint, now: datetime) -> Response | str:
    begun = begin_attempt(None, key=key, fingerprint=fingerprint, now=now)
    match begun:
        case Attempt():
            response = Response(200, (), b"{}")
            done = complete(None, attempt=begun, response=response, now=now)
            match done:
                case Done():
                    return response
                case LeaseLost(_, rules):
                    return rules[-1]
                case lost:
                    assert_never(lost)
        case KnownResponse(Response() as response):
            return response
        case KnownResponse(ResponseReference(_, reference)):
            return reference
        case KnownResponse():
            raise AssertionError
        case Refused(problem):
            return problem.code
        case never:
            assert_never(never)


def admitted(charges: tuple[Charge, ...], now: datetime) -> int:
    match admit(charges, now):
        case Admitted():
            return 0
        case RateLimited() as limited:
            return limited.retry_after


def report(connection_id: ConnectionId, snapshot: Snapshot, now: datetime) -> int:
    answer = record_fact(Authorized(connection_id), snapshot, now)
    match answer:
        case Done(changes):
            return len(changes.writes)
        case Ignored():
            return 0
        case Refused():
            return -1
        case never:
            assert_never(never)
