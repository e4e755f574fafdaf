"""The world in memory: compare and set, bounded, purged at deadlines and never before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, Status
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import ConnectionId, DataPackage, SessionId, UserId
from curae_lifecycle.service.call import Decision
from curae_lifecycle.service.changes import BindingWrite, ConnectionWrite, Write
from curae_lifecycle.service.decide import decide, needs
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import record_fact
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.stores.memory import MemoryStore, StoreFullError
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, bearer
from curae_lifecycle.web.respond import Answer, respond
from tests.server import (
    API_KEY,
    CALLER,
    ID,
    OPERATIONS,
    PACKAGES,
    USER,
    call,
    code,
    document,
    new_ids,
    request,
    successor,
    world,
)
from tests.strategies import COORDINATE, START, TICK, apply_event, at, pending, uuid

BUCKET = Bucket("platform", 2, 1, 60)
REVOKED = apply_event(pending(), "APP", START)


def minted(answer: Answer, member: str) -> str:
    """The id of an answer's connection or session."""
    value = document(answer)[member]
    assert isinstance(value, dict)
    return str(value["id"])


# --- As a server uses it ----------------------------------------------------------------------


def serve(made: MemoryStore, asked: Request, now: datetime, ids: NewIds) -> Answer:
    """The whole of a server: find the caller, read, load, decide, respond, store."""
    settings = made.settings
    reading = read(asked, made.caller(bearer(asked)), now, settings)
    if isinstance(reading, Decision):
        return respond(reading, settings)
    while True:
        snapshot = made.load(needs(reading, settings))
        answer = respond(decide(reading, snapshot, now, ids, settings), settings)
        if made.store(answer.changes.writes):
            return answer


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_server_of_twenty_lines_answers_as_the_world_does(operation: str) -> None:
    settings = Settings(buckets=(BUCKET,))
    made, other = world(settings, REVOKED), world(settings, REVOKED)
    for ids in (new_ids(2), new_ids(3)):
        assert serve(made, request(operation), START, ids) == other.handle(
            request(operation), START, ids
        )


def test_the_seed_s_story_runs_through_a_world() -> None:
    made = world()
    answer = made.handle(request("create"), START, new_ids(1))
    assert (answer.response.status, code(answer)) == (201, None)
    done = made.record(Authorized(ID, at(60)), at(1))
    assert isinstance(done, Done)
    granted = made.ask(ID, DataPackage("labs"), at(2))
    assert granted is not None
    assert type(granted).__name__ == "Granted"
    assert made.ask(ConnectionId(uuid(9)), DataPackage("labs"), at(2)) is None
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
    stored = made.session(SessionId(minted(answer, "session")))
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
    completed = HandoffCompleted(SessionId(minted(answer, "session")), UserId("u-7"))
    assert isinstance(made.record(completed, at(1)), Done)
    assert isinstance(made.record(completed, at(2)), Ignored)
    bound = LimitedAccountAppBinding(COORDINATE, UserId("u-7"), AccountState.ACTIVE, 1)
    assert made.binding(COORDINATE) == bound
    assert isinstance(made.record(Tombstoned(COORDINATE), at(3)), Done)
    assert made.binding(COORDINATE) == attrs.evolve(bound, state=AccountState.TOMBSTONED)
    assert isinstance(made.record(Revoked(ID, Actor.PATIENT), at(3)), Refused)


def test_a_patient_ends_a_chain_in_one_commit() -> None:
    made = world(Settings(), REVOKED, successor())
    assert isinstance(made.record(Revoked(ID, Actor.PATIENT), at(1)), Done)
    head = made.connection(ConnectionId(uuid(2)))
    assert head is not None
    assert (head.status, head.revoked_by) == ("REVOKED", Actor.PATIENT)
    assert made.connection(ID) is REVOKED


def test_an_unknown_key_and_none_stand_for_nobody() -> None:
    made = world()
    assert made.caller(None) is None
    assert made.caller(ApiKey("cae_live_other")) is None
    assert made.caller(ApiKey(API_KEY)) is CALLER
    replaced = attrs.evolve(CALLER, scopes=frozenset())
    made.register(ApiKey(API_KEY), replaced)
    assert made.caller(ApiKey(API_KEY)) is replaced


def test_ids_that_are_in_use_already_are_a_mistake_and_nothing_waits_for_ever() -> None:
    made = world(Settings(), pending())
    with pytest.raises(ArgumentError, match="new_ids"):
        made.handle(request("create"), START, new_ids(1))
    made.handle(request("initiate", key="k-2"), START, new_ids(1))
    with pytest.raises(ArgumentError, match="new_ids"):
        made.handle(request("initiate", key="k-3"), START, new_ids(1))


# --- Compare and set --------------------------------------------------------------------------

ACTIVE = apply_event(pending(), "authorize", at(1))
BINDING = LimitedAccountAppBinding(COORDINATE, UserId("u-1"), AccountState.LIMITED, 1)


def written_by(operation: str) -> tuple[Write, ...]:
    """All writes of a request that was decided on an empty world."""
    made = world(Settings(buckets=(BUCKET,)))
    reading = read(request(operation), CALLER, START, made.settings)
    assert not isinstance(reading, Decision)
    snapshot = made.load(needs(reading, made.settings))
    decision = decide(reading, snapshot, START, new_ids(1), made.settings)
    return respond(decision, made.settings).changes.writes


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
    made = world(Settings(), pending())
    revoked = apply_event(pending(), "PATIENT", at(1))
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
    made = world(Settings(), REVOKED, successor())
    identity = attrs.evolve(successor().identity, id=ConnectionId(uuid(3)))
    rival = attrs.evolve(successor(), identity=identity)
    assert not made.store((ConnectionWrite(None, rival),))
    assert made.connection(rival.id) is None
    loaded = made.load(needs(call(GetConnection(ID), None)))
    assert (loaded.connection, loaded.following) == (REVOKED, (successor(),))


def test_a_late_authorization_and_a_reconnect_cannot_both_be_stored() -> None:
    # Each was decided on what the other had not yet written.
    late, later = Authorized(ID, happened_at=at(29)), at(31)
    asked = call(Reconnect(ID))
    for authorized_first in (True, False):
        made = world(Settings(), pending())
        authorized = record_fact(late, made.load_fact(late), later)
        assert isinstance(authorized, Done)
        recovered = decide(asked, made.load(needs(asked)), later, new_ids(2, later))
        both = [authorized.value.writes, recovered.changes.writes]
        first, second = both if authorized_first else both[::-1]
        assert made.store(first)
        assert not made.store(second)


def test_a_patient_s_revocation_leaves_no_successor_that_it_did_not_see() -> None:
    made = world(Settings(), apply_event(pending(), "require action", at(1)))
    revoked = record_fact(
        Revoked(ID, Actor.PATIENT), made.load_fact(Revoked(ID, Actor.PATIENT)), at(3)
    )
    assert isinstance(revoked, Done)
    asked = call(Reconnect(ID))
    recovered = decide(asked, made.load(needs(asked)), at(2), new_ids(2, at(2)))
    assert made.store(recovered.changes.writes)
    assert not made.store(revoked.value.writes)
    assert isinstance(made.record(Revoked(ID, Actor.PATIENT), at(3)), Done)
    following = made.load(needs(asked)).following
    assert [each.status for each in following] == [Status.REVOKED]


def race(made: MemoryStore, operation: str, keys: list[str]) -> list[Answer]:
    """Send one request for each key, in threads that start together."""
    barrier = Barrier(len(keys))

    def send(number: int, key: str) -> Answer:
        barrier.wait()
        return made.handle(request(operation, key=key), START, new_ids(2 + number))

    with ThreadPoolExecutor(len(keys)) as pool:
        return list(pool.map(send, range(len(keys)), keys))


EIGHT = [f"k-{number}" for number in range(8)]


def test_racing_reconnects_make_one_successor() -> None:
    made = world(Settings(), REVOKED)
    answers = race(made, "reconnect", EIGHT)
    assert len({minted(answer, "connection") for answer in answers}) == 1
    assert len(made.load(needs(call(GetConnection(ID), None))).following) == 1
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
    answers = race(world(Settings(), pending()), "revoke", EIGHT)
    assert sorted(str(document(answer)["revokedNow"]) for answer in answers) == (
        ["False"] * 7 + ["True"]
    )


class Interrupted(MemoryStore):
    """A world in which somebody else is faster, once."""

    def __init__(self, rival: Write) -> None:
        super().__init__()
        self.register(ApiKey(API_KEY), CALLER)
        self.rivals = [(rival,), (ConnectionWrite(None, pending()),)]
        assert self.store(())

    def store(self, writes: tuple[Write, ...]) -> bool:
        if self.rivals:
            assert super().store(self.rivals.pop())
        return super().store(writes)


def test_the_loser_of_a_race_decides_again_on_what_it_finds() -> None:
    revoked = apply_event(pending(), "PATIENT", START)
    made = Interrupted(ConnectionWrite(pending(), revoked))
    answer = made.handle(request("revoke"), at(1))
    assert document(answer)["revokedNow"] is False
    assert made.connection(ID) is revoked
    made = Interrupted(ConnectionWrite(pending(), revoked))
    assert isinstance(made.record(Authorized(ID), at(1)), Refused)
    assert made.connection(ID) is revoked


# --- Bounds and deadlines ---------------------------------------------------------------------


def test_a_full_world_refuses_what_is_new_and_evicts_nothing_live() -> None:
    made = world(capacity=1)
    first = made.handle(request("create"), START, new_ids(1))
    answer = made.handle(request("create", key="k-2"), START, new_ids(2))
    assert (answer.response.status, code(answer)) == (500, "INTERNAL")
    assert document(answer)["retryable"] is True
    assert (answer.changes.writes, answer.rules) == ((), ("request.room",))
    assert made.connection(ConnectionId(uuid(2))) is None
    replay = made.handle(request("create"), START, new_ids(3))
    assert (replay.replayed, replay.response) == (True, first.response)
    assert isinstance(made.record(Authorized(ID), at(1)), Done), "what is stored still moves"


KINDS: dict[str, Write] = {
    "Connection": ConnectionWrite(None, pending(number=2)),
    **{type(write).__name__.removesuffix("Write"): write for write in written_by("initiate")},
}


@pytest.mark.parametrize("kind", ["Connection", "Session", "Binding", "Record", "Rate"])
def test_a_full_world_names_the_kind_that_found_no_room(kind: str) -> None:
    made = MemoryStore(capacity=0)
    with pytest.raises(StoreFullError, match=f"0 values of kind {kind}") as raised:
        made.store((KINDS[kind],))
    assert (raised.value.kind, raised.value.capacity) == (kind, 0)


def test_writes_that_find_room_one_by_one_and_not_together_store_nothing() -> None:
    made = MemoryStore(capacity=1)
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
    assert made.purge(deadline - TICK) == 0
    assert made.handle(request("create"), deadline - TICK, new_ids(2, deadline)).replayed
    assert made.purge(deadline) == 1
    assert made.purge(deadline) == 0
    snapshot = made.load(needs(call(CreateConnection(USER, PACKAGES))))
    assert snapshot.record is None


def test_a_rate_limit_is_purged_when_it_would_admit_everything_again() -> None:
    made = world(Settings(buckets=(BUCKET,)))
    made.handle(request("account-state"), START)
    made.handle(request("account-state"), at(0.5))
    assert made.purge(at(2) - TICK) == 0, "the bucket fills in two minutes from the first charge"
    assert made.purge(at(2)) == 1
    made.handle(request("graduation"), at(3), new_ids(1, at(3)))
    assert made.purge(at(4) - TICK) == 0
    assert made.purge(at(4)) == 2, "the app user's log, and the bucket"


def test_a_record_past_its_retention_is_replaced_and_lives_its_own_day() -> None:
    made = world()
    for day in (0, 1):
        now = at(day * 24 * 60)
        answer = made.handle(request("create"), now, new_ids(1 + day, now))
        assert not answer.replayed
    assert made.purge(at(48 * 60) - TICK) == 0
    assert made.purge(at(48 * 60)) == 1


def test_replaced_buckets_are_full_and_leave_the_app_users_alone() -> None:
    made = world(Settings(buckets=(BUCKET,)))
    for number in range(2):
        made.handle(request("initiate", key=f"k-{number}"), START, new_ids(number))
    assert code(made.handle(request("account-state"), START)) == "RATE_LIMITED"
    other = Bucket("other", 100, 1, 60)
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
