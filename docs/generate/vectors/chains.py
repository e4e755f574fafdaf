"""Vectors of chains: recoveries, revocations, lives and merges.

The law of this module: **every cell is driven through its function**, with a chain that the rules
can reach. Snapshots are merged in both orders.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import attrs

from curae_lifecycle.rules.chain import LIFE, RECOVERY, REVOCATION_REACH, is_live, revoke_chain
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.merge import MergeError, merge
from curae_lifecycle.rules.triggers import SuccessorState, Trigger
from curae_lifecycle.rules.values import HOUR, add_microseconds, format_time
from docs.generate.vectors.cases import (
    BOUNDARY,
    START,
    Case,
    Verdict,
    cell_id,
    stored,
    time_or_null,
)
from docs.generate.vectors.connections import (
    AT,
    AUTHORIZED,
    END,
    HEAD,
    NOW,
    SUCCESSORS,
    answer_of,
    drive,
    make,
)


def recoveries() -> Iterator[Case]:
    """Yield the result of a reconnect, also around the deadline of a pending successor."""
    for at, kind in RECOVERY:
        status, now = AT[at]
        name, successor = cell_id(RECOVERY.name, (at, kind)), SUCCESSORS[kind]
        yield drive(
            name,
            trigger=Trigger.RECONNECT,
            connection=make(status),
            now=now,
            successor=successor,
            head=successor,
        )
    for status in Status:
        successor = make(status, add_microseconds(END, HOUR), number=2, after=1)
        yield drive(
            f"recovery/successor/{status}",
            trigger=Trigger.RECONNECT,
            connection=make(Status.EXPIRED),
            now=END,
            successor=successor,
            head=successor,
        )
    yield drive(
        "recovery/head-further-on",
        trigger=Trigger.RECONNECT,
        connection=make(Status.EXPIRED),
        now=END,
        successor=SUCCESSORS[SuccessorState.OTHER],
        head=HEAD,
        comment="One hop from any old id: the refusal names the next connection and the head.",
    )
    for word, ticks in BOUNDARY.items():
        yield drive(
            f"recovery/successor-deadline/{word}",
            trigger=Trigger.RECONNECT,
            connection=make(Status.EXPIRED),
            now=add_microseconds(END, ticks),
            successor=make(Status.PENDING, END, number=2, after=1),
            comment="A successor that lapsed is recovered itself; its id is named.",
        )
    for number in (2, 3, 4):
        yield drive(
            f"recovery/position/{number}",
            trigger=Trigger.RECONNECT,
            connection=make(Status.EXPIRED, number=number, after=number - 1),
            now=END,
            comment="The root stays, the place in the chain grows.",
        )
    yield drive(
        "recovery/successor-without-a-head",
        trigger=Trigger.RECONNECT,
        connection=make(Status.EXPIRED),
        now=END,
        successor=SUCCESSORS[SuccessorState.OTHER],
    )
    yield drive(
        "recovery/successor-of-another-era",
        trigger=Trigger.RECONNECT,
        connection=make(Status.EXPIRED),
        now=NOW,
        successor=SUCCESSORS[SuccessorState.PENDING],
        head=SUCCESSORS[SuccessorState.PENDING],
        era=START,
        comment="A tombstone ended the successor too.",
    )


def revocations() -> Iterator[Case]:
    """Yield the reach of a revocation by each actor."""
    named = make(Status.REVOKED), make(Status.ACTION_REQUIRED)
    for actor, row in REVOCATION_REACH.items():
        for number, connection in enumerate(named):
            following = (
                make(Status.ACTION_REQUIRED, number=2, after=1),
                make(Status.PENDING, number=3, after=2),
            )
            answers = revoke_chain(connection, following, NOW, actor=actor, era=None)
            cell = cell_id(REVOCATION_REACH.name, (actor,))
            yield Case(
                id=cell if number else f"{cell}/again",
                input={
                    "connection": stored(connection),
                    "following": [stored(each) for each in following],
                    "actor": actor,
                    "era": None,
                    "now": format_time(NOW),
                },
                answer={
                    "reach": row.outcome.value,
                    "answers": [answer_of(each) for each in answers],
                },
                rule=row.rule,
            )
    chain = (
        make(Status.REVOKED, number=2, after=1),
        make(Status.EXPIRED, number=3, after=2),
        attrs.evolve(make(Status.PENDING, number=4, after=3), updated_at=END),
    )
    for name, era, now in (("mixed", None, NOW), ("another-era", START, NOW), ("late", None, END)):
        yield _revocation(f"revocation-reach/PATIENT/{name}", chain=chain, era=era, now=now)


def _revocation(
    id: str,  # noqa: A002 - see `Case`
    *,
    chain: tuple[Connection, ...],
    era: datetime | None,
    now: datetime,
) -> Case:
    connection, actor = make(Status.ACTIVE), Actor.PATIENT
    answers = revoke_chain(connection, chain, now, actor=actor, era=era)
    row = REVOCATION_REACH[actor]
    return Case(
        id=id,
        input={
            "connection": stored(connection),
            "following": [stored(each) for each in chain],
            "actor": actor,
            "era": time_or_null(era),
            "now": format_time(now),
        },
        answer={"reach": row.outcome.value, "answers": [answer_of(each) for each in answers]},
        rule=row.rule,
    )


def lives() -> Iterator[Case]:
    """Yield whether the head of a chain is alive when an earlier connection is revoked alone."""
    for at, row in LIFE.items():
        status, now = AT[at]
        connection = make(status, number=2, after=1)
        given = {"connection": stored(connection), "era": None, "now": format_time(now)}
        answer = {"live": is_live(connection, now, era=None)}
        yield Case(id=cell_id(LIFE.name, (at,)), input=given, answer=answer, rule=row.rule)


def merges() -> Iterator[Case]:
    """Yield merges of two snapshots of one connection, in both orders."""
    for one in Status:
        for two in Status:
            yield _merge(f"merge/{one}/{two}", make(one), make(two))
    revoked = make(Status.REVOKED)
    early = attrs.evolve(revoked, revoked_at=AUTHORIZED, revoked_by=Actor.PATIENT)
    same = attrs.evolve(revoked, revoked_by=Actor.PATIENT)
    asked = make(Status.ACTION_REQUIRED)
    other = attrs.evolve(asked, action_required_reason="consent_renewal")
    open_end = make(Status.ACTIVE, None)
    new_ids = make(Status.PENDING, add_microseconds(END, HOUR))
    pairs: dict[str, tuple[Connection, ...]] = {
        "earliest-revocation": (revoked, early),
        "revoked-at-once-by-two": (revoked, same),
        "actor-unknown": (revoked, attrs.evolve(revoked, revoked_by=None)),
        "two-reasons": (asked, other),
        "end-known-to-one": (open_end, make(Status.ACTIVE)),
        "earliest-authorization": (
            attrs.evolve(make(Status.ACTIVE), authorized_at=START),
            attrs.evolve(make(Status.ACTIVE), updated_at=NOW),
        ),
        "earliest-end": (make(Status.ACTIVE), make(Status.ACTIVE, add_microseconds(END, -1))),
        "latest-deadline": (make(Status.PENDING), new_ids),
        "reissued": (make(Status.PENDING), attrs.evolve(new_ids, updated_at=NOW)),
        "latest-version": (make(Status.ACTIVE), attrs.evolve(make(Status.ACTIVE), version=7)),
        "another-id": (make(Status.ACTIVE), make(Status.ACTIVE, number=2)),
        "another-predecessor": (make(Status.ACTIVE), make(Status.ACTIVE, after=7)),
    }
    plane, private = "\U0001f9ec", "\uff5e"
    pairs |= {
        "reasons-beyond-the-plane": tuple(
            attrs.evolve(asked, action_required_reason=reason) for reason in (plane, private)
        ),
        "one-reason-in-front-of-the-other": tuple(
            attrs.evolve(asked, action_required_reason=reason) for reason in ("portal", "portal_a")
        ),
        "reasons-of-one-length": tuple(
            attrs.evolve(asked, action_required_reason=reason) for reason in ("xa", "xb")
        ),
        "reason-of-the-lower-rank": (
            attrs.evolve(make(Status.EXPIRED), action_required_reason="b"),
            attrs.evolve(asked, action_required_reason="a"),
        ),
        "revocation-without-an-instant": (
            attrs.evolve(revoked, revoked_at=None, revoked_by=Actor.APP),
            attrs.evolve(revoked, revoked_by=Actor.PATIENT),
        ),
        "two-revocations-without-an-instant": (
            attrs.evolve(revoked, revoked_at=None, revoked_by=Actor.UPSTREAM),
            attrs.evolve(revoked, revoked_at=None, revoked_by=Actor.PATIENT),
        ),
        "earliest-revocation-of-no-one": (revoked, attrs.evolve(early, revoked_by=None)),
        "deadline-known-to-one": (
            make(Status.PENDING, None),
            make(Status.PENDING),
        ),
        "authorization-known-to-one": (
            attrs.evolve(make(Status.ACTIVE), authorized_at=None),
            make(Status.ACTIVE),
        ),
        "another-era": (
            make(Status.ACTIVE),
            attrs.evolve(
                make(Status.ACTIVE), identity=attrs.evolve(make(Status.ACTIVE).identity, era=START)
            ),
        ),
    }
    for name, (left, right) in pairs.items():
        yield _merge(f"merge/{name}", left, right)
        yield _merge(f"merge/{name}/swapped", right, left)


def _merge(id: str, left: Connection, right: Connection) -> Case:  # noqa: A002 - see `Case`
    given = {"left": stored(left), "right": stored(right)}
    try:
        joined = merge(left, right)
    except MergeError:
        return Case(
            id=id,
            input=given,
            answer={"outcome": "error"},
            rule=None,
            verdict=Verdict.INVALID,
            comment="Not one connection.",
        )
    return Case(id, given, {"outcome": "done", "connection": stored(joined)})
