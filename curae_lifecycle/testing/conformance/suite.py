"""The kit as pytest tests: one test for each check, with the check's name as its id."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from datetime import timedelta

import attrs

from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.testing.conformance.all_checks import checks
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.results import Failure, NotRun, Result
from curae_lifecycle.testing.conformance.runner import run_check, run_check_async
from curae_lifecycle.testing.conformance.server import AsyncServer, Server
from curae_lifecycle.testing.conformance.steps import Operations
from curae_lifecycle.testing.conformance.timeout import DEFAULT_TIMEOUT


def conformance_tests(
    make_server: Callable[[], Server | AbstractContextManager[Server]],
    *,
    operations: Operations = OPERATIONS,
    timeout: timedelta | None = DEFAULT_TIMEOUT,
) -> Callable[[Check], None]:
    """Return a test function that is parametrized with every check of the kit.

    Args:
        make_server: Returns the server, or a context manager that yields the server and cleans up.
            `make_server` is called for each check and may return the same server each time.
        operations: The classes of the operations that the server serves.
        timeout: How long a check may take; a check that takes longer fails, as in `run`. Pass
            `None`, for no timeout, if the server must be called from the thread that made it, as
            with some database connections. Then deselect the checks that call it from several
            threads: `pytest -k "not at-once"`.

    Returns:
        A function to bind to a name that pytest collects, such as `test_conformance`. In a class,
            wrap the function in `staticmethod`; a `unittest.TestCase` cannot hold it. A check that
            cannot be run is skipped, with what is missing as the reason. A failure says how to
            repeat the check.
    """

    def test(check: Check) -> None:
        made = make_server()
        with nullcontext(made) if isinstance(made, Server) else made as server:
            result = run_repeatable(server, check, operations=operations, timeout=timeout)
        pass_fail_or_skip(result)

    return _parametrize(test, operations)


def async_conformance_tests(
    make_server: Callable[[], AsyncServer | AbstractAsyncContextManager[AsyncServer]],
    *,
    operations: Operations = OPERATIONS,
    timeout: timedelta | None = DEFAULT_TIMEOUT,
) -> Callable[[Check], None]:
    """Return a test function, parametrized with every check of the kit, for an async server.

    The test function needs no pytest plugin. Each check runs in a new event loop, in which
    `make_server` is called too. A check that cannot be run is skipped, with the reason.

    Args:
        make_server: Returns the server, or an async context manager that yields the server and
            cleans up.
        operations: The classes of the operations that the server serves.
        timeout: How long a check may take before it fails, as in `run`; `None` for no timeout.
    """

    async def run(check: Check) -> Result:
        made = make_server()
        async with nullcontext(made) if isinstance(made, AsyncServer) else made as server:
            return await run_repeatable_async(server, check, operations=operations, timeout=timeout)

    def test(check: Check) -> None:
        pass_fail_or_skip(asyncio.run(run(check)))

    return _parametrize(test, operations)


def _parametrize(test: Callable[[Check], None], operations: Operations) -> Callable[[Check], None]:
    import pytest  # noqa: PLC0415 - the kit itself runs without pytest

    kit = checks(operations)
    return pytest.mark.parametrize("check", kit, ids=[check.name for check in kit])(test)


def run_repeatable(
    server: Server, check: Check, *, operations: Operations, timeout: timedelta | None
) -> Result:
    """Run one check with a random seed, and say in the message of a failure how to repeat it.

    Args:
        server: The server.
        check: The check.
        operations: The classes of the operations that the server serves.
        timeout: How long the check may take before it fails, as in `run`; `None` for no timeout.

    Returns:
        `None` if the check passed, else a `Failure` or a `NotRun`.
    """
    seed = secrets.token_hex(8)
    result = run_check(server, check=check, seed=seed, operations=operations, timeout=timeout)
    return _with_seed(result, seed)


async def run_repeatable_async(
    server: AsyncServer, check: Check, *, operations: Operations, timeout: timedelta | None
) -> Result:
    """Run one check against an async server, with a random seed, as `run_repeatable` does.

    The message of a failure says how to repeat the check.

    Args:
        server: The server.
        check: The check.
        operations: The classes of the operations that the server serves.
        timeout: How long the check may take before it fails, as in `run`; `None` for no timeout.

    Returns:
        `None` if the check passed, else a `Failure` or a `NotRun`.
    """
    seed = secrets.token_hex(8)
    result = await run_check_async(
        server, check=check, seed=seed, operations=operations, timeout=timeout
    )
    return _with_seed(result, seed)


def _with_seed(result: Result, seed: str) -> Result:
    if not isinstance(result, Failure):
        return result
    call = f"run(server, only=[{result.check!r}], seed={seed!r})"
    return attrs.evolve(result, message=f"{result.message}\n  to repeat it: {call}")


def pass_fail_or_skip(result: Result) -> None:
    """Pass, fail or skip the current pytest test, by the result of a check.

    `None` passes the test, a `Failure` fails it, and a `NotRun` skips it.
    """
    import pytest  # noqa: PLC0415 - the kit itself runs without pytest

    match result:
        case None:
            return
        case Failure():
            pytest.fail(result.message, pytrace=False)
        case NotRun():
            pytest.skip(f"not run: {result.reason}")
