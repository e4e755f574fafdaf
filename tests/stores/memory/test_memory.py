"""Tests of `MemoryStore`: use by a server, and compare and set."""

from __future__ import annotations

from datetime import datetime
from typing import cast

import attrs
import pytest

import curae_lifecycle as curae
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Status
from curae_lifecycle.rules.values import DataPackage
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, Write
from curae_lifecycle.web.respond import Answer
from tests.support import server, subjects
from tests.support.instants import (
    access_at,
    caller_at,
    clock_at,
    commit_writes,
    handle_at,
    record_at,
)
from tests.support.memory import ACTIVE, BUCKET, REVOKED, minted, written_by
from tests.support.server import API_KEY, CALLER, ID, call, code, document, new_ids, request, world
from tests.support.strategies import COORDINATE, START, apply_trigger, at, pending, uuid

# --- As a server uses it ----------------------------------------------------------------------


def serve(
    made: curae.MemoryStore, asked: curae.Request, now: datetime, ids: curae.NewIds
) -> Answer:
    """Serve a request: find the caller, read, load, decide, respond, commit."""
    reading = curae.read(
        asked, caller=caller_at(made, curae.bearer(asked)), now=now, settings=made.settings
    )
    if isinstance(reading, curae.Decision):
        return curae.respond(reading)
    while True:
        with clock_at(made, now):
            loaded = made.load(reading.needs)
        answer = curae.respond(
            curae.decide(reading, snapshot=loaded.snapshot, now=loaded.now, new_ids=ids)
        )
        if made.commit(loaded, answer.changes):
            return answer


@pytest.mark.parametrize("operation", server.OPERATIONS)
def test_handwritten_server_gives_the_same_responses_as_serve(operation: str) -> None:
    settings = curae.Settings(buckets=(BUCKET,))
    made, other = world(settings, REVOKED), world(settings, REVOKED)
    for ids in (new_ids(2), new_ids(3)):
        assert serve(made, asked=request(operation), now=START, ids=ids) == handle_at(
            other, request(operation), START, new_ids=ids
        )


def test_each_request_sees_the_changes_of_earlier_requests() -> None:
    made = world()
    answer = handle_at(made, request("create"), START, new_ids=new_ids(1))
    assert (answer.response.status, code(answer)) == (201, None)
    done = record_at(made, curae.Authorized(ID, at(60)), at(1))
    assert isinstance(done, curae.Done)
    granted = access_at(made, ID, DataPackage("labs"), now=at(2))
    assert granted is not None
    assert type(granted).__name__ == "Granted"
    assert access_at(made, curae.ConnectionId(uuid(9)), DataPackage("labs"), now=at(2)) is None
    assert code(
        handle_at(made, request("reconnect", key="k-2"), at(3), new_ids=new_ids(2, at(3)))
    ) == ("CONNECTION_NOT_RECONNECTABLE")
    answer = handle_at(made, request("reconnect", key="k-3"), at(60), new_ids=new_ids(2, at(60)))
    assert document(answer)["previousConnectionId"] == ID
    answer = handle_at(made, request("revoke", id=uuid(2), key="k-4"), at(61))
    assert document(answer)["revokedNow"] is True
    answer = handle_at(made, request("revoke", id=uuid(2), key="k-5"), at(62))
    assert document(answer)["revokedNow"] is False

    answer = handle_at(made, request("initiate", key="k-6"), at(63), new_ids=new_ids(3, at(63)))
    stored = made.session(curae.SessionId(minted(answer, "session")))
    assert stored is not None
    assert stored.user_id == "limited-3"
    bound = made.binding(COORDINATE)
    assert bound is not None
    assert (bound.user_id, bound.state) == ("limited-3", AccountState.LIMITED)
    answer = handle_at(made, request("account-state"), at(64))
    assert document(answer) == {"lifecycleState": "LIMITED"}
    assert (
        handle_at(made, request("graduation"), at(64), new_ids=new_ids(4, at(64))).response.status
        == 201
    )


def test_memory_store_applies_a_fact_once_and_ignores_its_repeat() -> None:
    made = world()
    body = b'{"appUserId":"user-1","preferSignup":true}'
    answer = handle_at(made, request("initiate", body=body), START, new_ids=new_ids(1))
    completed = curae.HandoffCompleted(
        curae.SessionId(minted(answer, "session")), curae.UserId("u-7")
    )
    assert isinstance(record_at(made, completed, at(1)), curae.Done)
    assert isinstance(record_at(made, completed, at(2)), curae.Ignored)
    bound = LimitedAccountAppBinding(
        coordinate=COORDINATE, user_id=curae.UserId("u-7"), state=AccountState.ACTIVE, generation=1
    )
    assert made.binding(COORDINATE) == bound
    assert isinstance(record_at(made, curae.Tombstoned(COORDINATE), at(3)), curae.Done)
    assert made.binding(COORDINATE) == attrs.evolve(
        bound, state=AccountState.TOMBSTONED, version=3, era=at(3), tombstoned_at=at(3)
    )
    assert isinstance(record_at(made, curae.Revoked(ID, curae.Actor.PATIENT), at(3)), curae.Refused)


def test_patient_revoking_old_connection_revokes_its_successor() -> None:
    made = world(curae.Settings(), REVOKED, server.successor())
    assert isinstance(record_at(made, curae.Revoked(ID, curae.Actor.PATIENT), at(1)), curae.Done)
    head = made.connection(curae.ConnectionId(uuid(2)))
    assert head is not None
    assert (head.status, head.revoked_by) == ("REVOKED", curae.Actor.PATIENT)
    assert made.connection(ID) is REVOKED


def test_unknown_or_missing_api_key_has_no_caller() -> None:
    made = world()
    assert caller_at(made, None) is None
    assert caller_at(made, curae.ApiKey("cae_live_other")) is None
    assert caller_at(made, curae.ApiKey(API_KEY)) is CALLER
    replaced = attrs.evolve(CALLER, scopes=frozenset())
    made.register(curae.ApiKey(API_KEY), replaced)
    assert caller_at(made, curae.ApiKey(API_KEY)) is replaced


# --- Compare and set --------------------------------------------------------------------------

BINDING = LimitedAccountAppBinding(
    coordinate=COORDINATE, user_id=curae.UserId("u-1"), state=AccountState.LIMITED, generation=1
)


@pytest.mark.parametrize("operation", ["create", "initiate"])
def test_commit_stores_nothing_if_one_of_its_writes_conflicts(operation: str) -> None:
    writes = written_by(operation)
    for write in writes:
        made = world()
        assert commit_writes(made, (write,))
        untouched = [each for each in writes if each is not write]
        assert not commit_writes(made, writes), f"{type(write).__name__} was written in between"
        assert commit_writes(made, tuple(untouched)), "and nothing of the rest was stored"


def test_update_of_a_value_changed_since_it_was_read_conflicts() -> None:
    made = world(curae.Settings(), pending())
    revoked = apply_trigger(pending(), "PATIENT", at(1))
    assert commit_writes(made, (ConnectionWrite(pending(), ACTIVE),))
    assert not commit_writes(made, (ConnectionWrite(pending(), revoked),))
    assert made.connection(ID) is ACTIVE
    assert not commit_writes(made, (ConnectionWrite(None, revoked),)), "the id is taken"
    assert commit_writes(made, (BindingWrite(None, BINDING),))
    assert not commit_writes(made, (BindingWrite(None, BINDING),))
    assert not commit_writes(
        made,
        (
            ConnectionWrite(ACTIVE, revoked),
            BindingWrite(attrs.evolve(BINDING, generation=2), BINDING),
        ),
    )
    assert made.connection(ID) is ACTIVE


def test_commit_of_a_second_successor_conflicts() -> None:
    made = world(curae.Settings(), REVOKED, server.successor())
    identity = attrs.evolve(server.successor().identity, id=curae.ConnectionId(uuid(3)))
    rival = attrs.evolve(server.successor(), identity=identity)
    assert not commit_writes(made, (ConnectionWrite(None, rival),))
    assert made.connection(rival.id) is None
    loaded = made.load(call(GetConnection(ID), None).needs).snapshot
    second = server.successor()
    assert (loaded.connection, loaded.successor, loaded.head) == (REVOKED, second, second)


def test_commit_of_a_new_connection_with_a_used_id_conflicts() -> None:
    made = world(curae.Settings(), ACTIVE)
    identity = attrs.evolve(server.successor().identity, id=ID)
    rival = attrs.evolve(server.successor(), identity=identity)
    assert not commit_writes(made, (ConnectionWrite(None, rival),))
    assert made.connection(ID) is ACTIVE


def test_authorize_and_concurrent_reconnect_cannot_both_commit() -> None:
    # Each was decided without the write of the other.
    late, later = curae.Authorized(ID, happened_at=at(29)), at(31)
    asked = call(Reconnect(ID))
    for authorized_first in (True, False):
        made = world(curae.Settings(), pending())
        authorized = curae.record_fact(late, made.load(late.needs()).snapshot, later)
        assert isinstance(authorized, curae.Done)
        recovered = curae.decide(
            asked, snapshot=made.load(asked.needs).snapshot, now=later, new_ids=new_ids(2, later)
        )
        both = [authorized.value.writes, recovered.changes.writes]
        first, second = both if authorized_first else both[::-1]
        assert commit_writes(made, first)
        assert not commit_writes(made, second)


def test_patient_revocation_conflicts_if_a_successor_was_added() -> None:
    made = world(curae.Settings(), subjects.needing_action(pending(), at(1)))
    revoked = curae.record_fact(
        curae.Revoked(ID, curae.Actor.PATIENT),
        made.load(curae.Revoked(ID, curae.Actor.PATIENT).needs()).snapshot,
        at(3),
    )
    assert isinstance(revoked, curae.Done)
    asked = call(Reconnect(ID))
    recovered = curae.decide(
        asked, snapshot=made.load(asked.needs).snapshot, now=at(2), new_ids=new_ids(2, at(2))
    )
    assert commit_writes(made, recovered.changes.writes)
    assert not commit_writes(made, revoked.value.writes)
    assert isinstance(record_at(made, curae.Revoked(ID, curae.Actor.PATIENT), at(3)), curae.Done)
    successor = made.load(asked.needs).snapshot.successor
    assert successor is not None
    assert successor.status is Status.REVOKED


class Interrupted(curae.MemoryStore):
    """A store in which another writer commits first, once."""

    def __init__(self, rival: Write) -> None:
        super().__init__()
        self.register(curae.ApiKey(API_KEY), CALLER)
        self.rivals = [(rival,), (ConnectionWrite(None, pending()),)]
        assert self._store(())

    def _store(self, writes: tuple[Write, ...]) -> bool:
        if self.rivals:
            assert super()._store(self.rivals.pop())
        return super()._store(writes)


def test_request_or_fact_is_decided_again_after_commit_conflict() -> None:
    revoked = apply_trigger(pending(), "PATIENT", START)
    made = Interrupted(ConnectionWrite(pending(), revoked))
    answer = handle_at(made, request("revoke"), at(1))
    assert document(answer)["revokedNow"] is False
    assert made.connection(ID) is revoked
    made = Interrupted(ConnectionWrite(pending(), revoked))
    assert isinstance(record_at(made, curae.Authorized(ID), at(1)), curae.Refused)
    assert made.connection(ID) is revoked


def test_memory_store_argument_of_a_wrong_type_raises() -> None:
    with pytest.raises(curae.ArgumentError, match=r"^settings: must be Settings, .* not a str$"):
        curae.MemoryStore(cast("curae.Settings", "live"))
    store = curae.MemoryStore()
    with pytest.raises(curae.ArgumentError, match=r"^api_key: must be an ApiKey, not a str$"):
        store.register(cast("curae.ApiKey", "cae_live_k1"), CALLER)
    with pytest.raises(curae.ArgumentError, match=r"^caller: must be a Caller, not None$"):
        store.register(curae.ApiKey("cae_live_k1"), cast("curae.Caller", None))
