"""Merging snapshots of one connection that arrive in any order."""

from __future__ import annotations

from copy import deepcopy

import attrs
import pytest
from hypothesis import given

from curae_lifecycle.rules import triggers
from curae_lifecycle.rules.connection import Actor, Connection, ConnectionIdentity, Status, standing
from curae_lifecycle.rules.merge import MergeError, merge
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import DataPackage, Environment
from curae_lifecycle.testing import laws
from tests.support.specimens import NEXT_ID, NOW, stored
from tests.support.strategies import COORDINATE, START, at, pending, snapshots

IDENTITY = pending().identity


def test_merge_joins_each_member_of_two_snapshots_by_its_rule() -> None:
    left = Connection(
        identity=IDENTITY,
        status=Status.ACTION_REQUIRED,
        updated_at=at(20),
        handoff_deadline=at(30),
        authorized_at=at(5),
        expires_at=None,
        action_required_reason="b",
        revoked_at=None,
        revoked_by=None,
        version=300,
    )
    right = Connection(
        identity=IDENTITY,
        status=Status.REVOKED,
        updated_at=at(12),
        handoff_deadline=at(40),
        authorized_at=at(6),
        expires_at=at(90),
        action_required_reason="a",
        revoked_at=at(12),
        revoked_by=Actor.APP,
        version=4,
    )
    assert merge(left, right) == Connection(
        identity=IDENTITY,
        status=Status.REVOKED,
        updated_at=at(20),
        handoff_deadline=at(40),
        authorized_at=at(5),
        expires_at=at(90),
        action_required_reason="a",
        revoked_at=at(12),
        revoked_by=Actor.APP,
        version=300,
    )


each_status = pytest.mark.parametrize("status", Status)


@each_status
@pytest.mark.parametrize("other", Status)
def test_merge_takes_the_status_of_higher_rank(status: Status, other: Status) -> None:
    rank = ["PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED"]
    merged = merge(stored(status), stored(other))
    assert merged.status == max(status, other, key=rank.index)


def test_merge_keeps_the_first_revocation_and_its_actor() -> None:
    first, second = (
        attrs.evolve(stored("REVOKED"), revoked_at=instant, revoked_by=actor)
        for instant, actor in ((at(3), Actor.UPSTREAM), (at(4), Actor.APP))
    )
    merged = merge(second, first)
    assert (merged.revoked_at, merged.revoked_by) == (at(3), Actor.UPSTREAM)


@each_status
def test_merge_keeps_deadline_and_actor_that_one_snapshot_lacks(status: Status) -> None:
    """Merge with a snapshot from the wire, which has no hand-off deadline and no actor."""
    known = stored(status, NOW)
    known = attrs.evolve(known, revoked_at=at(10) if status is Status.REVOKED else None)
    less = Connection(known.identity, status, START, revoked_at=known.revoked_at)
    assert merge(known, less) == merge(less, known) == known


@each_status
@pytest.mark.parametrize("other", Status)
def test_merge_is_revoked_if_either_snapshot_has_a_revoked_at(
    status: Status, other: Status
) -> None:
    contradiction = stored(status, revoked_at=at(3))
    for merged in (merge(contradiction, stored(other)), merge(stored(other), contradiction)):
        assert standing(merged, NOW, era=None) == "REVOKED"
        assert merged.revoked_at == at(3)


def test_merging_lapsed_and_authorized_snapshots_gives_active() -> None:
    authorized = triggers.authorize(pending(), at(29), era=None)
    assert isinstance(authorized, Done)
    assert standing(pending(), at(40), era=None) == "LAPSED"
    merged = merge(pending(), authorized.value)
    assert standing(merged, at(40), era=None) == "ACTIVE"


OTHER_IDENTITIES = [
    attrs.evolve(IDENTITY, id=NEXT_ID),
    attrs.evolve(IDENTITY, created_at=at(1)),
    attrs.evolve(IDENTITY, data_packages=(DataPackage("labs"),)),
    attrs.evolve(IDENTITY, predecessor_id=NEXT_ID),
    attrs.evolve(IDENTITY, root_id=NEXT_ID),
    attrs.evolve(IDENTITY, position=2),
    attrs.evolve(IDENTITY, coordinate=attrs.evolve(COORDINATE, environment=Environment.TEST)),
]


@pytest.mark.parametrize("identity", OTHER_IDENTITIES)
def test_merge_of_connections_of_unequal_identity_raises(identity: ConnectionIdentity) -> None:
    left, right = pending(), attrs.evolve(pending(), identity=identity)
    with pytest.raises(MergeError, match="have different identities") as error:
        merge(left, right)
    assert (error.value.left, error.value.right) == (left.id, right.id)


@given(snapshots, snapshots, snapshots)
def test_law_03_merge_order_is_irrelevant_and_revoked_wins(
    one: Connection, two: Connection, three: Connection
) -> None:
    before = deepcopy((one, two, three))
    laws.check_merge(one, two, three)
    laws.check_merge(one, two, attrs.evolve(three, status=Status.REVOKED))
    assert (one, two, three) == before
