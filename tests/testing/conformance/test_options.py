"""Tests that each entry point of the kit passes its options on to the checks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import attrs
import pytest

from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.conformance import (
    DEFAULT_TIMEOUT,
    AsyncServer,
    Check,
    Progress,
    Server,
    async_conformance_tests,
    checks,
    conformance_tests,
    run,
    run_async,
    runner,
    suite,
)
from curae_lifecycle.testing.conformance.pytest_plugin import collect_checks
from curae_lifecycle.testing.conformance.steps import Operations
from curae_lifecycle.testing.conformance.store_kit import check_store
from tests.support.eighth import EIGHT
from tests.support.kit import Reference, asynchronous

SPAN = timedelta(seconds=7)
"""A timeout that is no default."""

(RELABEL,) = [each for each in checks(EIGHT) if each.name == "operation.relabel"]


@attrs.frozen
class Options:
    """The options that a check was to run with."""

    check: str
    operations: Operations
    timeout: timedelta | None


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """Note the options of each check instead of running it."""
    noted: list[Options] = []

    def note(
        server: object,
        check: Check,
        seed: str,
        operations: Operations,
        timeout: timedelta | None = DEFAULT_TIMEOUT,
    ) -> None:
        del server, seed
        noted.append(Options(check.name, operations, timeout))

    async def note_async(
        server: object,
        check: Check,
        seed: str,
        operations: Operations,
        timeout: timedelta | None = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - as the function that it replaces
    ) -> None:
        note(server, check=check, seed=seed, operations=operations, timeout=timeout)

    for module in (runner, suite):
        monkeypatch.setattr(module, "run_check", note)
        monkeypatch.setattr(module, "run_check_async", note_async)
    return noted


def make_server() -> Server:
    return Reference().server()


def make_async() -> AsyncServer:
    return asynchronous(make_server())


RUNS: dict[str, Callable[[], object]] = {
    "run": lambda: run(make_server(), only=[RELABEL.name], operations=EIGHT, timeout=SPAN),
    "run_async": lambda: asyncio.run(
        run_async(make_async(), only=[RELABEL.name], operations=EIGHT, timeout=SPAN)
    ),
    "conformance_tests": lambda: conformance_tests(make_server, operations=EIGHT, timeout=SPAN)(
        RELABEL
    ),
    "async_conformance_tests": lambda: async_conformance_tests(
        make_async, operations=EIGHT, timeout=SPAN
    )(RELABEL),
}
"""Each function of the kit that takes operations and a timeout, called for one check."""


@pytest.mark.parametrize("name", RUNS)
def test_kit_function_passes_operations_and_timeout_to_a_check(
    name: str, started: list[Options]
) -> None:
    RUNS[name]()
    assert started == [Options(RELABEL.name, EIGHT, SPAN)]


@pytest.mark.parametrize("make", [make_server, make_async])
def test_pytest_kit_passes_operations_and_timeout_to_each_check(
    make: Callable[[], Server] | Callable[[], AsyncServer],
    request: pytest.FixtureRequest,
    started: list[Options],
) -> None:
    collect = collect_checks(__file__, make, operations=EIGHT, timeout=SPAN)
    file = collect(Path(__file__), request.session)
    assert file is not None
    for each in file.collect():
        assert isinstance(each, pytest.Function)
        each.obj()
    assert started == [Options(each.name, EIGHT, SPAN) for each in checks(EIGHT)]


def test_store_kit_passes_timeout_and_progress_to_each_check(started: list[Options]) -> None:
    # The second one needs a server that serves one environment only.
    names = ["request.route", "permission.wrong-environment"]
    told = list[Progress]()
    report = check_store(MemoryStore(), only=names, timeout=SPAN, progress=told.append)
    assert report.passed == tuple(names)
    assert started == [Options(each, OPERATIONS, SPAN) for each in names]
    assert [each.check for each in told] == names
