"""A tombstone is a fence: the binding, its era, and what each state makes of a report."""

from __future__ import annotations

import inspect
from datetime import datetime

import pytest

from curae_lifecycle import (
    ActionRequired,
    Actor,
    ConnectionId,
    Done,
    Expired,
    Graduated,
    Granted,
    Ignored,
    ProblemCode,
    Refused,
    Revoked,
    SessionId,
    Standing,
    UserId,
    decide_access,
    present_era,
    standing,
)
from curae_lifecycle.rules import preview
from curae_lifecycle.rules.access import DenialReason, Denied
from curae_lifecycle.rules.connection import Status, next_deadline
from curae_lifecycle.service.facts.fact import FactAnswer
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import BindingWrite
from tests.proof.second.client import (
    HOUR,
    MINUTE,
    PACKAGE,
    SECOND,
    START,
    TICK,
    World,
    body_of,
    code_of,
    coordinate,
    id_of,
    wire,
)

STATES = ("UNLINKED", "LIMITED", "ACTIVE", "TOMBSTONED")


def bring_to(world: World, state: str) -> None:
    """Bring the account of ada to a state."""
    if state in {"LIMITED", "ACTIVE"}:
        world.initiate()
    if state == "ACTIVE":
        assert isinstance(world.record(Graduated(coordinate())), Done)
    if state == "TOMBSTONED":
        world.tombstone(happened_at=START - HOUR)
    assert world.account_state() == state


def problem_of(answer: FactAnswer) -> ProblemCode:
    assert isinstance(answer, Refused)
    return answer.problem.code


def era_of(world: World) -> object:
    return present_era(world.binding())


# The era


def test_era_is_none_before_the_first_tombstone(world: World) -> None:
    made = id_of(world.create())
    world.initiate()
    assert era_of(world) is None
    assert world.row(made).identity.era is None


def test_era_is_the_recording_time_of_the_last_tombstone(world: World) -> None:
    world.tombstone(happened_at=START - HOUR)
    assert era_of(world) == START


def test_tombstones_at_one_instant_get_eras_a_microsecond_apart(world: World) -> None:
    world.tombstone()
    world.tombstone()
    world.tombstone()
    assert era_of(world) == START + 2 * TICK


def test_tombstone_after_clock_step_back_gets_a_later_era(world: World) -> None:
    world.tombstone()
    world.step(-HOUR)
    world.tombstone()
    assert era_of(world) == START + TICK


@pytest.mark.parametrize(
    ("reported", "counts_as"),
    [
        (None, START),
        (START - HOUR, START - HOUR),
        (START + 4 * MINUTE, START),
        (START + 5 * MINUTE, START),
    ],
)
def test_tombstone_stores_reported_time_raw_and_capped_at_now(
    world: World, reported: datetime | None, counts_as: datetime
) -> None:
    world.tombstone(happened_at=reported)
    kept = world.binding()
    assert kept is not None
    assert (kept.tombstone_reported_at, kept.tombstoned_at) == (reported, counts_as)


def test_binding_of_the_next_user_still_has_the_tombstone_times(world: World) -> None:
    world.tombstone(happened_at=START - HOUR)
    world.step(SECOND)
    world.initiate()
    world.record(Graduated(coordinate()))
    kept = world.binding()
    assert kept is not None
    assert kept.generation == 1
    assert (kept.era, kept.tombstone_reported_at) == (START, START - HOUR)
    assert kept.tombstoned_at == START - HOUR


def test_new_connection_and_session_store_the_last_tombstone_era(world: World) -> None:
    old = id_of(world.create())
    world.tombstone()
    new, session = id_of(world.create()), id_of(world.initiate())
    stored = world.inner.load(Needs(session=SessionId(session))).snapshot.session
    assert stored is not None
    assert (world.row(old).identity.era, world.row(new).identity.era) == (None, START)
    assert stored.era == START
    world.step(MINUTE)
    world.tombstone()
    assert world.row(new).identity.era == START


# The table: state, report, binding, answer


@pytest.mark.parametrize("reported", [None, START - MINUTE])
@pytest.mark.parametrize("state", STATES)
def test_new_tombstone_in_any_state_makes_the_account_tombstoned(
    world: World, state: str, reported: datetime | None
) -> None:
    bring_to(world, state)
    before = world.binding()
    world.step(SECOND)
    answer = world.tombstone(happened_at=reported)
    assert isinstance(answer, Done)
    after = world.binding()
    assert after is not None
    assert (after.state.value, after.era) == ("TOMBSTONED", START + SECOND)
    assert after.generation == (before.generation if before else 0)
    assert answer.rules == (f"binding.tombstone.{state.lower()}",)


def test_tombstone_of_an_unlinked_account_stores_no_user_id(world: World) -> None:
    world.tombstone()
    kept = world.binding()
    assert kept is not None
    assert kept.user_id is None
    assert kept.generation == 0


@pytest.mark.parametrize("state", STATES)
def test_only_the_first_tombstone_of_a_user_emits_an_event(world: World, state: str) -> None:
    bring_to(world, state)
    told = len(world.told("binding.tombstoned"))
    world.tombstone()
    more = len(world.told("binding.tombstoned")) - told
    assert more == (0 if state == "TOMBSTONED" else 1)


@pytest.mark.parametrize("state", ["LIMITED", "ACTIVE", "TOMBSTONED"])
def test_duplicate_tombstone_changes_no_binding_and_no_access(world: World, state: str) -> None:
    world.tombstone(happened_at=START - HOUR)
    if state != "TOMBSTONED":
        world.initiate()
    if state == "ACTIVE":
        world.record(Graduated(coordinate()))
    made = id_of(world.create())
    world.authorize(made)
    before = world.binding()
    world.step(MINUTE)
    answer = world.tombstone(happened_at=START - HOUR)
    assert isinstance(answer, Ignored)
    assert answer.rules[0].startswith("tombstone-report.")
    assert world.binding() == before
    assert world.get(made)["status"] == "ACTIVE"


def test_tombstone_is_duplicate_only_if_happened_at_is_equal(world: World) -> None:
    world.tombstone(happened_at=START + 2 * MINUTE)
    world.step(MINUTE)
    assert isinstance(world.tombstone(happened_at=START), Done)
    assert isinstance(world.tombstone(happened_at=START), Ignored)


def test_duplicate_tombstone_finishes_interrupted_revocations(world: World) -> None:
    made = id_of(world.create())
    world.cut_tombstone(happened_at=START)
    assert world.row(made).status is Status.PENDING
    assert isinstance(world.tombstone(happened_at=START), Ignored)
    assert world.row(made).status is Status.REVOKED


def test_tombstone_with_a_repeated_happened_at_revokes_nothing(world: World) -> None:
    world.tombstone(happened_at=START)
    made = id_of(world.create())
    world.step(MINUTE)
    world.tombstone(happened_at=START)
    assert world.get(made)["status"] == "PENDING"


def test_duplicate_of_an_older_tombstone_ends_present_access(world: World) -> None:
    world.tombstone(happened_at=START - HOUR)
    world.tombstone(happened_at=START)
    made = id_of(world.create())
    world.authorize(made)
    assert isinstance(world.tombstone(happened_at=START - HOUR), Done)
    assert isinstance(world.access(made), Denied)


def test_each_tombstone_without_happened_at_revokes_again(world: World) -> None:
    world.tombstone()
    made = id_of(world.create())
    assert isinstance(world.tombstone(), Done)
    assert world.get(made)["status"] == "REVOKED"


def test_undated_tombstone_is_no_duplicate_of_a_dated_one(world: World) -> None:
    world.tombstone(happened_at=START)
    assert isinstance(world.tombstone(), Done)
    assert isinstance(world.tombstone(happened_at=START), Done)


# What was made under another era is over, whatever its row says


@pytest.fixture
def ended(world: World) -> str:
    """Return an ACTIVE connection that a tombstone ended and no sweep reached."""
    made = id_of(world.create())
    world.authorize(made)
    world.step(MINUTE)
    world.cut_tombstone()
    assert world.row(made).status is Status.ACTIVE
    return made


def test_access_to_tombstoned_users_active_connection_is_denied(world: World, ended: str) -> None:
    answer = world.access(ended)
    assert isinstance(answer, Denied)
    assert answer.reason is DenialReason.REVOKED


def test_get_of_tombstoned_users_active_connection_shows_revoked(world: World, ended: str) -> None:
    shown = world.get(ended)
    assert (shown["status"], shown["revokedAt"]) == ("REVOKED", wire(START + MINUTE))


def test_revoke_after_a_tombstone_replies_already_revoked(world: World, ended: str) -> None:
    answer = world.revoke(ended)
    assert answer.response.status == 200
    assert body_of(answer)["revokedNow"] is False


def test_reconnect_after_a_tombstone_makes_a_pending_successor(world: World, ended: str) -> None:
    answer = world.reconnect(ended)
    assert answer.response.status == 201
    assert "recovery.revoked.none" in answer.rules
    assert body_of(answer)["previousConnectionId"] == ended
    assert world.row(id_of(answer)).identity.era == era_of(world)
    assert world.get(id_of(answer))["status"] == "PENDING"


def test_facts_on_tombstoned_users_active_connection_are_ignored(world: World, ended: str) -> None:
    of = ConnectionId(ended)
    snapshot = world.inner.load(Needs(connection=of)).snapshot
    for fact in (ActionRequired(of, "portal_login"), Expired(of), Revoked(of, Actor.UPSTREAM)):
        answer = fact.judge(snapshot, world.now)
        assert isinstance(answer, Ignored)
        assert answer.rules[-1].endswith(".revoked")


def test_authorization_reported_after_a_tombstone_is_refused(world: World) -> None:
    made = id_of(world.create())
    world.step(MINUTE)
    world.cut_tombstone()
    answer = world.authorize(made, happened_at=START)
    assert problem_of(answer) is ProblemCode.CONNECTION_NOT_PENDING


def test_preview_treats_tombstoned_users_connection_as_revoked(world: World, ended: str) -> None:
    era = present_era(world.binding())
    previews = preview.preview_triggers(world.row(ended), world.now, era=era)
    assert {each.rules[-1].rpartition(".")[2] for each in previews} <= {"revoked", "none"}
    assert preview.find_due_notices(world.row(ended), world.now, era=era) == ()
    assert next_deadline(world.row(ended), era=era) is None


def test_connection_older_than_a_tombstone_is_always_revoked(world: World, ended: str) -> None:
    era = present_era(world.binding())
    row = world.row(ended)
    for at in (START, START + MINUTE, START + 1000 * HOUR):
        assert standing(row, at, era=era) is Standing.REVOKED
    assert standing(row, START, era=None) is Standing.ACTIVE


def test_connection_of_another_tombstone_era_counts_as_revoked(world: World) -> None:
    world.tombstone()
    row = world.row(id_of(world.create()))
    for era in (START - HOUR, START - TICK, START + TICK, None):
        assert standing(row, START, era=era) is Standing.REVOKED
    assert standing(row, START, era=START) is Standing.PENDING


@pytest.mark.parametrize(
    "function",
    [
        standing,
        decide_access,
        next_deadline,
        preview.preview_trigger,
        preview.preview_triggers,
        preview.find_due_notices,
    ],
)
def test_connection_functions_require_the_keyword_argument_era(function: object) -> None:
    assert callable(function)
    era = inspect.signature(function).parameters["era"]
    assert era.kind is inspect.Parameter.KEYWORD_ONLY
    assert era.default is inspect.Parameter.empty


# Sessions


def waiting(world: World) -> str:
    """Return a session that waits for its hand-off."""
    return id_of(world.initiate(prefer_signup=True))


def test_handoff_of_a_session_older_than_a_tombstone_is_refused(world: World) -> None:
    session = waiting(world)
    world.tombstone()
    assert problem_of(world.complete(session)) is ProblemCode.BINDING_CHANGED


def test_handoff_after_tombstone_and_expiry_gets_session_expired(world: World) -> None:
    session = waiting(world)
    world.tombstone()
    world.step(30 * MINUTE)
    assert problem_of(world.complete(session)) is ProblemCode.SESSION_EXPIRED


@pytest.mark.parametrize("user", ["u-1", "u-2"])
def test_handoff_begun_before_tombstone_is_refused_for_any_user(world: World, user: str) -> None:
    session = waiting(world)
    world.tombstone()
    world.initiate()
    world.record(Graduated(coordinate()))
    bound = world.binding()
    assert bound is not None
    named = bound.user_id if user == "u-1" else UserId(user)
    answer = world.complete(session, str(named))
    assert problem_of(answer) is ProblemCode.BINDING_CHANGED


def test_handoff_is_refused_if_tombstone_came_during_initiate(world: World) -> None:
    world.store.before_commit = world.tombstone
    session = waiting(world)
    assert problem_of(world.complete(session)) is ProblemCode.BINDING_CHANGED


def test_handoff_is_refused_if_a_tombstone_commits_before_it(world: World) -> None:
    session = waiting(world)
    world.store.before_commit = world.tombstone
    assert problem_of(world.complete(session)) is ProblemCode.BINDING_CHANGED
    assert world.account_state() == "TOMBSTONED"


def test_initiate_takes_path_c_if_a_tombstone_commits_before_it(world: World) -> None:
    world.initiate()
    world.record(Graduated(coordinate()))
    world.store.before_commit = world.tombstone
    session = body_of(world.initiate())["session"]
    assert isinstance(session, dict)
    assert session["path"] == "SILENT_LIMITED"


def test_handoff_of_a_bound_user_bumps_the_binding_version(world: World) -> None:
    first, second = waiting(world), waiting(world)
    world.complete(first)
    before = world.binding()
    assert isinstance(world.complete(second), Done)
    world.initiate()
    after = world.binding()
    assert before is not None
    assert after is not None
    assert after.version == before.version + 2
    assert (after.state, after.user_id) == (before.state, before.user_id)


# Entries after a tombstone


@pytest.mark.parametrize("prefer_signup", [True, False])
def test_initiate_after_a_tombstone_binds_a_new_limited_user(
    world: World, *, prefer_signup: bool
) -> None:
    world.tombstone()
    session = body_of(world.initiate(prefer_signup=prefer_signup))["session"]
    assert isinstance(session, dict)
    assert session["path"] == "SILENT_LIMITED"
    kept = world.binding()
    assert kept is not None
    assert (kept.state.value, kept.generation) == ("LIMITED", 1)
    assert kept.user_id is not None


# A create does not rely on the binding


def test_creating_a_connection_writes_no_binding(world: World) -> None:
    answer = world.create()
    assert not any(isinstance(each, BindingWrite) for each in answer.changes.writes)
    assert world.binding() is None
    world.initiate()
    version = world.binding()
    world.create()
    assert world.binding() == version


def test_new_connection_is_revoked_if_a_tombstone_commits_first(world: World) -> None:
    world.store.before_commit = world.tombstone
    answer = world.create()
    assert answer.response.status == 201
    made = id_of(answer)
    assert world.row(made).status is Status.PENDING
    assert world.get(made)["status"] == "REVOKED"
    assert problem_of(world.authorize(made)) is ProblemCode.CONNECTION_NOT_PENDING
    assert isinstance(world.access(made), Denied)


def test_successor_grants_no_access_if_tombstone_commits_first(world: World) -> None:
    made = id_of(world.create())
    world.step(HOUR)
    world.store.before_commit = world.cut_tombstone
    successor = id_of(world.reconnect(made))
    assert world.get(successor)["status"] in {"REVOKED", "PENDING"}
    assert isinstance(world.access(successor), Denied)
    shown = world.get(successor)["status"] == "PENDING"
    assert shown == (world.row(successor).identity.era == era_of(world))


def test_law_17_later_user_gets_no_access_of_an_earlier_user(world: World) -> None:
    made, session = id_of(world.create()), waiting(world)
    world.authorize(made)
    world.tombstone()
    for _ in range(2):
        world.initiate()
        world.record(Graduated(coordinate()))
        assert isinstance(world.access(made), Denied)
        assert problem_of(world.complete(session)) is ProblemCode.BINDING_CHANGED
        world.step(SECOND)
        world.tombstone()


def test_connection_made_after_a_tombstone_grants_access(world: World) -> None:
    world.tombstone()
    made = id_of(world.create())
    world.authorize(made)
    assert isinstance(world.access(made, PACKAGE), Granted)


def test_tombstone_of_one_user_ends_no_access_of_another(world: World) -> None:
    ben = id_of(world.create("ben"))
    world.authorize(ben)
    world.tombstone("ada")
    assert isinstance(world.access(ben), Granted)
    assert world.account_state("ben") == "UNLINKED"


def test_repeated_reconnect_after_tombstone_gives_one_successor(world: World) -> None:
    made = id_of(world.create())
    world.tombstone()
    first, again = world.reconnect(made), world.reconnect(made)
    assert id_of(first) == id_of(again)
    world.revoke(id_of(first))
    assert code_of(world.reconnect(made)) == "CONNECTION_SUPERSEDED"
