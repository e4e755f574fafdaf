"""The kit's checks as pytest tests with their own names, from a user's `conftest.py`.

The law of this module: **one check is one test**, whose name is the name of the check.

    from curae_lifecycle.testing.conformance.pytest_plugin import collect_checks
    from my_app.testing import make_server

    pytest_collect_file = collect_checks(__file__, make_server)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import timedelta
from functools import partial
from inspect import Parameter, Signature
from pathlib import Path
from typing import Protocol

import attrs
import pytest

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.testing.conformance.all_checks import checks
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.probe import PROBE, down_failure, reason_not_run
from curae_lifecycle.testing.conformance.results import Failure, NotRun, Result
from curae_lifecycle.testing.conformance.server import AsyncServer, Server
from curae_lifecycle.testing.conformance.steps import Operations
from curae_lifecycle.testing.conformance.suite import (
    pass_fail_or_skip,
    run_repeatable,
    run_repeatable_async,
)
from curae_lifecycle.testing.conformance.timeout import DEFAULT_TIMEOUT

AnyServer = (
    Server | AsyncServer | AbstractContextManager[Server] | AbstractAsyncContextManager[AsyncServer]
)
"""A server, or a context manager that yields the server and cleans up."""


class CollectFile(Protocol):
    """The type of the pytest hook `pytest_collect_file` in a `conftest.py`."""

    def __call__(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Return the collector of the tests in `file_path`, below `parent`; None without tests."""
        ...


def collect_checks(
    conftest: str,
    server: Callable[[], AnyServer] | str,
    *,
    operations: Operations = OPERATIONS,
    timeout: timedelta | None = DEFAULT_TIMEOUT,
) -> CollectFile:
    """Return a pytest hook that collects each check of the kit as a test.

    Bind the result to the name `pytest_collect_file` in the `conftest.py`. The tests are named
    `conftest.py::request.limit` and so on. A check that cannot be run is skipped with the reason.
    A failure says how to repeat the check.
    Once a server is down, one test fails and the tests that use the same server are skipped.

    Args:
        conftest: The path of the `conftest.py`: its `__file__`.
        server: A function, called for each test, that returns the server or a context manager that
            yields the server; or the name of a fixture, of any scope, whose value is the server.
        operations: The classes of the operations that the server serves.
        timeout: How long a check may take before it fails, as in `run`; `None` for no timeout.

    Raises:
        ArgumentError: `conftest` is no absolute path, so pytest would find no test.
    """
    path = Path(conftest)
    if not path.is_absolute():
        raise ArgumentError("conftest", "an absolute path: the __file__ of the conftest.py")

    def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        if file_path != path:
            return None
        file: _CheckFile = _CheckFile.from_parent(parent, path=file_path)  # pyright: ignore[reportUnknownMemberType] - pytest says no more
        file.tests = _CheckTests(server, operations, timeout)
        return file

    return pytest_collect_file


class _CheckFile(pytest.File):
    """The collector of the tests of one `conftest.py`."""

    tests: _CheckTests

    def collect(self) -> Iterator[pytest.Item]:
        """Yield a test for each check."""
        for check in checks(self.tests.operations):
            test: pytest.Item = pytest.Function.from_parent(  # pyright: ignore[reportUnknownMemberType] - pytest says no more
                self, name=check.name, callobj=self.tests.test_of(check)
            )
            yield test


@attrs.define
class _CheckTests:
    """The test functions of one `conftest.py`, and the last server that was found to be down."""

    server: Callable[[], AnyServer] | str
    operations: Operations
    timeout: timedelta | None
    down: tuple[object, Failure] | None = None

    def test_of(self, check: Check) -> Callable[..., None]:  # type: ignore[explicit-any]  # the fixtures vary
        """Return the test function of a check; its arguments are the fixtures that it needs."""
        if isinstance(self.server, str):
            return self._test_with_fixture(check, self.server)
        make = self.server

        def test() -> None:
            pass_fail_or_skip(self._run(check, make()))

        return test

    def _test_with_fixture(self, check: Check, name: str) -> Callable[..., None]:  # type: ignore[explicit-any]  # as above
        def test(**fixtures: AnyServer) -> None:
            pass_fail_or_skip(self._run(check, fixtures[name]))

        # pytest reads the names of the fixtures from the signature.
        parameters = [Parameter(name, Parameter.KEYWORD_ONLY)]
        test.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # read by `inspect`
        return test

    def _run(self, check: Check, made: AnyServer) -> Result:
        match made:
            case Server():
                return self._judge(check, made)
            case AsyncServer():
                return asyncio.run(self._judge_async(check, made))
            case AbstractContextManager():
                with made as server:
                    return self._run(check, server)
            case _:
                return asyncio.run(self._run_in_context(check, made))

    async def _run_in_context(
        self, check: Check, made: AbstractAsyncContextManager[AsyncServer]
    ) -> Result:
        async with made as server:
            return await self._judge_async(check, server)

    def _judge(self, check: Check, server: Server) -> Result:
        if self.down is not None and self.down[0] is server:
            return NotRun(check.name, reason_not_run(self.down[1]))
        run = partial(run_repeatable, server, operations=self.operations, timeout=self.timeout)
        result = run(check)
        if isinstance(result, Failure) and result.may_be_down:
            return self._judge_probe(server, result, run(PROBE))
        return result

    async def _judge_async(self, check: Check, server: AsyncServer) -> Result:
        if self.down is not None and self.down[0] is server:
            return NotRun(check.name, reason_not_run(self.down[1]))
        run = partial(
            run_repeatable_async, server, operations=self.operations, timeout=self.timeout
        )
        result = await run(check)
        if isinstance(result, Failure) and result.may_be_down:
            return self._judge_probe(server, result, await run(PROBE))
        return result

    def _judge_probe(self, server: object, failure: Failure, probe: Result) -> Failure:
        if not isinstance(probe, Failure):
            return failure
        down = down_failure(failure, probe)
        self.down = server, down
        return down
