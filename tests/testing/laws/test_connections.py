"""Tests of the bounds in the laws about connections."""

from __future__ import annotations

import itertools
from datetime import datetime

import attrs
import pytest

from curae_lifecycle.rules.access import AccessDecision, decide_access
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.testing.laws import (
    TICK,
    LawBrokenError,
    RevocationAnswer,
    check_access,
    check_chain,
    check_merge,
    check_revocation,
)
from tests.support.strategies import START, at, pending

END = at(30)


def chain_of(status: Status) -> list[Connection]:
    """Return a chain of two connections of one status, which both end at `END`."""
    older, newer = pending(number=1), pending(number=2)
    identity = attrs.evolve(newer.identity, predecessor_id=older.id, root_id=older.id)
    authorized_at = None if status is Status.PENDING else START
    return [
        attrs.evolve(
            each,
            status=status,
            authorized_at=authorized_at,
            handoff_deadline=END,
            expires_at=None if status is Status.PENDING else END,
        )
        for each in (older, attrs.evolve(newer, identity=identity))
    ]


@pytest.mark.parametrize("status", [Status.PENDING, Status.ACTIVE])
def test_law_6_check_ignores_a_connection_from_its_end_on(status: Status) -> None:
    chain = chain_of(status)
    with pytest.raises(LawBrokenError, match="law 6 is broken"):
        check_chain(chain, END - TICK, era=None)
    check_chain(chain, END, era=None)


def merge_keeping_the_last_reason(left: Connection, right: Connection) -> Connection:
    """Keep the reason of the snapshot that was updated later, if it has one, else the other's."""
    older, newer = sorted(
        (left, right), key=lambda each: (each.updated_at, each.action_required_reason or "")
    )
    reason = newer.action_required_reason or older.action_required_reason
    return attrs.evolve(newer, action_required_reason=reason)


@pytest.mark.parametrize("order", [*itertools.permutations([(1, "a"), (2, "c"), (3, None)])])
def test_law_3_check_finds_a_lost_reason_in_any_order(
    order: tuple[tuple[int, str | None], ...],
) -> None:
    a, b, c = (
        attrs.evolve(pending(), updated_at=at(minutes), action_required_reason=reason)
        for minutes, reason in order
    )
    with pytest.raises(LawBrokenError, match="law 3 is broken"):
        check_merge(a, b, c, merge=merge_keeping_the_last_reason)


def decide_without_era(
    connection: Connection, package: str, now: datetime, /, *, era: datetime | None
) -> AccessDecision:
    del era
    return decide_access(connection, package, now, era=connection.identity.era)


def test_law_5_check_finds_access_in_another_era() -> None:
    active = attrs.evolve(pending(), status=Status.ACTIVE, authorized_at=START, expires_at=END)
    check_access(active, "labs", START, era=None, decide=decide_without_era)
    with pytest.raises(LawBrokenError, match="law 5 is broken: granted although"):
        check_access(active, "labs", START, era=START, decide=decide_without_era)


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z"])
def test_law_2_check_compares_instants_with_texts(text: str) -> None:
    answer = RevocationAnswer("c-1", revoked_now=True, revoked_at=START)
    later = RevocationAnswer("c-1", revoked_now=False, revoked_at=text)
    check_revocation([answer, later])
    moved = attrs.evolve(later, revoked_at="2026-01-01T00:00:01Z")
    with pytest.raises(LawBrokenError, match=r"revokedAt moved from .* to 2026-01-01T00:00:01Z"):
        check_revocation([answer, moved])
