"""Domains of connections: standings, access, transitions and recovery."""

from __future__ import annotations

from itertools import product
from typing import Final

import attrs

from curae_lifecycle.rules import chain as chains
from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules import triggers
from curae_lifecycle.rules.access import Denied, Granted, decide_access
from curae_lifecycle.rules.chain import Minted
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import ConnectionId, NextAction
from tests.proof.domains.marks import IDENTITY, STATUSES, TICKS, Mark, instant, marks
from tests.proof.reference import tables
from tests.proof.reference.tables import RECORDS_EXPIRY
from tests.support.specimens import refusal
from tests.support.strategies import START, uuid

State = tuple[str, Mark, Mark, Mark]
"""The stored members of a connection: status, both deadlines, and the revocation."""


def states(size: int) -> tuple[State, ...]:
    return tuple(product(STATUSES, marks(size), marks(size), (None, 0)))


THIS_ERA: Final = "made under the present era"


def revocation(state: State) -> str:
    return "no revokedAt" if state[3] is None else "a revokedAt"


def waits_for(state: State) -> Mark:
    """Return the instant at which a connection changes by itself."""
    status, deadline, end, _ = state
    which = tables.DEADLINE[status, revocation(state), THIS_ERA]
    return {"the hand-off's deadline": deadline, "expiresAt": end, "none": None}[which]


def stands(state: State, now: int) -> str:
    """Return the standing of a connection at an instant."""
    over_at = waits_for(state)
    early = over_at is None or now < over_at
    clock = "before the deadline, or none set" if early else "at or after the deadline"
    return tables.STANDING[state[0], revocation(state), THIS_ERA, clock]


def stored(state: State, seen: int = 0) -> Connection:
    status, deadline, end, revoked = state
    return Connection(
        identity=IDENTITY,
        status=Status(status),
        updated_at=TICKS[seen],
        handoff_deadline=instant(deadline),
        authorized_at=START,
        expires_at=instant(end),
        action_required_reason="portal_login",
        revoked_at=instant(revoked),
        revoked_by=Actor.APP,
        version=3,
    )


def standings(size: int) -> int:
    cases = 0
    for state in states(size):
        connection = stored(state)
        assert rules.next_deadline(connection, era=None) == instant(waits_for(state))
        for now in range(size):
            assert rules.standing(connection, TICKS[now], era=None) == stands(state, now)
            cases += 1
    return cases


def accesses(size: int) -> int:
    cases = 0
    for state, now in product(states(size), range(size)):
        connection = stored(state)
        for package in ("clinical_summary", "labs", "lab"):
            answer = decide_access(connection, package, TICKS[now], era=None)
            held = "package not granted" if package == "lab" else "package granted"
            expected = tables.ACCESS[stands(state, now), held]
            if expected == "grant":
                assert isinstance(answer, Granted)
                assert answer.valid_until == instant(state[2])
                assert answer.rule == "access.active"
            else:
                assert isinstance(answer, Denied)
                assert f"deny {answer.reason}" == expected
                assert answer.problem.code == "CONNECTION_ACCESS_DENIED"
                assert answer.problem.detail_values == (IDENTITY.id, package, answer.reason)
            cases += 1
    return cases


TRIGGERS: Final = ("authorize", "require_action", "expire", "revoke")


def happen(
    trigger: str, connection: Connection, now: int, happened: Mark
) -> Done[Connection] | Ignored[Connection] | Refused:
    at, when = TICKS[now], instant(happened)
    match trigger:
        case "authorize":
            return triggers.authorize(
                connection, at, expires_at=TICKS[99], happened_at=when, era=None
            )
        case "require_action":
            return triggers.require_action(connection, at, reason="new", happened_at=when, era=None)
        case "expire":
            return triggers.expire(connection, at, happened_at=when, era=None)
        case _:
            return triggers.revoke(connection, at, actor=Actor.PATIENT, happened_at=when, era=None)


def moved(trigger: str, before: Connection, now: int, happened: int) -> Connection:
    """Return the connection with the members that a transition sets."""
    at, when = TICKS[now], TICKS[happened]
    connection = attrs.evolve(before, version=before.version + 1)
    match trigger:
        case "authorize":
            return attrs.evolve(
                connection,
                status=Status.ACTIVE,
                updated_at=at,
                authorized_at=when,
                expires_at=TICKS[99],
            )
        case "require_action":
            return attrs.evolve(
                connection,
                status=Status.ACTION_REQUIRED,
                updated_at=at,
                action_required_reason="new",
            )
        case "expire":
            return attrs.evolve(connection, status=Status.EXPIRED, updated_at=at)
        case _:
            return attrs.evolve(
                connection,
                status=Status.REVOKED,
                updated_at=at,
                revoked_at=when,
                revoked_by=Actor.PATIENT,
            )


def check_trigger(connection: Connection, verdict: str, trigger: str, now: int, past: Mark) -> None:
    # A later last update counts as now, and so does a later report.
    seen = TICKS.index(connection.updated_at)
    at = max(now, seen)
    happened = at if past is None else min(past, at)
    answer = happen(trigger, connection=connection, now=now, happened=past)
    if verdict == RECORDS_EXPIRY:
        verdict = tables.EXPIRY_RECORD[connection.status,]
    if verdict in STATUSES:
        assert isinstance(answer, Done)
        assert answer.value == moved(trigger, before=connection, now=at, happened=happened)
        assert answer.value.identity is connection.identity
    elif verdict == "ignore":
        assert isinstance(answer, Ignored)
        assert answer.value is connection
    else:
        assert isinstance(answer, Refused)
        details = {
            "HANDOFF_LAPSED": connection.handoff_deadline,
            "CONNECTION_NOT_PENDING": rules.standing(connection, TICKS[happened], era=None),
        }
        code = verdict.removeprefix("refuse ")
        assert answer.problem.code == code
        assert answer.problem.detail_values == (connection.id, details[code])


def happenings(size: int) -> int:
    cases = 0
    for state, seen in product(states(size), (0, size - 1)):
        connection = stored(state, seen)
        for now, trigger in product(range(size), TRIGGERS):
            at = max(now, seen)
            for past in (None, *range(size + 1)):
                # Facts are judged at the instant they happened, commands at `now`.
                judged = at if past is None or trigger == "revoke" else min(past, at)
                verdict = tables.CONNECTION[trigger, stands(state, judged)]
                check_trigger(connection, verdict=verdict, trigger=trigger, now=now, past=past)
                cases += 1
    return cases


ACTION_ENDS: Final = 100
LATER_IDENTITY: Final = attrs.evolve(
    IDENTITY, id=ConnectionId(uuid(7)), predecessor_id=IDENTITY.id, root_id=IDENTITY.id, position=2
)


def reconnects(size: int) -> int:
    """Compare every standing of a connection with every standing of its successor."""
    cases = 0
    olds = states(size)
    for now, state in product(range(size), olds):
        for other in (None, *olds):
            check_reconnect(state, other, now)
            cases += 1
    return cases


def clocks(size: int) -> int:
    """Check a connection and its successor, each last written on its own clock, at each instant."""
    cases = 0
    waiting = [("PENDING", mark, None, None) for mark in marks(size)]
    ending = [(status, None, mark, None) for status in STATUSES[1:3] for mark in marks(size)]
    some: list[State] = [*waiting, *ending, ("EXPIRED", None, 0, None), ("REVOKED", None, None, 0)]
    for now, state, seen in product(range(size), some, range(size)):
        check_reconnect(state, None, now, seen=seen)
        cases += 1
        for other, later_seen in product(some, range(size)):
            check_reconnect(state, other, now, seen=seen, later_seen=later_seen)
            cases += 1
    return cases


def check_reconnect(
    state: State, other: State | None, now: int, seen: int = 0, later_seen: int = 0
) -> None:
    """Compare a reconnect with the tables, on the clocks that last wrote both connections."""
    action = NextAction("https://connect.example/2", TICKS[ACTION_ENDS])
    old = stored(state, seen)
    later = (
        None if other is None else attrs.evolve(stored(other, later_seen), identity=LATER_IDENTITY)
    )
    # The successor's own clock counts for the successor, and both for the connection.
    asked = now if other is None else max(now, later_seen)
    at = max(asked, seen)
    standing = stands(state, at)
    answer = chains.reconnect(
        old, later, TICKS[now], id=ConnectionId(uuid(9)), next_action=action, era=None
    )
    verdict = tables.CONNECTION["reconnect", standing]
    if verdict != "recover":
        assert isinstance(answer, Refused)
        assert refusal(answer) == verdict
        assert answer.problem.detail_values == (old.id, answer.problem.details["reason"])
        return
    kind = "no successor"
    if other is not None:
        waits = stands(other, asked) == "PENDING"
        kind = "successor PENDING" if waits else "successor anything else"
    made_of = tables.RECOVERY[standing, kind]
    if made_of == "mint a successor":
        made = Connection(
            identity=attrs.evolve(
                IDENTITY,
                id=ConnectionId(uuid(9)),
                created_at=TICKS[at],
                predecessor_id=old.id,
                position=2,
            ),
            status=Status.PENDING,
            updated_at=TICKS[at],
            handoff_deadline=TICKS[ACTION_ENDS + at - now],
        )
        assert isinstance(answer, Done)
        assert answer.value == Minted(made)
    elif made_of == "reissue the successor":
        assert later is not None
        again = attrs.evolve(
            later,
            updated_at=TICKS[asked],
            handoff_deadline=TICKS[ACTION_ENDS + asked - now],
            version=later.version + 1,
        )
        assert isinstance(answer, Done)
        assert answer.value == chains.Reissued(later, again)
    else:
        assert isinstance(answer, Refused)
        assert refusal(answer) == made_of
        assert later is not None
        assert answer.problem.detail_values == (old.id, later.id, later.id)


def revocations(size: int) -> int:
    """Revoke every chain of up to `size` connections at its head, by every actor."""
    cases = 0
    for length in range(1, size + 1):
        links = product(STATUSES, (1, 50), (50,), (None, 2))
        for states_of_links in product(links, repeat=length):
            named, *following = [stored(state) for state in states_of_links]
            for actor, past in product(Actor, (None, 3)):
                answers = chains.revoke_chain(
                    named,
                    tuple(following),
                    TICKS[5],
                    actor=actor,
                    happened_at=instant(past),
                    era=None,
                )
                reach = 1 if tables.REVOCATION_REACH[actor,] == "that connection" else length
                assert len(answers) == reach
                for before, answer in zip((named, *following), answers, strict=False):
                    if before.status == "REVOKED" or before.revoked_at is not None:
                        assert isinstance(answer, Ignored)
                        assert answer.value is before
                    else:
                        assert isinstance(answer, Done)
                        expected = attrs.evolve(
                            moved(
                                "revoke", before=before, now=5, happened=5 if past is None else past
                            ),
                            revoked_by=actor,
                        )
                        assert answer.value == expected
                cases += 1
    return cases
