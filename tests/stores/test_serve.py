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
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores.contract import StoreFullError
from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.stores.hosted_pages import PageKind
from curae_lifecycle.stores.new_ids import IdFactory
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
    held = made.store.load(curae.Tombstoned(coordinate).needs()).snapshot
    return sorted(each.id for each in held.connections)


# --- A store that works ---------------------------------------------------------------------


def test_a_request_is_answered_and_what_it_changes_is_stored() -> None:
    made = faulty()
    answer = ask(made, request("create"))
    assert (answer.response.status, answer.decided_at) == (201, START)
    assert connections(made) == [uuid(1)]
    assert made.record_of("k-1") is not None
    page = made.store.hosted_page("https://connect.example/1")
    assert page is not None
    assert (page.kind, page.subject) == (PageKind.CONNECTION, uuid(1))
    assert made.asked == {"caller_of": 1, "load": 1, "commit": 1}


def test_a_retry_is_a_replay() -> None:
    made = faulty()
    first = ask(made, request("create"))
    made.clock.pass_time(3600)
    again = ask(made, request("create"), Numbered(2))
    assert (again.replayed, again.response, again.decided_at) == (True, first.response, at(60))
    assert connections(made) == [uuid(1)]


def test_a_read_mints_nothing_and_commits_nothing() -> None:
    made, mint = faulty((), pending()), Numbered()
    assert ask(made, request("get"), mint).response.status == 200
    assert (mint.minted, made.asked["commit"]) == (0, 0)


def test_what_a_read_charges_is_committed() -> None:
    settings = Settings(buckets=(Bucket(name="platform", capacity=1, refill=1, seconds=60),))
    made = faulty((), pending(), settings=settings)
    statuses = [
        serve(
            made, request=request("get"), id_factory=Numbered(), settings=settings
        ).response.status
        for _ in "12"
    ]
    assert statuses == [200, 429]


def test_nobody_is_asked_about_a_request_without_a_key() -> None:
    made = faulty()
    bare = attrs.evolve(request("create"), headers=())
    answer = ask(made, bare)
    assert (answer.response.status, made.asked) == (401, {})


def test_an_unknown_key_is_refused_in_its_turn() -> None:
    made = faulty()
    unknown = (("authorization", "Bearer cae_live_nobody"), ("idempotency-key", "k-1"))
    assert ask(made, attrs.evolve(request("create"), headers=unknown)).response.status == 401
    assert made.asked == {"caller_of": 1, "load": 1}


def test_what_is_refused_before_it_is_loaded_is_of_the_store_s_instant() -> None:
    made = faulty()
    answer = ask(made, request("create", body=b"no JSON"))
    assert (answer.response.status, answer.decided_at, made.asked["commit"]) == (400, START, 0)


def test_settings_are_the_server_s() -> None:
    answer = serve(
        faulty(),
        request=request("create"),
        id_factory=Numbered(),
        settings=Settings(environment=curae.Environment.TEST),
    )
    assert code(answer) == "WRONG_ENVIRONMENT"


# --- Conflicts ------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2, 19])
def test_whoever_lost_a_race_loads_and_decides_again(times: int, time: FakeTime) -> None:
    made, mint = faulty([LOST] * times), Numbered()
    answer = ask(made, request("create"), mint)
    assert answer.response.status == 201
    assert made.asked == {"caller_of": 1, "load": times + 1, "commit": times + 1}
    assert len(time.pauses) == times
    assert connections(made) == [uuid(times + 1)], "ids are minted anew for each attempt"
    assert time.pauses == sorted(time.pauses)
    assert time.pauses[0] > 0


def test_who_always_loses_is_told_to_come_again(time: FakeTime) -> None:
    made = faulty([LOST] * 100)
    check_given_up(ask(made, request("create")))
    assert made.asked["commit"] == len(time.pauses) + 1 == 20
    assert time.passed < curae.RetryPolicy().seconds
    assert (connections(made), made.record_of("k-1")) == ([], None)


def test_patience_is_the_server_s(time: FakeTime) -> None:
    made = faulty([LOST] * 100)
    patience = RetryPolicy(attempts=3, pause=1.0, longest_pause=1.0)
    check_given_up(serve(made, request("create"), Numbered(), retry_policy=patience))
    assert time.pauses == [1.0, 1.0]


def minted_by_1(now: datetime) -> curae.NewIds:
    return Numbered(1)(now)


def test_ids_that_are_in_use_lose_every_race_and_do_not_spin(time: FakeTime) -> None:
    made = faulty((), pending())
    check_given_up(serve(made, request("create"), minted_by_1))
    assert len(time.pauses) == 19


def test_a_race_is_decided_by_what_was_stored_meanwhile() -> None:
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
def test_a_commit_of_unknown_outcome_is_executed_once(
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


def test_a_load_that_fails_is_tried_again() -> None:
    made = faulty(loads=[BEFORE, BEFORE], callers=[BEFORE, BEFORE])
    assert ask(made, request("create")).response.status == 201
    assert connections(made) == [uuid(1)]


@pytest.mark.parametrize("call", ["callers", "loads", "commits"])
def test_a_store_that_never_can_is_given_up_on_in_time(call: str, time: FakeTime) -> None:
    made = faulty()
    setattr(made, call, iter([BEFORE] * 100))
    check_given_up(ask(made, request("create")))
    assert 0 < len(time.pauses) < 20
    assert time.passed < curae.RetryPolicy().seconds


def test_a_refusal_after_a_lost_answer_of_the_store_is_no_second_execution() -> None:
    # The execution itself reaches the limit; its retry is a replay.
    made = faulty([None] * 9 + [AFTER])
    answers = [
        ask(made, request("initiate", key=f"k-{number}"), Numbered(number)) for number in range(10)
    ]
    assert [answer.response.status for answer in answers] == [201] * 10
    assert answers[-1].replayed


def test_an_operation_without_a_key_leaves_one_page() -> None:
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
def test_an_error_that_nobody_foresaw_is_answered_and_not_tried_again(
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


def test_what_was_never_imported_is_logged_without_a_name(
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
def test_a_mistake_and_an_end_of_the_program_come_out(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    made = faulty()
    made.after_load = raising(error)
    with pytest.raises(type(error)) as raised:
        ask(made, request("create"))
    assert raised.value is error
    assert (made.asked["load"], caplog.messages) == (1, [])


# --- A store that is full -------------------------------------------------------------------


def test_a_full_store_is_no_race(time: FakeTime) -> None:
    made = faulty(capacity=1)
    assert ask(made, request("create")).response.status == 201
    check_given_up(ask(made, request("create", key="k-2"), Numbered(2)))
    assert (time.pauses, connections(made)) == ([], [uuid(1)])


# --- An API key that is registered again ----------------------------------------------------


def register(made: Faulty, caller: curae.Caller) -> None:
    made.store.register(ApiKey(API_KEY), caller)


def test_a_key_that_is_registered_again_before_the_load_is_judged_by_its_new_owner() -> None:
    made = faulty()
    made.before_load = then(lambda: register(made, OTHER))
    answer = ask(made, request("create"))
    assert answer.response.status == 201
    assert connections(made) == []
    assert connections(made, OTHER.coordinate(COORDINATE.app_user_id)) == [uuid(1)]
    assert made.asked == {"caller_of": 1, "load": 2, "commit": 1}


def test_a_key_whose_scopes_are_narrowed_before_the_load_is_refused() -> None:
    made = faulty()
    made.before_load = then(lambda: register(made, NARROW))
    assert code(ask(made, request("create"))) == "SCOPE_INSUFFICIENT"


def test_a_key_whose_scopes_are_widened_before_the_load_is_let_in() -> None:
    made = faulty()
    register(made, NARROW)
    made.before_load = then(lambda: register(made, CALLER))
    assert ask(made, request("create")).response.status == 201


def test_a_key_that_is_registered_again_and_again_is_given_up_on() -> None:
    made = faulty()
    made.before_load = then(*[lambda: register(made, OTHER), lambda: register(made, CALLER)] * 50)
    check_given_up(ask(made, request("create")))


def test_a_store_may_remember_callers_for_ever() -> None:
    made = faulty()
    register(made, OTHER)
    made.remembered = CALLER
    answer = ask(made, request("create"))
    assert answer.response.status == 201
    assert connections(made, OTHER.coordinate(COORDINATE.app_user_id)) == [uuid(1)]


# --- Facts ----------------------------------------------------------------------------------


def test_a_fact_is_recorded_and_what_it_changes_is_stored() -> None:
    made = faulty((), pending())
    answer = record(made, curae.Authorized(ID))
    assert isinstance(answer, curae.Done)
    stored = made.store.connection(ID)
    assert stored is not None
    assert (stored.status, stored.authorized_at) == ("ACTIVE", START)


def test_a_fact_that_is_ignored_or_refused_commits_nothing() -> None:
    made = faulty((), pending())
    assert isinstance(record(made, curae.Expired(ID)), curae.Ignored)
    unknown = curae.Expired(curae.ConnectionId(uuid(9)))
    assert isinstance(record(made, unknown), curae.Refused)
    assert made.asked == {"load": 2}


@pytest.mark.parametrize("fault", [LOST, BEFORE])
def test_a_fact_that_was_not_stored_is_judged_again(fault: Fault, time: FakeTime) -> None:
    made = faulty([fault, fault], pending())
    assert isinstance(record(made, curae.Authorized(ID)), curae.Done)
    assert made.asked == {"load": 3, "commit": 3}
    assert len(time.pauses) == 2


def test_a_fact_whose_commit_took_effect_unknown_to_the_store_is_ignored() -> None:
    made = faulty([AFTER], pending())
    assert isinstance(record(made, curae.Authorized(ID)), curae.Ignored)
    stored = made.store.connection(ID)
    assert stored is not None
    assert stored.status == "ACTIVE"


def test_a_fact_that_no_attempt_could_record_is_said_to_be_none(time: FakeTime) -> None:
    made = faulty([LOST] * 100, pending())
    with pytest.raises(StoreUnavailableError, match="no attempt succeeded in time"):
        record(made, curae.Authorized(ID), retry_policy=RetryPolicy(attempts=4))
    assert len(time.pauses) == 3
    assert isinstance(record(made, curae.Expired(ID)), curae.Ignored)


def test_a_new_binding_that_finds_no_room_says_so() -> None:
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


def test_a_mistake_in_a_fact_is_the_caller_s() -> None:
    made = faulty((), pending())
    with pytest.raises(curae.ArgumentError, match="happened_at"):
        record(made, curae.Authorized(ID, happened_at=at(6)))
