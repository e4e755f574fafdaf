"""Connections: what they are, who may read, what happens to them and what recovers them."""

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
from tests import test_access, test_chain, test_connection, test_triggers
from tests.domains.marks import IDENTITY, STATUSES, TICKS, Mark, instant, marks
from tests.specimens import refusal
from tests.strategies import START, uuid


def waits_for(status: str, deadline: Mark, end: Mark) -> Mark:
    """The instant at which a connection changes by itself."""
    which = test_connection.DEADLINES[status]
    return {"the hand-off's deadline": deadline, "expiresAt": end, "none": None}[which]


def stands(status: str, deadline: Mark, end: Mark, now: int) -> str:
    """What a connection is at an instant."""
    over_at = waits_for(status, deadline, end)
    early = over_at is None or now < over_at
    clock = "before the deadline, or none set" if early else "at or after the deadline"
    return test_connection.STANDINGS[status, clock]


def stored(status: str, deadline: Mark, end: Mark) -> Connection:
    return Connection(
        IDENTITY,
        Status(status),
        START,
        instant(deadline),
        START,
        instant(end),
        "portal_login",
        START,
        Actor.APP,
    )


def standings(size: int) -> int:
    cases = 0
    for status, deadline, end in product(STATUSES, marks(size), marks(size)):
        connection = stored(status, deadline, end)
        assert rules.next_deadline(connection) == instant(waits_for(status, deadline, end))
        for now in range(size):
            expected = stands(status, deadline, end, now)
            assert rules.standing(connection, TICKS[now]) == expected
            cases += 1
    return cases


def accesses(size: int) -> int:
    cases = 0
    for status, deadline, end, now in product(STATUSES, marks(size), marks(size), range(size)):
        connection = stored(status, deadline, end)
        standing = stands(status, deadline, end, now)
        for package in ("clinical_summary", "labs", "lab"):
            answer = decide_access(connection, package, TICKS[now])
            held = "package not granted" if package == "lab" else "package granted"
            expected = test_access.CELLS[standing, held]
            if expected == "grant":
                assert isinstance(answer, Granted)
                assert answer.valid_until == instant(end)
                assert answer.rule == "access.active"
            else:
                assert isinstance(answer, Denied)
                assert answer.reason == expected
                assert answer.problem.code == "CONNECTION_ACCESS_DENIED"
                assert answer.problem.values == (IDENTITY.id, package, expected)
            cases += 1
    return cases


TRIGGERS: Final = ("authorize", "require_action", "expire", "revoke")


def happen(
    trigger: str, connection: Connection, now: int, happened: Mark
) -> Done[Connection] | Ignored[Connection] | Refused:
    at, when = TICKS[now], instant(happened)
    match trigger:
        case "authorize":
            return triggers.authorize(connection, at, expires_at=TICKS[99], happened_at=when)
        case "require_action":
            return triggers.require_action(connection, at, reason="new", happened_at=when)
        case "expire":
            return triggers.expire(connection, at, happened_at=when)
        case _:
            return triggers.revoke(connection, at, actor=Actor.PATIENT, happened_at=when)


def moved(trigger: str, connection: Connection, now: int, happened: int) -> Connection:
    """The connection with the members that a transition names, and nothing else."""
    at, when = TICKS[now], TICKS[happened]
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
    happened = now if past is None else past
    answer = happen(trigger, connection, now, past)
    if verdict == "EXPIRED (records it) or ignore":
        verdict = test_triggers.EXPIRY_RECORDS[connection.status]
    if verdict in STATUSES:
        assert isinstance(answer, Done)
        assert answer.value == moved(trigger, connection, now, happened)
        assert answer.value.identity is connection.identity
    elif verdict == "ignore":
        assert isinstance(answer, Ignored)
        assert answer.value is connection
    else:
        assert isinstance(answer, Refused)
        details = {
            "HANDOFF_LAPSED": connection.handoff_deadline,
            "CONNECTION_NOT_PENDING": rules.standing(connection, TICKS[happened]),
        }
        code = verdict.removeprefix("refuse ")
        assert answer.problem.code == code
        assert answer.problem.values == (connection.id, details[code])


def happenings(size: int) -> int:
    cases = 0
    for status, deadline, end in product(STATUSES, marks(size), marks(size)):
        connection = stored(status, deadline, end)
        for now, trigger in product(range(size), TRIGGERS):
            for past in (None, *range(now + 1)):
                # Facts are judged at the instant they happened, commands at `now`.
                judged = now if past is None or trigger == "revoke" else past
                verdict = test_triggers.CELLS[trigger, stands(status, deadline, end, judged)]
                check_trigger(connection, verdict, trigger, now, past)
                cases += 1
    return cases


ACTION_ENDS: Final = 100


def reconnects(size: int) -> int:
    """Every standing of a connection beside every standing of its successor."""
    cases = 0
    action = NextAction("https://connect.example/2", TICKS[ACTION_ENDS])
    later_identity = attrs.evolve(
        IDENTITY, id=ConnectionId(uuid(7)), predecessor_id=IDENTITY.id, root_id=IDENTITY.id
    )
    olds = [*product(STATUSES, marks(size), marks(size))]
    for now, (status, deadline, end) in product(range(size), olds):
        old = stored(status, deadline, end)
        standing = stands(status, deadline, end, now)
        for other in (None, *olds):
            later = None if other is None else attrs.evolve(stored(*other), identity=later_identity)
            answer = chains.reconnect(
                old, later, TICKS[now], id=ConnectionId(uuid(9)), next_action=action
            )
            cases += 1
            verdict = test_triggers.CELLS["reconnect", standing]
            if verdict != "recover":
                assert isinstance(answer, Refused)
                assert refusal(answer) == verdict
                assert answer.problem.values == (old.id, answer.problem.details["reason"])
                continue
            kind = "no successor"
            if other is not None:
                waits = stands(*other, now) == "PENDING"
                kind = "successor PENDING" if waits else "successor anything else"
            made_of = test_chain.RECOVERIES[standing, kind]
            if made_of == "mint":
                made = Connection(
                    attrs.evolve(
                        IDENTITY,
                        id=ConnectionId(uuid(9)),
                        created_at=TICKS[now],
                        predecessor_id=old.id,
                    ),
                    Status.PENDING,
                    TICKS[now],
                    TICKS[ACTION_ENDS],
                )
                assert isinstance(answer, Done)
                assert answer.value == Minted(made)
            elif made_of == "reissue":
                assert later is not None
                again = attrs.evolve(
                    later, updated_at=TICKS[now], handoff_deadline=TICKS[ACTION_ENDS]
                )
                assert isinstance(answer, Done)
                assert answer.value == chains.Reissued(later, again)
            else:
                assert isinstance(answer, Refused)
                assert made_of == "superseded"
                assert later is not None
                assert answer.problem.code == "CONNECTION_SUPERSEDED"
                assert answer.problem.values == (old.id, later.id)
    return cases


def revocations(size: int) -> int:
    """Every chain of up to `size` connections, revoked at its head by everybody."""
    cases = 0
    for length in range(1, size + 1):
        for statuses in product(STATUSES, repeat=length):
            named, *following = [stored(status, 50, 50) for status in statuses]
            for actor, past in product(Actor, (None, 3)):
                answers = chains.revoke_chain(
                    named, tuple(following), TICKS[5], actor=actor, happened_at=instant(past)
                )
                reach = 1 if test_chain.REACHES[actor] == "that connection" else length
                assert len(answers) == reach
                for before, answer in zip((named, *following), answers, strict=False):
                    if before.status == "REVOKED":
                        assert isinstance(answer, Ignored)
                        assert answer.value is before
                    else:
                        assert isinstance(answer, Done)
                        expected = attrs.evolve(
                            moved("revoke", before, 5, 5 if past is None else past),
                            revoked_by=actor,
                        )
                        assert answer.value == expected
                cases += 1
    return cases
