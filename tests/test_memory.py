"""The store in memory: compare and set, bounded, purged at deadlines and never before."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import NoReturn, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curae_lifecycle as curae
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.values import AppId, AppUserId, CustomerAccountId, DataPackage
from curae_lifecycle.service.changes import BindingWrite, ConnectionWrite, Write, relied_on
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.stores.contract import StoreFullError
from curae_lifecycle.web.respond import Answer
from tests import server, subjects
from tests.server import API_KEY, CALLER, ID, call, code, document, new_ids, request, world
from tests.strategies import COORDINATE, START, TICK, apply_trigger, at, pending, uuid

BUCKET = curae.Bucket("platform", 2, 1, 60)
TOLERANCE = timedelta(minutes=5)
REVOKED = apply_trigger(pending(), "APP", START)


# --- As a server uses it ----------------------------------------------------------------------


def serve(
    made: curae.MemoryStore, asked: curae.Request, now: datetime, ids: curae.NewIds
) -> Answer:
    """The whole of a server: find the caller, read, load, decide, respond, store."""
    reading = curae.read(asked, made.caller(curae.bearer(asked)), now, made.settings)
    if isinstance(reading, curae.Decision):
        return curae.respond(reading)
    while True:
        answer = curae.respond(curae.decide(reading, made.load(curae.needs(reading)), now, ids))
        if made.store(answer.changes.writes):
            return answer


@pytest.mark.parametrize("operation", server.OPERATIONS)
def test_a_server_of_twenty_lines_answers_as_the_store_does(operation: str) -> None:
    settings = curae.Settings(buckets=(BUCKET,))
    made, other = world(settings, REVOKED), world(settings, REVOKED)
    for ids in (new_ids(2), new_ids(3)):
        assert serve(made, request(operation), START, ids) == other.handle(
            request(operation), START, ids
        )


def minted(answer: Answer, member: str) -> str:
    """The id of an answer's connection or session."""
    value = document(answer)[member]
    assert isinstance(value, dict)
    return str(value["id"])


def test_a_whole_story_runs_through_a_store() -> None:
    made = world()
    answer = made.handle(request("create"), START, new_ids(1))
    assert (answer.response.status, code(answer)) == (201, None)
    done = made.record(curae.Authorized(ID, at(60)), at(1))
    assert isinstance(done, curae.Done)
    granted = made.ask(ID, DataPackage("labs"), at(2))
    assert granted is not None
    assert type(granted).__name__ == "Granted"
    assert made.ask(curae.ConnectionId(uuid(9)), DataPackage("labs"), at(2)) is None
    assert code(made.handle(request("reconnect", key="k-2"), at(3), new_ids(2, at(3)))) == (
        "CONNECTION_NOT_RECONNECTABLE"
    )
    answer = made.handle(request("reconnect", key="k-3"), at(60), new_ids(2, at(60)))
    assert document(answer)["previousConnectionId"] == ID
    answer = made.handle(request("revoke", id=uuid(2), key="k-4"), at(61))
    assert document(answer)["revokedNow"] is True
    answer = made.handle(request("revoke", id=uuid(2), key="k-5"), at(62))
    assert document(answer)["revokedNow"] is False

    answer = made.handle(request("initiate", key="k-6"), at(63), new_ids(3, at(63)))
    stored = made.session(curae.SessionId(minted(answer, "session")))
    assert stored is not None
    assert stored.user_id == "limited-3"
    bound = made.binding(COORDINATE)
    assert bound is not None
    assert (bound.user_id, bound.state) == ("limited-3", AccountState.LIMITED)
    answer = made.handle(request("account-state"), at(64))
    assert document(answer) == {"lifecycleState": "LIMITED"}
    assert made.handle(request("graduation"), at(64), new_ids(4, at(64))).response.status == 201


def test_facts_are_stored_and_what_they_do_not_change_is_not() -> None:
    made = world()
    body = b'{"appUserId":"user-1","preferSignup":true}'
    answer = made.handle(request("initiate", body=body), START, new_ids(1))
    completed = curae.HandoffCompleted(
        curae.SessionId(minted(answer, "session")), curae.UserId("u-7")
    )
    assert isinstance(made.record(completed, at(1)), curae.Done)
    assert isinstance(made.record(completed, at(2)), curae.Ignored)
    bound = LimitedAccountAppBinding(COORDINATE, curae.UserId("u-7"), AccountState.ACTIVE, 1)
    assert made.binding(COORDINATE) == bound
    assert isinstance(made.record(curae.Tombstoned(COORDINATE), at(3)), curae.Done)
    assert made.binding(COORDINATE) == attrs.evolve(bound, state=AccountState.TOMBSTONED, version=2)
    assert isinstance(made.record(curae.Revoked(ID, curae.Actor.PATIENT), at(3)), curae.Refused)


def test_a_patient_ends_a_chain_in_one_commit() -> None:
    made = world(curae.Settings(), REVOKED, server.successor())
    assert isinstance(made.record(curae.Revoked(ID, curae.Actor.PATIENT), at(1)), curae.Done)
    head = made.connection(curae.ConnectionId(uuid(2)))
    assert head is not None
    assert (head.status, head.revoked_by) == ("REVOKED", curae.Actor.PATIENT)
    assert made.connection(ID) is REVOKED


def test_an_unknown_key_and_none_stand_for_nobody() -> None:
    made = world()
    assert made.caller(None) is None
    assert made.caller(curae.ApiKey("cae_live_other")) is None
    assert made.caller(curae.ApiKey(API_KEY)) is CALLER
    replaced = attrs.evolve(CALLER, scopes=frozenset())
    made.register(curae.ApiKey(API_KEY), replaced)
    assert made.caller(curae.ApiKey(API_KEY)) is replaced


def test_ids_that_are_in_use_already_are_a_mistake_and_nothing_waits_for_ever() -> None:
    made = world(curae.Settings(), pending())
    with pytest.raises(curae.ArgumentError, match="new_ids"):
        made.handle(request("create"), START, new_ids(1))
    made.handle(request("initiate", key="k-2"), START, new_ids(1))
    with pytest.raises(curae.ArgumentError, match="new_ids"):
        made.handle(request("initiate", key="k-3"), START, new_ids(1))


# --- Compare and set --------------------------------------------------------------------------

ACTIVE = apply_trigger(pending(), "authorize", at(1))
BINDING = LimitedAccountAppBinding(COORDINATE, curae.UserId("u-1"), AccountState.LIMITED, 1)


def written_by(operation: str) -> tuple[Write, ...]:
    """All writes of a request that was decided on an empty store."""
    made = world(curae.Settings(buckets=(BUCKET,)))
    reading = curae.read(request(operation), CALLER, START, made.settings)
    assert not isinstance(reading, curae.Decision)
    decision = curae.decide(reading, made.load(curae.needs(reading)), START, new_ids(1))
    return curae.respond(decision).changes.writes


@pytest.mark.parametrize("operation", ["create", "initiate"])
def test_what_was_written_in_between_is_never_overwritten(operation: str) -> None:
    writes = written_by(operation)
    for write in writes:
        made = world()
        assert made.store((write,))
        untouched = [each for each in writes if each is not write]
        assert not made.store(writes), f"{type(write).__name__} was written in between"
        assert made.store(tuple(untouched)), "and nothing of the rest was stored"


def test_an_update_wins_only_over_what_was_read() -> None:
    made = world(curae.Settings(), pending())
    revoked = apply_trigger(pending(), "PATIENT", at(1))
    assert made.store((ConnectionWrite(pending(), ACTIVE),))
    assert not made.store((ConnectionWrite(pending(), revoked),))
    assert made.connection(ID) is ACTIVE
    assert not made.store((ConnectionWrite(None, revoked),)), "the id is taken"
    assert made.store((BindingWrite(None, BINDING),))
    assert not made.store((BindingWrite(None, BINDING),))
    assert not made.store(
        (
            ConnectionWrite(ACTIVE, revoked),
            BindingWrite(attrs.evolve(BINDING, generation=2), BINDING),
        )
    )
    assert made.connection(ID) is ACTIVE


def test_a_predecessor_has_one_successor() -> None:
    made = world(curae.Settings(), REVOKED, server.successor())
    identity = attrs.evolve(server.successor().identity, id=curae.ConnectionId(uuid(3)))
    rival = attrs.evolve(server.successor(), identity=identity)
    assert not made.store((ConnectionWrite(None, rival),))
    assert made.connection(rival.id) is None
    loaded = made.load(curae.needs(call(GetConnection(ID), None)))
    second = server.successor()
    assert (loaded.connection, loaded.successor, loaded.head) == (REVOKED, second, second)


def test_a_late_authorization_and_a_reconnect_cannot_both_be_stored() -> None:
    # Each was decided on what the other had not yet written.
    late, later = curae.Authorized(ID, happened_at=at(29)), at(31)
    asked = call(Reconnect(ID))
    for authorized_first in (True, False):
        made = world(curae.Settings(), pending())
        authorized = curae.record_fact(late, made.load_fact(late), later)
        assert isinstance(authorized, curae.Done)
        recovered = curae.decide(asked, made.load(curae.needs(asked)), later, new_ids(2, later))
        both = [authorized.value.writes, recovered.changes.writes]
        first, second = both if authorized_first else both[::-1]
        assert made.store(first)
        assert not made.store(second)


def test_a_patient_s_revocation_leaves_no_successor_that_it_did_not_see() -> None:
    made = world(curae.Settings(), subjects.needing_action(pending(), at(1)))
    revoked = curae.record_fact(
        curae.Revoked(ID, curae.Actor.PATIENT),
        made.load_fact(curae.Revoked(ID, curae.Actor.PATIENT)),
        at(3),
    )
    assert isinstance(revoked, curae.Done)
    asked = call(Reconnect(ID))
    recovered = curae.decide(asked, made.load(curae.needs(asked)), at(2), new_ids(2, at(2)))
    assert made.store(recovered.changes.writes)
    assert not made.store(revoked.value.writes)
    assert isinstance(made.record(curae.Revoked(ID, curae.Actor.PATIENT), at(3)), curae.Done)
    successor = made.load(curae.needs(asked)).successor
    assert successor is not None
    assert successor.status is Status.REVOKED


def race(made: curae.MemoryStore, operation: str, keys: list[str]) -> list[Answer]:
    """Send one request for each key, in threads that start together."""
    barrier = Barrier(len(keys))

    def send(number: int, key: str) -> Answer:
        barrier.wait()
        return made.handle(request(operation, key=key), START, new_ids(2 + number))

    with ThreadPoolExecutor(len(keys)) as pool:
        return list(pool.map(send, range(len(keys)), keys))


EIGHT = [f"k-{number}" for number in range(8)]


def test_racing_reconnects_make_one_successor() -> None:
    made = world(curae.Settings(), REVOKED)
    answers = race(made, "reconnect", EIGHT)
    assert len({minted(answer, "connection") for answer in answers}) == 1
    loaded = made.load(curae.needs(call(GetConnection(ID), None)))
    assert loaded.successor is not None
    assert loaded.head == loaded.successor
    events = sorted(answer.changes.events[0].kind for answer in answers)
    assert events == ["connection.created", *["connection.reissued"] * 7]


def test_one_key_runs_once_however_many_threads_send_it() -> None:
    answers = race(world(), "create", ["k-1"] * 8)
    assert len({answer.response.body for answer in answers}) == 1
    assert sorted(answer.replayed for answer in answers) == [False, *[True] * 7]


def test_ten_of_racing_initiates_are_admitted() -> None:
    answers = race(world(), "initiate", [f"k-{number}" for number in range(16)])
    assert sorted(answer.response.status for answer in answers) == [201] * 10 + [429] * 6


def test_one_of_racing_revocations_says_that_it_was_the_one() -> None:
    answers = race(world(curae.Settings(), pending()), "revoke", EIGHT)
    assert sorted(str(document(answer)["revokedNow"]) for answer in answers) == (
        ["False"] * 7 + ["True"]
    )


class Interrupted(curae.MemoryStore):
    """A store in which somebody else is faster, once."""

    def __init__(self, rival: Write) -> None:
        super().__init__()
        self.register(curae.ApiKey(API_KEY), CALLER)
        self.rivals = [(rival,), (ConnectionWrite(None, pending()),)]
        assert self.store(())

    def store(self, writes: tuple[Write, ...]) -> bool:
        if self.rivals:
            assert super().store(self.rivals.pop())
        return super().store(writes)


def test_the_loser_of_a_race_decides_again_on_what_it_finds() -> None:
    revoked = apply_trigger(pending(), "PATIENT", START)
    made = Interrupted(ConnectionWrite(pending(), revoked))
    answer = made.handle(request("revoke"), at(1))
    assert document(answer)["revokedNow"] is False
    assert made.connection(ID) is revoked
    made = Interrupted(ConnectionWrite(pending(), revoked))
    assert isinstance(made.record(curae.Authorized(ID), at(1)), curae.Refused)
    assert made.connection(ID) is revoked


# --- Found by key -----------------------------------------------------------------------------


class Counted(dict[curae.ConnectionId, Connection]):
    """A dictionary that is asked by key alone, and counts how often."""

    def __init__(self, held: dict[curae.ConnectionId, Connection]) -> None:
        super().__init__(held)
        self.asked = 0

    # The store gives no default, and the type of a dictionary allows for one of any type.
    def get(  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        self, key: object, default: object = None
    ) -> Connection | None:
        del default
        self.asked += 1
        return super().get(cast("curae.ConnectionId", key))

    def __iter__(self) -> Iterator[curae.ConnectionId]:
        raise AssertionError("the store looks at all of them")

    def values(self) -> NoReturn:
        raise AssertionError("the store looks at all of them")

    def items(self) -> NoReturn:
        raise AssertionError("the store looks at all of them")


def long_chain(length: int) -> list[Connection]:
    """A chain whose every connection but the last was revoked."""
    chain = [pending()]
    for number in range(2, length + 1):
        chain[-1] = apply_trigger(chain[-1], "APP", at(number))
        chain.append(subjects.recovered(chain[-1], at(number), number))
    return chain


def test_successor_and_head_are_found_without_walking_the_chain() -> None:
    chain = long_chain(500)
    made = world(curae.Settings(), *chain)
    made._connections = Counted(made._connections)
    made._successors = Counted(made._successors)
    made._heads = Counted(made._heads)
    for place in (0, 1, 250, 498, 499):
        before = made._connections.asked + made._successors.asked
        loaded = made.load(curae.needs(call(GetConnection(chain[place].id), None)))
        assert made._connections.asked + made._successors.asked == before + 2
        assert loaded.connection is chain[place]
        is_head = place == 499
        assert loaded.successor is (None if is_head else chain[place + 1])
        assert loaded.head is (None if is_head else chain[-1])
        fact = curae.Authorized(chain[place].id)
        held = made.load_fact(fact)
        assert (held.connection, held.successor, held.head) == (
            loaded.connection,
            loaded.successor,
            loaded.head,
        )
        assert held.following == ()


def test_the_head_is_the_last_of_its_chain_whichever_is_written_last() -> None:
    chain = long_chain(3)
    made = world(curae.Settings(), *chain)
    for each in reversed(chain):
        assert made.store((ConnectionWrite(each, relied_on(each)),))
    loaded = made.load(curae.needs(call(GetConnection(ID), None)))
    assert (loaded.successor, loaded.head) == (relied_on(chain[1]), relied_on(chain[2]))


def test_a_whole_chain_is_loaded_where_it_ends_from_any_place_of_it() -> None:
    chain = long_chain(300)
    for place in (0, 150, 299):
        made = world(curae.Settings(), *chain)
        fact = curae.Revoked(chain[place].id, curae.Actor.PATIENT)
        held = made.load_fact(fact)
        assert (held.connection, held.following) == (chain[place], tuple(chain[place + 1 :]))
        assert isinstance(made.record(fact, at(400)), curae.Done)
        head = made.connection(chain[-1].id)
        assert head is not None
        assert head.status is Status.REVOKED


def test_a_user_s_connections_are_found_without_looking_at_anybody_else_s() -> None:
    mine, other = long_chain(3), attrs.evolve(COORDINATE, app_user_id=AppUserId("user-2"))
    theirs = [
        attrs.evolve(each, identity=attrs.evolve(each.identity, coordinate=other))
        for each in (pending(number=number) for number in range(10, 400))
    ]
    made = world(curae.Settings(), *theirs, *mine)
    made._connections = Counted(made._connections)
    fact = curae.Tombstoned(COORDINATE)
    assert made.load_fact(fact).connections == tuple(mine)
    assert made.load_fact(curae.Tombstoned(other)).connections == tuple(theirs)
    nobody = attrs.evolve(COORDINATE, environment=curae.Environment.TEST)
    assert made.load_fact(curae.Tombstoned(nobody)).connections == ()
    assert made.load_fact(curae.Graduated(COORDINATE)).connections == ()
    moved = relied_on(mine[1])
    assert made.store((ConnectionWrite(mine[1], moved),))
    assert set(made.load_fact(fact).connections) == {mine[0], moved, mine[2]}


OWNERS = [
    attrs.evolve(CALLER, app_id=AppId("app-2")),
    attrs.evolve(CALLER, customer_account_id=CustomerAccountId(uuid(99))),
    attrs.evolve(CALLER, environment=curae.Environment.TEST),
]


@pytest.mark.parametrize("owner", OWNERS)
def test_a_key_that_is_registered_again_for_another_owner_replays_nothing(
    owner: curae.Caller,
) -> None:
    made = world(curae.Settings(buckets=(BUCKET,)))
    first = made.handle(request("create"), START, new_ids(1))
    made.register(curae.ApiKey(API_KEY), owner)
    second = made.handle(request("create"), START, new_ids(2))
    assert (second.response.status, second.replayed) == (201, False)
    assert minted(second, "connection") != minted(first, "connection")
    third = made.handle(request("create", key="k-2"), START, new_ids(3))
    assert third.response.status == 201, "a bucket of its own, of two tokens"
    full = made.handle(request("create", key="k-3"), START, new_ids(4))
    assert (full.response.status, code(full)) == (429, "RATE_LIMITED")
    # Neither is lost to the first owner.
    made.register(curae.ApiKey(API_KEY), attrs.evolve(CALLER, scopes=frozenset()))
    made.register(curae.ApiKey(API_KEY), CALLER)
    again = made.handle(request("create"), START, new_ids(5))
    assert (again.replayed, again.response) == (True, first.response)
    assert code(made.handle(request("create", key="k-4"), START, new_ids(6))) == "RATE_LIMITED"


# --- Bounds and deadlines ---------------------------------------------------------------------


def test_a_full_store_refuses_what_is_new_and_evicts_nothing_live() -> None:
    made = world(capacity=1)
    first = made.handle(request("create"), START, new_ids(1))
    answer = made.handle(request("create", key="k-2"), START, new_ids(2))
    assert (answer.response.status, code(answer)) == (500, "INTERNAL")
    assert document(answer)["retryable"] is True
    assert (answer.changes.writes, answer.rules) == ((), ("request.room",))
    assert made.connection(curae.ConnectionId(uuid(2))) is None
    replay = made.handle(request("create"), START, new_ids(3))
    assert (replay.replayed, replay.response) == (True, first.response)
    assert isinstance(made.record(curae.Authorized(ID), at(1)), curae.Done), (
        "what is stored still moves"
    )


KINDS: dict[str, Write] = {
    "Connection": ConnectionWrite(None, pending(number=2)),
    **{type(write).__name__.removesuffix("Write"): write for write in written_by("initiate")},
}


@pytest.mark.parametrize("kind", ["Connection", "Session", "Binding", "Record", "Rate"])
def test_a_full_store_names_the_kind_that_found_no_room(kind: str) -> None:
    made = curae.MemoryStore(capacity=0)
    with pytest.raises(StoreFullError, match=f"0 values of kind {kind}") as raised:
        made.store((KINDS[kind],))
    assert (raised.value.kind, raised.value.capacity) == (kind, 0)


def test_writes_that_find_room_one_by_one_and_not_together_store_nothing() -> None:
    made = curae.MemoryStore(capacity=1)
    both = (ConnectionWrite(None, pending()), ConnectionWrite(None, pending(number=2)))
    with pytest.raises(StoreFullError):
        made.store(both)
    assert made.connection(ID) is None
    assert made.store(both[:1])


@given(st.integers(1, 24 * 60 * 60))
def test_a_record_is_purged_at_its_deadline_and_never_before(seconds: int) -> None:
    made = world(capacity=1)
    now = START + timedelta(seconds=seconds)
    made.handle(request("create"), now, new_ids(1, now))
    deadline = now + timedelta(hours=24)
    assert made.handle(request("create"), deadline - TICK, new_ids(2, deadline)).replayed
    dropped = deadline + TOLERANCE
    assert made.purge(dropped - TICK) == 0, "another worker's clock may be behind"
    assert made.purge(dropped) == 1
    assert made.purge(dropped) == 0
    snapshot = made.load(curae.needs(call(CreateConnection(server.USER, server.PACKAGES))))
    assert snapshot.record is None


def test_a_rate_limit_is_purged_when_it_would_admit_everything_again() -> None:
    made = world(curae.Settings(buckets=(BUCKET,)))
    made.handle(request("account-state"), START)
    made.handle(request("account-state"), at(0.5))
    full = at(2) + TOLERANCE
    assert made.purge(full - TICK) == 0, "the bucket fills in two minutes from the first charge"
    assert made.purge(full) == 1
    made.handle(request("graduation"), at(8), new_ids(1, at(8)))
    fresh = at(9) + TOLERANCE
    assert made.purge(fresh - TICK) == 0
    assert made.purge(fresh) == 2, "the app user's log, and the bucket"


def test_a_record_past_its_retention_is_replaced_and_lives_its_own_day() -> None:
    made = world()
    for day in (0, 1):
        now = at(day * 24 * 60)
        answer = made.handle(request("create"), now, new_ids(1 + day, now))
        assert not answer.replayed
    dropped = at(48 * 60) + TOLERANCE
    assert made.purge(dropped - TICK) == 0
    assert made.purge(dropped) == 1


def test_replaced_buckets_are_full_and_leave_the_app_users_alone() -> None:
    made = world(curae.Settings(buckets=(BUCKET,)))
    for number in range(2):
        made.handle(request("initiate", key=f"k-{number}"), START, new_ids(number))
    assert code(made.handle(request("account-state"), START)) == "RATE_LIMITED"
    other = curae.Bucket("other", 100, 1, 60)
    made.replace_buckets((BUCKET, other))
    assert made.settings.buckets == (BUCKET, other)
    assert made.handle(request("account-state"), START).response.status == 200
    made.replace_buckets((other,))
    answers = [
        made.handle(request("initiate", key=f"l-{number}"), START, new_ids(10 + number))
        for number in range(9)
    ]
    assert [answer.response.status for answer in answers] == [201] * 8 + [429]
    made.replace_buckets(())
    assert made.purge(at(60)) == 1, "the app user's log; the buckets went when they were replaced"
