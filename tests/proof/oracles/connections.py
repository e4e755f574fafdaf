"""Oracles of the tables of connections: standing, transitions, access, spelling."""

from __future__ import annotations

from datetime import datetime
from itertools import product

import attrs

from curae_lifecycle.rules import chain, triggers
from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.chain import Minted
from curae_lifecycle.rules.connection import Actor, Connection, Status, next_deadline, standing
from curae_lifecycle.rules.outcomes import Done, Refused
from curae_lifecycle.rules.triggers import ENDING, EXPIRY_RECORD, Trigger
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service import changes
from curae_lifecycle.service.effects import AccessEnded, HandoffCancelled, SuccessorsLive
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.web.wire_format import format_connection, parse_connection
from tests.proof.oracles.oracle import OTHER_ERA, THIS_ERA, UNREACHABLE, Answer, answered, said
from tests.support import specimens
from tests.support.specimens import NEXT_ID, NOW, OLD_ID, STANDS, Key, stored, successor_of
from tests.support.strategies import COORDINATE, TICK, at, pending

CLOCKS = {
    "before the deadline, or none set": (None, NOW + TICK),
    "at or after the deadline": (NOW, NOW - TICK),
}
REVOCATIONS = {"no revokedAt": None, "a revokedAt": at(10)}
ERAS = {THIS_ERA: None, OTHER_ERA: at(5)}


def deadlines() -> list[Answer]:
    def waits(status: Status, revoked_at: datetime | None, era: datetime | None) -> tuple[str, Key]:
        connection = stored(status, revoked_at=revoked_at)
        both = attrs.evolve(connection, handoff_deadline=at(21), expires_at=at(22))
        words = {at(21): "the hand-off's deadline", at(22): "expiresAt", None: "none"}
        return words[next_deadline(both, era=era)], ()

    return [
        answered((status, revocation, made_under), waits, status, revoked_at, era)
        for status, (revocation, revoked_at), (made_under, era) in product(
            Status, REVOCATIONS.items(), ERAS.items()
        )
    ]


def standings() -> list[Answer]:
    def stood(connection: Connection, era: datetime | None) -> tuple[str, Key]:
        return standing(connection, NOW, era=era), ()

    return [
        answered(
            (status, revocation, made_under, clock),
            stood,
            stored(status, deadline, revoked_at=revoked_at),
            era,
        )
        for status, (revocation, revoked_at), (made_under, era), (clock, both) in product(
            Status, REVOCATIONS.items(), ERAS.items(), CLOCKS.items()
        )
        if ("standing", status, revocation, made_under, clock) not in UNREACHABLE
        for deadline in both
    ]


def happenings() -> list[Answer]:
    def happened(connection: Connection, trigger: str) -> tuple[str, Key]:
        if trigger == Trigger.RECONNECT:
            recovery = specimens.reconnect(connection)
            early = isinstance(recovery, Refused) and len(recovery.rules) == 1
            return said(recovery) if early else "recover", recovery.rules
        answer = specimens.happen(trigger, connection)
        if len(answer.rules) > 1:
            return "EXPIRED (records it) or ignore", answer.rules
        return said(answer, _status(answer)), answer.rules

    return [
        answered((trigger, at_now), happened, connection, trigger)
        for trigger, (at_now, connections) in product(Trigger, STANDS.items())
        for connection in connections
    ]


def _status(answer: triggers.Transition) -> str:
    return "" if isinstance(answer, Refused) else answer.value.status


def expiries() -> list[Answer]:
    def expired(connection: Connection) -> tuple[str, Key]:
        answer = triggers.expire(connection, NOW, era=None)
        return said(answer, _status(answer)), answer.rules

    return [
        answered((status,), expired, stored(status, deadline))
        for status, deadline in product(EXPIRY_RECORD, (NOW, NOW - TICK))
    ]


def authorizations() -> list[Answer]:
    def authorized(successor: Connection | None) -> tuple[str, Key]:
        answer = triggers.authorize(pending(), NOW, successor=successor, era=None)
        return said(answer, "proceed"), answer.rules

    return [
        answered((kind,), authorized, successor)
        for kind, successors in specimens.successors(pending()).items()
        for successor in successors
    ]


def recoveries() -> list[Answer]:
    def recovered(connection: Connection, successor: Connection | None) -> tuple[str, Key]:
        answer = specimens.reconnect(connection, successor)
        minted = isinstance(answer, Done) and isinstance(answer.value, Minted)
        return said(answer, "mint a successor" if minted else "reissue the successor"), answer.rules

    return [
        answered((at_now, kind), recovered, connection, successor)
        for at_now in chain.RECOVERABLE
        for connection in STANDS[at_now]
        for kind, successors in specimens.successors(connection).items()
        for successor in successors
    ]


def reaches() -> list[Answer]:
    def reached(actor: Actor) -> tuple[str, Key]:
        later = successor_of(pending(), pending())
        count = len(chain.revoke_chain(pending(), (later,), NOW, actor=actor, era=None))
        return ("that connection", "that connection and every later one")[count - 1], ()

    return [answered((actor,), reached, actor) for actor in Actor]


def lives() -> list[Answer]:
    def lived(later: Connection) -> tuple[str, Key]:
        head = successor_of(pending(), later)
        made = changes.live_head_changes(pending(), head, NOW, era=None)
        assert made.effects in {(), (SuccessorsLive(OLD_ID, NEXT_ID),)}
        return "live" if made.effects else "over", ()

    return [
        answered((at_now,), lived, later)
        for at_now, connections in STANDS.items()
        for later in connections
    ]


def endings() -> list[Answer]:
    def ended(status: Status) -> tuple[str, Key]:
        revoked = specimens.happen("revoke", stored(status))
        assert isinstance(revoked, Done)
        made = changes.ending_changes(EventKind.CONNECTION_REVOKED, stored(status), revoked.value)
        words = {
            HandoffCancelled: "its live hand-off",
            AccessEnded: "the access that it gave",
        }
        (effect,) = made.effects
        return words[type(effect)], ()

    return [answered((status,), ended, status) for status in ENDING]


def accesses() -> list[Answer]:
    def asked(connection: Connection, package: str) -> tuple[str, Key]:
        answer = decide_access(connection, package, NOW, era=None)
        deed = "grant" if isinstance(answer, Granted) else f"deny {answer.reason}"
        return deed, (answer.rule,)

    return [
        answered((at_now, held), asked, connection, package)
        for at_now, connections in STANDS.items()
        for connection in connections
        for held, package in (("package granted", "labs"), ("package not granted", "lab"))
    ]


def wire_statuses() -> list[Answer]:
    def shown(connection: Connection) -> tuple[str, Key]:
        return str(format_connection(connection, NOW, binding=None)["status"]), ()

    return [
        answered((at_now,), shown, connection)
        for at_now, connections in STANDS.items()
        for connection in connections
    ]


SNAPSHOTS: dict[str, tuple[tuple[str | None, str | None], ...]] = {
    "authorizedAt or a reason": (
        ("2026-01-01T00:00:00Z", "portal_login"),
        ("2026-01-01T00:00:00Z", None),
        (None, "portal_login"),
    ),
    "neither authorizedAt nor a reason": ((None, None),),
}
WIRE = ("PENDING", "ACTIVE", "AUTHORIZED", "ACTION_REQUIRED", "EXPIRED", "REVOKED")


def stored_statuses() -> list[Answer]:
    def read(
        status: str, revoked_at: datetime | None, authorized_at: str | None, reason: str | None
    ) -> tuple[str, Key]:
        page: dict[str, Json] = format_connection(
            stored("ACTIVE", revoked_at=revoked_at), NOW, binding=None
        )
        page |= {"status": status, "authorizedAt": authorized_at, "actionRequiredReason": reason}
        made = parse_connection(page, environment=Environment.LIVE, app_id=COORDINATE.app_id)
        deadline = made.handoff_deadline
        assert deadline in {None, made.updated_at}
        return made.status + ("" if deadline is None else ", its hand-off over"), ()

    return [
        answered((status, revocation, trace), read, status, revoked_at, authorized_at, reason)
        for status, (revocation, revoked_at), (trace, members) in product(
            WIRE, REVOCATIONS.items(), SNAPSHOTS.items()
        )
        for authorized_at, reason in members
    ]
