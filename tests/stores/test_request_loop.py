"""Tests of the loop that answers a request: charges, counts, log lines and instants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import pytest

import curae_lifecycle as curae
from curae_lifecycle import ApiKey, Request, RetryPolicy, record, serve
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import ConnectionWrite, RateWrite
from curae_lifecycle.stores import request_loop
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.retry import RetryStats
from curae_lifecycle.web.respond import Answer
from tests.support.charging import MemoryChargingStore
from tests.support.instants import commit_writes, record_at
from tests.support.server import API_KEY, CALLER, ID, code, document, request
from tests.support.serving import (
    LOST,
    Faulty,
    Numbered,
    check_given_up,
    fake_time,
    faulty,
    then,
)
from tests.support.strategies import COORDINATE, START, at, pending

MACHINE_TIME: Final = at(7)
ONCE: Final = RetryPolicy(attempts=1)
BUCKET: Final = Bucket(name="narrow", capacity=1, refill=1, seconds=10**6)
SETTINGS: Final = Settings(buckets=(BUCKET,), type_base="https://problems.example/")


@pytest.fixture(autouse=True)
def _time(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_time(monkeypatch)
    monkeypatch.setattr(request_loop, "utc_now", lambda: MACHINE_TIME)


# --- Requests without a result --------------------------------------------------------------


def fail() -> None:
    raise ValueError("a mistake")


def full() -> Faulty:
    return faulty(capacity=0)


def conflicting() -> Faulty:
    return faulty([LOST])


def broken() -> Faulty:
    made = faulty()
    made.after_load = fail
    return made


def ask(made: Faulty, asked: Request, stats: RetryStats | None = None) -> Answer:
    return serve(
        made,
        request=asked,
        id_factory=Numbered(),
        settings=SETTINGS,
        retry_policy=ONCE,
        stats=stats,
    )


@pytest.mark.parametrize("prepare", [conflicting, full, broken])
def test_500_response_uses_system_clock_and_configured_type_base(
    prepare: Callable[[], Faulty],
) -> None:
    answer = ask(prepare(), request("create"))
    check_given_up(answer)
    assert answer.decided_at == MACHINE_TIME
    assert str(document(answer)["type"]).startswith(SETTINGS.type_base)


def test_401_response_uses_system_clock_and_configured_type_base() -> None:
    answer = ask(faulty(), attrs.evolve(request("create"), headers=()))
    assert (answer.response.status, answer.decided_at) == (401, MACHINE_TIME)
    assert str(document(answer)["type"]).startswith(SETTINGS.type_base)


def test_store_full_error_is_counted_and_logged_without_account(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stats = RetryStats(store_full=1)
    ask(full(), request("create"), stats)
    assert stats == RetryStats(attempts=1, store_full=2)
    assert caplog.messages == ["no room: 0 values of kind Rate are kept"]


def test_giving_up_after_conflicts_logs_no_unexpected_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stats = RetryStats()
    ask(conflicting(), request("create"), stats)
    assert stats == RetryStats(attempts=1, conflicts=1)
    assert caplog.messages == ["gave up after attempt 1: a conflict"]


def test_unexpected_error_is_added_to_the_retry_stats() -> None:
    stats = RetryStats(unexpected_errors=1)
    ask(broken(), request("create"), stats)
    assert stats == RetryStats(attempts=1, unexpected_errors=2)


# --- Hosted pages ---------------------------------------------------------------------------


def test_account_graduation_page_names_the_bound_user() -> None:
    made = faulty()
    assert serve(made, request("initiate"), Numbered()).response.status == 201
    assert serve(made, request("graduation"), Numbered(2)).response.status == 201
    bound = made.store.binding(COORDINATE)
    page = made.store.hosted_page("https://connect.example/2")
    assert bound is not None
    assert page is not None
    assert page.user_id == bound.user_id


# --- Buckets charged ahead of the commit ----------------------------------------------------


class Noting:
    """A store that notes its charges and commits, and checks that they name a load.

    Attributes:
        steps: The charges and commits, in order; for a charge, whether it has to be durable.
        conflicts: How many commits conflict.
        before_charge: A hook before each charge.
        before_commit: A hook before each commit.
    """

    charges_apart = True

    def __init__(self) -> None:
        self.store = MemoryChargingStore(SETTINGS, clock=lambda: START)
        self.store.register(ApiKey(API_KEY), CALLER)
        assert commit_writes(self.store, (ConnectionWrite(None, pending()),))
        record_at(self.store, curae.Authorized(ID), START)
        self.steps: list[tuple[Changes, bool | None]] = []
        self.conflicts = 0
        self.before_charge = self.before_commit = then()
        self._loads: list[Loaded] = []

    def caller_of(self, key_digest: str) -> Caller | None:
        return self.store.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        loaded = self.store.load(needs, key_digest)
        self._loads.append(loaded)
        return loaded

    def charge(self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool) -> bool:
        assert loaded in self._loads
        self.before_charge()
        self.steps.append((Changes(charges), durable))
        return self.store.charge(loaded, charges, durable=durable)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        assert loaded in self._loads
        self.before_commit()
        self.steps.append((changes, None))
        self.conflicts -= 1
        return self.conflicts < 0 and self.store.commit(loaded, changes, page)


def send(made: Noting, operation: str, key: str = "k-1", settings: Settings = SETTINGS) -> Answer:
    asked = request(operation, key=key)
    return serve(made, request=asked, id_factory=Numbered(2), settings=settings)


@pytest.mark.parametrize("operation", ["create", "revoke", "initiate"])
def test_store_charges_buckets_first_then_commits_other_writes(operation: str) -> None:
    made = Noting()
    answer = send(made, operation)
    assert answer.response.status in {200, 201}
    (charge, durable), (commit, _) = made.steps
    (write,) = charge.writes
    assert isinstance(write, RateWrite)
    assert (write.policy, durable) == (BUCKET, False)
    assert {write, *commit.writes} == {*answer.changes.writes}
    assert len(commit.writes) == len(answer.changes.writes) - 1
    assert (commit.effects, commit.events) == (answer.changes.effects, answer.changes.events)
    assert commit.events


def test_revoke_effects_are_committed_after_the_bucket_charge() -> None:
    made = Noting()
    send(made, "revoke")
    assert made.steps[-1][0].effects


@pytest.mark.parametrize("conflicts", [1, 3])
def test_request_retried_after_conflicts_is_charged_only_once(conflicts: int) -> None:
    made = Noting()
    made.conflicts = conflicts
    answer = send(made, "create")
    assert answer.response.status == 201
    (charge, _), *_, (commit, _) = made.steps
    assert len(made.steps) == 1 + conflicts + 1
    assert answer.changes == charge + commit


def test_request_losing_race_for_last_bucket_token_gets_429() -> None:
    made = Noting()
    made.before_charge = then(lambda: send(made, "create"))
    answer = send(made, "create", "k-2")
    assert code(answer) == "RATE_LIMITED"
    assert answer.changes == NO_CHANGES


def test_read_request_charges_its_bucket_durably_without_commit() -> None:
    made = Noting()
    answer = send(made, "get")
    assert answer.response.status == 200
    assert made.steps == [(answer.changes, True)]


def test_request_that_ends_in_a_replay_makes_its_charge_durable() -> None:
    made = Noting()
    made.conflicts = 1
    # The first attempt is charged and conflicts, and a request without buckets is faster.
    unlimited = attrs.evolve(SETTINGS, buckets=())
    made.before_commit = then(lambda: send(made, "create", settings=unlimited))
    answer = send(made, "create")
    assert answer.replayed
    charge, *_, last = made.steps
    assert (last, answer.changes) == ((NO_CHANGES, True), charge[0])


def test_read_without_buckets_calls_neither_charge_nor_commit() -> None:
    made = Noting()
    assert send(made, "get", settings=Settings()).response.status == 200
    assert made.steps == []


# --- Facts ----------------------------------------------------------------------------------


def test_recorded_tombstone_returns_changes_of_all_its_commits() -> None:
    made = faulty((), pending())
    committed: list[Changes] = []
    made.before_commit = committed.append
    answer = record(made, curae.Tombstoned(COORDINATE))
    assert isinstance(answer, curae.Done)
    assert len(committed) == 3
    assert answer.value == committed[0] + committed[1] + committed[2]
