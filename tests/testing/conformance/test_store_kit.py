"""Tests of the kit on a store: which checks run on it, and why the others do not."""

from __future__ import annotations

import attrs
import pytest

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.conformance import CHECKS, NotRun, Progress
from curae_lifecycle.testing.conformance.steps import Names
from curae_lifecycle.testing.conformance.store_kit import NO_CLOCK, _reason_not_run, check_store
from curae_lifecycle.testing.conformance.store_server import StoreHooks
from tests.testing.conformance.store_world import Bare, ReadOnly

ENVIRONMENT = "permission.wrong-environment"
ROUTE = "request.route"


def reasons(store: Bare | MemoryStore, *names: str) -> dict[str, str]:
    report = check_store(store, only=names, seed="1")
    assert not report.failed, str(report)
    return {each.check: each.reason for each in report.not_run}


def test_skip_reason_names_the_store_method_that_is_missing() -> None:
    names = ["registration.withdrawn", "page.finish", "page.cancel", "purge.live", "outbox.ids"]
    assert reasons(Bare(), *names, ROUTE) == {
        name: f"the store has no method {method}"
        for name, method in zip(
            names, ["withdraw", "hosted_page", "hosted_page", "purge", "outbox"], strict=True
        )
    }
    assert reasons(MemoryStore(), *names) == {}


def test_skip_reason_names_once_a_method_that_two_hooks_need() -> None:
    (both,) = [each for each in CHECKS if {"finish", "cancel"} <= set(each.hooks)][:1]
    assert reasons(Bare(), both.name) == {both.name: "the store has no method hosted_page"}


def test_skip_reason_names_every_missing_store_method() -> None:
    check = attrs.evolve(CHECKS[0], hooks=("purge", "authorize", "outbox", "finish"))
    reason = _reason_not_run(check, StoreHooks(Bare()).server(), Bare())
    assert reason == "the store has no method purge, outbox, hosted_page"


def test_deadline_checks_are_not_run_without_a_settable_clock() -> None:
    deadlines = ["page.finish.over", "page.cancel.over", "purge.over"]
    others = ["page.finish", "purge.live", "standing.lapsed"]
    judged = [
        each.name
        for each in CHECKS
        if "pass_time" in each.hooks and {"finish", "cancel", "purge"} & set(each.hooks)
    ]
    assert set(deadlines) <= set(judged)
    assert not set(others) & set(judged)
    assert reasons(MemoryStore(), *deadlines) == {}
    assert reasons(ReadOnly(), *deadlines, *others) == dict.fromkeys(deadlines, NO_CLOCK)


def test_store_kit_also_runs_check_that_needs_one_environment() -> None:
    told: list[Progress] = []
    report = check_store(
        ReadOnly(),
        only=[ENVIRONMENT, ROUTE, "page.finish.over"],
        seed="mine",
        progress=told.append,
    )
    assert report.passed == (ROUTE, ENVIRONMENT)
    assert (report.failed, report.seed) == ((), "mine")
    assert report.not_run == (NotRun("page.finish.over", NO_CLOCK),)
    assert [each.check for each in told] == [ROUTE, ENVIRONMENT]


class Counting(MemoryStore):
    """A store that notes the apps whose keys are registered."""

    def __init__(self) -> None:
        super().__init__()
        self.apps: list[str] = []

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        self.apps.append(caller.app_id)
        super().register(api_key, caller)


def test_store_kit_uses_and_reports_the_given_or_a_random_seed() -> None:
    store = Counting()
    assert check_store(store, only=[ROUTE, ENVIRONMENT], seed="mine").seed == "mine"
    assert store.apps[0] == Names(f"mine {ROUTE}").word("app")
    assert Names(f"mine {ENVIRONMENT}").word("app") in store.apps
    seeds = {check_store(store, only=[ROUTE]).seed for _ in range(2)}
    assert len(seeds) == 2
    assert not seeds & {"", "None"}
    assert {Names(f"{seed} {ROUTE}").word("app") for seed in seeds} <= set(store.apps)


def test_store_kit_runs_all_kit_checks_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    few = [each for each in CHECKS if each.name in {ROUTE, "page.finish"}]
    monkeypatch.setattr(
        "curae_lifecycle.testing.conformance.store_kit.select_checks",
        lambda only: few if only is None else [],
    )
    report = check_store(Bare(), seed="1")
    assert report.passed == (ROUTE,)
    assert [each.check for each in report.not_run] == ["page.finish"]


class Broken(MemoryStore):
    """A store that cannot load."""

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        raise LookupError(needs, key_digest)


def test_broken_store_fails_on_one_and_two_environment_servers() -> None:
    report = check_store(Broken(), only=[ROUTE, ENVIRONMENT], seed="1")
    assert [each.check for each in report.failed] == [ROUTE, ENVIRONMENT]
