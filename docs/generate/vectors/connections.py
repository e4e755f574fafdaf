"""Vectors of one connection: its standing, its triggers and its access.

The law of this module: **every cell is driven through its function**, from a connection that the
rules can reach. Each deadline is tried one microsecond before it, at it, and one after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.chain import Minted, Recovery, Reissued, reconnect
from curae_lifecycle.rules.connection import (
    DEADLINE,
    STANDING,
    Actor,
    Connection,
    ConnectionIdentity,
    DeadlineState,
    EraState,
    RevocationState,
    Standing,
    Status,
    next_deadline,
    standing,
)
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.triggers import (
    AUTHORIZATION,
    ENDING,
    EXPIRY_RECORD,
    TRIGGERS,
    Ending,
    SuccessorState,
    Transition,
    Trigger,
    authorize,
    expire,
    require_action,
    revoke,
)
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    HOUR,
    MINUTE,
    DataPackage,
    add_microseconds,
    format_time,
)
from curae_lifecycle.service.effects import AccessEnded, Effect, HandoffCancelled
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, record_fact
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.snapshot import Snapshot
from docs.generate.vectors.cases import (
    BOUNDARY,
    COORDINATE,
    HANDOFF,
    START,
    Case,
    Members,
    cell_id,
    connection_id,
    make_case,
    next_action,
    show_result,
    stored,
    time_or_null,
    try_call,
)

END: Final = add_microseconds(START, HOUR)
"""The deadline of a connection: of its hand-off while PENDING, later of its authorization."""

AUTHORIZED: Final = add_microseconds(START, MINUTE)
NOW: Final = add_microseconds(START, 40 * MINUTE)
"""An instant before `END` and after every other event."""

PACKAGES: Final = (DataPackage("clinical_summary"), DataPackage("labs"))
LATER: Final = add_microseconds(END, 24 * HOUR)

AT: Final = {
    Standing.PENDING: (Status.PENDING, NOW),
    Standing.LAPSED: (Status.PENDING, END),
    Standing.ACTIVE: (Status.ACTIVE, NOW),
    Standing.ACTION_REQUIRED: (Status.ACTION_REQUIRED, NOW),
    Standing.EXPIRED: (Status.EXPIRED, NOW),
    Standing.REVOKED: (Status.REVOKED, NOW),
}
"""The stored status and the instant that give each standing."""


def make(
    status: Status, ends: datetime | None = END, *, number: int = 1, after: int | None = None
) -> Connection:
    """Return the nth connection with a plausible past, the successor of another if `after` names it."""
    identity = ConnectionIdentity(
        id=connection_id(number),
        coordinate=COORDINATE,
        data_packages=PACKAGES,
        created_at=START,
        predecessor_id=None if after is None else connection_id(after),
        root_id=connection_id(1),
        position=number,
    )
    if status is Status.PENDING:
        return Connection(identity=identity, status=status, updated_at=START, handoff_deadline=ends)
    deadline = add_microseconds(START, HANDOFF)
    active = Connection(
        identity=identity,
        status=status,
        updated_at=AUTHORIZED,
        handoff_deadline=deadline,
        authorized_at=AUTHORIZED,
        expires_at=ends,
    )
    if status is Status.ACTION_REQUIRED:
        return attrs.evolve(active, action_required_reason="portal_login")
    if status is Status.REVOKED:
        at = add_microseconds(START, 2 * MINUTE)
        return attrs.evolve(active, updated_at=at, revoked_at=at, revoked_by=Actor.APP)
    return active


def _carrying(status: Status, revocation: RevocationState) -> Connection:
    """Return a connection of a stored status, with or without a `revokedAt`."""
    made = make(status)
    if revocation is RevocationState.NEVER:
        return attrs.evolve(made, revoked_at=None, revoked_by=None)
    return attrs.evolve(made, revoked_at=made.revoked_at or AUTHORIZED)


_CONTRADICTION: Final = "A contradiction fails closed: what carries a `revokedAt` is REVOKED."
_ODD: Final[dict[tuple[Status, RevocationState], str]] = {
    (Status.PENDING, RevocationState.ONCE): _CONTRADICTION,
    (Status.ACTIVE, RevocationState.ONCE): _CONTRADICTION,
    (Status.ACTION_REQUIRED, RevocationState.ONCE): _CONTRADICTION,
    (Status.EXPIRED, RevocationState.ONCE): _CONTRADICTION,
    (Status.REVOKED, RevocationState.NEVER): "Another system may have stored no `revokedAt`.",
}


_ERAS: Final = {EraState.THIS: None, EraState.OTHER: START}
"""The present era by how a connection stands to it: every stored one was made before any."""


def standings() -> Iterator[Case]:
    """Yield the standing of each stored status, also around its deadline."""
    for (status, revocation, made_under, clock), row in STANDING.items():
        now = NOW if clock is DeadlineState.BEFORE else END
        name = cell_id(STANDING.name, (status, revocation, made_under, clock))
        connection = _carrying(status, revocation)
        yield standing_case(
            name,
            connection=connection,
            now=now,
            era=_ERAS[made_under],
            rule=row.rule,
            comment=_ODD.get((status, revocation)),
        )
    for status in (Status.PENDING, Status.ACTIVE, Status.ACTION_REQUIRED):
        for word, ticks in BOUNDARY.items():
            clock = DeadlineState.BEFORE if ticks < 0 else DeadlineState.REACHED
            rule = STANDING[status, RevocationState.NEVER, EraState.THIS, clock].rule
            at = add_microseconds(END, ticks)
            yield standing_case(
                f"standing/boundary/{status}/{word}", connection=make(status), now=at, rule=rule
            )
        rule = STANDING[status, RevocationState.NEVER, EraState.THIS, DeadlineState.BEFORE].rule
        yield standing_case(
            f"standing/no-deadline/{status}", connection=make(status, None), now=LATER, rule=rule
        )


def standing_case(
    id: str,  # noqa: A002 - see `Case`
    connection: Connection,
    now: datetime,
    rule: str,
    *,
    era: datetime | None = None,
    comment: str | None = None,
) -> Case:
    """Return the case of one standing."""
    answer = {
        "standing": standing(connection, now, era=era),
        "nextDeadline": time_or_null(next_deadline(connection, era=era)),
    }
    given = {
        "connection": stored(connection),
        "era": time_or_null(era),
        "now": format_time(now),
    }
    return Case(id=id, input=given, answer=answer, rule=rule, comment=comment)


def deadlines() -> Iterator[Case]:
    """Yield the deadline of each stored status."""
    for (status, revocation, made_under), row in DEADLINE.items():
        connection, era = _carrying(status, revocation), _ERAS[made_under]
        answer = {
            "deadline": row.outcome.value,
            "nextDeadline": time_or_null(next_deadline(connection, era=era)),
        }
        given = {"connection": stored(connection), "era": time_or_null(era)}
        name = cell_id(DEADLINE.name, (status, revocation, made_under))
        comment = _ODD.get((status, revocation))
        yield Case(id=name, input=given, answer=answer, rule=row.rule, comment=comment)


def _under_another_era() -> Iterator[Case]:
    for trigger in Trigger:
        for status in Status:
            yield drive(
                f"connection/other-era/{trigger}/{status}",
                trigger=trigger,
                connection=make(status),
                now=NOW,
                era=START,
                comment="A tombstone came after the connection was made, so it is REVOKED.",
            )


def triggers() -> Iterator[Case]:
    """Yield the effect of each trigger: at once, late, around a deadline, and by mistake."""
    for trigger, at in TRIGGERS:
        status, now = AT[at]
        yield drive(
            cell_id(TRIGGERS.name, (trigger, at)), trigger=trigger, connection=make(status), now=now
        )
    yield from _under_another_era()
    for trigger in Trigger:
        for status in (Status.PENDING, Status.ACTIVE, Status.ACTION_REQUIRED):
            for word, ticks in BOUNDARY.items():
                name = f"connection/boundary/{trigger}/{status}/{word}"
                yield drive(
                    name, trigger=trigger, connection=make(status), now=add_microseconds(END, ticks)
                )
    facts = (Trigger.AUTHORIZE, Trigger.REQUIRE_ACTION, Trigger.EXPIRE, Trigger.REVOKE)
    for trigger in facts:
        for status in Status:
            yield drive(
                f"connection/late/{trigger}/{status}",
                trigger=trigger,
                connection=make(status),
                now=LATER,
                happened=NOW,
                comment="It happened before the deadline and is recorded after it.",
            )
        yield drive(
            f"connection/mistake/{trigger}/from-the-future",
            trigger=trigger,
            connection=make(Status.PENDING),
            now=NOW,
            happened=add_microseconds(NOW, CLOCK_TOLERANCE + 1),
        )
        yield drive(
            f"connection/clocks/{trigger}/five-minutes-ahead",
            trigger=trigger,
            connection=make(Status.PENDING),
            now=NOW,
            happened=add_microseconds(NOW, CLOCK_TOLERANCE),
            comment="Clocks disagree: it is taken as of `now`.",
        )
        yield drive(
            f"connection/clocks/{trigger}/before-creation",
            trigger=trigger,
            connection=make(Status.PENDING),
            now=NOW,
            happened=add_microseconds(START, -1),
            comment="Clocks disagree: it is taken as of the making.",
        )
    for trigger in Trigger:
        for status in (Status.PENDING, Status.ACTIVE, Status.ACTION_REQUIRED):
            yield drive(
                f"connection/clocks/{trigger}/{status}/worker-behind",
                trigger=trigger,
                connection=attrs.evolve(make(status), updated_at=NOW),
                now=add_microseconds(NOW, -MINUTE),
                comment="What is recorded is at least what the connection has seen.",
            )
    for word, ticks in BOUNDARY.items():
        yield drive(
            f"connection/late/deadline/{word}",
            trigger=Trigger.AUTHORIZE,
            connection=make(Status.PENDING),
            now=LATER,
            happened=add_microseconds(END, ticks),
            comment="A pending connection heals where the patient finished in time.",
        )
        yield drive(
            f"connection/expires-at/{word}",
            trigger=Trigger.AUTHORIZE,
            connection=make(Status.PENDING),
            now=NOW,
            expires=add_microseconds(NOW, ticks),
            comment="An authorization ends after it began; all else is a caller's mistake.",
        )


def drive(
    id: str,  # noqa: A002 - see `Case`
    trigger: Trigger,
    connection: Connection,
    now: datetime,
    *,
    happened: datetime | None = None,
    expires: datetime | None = LATER,
    successor: Connection | None = None,
    head: Connection | None = None,
    era: datetime | None = None,
    comment: str | None = None,
) -> Case:
    """Return the case of one trigger, computed by its function."""
    given: dict[str, object] = {
        "trigger": trigger,
        "connection": stored(connection),
        "era": time_or_null(era),
        "now": format_time(now),
    }
    if trigger is not Trigger.RECONNECT:
        given["happenedAt"] = time_or_null(happened)
    if expires is LATER and happened is None:
        expires = add_microseconds(now, HOUR)

    def run() -> Transition | Recovery:
        match trigger:
            case Trigger.AUTHORIZE:
                given["expiresAt"] = time_or_null(expires)
                given["successor"] = stored(successor)
                given["head"] = stored(head)
                return authorize(
                    connection,
                    now,
                    expires_at=expires,
                    happened_at=happened,
                    successor=successor,
                    head=head,
                    era=era,
                )
            case Trigger.REQUIRE_ACTION:
                given["reason"] = "token_refresh_failed"
                return require_action(
                    connection, now, reason="token_refresh_failed", happened_at=happened, era=era
                )
            case Trigger.EXPIRE:
                return expire(connection, now, happened_at=happened, era=era)
            case Trigger.REVOKE:
                given["actor"] = Actor.PATIENT
                return revoke(connection, now, actor=Actor.PATIENT, happened_at=happened, era=era)
            case Trigger.RECONNECT:
                given["successor"] = stored(successor)
                given["newId"] = connection_id(9)
                given["nextActionExpiresAt"] = format_time(next_action(now).expires_at)
                given["head"] = stored(head)
                return reconnect(
                    connection,
                    successor,
                    now,
                    id=connection_id(9),
                    next_action=next_action(now),
                    head=head,
                    era=era,
                )

    answer = answer_of(try_call(run))
    if trigger is Trigger.REVOKE and answer["outcome"] != "error":
        answer = {**answer, "revokedNow": answer["outcome"] == "done"}
    return make_case(id, given=given, answer=answer, comment=comment)


def answer_of(result: Transition | Recovery | ArgumentError) -> Members:
    """Return the answer for a transition or a recovery."""
    return show_result(result, _after)


def _after(value: Connection | Minted | Reissued) -> Members:
    if isinstance(value, Connection):
        return {"connection": stored(value)}
    made = "minted" if isinstance(value, Minted) else "reissued"
    return {"made": made, "connection": stored(value.connection)}


def expiry_records() -> Iterator[Case]:
    """Yield whether an expiry by the clock must still be recorded."""
    for status in EXPIRY_RECORD:
        yield drive(
            cell_id(EXPIRY_RECORD.name, (status,)),
            trigger=Trigger.EXPIRE,
            connection=make(status),
            now=END,
        )


SUCCESSORS: Final = {
    SuccessorState.NONE: None,
    SuccessorState.PENDING: make(Status.PENDING, add_microseconds(END, HOUR), number=2, after=1),
    SuccessorState.OTHER: make(Status.ACTIVE, add_microseconds(END, HOUR), number=2, after=1),
}
"""A successor of each kind."""

HEAD: Final = make(Status.PENDING, add_microseconds(END, HOUR), number=3, after=2)
"""The head of a chain of three."""


def authorizations() -> Iterator[Case]:
    """Yield authorizations for each kind of successor."""
    for kind in AUTHORIZATION:
        yield drive(
            cell_id(AUTHORIZATION.name, (kind,)),
            trigger=Trigger.AUTHORIZE,
            connection=make(Status.PENDING),
            now=NOW,
            successor=SUCCESSORS[kind],
            head=SUCCESSORS[kind],
        )
    yield drive(
        "authorization/head-further-on",
        trigger=Trigger.AUTHORIZE,
        connection=make(Status.PENDING),
        now=NOW,
        successor=SUCCESSORS[SuccessorState.OTHER],
        head=HEAD,
        comment="The refusal names the next connection and the head.",
    )


def endings() -> Iterator[Case]:
    """Yield what the server must end for each status that a connection leaves."""
    one = connection_id(1)
    asked = ActionRequired(one, "token_refresh_failed")
    revoked = Revoked(one, Actor.PLATFORM)
    also: dict[Status, dict[str, Fact]] = {
        Status.PENDING: {"action-required": asked},
        Status.ACTIVE: {"action-required": asked, "expired": Expired(one)},
        Status.ACTION_REQUIRED: {"expired": Expired(one)},
    }
    for status, row in ENDING.items():
        cell = cell_id(ENDING.name, (status,))
        yield _ending(
            cell, connection=make(status), fact=revoked, ends=row.outcome.value, rule=row.rule
        )
        for word, fact in also.get(status, {}).items():
            yield _ending(
                f"{cell}/{word}",
                connection=make(status),
                fact=fact,
                ends=row.outcome.value,
                rule=row.rule,
            )


def _ending(id: str, connection: Connection, fact: Fact, ends: Ending, rule: str) -> Case:  # noqa: A002 - see `Case`
    given = {"fact": fact.kind, "connection": stored(connection), "now": format_time(NOW)}
    answer = record_fact(fact, Snapshot(connection=connection), NOW)
    effects = [] if isinstance(answer, Refused) else list(map(_effect, answer.value.effects))
    return Case(id=id, input=given, answer={"ends": ends, "effects": effects}, rule=rule)


def _effect(effect: Effect) -> Members:
    match effect:
        case AccessEnded(ended, at):
            return {"kind": "access ended", "connectionId": ended, "at": format_time(at)}
        case HandoffCancelled(cancelled):
            return {"kind": "hand-off cancelled", "connectionId": cancelled}
        case _:
            raise AssertionError("only these effects end a connection")
