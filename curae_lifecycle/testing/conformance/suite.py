"""The kit as tests of pytest: one test for each check, named after it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from datetime import timedelta

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
    """A test function, parametrized with every check of the kit.

    Args:
        make_server: Gives the server, or a context manager that gives it and cleans up. It is called
            for each check and may give the same server each time.
        operations: What the server serves.
        timeout: How long a check may take, as in `run`; `None` where what `make_server` gives belongs to
            the thread that called it, as a connection to a database may.

    Returns:
        What to bind to a name that pytest collects, such as `test_conformance`. A check that
        cannot be run is a skipped test, whose reason names what is missing.
    """

    def test(check: Check) -> None:
        made = make_server()
        with nullcontext(made) if isinstance(made, Server) else made as server:
            result = run_check(
                server,
                check=check,
                seed=secrets.token_hex(8),
                operations=operations,
                timeout=timeout,
            )
        _tell(result)

    return _parametrized(test, operations)


def async_conformance_tests(
    make_server: Callable[[], AsyncServer | AbstractAsyncContextManager[AsyncServer]],
    *,
    operations: Operations = OPERATIONS,
    timeout: timedelta | None = DEFAULT_TIMEOUT,
) -> Callable[[Check], None]:
    """The same for a server of coroutine functions; it needs no plugin of pytest's.

    Each check runs in an event loop of its own, in which `make_server` is called too.
    """

    async def run(check: Check) -> Result:
        made = make_server()
        async with nullcontext(made) if isinstance(made, AsyncServer) else made as server:
            return await run_check_async(
                server,
                check=check,
                seed=secrets.token_hex(8),
                operations=operations,
                timeout=timeout,
            )

    def test(check: Check) -> None:
        _tell(asyncio.run(run(check)))

    return _parametrized(test, operations)


def _parametrized(test: Callable[[Check], None], operations: Operations) -> Callable[[Check], None]:
    # Only here, so that the kit itself runs without pytest.
    import pytest  # noqa: PLC0415 - see above

    kit = checks(operations)
    return pytest.mark.parametrize("check", kit, ids=[check.name for check in kit])(test)


def _tell(result: Result) -> None:
    import pytest  # noqa: PLC0415 - see above

    match result:
        case None:
            return
        case Failure():
            pytest.fail(result.message, pytrace=False)
        case NotRun():
            pytest.skip(f"not run: {result.reason}")
