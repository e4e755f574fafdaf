"""Tests of an external call between two transactions: called once, its key released."""

from __future__ import annotations

import re

import attrs
import pytest

from curae_lifecycle import ArgumentError, NewIds, NextAction, RetryPolicy, serve_with_external_call
from curae_lifecycle.rules.idempotency import RecordState
from curae_lifecycle.rules.values import elapsed
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.service.writes import RecordWrite
from curae_lifecycle.stores import external_call
from curae_lifecycle.stores.contract import StoreUnchangedError
from curae_lifecycle.stores.external_call import Renew
from curae_lifecycle.testing.laws import check_one_execution
from curae_lifecycle.web.respond import Answer
from tests.stores.external_call.calling import (
    KEYED,
    LEASE,
    UNREACHABLE,
    Called,
    ask,
    executions,
    failing,
    prepared,
    retry,
    state,
    url,
)
from tests.support.instants import commit_writes
from tests.support.server import code, request
from tests.support.serving import (
    AFTER,
    BEFORE,
    LATE,
    LOST,
    FakeTime,
    Fault,
    Faulty,
    Numbered,
    check_given_up,
    fake_time,
    faulty,
)
from tests.support.strategies import COORDINATE, START, TICK, pending, uuid


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return fake_time(monkeypatch)


# --- The way it goes ------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [*KEYED, "graduation"])
def test_hosted_page_has_the_url_that_the_external_call_returns(operation: str) -> None:
    made = prepared(operation)
    called = Called(made)
    answer = ask(made, request(operation), called)
    assert (answer.response.status, called.times) == (201, 1)
    assert url(answer) == "https://pages.example/1"
    assert made.store.hosted_page("https://pages.example/1") is not None
    assert called.given is not None
    assert made.store.hosted_page(called.given.next_action.url) is None
    assert state(made) is (None if operation == "graduation" else RecordState.COMPLETED)


def test_connection_is_stored_under_id_given_to_external_call() -> None:
    made = faulty([LOST, None, LOST])
    called = Called(made)
    ask(made, request("create"), called)
    assert called.given is not None
    assert made.store.connection(called.given.connection_id) is not None


@pytest.mark.parametrize("operation", KEYED)
def test_retry_during_external_call_is_refused_then_replayed(
    operation: str,
) -> None:
    made = prepared(operation)
    seen: list[Answer] = []

    def meanwhile(_: Renew) -> None:
        made.clock.pass_time(10)
        seen.append(retry(made, request(operation), called))

    called = Called(made, meanwhile)
    answer = ask(made, request(operation), called)
    assert code(seen[0]) == "IDEMPOTENCY_KEY_IN_FLIGHT"
    waits = [int(value) for name, value in seen[0].response.headers if name == "retry-after"]
    assert waits in ([LEASE - 10], [LEASE - 10 + 1])
    again = retry(made, request(operation), called)
    assert (again.replayed, again.response, called.times) == (True, answer.response, 1)


def test_external_call_runs_between_two_transactions() -> None:
    made = faulty()
    steps: list[int] = []
    called = Called(made, lambda _: steps.append(made.asked["commit"]))
    ask(made, request("create"), called)
    assert steps == [1]
    assert made.asked == {"caller_of": 1, "load": 2, "commit": 2}


@pytest.mark.parametrize("operation", ["get", "account-state", "revoke"])
def test_operation_without_hosted_page_makes_no_external_call(operation: str) -> None:
    made = faulty((), pending())
    called = Called(made)
    assert ask(made, request(operation), called).response.status == 200
    assert called.times == 0


def test_refusal_or_replay_makes_no_external_call() -> None:
    made = faulty((), pending())
    called = Called(made)
    for asked, status in (
        (request("reconnect"), 409),
        (request("reconnect"), 409),
        (request("reconnect", id=uuid(9), key="k-2"), 404),
        (request("create"), 422),
        (request("create", body=b"", key="k-3"), 400),
        (attrs.evolve(request("create"), headers=()), 401),
    ):
        assert ask(made, asked, called).response.status == status
    assert called.times == 0
    assert state(made) is RecordState.COMPLETED, "a refusal of the rule is kept"


# --- Lost races, and a store that fails -----------------------------------------------------


@pytest.mark.parametrize("operation", KEYED)
@pytest.mark.parametrize("fault", [LOST, BEFORE, AFTER, LATE])
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("calm", [0, 1])
def test_retried_commits_make_one_external_call_and_execute_once(
    operation: str, fault: Fault, times: int, calm: int
) -> None:
    made = prepared(operation, *[None] * calm, *[fault] * times)
    delivered = executions(made)
    called = Called(made)
    answer = ask(made, request(operation), called)
    assert (answer.response.status, called.times) == (201, 1)
    assert url(answer) == "https://pages.example/1"
    again = retry(made, request(operation), called)
    check_one_execution([answer.response, again.response], len(delivered))
    assert (len(delivered), called.times, again.replayed) == (1, 1, True)
    record = made.record_of("k-1")
    assert record is not None
    assert record.token == 1, "a key that was taken unknown to the store is known again"


def test_loser_of_race_for_idempotency_key_gets_key_in_flight() -> None:
    made = faulty([BEFORE])
    called = Called(made)

    def other_is_faster(changes: Changes) -> None:
        made.before_commit = lambda _: None
        (taken,) = changes.writes
        assert isinstance(taken, RecordWrite)
        assert taken.after.lease_until is not None
        theirs = attrs.evolve(taken.after, lease_until=taken.after.lease_until + TICK)
        assert commit_writes(made.store, (attrs.evolve(taken, after=theirs),))

    made.before_commit = other_is_faster
    assert code(ask(made, request("create"), called)) == "IDEMPOTENCY_KEY_IN_FLIGHT"
    assert called.times == 0


def test_external_call_lease_is_60_s_plus_random_microseconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = faulty()
    leases: list[int] = []

    def meanwhile(_: Renew) -> None:
        record = made.record_of(key)
        assert record is not None
        assert record.lease_until is not None
        leases.append(elapsed(record.seen_at, record.lease_until))

    called = Called(made, meanwhile)
    key = "k-1"
    monkeypatch.setattr(external_call, "random_microseconds", lambda: 7)
    ask(made, request("create"), called)
    key = "k-2"
    monkeypatch.setattr(external_call, "random_microseconds", lambda: 8)
    ask(made, request("create", key=key), called, first=3)
    assert leases == [60_000_007, 60_000_008]


def test_no_external_call_if_the_idempotency_key_cannot_be_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = faulty([LOST] * 20)
    called = Called(made)
    check_given_up(ask(made, request("create"), called))
    assert (called.times, state(made)) == (0, None)
    assert caplog.messages == ["gave up after attempt 20: a conflict"]


def test_idempotency_key_is_not_stored_if_every_commit_fails() -> None:
    made = faulty()

    def fail(_: Changes) -> None:
        raise StoreUnchangedError("no lock in time")

    made.before_commit = fail
    check_given_up(ask(made, request("create"), Called(made)))
    assert (made.asked["commit"], state(made)) == (RetryPolicy().attempts, None)


def test_idempotency_key_is_released_if_its_commit_may_have_run() -> None:
    # All attempts fail, and the store recovers when the key is released.
    made = faulty([AFTER], loads=[None, BEFORE, BEFORE])
    called = Called(made)
    patience = RetryPolicy(attempts=3)
    check_given_up(
        serve_with_external_call(
            made,
            request=request("create"),
            id_factory=Numbered(),
            make_next_action=called,
            retry_policy=patience,
        )
    )
    assert (called.times, state(made)) == (0, RecordState.RELEASED)


def test_idempotency_key_is_released_if_the_second_commit_fails(time: FakeTime) -> None:
    made = faulty([None, *[LOST] * 20])
    called = Called(made)
    check_given_up(ask(made, request("create"), called))
    assert (called.times, state(made)) == (1, RecordState.RELEASED)
    assert (
        made.store.load(Needs(connections=ConnectionsPage(COORDINATE))).snapshot.connections == ()
    )
    assert len(time.pauses) == 19, "the key is let go in one attempt"
    assert retry(made, request("create"), called).response.status == 201


def test_store_that_fails_after_external_call_gives_500_in_time(time: FakeTime) -> None:
    made = faulty([None, *[BEFORE] * 100])
    check_given_up(ask(made, request("create"), Called(made)))
    assert time.passed < RetryPolicy().seconds
    assert state(made) is RecordState.IN_FLIGHT


# --- A call that fails ----------------------------------------------------------------------


class Stop(BaseException):
    """An exception that is no `Exception`."""


@pytest.mark.parametrize("operation", [*KEYED, "graduation"])
def test_failed_external_call_gives_500_and_a_retry_executes(
    operation: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = prepared(operation)
    check_given_up(ask(made, request(operation), Called(made, failing(UNREACHABLE))))
    (line,) = caplog.messages
    assert re.fullmatch(r"a request failed: OSError at curae_lifecycle\S+ > .* > tests\S+", line)
    check_free(made, operation)


def test_trail_of_a_retry_names_the_rule_for_a_released_key() -> None:
    made = prepared("create")
    check_given_up(ask(made, request("create"), Called(made, failing(UNREACHABLE))))
    answer = ask(made, request("create"), Called(made))
    assert (answer.response.status, answer.rules[0]) == (201, "idempotency.released.same")


@pytest.mark.parametrize("operation", [*KEYED, "graduation"])
@pytest.mark.parametrize("error", [ArgumentError("a", "b"), AssertionError(), Stop()])
def test_reraised_external_call_error_lets_a_retry_execute(
    operation: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    made = prepared(operation)
    with pytest.raises(type(error)) as raised:
        ask(made, request(operation), Called(made, failing(error)))
    assert raised.value is error
    assert caplog.messages == []
    check_free(made, operation)


def check_free(made: Faulty, operation: str) -> None:
    """Check that the next retry executes at once."""
    assert state(made) is (None if operation == "graduation" else RecordState.RELEASED)
    called = Called(made)
    assert retry(made, request(operation), called).response.status == 201
    assert called.times == 1


@pytest.mark.parametrize("error", [UNREACHABLE, Stop()])
def test_error_while_releasing_an_idempotency_key_is_only_logged(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    made = faulty()

    def fail(_: Renew) -> None:
        made.before_load = lambda: int("a secret")
        raise error

    if isinstance(error, Stop):
        with pytest.raises(Stop):
            ask(made, request("create"), Called(made, fail))
    else:
        check_given_up(ask(made, request("create"), Called(made, fail)))
    assert [line.partition(" at ")[0] for line in caplog.messages] == [
        "a key was not freed: ValueError",
        *(["a request failed: OSError"] if error is UNREACHABLE else []),
    ]


@pytest.mark.parametrize("fault", [LOST, BEFORE, AFTER])
def test_release_of_the_idempotency_key_is_retried(fault: Fault) -> None:
    made = faulty([None, fault, fault])
    check_given_up(ask(made, request("create"), Called(made, failing(UNREACHABLE))))
    assert state(made) is RecordState.RELEASED


def test_unreleased_idempotency_key_is_usable_after_its_lease() -> None:
    made = faulty([None, *[BEFORE] * 100])
    check_given_up(ask(made, request("create"), Called(made, failing(UNREACHABLE))))
    made.commits = iter(())
    called = Called(made)
    assert code(retry(made, request("create"), called)) == "IDEMPOTENCY_KEY_IN_FLIGHT"
    made.clock.pass_time(LEASE + 1)
    assert retry(made, request("create"), called).response.status == 201
    assert called.times == 1


def test_expired_next_action_raises_and_releases_idempotency_key() -> None:
    made = faulty()

    def stale(_: NewIds, __: Renew) -> NextAction:
        return NextAction("https://pages.example/1", START - TICK)

    with pytest.raises(ArgumentError, match="next_action"):
        serve_with_external_call(
            made, request=request("create"), id_factory=Numbered(), make_next_action=stale
        )
    assert state(made) is RecordState.RELEASED


def test_error_before_the_idempotency_key_is_taken_gives_500() -> None:
    made = faulty()
    made.after_load = lambda: int("a mistake")
    check_given_up(ask(made, request("create"), Called(made)))
    assert made.asked["load"] == 1, "there is no key to let go"
