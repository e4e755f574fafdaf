"""Tests that the law watch reports access left by a tombstone (law 17)."""

from __future__ import annotations

import attrs

from curae_lifecycle.rules.access import Granted
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
)
from tests.support.server import ID, LIMITED
from tests.support.strategies import apply_trigger, at, pending
from tests.testing.watched import (
    ACTIVE,
    bound,
    broken,
    stored,
)

GONE = bound(AccountState.TOMBSTONED)
TOMBSTONE = BindingWrite(LIMITED, GONE)


def test_law_17_watch_reports_a_tombstone_that_leaves_access() -> None:
    watch = stored(ConnectionWrite(None, ACTIVE), BindingWrite(None, LIMITED), now=at(1))
    with broken(17, "although its user is gone"):
        watch.observe_commit((TOMBSTONE,), at(2))


def test_law_17_watch_reports_an_authorization_after_a_tombstone() -> None:
    watch = stored(ConnectionWrite(None, pending()), BindingWrite(None, LIMITED))
    watch.observe_commit((TOMBSTONE,), at(1))
    with broken(17, "although its user is gone"):
        watch.observe_commit((ConnectionWrite(pending(), ACTIVE),), at(2))


def test_law_17_watch_reports_access_granted_after_a_tombstone() -> None:
    revoked = apply_trigger(ACTIVE, "PLATFORM", at(2))
    watch = stored(ConnectionWrite(None, ACTIVE), BindingWrite(None, LIMITED), now=at(1))
    watch.observe_commit((TOMBSTONE, ConnectionWrite(ACTIVE, revoked)), at(2))
    with broken(17, "although its user is gone"):
        watch.observe_access_decision(ID, "labs", at(3), decision=Granted(None, "mine"))


def test_law_watch_accepts_a_connection_made_after_a_tombstone() -> None:
    watch = stored(BindingWrite(None, LIMITED))
    watch.observe_commit((TOMBSTONE,), at(1))
    relied_on = attrs.evolve(GONE, version=2)
    made = ConnectionWrite(None, pending(at(2)))
    watch.observe_commit((BindingWrite(GONE, relied_on), made), at(2))
    active = apply_trigger(pending(at(2)), "authorize for ever", at(3))
    watch.observe_commit((ConnectionWrite(pending(at(2)), active),), at(3))
    watch.observe_commit((BindingWrite(relied_on, attrs.evolve(GONE, version=3)),), at(4))
    watch.observe_access_decision(ID, "labs", at(5), decision=Granted(None, "mine"))


def test_law_17_watch_reports_a_create_decided_before_tombstone() -> None:
    watch = stored(BindingWrite(None, LIMITED))
    read_at = watch.commit_count
    watch.observe_commit((TOMBSTONE,), at(1))
    watch.observe_commit((ConnectionWrite(None, pending()),), at(2), loaded_at_commit=read_at)
    with broken(17, "although its user is gone"):
        watch.observe_commit((ConnectionWrite(pending(), ACTIVE),), at(3))
