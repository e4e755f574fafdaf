"""Tests of `serve` and `record` on stores that fail, conflict or are full."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import cast

import attrs
import pytest

import curae_lifecycle as curae
from curae_lifecycle import (
    ApiKey,
    ArgumentError,
    Request,
    RetryPolicy,
    StoreUnavailableError,
    record,
    serve,
)
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import AppId, Coordinate
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import PageKind
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.stores.contract import AsyncStore, StoreFullError
from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.stores.new_ids import IdFactory
from curae_lifecycle.stores.run_sync import run_sync
from curae_lifecycle.stores.serve import as_async_store
from curae_lifecycle.testing.laws import check_one_execution
from curae_lifecycle.web.respond import Answer
from tests.support.instants import record_at
from tests.support.server import API_KEY, CALLER, ID, code, document, request
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
    then,
)
from tests.support.strategies import COORDINATE, START, at, pending, uuid

OTHER = attrs.evolve(CALLER, app_id=AppId("app-2"))
NARROW = attrs.evolve(CALLER, scopes=frozenset[str]())


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return fake_time(monkeypatch)


def ask(made: Faulty, asked: Request, mint: Numbered | None = None) -> Answer:
    return serve(made, asked, mint or Numbered())


def connections(made: Faulty, coordinate: Coordinate = COORDINATE) -> list[str]:
    """Return the ids of all connections of a user."""
    held = made.store.load(Needs(connections=ConnectionsPage(coordinate))).snapshot
    return sorted(each.id for each in held.connections)


# --- A store that works ---------------------------------------------------------------------


def test_serve_returns_a_response_and_stores_its_changes() -> None:
    made = faulty()
    answer = ask(made, request("create"))
    assert (answer.response.status, answer.decided_at) == (201, START)
    assert connections(made) == [uuid(1)]
    assert made.record_of("k-1") is not None
    page = made.store.hosted_page("https://connect.example/1")
    assert page is not None
    assert (page.kind, page.subject) == (PageKind.CONNECTION, uuid(1))
    assert made.asked == {"caller_of": 1, "load": 1, "commit": 1}


def test_retry_with_same_idempotency_key_replays_first_response() -> None:
    made = faulty()
    first = ask(made, request("create"))
    made.clock.pass_time(3600)
    again = ask(made, request("create"), Numbered(2))
    assert (again.replayed, again.response, again.decided_at) == (True, first.response, at(60))
    assert connections(made) == [uuid(1)]


def test_read_request_mints_no_ids_and_commits_nothing() -> None:
    made, mint = faulty((), pending()), Numbered()
    assert ask(made, request("get"), mint).response.status == 200
    assert (mint.minted, made.asked["commit"]) == (0, 0)


def test_rate_limit_charge_of_a_read_is_committed() -> None:
    settings = Settings(buckets=(Bucket(name="platform", capacity=1, refill=1, seconds=60),))
    made = faulty((), pending(), settings=settings)
    statuses = [
        serve(
            made, request=request("get"), id_factory=Numbered(), settings=settings
        ).response.status
        for _ in "12"
    ]
    assert statuses == [200, 429]


def test_request_without_api_key_gives_401_without_a_store_call() -> None:
    made = faulty()
    bare = attrs.evolve(request("create"), headers=())
    answer = ask(made, bare)
    assert (answer.response.status, made.asked) == (401, {})


def test_unknown_api_key_gives_401_after_one_store_load() -> None:
    made = faulty()
    unknown = (("authorization", "Bearer cae_live_nobody"), ("idempotency-key", "k-1"))
    assert ask(made, attrs.evolve(request("create"), headers=unknown)).response.status == 401
    assert made.asked == {"caller_of": 1, "load": 1}


def test_refusal_of_malformed_body_has_the_time_of_store_clock() -> None:
    made = faulty()
    answer = ask(made, request("create", body=b"no JSON"))
    assert (answer.response.status, answer.decided_at, made.asked["commit"]) == (400, START, 0)


def test_serve_for_the_test_environment_refuses_a_live_api_key() -> None:
    answer = serve(
        faulty(),
        request=request("create"),
        id_factory=Numbered(),
        settings=Settings(environment=curae.Environment.TEST),
    )
    assert code(answer) == "WRONG_ENVIRONMENT"


def test_async_adapter_of_a_blocking_store_never_suspends() -> None:
    adapter = as_async_store(faulty())
    assert run_sync(_caller(adapter, ApiKey(API_KEY))) == CALLER


async def _caller(store: AsyncStore, api_key: ApiKey) -> curae.Caller | None:
    return await store.caller_of(api_key.digest())


# --- Conflicts ------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2, 19])
def test_commit_conflict_makes_serve_load_and_decide_again(times: int, time: FakeTime) -> None:
    made, mint = faulty([LOST] * times), Numbered()
    answer = ask(made, request("create"), mint)
    assert answer.response.status == 201
    assert made.asked == {"caller_of": 1, "load": times + 1, "commit": times + 1}
    assert len(time.pauses) == times
    assert connections(made) == [uuid(times + 1)], "ids are minted anew for each attempt"
    assert time.pauses == sorted(time.pauses)
    assert time.pauses[0] > 0


def test_commit_conflict_on_every_attempt_gives_retryable_500(time: FakeTime) -> None:
    made = faulty([LOST] * 100)
    check_given_up(ask(made, request("create")))
    assert made.asked["commit"] == len(time.pauses) + 1 == 20
    assert time.passed < curae.RetryPolicy().seconds
    assert (connections(made), made.record_of("k-1")) == ([], None)


def test_serve_retries_as_often_as_its_retry_policy_says(time: FakeTime) -> None:
    made = faulty([LOST] * 100)
    patience = RetryPolicy(attempts=3, pause=1.0, longest_pause=1.0)
    check_given_up(serve(made, request("create"), Numbered(), retry_policy=patience))
    assert time.pauses == [1.0, 1.0]


def minted_by_1(now: datetime) -> curae.NewIds:
    return Numbered(1)(now)


def test_new_ids_already_in_use_give_500_after_20_attempts(time: FakeTime) -> None:
    made = faulty((), pending())
    check_given_up(serve(made, request("create"), minted_by_1))
    assert len(time.pauses) == 19


def test_retry_after_a_commit_conflict_sees_the_stored_change() -> None:
    made = faulty((), pending())

    revoked = curae.Revoked(ID, curae.Actor.PATIENT)
    made.after_load = then(lambda: record_at(made.store, revoked, START))
    answer = ask(made, request("revoke"))
    assert document(answer)["revokedNow"] is False
    assert made.asked["commit"] == 2


# --- A store that fails ---------------------------------------------------------------------

KEYED = ("create", "reconnect", "revoke", "initiate")


def sent(made: Faulty, operation: str) -> Answer:
    """Send an operation that can run on the stored state."""
    return ask(made, request(operation), Numbered(2))


def prepared(operation: str, *commits: Fault | None) -> Faulty:
    made = faulty(commits, pending())
    if operation == "reconnect":
        record_at(made.store, curae.Revoked(ID, curae.Actor.APP), START)
    return made


@pytest.mark.parametrize("operation", KEYED)
@pytest.mark.parametrize("fault", [BEFORE, AFTER, LATE])
@pytest.mark.parametrize("times", [1, 3])
def test_request_executes_once_if_commit_outcome_is_unknown(
    operation: str, fault: Fault, times: int
) -> None:
    right = sent(prepared(operation), operation)
    delivered: list[Changes] = []
    made = prepared(operation, *[fault] * times)
    made.store.deliver = delivered.append
    answer = sent(made, operation)
    assert answer.response.status == right.response.status
    record_kept = made.record_of("k-1")
    assert record_kept is not None
    assert record_kept.token == 1
    executed = [each for each in delivered if each.events]
    check_one_execution([answer.response, sent(made, operation).response], len(executed))
    assert len(executed) == 1


def test_serve_retries_a_failed_store_load() -> None:
    made = faulty(loads=[BEFORE, BEFORE], callers=[BEFORE, BEFORE])
    assert ask(made, request("create")).response.status == 201
    assert connections(made) == [uuid(1)]


@pytest.mark.parametrize("call", ["callers", "loads", "commits"])
def test_serve_gives_500_in_time_if_the_store_keeps_failing(call: str, time: FakeTime) -> None:
    made = faulty()
    setattr(made, call, iter([BEFORE] * 100))
    check_given_up(ask(made, request("create")))
    assert 0 < len(time.pauses) < 20
    assert time.passed < curae.RetryPolicy().seconds


def test_tenth_initiate_with_uncertain_commit_gets_201_not_429() -> None:
    # The execution itself reaches the limit; its retry is a replay.
    made = faulty([None] * 9 + [AFTER])
    answers = [
        ask(made, request("initiate", key=f"k-{number}"), Numbered(number)) for number in range(10)
    ]
    assert [answer.response.status for answer in answers] == [201] * 10
    assert answers[-1].replayed


def test_graduation_retried_after_uncertain_commit_has_one_page() -> None:
    made = prepared("graduation", AFTER)
    assert ask(made, request("initiate"), Numbered(5)).response.status == 201
    made.commits = iter([AFTER])
    answer = sent(made, "graduation")
    assert answer.response.status == 201
    assert made.store.hosted_page("https://connect.example/2") is None
    page = made.store.hosted_page("https://connect.example/3")
    assert page is not None
    assert (page.kind, page.coordinate) == (PageKind.USER, COORDINATE)


# --- Unexpected errors -----------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("a secret"), NewerFormatError("Record", 2, 1)])
def test_unexpected_error_gives_500_without_a_retry(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    made = faulty()
    made.after_load = raising(error)
    check_given_up(ask(made, request("create")))
    assert made.asked["load"] == 1
    (line,) = caplog.messages
    here = rf"{__name__}:{raising.__code__.co_firstlineno + 4}"
    kind = type(error).__name__
    assert re.fullmatch(rf"a request failed: {kind} at curae_lifecycle\S+:\d+ > .* > {here}", line)
    assert caplog.records[0].exc_info is None, "its text could repeat what a request held"


def raising(error: BaseException) -> Callable[[], object]:
    """Return a function that raises an error."""

    def fail() -> None:
        raise error

    return fail


def test_error_in_exec_code_is_logged_with_its_line_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    namespace: dict[str, object] = {"__builtins__": __builtins__}
    exec("def mint(now):\n    return 1 / 0\n", namespace)  # noqa: S102 - as a notebook would
    mint = cast("IdFactory", namespace["mint"])
    check_given_up(serve(faulty(), request("create"), mint))
    (line,) = caplog.messages
    assert line.endswith(" > ?:2")


@pytest.mark.parametrize(
    "error", [ArgumentError("a", "b"), AssertionError(), KeyboardInterrupt(), SystemExit()]
)
def test_argument_error_or_system_exit_is_raised_by_serve(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    made = faulty()
    made.after_load = raising(error)
    with pytest.raises(type(error)) as raised:
        ask(made, request("create"))
    assert raised.value is error
    assert (made.asked["load"], caplog.messages) == (1, [])


# --- A store that is full -------------------------------------------------------------------


def test_serve_gives_500_without_a_retry_if_the_store_is_full(time: FakeTime) -> None:
    made = faulty(capacity=1)
    assert ask(made, request("create")).response.status == 201
    check_given_up(ask(made, request("create", key="k-2"), Numbered(2)))
    assert (time.pauses, connections(made)) == ([], [uuid(1)])


# --- An API key that is registered again ----------------------------------------------------


def register(made: Faulty, caller: curae.Caller) -> None:
    made.store.register(ApiKey(API_KEY), caller)


def test_api_key_reregistered_before_load_acts_for_new_owner() -> None:
    made = faulty()
    made.before_load = then(lambda: register(made, OTHER))
    answer = ask(made, request("create"))
    assert answer.response.status == 201
    assert connections(made) == []
    assert connections(made, OTHER.coordinate(COORDINATE.app_user_id)) == [uuid(1)]
    assert made.asked == {"caller_of": 1, "load": 2, "commit": 1}


def test_api_key_that_loses_its_scope_before_load_is_refused() -> None:
    made = faulty()
    made.before_load = then(lambda: register(made, NARROW))
    assert code(ask(made, request("create"))) == "SCOPE_INSUFFICIENT"


def test_api_key_that_gains_a_scope_before_load_is_accepted() -> None:
    made = faulty()
    register(made, NARROW)
    made.before_load = then(lambda: register(made, CALLER))
    assert ask(made, request("create")).response.status == 201


def test_api_key_reregistered_on_every_attempt_gives_500() -> None:
    made = faulty()
    made.before_load = then(*[lambda: register(made, OTHER), lambda: register(made, CALLER)] * 50)
    check_given_up(ask(made, request("create")))


def test_stale_cached_caller_is_replaced_by_the_loaded_one() -> None:
    made = faulty()
    register(made, OTHER)
    made.remembered = CALLER
    answer = ask(made, request("create"))
    assert answer.response.status == 201
    assert connections(made, OTHER.coordinate(COORDINATE.app_user_id)) == [uuid(1)]


# --- Facts ----------------------------------------------------------------------------------


def test_recorded_fact_stores_its_changes() -> None:
    made = faulty((), pending())
    answer = record(made, curae.Authorized(ID))
    assert isinstance(answer, curae.Done)
    stored = made.store.connection(ID)
    assert stored is not None
    assert (stored.status, stored.authorized_at) == ("ACTIVE", START)


def test_ignored_or_refused_fact_commits_nothing() -> None:
    made = faulty((), pending())
    assert isinstance(record(made, curae.Expired(ID)), curae.Ignored)
    unknown = curae.Expired(curae.ConnectionId(uuid(9)))
    assert isinstance(record(made, unknown), curae.Refused)
    assert made.asked == {"load": 2}


@pytest.mark.parametrize("fault", [LOST, BEFORE])
def test_fact_is_decided_again_after_a_failed_commit(fault: Fault, time: FakeTime) -> None:
    made = faulty([fault, fault], pending())
    assert isinstance(record(made, curae.Authorized(ID)), curae.Done)
    assert made.asked == {"load": 3, "commit": 3}
    assert len(time.pauses) == 2


def test_retried_fact_is_ignored_if_a_failed_commit_stored_it() -> None:
    made = faulty([AFTER], pending())
    assert isinstance(record(made, curae.Authorized(ID)), curae.Ignored)
    stored = made.store.connection(ID)
    assert stored is not None
    assert stored.status == "ACTIVE"


def test_fact_that_cannot_be_committed_raises_unavailable(time: FakeTime) -> None:
    made = faulty([LOST] * 100, pending())
    with pytest.raises(StoreUnavailableError, match="no attempt succeeded in time: a conflict"):
        record(made, curae.Authorized(ID), retry_policy=RetryPolicy(attempts=4))
    assert len(time.pauses) == 3
    assert isinstance(record(made, curae.Expired(ID)), curae.Ignored)


def test_fact_that_adds_a_binding_to_a_full_store_raises() -> None:
    made = faulty(capacity=1)
    sign_up = b'{"appUserId": "user-1", "preferSignup": true}'
    other = b'{"appUserId": "user-2"}'
    assert ask(made, request("initiate", body=sign_up)).response.status == 201
    made.store._accounts._capacity = 9
    assert ask(made, request("initiate", body=other, key="k-2"), Numbered(2)).response.status == 201
    made.store._accounts._capacity = 1
    landed = curae.HandoffCompleted(curae.SessionId(uuid(1001)), curae.UserId("u-1"))
    with pytest.raises(StoreFullError, match="kind Binding"):
        record(made, landed)


def test_fact_with_invalid_happened_at_raises_argument_error() -> None:
    made = faulty((), pending())
    with pytest.raises(curae.ArgumentError, match="happened_at"):
        record(made, curae.Authorized(ID, happened_at=at(6)))
