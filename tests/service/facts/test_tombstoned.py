"""Tombstones of accounts: they end every connection of the user."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curae_lifecycle as curae
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.service import changes
from curae_lifecycle.service.effects import AccessEnded, Effect, HandoffCancelled, SuccessorsLive
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts.fact import FactAnswer
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.snapshot import LandedHandoff
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite
from curae_lifecycle.testing import laws
from curae_lifecycle.testing import strategies as draw
from tests.service.exact import event, with_next_version
from tests.support import subjects
from tests.support.instants import caller_at, commit_writes, handle_at, record_at
from tests.support.server import ID, LIMITED, new_ids, request, world
from tests.support.strategies import COORDINATE, START, TICK, apply_trigger, at, pending, uuid
from tests.support.subjects import ACTIVE, STANDINGS, TOMBSTONED

NOW = at(61)


def tombstoned(
    *connections: Connection,
    binding: LimitedAccountAppBinding | None = LIMITED,
    happened_at: datetime | None = None,
    now: datetime = NOW,
) -> FactAnswer:
    """Record a tombstone for a user with these connections."""
    snapshot = curae.Snapshot(binding=binding, connections=connections)
    return curae.record_fact(Tombstoned(COORDINATE, happened_at), snapshot, now)


def ended(connection: Connection, revoked_at: datetime, now: datetime = NOW) -> Connection:
    return attrs.evolve(
        with_next_version(connection),
        status=Status.REVOKED,
        updated_at=now,
        revoked_at=revoked_at,
        revoked_by=curae.Actor.PLATFORM,
    )


# --- Ended connections ------------------------------------------------------------------------


@pytest.mark.parametrize("binding", [LIMITED, ACTIVE], ids=["LIMITED", "ACTIVE"])
@pytest.mark.parametrize("standing", [each for each in STANDINGS if each != "REVOKED"])
def test_tombstone_revokes_a_connection_in_any_standing(
    standing: str, binding: LimitedAccountAppBinding
) -> None:
    connection, _ = STANDINGS[standing]
    after = attrs.evolve(with_next_version(binding), state=AccountState.TOMBSTONED)
    gone = ended(connection, at(59))
    over: Effect = AccessEnded(ID, at(59))
    if connection.status is Status.PENDING:
        over = HandoffCancelled(ID)
    assert tombstoned(connection, binding=binding, happened_at=at(59)) == curae.Done(
        changes.Changes(
            (BindingWrite(binding, after), ConnectionWrite(connection, gone)),
            (over,),
            (event("binding.tombstoned", after, 61), event("connection.revoked", gone, 61)),
        ),
        (
            f"binding.tombstone.{binding.state.lower()}",
            f"connection.revoke.{rule_of(connection)}",
        ),
    )


def rule_of(connection: Connection) -> str:
    """Return the connection's standing at `NOW`, as rule names spell it."""
    return curae.standing(connection, NOW).lower().replace("_", "-")


def test_tombstone_without_connections_writes_the_binding_only() -> None:
    answer = tombstoned()
    assert isinstance(answer, curae.Done)
    assert [type(write) for write in answer.value.writes] == [BindingWrite]
    assert [each.kind for each in answer.value.events] == [EventKind.BINDING_TOMBSTONED]
    assert answer.value.effects == ()


def test_tombstone_only_bumps_the_version_of_a_revoked_head() -> None:
    revoked, _ = STANDINGS["REVOKED"]
    answer = tombstoned(revoked)
    assert isinstance(answer, curae.Done)
    assert answer.value.writes[1:] == (ConnectionWrite(revoked, with_next_version(revoked)),)
    assert [each.kind for each in answer.value.events] == [EventKind.BINDING_TOMBSTONED]
    assert answer.value.effects == ()
    assert answer.rules == ("binding.tombstone.limited", "connection.revoke.revoked")


def test_tombstone_ends_all_chains_in_whatever_order_loaded() -> None:
    lapsed = pending()
    second = subjects.needing_action(subjects.recovered(lapsed, at(31), 2), at(32))
    third = apply_trigger(subjects.recovered(second, at(33), 3), "authorize for ever", at(34))
    first_gone = apply_trigger(pending(number=4), "APP", at(1))
    last_gone = apply_trigger(subjects.recovered(first_gone, at(2), 5), "PATIENT", at(3))
    alone = apply_trigger(pending(number=6), "authorize for ever", at(1))
    everything = (lapsed, second, third, first_gone, last_gone, alone)
    for connections in (everything, everything[::-1]):
        answer = tombstoned(*connections)
        assert isinstance(answer, curae.Done)
        written = {write.before: write.after for write in answer.value.writes[1:]}
        moved = {each: ended(each, NOW) for each in (lapsed, second, third, alone)}
        assert written == {**moved, last_gone: with_next_version(last_gone)}, (
            "the head of the revoked chain"
        )
        revoked = [each.subject for each in answer.value.events[1:]]
        assert revoked == [moved[each] for each in connections if each in moved]
        assert {each.kind for each in answer.value.events[1:]} == {EventKind.CONNECTION_REVOKED}
        assert len(answer.value.effects) == 4
        assert not any(isinstance(each, SuccessorsLive) for each in answer.value.effects)


def test_tombstone_ends_hundreds_of_connections_in_one_commit() -> None:
    chain = [apply_trigger(pending(), "APP", START)]
    for number in range(2, 300):
        made = subjects.recovered(chain[-1], at(number), number)
        chain.append(apply_trigger(made, "APP", at(number)) if number < 299 else made)
    others = [pending(at(1), number=number) for number in range(300, 600)]
    answer = tombstoned(*chain, *others, now=at(400))
    assert isinstance(answer, curae.Done)
    assert len(answer.value.writes) == 1 + 1 + len(others)
    assert len(answer.value.events) == 1 + 1 + len(others)


@pytest.mark.parametrize("binding", [None, TOMBSTONED], ids=["UNLINKED", "TOMBSTONED"])
def test_ignored_tombstone_revokes_nothing(
    binding: LimitedAccountAppBinding | None,
) -> None:
    live, _ = STANDINGS["ACTIVE"]
    answer = tombstoned(live, pending(number=2), binding=binding)
    state = "unlinked" if binding is None else "tombstoned"
    assert answer == curae.Ignored(changes.NO_CHANGES, (f"binding.tombstone.{state}",))


# --- Times ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("happened_at", "revoked_at"),
    [
        (None, at(20)),
        (at(20), at(20)),
        (at(20) - TICK, at(20) - TICK),
        (at(25), at(20)),
        (at(10), at(10)),
        (at(10) - TICK, at(10)),
        (START - timedelta(days=9000), at(10)),
    ],
)
def test_tombstone_revoked_at_is_between_created_at_and_now(
    happened_at: datetime | None, revoked_at: datetime
) -> None:
    answer = tombstoned(pending(at(10)), happened_at=happened_at, now=at(20))
    assert isinstance(answer, curae.Done)
    gone = answer.value.writes[1].after
    assert isinstance(gone, Connection)
    assert (gone.revoked_at, gone.updated_at) == (revoked_at, at(20))


def test_tombstone_by_a_slow_clock_keeps_updated_at() -> None:
    seen = apply_trigger(pending(), "authorize for ever", at(20))
    answer = tombstoned(seen, now=at(18))
    assert isinstance(answer, curae.Done)
    gone = answer.value.writes[1].after
    assert isinstance(gone, Connection)
    assert (gone.revoked_at, gone.updated_at) == (at(20), at(20))


# --- Law 17 and concurrency -------------------------------------------------------------------


@given(
    st.lists(draw.connections(), max_size=4),
    st.sampled_from([LIMITED, ACTIVE]),
    draw.instants(),
    draw.offsets(),
)
def test_law_17_tombstone_ends_access_of_every_connection(
    drawn: list[Connection],
    binding: LimitedAccountAppBinding,
    now: datetime,
    after: timedelta,
) -> None:
    owned = [
        attrs.evolve(each, identity=attrs.evolve(each.identity, coordinate=COORDINATE))
        for each in {each.id: each for each in drawn}.values()
    ]
    answer = tombstoned(*owned, binding=binding, now=now)
    assert isinstance(answer, curae.Done)
    written = {write.before: write.after for write in answer.value.writes[1:]}
    held = [written.get(each, each) for each in owned]
    left = [each for each in held if isinstance(each, Connection)]
    assert {each.status for each in left} <= {Status.REVOKED}
    laws.check_tombstone(left, max([now, *(each.updated_at for each in left)]) + after)


def test_law_17_next_user_of_the_id_gets_no_old_access() -> None:
    made = world()
    handle_at(made, request("initiate"), START, new_ids=new_ids(9))
    handle_at(made, request("create", key="k-2"), START, new_ids=new_ids(1))
    assert isinstance(record_at(made, curae.Authorized(ID), at(1)), curae.Done)
    assert isinstance(record_at(made, Tombstoned(COORDINATE), at(2)), curae.Done)
    # A new user is bound and creates a connection.
    handle_at(made, request("initiate", key="k-3"), at(3), new_ids=new_ids(10, at(3)))
    bound = made.binding(COORDINATE)
    assert bound is not None
    assert (bound.state, bound.generation) == (AccountState.LIMITED, 2)
    handle_at(made, request("create", key="k-4"), at(3), new_ids=new_ids(2, at(3)))
    assert isinstance(
        record_at(made, curae.Authorized(curae.ConnectionId(uuid(2))), at(4)), curae.Done
    )
    old, new = made.connection(ID), made.connection(curae.ConnectionId(uuid(2)))
    assert old is not None
    assert new is not None
    laws.check_tombstone([old], at(5))
    assert curae.standing(new, at(5)) is curae.Standing.ACTIVE
    # A reconnect of the old one yields a connection that must be authorized anew.
    handle_at(made, request("reconnect", key="k-5"), at(5), new_ids=new_ids(3, at(5)))
    recovered = made.connection(curae.ConnectionId(uuid(3)))
    assert recovered is not None
    laws.check_tombstone([old, recovered], at(5))
    # The next tombstone ends both, and leaves the first connection unchanged.
    assert isinstance(record_at(made, Tombstoned(COORDINATE), at(6)), curae.Done)
    for number, since in ((1, at(2)), (2, at(6)), (3, at(6))):
        gone = made.connection(curae.ConnectionId(uuid(number)))
        assert gone is not None
        assert gone.revoked_at == since


RACES = {
    "a create": (request("create", key="k-2"), None),
    "a reconnect": (request("reconnect", key="k-2"), "APP"),
    "a reconnect of what needs action": (request("reconnect", key="k-2"), "require action"),
    "a get that heals": (request("get"), None),
}


@pytest.mark.parametrize("race", RACES)
def test_write_decided_before_a_tombstone_fails_to_commit(race: str) -> None:
    asked, past = RACES[race]
    connection = pending()
    if past is not None:
        connection = apply_trigger(apply_trigger(connection, "authorize", START), past, START)
    made = world(curae.Settings(), connection)
    assert commit_writes(made, (BindingWrite(None, LIMITED),))
    call = curae.read(asked, caller_at(made, curae.bearer(asked)), at(1))
    assert not isinstance(call, curae.Decision)
    loaded = made.load(call.needs).snapshot
    if race == "a get that heals":
        loaded = attrs.evolve(loaded, landed_handoff=LandedHandoff(at(1), None))
    slow = curae.respond(
        curae.decide(call, snapshot=loaded, now=at(2), new_ids=new_ids(2, at(2)))
    ).changes.writes
    assert any(isinstance(write, ConnectionWrite | BindingWrite) for write in slow)
    assert isinstance(record_at(made, Tombstoned(COORDINATE), at(1)), curae.Done)
    assert not commit_writes(made, slow), (
        "it would leave a connection that the tombstone did not see"
    )


def test_tombstone_retries_after_a_concurrent_create() -> None:
    made = world()
    assert commit_writes(made, (BindingWrite(None, LIMITED),))
    fact = Tombstoned(COORDINATE)
    slow = curae.record_fact(fact, made.load(fact.needs()).snapshot, at(1))
    assert isinstance(slow, curae.Done)
    handle_at(made, request("create"), at(1), new_ids=new_ids(1, at(1)))
    assert not commit_writes(made, slow.value.writes)
    assert isinstance(record_at(made, fact, at(1)), curae.Done)
    gone = made.connection(ID)
    assert gone is not None
    assert gone.status is Status.REVOKED
