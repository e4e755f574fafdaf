"""Tests of events during an external call: expired leases, changed keys, limits, a full store."""

from __future__ import annotations

import attrs
import pytest

import curae_lifecycle as curae
from curae_lifecycle import ApiKey, ArgumentError, RetryPolicy, serve_with_external_call
from curae_lifecycle.rules import attempt as attempts
from curae_lifecycle.rules.idempotency import LostLeaseAction, RecordState
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import AppId, NextAction
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs, NewIds
from curae_lifecycle.service.writes import RecordWrite
from curae_lifecycle.stores.external_call import AsyncRenew, ExternalCall, Renew
from curae_lifecycle.stores.retry import RetryStats
from curae_lifecycle.web.respond import Answer
from tests.stores.external_call.calling import (
    LEASE,
    UNKNOWN,
    UNREACHABLE,
    Called,
    ask,
    executions,
    failing,
    initiates,
    prepared,
    retry,
    state,
    url,
)
from tests.support.instants import commit_writes, handle_at, record_at
from tests.support.server import API_KEY, CALLER, code, request
from tests.support.serving import (
    AFTER,
    BEFORE,
    LOST,
    FakeTime,
    Fault,
    Faulty,
    Numbered,
    check_given_up,
    fake_time,
    faulty,
    then,
)
from tests.support.strategies import COORDINATE, START


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return fake_time(monkeypatch)


# --- A lease --------------------------------------------------------------------------------


@pytest.mark.parametrize("lease", [0.0, -1.0, 1e-7, 1e303, float("inf"), float("nan")])
def test_non_positive_or_infinite_external_call_lease_raises(lease: float) -> None:
    made = faulty()
    with pytest.raises(ArgumentError, match="lease: must be a finite number of seconds"):
        serve_with_external_call(
            made,
            request=request("get"),
            id_factory=Numbered(),
            make_next_action=Called(made),
            lease=lease,
        )
    assert not made.asked


@pytest.mark.parametrize(
    ("lease", "microseconds"), [(0.000001, 1), (0.25, 250_000), (1.5, 1_500_000), (60, 60_000_000)]
)
def test_external_call_lease_is_converted_to_microseconds(lease: float, microseconds: int) -> None:
    async def call(_: NewIds, __: AsyncRenew) -> NextAction:
        raise AssertionError("no call is made")

    assert ExternalCall(call, lease, LostLeaseAction.EXECUTE).lease_microseconds == microseconds


def test_renewed_lease_keeps_the_idempotency_key_in_flight() -> None:
    made = faulty()
    seen: list[object] = []

    def meanwhile(renew: Renew) -> None:
        for _ in range(3):
            made.clock.pass_time(LEASE - 1)
            seen.append(renew())
        made.clock.pass_time(LEASE - 1)
        seen.append(code(retry(made, request("create"), called)))

    called = Called(made, meanwhile)
    assert ask(made, request("create"), called).response.status == 201
    assert seen == [True, True, True, "IDEMPOTENCY_KEY_IN_FLIGHT"]
    assert called.times == 1


def test_renewed_external_call_lease_has_the_configured_length() -> None:
    made = faulty()
    seen: list[object] = []

    def meanwhile(renew: Renew) -> None:
        made.clock.pass_time(29)
        seen.append(renew())
        made.clock.pass_time(29)
        seen.append(code(retry(made, request("create"), called)))
        made.clock.pass_time(1)
        seen.append(renew())

    called = Called(made, meanwhile)
    answer = serve_with_external_call(
        made, request=request("create"), id_factory=Numbered(), make_next_action=called, lease=30.0
    )
    assert answer.response.status == 201
    assert seen == [True, "IDEMPOTENCY_KEY_IN_FLIGHT", False]


def test_expired_lease_cannot_be_renewed() -> None:
    made = faulty()
    seen: list[bool] = []

    def meanwhile(renew: Renew) -> None:
        made.clock.pass_time(LEASE + 1)
        seen.append(renew())

    ask(made, request("create"), Called(made, meanwhile))
    assert seen == [False]


@pytest.mark.parametrize(
    ("faults", "renewed"), [([LOST, BEFORE, AFTER], True), ([BEFORE] * 14, False)]
)
def test_renewal_of_a_lease_is_retried(
    faults: list[Fault],
    renewed: bool,  # noqa: FBT001 - what is expected
) -> None:
    made = faulty([None, *faults])
    seen: list[bool] = []
    called = Called(made, lambda renew: seen.append(renew()))
    answer = serve_with_external_call(
        made,
        request=request("create"),
        id_factory=Numbered(),
        make_next_action=called,
        retry_policy=RetryPolicy(attempts=14),
    )
    assert (seen, answer.response.status) == ([renewed], 201)


def test_renewing_a_lease_without_idempotency_key_returns_true() -> None:
    made = prepared("graduation")
    seen: list[bool] = []
    ask(made, request("graduation"), Called(made, lambda renew: seen.append(renew())))
    assert seen == [True]


def test_hosted_page_names_the_user_bound_during_external_call() -> None:
    made = prepared("graduation")

    def replaced(_: Renew) -> None:
        record_at(made.store, curae.Tombstoned(COORDINATE), START)
        handle_at(made.store, request("initiate", key="second"), START, new_ids=Numbered(60)(START))

    answer = ask(made, request("graduation"), Called(made, replaced))
    page, bound = made.store.hosted_page(str(url(answer))), made.store.binding(COORDINATE)
    assert page is not None
    assert bound is not None
    assert (page.user_id, bound.generation) == (bound.user_id, 2)


def test_external_call_longer_than_its_lease_still_commits() -> None:
    made = faulty()
    called = Called(made, lambda _: made.clock.pass_time(LEASE + 1))
    answer = ask(made, request("create"), called)
    assert (answer.response.status, url(answer)) == (201, "https://pages.example/1")
    assert (called.times, state(made)) == (1, RecordState.COMPLETED)
    record = made.record_of("k-1")
    assert record is not None
    assert record.token == 2, "as an attempt of its own"


def test_request_that_lost_its_lease_replays_the_retrys_response() -> None:
    made = faulty()
    delivered = executions(made)
    other = Called(made)
    second: list[Answer] = []

    def meanwhile(_: Renew) -> None:
        made.clock.pass_time(LEASE + 1)
        second.append(retry(made, request("create"), other))

    answer = ask(made, request("create"), Called(made, meanwhile))
    assert (answer.replayed, answer.response) == (True, second[0].response)
    assert (len(delivered), other.times) == (1, 1)


def test_record_erased_during_external_call_gives_key_forgotten() -> None:
    made = faulty()

    def meanwhile(_: Renew) -> None:
        record = made.record_of("k-1")
        assert record is not None
        erased = attempts.forget(record, START)
        assert isinstance(erased, Done)
        assert commit_writes(made.store, (RecordWrite(record.key, record, erased.value),))

    answer = ask(made, request("create"), Called(made, meanwhile))
    assert code(answer) == "IDEMPOTENCY_KEY_FORGOTTEN"
    assert (
        made.store.load(Needs(connections=ConnectionsPage(COORDINATE))).snapshot.connections == ()
    )


# --- Other events during the call -----------------------------------------------------------


def test_slower_of_two_reconnects_reissues_the_others_successor() -> None:
    made = prepared("reconnect")
    elsewhere = Called(made)
    called = Called(made, lambda _: ask(made, request("reconnect", key="k-2"), elsewhere, first=30))
    answer = ask(made, request("reconnect"), called)
    assert answer.changes.events[0].kind == "connection.reissued"
    assert made.store.hosted_page("https://pages.example/1") is not None


def test_connection_gets_the_new_app_of_a_reregistered_api_key() -> None:
    made = faulty()
    other = attrs.evolve(CALLER, app_id=AppId("app-2"))
    made.before_load = then(lambda: made.store.register(ApiKey(API_KEY), other))
    called = Called(made)
    assert ask(made, request("create"), called).response.status == 201
    assert called.given is not None
    held = made.store.connection(called.given.connection_id)
    assert held is not None
    assert held.identity.coordinate.app_id == "app-2"


def test_429_after_external_call_lets_a_later_retry_execute() -> None:
    made = faulty()
    called = Called(made, lambda _: initiates(made, 10))
    answer = ask(made, request("initiate"), called)
    assert (answer.response.status, state(made)) == (429, RecordState.RELEASED)
    made.clock.pass_time(60)
    again = Called(made)
    assert retry(made, request("initiate"), again).response.status == 201
    assert again.times == 1


@pytest.mark.parametrize(
    "caller",
    [attrs.evolve(CALLER, scopes=frozenset()), attrs.evolve(CALLER, app_id=AppId("app-2"))],
)
def test_api_key_reregistered_during_external_call_gives_500(
    caller: curae.Caller, time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    made = faulty()
    called = Called(made, lambda _: made.store.register(ApiKey(API_KEY), caller))
    check_given_up(ask(made, request("create"), called))
    assert (time.pauses, caplog.messages) == ([], [])
    assert state(made) is RecordState.RELEASED
    assert (
        made.store.load(Needs(connections=ConnectionsPage(COORDINATE))).snapshot.connections == ()
    )
    # The new caller of the key decides about the retry.
    statuses = {frozenset(): 403, CALLER.scopes: 201}
    answer = retry(made, request("create"), Called(made))
    assert answer.response.status == statuses[caller.scopes]


@pytest.mark.parametrize("fault", [None, LOST])
def test_full_store_gives_500_before_the_external_call(
    fault: Fault | None, caplog: pytest.LogCaptureFixture
) -> None:
    made = faulty([fault], capacity=0)
    called = Called(made)
    stats = RetryStats(store_full=1)
    check_given_up(ask(made, request("create"), called, stats=stats))
    assert (called.times, stats.store_full) == (0, 2)
    assert caplog.messages == ["no room: 0 values of kind Record are kept"]


@pytest.mark.parametrize(
    ("operation", "kind", "attempts"), [("create", "Connection", 2), ("graduation", "Rate", 1)]
)
def test_store_full_after_external_call_lets_a_retry_execute(
    operation: str, kind: str, attempts: int, caplog: pytest.LogCaptureFixture
) -> None:
    made = prepared(operation, None, None, LOST)
    called = Called(made, lambda _: setattr(made.store._accounts, "_capacity", 0))
    stats = RetryStats()
    check_given_up(ask(made, request(operation), called, stats=stats))
    # The first release of the key of `create` conflicts, and the account is still full.
    assert caplog.messages == [f"no room: 0 values of kind {kind} are kept"] * attempts
    assert stats.store_full == attempts
    assert state(made) is (None if operation == "graduation" else RecordState.RELEASED)
    made.store._accounts._capacity = 10
    assert retry(made, request(operation), Called(made)).response.status == 201


# --- A call that must not be made twice -----------------------------------------------------


def unknown(made: Faulty, called: Called, operation: str = "create") -> Answer:
    return ask(made, request(operation), called, lost_lease=UNKNOWN)


def test_external_call_in_doubt_is_not_repeated_until_resolved() -> None:
    made = faulty()
    check_given_up(unknown(made, Called(made, failing(UNREACHABLE))))
    called = Called(made)
    assert code(unknown(made, called)) == "IDEMPOTENCY_KEY_IN_FLIGHT"
    made.clock.pass_time(LEASE + 1)
    assert code(unknown(made, called)) == "IDEMPOTENCY_OUTCOME_UNKNOWN"
    record = made.record_of("k-1")
    assert record is not None
    resolved = attempts.resolve(record, made.clock.now, response=None)
    assert isinstance(resolved, Done)
    assert commit_writes(made.store, (RecordWrite(record.key, record, resolved.value),))
    assert (unknown(made, called).response.status, called.times) == (201, 1)


def test_429_after_unrepeatable_call_leaves_its_key_in_flight() -> None:
    made = faulty()
    answer = unknown(made, Called(made, lambda _: initiates(made, 10)), "initiate")
    assert (answer.response.status, state(made)) == (429, RecordState.IN_FLIGHT)


def test_store_failure_before_unrepeatable_call_releases_its_key() -> None:
    made = faulty([AFTER], loads=[None, BEFORE, BEFORE])
    called, patience = Called(made), RetryPolicy(attempts=3)
    serve_with_external_call(
        made,
        request=request("create"),
        id_factory=Numbered(),
        make_next_action=called,
        lost_lease=UNKNOWN,
        retry_policy=patience,
    )
    assert (called.times, state(made)) == (0, RecordState.RELEASED)


def test_500_after_unrepeatable_call_leaves_its_key_in_flight() -> None:
    made = faulty([None, *[LOST] * 20])
    check_given_up(unknown(made, Called(made)))
    assert state(made) is RecordState.IN_FLIGHT
