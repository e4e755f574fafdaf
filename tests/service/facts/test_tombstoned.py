"""Tests of tombstones: they end everything made before at their coordinate, with any user bound."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs
import pytest
from hypothesis import given

import curae_lifecycle as curae
from curae_lifecycle.rules.access import Denied
from curae_lifecycle.rules.binding import AccountState, present_era, provision
from curae_lifecycle.rules.connection import Connection, next_deadline
from curae_lifecycle.rules.preview import find_due_notices, preview_triggers
from curae_lifecycle.rules.values import format_time
from curae_lifecycle.service import changes
from curae_lifecycle.service.effects import AccessEnded, SuccessorsLive
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.snapshot import LandedHandoff, Needs
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, SessionWrite
from curae_lifecycle.testing import laws
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.web.json import parse_json
from tests.service.exact import with_next_version
from tests.support import subjects
from tests.support.instants import caller_at, commit_writes, handle_at, record_at
from tests.support.server import ID, LIMITED, USER, call, new_ids, request, world
from tests.support.strategies import COORDINATE, START, TICK, apply_trigger, at, pending, uuid
from tests.support.subjects import ACTIVE, STANDINGS, TOMBSTONED

NOW = at(61)
ERA = at(60)
"""The present era; a connection of this module was made before it."""
GONE: Final = attrs.evolve(TOMBSTONED, era=ERA, tombstoned_at=at(59), swept=False)
OLD: Final = pending()


# --- The fact ---------------------------------------------------------------------------------


def test_tombstone_fact_writes_only_the_binding() -> None:
    answer = curae.record_fact(Tombstoned(COORDINATE), curae.Snapshot(binding=LIMITED), NOW)
    assert isinstance(answer, curae.Done)
    assert [type(write) for write in answer.value.writes] == [BindingWrite]
    assert [each.kind for each in answer.value.events] == [EventKind.BINDING_TOMBSTONED]
    assert answer.value.effects == ()


def test_two_tombstones_at_one_instant_have_different_event_ids() -> None:
    first = curae.record_fact(Tombstoned(COORDINATE), curae.Snapshot(), NOW)
    assert isinstance(first, curae.Done)
    (write,) = first.value.writes
    assert isinstance(write, BindingWrite)
    bound = provision(write.after, COORDINATE, curae.UserId("u-2"))
    assert isinstance(bound, curae.Done)
    second = curae.record_fact(Tombstoned(COORDINATE), curae.Snapshot(binding=bound.value), NOW)
    assert isinstance(second, curae.Done)
    assert first.value.events[0].id != second.value.events[0].id


def test_repeated_tombstone_is_ignored_after_a_clock_step_back() -> None:
    fact = Tombstoned(COORDINATE, happened_at=NOW)
    first = curae.record_fact(fact, curae.Snapshot(binding=LIMITED), NOW)
    assert isinstance(first, curae.Done)
    (write,) = first.value.writes
    assert isinstance(write, BindingWrite)
    snapshot, earlier = curae.Snapshot(binding=write.after), NOW - timedelta(minutes=10)
    assert isinstance(curae.record_fact(fact, snapshot, earlier), curae.Ignored)
    other = attrs.evolve(fact, happened_at=NOW - TICK)
    with pytest.raises(curae.ArgumentError, match="five minutes"):
        curae.record_fact(other, snapshot, earlier)
    with pytest.raises(curae.ArgumentError, match="now"):
        curae.record_fact(fact, snapshot, earlier.replace(tzinfo=None))


# --- What is over -----------------------------------------------------------------------------


@pytest.mark.parametrize("standing", STANDINGS)
def test_tombstoned_connection_is_revoked_and_grants_no_access(standing: str) -> None:
    connection, now = STANDINGS[standing]
    assert curae.standing(connection, now, era=ERA) is curae.Standing.REVOKED
    assert next_deadline(connection, era=ERA) is None
    denied = curae.decide_access(connection, "labs", now, era=ERA)
    assert isinstance(denied, Denied)
    assert denied.reason == "REVOKED"
    named = {
        str(each.trigger): str(each.outcome) for each in preview_triggers(connection, now, era=ERA)
    }
    assert named == {
        "authorize": "refused",
        "require_action": "ignored",
        "expire": "ignored",
        "revoke": "ignored",
        "reconnect": "done",
    }
    assert find_due_notices(connection, now, era=ERA) == ()


@pytest.mark.parametrize("standing", STANDINGS)
@pytest.mark.parametrize(
    "fact", [*subjects.OF_A_CONNECTION.values(), *(curae.Revoked(ID, each) for each in curae.Actor)]
)
def test_fact_changes_no_connection_that_a_tombstone_ended(fact: Fact, standing: str) -> None:
    connection, now = STANDINGS[standing]
    answer = curae.record_fact(fact, curae.Snapshot(connection=connection, binding=GONE), now)
    assert answer.rules[-1].endswith(".revoked")
    if isinstance(fact, curae.Authorized):
        assert isinstance(answer, curae.Refused)
        assert answer.problem.code == "CONNECTION_NOT_PENDING"
        assert answer.problem.details == {"connectionId": ID, "standing": "REVOKED"}
    else:
        assert isinstance(answer, curae.Ignored)
        assert answer.value == changes.NO_CHANGES


def test_app_revocation_reports_live_head_made_after_a_tombstone() -> None:
    first = of_present_era(subjects.needing_action(pending(), at(1)))
    head = of_present_era(subjects.recovered(first, at(2), 2))
    snapshot = curae.Snapshot(connection=first, successor=head, head=head, binding=GONE)
    answer = curae.record_fact(curae.Revoked(ID, curae.Actor.APP), snapshot, at(3))
    assert isinstance(answer, curae.Done)
    assert answer.value.effects == (AccessEnded(ID, at(3)), SuccessorsLive(ID, head.id))


def of_present_era(connection: Connection) -> Connection:
    return attrs.evolve(connection, identity=attrs.evolve(connection.identity, era=ERA))


def test_revoked_at_in_get_is_later_of_tombstone_and_creation() -> None:
    for era, tombstoned_at, shown in ((ERA, at(59), at(59)), (ERA, START - TICK, START)):
        binding = attrs.evolve(GONE, era=era, tombstoned_at=tombstoned_at)
        snapshot = curae.Snapshot(connection=OLD, binding=binding)
        body = answer_to(GetConnection(ID), snapshot)["connection"]
        assert isinstance(body, dict)
        assert (body["status"], body["revokedAt"]) == ("REVOKED", format_time(shown))


def test_revoke_after_a_tombstone_gives_revoked_now_false() -> None:
    snapshot = curae.Snapshot(connection=OLD, binding=GONE)
    body = answer_to(Revoke(ID), snapshot)
    assert body["revokedNow"] is False
    shown = body["connection"]
    assert isinstance(shown, dict)
    assert shown["revokedAt"] == format_time(at(59))


def test_successor_made_after_a_tombstone_has_the_present_era() -> None:
    decision = curae.decide(
        call(Reconnect(ID)),
        snapshot=curae.Snapshot(connection=OLD, binding=GONE),
        now=NOW,
        new_ids=new_ids(2, NOW),
    )
    held, made = decision.changes.writes
    assert isinstance(held, ConnectionWrite)
    assert held.after == with_next_version(OLD)
    assert isinstance(made, ConnectionWrite)
    assert made.after.identity.era == ERA
    assert made.after.identity.predecessor_id == ID


def test_completed_handoff_does_not_authorize_after_a_tombstone() -> None:
    snapshot = curae.Snapshot(
        connection=OLD, binding=GONE, landed_handoff=LandedHandoff(at(1), None)
    )
    decision = curae.decide(call(GetConnection(ID), None), snapshot, NOW)
    assert decision.changes == changes.NO_CHANGES
    assert decision.rules[-1] == "connection.authorize.revoked"


@pytest.mark.parametrize("state", [AccountState.TOMBSTONED, AccountState.ACTIVE])
def test_handoff_of_a_session_older_than_tombstone_is_refused(state: AccountState) -> None:
    binding = attrs.evolve(GONE, state=state, user_id=subjects.USER)
    landed = curae.HandoffCompleted(subjects.SESSION, subjects.USER)
    snapshot = curae.Snapshot(session=subjects.WAITING, binding=binding)
    answer = curae.record_fact(landed, snapshot, at(2))
    assert isinstance(answer, curae.Refused)
    assert answer.problem.code == "BINDING_CHANGED"
    assert answer.problem.details == {"lifecycleState": state}
    assert answer.rules == ("completion.other-era",)
    late = curae.record_fact(landed, snapshot, subjects.WAITING.expires_at)
    assert isinstance(late, curae.Refused)
    assert late.problem.code == "SESSION_EXPIRED"


def answer_to(operation: Operation, snapshot: curae.Snapshot) -> dict[str, Json]:
    """Return the body of the response to a request."""
    asked = call(operation, None if isinstance(operation, GetConnection) else "k-1")
    decision = curae.decide(asked, snapshot=snapshot, now=NOW, new_ids=new_ids(2, NOW))
    body = parse_json(curae.respond(decision).response.body)
    assert isinstance(body, dict)
    return body


# --- Law 17 and concurrency -------------------------------------------------------------------


@given(draw.connections(), draw.instants(), draw.offsets())
def test_law_17_tombstone_ends_access_of_every_connection(
    connection: Connection, now: datetime, after: timedelta
) -> None:
    laws.check_tombstone([connection], now + after, era=now)
    # It may have been made after another tombstone, whatever that one's instant.
    for earlier in (now - TICK, now + TICK):
        identity = attrs.evolve(connection.identity, era=earlier)
        again = attrs.evolve(connection, identity=identity)
        laws.check_tombstone([again], now + after, era=now)


def test_law_17_next_user_of_a_coordinate_gets_no_old_access() -> None:
    made = world()
    handle_at(made, request("initiate"), START, new_ids=new_ids(9))
    handle_at(made, request("create", key="k-2"), START, new_ids=new_ids(1))
    assert isinstance(record_at(made, curae.Authorized(ID), at(1)), curae.Done)
    assert isinstance(record_at(made, Tombstoned(COORDINATE), at(2)), curae.Done)
    # A new user is bound and creates a connection.
    handle_at(made, request("initiate", key="k-3"), at(3), new_ids=new_ids(10, at(3)))
    bound = made.binding(COORDINATE)
    assert bound is not None
    assert (bound.state, bound.generation, bound.era) == (AccountState.LIMITED, 2, at(2))
    handle_at(made, request("create", key="k-4"), at(3), new_ids=new_ids(2, at(3)))
    assert isinstance(
        record_at(made, curae.Authorized(curae.ConnectionId(uuid(2))), at(4)), curae.Done
    )
    old, new = made.connection(ID), made.connection(curae.ConnectionId(uuid(2)))
    assert old is not None
    assert new is not None
    laws.check_tombstone([old], at(5), era=at(2))
    assert curae.standing(new, at(5), era=at(2)) is curae.Standing.ACTIVE
    # A reconnect of the old one yields a connection that must be authorized anew.
    handle_at(made, request("reconnect", key="k-5"), at(5), new_ids=new_ids(3, at(5)))
    recovered = made.connection(curae.ConnectionId(uuid(3)))
    assert recovered is not None
    laws.check_tombstone([old, recovered], at(5), era=at(2))
    # The next tombstone ends both, and leaves the first connection unchanged.
    assert isinstance(record_at(made, Tombstoned(COORDINATE), at(6)), curae.Done)
    for number, since in ((1, at(2)), (2, at(6)), (3, at(6))):
        gone = made.connection(curae.ConnectionId(uuid(number)))
        assert gone is not None
        assert gone.revoked_at == since


RACES = {
    "a create": (request("create", key="k-2"), None),
    "a reconnect": (request("reconnect", key="k-2"), "APP"),
}


@pytest.mark.parametrize("race", RACES)
def test_new_connection_decided_before_a_tombstone_is_revoked(race: str) -> None:
    asked, past = RACES[race]
    connection = pending()
    if past is not None:
        connection = apply_trigger(apply_trigger(connection, "authorize", START), past, START)
    made = world(curae.Settings(), connection)
    assert commit_writes(made, (BindingWrite(None, LIMITED),))
    call_ = curae.read(asked, caller_at(made, curae.bearer(asked)), at(1))
    assert not isinstance(call_, curae.Decision)
    slow = curae.respond(
        curae.decide(
            call_, snapshot=made.load(call_.needs).snapshot, now=at(2), new_ids=new_ids(2, at(2))
        )
    ).changes.writes
    assert isinstance(record_at(made, Tombstoned(COORDINATE), at(1)), curae.Done)
    assert commit_writes(made, slow)
    late = made.load(Needs(connection=curae.ConnectionId(uuid(2)))).snapshot
    assert late.connection is not None
    era = present_era(late.binding)
    assert curae.standing(late.connection, at(2), era=era) is curae.Standing.REVOKED


def test_get_that_authorizes_fails_to_commit_after_a_tombstone() -> None:
    made = world(curae.Settings(), pending())
    assert commit_writes(made, (BindingWrite(None, LIMITED),))
    asked = request("get")
    call_ = curae.read(asked, caller_at(made, curae.bearer(asked)), at(1))
    assert not isinstance(call_, curae.Decision)
    loaded = attrs.evolve(
        made.load(call_.needs).snapshot, landed_handoff=LandedHandoff(at(1), None)
    )
    slow = curae.respond(
        curae.decide(call_, snapshot=loaded, now=at(2), new_ids=new_ids(2, at(2)))
    ).changes.writes
    assert isinstance(record_at(made, Tombstoned(COORDINATE), at(1)), curae.Done)
    assert not commit_writes(made, slow), "the sweep has written the connection"


@pytest.mark.parametrize("preferring", [True, False])
def test_initiate_decided_before_a_tombstone_fails_to_commit(preferring: bool) -> None:  # noqa: FBT001 - a parameter
    made = world()
    assert commit_writes(made, (BindingWrite(None, ACTIVE),))
    snapshot = curae.Snapshot(binding=ACTIVE)
    decision = curae.decide(
        call(Initiate(USER, preferring)), snapshot=snapshot, now=at(1), new_ids=new_ids(2, at(1))
    )
    slow = tuple(
        each for each in decision.changes.writes if isinstance(each, SessionWrite | BindingWrite)
    )
    assert isinstance(record_at(made, Tombstoned(COORDINATE), at(1)), curae.Done)
    assert not commit_writes(made, slow)


def test_tombstone_commits_after_a_concurrent_create() -> None:
    made = world()
    assert commit_writes(made, (BindingWrite(None, LIMITED),))
    fact = Tombstoned(COORDINATE)
    slow = curae.record_fact(fact, made.load(fact.needs()).snapshot, at(1))
    assert isinstance(slow, curae.Done)
    handle_at(made, request("create"), at(1), new_ids=new_ids(1, at(1)))
    assert commit_writes(made, slow.value.writes)
