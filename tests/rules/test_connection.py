"""The standing and deadlines of a connection, against tables written by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from typing import cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules.connection import (
    Connection,
    Standing,
    Status,
    standing,
)
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import LAST_INSTANT, DataPackage
from curae_lifecycle.testing import laws
from tests.proof.reference.tables import DEADLINE, STANDING
from tests.support import specimens
from tests.support.specimens import ELSEWHERE, NAIVE, NOW, STANDS, stored
from tests.support.strategies import (
    COORDINATE,
    START,
    TICK,
    Frozen,
    at,
    instants,
    next_action,
    pending,
    snapshots,
)

REVOCATIONS = {"no revokedAt": (None,), "a revokedAt": (START, NOW - TICK, NOW, NOW + TICK)}
"""Any `revoked_at`, even one in the future, means revoked."""
ERAS = {
    "made under the present era": (None,),
    "made under another era": (START, NOW - TICK, NOW, NOW + TICK),
}
"""The present era, while a stored connection has none; eras have no order."""


@pytest.mark.parametrize(("cell", "expected"), STANDING.items())
def test_standing_matches_the_hand_written_table_in_every_cell(
    cell: tuple[str, str, str, str], expected: str
) -> None:
    status, revocation, made_under, clock = cell
    early, late = (None, NOW + TICK), (NOW, NOW - TICK)
    for deadline in early if clock.startswith("before") else late:
        for revoked_at, era in product(REVOCATIONS[revocation], ERAS[made_under]):
            connection = stored(status, deadline, revoked_at=revoked_at)
            assert standing(connection, NOW, era=era) == expected


@pytest.mark.parametrize(("cell", "waits_for"), DEADLINE.items())
def test_next_deadline_of_each_status_matches_the_table(
    cell: tuple[str, str, str], waits_for: str
) -> None:
    status, revocation, made_under = cell
    instants = {"the hand-off's deadline": at(21), "expiresAt": at(22), "none": None}
    for revoked_at, era in product(REVOCATIONS[revocation], ERAS[made_under]):
        connection = stored(status, revoked_at=revoked_at)
        assert rules.next_deadline(connection, era=era) is None
        both = attrs.evolve(connection, handoff_deadline=at(21), expires_at=at(22))
        assert rules.next_deadline(both, era=era) == instants[waits_for]


def test_connection_is_revoked_once_an_erasure_deleted_its_era() -> None:
    # Only a coordinate that was erased forgets its era.
    made = pending()
    made = attrs.evolve(made, identity=attrs.evolve(made.identity, era=START))
    assert standing(made, NOW, era=START) == "PENDING"
    assert standing(made, NOW, era=None) == "REVOKED"


def test_tombstoned_at_is_shown_as_revoked_at_of_a_connection() -> None:
    made = stored("ACTIVE")
    for tombstoned_at, shown in ((NOW, NOW), (START - TICK, START), (None, START)):
        ended = rules.show_ended(made, era=NOW, tombstoned_at=tombstoned_at)
        assert ended == attrs.evolve(made, revoked_at=shown)
    assert rules.show_ended(made, era=None, tombstoned_at=NOW) is made
    revoked = stored("REVOKED", revoked_at=at(1))
    assert rules.show_ended(revoked, era=NOW, tombstoned_at=NOW) is revoked


def test_status_and_standing_members_are_declared_in_rank_order() -> None:
    assert list(Status.__members__) == [
        status
        for status, revoked, made_under in DEADLINE
        if (revoked, made_under) == ("no revokedAt", "made under the present era")
    ]
    assert list(Standing.__members__) == list(STANDS)
    for name, connections in STANDS.items():
        assert {standing(each, NOW, era=None) for each in connections} == {name}


@given(snapshots, st.lists(instants, min_size=2, max_size=6))
def test_law_04_standing_never_moves_back_as_time_passes(
    connection: Connection, times: list[datetime]
) -> None:
    laws.check_standing_is_monotone(connection, times, era=None)


@given(snapshots, instants)
def test_standing_changes_with_time_only_at_next_deadline(
    connection: Connection, now: datetime
) -> None:
    deadline = rules.next_deadline(connection, era=None)
    first = standing(connection, START - TICK, era=None)
    if deadline is None or now < deadline:
        assert standing(connection, now, era=None) == first
    else:
        assert (
            standing(connection, now, era=None) == standing(connection, deadline, era=None) != first
        )


# --- Distant instants --------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["ACTIVE", "ACTION_REQUIRED"])
@pytest.mark.parametrize("years", [1, 40, 400])
def test_expiry_400_years_away_is_exact_to_the_microsecond(status: str, years: int) -> None:
    end = START.replace(year=START.year + years)
    connection = stored(status, end)
    assert rules.next_deadline(connection, era=None) == end
    assert standing(connection, end - TICK, era=None) == status
    assert standing(connection, end, era=None) == "EXPIRED"
    assert standing(connection, LAST_INSTANT, era=None) == "EXPIRED"


def test_connection_without_expiry_is_active_at_datetime_max() -> None:
    assert standing(stored("ACTIVE"), LAST_INSTANT, era=None) == "ACTIVE"
    assert standing(stored("ACTIVE", LAST_INSTANT), LAST_INSTANT - TICK, era=None) == "ACTIVE"


# --- Clock skew --------------------------------------------------------------------------------


def test_now_before_updated_at_is_clamped_to_updated_at() -> None:
    connection = stored("ACTIVE")
    assert connection.updated_at == START
    assert rules.clamp_to_updated_at(connection, NOW) == NOW
    assert rules.clamp_to_updated_at(connection, START) == START
    assert rules.clamp_to_updated_at(connection, START - TICK) == START
    assert rules.clamp_to_updated_at(connection, at(-(10**6))) == START


def test_clamped_now_may_be_a_datetime_subclass_but_not_text() -> None:
    now = Frozen(2026, 1, 1, 0, 20, tzinfo=UTC)
    assert now == NOW
    assert rules.clamp_to_updated_at(stored("ACTIVE"), now) is now
    for nothing in (None, "2026-01-01T00:20:00Z", 1_767_226_800):
        with pytest.raises(ArgumentError, match=r"^now: "):
            rules.clamp_to_updated_at(stored("ACTIVE"), cast("datetime", nothing))


# --- New connections ---------------------------------------------------------------------------


def test_new_connection_is_pending_until_its_next_action_ends() -> None:
    made = pending()
    assert made == Connection(
        identity=made.identity, status=Status.PENDING, updated_at=START, handoff_deadline=at(30)
    )
    assert made.id == specimens.OLD_ID
    assert made.identity == rules.ConnectionIdentity(
        id=specimens.OLD_ID,
        coordinate=COORDINATE,
        data_packages=(DataPackage("clinical_summary"), DataPackage("labs")),
        created_at=START,
        predecessor_id=None,
        root_id=specimens.OLD_ID,
        position=1,
    )
    assert attrs.asdict(made, recurse=False) | {"identity": None} == {
        "identity": None,
        "status": "PENDING",
        "updated_at": START,
        "handoff_deadline": at(30),
        "authorized_at": None,
        "expires_at": None,
        "action_required_reason": None,
        "revoked_at": None,
        "revoked_by": None,
        "version": 1,
    }


def test_create_with_a_next_action_ended_before_now_raises() -> None:
    with pytest.raises(ArgumentError, match=r"^next_action\.expires_at: must be "):
        rules.create(
            id=specimens.OLD_ID,
            coordinate=COORDINATE,
            data_packages=(DataPackage("labs"),),
            now=NOW,
            next_action=next_action(NOW, -TICK),
            era=None,
        )


@pytest.mark.parametrize("wrong", [NAIVE, ELSEWHERE], ids=["naive", "elsewhere"])
def test_times_not_in_utc_raise_argument_error(wrong: datetime) -> None:
    with pytest.raises(ArgumentError, match=r"^now: "):
        pending(wrong)
    with pytest.raises(ArgumentError, match=r"^now: "):
        standing(pending(), wrong, era=None)
    with pytest.raises(ArgumentError, match=r"^now: "):
        rules.clamp_to_updated_at(pending(), wrong)
    with pytest.raises(ArgumentError, match=r"^next_action\.expires_at: "):
        rules.check_next_action(next_action(wrong), NOW)


def test_authorization_without_expiry_clears_the_stored_expiry() -> None:
    ending = attrs.evolve(pending(), expires_at=at(60))
    authorized = rules.evolve_connection(ending, Status.ACTIVE, at(1), authorized_at=at(1))
    kept = rules.evolve_connection(ending, Status.ACTION_REQUIRED, at(1), reason="consent")
    assert (authorized.expires_at, kept.expires_at) == (None, at(60))
