"""Deciding one request: needs, records, fingerprints, snapshot checks and laws."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime
from typing import Final

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curae_lifecycle import ArgumentError, Bucket, ConnectionId, Settings, Snapshot
from curae_lifecycle.rules import idempotency
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.values import AppId, AppUserId, Coordinate, SessionId
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide, fingerprint
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import ConnectionShown, GetConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation, ProblemReply, Replayed
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import ConnectionRevoked, Revoke
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey
from curae_lifecycle.service.snapshot import ChainPart, ConnectionsPage, Needs
from curae_lifecycle.testing import laws
from curae_lifecycle.web.respond import respond
from tests.support import server
from tests.support.server import ID, USER, call, new_ids, written
from tests.support.strategies import (
    COORDINATE,
    START,
    TICK,
    apply_trigger,
    at,
    connections,
    instants,
    pending,
    uuid,
)

EVERY: tuple[Operation, ...] = (*server.MUTATIONS, *server.OTHERS)
BUCKET = Bucket(name="platform", capacity=1, refill=1, seconds=60)
LIMITED_BY_BUCKET = Settings(buckets=(BUCKET,))


@pytest.mark.parametrize("operation", EVERY)
def test_each_operation_declares_the_expected_values_to_load(operation: Operation) -> None:
    needed = NEEDED[operation.rule.name]
    key = "k-1" if operation in server.MUTATIONS else None
    limit = {"initiate": "initiate", "graduation-handoff": "graduation"}.get(operation.rule.name)
    asked = attrs.evolve(call(operation, key), settings=LIMITED_BY_BUCKET)
    assert asked.needs == Needs(
        record=RECORD if "record" in needed else None,
        buckets=(BucketKey(server.CALLER.key_owner, BUCKET),),
        limit=LimitKey(COORDINATE.app_user, limit) if limit else None,
        connection=ID if "connection" in needed else None,
        binding=COORDINATE if "binding" in needed else None,
    )


NEEDED = {
    "create-connection": {"record", "binding"},
    "get-connection": {"connection"},
    "reconnect": {"record", "connection"},
    "revoke": {"record", "connection"},
    "initiate": {"record", "binding"},
    "account-state": {"binding"},
    "graduation-handoff": {"binding"},
}
RECORD = idempotency.RecordKey(server.CALLER.key_owner, idempotency.IdempotencyKey("k-1"))
EVERY_NEED = Needs(
    connection=ID,
    chain=ID,
    chain_part=ChainPart(1),
    session=SessionId(uuid(1)),
    binding=COORDINATE,
    connections=ConnectionsPage(COORDINATE),
    page="digest",
)


class GetEverything(GetConnection):
    """An operation that needs a value of each kind."""

    def needs(self, caller: Caller) -> Needs:
        """Return a key of each kind, for any caller."""
        del caller
        return EVERY_NEED


def test_server_loads_every_value_that_an_operation_needs() -> None:
    names = {field.name for field in attrs.fields(Needs)} - {"record", "buckets", "limit"}
    kept = call(GetEverything(ID)).needs
    for name in names:
        assert getattr(kept, name) == getattr(EVERY_NEED, name) is not None, name


# --- Records of keys -----------------------------------------------------------------------


def test_retry_while_in_flight_gets_409_and_charges_only_bucket() -> None:
    asked = attrs.evolve(call(Initiate(USER)), settings=LIMITED_BY_BUCKET)
    attempt = idempotency.begin_attempt(
        None, key=RECORD, fingerprint=fingerprint(asked.operation), now=START
    )
    assert isinstance(attempt, idempotency.Attempt)
    running = idempotency.in_flight_record(attempt, lease=60_000_000)
    snapshot = Snapshot(record=running, buckets=(None,))
    decision = decide(asked, snapshot=snapshot, now=START + TICK, new_ids=new_ids(2))
    assert isinstance(decision.reply, ProblemReply)
    assert decision.reply.problem.details == {"retryAfter": 60}
    assert written(decision.changes.writes) == ["platform"]
    assert (decision.status, decision.attempt, decision.record) == (409, None, None)


def test_request_after_24_hours_replaces_the_idempotency_record() -> None:
    first = respond(
        decide(call(Initiate(USER)), snapshot=Snapshot(), now=START, new_ids=new_ids(1))
    )
    old = first.changes.writes[-1].after
    assert isinstance(old, idempotency.Record)
    asked = call(CreateConnection(USER, server.PACKAGES))
    later = at(24 * 60)
    answer = respond(
        decide(asked, snapshot=Snapshot(record=old), now=later, new_ids=new_ids(2, later))
    )
    write = answer.changes.writes[-1]
    assert written((write,)) == ["record"]
    assert write.before is old
    assert isinstance(write.after, idempotency.Record)
    assert (write.after.token, write.after.first_used_at) == (2, later)


different = st.sampled_from(
    [
        *EVERY,
        CreateConnection(USER, server.PACKAGES[:1]),
        CreateConnection(AppUserId("user-2"), server.PACKAGES),
        Initiate(USER, prefer_signup=True),
        Revoke(ConnectionId(uuid(2))),
    ]
)


@given(different, different)
def test_fingerprints_are_equal_only_for_equal_operations(one: Operation, other: Operation) -> None:
    assert (fingerprint(one) == fingerprint(other)) is (one == other)


@pytest.mark.slow
@given(st.text(min_size=1), st.text(min_size=1))
def test_fingerprint_of_two_values_differs_from_both_joined(one: str, other: str) -> None:
    mark = idempotency.Fingerprint.of("x", [one, other])
    assert mark != idempotency.Fingerprint.of("x", [one + other])
    assert mark != idempotency.Fingerprint.of("x", [one, other, ""])


@attrs.frozen
class Everything(Revoke):
    """An operation with a field of every type that a fingerprint supports."""

    count: int = 1
    flag: bool = False
    since: datetime = START
    note: str | None = None
    tags: tuple[str, ...] = ()


EVERYTHING = Everything(ConnectionId(uuid(1)))


@pytest.mark.parametrize(
    "other",
    [
        attrs.evolve(EVERYTHING, count=2),
        attrs.evolve(EVERYTHING, flag=True),
        attrs.evolve(EVERYTHING, since=at(1)),
        attrs.evolve(EVERYTHING, note="x"),
        attrs.evolve(EVERYTHING, tags=("x",)),
        attrs.evolve(EVERYTHING, connection_id=ConnectionId(uuid(2))),
    ],
)
def test_request_fingerprint_changes_with_each_field_of_a_call(other: Everything) -> None:
    assert fingerprint(EVERYTHING) == fingerprint(Everything(ConnectionId(uuid(1))))
    assert fingerprint(EVERYTHING) != fingerprint(other)


def test_fingerprint_values_are_the_fields_converted_to_text() -> None:
    expected = [uuid(1), "\0=1", "false", "\0=2026-01-01T00:00:00Z", "\0"]
    assert EVERYTHING.fingerprint_values() == expected


# --- Invalid arguments -----------------------------------------------------------------------


def test_operation_that_mints_an_id_raises_without_new_ids() -> None:
    minting = [each for each in EVERY if each.rule.method == "POST" and each != Revoke(ID)]
    for operation in minting:
        with pytest.raises(ArgumentError, match="new_ids"):
            decide(call(operation), Snapshot(connection=pending(), binding=server.LIMITED), START)


OF_A_CONNECTION = [each for each in EVERY if "connection" in NEEDED[each.rule.name]]
OF_A_USER = [each for each in EVERY if "binding" in NEEDED[each.rule.name]]


@pytest.mark.parametrize("operation", OF_A_CONNECTION)
def test_decide_on_a_snapshot_of_another_connection_raises(operation: Operation) -> None:
    for recovered in (None, server.successor()):
        snapshot = Snapshot(connection=pending(number=2), successor=recovered, head=recovered)
        with pytest.raises(ArgumentError, match=r"snapshot\.connection"):
            decide(call(operation), snapshot=snapshot, now=at(40), new_ids=new_ids(9, at(40)))


@pytest.mark.parametrize("operation", OF_A_CONNECTION)
def test_decide_on_a_successor_or_head_of_another_chain_raises(operation: Operation) -> None:
    stranger, recovered = pending(number=3), server.successor()
    for argument, successor, head in (
        ("successor", stranger, stranger),
        ("successor", None, recovered),
        ("head", recovered, stranger),
        ("head", recovered, None),
    ):
        snapshot = Snapshot(connection=pending(), successor=successor, head=head)
        with pytest.raises(ArgumentError, match=rf"snapshot\.{argument}"):
            decide(call(operation), snapshot=snapshot, now=at(40), new_ids=new_ids(9, at(40)))


@pytest.mark.parametrize("operation", OF_A_USER)
@pytest.mark.parametrize(
    "other",
    [
        attrs.evolve(COORDINATE, app_id=AppId("app-2")),
        attrs.evolve(COORDINATE, app_user_id=AppUserId("user-2")),
    ],
)
def test_decide_with_a_binding_of_another_coordinate_raises(
    operation: Operation, other: Coordinate
) -> None:
    elsewhere = attrs.evolve(server.LIMITED, coordinate=other)
    with pytest.raises(ArgumentError, match="binding"):
        decide(call(operation), snapshot=Snapshot(binding=elsewhere), now=START, new_ids=new_ids())


def test_decide_on_a_snapshot_without_its_bucket_state_raises() -> None:
    asked = attrs.evolve(call(Revoke(ID)), settings=LIMITED_BY_BUCKET)
    with pytest.raises(ArgumentError, match=r"snapshot\.buckets"):
        decide(asked, Snapshot(), START)


@pytest.mark.parametrize("operation", EVERY)
def test_naive_now_raises_for_every_operation(operation: Operation) -> None:
    naive = START.replace(tzinfo=None)
    snapshot = Snapshot(connection=pending(), binding=server.LIMITED)
    with pytest.raises(ArgumentError, match="now"):
        decide(call(operation, None), snapshot=snapshot, now=naive, new_ids=new_ids(2))


# --- Laws -------------------------------------------------------------------------------------


def stored_after(stored: tuple[object, ...], changes: Changes) -> tuple[object, ...]:
    """Return the stored values after the writes are committed."""
    after = {id(write.before): write.after for write in changes.writes if write.before is not None}
    return tuple(after.get(id(each), each) for each in stored)


HEAD: Final = server.successor()
REVOKED: Final = apply_trigger(pending(), "APP", START)
"""A connection whose next revocation changes nothing, although its successor is live."""


@given(server.decisions())
@example((call(Revoke(ID)), Snapshot(connection=REVOKED, successor=HEAD, head=HEAD), START))
def test_law_11_refused_or_ignored_requests_change_nothing(
    case: tuple[Call, Snapshot, datetime],
) -> None:
    asked, snapshot, now = case
    decision = decide(asked, snapshot=snapshot, now=now, new_ids=new_ids(9, now))
    match decision.reply:
        case ProblemReply():
            quiet = True
        case ConnectionRevoked(connection):
            quiet = connection is snapshot.connection
        case ConnectionShown(connection):
            quiet = connection is snapshot.connection
        case reply:
            quiet = isinstance(reply, Replayed)
    line = (snapshot.connection, snapshot.successor, snapshot.head)
    stored = (*line, snapshot.limit, snapshot.binding)
    for write in decision.changes.writes:
        known = (None, *stored)
        assert any(write.before is each for each in known), (
            "a write names the stored value before it"
        )
    if quiet:
        kept = (*line, snapshot.binding)
        laws.check_nothing_changed(kept, stored_after(kept, decision.changes), decision.changes)
        # `decide` writes no record; `respond` does, when there is a response.
        assert set(written(decision.changes.writes)) <= {"initiate", "graduation"}


@given(server.decisions())
def test_law_14_decide_is_deterministic_and_mutates_no_input(
    case: tuple[Call, Snapshot, datetime],
) -> None:
    asked, snapshot, now = case
    ids = new_ids(9, now)
    before = deepcopy((asked, snapshot, now, ids))
    decision = laws.check_deterministic(decide, asked, snapshot, now, ids)
    laws.check_deterministic(respond, decision)
    assert (asked, snapshot, now, ids) == before


@given(connections(), instants)
def test_law_15_another_apps_connection_is_decided_like_unknown(
    connection: Connection, now: datetime
) -> None:
    for caller in server.STRANGERS:
        for operation in (GetConnection(ID), Reconnect(ID), Revoke(ID)):
            asked = Call(caller, operation)
            known = decide(
                asked, snapshot=Snapshot(connection=connection), now=now, new_ids=new_ids(9, now)
            )
            unknown = decide(asked, snapshot=Snapshot(), now=now, new_ids=new_ids(9, now))
            laws.check_indistinguishable(respond(known).response, respond(unknown).response)
            assert known == unknown
