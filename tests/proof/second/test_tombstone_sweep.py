"""The sweep after a tombstone, an erasure, and how the rest goes."""

from __future__ import annotations

import pytest

from curae_lifecycle import (
    Actor,
    ConnectionId,
    Done,
    Graduated,
    Ignored,
    ProblemCode,
    Refused,
    Revoked,
    StoreUnavailableError,
    Tombstoned,
    present_era,
)
from curae_lifecycle.rules.connection import Status
from curae_lifecycle.stores import sweeping
from curae_lifecycle.stores.serve import sweep_now
from curae_lifecycle.stores.sql.erasing import Erasure, erase
from curae_lifecycle.stores.sql.outbox_worker import Outbox
from tests.proof.second.client import (
    HOUR,
    MINUTE,
    ONE_ATTEMPT,
    SECOND,
    START,
    TICK,
    World,
    coordinate,
    id_of,
    in_memory,
    wire,
)


def revocations(world: World) -> list[str]:
    """Return the ids of the `connection.revoked` events, in their order."""
    subjects = [each["subject"] for each in world.told("connection.revoked")]
    return [str(each["id"]) for each in subjects if isinstance(each, dict)]


def is_swept(world: World, user: str = "ada") -> bool:
    kept = world.binding(user)
    assert kept is not None
    return kept.swept


# What a sweep writes


def test_recording_a_tombstone_revokes_the_users_connections(world: World) -> None:
    active, pending = id_of(world.create()), id_of(world.create())
    world.authorize(active)
    world.step(MINUTE)
    world.tombstone()
    for each in (active, pending):
        row = world.row(each)
        assert (row.status, row.revoked_by) == (Status.REVOKED, Actor.PLATFORM)
        assert row.revoked_at == START + MINUTE
    assert is_swept(world)


def test_two_tombstones_emit_one_effect_and_event_per_connection(world: World) -> None:
    active, pending = id_of(world.create()), id_of(world.create())
    world.authorize(active)
    world.tombstone()
    world.tombstone(happened_at=START)
    assert sorted(revocations(world)) == sorted([active, pending])
    assert [str(each["connectionId"]) for each in world.told("AccessEnded")] == [active]
    assert [str(each["connectionId"]) for each in world.told("HandoffCancelled")] == [pending]


def test_connection_is_revoked_at_the_tombstones_happened_at(world: World) -> None:
    made = id_of(world.create())
    world.step(HOUR)
    world.tombstone(happened_at=START + 10 * MINUTE)
    shown = world.get(made)
    assert shown["revokedAt"] == wire(START + 10 * MINUTE)
    assert shown["updatedAt"] == wire(START + HOUR)


def test_revoked_at_is_creation_if_tombstone_is_dated_earlier(world: World) -> None:
    world.step(HOUR)
    made = id_of(world.create())
    world.step(MINUTE)
    world.tombstone(happened_at=START)
    assert world.get(made)["revokedAt"] == wire(START + HOUR)


def test_get_shows_creation_as_revoked_at_if_tombstone_is_older(world: World) -> None:
    world.step(HOUR)
    made = id_of(world.create())
    world.cut_tombstone(happened_at=START)
    shown = world.get(made)
    assert (shown["status"], shown["revokedAt"]) == ("REVOKED", wire(START + HOUR))


def test_tombstone_leaves_a_revoked_connection_unchanged(world: World) -> None:
    made = id_of(world.create())
    world.record(Revoked(ConnectionId(made), Actor.PATIENT))
    before = world.row(made)
    world.step(MINUTE)
    world.tombstone(happened_at=START - HOUR)
    assert world.row(made) == before


def test_tombstone_revokes_expired_and_lapsed_connections(world: World) -> None:
    expired, lapsed = id_of(world.create()), id_of(world.create())
    world.authorize(expired, expires_at=START + MINUTE)
    world.step(HOUR)
    world.tombstone()
    assert {world.row(each).status for each in (expired, lapsed)} == {Status.REVOKED}


def test_resumed_tombstone_revokes_no_successor_made_after_it(world: World) -> None:
    old = id_of(world.create())
    world.cut_tombstone()
    successor = id_of(world.reconnect(old))
    sweep_now(world.store, coordinate())
    assert world.row(old).status is Status.REVOKED
    assert world.get(successor)["status"] == "PENDING"
    assert revocations(world) == [old]


def test_tombstone_revokes_no_connection_made_after_it(world: World) -> None:
    world.tombstone()
    made = id_of(world.create())
    world.authorize(made)
    sweep_now(world.store, coordinate())
    assert world.row(made).status is Status.ACTIVE


# A sweep that was cut off


def test_tombstone_commits_before_any_connection_is_revoked(world: World) -> None:
    made = id_of(world.create())
    world.authorize(made)
    world.cut_tombstone(commits=1)
    assert world.account_state() == "TOMBSTONED"
    assert len(world.told("binding.tombstoned")) == 1
    assert revocations(world) == []
    assert world.get(made)["status"] == "REVOKED"
    assert not is_swept(world)


def test_next_fact_about_user_finishes_interrupted_revocations(world: World) -> None:
    made = id_of(world.create())
    world.cut_tombstone()
    assert isinstance(world.record(Graduated(coordinate())), Refused)
    assert world.row(made).status is Status.REVOKED
    assert is_swept(world)


def test_fact_is_recorded_only_after_tombstone_revocations_end(world: World) -> None:
    made, other = id_of(world.create()), id_of(world.create())
    world.cut_tombstone()
    world.store.commits_left = 0
    with pytest.raises(StoreUnavailableError):
        world.record(Revoked(ConnectionId(made), Actor.UPSTREAM), policy=ONE_ATTEMPT)
    world.store.commits_left = None
    assert isinstance(world.record(Revoked(ConnectionId(made), Actor.UPSTREAM)), Ignored)
    assert world.row(made).revoked_by is Actor.PLATFORM
    assert world.row(other).status is Status.REVOKED


def test_fact_about_session_finishes_interrupted_revocations(world: World) -> None:
    made = id_of(world.create())
    session = id_of(world.initiate(prefer_signup=True))
    world.cut_tombstone()
    assert isinstance(world.complete(session), Refused)
    assert world.row(made).status is Status.REVOKED


def test_next_tombstone_finishes_interrupted_revocations_first(world: World) -> None:
    made = id_of(world.create())
    world.step(MINUTE)
    world.cut_tombstone()
    world.step(MINUTE)
    world.tombstone()
    assert world.row(made).revoked_at == START + MINUTE


def test_fact_about_another_user_leaves_revocations_interrupted(world: World) -> None:
    made = id_of(world.create())
    world.cut_tombstone()
    ben = id_of(world.create("ben"))
    world.authorize(ben)
    assert world.row(made).status is Status.PENDING


def test_purge_finishes_interrupted_tombstone_revocations(world: World) -> None:
    made = id_of(world.create())
    world.step(SECOND)
    world.cut_tombstone()
    world.step(MINUTE)
    world.inner.purge()
    assert world.row(made).revoked_at == START + SECOND
    assert is_swept(world)
    assert revocations(world) == [made]


def test_tombstone_revokes_active_connections_in_first_batches(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "REVOCATION_BATCH", 3)
    made = [id_of(world.create()) for _ in range(10)]
    active = set(made[-3:])
    for each in active:
        world.authorize(each)
    world.cut_tombstone(commits=3)
    assert set(revocations(world)) == active
    world.cut_tombstone(commits=1)
    assert {world.row(each).status for each in active} == {Status.REVOKED}
    assert len(revocations(world)) == 6
    assert not is_swept(world)
    world.tombstone()
    assert {world.row(each).status for each in made} == {Status.REVOKED}
    assert len(set(revocations(world))) == len(revocations(world)) == 10


@pytest.mark.slow
def test_tombstone_revokes_each_of_250_connections_exactly_once() -> None:
    world = in_memory()
    made = [id_of(world.create()) for _ in range(250)]
    world.tombstone()
    assert {world.row(each).status for each in made} == {Status.REVOKED}
    assert sorted(revocations(world)) == made


def test_tombstone_succeeds_while_client_creates_connections(world: World) -> None:
    made = [id_of(world.create()) for _ in range(3)]

    def create_again() -> None:
        made.append(id_of(world.create()))
        if len(made) < 30:
            world.store.before_commit = create_again

    world.store.before_commit = create_again
    assert isinstance(world.record(Tombstoned(coordinate()), policy=ONE_ATTEMPT), Done)
    era = present_era(world.binding())
    over = [each for each in made if world.row(each).identity.era != era]
    assert len(over) >= 3
    assert {str(world.get(each)["status"]) for each in over} == {"REVOKED"}


@pytest.mark.heavy
def test_tombstone_revokes_20000_connections() -> None:
    world = in_memory()
    made = [id_of(world.create()) for _ in range(20_000)]
    assert isinstance(world.tombstone(), Done)
    assert {world.row(each).status for each in made} == {Status.REVOKED}


def test_tombstone_in_a_full_store_still_revokes_connections() -> None:
    world = in_memory(capacity=3)
    made = id_of(world.create())
    world.initiate()
    world.initiate()
    assert world.create().response.status == 500
    assert isinstance(world.tombstone(), Done)
    assert world.row(made).status is Status.REVOKED


def test_full_store_accepts_tombstone_of_a_user_without_binding() -> None:
    world = in_memory(capacity=2)
    made = id_of(world.create("ada"))
    for user in ("ben", "cid"):
        world.initiate(user)
    assert isinstance(world.tombstone("ada"), Done)
    assert world.get(made)["status"] == "REVOKED"


def test_later_tombstones_change_a_revocation_time_at_most_once(world: World) -> None:
    world.store.before_commit = world.tombstone
    made = id_of(world.create())
    assert world.get(made)["revokedAt"] == wire(START)
    world.step(MINUTE)
    world.tombstone()
    moved = world.get(made)["revokedAt"]
    assert moved in {wire(START), wire(START + MINUTE)}
    world.step(MINUTE)
    world.tombstone()
    assert world.get(made)["revokedAt"] == moved


def test_tombstones_at_one_instant_all_revoke_at_that_instant(world: World) -> None:
    made = id_of(world.create())
    world.tombstone()
    again = id_of(world.create())
    world.tombstone()
    assert world.get(made)["revokedAt"] == wire(START)
    assert world.get(again)["revokedAt"] == wire(START)
    assert present_era(world.binding()) == START + TICK


# Erasure


def erased(world: World, user: str = "ada") -> Erasure:
    assert world.database is not None
    return erase(world.database, coordinate(user))


def deliver_all(world: World) -> None:
    assert world.database is not None
    outbox = Outbox(world.database)
    while outbox.deliver_batch(lambda _: None):
        pass


def is_gone(world: World, connection_id: str) -> bool:
    answer = world.send("GET", f"/api/sdk/v1/connections/{connection_id}")
    return answer.response.status == 404


def test_erase_tombstones_the_user_and_revokes_connections(sqlite: World) -> None:
    made = id_of(sqlite.create())
    sqlite.authorize(made)
    erased(sqlite)
    assert sqlite.account_state() == "TOMBSTONED"
    assert sqlite.get(made)["status"] == "REVOKED"
    assert revocations(sqlite) == [made]


def test_purge_deletes_erased_connections_after_five_minutes(sqlite: World) -> None:
    made = id_of(sqlite.create())
    erased(sqlite)
    deliver_all(sqlite)
    sqlite.step(5 * MINUTE - SECOND)
    sqlite.inner.purge()
    assert not is_gone(sqlite, made)
    sqlite.step(2 * SECOND)
    sqlite.inner.purge()
    assert is_gone(sqlite, made)


def test_purge_keeps_erased_data_until_outbox_is_delivered(sqlite: World) -> None:
    made = id_of(sqlite.create())
    erased(sqlite)
    sqlite.step(HOUR)
    sqlite.inner.purge()
    assert not is_gone(sqlite, made)
    deliver_all(sqlite)
    sqlite.inner.purge()
    assert is_gone(sqlite, made)


def test_purge_after_an_erasure_leaves_the_account_unlinked(sqlite: World) -> None:
    sqlite.initiate()
    erased(sqlite)
    deliver_all(sqlite)
    sqlite.step(6 * MINUTE)
    sqlite.inner.purge()
    assert sqlite.binding() is None
    assert sqlite.account_state() == "UNLINKED"


def test_connection_created_during_an_erasure_is_erased_too(sqlite: World) -> None:
    sqlite.store.before_commit = lambda: erased(sqlite)
    made = id_of(sqlite.create())
    assert sqlite.get(made)["status"] == "REVOKED"
    deliver_all(sqlite)
    sqlite.step(6 * MINUTE)
    sqlite.inner.purge()
    deliver_all(sqlite)
    sqlite.inner.purge()
    assert is_gone(sqlite, made)


def test_connection_created_after_an_erasure_is_kept(sqlite: World) -> None:
    old = id_of(sqlite.create())
    erased(sqlite)
    new = id_of(sqlite.create())
    sqlite.authorize(new)
    deliver_all(sqlite)
    sqlite.step(6 * MINUTE)
    sqlite.inner.purge()
    assert is_gone(sqlite, old)
    assert sqlite.get(new)["status"] == "ACTIVE"
    kept = sqlite.binding()
    assert kept is not None
    assert (kept.era, kept.user_id) == (START, None)


def test_purge_keeps_user_id_of_a_user_bound_after_an_erasure(sqlite: World) -> None:
    sqlite.initiate()
    before = sqlite.binding()
    erased(sqlite)
    sqlite.initiate()
    bound = sqlite.binding()
    deliver_all(sqlite)
    sqlite.step(6 * MINUTE)
    sqlite.inner.purge()
    kept = sqlite.binding()
    assert before is not None
    assert bound is not None
    assert kept is not None
    assert kept.user_id == bound.user_id != before.user_id
    assert sqlite.account_state() == "LIMITED"


def test_binding_kept_after_an_erasure_has_no_user_id(sqlite: World) -> None:
    sqlite.initiate()
    before = sqlite.binding()
    assert before is not None
    erased(sqlite)
    sqlite.create()
    deliver_all(sqlite)
    sqlite.step(6 * MINUTE)
    sqlite.inner.purge()
    kept = sqlite.binding()
    assert kept is not None
    assert kept.user_id is None
    assert kept.era == START


def test_handoff_after_erasure_gets_not_found_only_after_purge(sqlite: World) -> None:
    session = id_of(sqlite.initiate(prefer_signup=True))
    erased(sqlite)
    answer = sqlite.complete(session)
    assert isinstance(answer, Refused)
    assert answer.problem.code is ProblemCode.BINDING_CHANGED
    deliver_all(sqlite)
    sqlite.step(6 * MINUTE)
    sqlite.inner.purge()
    gone = sqlite.complete(session)
    assert isinstance(gone, Refused)
    assert gone.problem.code is ProblemCode.NOT_FOUND
