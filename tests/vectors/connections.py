"""Vectors of connections: standing, events, chains, revocation, access, merge, spelling.

The law of this module: **every cell is driven through its function**, from a connection that
the rules can reach and at an instant that puts it there, and every deadline is asked for one
microsecond before it, at it and after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.access import ACCESS, Granted, PackageGrant, decide_access
from curae_lifecycle.rules.chain import (
    RECOVERY,
    REVOCATION_REACH,
    Minted,
    Recovery,
    reconnect,
    revoke_chain,
)
from curae_lifecycle.rules.connection import (
    STANDING,
    Actor,
    Clock,
    Connection,
    ConnectionIdentity,
    Standing,
    Status,
    next_deadline,
    standing,
)
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.merge import MergeError, merge
from curae_lifecycle.rules.outcomes import Done, Refused
from curae_lifecycle.rules.triggers import (
    AUTHORIZATION,
    EXPIRY_RECORD,
    TRIGGERS,
    Successor,
    Transition,
    Trigger,
    authorize,
    expire,
    require_action,
    revoke,
)
from curae_lifecycle.rules.values import HOUR, MINUTE, DataPackage, format_time, later
from curae_lifecycle.rules.wire_status import STORED_STATUS, WIRE_STATUS, WireStatus
from curae_lifecycle.web.json import MalformedError
from curae_lifecycle.web.shapes import format_connection, parse_connection
from tests.vectors.cases import (
    BOUNDARY,
    COORDINATE,
    HANDOFF,
    START,
    Case,
    Members,
    Verdict,
    attempt,
    cell_id,
    connection_id,
    judged,
    mistake,
    next_action,
    refused,
    stored,
    time_or_null,
)

END: Final = later(START, HOUR)
"""When a connection of the vectors is over, be it the hand-off or the authorization."""

AUTHORIZED: Final = later(START, MINUTE)
NOW: Final = later(START, 40 * MINUTE)
"""Before `END`, after everything else."""

PACKAGES: Final = (DataPackage("clinical_summary"), DataPackage("labs"))
_LATER: Final = later(END, 24 * HOUR)

_AT: Final = {
    Standing.PENDING: (Status.PENDING, NOW),
    Standing.LAPSED: (Status.PENDING, END),
    Standing.ACTIVE: (Status.ACTIVE, NOW),
    Standing.ACTION_REQUIRED: (Status.ACTION_REQUIRED, NOW),
    Standing.EXPIRED: (Status.EXPIRED, NOW),
    Standing.REVOKED: (Status.REVOKED, NOW),
}
"""How each standing comes about."""


def make(
    status: Status, ends: datetime | None = END, *, number: int = 1, after: int | None = None
) -> Connection:
    """A connection with a plausible past; the nth, the successor of another where one is named."""
    identity = ConnectionIdentity(
        connection_id(number),
        COORDINATE,
        PACKAGES,
        START,
        None if after is None else connection_id(after),
        connection_id(1),
    )
    if status is Status.PENDING:
        return Connection(identity, status, START, ends)
    deadline = later(START, HANDOFF)
    active = Connection(identity, status, AUTHORIZED, deadline, AUTHORIZED, ends)
    if status is Status.ACTION_REQUIRED:
        return attrs.evolve(active, action_required_reason="portal_login")
    if status is Status.REVOKED:
        at = later(START, 2 * MINUTE)
        return attrs.evolve(active, updated_at=at, revoked_at=at, revoked_by=Actor.APP)
    return active


def standings() -> Iterator[Case]:
    """What a connection is, at each deadline and around it."""
    for (status, clock), row in STANDING:
        now = NOW if clock is Clock.BEFORE else END
        yield _standing(cell_id(STANDING.name, (status, clock)), make(status), now, row.rule)
    for status in (Status.PENDING, Status.ACTIVE, Status.ACTION_REQUIRED):
        for word, ticks in BOUNDARY.items():
            clock = Clock.BEFORE if ticks < 0 else Clock.REACHED
            rule = STANDING[status, clock].rule
            at = later(END, ticks)
            yield _standing(f"standing/boundary/{status}/{word}", make(status), at, rule)
        rule = STANDING[status, Clock.BEFORE].rule
        yield _standing(f"standing/no-deadline/{status}", make(status, None), _LATER, rule)


def _standing(id: str, connection: Connection, now: datetime, rule: str) -> Case:  # noqa: A002 - see `Case`
    answer = {
        "standing": standing(connection, now),
        "nextDeadline": time_or_null(next_deadline(connection)),
    }
    return Case(id, {"connection": stored(connection), "now": format_time(now)}, answer, rule)


def events() -> Iterator[Case]:
    """What each event does: at once, late, at the boundary, and by mistake."""
    for (event, at), _ in TRIGGERS:
        status, now = _AT[at]
        yield _event(cell_id(TRIGGERS.name, (event, at)), event, make(status), now)
    for event in Trigger:
        for status in (Status.PENDING, Status.ACTIVE, Status.ACTION_REQUIRED):
            for word, ticks in BOUNDARY.items():
                name = f"connection/boundary/{event}/{status}/{word}"
                yield _event(name, event, make(status), later(END, ticks))
    facts = (Trigger.AUTHORIZE, Trigger.REQUIRE_ACTION, Trigger.EXPIRE, Trigger.REVOKE)
    for event in facts:
        for status in Status:
            yield _event(
                f"connection/late/{event}/{status}",
                event,
                make(status),
                _LATER,
                happened=NOW,
                comment="It happened before the deadline and is recorded after it.",
            )
        yield _event(
            f"connection/mistake/{event}/from-the-future",
            event,
            make(Status.PENDING),
            NOW,
            happened=later(NOW, 1),
        )
        yield _event(
            f"connection/mistake/{event}/before-creation",
            event,
            make(Status.PENDING),
            NOW,
            happened=later(START, -1),
        )
    for word, ticks in BOUNDARY.items():
        yield _event(
            f"connection/late/deadline/{word}",
            Trigger.AUTHORIZE,
            make(Status.PENDING),
            _LATER,
            happened=later(END, ticks),
            comment="A pending connection heals where the patient finished in time.",
        )
        yield _event(
            f"connection/expires-at/{word}",
            Trigger.AUTHORIZE,
            make(Status.PENDING),
            NOW,
            expires=later(NOW, ticks),
            comment="An authorization ends after it began; all else is a caller's mistake.",
        )


def _event(
    id: str,  # noqa: A002 - see `Case`
    event: Trigger,
    connection: Connection,
    now: datetime,
    *,
    happened: datetime | None = None,
    expires: datetime | None = _LATER,
    successor: Connection | None = None,
    comment: str | None = None,
) -> Case:
    given: dict[str, object] = {
        "event": event,
        "connection": stored(connection),
        "now": format_time(now),
    }
    if event is not Trigger.RECONNECT:
        given["happenedAt"] = time_or_null(happened)
    if expires is _LATER and happened is None:
        expires = later(now, HOUR)

    def run() -> Transition | Recovery:
        match event:
            case Trigger.AUTHORIZE:
                given["expiresAt"] = time_or_null(expires)
                given["successor"] = stored(successor)
                return authorize(
                    connection, now, expires_at=expires, happened_at=happened, successor=successor
                )
            case Trigger.REQUIRE_ACTION:
                given["reason"] = "token_refresh_failed"
                return require_action(
                    connection, now, reason="token_refresh_failed", happened_at=happened
                )
            case Trigger.EXPIRE:
                return expire(connection, now, happened_at=happened)
            case Trigger.REVOKE:
                given["actor"] = Actor.PATIENT
                return revoke(connection, now, actor=Actor.PATIENT, happened_at=happened)
            case Trigger.RECONNECT:
                given["successor"] = stored(successor)
                given["freshId"] = connection_id(9)
                given["nextActionExpiresAt"] = format_time(next_action(now).expires_at)
                return reconnect(
                    connection, successor, now, id=connection_id(9), next_action=next_action(now)
                )

    answer = _answer(attempt(run))
    if event is Trigger.REVOKE and answer["outcome"] != "error":
        answer = {**answer, "revokedNow": answer["outcome"] == "done"}
    return judged(id, given, answer, comment)


def _answer(result: Transition | Recovery | ArgumentError) -> Members:
    if isinstance(result, ArgumentError):
        return mistake(result)
    if isinstance(result, Refused):
        return refused(result)
    if not isinstance(result, Done):
        return {"outcome": "ignored", "rules": result.rules}
    value = result.value
    if isinstance(value, Connection):
        return {"outcome": "done", "connection": stored(value), "rules": result.rules}
    made = "minted" if isinstance(value, Minted) else "reissued"
    return {
        "outcome": "done",
        "made": made,
        "connection": stored(value.connection),
        "rules": result.rules,
    }


def expiry_records() -> Iterator[Case]:
    """Whether an expiry that the clock brought is still to be written down."""
    for status in (Status.ACTIVE, Status.ACTION_REQUIRED, Status.EXPIRED):
        yield _event(cell_id(EXPIRY_RECORD.name, (status,)), Trigger.EXPIRE, make(status), END)


_SUCCESSORS: Final = {
    Successor.NONE: None,
    Successor.PENDING: make(Status.PENDING, later(END, HOUR), number=2, after=1),
    Successor.OTHER: make(Status.ACTIVE, later(END, HOUR), number=2, after=1),
}


def authorizations() -> Iterator[Case]:
    """Whether a connection may be authorized at all."""
    for (kind,), _ in AUTHORIZATION:
        yield _event(
            cell_id(AUTHORIZATION.name, (kind,)),
            Trigger.AUTHORIZE,
            make(Status.PENDING),
            NOW,
            successor=_SUCCESSORS[kind],
        )


def recoveries() -> Iterator[Case]:
    """What a reconnect makes, and how long a successor counts as pending."""
    for (at, kind), _ in RECOVERY:
        if at is not Standing.PENDING and at is not Standing.ACTIVE:
            status, now = _AT[at]
            name = cell_id(RECOVERY.name, (at, kind))
            successor = _SUCCESSORS[kind]
            yield _event(name, Trigger.RECONNECT, make(status), now, successor=successor)
    for status in Status:
        successor = make(status, later(END, HOUR), number=2, after=1)
        yield _event(
            f"recovery/successor/{status}",
            Trigger.RECONNECT,
            make(Status.EXPIRED),
            END,
            successor=successor,
        )
    for word, ticks in BOUNDARY.items():
        yield _event(
            f"recovery/successor-deadline/{word}",
            Trigger.RECONNECT,
            make(Status.EXPIRED),
            later(END, ticks),
            successor=make(Status.PENDING, END, number=2, after=1),
            comment="A successor that lapsed is recovered itself; its id is named.",
        )


def revocations() -> Iterator[Case]:
    """How far a revocation goes."""
    named = make(Status.REVOKED), make(Status.ACTION_REQUIRED)
    for (actor,), row in REVOCATION_REACH:
        for number, connection in enumerate(named):
            following = (
                make(Status.ACTION_REQUIRED, number=2, after=1),
                make(Status.PENDING, number=3, after=2),
            )
            answers = revoke_chain(connection, following, NOW, actor=actor)
            cell = cell_id(REVOCATION_REACH.name, (actor,))
            yield Case(
                cell if number else f"{cell}/again",
                {
                    "connection": stored(connection),
                    "following": [stored(each) for each in following],
                    "actor": actor,
                    "now": format_time(NOW),
                },
                {"reach": row.outcome.to, "answers": [_answer(answer) for answer in answers]},
                row.rule,
            )


def accesses() -> Iterator[Case]:
    """Who may read, until when, and why not."""
    for (at, package), _ in ACCESS:
        status, now = _AT[at]
        name = PACKAGES[0] if package is PackageGrant.GRANTED else "genome"
        yield _access(cell_id(ACCESS.name, (at, package)), make(status), name, now)
    for word, ticks in BOUNDARY.items():
        yield _access(
            f"access/boundary/{word}", make(Status.ACTIVE), PACKAGES[0], later(END, ticks)
        )
    yield _access("access/no-end", make(Status.ACTIVE, None), PACKAGES[1], _LATER)


def _access(id: str, connection: Connection, package: str, now: datetime) -> Case:  # noqa: A002 - see `Case`
    given = {"connection": stored(connection), "dataPackage": package, "now": format_time(now)}
    decision = decide_access(connection, package, now)
    rules = (decision.rule,)
    if isinstance(decision, Granted):
        until = time_or_null(decision.valid_until)
        return judged(id, given, {"outcome": "granted", "validUntil": until, "rules": rules})
    return judged(id, given, {"outcome": "denied", "reason": decision.reason, "rules": rules})


def merges() -> Iterator[Case]:
    """Snapshots of one connection that arrive out of order, both ways round."""
    for one in Status:
        for two in Status:
            yield _merge(f"merge/{one}/{two}", make(one), make(two))
    revoked = make(Status.REVOKED)
    early = attrs.evolve(revoked, revoked_at=AUTHORIZED, revoked_by=Actor.PATIENT)
    same = attrs.evolve(revoked, revoked_by=Actor.PATIENT)
    asked = make(Status.ACTION_REQUIRED)
    other = attrs.evolve(asked, action_required_reason="consent_renewal")
    open_end = make(Status.ACTIVE, None)
    new_ids = make(Status.PENDING, later(END, HOUR))
    pairs = {
        "earliest-revocation": (revoked, early),
        "revoked-at-once-by-two": (revoked, same),
        "actor-unknown": (revoked, attrs.evolve(revoked, revoked_by=None)),
        "two-reasons": (asked, other),
        "end-known-to-one": (open_end, make(Status.ACTIVE)),
        "earliest-authorization": (
            attrs.evolve(make(Status.ACTIVE), authorized_at=START),
            attrs.evolve(make(Status.ACTIVE), updated_at=NOW),
        ),
        "earliest-end": (make(Status.ACTIVE), make(Status.ACTIVE, later(END, -1))),
        "latest-deadline": (make(Status.PENDING), new_ids),
        "reissued": (make(Status.PENDING), attrs.evolve(new_ids, updated_at=NOW)),
        "another-id": (make(Status.ACTIVE), make(Status.ACTIVE, number=2)),
        "another-predecessor": (make(Status.ACTIVE), make(Status.ACTIVE, after=7)),
    }
    for name, (left, right) in pairs.items():
        yield _merge(f"merge/{name}", left, right)
        yield _merge(f"merge/{name}/swapped", right, left)


def _merge(id: str, left: Connection, right: Connection) -> Case:  # noqa: A002 - see `Case`
    given = {"left": stored(left), "right": stored(right)}
    try:
        joined = merge(left, right)
    except MergeError:
        return Case(id, given, {"outcome": "error"}, None, Verdict.INVALID, "Not one connection.")
    return Case(id, given, {"outcome": "done", "connection": stored(joined)})


def spellings() -> Iterator[Case]:
    """How a connection is printed on the wire."""
    for (at,), row in WIRE_STATUS:
        status, now = _AT[at]
        for spelling in (WireStatus.ACTIVE, WireStatus.AUTHORIZED):
            cell = cell_id(WIRE_STATUS.name, (at,))
            given = {
                "connection": stored(make(status)),
                "now": format_time(now),
                "activeSpelling": spelling,
            }
            yield Case(
                cell if spelling is WireStatus.ACTIVE else f"{cell}/as-authorized",
                given,
                {"connection": format_connection(make(status), now, spelling)},
                row.rule,
            )


def readings() -> Iterator[Case]:
    """What each status of the wire is read as."""
    for (spelled,), row in STORED_STATUS:
        source = make(Status.PENDING) if spelled is WireStatus.PENDING else make(row.outcome.to)
        printed = {**format_connection(source, NOW), "status": spelled}
        authorized = spelled is WireStatus.AUTHORIZED
        yield _reading(
            cell_id(STORED_STATUS.name, (spelled,)),
            printed,
            row.rule,
            Verdict.ACCEPTABLE if authorized else Verdict.VALID,
        )
    lapsed = format_connection(make(Status.PENDING), END)
    rule = STORED_STATUS[WireStatus.EXPIRED].rule
    yield _reading("stored-status/lapsed", lapsed, rule, Verdict.VALID)
    reason = {**lapsed, "actionRequiredReason": "portal_login"}
    yield _reading("stored-status/expired-with-reason", reason, rule, Verdict.VALID)
    active = format_connection(make(Status.ACTIVE), NOW)
    broken: dict[str, Members] = {
        "unknown-status": {**active, "status": "PAUSED"},
        "lower-case-status": {**active, "status": "active"},
        "null-status": {**active, "status": None},
        "unknown-member": {**active, "userId": "u-1"},
        "missing-member": {name: active[name] for name in active if name != "revokedAt"},
        "id-without-hyphens": {**active, "id": connection_id(1).replace("-", "")},
        "time-with-offset": {**active, "createdAt": "2030-01-01T00:00:00+00:00"},
    }
    for name, document in broken.items():
        yield _reading(f"stored-status/{name}", document, None, Verdict.INVALID)


def _reading(id: str, document: Members, rule: str | None, verdict: Verdict) -> Case:  # noqa: A002 - see `Case`
    given = {"document": document, "environment": "live", "appId": COORDINATE.app_id}
    try:
        # The members are JSON: `format_connection` made them.
        read = parse_connection(
            dict(document),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            environment=COORDINATE.environment,
            app_id=COORDINATE.app_id,
        )
    except MalformedError as error:
        answer: Members = {"outcome": "error", "member": error.member, "fault": error.fault}
        return Case(id, given, answer, rule, verdict)
    return Case(id, given, {"outcome": "done", "connection": stored(read)}, rule, verdict)
