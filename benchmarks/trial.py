"""Trials of mutants: the tests that call a function run against each of its mutants.

The law of this module: **the verdict is the same in every run**. The tests are collected once. For
each mutant a forked process runs the tests that call the function, the cheapest first, until one
fails.
"""

from __future__ import annotations

import cProfile
import os
import pickle
import resource
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Final

import pytest
from _pytest.runner import runtestprotocol

from benchmarks.mutant import PACKAGE, Mutant, activate, forget_results, function_of

CPU_SECONDS: Final = 60
"""The processor time after which a mutant counts as killed; the tests themselves need far less."""

WALL_SECONDS: Final = 300
"""The wall-clock time after which a mutant counts as killed; a wait for an event may never end."""

MEMORY: Final = 4 * 1024**3
BROKEN: Final = 70
"""The exit status of a process whose mutant cannot be tried."""

PROCESSES: Final = (
    "tests/cli/",
    "tests/servers/",
    "tests/stores/django/",
    "tests/stores/redis/",
    "tests/stores/sql/",
    "tests/stores/test_api_keys.py",
    "tests/testing/conformance/",
    "tests/testing/races/",
    "tests/testing/simulation/",
    "tests/testing/strategies/test_edges.py",
    "tests/testing/strategies/test_reach.py::test_repr_of_a_logged_interaction_is_under_1000_characters",
    "tests/testing/strategies/test_reach.py::test_strategies_draw_every_defect_of_a_log_line",
    "tests/testing/strategies/test_reach.py::test_strategies_draw_every_kind_of_log_line",
    "tests/testing/strategies/test_reach.py::test_strategies_draw_every_reply_type",
    "tests/testing/strategies/test_registry.py::test_register_covers_every_public_type",
    "tests/testing/strategies/test_shrink.py::test_drawn_outcomes_shrink_to_simple_examples",
    "tests/testing/strategies/test_shrink.py::test_drawn_replay_shrinks_to_the_same_request_twice",
    "tests/testing/strategies/test_shrink.py::test_lapsed_connection_shrinks_to_a_new_one_at_its_deadline",
    "tests/testing/strategies/test_shrink.py::test_revoked_connection_shrinks_to_one_revocation",
    "tests/testing/strategies/test_shrink.py::test_shrunk_second_attempt_is_two_begins_one_lease_",
    "tests/testing/strategies/test_shrink.py::test_strategies_draw_a_chain_with_a_reissued_next_",
    "tests/testing/strategies/test_values.py::test_drawn_preview_has_a_refusal_only_if_refused",
    "tests/testing/strategies/test_values.py::test_drawn_record_has_the_requested_standing",
)
"""Places whose slow tests are left out. They start processes or database servers, run the whole kit
or worlds, or draw thousands of values: together more than a mutant may compute."""

TRANSCRIPTS: Final = "tests/testing/conformance/test_transcripts.py"
"""Tests that call most of the package. They run only against mutants of `testing`."""

QUICK_ONE_BY_ONE: Final = (TRANSCRIPTS, "tests/testing/simulation/test_recorded_worlds.py")
"""Files of `PROCESSES` whose slow tests run: each of these tests is quick, but they are many."""

SERVERS: Final = ("postgres_server", "mariadb_server", "redis_url")
"""Fixtures that start a database server. Mutants are tried without them, on SQLite or a fake."""

Place = tuple[str, int]
"""A function's file and first line."""


class Trial:
    """A pytest plugin that runs the tests against every mutant instead of once."""

    def __init__(self, mutants: list[Mutant], jobs: int) -> None:
        """Create the plugin.

        Args:
            mutants: The mutants to try.
            jobs: The number of mutants to try at once.
        """
        self.mutants = mutants
        self.jobs = jobs
        self.survivors: list[Mutant] = []
        self.callers: dict[Place, dict[pytest.Item, int]] = {}
        self.failure = "the tests were not collected"

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out slow tests of `PROCESSES`, and tests that run against none of the mutants."""
        modules = {mutant.module for mutant in self.mutants}
        items[:] = [
            item
            for item in items
            if not (_computes_too_long(item) and item.get_closest_marker("slow"))
            and any(_is_run_against(item, module) for module in modules)
        ]

    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> None:
        """Skip each test that needs a database server, however it requests the server."""
        if fixturedef.argname in SERVERS:
            # pytest caches the outcome of the fixture's function, but not that of a hook.
            vars(fixturedef)["func"] = _skip

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Find the tests that call each function, then try the mutants, `jobs` at once."""
        self.failure = ""
        self._observe(session.items)
        waiting = list(enumerate(self.mutants))[::-1]
        running: dict[int, int] = {}
        ends: dict[int, int] = {}
        while not self.failure and (waiting or running):
            while waiting and len(running) < self.jobs:
                number, mutant = waiting.pop()
                running[_in_child(partial(self._attempt, mutant))] = number
            child, status = os.wait()
            number = running.pop(child)
            ends[number] = status
            if os.waitstatus_to_exitcode(status) == BROKEN:
                self.failure = f"this mutant cannot be tried: {self.mutants[number]}"
        self.survivors = [
            mutant for number, mutant in enumerate(self.mutants) if ends.get(number) == 0
        ]
        return True

    def _observe(self, items: list[pytest.Item]) -> None:
        """Run every test without a mutant, and count its calls of each function of the package."""
        with tempfile.TemporaryDirectory() as folder:
            running = {}
            for share in range(self.jobs):
                report = Path(folder, str(share))
                running[_in_child(partial(self._watch, items, share, report))] = report
            while running:
                child, status = os.wait()
                report = running.pop(child)
                if status:
                    self.failure = report.read_text() if report.exists() else "a test crashed"
                    continue
                for number, calls in pickle.loads(report.read_bytes()):  # noqa: S301 - ours
                    for place in calls:
                        self.callers.setdefault(place, {})[items[number]] = sum(calls.values())

    def _watch(self, items: list[pytest.Item], share: int, report: Path) -> int:
        """Run every `jobs`-th test under a profiler, in a separate process.

        Args:
            items: All tests.
            share: The number of the first test to run.
            report: The file for the counted calls, or for the reason if a test fails.

        Returns:
            1 if a test fails, 0 otherwise.
        """
        seen = []
        for number in range(share, len(items), self.jobs):
            # A result that another test left in a cache would hide the calls of this test.
            forget_results(self.mutants)
            results, calls = _observed(items[number])
            for result in results:
                if result.failed:
                    why = f"{result.nodeid} fails without any mutant\n{result.longrepr}"
                    report.write_text(why)
                    return 1
            if not any(result.skipped for result in results):
                seen.append((number, calls))
        report.write_bytes(pickle.dumps(seen))
        return 0

    def _attempt(self, mutant: Mutant) -> int:
        """Run the tests of a mutant in a separate process; return 1 if one fails, 0 otherwise."""
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        signal.alarm(WALL_SECONDS)
        callers = self.callers.get(_place(function_of(mutant).__code__), {})
        activate(mutant)
        tests = [each for each in callers if _is_run_against(each, mutant.module)]
        for item in sorted(tests, key=callers.__getitem__):
            if any(result.failed for result in runtestprotocol(item, log=False, nextitem=None)):
                return 1
        return 0


def _computes_too_long(item: pytest.Item) -> bool:
    return item.nodeid.startswith(PROCESSES) and not item.nodeid.startswith(QUICK_ONE_BY_ONE)


def _is_run_against(item: pytest.Item, module: str) -> bool:
    return module.startswith("testing.") or not item.nodeid.startswith(TRANSCRIPTS)


def _skip() -> None:
    pytest.skip("starts a database server")


def _observed(item: pytest.Item) -> tuple[list[pytest.TestReport], dict[Place, int]]:
    """Run a test under a profiler; return its reports and its calls of the package.

    A function that runs in a thread of the test counts as one call.
    """
    profile = cProfile.Profile(builtins=False)
    in_threads: set[CodeType] = set()
    threading.setprofile(lambda frame, _, __: in_threads.add(frame.f_code))
    profile.enable()
    reports = runtestprotocol(item, log=False, nextitem=None)
    profile.disable()
    calls = dict.fromkeys(in_threads.copy(), 1)
    calls |= {
        entry.code: entry.callcount
        for entry in profile.getstats()
        if isinstance(entry.code, CodeType)
    }
    return reports, {
        _place(code): count
        for code, count in calls.items()
        if code.co_filename.startswith(str(PACKAGE))
    }


def _place(code: CodeType) -> Place:
    """Return a function's file and first line, which are the same in every process."""
    return code.co_filename, code.co_firstlineno


def _in_child(run: Callable[[], int]) -> int:
    """Fork a child that exits with the result of `run`, and return the child's process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = BROKEN
        try:
            status = run()
        except BaseException:  # noqa: BLE001 - a child must never continue as a second parent
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child
