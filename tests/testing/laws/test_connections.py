"""Tests of the bounds in the laws about connections."""

from __future__ import annotations

import attrs
import pytest

from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.testing.laws import TICK, LawBrokenError, check_chain
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
