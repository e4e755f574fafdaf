"""Tests of events during an external call: expired leases, changed keys, limits, a full store."""

from __future__ import annotations

import attrs
import pytest

import curae_lifecycle as curae
from curae_lifecycle import ApiKey, ArgumentError, RetryPolicy, serve_with_external_call
from curae_lifecycle.rules import attempt as attempts
from curae_lifecycle.rules.idempotency import RecordState
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import AppId
from curae_lifecycle.service.writes import RecordWrite
from curae_lifecycle.stores.external_call import Renew
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


@pytest.mark.parametrize("lease", [0.0, -1.0, 1e-7, float("inf"), float("nan")])
def test_a_lease_is_some_time(lease: float) -> None:
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


def test_a_lease_that_is_renewed_keeps_retries_away() -> None:
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


def test_a_lease_is_as_long_as_the_server_says_and_so_is_a_renewed_one() -> None:
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


def test_a_lease_that_is_over_cannot_be_renewed() -> None:
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
def test_a_lease_is_renewed_in_as_many_attempts_as_that_takes(
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


def test_without_a_key_there_is_no_lease_to_lose() -> None:
    made = prepared("graduation")
    seen: list[bool] = []
    ask(made, request("graduation"), Called(made, lambda renew: seen.append(renew())))
    assert seen == [True]


def test_a_page_is_about_who_is_bound_when_the_call_is_back() -> None:
    made = prepared("graduation")

    def replaced(_: Renew) -> None:
        record_at(made.store, curae.Tombstoned(COORDINATE), START)
        handle_at(made.store, request("initiate", key="second"), START, new_ids=Numbered(60)(START))

    answer = ask(made, request("graduation"), Called(made, replaced))
    page, bound = made.store.hosted_page(str(url(answer))), made.store.binding(COORDINATE)
    assert page is not None
    assert bound is not None
    assert (page.user_id, bound.generation) == (bound.user_id, 2)


def test_who_outlives_the_lease_commits_what_the_call_brought() -> None:
    made = faulty()
    called = Called(made, lambda _: made.clock.pass_time(LEASE + 1))
    answer = ask(made, request("create"), called)
    assert (answer.response.status, url(answer)) == (201, "https://pages.example/1")
    assert (called.times, state(made)) == (1, RecordState.COMPLETED)
    record = made.record_of("k-1")
    assert record is not None
    assert record.token == 2, "as an attempt of its own"


def test_who_outlives_the_lease_gives_the_answer_of_who_took_over() -> None:
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


def test_an_answer_that_was_erased_meanwhile_is_not_given() -> None:
    made = faulty()

    def meanwhile(_: Renew) -> None:
        record = made.record_of("k-1")
        assert record is not None
        erased = attempts.forget(record, START)
        assert isinstance(erased, Done)
        assert commit_writes(made.store, (RecordWrite(record.key, record, erased.value),))

    answer = ask(made, request("create"), Called(made, meanwhile))
    assert code(answer) == "IDEMPOTENCY_KEY_FORGOTTEN"
    assert made.store.load(curae.Tombstoned(COORDINATE).needs()).snapshot.connections == ()


# --- Other events during the call -----------------------------------------------------------


def test_the_end_is_decided_by_what_is_stored_then() -> None:
    made = prepared("reconnect")
    elsewhere = Called(made)
    called = Called(made, lambda _: ask(made, request("reconnect", key="k-2"), elsewhere, first=30))
    answer = ask(made, request("reconnect"), called)
    assert answer.changes.events[0].kind == "connection.reissued"
    assert made.store.hosted_page("https://pages.example/1") is not None


def test_a_key_that_was_registered_again_before_the_load_is_judged_by_its_new_owner() -> None:
    made = faulty()
    other = attrs.evolve(CALLER, app_id=AppId("app-2"))
    made.before_load = then(lambda: made.store.register(ApiKey(API_KEY), other))
    called = Called(made)
    assert ask(made, request("create"), called).response.status == 201
    assert called.given is not None
    held = made.store.connection(called.given.connection_id)
    assert held is not None
    assert held.identity.coordinate.app_id == "app-2"


def test_a_limit_that_was_reached_meanwhile_refuses_and_leaves_the_key_free() -> None:
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
def test_a_key_that_was_registered_again_meanwhile_makes_nothing(caller: curae.Caller) -> None:
    made = faulty()
    called = Called(made, lambda _: made.store.register(ApiKey(API_KEY), caller))
    check_given_up(ask(made, request("create"), called))
    assert state(made) is RecordState.RELEASED
    assert made.store.load(curae.Tombstoned(COORDINATE).needs()).snapshot.connections == ()
    # The new caller of the key decides about the retry.
    statuses = {frozenset(): 403, CALLER.scopes: 201}
    answer = retry(made, request("create"), Called(made))
    assert answer.response.status == statuses[caller.scopes]


@pytest.mark.parametrize("fault", [None, LOST])
def test_a_store_that_is_full_says_so_before_the_call(fault: Fault | None) -> None:
    made = faulty([fault], capacity=0)
    called = Called(made)
    check_given_up(ask(made, request("create"), called))
    assert called.times == 0


@pytest.mark.parametrize("operation", ["create", "graduation"])
def test_a_store_that_is_full_at_the_end_leaves_the_key_free(operation: str) -> None:
    made = prepared(operation, None, None, LOST)
    called = Called(made, lambda _: setattr(made.store._accounts, "_capacity", 0))
    check_given_up(ask(made, request(operation), called))
    assert state(made) is (None if operation == "graduation" else RecordState.RELEASED)
    made.store._accounts._capacity = 10
    assert retry(made, request(operation), Called(made)).response.status == 201


# --- A call that must not be made twice -----------------------------------------------------


def unknown(made: Faulty, called: Called, operation: str = "create") -> Answer:
    return ask(made, request(operation), called, lost_lease=UNKNOWN)


def test_a_second_call_that_would_do_harm_waits_for_the_server() -> None:
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


def test_a_limit_that_was_reached_meanwhile_leaves_it_to_the_server() -> None:
    made = faulty()
    answer = unknown(made, Called(made, lambda _: initiates(made, 10)), "initiate")
    assert (answer.response.status, state(made)) == (429, RecordState.IN_FLIGHT)


def test_before_the_call_the_key_is_let_go_all_the_same() -> None:
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


def test_what_cannot_be_committed_is_left_to_the_server() -> None:
    made = faulty([None, *[LOST] * 20])
    check_given_up(unknown(made, Called(made)))
    assert state(made) is RecordState.IN_FLIGHT
