"""The sweep after a tombstone: each ended connection is revoked alone, once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.effects import AccessEnded, Effect, HandoffCancelled
from curae_lifecycle.service.sweep import sweep_changes, swept_changes
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite
from tests.service.exact import event, with_next_version
from tests.support import subjects
from tests.support.server import ID
from tests.support.strategies import START, TICK, apply_trigger, at, pending
from tests.support.subjects import STANDINGS, TOMBSTONED

NOW = at(61)
GONE: Final = attrs.evolve(TOMBSTONED, era=at(60), tombstoned_at=at(59), swept=False)


def ended(connection: Connection, revoked_at: datetime, now: datetime = NOW) -> Connection:
    return attrs.evolve(
        with_next_version(connection),
        status=Status.REVOKED,
        updated_at=now,
        revoked_at=revoked_at,
        revoked_by=Actor.PLATFORM,
    )


@pytest.mark.parametrize("standing", [each for each in STANDINGS if each != "REVOKED"])
def test_tombstone_revokes_connections_in_any_standing(standing: str) -> None:
    connection, _ = STANDINGS[standing]
    gone = ended(connection, at(59))
    over: Effect = AccessEnded(ID, at(59))
    if connection.status is Status.PENDING:
        over = HandoffCancelled(ID)
    assert sweep_changes(GONE, (connection,), NOW) == Changes(
        (ConnectionWrite(connection, gone),), (over,), (event("connection.revoked", gone, 61),)
    )


def test_tombstone_skips_revoked_and_newer_connections() -> None:
    revoked, _ = STANDINGS["REVOKED"]
    new = pending(number=2)
    new = attrs.evolve(new, identity=attrs.evolve(new.identity, era=GONE.era))
    assert sweep_changes(GONE, (revoked, new), NOW) == NO_CHANGES


def test_sweep_revokes_given_connections_but_no_successors() -> None:
    lapsed = pending()
    second = subjects.needing_action(subjects.recovered(lapsed, at(31), 2), at(32))
    third = apply_trigger(subjects.recovered(second, at(33), 3), "authorize for ever", at(34))
    changes = sweep_changes(GONE, (second,), NOW)
    assert [write.before for write in changes.writes] == [second]
    changes = sweep_changes(GONE, (third, lapsed), NOW)
    assert [write.before for write in changes.writes] == [third, lapsed]


@pytest.mark.parametrize(
    ("tombstoned_at", "revoked_at"),
    [
        (at(20), at(20)),
        (at(10), at(10)),
        (at(10) - TICK, at(10)),
        (START - timedelta(days=9000), at(10)),
    ],
)
def test_revoked_at_set_by_tombstone_is_not_before_created_at(
    tombstoned_at: datetime, revoked_at: datetime
) -> None:
    binding = attrs.evolve(GONE, tombstoned_at=tombstoned_at)
    (write,) = sweep_changes(binding, (pending(at(10)),), NOW).writes
    assert isinstance(write, ConnectionWrite)
    assert (write.after.revoked_at, write.after.updated_at) == (revoked_at, NOW)


def test_sweep_with_a_slow_clock_uses_the_time_of_the_tombstone() -> None:
    seen = apply_trigger(pending(), "authorize for ever", at(20))
    (write,) = sweep_changes(GONE, (seen,), START - timedelta(days=1)).writes
    assert isinstance(write, ConnectionWrite)
    assert (write.after.revoked_at, write.after.updated_at) == (at(59), at(59))


def test_finished_sweep_only_marks_the_binding_as_swept() -> None:
    after = attrs.evolve(with_next_version(GONE), swept=True)
    assert swept_changes(GONE) == Changes((BindingWrite(GONE, after),))
    assert after.state is AccountState.TOMBSTONED
