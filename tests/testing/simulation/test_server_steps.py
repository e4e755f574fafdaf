"""Tests of a simulated server's other steps: external calls, facts, access, records and purges."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Final

import pytest

from curae_lifecycle.rules.access import Granted
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.idempotency import (
    IdempotencyKey,
    LostLeaseAction,
    Record,
    RecordKey,
    RecordState,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import (
    MINUTE,
    ConnectionId,
    SessionId,
    UserId,
    format_time,
)
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, record_fact
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import ConnectionWrite, RecordWrite
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.testing.simulation import server as simulated
from curae_lifecycle.testing.simulation.server import OpenRequest
from tests.support.server import API_KEY, CALLER, ID, STRANGERS, request
from tests.support.strategies import COORDINATE, START, apply_trigger, at, pending, uuid
from tests.testing.simulation.bench import Bench, ids

KEY: Final = RecordKey(CALLER.key_owner, IdempotencyKey("k-1"))
ACTIVE: Final = apply_trigger(pending(), "authorize", at(1))
DIGEST: Final = ApiKey(API_KEY).digest()


def record(bench: Bench) -> Record:
    """Return the stored record of the key `k-1`."""
    stored = find_record(bench)
    assert stored is not None
    return stored


def find_record(bench: Bench) -> Record | None:
    return MemoryStore.load(bench.store, Needs(record=KEY)).snapshot.record


def begin(
    bench: Bench,
    operation: str = "create",
    *,
    now: datetime = START,
    lost_lease: LostLeaseAction = LostLeaseAction.UNKNOWN,
) -> OpenRequest:
    """Load a request and begin its attempt, with a lease of three minutes."""
    opened = bench.load(request(operation), now)
    answer = bench.server.begin_external_call(
        opened, ids(1), lease=3 * MINUTE, lost_lease=lost_lease
    )
    assert answer is None
    return opened


# --- External calls ---------------------------------------------------------------------------


@pytest.mark.parametrize("lost_lease", LostLeaseAction)
def test_started_external_call_stores_only_an_idempotency_record(
    lost_lease: LostLeaseAction,
) -> None:
    bench = Bench.of()
    opened = begin(bench, lost_lease=lost_lease)
    stored = record(bench)
    assert (stored.state, stored.lost_lease) == (RecordState.IN_FLIGHT, lost_lease)
    assert stored.lease_until == at(3)
    assert opened.attempt is not None
    assert (opened.attempt.key, opened.attempt.token) == (KEY, stored.token)
    assert bench.watch.seen == [("commit", (RecordWrite(KEY, None, stored),), START, None)]
    assert bench.log() == []
    assert bench.store.connection(ID) is None


def test_attempt_whose_first_commit_conflicts_takes_no_lease() -> None:
    bench = Bench.of()
    bench.store.refuses = True
    opened = begin(bench)
    assert opened.attempt is None
    assert bench.watch.seen == []
    assert bench.server.conflicts == 1


def test_replay_of_a_stored_response_starts_no_external_call() -> None:
    bench = Bench.of()
    first = bench.handle(request("create"))
    opened = bench.load(request("create"), at(1))
    answer = bench.server.begin_external_call(
        opened, ids(2), lease=3 * MINUTE, lost_lease=LostLeaseAction.UNKNOWN
    )
    assert answer is not None
    assert answer.replayed
    assert answer.response.body == first.response.body
    assert opened.attempt is None
    assert len(bench.log()) == 2


def test_finished_external_call_stores_response_and_connection() -> None:
    bench = Bench.of()
    opened = begin(bench)
    assert opened.attempt is not None
    bench.watch.commit_count = 4
    before = record(bench)
    bench.store.digests.clear()
    answer = bench.server.finish_external_call(
        opened, attempt=opened.attempt, now=at(0.5), new_ids=ids(2)
    )
    assert answer is not None
    assert answer.response.status == 201
    assert bench.store.digests == [DIGEST]
    stored, created = record(bench), bench.store.connection(ConnectionId(uuid(2)))
    assert created is not None
    assert created.identity.created_at == at(0.5)
    assert (stored.state, stored.response) == (RecordState.COMPLETED, answer.response)
    assert answer.changes.writes.count(RecordWrite(KEY, before, stored)) == 1
    assert [type(each) for each in answer.changes.writes].count(RecordWrite) == 1
    seen = ("response", answer, at(0.5), CALLER, opened.call.needs, 4)
    assert bench.watch.seen[1:] == [seen]
    assert len(bench.log()) == 1
    assert bench.handle(request("create"), 3, at(2)).replayed


def test_external_call_sees_a_revoke_committed_while_it_ran() -> None:
    bench = Bench.of(pending())
    opened = begin(bench, "revoke")
    assert opened.attempt is not None
    bench.handle(request("revoke", key="k-2"))
    answer = bench.server.finish_external_call(
        opened, attempt=opened.attempt, now=at(0.5), new_ids=ids(2)
    )
    assert answer is not None
    assert b'"revokedNow":false' in answer.response.body


def test_external_call_that_ends_in_429_can_be_retried() -> None:
    bench = Bench.of()
    opened = begin(bench, "initiate")
    assert opened.attempt is not None
    for number in range(10):
        bench.handle(request("initiate", key=f"i-{number}"), 100 + number)
    answer = bench.server.finish_external_call(
        opened, attempt=opened.attempt, now=at(0.5), new_ids=ids(2)
    )
    assert answer is not None
    assert answer.response.status == 429
    assert (record(bench).state, record(bench).response) == (RecordState.RELEASED, None)
    released = record(bench)
    assert released.seen_at == at(0.5)
    begin(bench, "initiate", now=at(2))
    assert record(bench).state == RecordState.IN_FLIGHT
    assert bench.watch.seen[-1][1] == (RecordWrite(KEY, released, record(bench)),)


def test_attempt_that_lost_its_lease_changes_nothing() -> None:
    bench = Bench.of()
    opened = begin(bench)
    assert opened.attempt is not None
    before = record(bench)
    assert (
        bench.server.finish_external_call(opened, attempt=opened.attempt, now=at(3), new_ids=ids(2))
        is None
    )
    assert record(bench) == before
    assert (bench.server.conflicts, bench.log()) == (0, [])


def test_external_call_whose_commit_conflicts_has_no_answer() -> None:
    bench = Bench.of()
    opened = begin(bench)
    assert opened.attempt is not None
    bench.store.refuses = True
    assert (
        bench.server.finish_external_call(
            opened, attempt=opened.attempt, now=at(0.5), new_ids=ids(2)
        )
        is None
    )
    assert bench.server.conflicts == 1


def test_renewed_lease_lasts_from_the_renewal() -> None:
    bench = Bench.of()
    opened = begin(bench)
    assert opened.attempt is not None
    before = record(bench)
    bench.store.digests.clear()
    bench.server.renew_lease(opened, opened.attempt, now=at(0.5), lease=2 * MINUTE)
    assert record(bench).lease_until == at(2.5)
    assert bench.store.digests == [DIGEST]
    write = RecordWrite(KEY, before, record(bench))
    assert bench.watch.seen[1:] == [("commit", (write,), at(0.5), None)]


def test_lost_lease_is_not_renewed() -> None:
    bench = Bench.of()
    opened = begin(bench)
    assert opened.attempt is not None
    before = record(bench)
    bench.server.renew_lease(opened, opened.attempt, now=at(3), lease=2 * MINUTE)
    assert record(bench) == before
    assert len(bench.watch.seen) == 1


def test_lease_renewal_that_conflicts_leaves_record_unchanged() -> None:
    bench = Bench.of(watched=False)
    opened = begin(bench)
    assert opened.attempt is not None
    before = record(bench)
    bench.store.refuses = True
    bench.server.renew_lease(opened, opened.attempt, now=at(0.5), lease=2 * MINUTE)
    assert record(bench) == before
    assert bench.server.conflicts == 1


# --- Operators --------------------------------------------------------------------------------


def test_operator_resolves_an_attempt_with_the_latest_404_answer() -> None:
    bench = Bench.of()
    begin(bench)
    bench.handle(request("get", id=uuid(8)))
    missing = bench.handle(request("get", id=uuid(9)))
    bench.handle(request("account-state"))
    assert missing.response.status == 404
    before, seen = record(bench), len(bench.watch.seen)
    bench.server.resolve_attempt(KEY, at(4), took_effect=True)
    stored = record(bench)
    assert (stored.state, stored.response) == (RecordState.COMPLETED, missing.response)
    assert stored.seen_at == at(4)
    write = RecordWrite(KEY, before, stored)
    assert bench.watch.seen[seen:] == [("commit", (write,), at(4), None)]


@pytest.mark.parametrize("took_effect", [True, False])
def test_resolved_attempt_without_effect_or_404_is_released(*, took_effect: bool) -> None:
    bench = Bench.of()
    begin(bench)
    if not took_effect:
        bench.handle(request("get", id=uuid(9)))
    # Without a 404, there is no response to store.
    bench.server.resolve_attempt(KEY, at(4), took_effect=took_effect)
    assert (record(bench).state, record(bench).response) == (RecordState.RELEASED, None)


def test_operator_cannot_resolve_a_missing_or_leased_attempt() -> None:
    bench = Bench.of()
    bench.server.resolve_attempt(KEY, at(4), took_effect=False)
    bench.server.erase_response(KEY, at(2))
    begin(bench)
    before = record(bench)
    bench.server.resolve_attempt(KEY, at(2), took_effect=False)
    assert record(bench) == before
    assert len(bench.watch.seen) == 1


def test_erasing_a_response_leaves_its_idempotency_key_used() -> None:
    bench = Bench.of()
    bench.handle(request("create"))
    before = record(bench)
    assert isinstance(before.response, Response)
    bench.server.erase_response(KEY, at(2))
    stored = record(bench)
    assert (stored.state, stored.response) == (RecordState.FORGOTTEN, None)
    assert stored.seen_at == at(2)
    write = RecordWrite(KEY, before, stored)
    assert bench.watch.seen[1:] == [("commit", (write,), at(2), None)]


# --- Facts ------------------------------------------------------------------------------------


def test_server_stores_logs_counts_and_checks_a_recorded_fact() -> None:
    bench = Bench.of(pending())
    transaction = bench.server.load_fact(Authorized(ID), at(3))
    assert (transaction.now, transaction.fact) == (at(3), Authorized(ID))
    answer = bench.server.commit_fact(transaction)
    assert isinstance(answer, Done)
    stored = bench.store.connection(ID)
    assert stored is not None
    assert (stored.status, stored.authorized_at) == ("ACTIVE", at(3))
    assert len(bench.log()) == 1
    assert format_time(at(3)) in bench.log()[0]
    assert bench.watch.seen == [("fact", answer, at(3))]
    assert bench.server.facts == Counter({"Authorized done": 1})


UNKNOWN: Final = HandoffCompleted(SessionId(uuid(9)), UserId("u-9"))


@pytest.mark.parametrize(
    ("connection", "fact", "outcome", "kind"),
    [
        (ACTIVE, Authorized(ID, happened_at=at(1)), "Authorized ignored", Ignored),
        (
            apply_trigger(ACTIVE, "APP", at(2)),
            Authorized(ID),
            "Authorized 409 CONNECTION_NOT_PENDING",
            Refused,
        ),
        (pending(), UNKNOWN, "HandoffCompleted 404 NOT_FOUND", Refused),
    ],
)
def test_fact_that_changes_nothing_is_still_logged_and_counted(
    connection: Connection, fact: Fact, outcome: str, kind: type[object]
) -> None:
    bench = Bench.of(connection)
    bench.store.refuses = True
    answer = bench.server.commit_fact(bench.server.load_fact(fact, at(3)))
    assert isinstance(answer, kind)
    assert len(bench.log()) == 1
    assert bench.watch.seen == [("fact", answer, at(3))]
    assert bench.server.facts == Counter({outcome: 1})
    assert bench.server.conflicts == 0


def test_fact_whose_commit_conflicts_is_not_logged_or_counted() -> None:
    bench = Bench.of(pending())
    bench.store.refuses = True
    assert bench.server.commit_fact(bench.server.load_fact(Authorized(ID), at(3))) is None
    assert bench.server.conflicts == 1
    assert (bench.log(), bench.watch.seen, bench.server.facts) == ([], [], Counter())


def test_fact_is_not_logged_if_server_has_no_current_app_user() -> None:
    bench = Bench.of(pending(), watched=False)
    bench.server.current_user = None
    transaction = bench.server.load_fact(Authorized(ID), at(3))
    assert isinstance(bench.server.commit_fact(transaction), Done)
    assert bench.log() == []


def test_tombstone_revokes_connections_and_posts_their_messages() -> None:
    bench = Bench.of(pending(), pending(number=2))
    answer = bench.server.commit_fact(bench.server.load_fact(Tombstoned(COORDINATE), at(3)))
    assert isinstance(answer, Done)
    swept = [each.after for each in answer.value.writes if isinstance(each, ConnectionWrite)]
    assert {each.id for each in swept} == {uuid(1), uuid(2)}
    assert {each.status for each in swept} == {"REVOKED"}
    assert bench.store.connection(ID) in swept
    bench.server.outbox.ship(at(3), at(3), dies=lambda: False)
    assert bench.server.outbox.shipped == len(answer.value.effects) + len(answer.value.events)
    assert bench.server.outbox.shipped >= 4


def test_tombstone_revokes_at_the_latest_time_the_server_saw() -> None:
    bench = Bench.of(pending())
    transaction = bench.server.load_fact(Tombstoned(COORDINATE), at(3))
    bench.server.decide_access(CALLER, connection_id=ID, package="labs", now=at(5))
    bench.server.commit_fact(transaction)
    stored = bench.store.connection(ID)
    assert stored is not None
    assert (stored.status, stored.updated_at) == ("REVOKED", at(5))


def test_facts_of_one_kind_and_outcome_are_counted_together() -> None:
    bench = Bench.of()
    for minute in (1, 2, 3):
        bench.server.commit_fact(bench.server.load_fact(UNKNOWN, at(minute)))
    assert bench.server.facts == Counter({"HandoffCompleted 404 NOT_FOUND": 3})


@pytest.mark.parametrize("rule", ["record_fact", "sweep_now"])
def test_rule_that_raises_in_a_fact_breaks_law_16(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> object:
        raise error

    bench = Bench.of(pending())
    transaction = bench.server.load_fact(Tombstoned(COORDINATE), at(3))
    monkeypatch.setattr(simulated, rule, fails)
    error: Exception = ValueError("too deep")
    with pytest.raises(LawBrokenError, match="the rules raised ValueError: too deep") as found:
        bench.server.commit_fact(transaction)
    assert found.value.law == 16


# --- Access -----------------------------------------------------------------------------------


def test_owner_gets_access_only_to_granted_package_before_expiry() -> None:
    bench = Bench.of(ACTIVE)
    assert bench.server.decide_access(CALLER, connection_id=ID, package="labs", now=at(2)) == "200"
    assert (
        bench.server.decide_access(CALLER, connection_id=ID, package="genomics", now=at(3))
        == "403 PACKAGE_NOT_GRANTED"
    )
    assert (
        bench.server.decide_access(CALLER, connection_id=ID, package="labs", now=at(60))
        == "403 EXPIRED"
    )
    first, second, third = bench.watch.seen
    assert first == ("access", ID, "labs", at(2), Granted(at(60), "access.active"))
    assert second[:4] == ("access", ID, "genomics", at(3))
    assert third[:4] == ("access", ID, "labs", at(60))


def test_access_after_a_tombstone_is_denied() -> None:
    bench = Bench.of(ACTIVE, watched=False)
    # The sweep has not reached the connection yet.
    loaded = bench.store.load(Tombstoned(COORDINATE).needs())
    answer = record_fact(Tombstoned(COORDINATE), loaded.snapshot, at(2))
    assert isinstance(answer, Done)
    assert bench.store.commit(loaded, answer.value)
    assert bench.store.connection(ID) == ACTIVE
    assert (
        bench.server.decide_access(CALLER, connection_id=ID, package="labs", now=at(3))
        == "403 REVOKED"
    )


@pytest.mark.parametrize("caller", STRANGERS)
def test_access_to_an_unknown_or_foreign_connection_is_404(caller: Caller) -> None:
    bench = Bench.of(ACTIVE)
    assert bench.server.decide_access(caller, connection_id=ID, package="labs", now=at(2)) == "404"
    assert (
        bench.server.decide_access(
            CALLER, connection_id=ConnectionId(uuid(9)), package="labs", now=at(2)
        )
        == "404"
    )
    assert bench.watch.seen == []


# --- Purges -----------------------------------------------------------------------------------


def test_purge_drops_expired_values_from_store_and_law_watch() -> None:
    bench = Bench.of()
    bench.handle(request("create"))
    later = at(26 * 60)
    assert bench.server.purge(at(1)) == 0
    assert bench.server.purge(later) > 0
    assert find_record(bench) is None
    assert bench.watch.seen[1:] == [("purge", at(1)), ("purge", later)]


def test_purge_without_a_law_watch_drops_expired_values() -> None:
    bench = Bench.of(watched=False)
    bench.handle(request("create"))
    assert bench.server.purge(at(26 * 60)) > 0


def test_limiting_a_purge_to_an_instant_sets_store_clock_to_it() -> None:
    bench = Bench.of()
    assert bench.server.has_settable_clock
    bench.server.limit_purge_to(at(7))
    assert bench.store.clock() == at(7)
