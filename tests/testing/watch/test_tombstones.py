"""Tests that the law watch reports access left by a tombstone (law 17)."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules.access import Granted
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.session import EntryPath, HandoffState
from curae_lifecycle.rules.triggers import authorize
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    SessionWrite,
)
from curae_lifecycle.testing.watch_answers import shown_revoked_at
from tests.support.server import ID, LIMITED
from tests.support.strategies import at, pending
from tests.testing.watched import (
    ACTIVE,
    bound,
    broken,
    session,
    stored,
)

ERA = at(1)
GONE = attrs.evolve(bound(AccountState.TOMBSTONED), era=ERA, tombstoned_at=ERA)
TOMBSTONE = BindingWrite(LIMITED, GONE)


def made_under_the_era(now: datetime) -> Connection:
    made = pending(now)
    return attrs.evolve(made, identity=attrs.evolve(made.identity, era=ERA))


def test_law_17_watch_reports_a_tombstone_without_a_new_era() -> None:
    watch = stored(ConnectionWrite(None, ACTIVE), BindingWrite(None, LIMITED), now=at(1))
    with broken(17, "a tombstone began no new era"):
        watch.observe_commit((BindingWrite(LIMITED, attrs.evolve(GONE, era=None)),), at(2))


def test_law_17_watch_reports_a_tombstone_whose_era_is_removed() -> None:
    watch = stored(BindingWrite(None, LIMITED))
    watch.observe_commit((TOMBSTONE,), at(1))
    with broken(17, "an era came back"):
        watch.observe_commit((BindingWrite(GONE, attrs.evolve(GONE, era=None)),), at(2))


def test_authorizing_a_tombstoned_connection_breaks_no_law() -> None:
    watch = stored(ConnectionWrite(None, pending()), BindingWrite(None, LIMITED))
    watch.observe_commit((TOMBSTONE,), at(1))
    watch.observe_commit((ConnectionWrite(pending(), ACTIVE),), at(2))


def test_law_17_watch_reports_access_granted_after_a_tombstone() -> None:
    watch = stored(ConnectionWrite(None, ACTIVE), BindingWrite(None, LIMITED), now=at(1))
    watch.observe_commit((TOMBSTONE,), at(2))
    with broken(17, "although a tombstone came after it was made"):
        watch.observe_access_decision(ID, "labs", at(3), decision=Granted(None, "mine"))


def test_law_watch_accepts_a_connection_made_after_a_tombstone() -> None:
    watch = stored(BindingWrite(None, LIMITED))
    watch.observe_commit((TOMBSTONE,), at(1))
    made = made_under_the_era(at(2))
    watch.observe_commit((ConnectionWrite(None, made),), at(2))
    active = authorize(made, at(3), era=ERA)
    assert isinstance(active, Done)
    watch.observe_commit((ConnectionWrite(made, active.value),), at(3))
    watch.observe_access_decision(ID, "labs", at(5), decision=Granted(None, "mine"))


def test_law_17_watch_reports_access_to_pre_tombstone_connection() -> None:
    watch = stored(BindingWrite(None, LIMITED))
    read_at = watch.commit_count
    watch.observe_commit((TOMBSTONE,), at(1))
    watch.observe_commit((ConnectionWrite(None, pending()),), at(2), loaded_at_commit=read_at)
    with broken(17, "although a tombstone came after it was made"):
        watch.observe_access_decision(ID, "labs", at(3), decision=Granted(None, "mine"))


def test_law_17_watch_reports_connection_whose_era_is_not_loaded() -> None:
    watch = stored(BindingWrite(None, LIMITED))
    read_at = watch.commit_count
    watch.observe_commit((TOMBSTONE,), at(1))
    made = ConnectionWrite(None, made_under_the_era(at(1)))
    with broken(17, "decided before a tombstone and stored under its era"):
        watch.observe_commit((made,), at(2), loaded_at_commit=read_at)


def test_law_17_watch_reports_connection_stored_before_its_era() -> None:
    watch = stored(BindingWrite(None, LIMITED), ConnectionWrite(None, made_under_the_era(at(0))))
    with broken(17, "PENDING under the era of a tombstone that came after it was made"):
        watch.observe_commit((TOMBSTONE,), at(1))


def test_law_17_watch_reports_a_session_whose_era_is_not_loaded() -> None:
    watch = stored(BindingWrite(None, LIMITED))
    read_at = watch.commit_count
    watch.observe_commit((TOMBSTONE,), at(1))
    made = attrs.evolve(
        session(handoff=HandoffState.NOT_REQUIRED), path=EntryPath.SILENT_LIMITED, era=ERA
    )
    with broken(17, "decided before a tombstone and stored under its era"):
        watch.observe_commit((SessionWrite(None, made),), at(2), loaded_at_commit=read_at)


def test_law_17_watch_reports_handoff_completed_after_tombstone() -> None:
    waiting = session(handoff=HandoffState.AWAITED)
    watch = stored(SessionWrite(None, waiting))
    watch.observe_commit((BindingWrite(None, GONE),), at(1))
    with broken(17, "it landed although a tombstone came after it"):
        watch.observe_commit((SessionWrite(waiting, session()),), at(2))


def test_law_17_watch_reports_new_landed_session_after_tombstone() -> None:
    active = attrs.evolve(LIMITED, state=AccountState.ACTIVE)
    watch = stored(BindingWrite(None, active))
    read_at = watch.commit_count
    watch.observe_commit((TOMBSTONE,), at(1))
    made = attrs.evolve(session(), path=EntryPath.EXISTING_ACTIVE_HANDOFF)
    with broken(17, "it landed as it was made, after a tombstone"):
        watch.observe_commit((SessionWrite(None, made),), at(2), loaded_at_commit=read_at)


def test_shown_revoked_at_is_tombstone_time_or_later_creation() -> None:
    early = attrs.evolve(GONE, tombstoned_at=at(-9))
    assert shown_revoked_at(ACTIVE, GONE) == ERA
    assert shown_revoked_at(ACTIVE, early) == ACTIVE.identity.created_at
    assert shown_revoked_at(ACTIVE, None) is None
