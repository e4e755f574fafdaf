"""The outcomes of the rules, as a type checker sees them."""

from datetime import datetime
from typing import assert_type

from curae_lifecycle import (
    Actor,
    Caller,
    ConnectionId,
    Decision,
    Done,
    Expired,
    Snapshot,
    Granted,
    Ignored,
    NewIds,
    NextAction,
    Refused,
    Request,
    Response,
    Snapshot,
    UserId,
    decide,
    decide_access,
    read,
    record_fact,
    respond,
)
from curae_lifecycle.rules.access import AccessDecision, Denied
from curae_lifecycle.rules.attempt import LeaseLost, complete, forget, release, renew
from curae_lifecycle.rules.binding import LimitedAccountAppBinding, tombstone
from curae_lifecycle.rules.chain import Minted, Reissued, reconnect
from curae_lifecycle.rules.connection import Connection, next_deadline
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    KnownResponse,
    Record,
    RecordKey,
    begin_attempt,
)
from curae_lifecycle.rules.merge import merge
from curae_lifecycle.rules.problems import Problem
from curae_lifecycle.rules.ratelimit import Admitted, Charge, RateLimited, admit
from curae_lifecycle.rules.session import CuraeConnectSession, Landing, complete_handoff
from curae_lifecycle.rules.triggers import authorize, expire, require_action, revoke
from curae_lifecycle.rules.values import Coordinate
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.web.respond import Answer


def facts(connection: Connection, now: datetime) -> None:
    answer = authorize(connection, now, era=None)
    assert_type(answer, Done[Connection] | Ignored[Connection] | Refused)
    assert_type(
        require_action(connection, now, reason="portal_login", era=None),
        Done[Connection] | Ignored[Connection] | Refused,
    )
    assert_type(expire(connection, now, era=None), Done[Connection] | Ignored[Connection] | Refused)
    if isinstance(answer, Refused):
        assert_type(answer.problem, Problem)
    else:
        assert_type(answer, Done[Connection] | Ignored[Connection])
        assert_type(answer.value, Connection)
    assert_type(answer.rules, tuple[str, ...])


def commands(connection: Connection, now: datetime, next_action: NextAction) -> None:
    # A revocation is never refused, a reconnect never ignored.
    assert_type(
        revoke(connection, now, actor=Actor.APP, era=None), Done[Connection] | Ignored[Connection]
    )
    assert_type(
        reconnect(connection, None, now, id=ConnectionId("x"), next_action=next_action, era=None),
        Done[Minted | Reissued] | Refused,
    )
    assert_type(merge(connection, connection), Connection)
    assert_type(next_deadline(connection, era=None), datetime | None)


def handoffs(
    session: CuraeConnectSession,
    binding: LimitedAccountAppBinding | None,
    coordinate: Coordinate,
    now: datetime,
) -> None:
    assert_type(
        complete_handoff(session, binding=binding, user_id=UserId("u-1"), now=now),
        Done[Landing] | Ignored[Landing] | Refused,
    )
    assert_type(
        tombstone(binding, coordinate, now),
        Done[LimitedAccountAppBinding] | Ignored[LimitedAccountAppBinding | None],
    )


def idempotency(
    record: Record | None, key: RecordKey, fingerprint: Fingerprint, now: datetime
) -> None:
    attempt = begin_attempt(record, key=key, fingerprint=fingerprint, now=now)
    assert_type(attempt, Attempt | KnownResponse | Refused)
    if isinstance(attempt, Attempt):
        response = Response(200, (), b"")
        assert_type(renew(record, attempt, now), Done[Record] | LeaseLost)
        assert_type(complete(record, attempt=attempt, response=response, now=now), Done[Record] | LeaseLost)
        assert_type(release(record, attempt, now), Done[Record] | LeaseLost)
    assert_type(forget(record, now), Done[Record] | Ignored[Record | None])


def access(connection: Connection, now: datetime) -> None:
    decision = decide_access(connection, "labs", now, era=None)
    assert_type(decision, Granted | Denied)
    assert_type(decision, AccessDecision)
    if isinstance(decision, Granted):
        assert_type(decision.valid_until, datetime | None)


def limits(charges: tuple[Charge, ...], now: datetime) -> None:
    assert_type(admit(charges, now), Admitted | RateLimited)


def one_fact(snapshot: Snapshot, now: datetime) -> None:
    answer = record_fact(Expired(ConnectionId("x")), snapshot, now)
    assert_type(answer, Done[Changes] | Ignored[Changes] | Refused)


def one_request(
    request: Request, caller: Caller | None, snapshot: Snapshot, new_ids: NewIds, now: datetime
) -> None:
    call = read(request, caller, now)
    assert_type(call, Call | Decision)
    if isinstance(call, Call):
        call = decide(call, snapshot=snapshot, now=now, new_ids=new_ids)
    assert_type(call, Decision)
    assert_type(respond(call), Answer)
