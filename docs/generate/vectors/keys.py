"""Vectors of idempotency keys: the standing of a record, and the acts on it.

The law of this module: **every cell is driven through its function**, with a record that is there
at that instant. Its two deadlines, the lease and the retention, are tried one microsecond before
them, at them, and one after them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.attempt import (
    ATTEMPT,
    UPKEEP,
    AttemptAction,
    Holder,
    LeaseLost,
    UpkeepAction,
    complete,
    forget,
    release,
    renew,
    resolve,
)
from curae_lifecycle.rules.idempotency import (
    DEFAULT_LEASE,
    IDEMPOTENCY,
    RECORD_STANDING,
    RETENTION,
    Attempt,
    Fingerprint,
    FingerprintMatch,
    IdempotencyKey,
    KnownResponse,
    LeaseState,
    LostLeaseAction,
    Record,
    RecordKey,
    RecordStanding,
    RecordState,
    begin_attempt,
    record_expires_at,
    record_standing,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import (
    SECOND,
    ApiKeyId,
    AppId,
    CustomerAccountId,
    Environment,
    add_microseconds,
    format_time,
)
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.status import is_kept
from docs.generate.vectors.cases import (
    BOUNDARY,
    START,
    Case,
    Members,
    Verdict,
    cell_id,
    make_case,
    show_refusal,
    stored,
)
from docs.generate.vectors.texts import CALLER

_KEY: Final = RecordKey(CALLER.key_owner, IdempotencyKey("k-1"))
_SAME: Final = Fingerprint.of("revoke", ["00000000-0000-4000-8000-000000000001"])
_VALUES: Final = Fingerprint.of("revoke", ["00000000-0000-4000-8000-000000000002"])
_OPERATION: Final = Fingerprint.of("reconnect", ["00000000-0000-4000-8000-000000000001"])
_RESPONSE: Final = Response(200, (("content-type", "application/json"),), b'{"revokedNow":true}')
_LEASE_END: Final = add_microseconds(START, DEFAULT_LEASE)
_NOW: Final = add_microseconds(START, 30 * SECOND)
_RETENTION_END: Final = add_microseconds(START, RETENTION)


def _record(
    state: RecordState,
    lost: LostLeaseAction = LostLeaseAction.EXECUTE,
    *,
    leased: bool | None = None,
) -> Record:
    in_flight = state is RecordState.IN_FLIGHT
    return Record(
        key=_KEY,
        fingerprint=_SAME,
        state=state,
        token=1,
        first_used_at=START,
        seen_at=START,
        lease_until=_LEASE_END if (in_flight if leased is None else leased) else None,
        lost_lease=lost,
        response=_RESPONSE if state is RecordState.COMPLETED else None,
    )


AT: Final[dict[RecordStanding, tuple[Record, datetime]]] = {
    RecordStanding.ABSENT: (_record(RecordState.COMPLETED), _RETENTION_END),
    RecordStanding.RELEASED: (_record(RecordState.RELEASED), _NOW),
    RecordStanding.IN_FLIGHT: (_record(RecordState.IN_FLIGHT), _NOW),
    RecordStanding.LEASE_OVER: (_record(RecordState.IN_FLIGHT), _LEASE_END),
    RecordStanding.UNKNOWN: (_record(RecordState.IN_FLIGHT, LostLeaseAction.UNKNOWN), _LEASE_END),
    RecordStanding.COMPLETED: (_record(RecordState.COMPLETED), _NOW),
    RecordStanding.FORGOTTEN: (_record(RecordState.FORGOTTEN), _NOW),
}
"""The record and the instant that give each standing."""


def standings() -> Iterator[Case]:
    """Yield the standing of each record, also around its lease and its retention."""
    for (state, lease, lost), row in RECORD_STANDING.items():
        running = lease is LeaseState.RUNNING
        record = _record(state, lost, leased=running or state is RecordState.IN_FLIGHT)
        name = cell_id(RECORD_STANDING.name, (state, lease, lost))
        never = running and state is not RecordState.IN_FLIGHT
        comment = "No record is stored like this; the table is total." if never else None
        yield _standing(
            name, record=record, now=_NOW if running else _LEASE_END, rule=row.rule, comment=comment
        )
    for word, ticks in BOUNDARY.items():
        for lost in LostLeaseAction:
            record = _record(RecordState.IN_FLIGHT, lost)
            lease = LeaseState.RUNNING if ticks < 0 else LeaseState.OVER
            rule = RECORD_STANDING[RecordState.IN_FLIGHT, lease, lost].rule
            name = f"record-standing/lease/{lost}/{word}"
            yield _standing(name, record=record, now=add_microseconds(_LEASE_END, ticks), rule=rule)
        for state in RecordState:
            record = _record(state)
            rule = RECORD_STANDING[state, LeaseState.OVER, LostLeaseAction.EXECUTE].rule
            name = f"record-standing/retention/{state}/{word}"
            at = add_microseconds(_RETENTION_END, ticks)
            yield _standing(name, record=record, now=at, rule=rule if ticks < 0 else None)
    seen = attrs.evolve(_record(RecordState.IN_FLIGHT), seen_at=_LEASE_END)
    rule = RECORD_STANDING[RecordState.IN_FLIGHT, LeaseState.OVER, LostLeaseAction.EXECUTE].rule
    used_late = attrs.evolve(_record(RecordState.COMPLETED), seen_at=_RETENTION_END)
    yield _standing("record-standing/seen-at-its-end", record=used_late, now=START, rule=None)
    yield _standing("record-standing/clock-that-steps-back", record=seen, now=START, rule=rule)


def _standing(
    id: str,  # noqa: A002 - see `Case`
    record: Record,
    now: datetime,
    rule: str | None,
    comment: str | None = None,
) -> Case:
    given = {"record": stored(record), "now": format_time(now)}
    answer = {
        "standing": record_standing(record, now),
        "recordExpiresAt": format_time(record_expires_at(record)),
    }
    return Case(id=id, input=given, answer=answer, rule=rule, comment=comment)


def begins() -> Iterator[Case]:
    """Yield the answer to a request with a key, for each record."""
    for at, match in IDEMPOTENCY:
        record, now = AT[at]
        same = match is FingerprintMatch.SAME
        yield _begin(
            cell_id(IDEMPOTENCY.name, (at, match)),
            record=record,
            fingerprint=_SAME if same else _VALUES,
            now=now,
        )
        if not same:
            yield _begin(
                cell_id("idempotency/other-operation", (at,)),
                record=record,
                fingerprint=_OPERATION,
                now=now,
            )
    yield _begin("idempotency/first-use", record=None, fingerprint=_SAME, now=START)
    running = _record(RecordState.IN_FLIGHT)
    for lost in LostLeaseAction:
        for word, ticks in BOUNDARY.items():
            record = _record(RecordState.IN_FLIGHT, lost)
            yield _begin(
                f"idempotency/lease/{lost}/{word}",
                record=record,
                fingerprint=_SAME,
                now=add_microseconds(_LEASE_END, ticks),
            )
    for word, ticks in BOUNDARY.items():
        whole = add_microseconds(_LEASE_END, ticks - 10 * SECOND)
        yield _begin(
            f"idempotency/retry-after/{word}",
            record=running,
            fingerprint=_SAME,
            now=whole,
            comment="What is left of the lease, in whole seconds rounded up.",
        )
        record = _record(RecordState.COMPLETED)
        at_end = add_microseconds(_RETENTION_END, ticks)
        yield _begin(f"idempotency/retention/{word}", record=record, fingerprint=_SAME, now=at_end)
        yield _begin(
            f"idempotency/retention/other/{word}", record=record, fingerprint=_VALUES, now=at_end
        )
    for name, record, fingerprint, now in _older():
        yield _begin(f"idempotency/{name}", record=record, fingerprint=fingerprint, now=now)


_LATER_LIFE: Final = attrs.evolve(
    _record(RecordState.IN_FLIGHT),
    token=7,
    seen_at=add_microseconds(START, 20 * SECOND),
)
"""A record that an eighth attempt would take over."""


def _older() -> Iterator[tuple[str, Record, Fingerprint, datetime]]:
    """Yield records of several attempts, and clocks that are behind them."""
    seen = add_microseconds(START, 20 * SECOND)
    for state in (RecordState.RELEASED, RecordState.IN_FLIGHT, RecordState.COMPLETED):
        record = attrs.evolve(_record(state), token=7, seen_at=seen)
        yield f"older/{state}/clock-behind", record, _SAME, START
        yield f"older/{state}/lease-over", record, _SAME, _LEASE_END
        for word, ticks in BOUNDARY.items():
            at = add_microseconds(_RETENTION_END, ticks)
            yield f"older/{state}/retention/{word}", record, _SAME, at
    seen_late = attrs.evolve(_record(RecordState.IN_FLIGHT), seen_at=_LEASE_END)
    yield "clock-behind/lease-over", seen_late, _SAME, START
    forgotten = attrs.evolve(_record(RecordState.COMPLETED), seen_at=_RETENTION_END)
    yield "clock-behind/retention-over", forgotten, _SAME, START
    both = Fingerprint.of("reconnect", ["00000000-0000-4000-8000-000000000002"])
    yield "both-differ", _record(RecordState.COMPLETED), both, _NOW


def _begin(
    id: str,  # noqa: A002 - see `Case`
    record: Record | None,
    fingerprint: Fingerprint,
    now: datetime,
    comment: str | None = None,
) -> Case:
    given = {
        "record": stored(record),
        "key": _key(_KEY),
        "fingerprint": _fingerprint(fingerprint),
        "now": format_time(now),
    }
    result = begin_attempt(record, key=_KEY, fingerprint=fingerprint, now=now)
    answer: Members
    if isinstance(result, Refused):
        answer = show_refusal(result)
    elif isinstance(result, KnownResponse):
        answer = {"outcome": "replay", "rules": result.rules, "response": _response(_RESPONSE)}
    else:
        answer = {
            "outcome": "execute",
            "token": result.token,
            "firstUsedAt": format_time(result.first_used_at),
            "rules": result.rules,
        }
    return make_case(id, given=given, answer=answer, comment=comment)


def attempts() -> Iterator[Case]:
    """Yield the effect of each act of an attempt."""
    for act, at, holder in ATTEMPT:
        record, now = AT[at]
        token = record.token if holder is Holder.CURRENT else record.token + 1
        name = cell_id(ATTEMPT.name, (act, at, holder))
        yield _act(name, act=act, record=record, token=token, first_used_at=START, now=now)
    running = _record(RecordState.IN_FLIGHT)
    for act in AttemptAction:
        yield _act(
            f"attempt/no-record/{act}", act=act, record=None, token=1, first_used_at=START, now=_NOW
        )
        yield _act(
            f"attempt/token-of-another-life/{act}",
            act=act,
            record=running,
            token=1,
            first_used_at=add_microseconds(START, -1),
            now=_NOW,
            comment="The token is the record's, its first use is not: the key was used anew.",
        )
        for word, ticks in BOUNDARY.items():
            at_end = add_microseconds(_LEASE_END, ticks)
            yield _act(
                f"attempt/lease/{act}/{word}",
                act=act,
                record=running,
                token=1,
                first_used_at=START,
                now=at_end,
            )
    for act in AttemptAction:
        for name, record, attempt, now in _rivals():
            yield _act(
                f"attempt/{name}/{act}",
                act=act,
                record=record,
                token=attempt.token,
                first_used_at=attempt.first_used_at,
                now=now,
                key=attempt.key,
            )
    headers = (
        ("Link", "<a>"),
        ("Date", "Tue, 01 Jan 2030 00:00:00 GMT"),
        ("link", "<b>"),
        ("Set-Cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("Connection", "close, x-trace"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Proxy-Authorization", "Basic Y2Fl"),
        ("Proxy-Connection", "close"),
        ("TE", "trailers"),
        ("Trailer", "x-trace"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
        ("X-Trace", "1"),
        ("content-type", "application/json"),
        ("link", "<a>"),
    )
    yield _act(
        "attempt/headers-that-are-kept",
        act=AttemptAction.COMPLETE,
        record=running,
        token=1,
        first_used_at=START,
        now=_NOW,
        response=Response(201, headers, "\u00e9".encode()),
        comment="Order and repetition stay; some headers are never kept.",
    )


def _rivals() -> Iterator[tuple[str, Record, Attempt, datetime]]:
    """Yield attempts beside a record that they do not hold, or that saw a later instant."""
    attempt = Attempt(
        key=_KEY, fingerprint=_SAME, token=7, first_used_at=START, started_at=START, rules=()
    )
    yield "older/this-attempt", _LATER_LIFE, attempt, _NOW
    yield "older/an-earlier-attempt", _LATER_LIFE, attrs.evolve(attempt, token=6), _NOW
    yield "older/clock-behind", _LATER_LIFE, attempt, START
    over = attrs.evolve(_LATER_LIFE, seen_at=_LEASE_END)
    yield "older/clock-behind-its-lease", over, attempt, START
    owner = _KEY.owner
    elsewhere = {
        "api-key": attrs.evolve(owner, api_key_id=ApiKeyId("key-2")),
        "app": attrs.evolve(owner, app_id=AppId("app-2")),
        "account": attrs.evolve(
            owner, customer_account_id=CustomerAccountId("33333333-3333-4333-8333-333333333333")
        ),
        "environment": attrs.evolve(owner, environment=Environment.TEST),
    }
    for word, other in elsewhere.items():
        key = attrs.evolve(_KEY, owner=other)
        yield f"another-{word}", _LATER_LIFE, attrs.evolve(attempt, key=key), _NOW
    other_key = attrs.evolve(_KEY, key=IdempotencyKey("k-2"))
    yield "another-key", _LATER_LIFE, attrs.evolve(attempt, key=other_key), _NOW


def _act(
    id: str,  # noqa: A002 - see `Case`
    act: AttemptAction,
    record: Record | None,
    token: int,
    first_used_at: datetime,
    now: datetime,
    *,
    key: RecordKey = _KEY,
    response: Response = _RESPONSE,
    comment: str | None = None,
) -> Case:
    attempt = Attempt(
        key=key,
        fingerprint=_SAME,
        token=token,
        first_used_at=first_used_at,
        started_at=START,
        rules=(),
    )
    given: dict[str, object] = {
        "act": act,
        "record": stored(record),
        "attempt": {
            "key": _key(key),
            "token": token,
            "firstUsedAt": format_time(first_used_at),
        },
        "now": format_time(now),
    }

    def run() -> Done[Record] | LeaseLost:
        match act:
            case AttemptAction.RENEW:
                given["leaseSeconds"] = DEFAULT_LEASE // SECOND
                return renew(record, attempt, now)
            case AttemptAction.COMPLETE:
                given["response"] = _response(response)
                return complete(record, attempt=attempt, response=response, now=now)
            case AttemptAction.RELEASE:
                return release(record, attempt, now)

    return make_case(id, given=given, answer=_moved(run()), comment=comment)


def upkeep() -> Iterator[Case]:
    """Yield the effect of each act of a server without an attempt."""
    for act, at in UPKEEP:
        record, now = AT[at]
        yield _upkeep(cell_id(UPKEEP.name, (act, at)), act=act, record=record, now=now)
    for act in UpkeepAction:
        yield _upkeep(
            f"record-upkeep/no-record/{act.replace(' ', '-')}", act=act, record=None, now=_NOW
        )
        yield _upkeep(
            f"record-upkeep/clock-behind/{act.replace(' ', '-')}",
            act=act,
            record=attrs.evolve(_record(RecordState.IN_FLIGHT), seen_at=_LEASE_END, token=7),
            now=START,
        )


def _upkeep(id: str, act: UpkeepAction, record: Record | None, now: datetime) -> Case:  # noqa: A002 - see `Case`
    given: dict[str, object] = {"act": act, "record": stored(record), "now": format_time(now)}

    def run() -> Done[Record] | Ignored[Record | None]:
        match act:
            case UpkeepAction.RESOLVE_ANSWERED:
                given["response"] = _response(_RESPONSE)
                return resolve(record, now, response=_RESPONSE)
            case UpkeepAction.RESOLVE_NOTHING:
                return resolve(record, now, response=None)
            case UpkeepAction.FORGET:
                return forget(record, now)

    return make_case(id, given, _moved(run()))


def kept() -> Iterator[Case]:
    """Yield whether a response is kept under its key, for each status."""
    for status in (199, 200, 201, 299, 300, 304, 400, 401, 403, 404, 409, 422, 429, 500, 503):
        verdict = Verdict.VALID if is_kept(status) else Verdict.INVALID
        answer = {"kept": is_kept(status)}
        yield Case(
            id=f"kept-response/{status}",
            input={"status": status},
            answer=answer,
            rule=None,
            verdict=verdict,
        )


def _moved(result: Done[Record] | Ignored[Record | None] | LeaseLost) -> Members:
    if isinstance(result, Done):
        return {"outcome": "done", "record": stored(result.value), "rules": result.rules}
    outcome = "ignored" if isinstance(result, Ignored) else "lease lost"
    return {"outcome": outcome, "rules": result.rules}


def _key(key: RecordKey) -> Members:
    owner = key.owner
    return {
        "owner": {
            "apiKeyId": owner.api_key_id,
            "environment": owner.environment,
            "appId": owner.app_id,
            "customerAccountId": owner.customer_account_id,
        },
        "key": key.key,
    }


def _fingerprint(fingerprint: Fingerprint) -> Members:
    return {"operation": fingerprint.operation, "values": fingerprint.values}


def _response(response: Response) -> Members:
    headers = [list(pair) for pair in response.headers]
    return {"status": response.status, "headers": headers, "body": response.body.decode()}
