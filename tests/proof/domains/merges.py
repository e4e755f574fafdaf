"""Domains of merges: every pair and every triple of snapshots."""

from __future__ import annotations

from itertools import product

from curae_lifecycle.rules import merge as merging
from curae_lifecycle.rules.connection import Actor, Connection, Status
from tests.proof.domains.marks import IDENTITY, STATUSES, TICKS, Mark, instant, marks
from tests.support.strategies import START

Fields = tuple[int, Mark, str | None]
"""A snapshot of the first group: its rank, and the time and actor of its revocation."""

Known = tuple[int, Mark, Mark, Mark, Mark]
"""A snapshot of the second group: updated, deadline, authorized, expires, and a reason."""


def earliest(known: list[Mark]) -> Mark:
    return min((mark for mark in known if mark is not None), default=None)


def latest(known: list[Mark]) -> Mark:
    return max((mark for mark in known if mark is not None), default=None)


def revoked_first(snapshots: tuple[Fields, ...]) -> Fields:
    """Return the highest rank and the earliest revocation; ties go to the first name."""
    rank = max(rank for rank, _, _ in snapshots)
    at = earliest([at for _, at, _ in snapshots])
    names = [by for _, when, by in snapshots if when == at]
    return rank, at, min((by for by in names if by is not None), default=None)


def revoked(fields: Fields) -> Connection:
    rank, at, by = fields
    return Connection(
        IDENTITY,
        Status(STATUSES[rank]),
        START,
        revoked_at=instant(at),
        revoked_by=None if by is None else Actor(by),
    )


def merge_revocations(size: int) -> int:
    """Compare every triple: associative, commutative, idempotent, and equal to the reference."""
    names = (None, "APP", "PATIENT")
    pool: list[Fields] = [*product(range(5), marks(size), names)]
    built = {fields: revoked(fields) for fields in pool}
    cases = 0
    for one, other in product(pool, repeat=2):
        pair = merging.merge(built[one], built[other])
        assert pair == built[revoked_first((one, other))]
        if one == other:
            assert pair == built[one]
        for third in pool:
            assert merging.merge(pair, built[third]) == built[revoked_first((one, other, third))]
            cases += 1
    return cases


def merge_times(size: int) -> int:
    """Compare every pair of snapshots that differ in the other members."""
    options = marks(size)
    pool: list[Known] = [*product(range(size), options, options, options, options)]
    reasons = [f"reason-{number}" for number in range(size)]

    def built(known: Known) -> Connection:
        updated, deadline, authorized, end, reason = known
        return Connection(
            identity=IDENTITY,
            status=Status.ACTIVE,
            updated_at=TICKS[updated],
            handoff_deadline=instant(deadline),
            authorized_at=instant(authorized),
            expires_at=instant(end),
            action_required_reason=None if reason is None else reasons[reason],
        )

    connections = {known: built(known) for known in pool}
    cases = 0
    for one, other in product(pool, repeat=2):
        joined = (
            max(one[0], other[0]),
            latest([one[1], other[1]]),
            earliest([one[2], other[2]]),
            earliest([one[3], other[3]]),
            earliest([one[4], other[4]]),
        )
        assert merging.merge(connections[one], connections[other]) == connections[joined]
        cases += 1
    return cases
