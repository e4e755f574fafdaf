"""The runner of the kit: it runs checks against a server, in threads or in an event loop.

The law of this module: **every check ends in time as exactly one of passed, failed and not run**,
whatever the server does. A failed check does not stop the others.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Sequence
from contextvars import copy_context
from datetime import timedelta
from threading import Barrier, Thread
from typing import Final, Protocol, cast

from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance.all_checks import select_checks
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.failures import (
    STEPS_IN_MESSAGE,
    HistoryEntry,
    check_result,
    describe_step,
    failure_of,
    history_of,
    result_of_blocking,
    server_raised,
)
from curae_lifecycle.testing.conformance.probe import PROBE, down_failure, reason_not_run
from curae_lifecycle.testing.conformance.results import (
    Failure,
    NotRun,
    Progress,
    ProgressCallback,
    Report,
    Result,
    outcome_of,
)
from curae_lifecycle.testing.conformance.server import HOOKS, UNLIMITED_TIME, AsyncServer, Server
from curae_lifecycle.testing.conformance.steps import (
    CheckContext,
    Concurrently,
    HookCall,
    Names,
    NotSeenError,
    Operations,
    SingleStep,
    Step,
)
from curae_lifecycle.testing.conformance.timeout import (
    DEFAULT_TIMEOUT,
    CheckTimeoutError,
    check_timeout,
    run_with_timeout,
    run_with_timeout_async,
)

_SWITCH_INTERVAL: Final = 1e-5
"""The interpreter's thread switch interval, in seconds, while steps run concurrently.

A short interval lets threads interleave often, so that races show.
"""

_BUCKETS: Final = "replace_buckets"
_RESTORE_BUCKETS: Final = HookCall(_BUCKETS, (None,))
"""The step that restores the server's buckets after a check that replaced them."""


def run(
    server: Server,
    *,
    only: Collection[str] | None = None,
    seed: str | None = None,
    operations: Operations = OPERATIONS,
    timeout: timedelta | None = DEFAULT_TIMEOUT,
    progress: ProgressCallback | None = None,
) -> Report:
    """Run the checks of the conformance kit against a server and return the result of each.

    A check with a timeout, and each of several concurrent steps, runs in a new thread. `send` and
    the other functions of the server see a copy of the caller's context variables there.

    Args:
        server: The server.
        only: The names of the checks to run; all by default.
        seed: The seed of the names that the checks send. It is random by default, since a server
            that keeps running still holds the names of earlier runs.
        operations: The classes of the operations that the server serves.
        timeout: How long a check may take. If the server's `max_time_per_check` is limited, that
            time is added. A check that takes longer fails, and its thread is left behind. With
            `None` there is no timeout, and every check runs in the caller's own thread. Only the
            concurrent steps of checks named `race.*` or `*.at-once*` run in new threads.
        progress: Called after each check with its outcome.

    Returns:
        The result of every selected check: passed, failed or not run. If the server stops
        answering, one check fails and the others are not run.

    Raises:
        ArgumentError: `only` is empty or a single text, or `timeout` is not above zero.
        KeyError: A name in `only` is not the name of a check.
    """
    seed = secrets.token_hex(8) if seed is None else seed
    results = _Results(select_checks(only, operations), progress)

    def run_one(check: Check) -> Result:
        return run_check(server, check=check, seed=seed, operations=operations, timeout=timeout)

    for check in results.checks():
        result = run_one(check)
        if results.needs_probe(result):
            result = results.judge_probe(result, run_one(PROBE))
        results.add(check, result)
    return results.report(seed)


async def run_async(
    server: AsyncServer,
    *,
    only: Collection[str] | None = None,
    seed: str | None = None,
    operations: Operations = OPERATIONS,
    timeout: timedelta | None = DEFAULT_TIMEOUT,
    progress: ProgressCallback | None = None,
) -> Report:
    """Run the checks of the kit against an async server, as `run` does; return the result of each.

    A check that exceeds the timeout is cancelled and fails. The timeout cannot interrupt a
    coroutine that blocks the event loop. If the server stops answering, one check fails and the
    others are not run.

    Args:
        server: The server.
        only: The names of the checks to run; all by default.
        seed: The seed of the names that the checks send; random by default.
        operations: The classes of the operations that the server serves.
        timeout: How long a check may take; `None` for no timeout. If the server's
            `max_time_per_check` is limited, that time is added.
        progress: Called after each check with its outcome.

    Raises:
        ArgumentError: `only` is empty or a single text, or `timeout` is not above zero.
        KeyError: A name in `only` is not the name of a check.
    """
    seed = secrets.token_hex(8) if seed is None else seed
    results = _Results(select_checks(only, operations), progress)

    async def run_one(check: Check) -> Result:
        return await run_check_async(
            server, check=check, seed=seed, operations=operations, timeout=timeout
        )

    for check in results.checks():
        result = await run_one(check)
        if results.needs_probe(result):
            result = results.judge_probe(result, await run_one(PROBE))
        results.add(check, result)
    return results.report(seed)


class _Results:
    """The results of a run in progress."""

    def __init__(self, selected: list[Check], progress: ProgressCallback | None) -> None:
        self._selected = selected
        self._progress = progress
        self._results: list[tuple[Check, Result]] = []
        self._began = 0.0
        self._down: Failure | None = None

    def checks(self) -> Iterator[Check]:
        """Yield each check to run and note when it begins.

        Once the server is down, the other checks are added as not run.
        """
        for check in self._selected:
            self._began = time.monotonic()
            if self._down is None:
                yield check
            else:
                self.add(check, NotRun(check.name, reason_not_run(self._down)))

    def needs_probe(self, result: Result) -> bool:
        """Return whether the server may be down and there are more checks to run."""
        is_last = len(self._results) == len(self._selected) - 1
        return isinstance(result, Failure) and result.may_be_down and not is_last

    def judge_probe(self, result: Result, probe: Result) -> Result:
        """Return the result of a check, or a failure that says that the server is down.

        Args:
            result: The result of the check.
            probe: The result of the probe after the check.
        """
        if isinstance(result, Failure) and isinstance(probe, Failure):
            result = self._down = down_failure(result, probe)
        return result

    def add(self, check: Check, result: Result) -> None:
        """Add the result of a check and report the progress."""
        self._results.append((check, result))
        if self._progress is None:
            return
        self._progress(
            Progress(
                check=check.name,
                outcome=outcome_of(result),
                seconds=time.monotonic() - self._began,
                number=len(self._results),
                total=len(self._selected),
            )
        )

    def report(self, seed: str) -> Report:
        """Return the report of the run."""
        results = [result for _, result in self._results]
        return Report(
            passed=tuple([check.name for check, result in self._results if result is None]),
            failed=tuple([result for result in results if isinstance(result, Failure)]),
            not_run=tuple([result for result in results if isinstance(result, NotRun)]),
            seed=seed,
        )


class _CheckRun:
    """One run of a check. With a timeout, another thread than the caller's performs its steps."""

    def __init__(self, check: Check, kit: CheckContext, timeout: timedelta | None) -> None:
        self.check = check
        self.timeout = timeout
        self.steps = check.begin(kit)
        self.history: deque[HistoryEntry] = deque(maxlen=STEPS_IN_MESSAGE)
        self.last_status = 0
        self.current: Step | None = None
        self.abandoned = False
        self.replaces_buckets = _BUCKETS in check.hooks

    def next(self, outcome: object) -> Step | None:
        """Send the outcome of the last step and return the next one, or None after the end."""
        if self.abandoned:
            return None
        try:
            self.current = self.steps.send(outcome)
        except StopIteration:
            return None
        return self.current

    def note(self, step: Step, outcome: object) -> None:
        """Add a step and its outcome to the history."""
        if isinstance(outcome, Response):
            self.last_status = outcome.status
        self.history.extend(history_of(step, outcome))

    def result_of(self, error: Exception) -> Result:
        """Return the result of a check that raised an error."""
        if isinstance(error, NotSeenError):
            return NotRun(self.check.name, str(error))
        return failure_of(self.check, error, self.history, last_status=self.last_status)

    def time_out(self) -> Result:
        """Abandon the check and return its failure."""
        self.abandoned = True
        where = "" if self.current is None else f"\n  where: {describe_step(self.current)}"
        error = CheckTimeoutError(f"the check took longer than {self.timeout}{where}")
        # The abandoned thread may still add to the history.
        return failure_of(self.check, error, self.history.copy())


def run_check(
    server: Server,
    check: Check,
    seed: str,
    operations: Operations,
    timeout: timedelta | None = DEFAULT_TIMEOUT,
) -> Result:
    """Run one check; return None if it passed, else a `Failure` or `NotRun`.

    If the check replaced the server's rate-limit buckets, they are restored afterwards.

    Args:
        server: The server.
        check: The check.
        seed: The seed of the names that the check sends.
        operations: The classes of the operations that the server serves.
        timeout: How long the check may take before it fails, as in `run`; `None` for no timeout.
    """
    begun = _begin(server, check=check, seed=seed, operations=operations, timeout=timeout)
    if isinstance(begun, NotRun):
        return begun
    result = _result(begun, lambda: _drive(server, begun))
    if not begun.replaces_buckets:
        return result
    begun.current = _RESTORE_BUCKETS
    restored = _result(begun, lambda: _perform(server, _RESTORE_BUCKETS))
    return result or restored


def _result(check_run: _CheckRun, work: Callable[[], object]) -> Result:
    try:
        run_with_timeout(check_run.timeout, work)
    except CheckTimeoutError:
        return check_run.time_out()
    except Exception as error:  # noqa: BLE001 - any error is the result of the check
        return check_run.result_of(error)
    return None


async def run_check_async(
    server: AsyncServer,
    check: Check,
    seed: str,
    operations: Operations,
    timeout: timedelta | None = DEFAULT_TIMEOUT,
) -> Result:
    """Run one check against an async server; return None if it passed, or a `Failure` or `NotRun`.

    If the check replaced the server's rate-limit buckets, they are restored afterwards.

    Args:
        server: The server.
        check: The check.
        seed: The seed of the names that the check sends.
        operations: The classes of the operations that the server serves.
        timeout: How long the check may take before it fails, as in `run`; `None` for no timeout.
    """
    begun = _begin(server, check=check, seed=seed, operations=operations, timeout=timeout)
    if isinstance(begun, NotRun):
        return begun
    result = await _result_async(begun, _drive_async(server, begun))
    if not begun.replaces_buckets:
        return result
    begun.current = _RESTORE_BUCKETS
    restored = await _result_async(begun, _perform_async(server, _RESTORE_BUCKETS))
    return result or restored


async def _result_async(check_run: _CheckRun, work: Coroutine[object, object, object]) -> Result:
    try:
        await run_with_timeout_async(check_run.timeout, work)
    except CheckTimeoutError:
        return check_run.time_out()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling() or check_run.current is None:
            raise
        # No caller cancelled the run, so the server cancelled the check.
        return check_run.result_of(server_raised(check_run.current, error))
    except Exception as error:  # noqa: BLE001 - any error is the result of the check
        return check_run.result_of(error)
    return None


def _begin(
    server: Server | AsyncServer,
    check: Check,
    seed: str,
    operations: Operations,
    timeout: timedelta | None,
) -> _CheckRun | NotRun:
    check_timeout(timeout)
    hooks = frozenset([hook for hook in HOOKS if _has_hook(server, hook)])
    missing = [hook for hook in check.hooks if hook not in hooks]
    if missing:
        return NotRun(check.name, f"needs {', '.join(missing)}")
    if check.time_needed > server.max_time_per_check:
        return NotRun(check.name, f"needs a max_time_per_check of {check.time_needed}")
    if timeout is not None and server.max_time_per_check < UNLIMITED_TIME:
        # The server's `pass_time` may really wait that long.
        timeout += server.max_time_per_check
    kit = CheckContext(
        names=Names(f"{seed} {check.name}"),
        environment=Environment.LIVE if server.environment is None else server.environment,
        hooks=hooks,
        max_time_per_check=server.max_time_per_check,
        varying=server.varying_headers,
        seed=seed,
        operations=operations,
        rounds=server.race_rounds or 0,
    )
    return _CheckRun(check, kit, timeout)


def _has_hook(server: Server | AsyncServer, hook: str) -> bool:
    if hook == "race_rounds":
        return (server.race_rounds or 0) > 0
    return getattr(server, hook) is not None


class _Hook(Protocol):
    def __call__(self, *arguments: object) -> object: ...


class _AsyncHook(Protocol):
    def __call__(self, *arguments: object) -> Awaitable[object]: ...


# --- In threads -----------------------------------------------------------------------------


def _drive(server: Server, check_run: _CheckRun) -> None:
    outcome: object = None
    while (step := check_run.next(outcome)) is not None:
        outcome = _perform(server, step)
        check_run.note(step, outcome)


def _perform(server: Server, step: Step) -> object:
    if isinstance(step, Concurrently):
        return _perform_concurrently(server, step.steps)
    return _perform_one(server, step)


def _perform_one(server: Server, step: SingleStep, at_once: int = 1) -> object:
    try:
        if isinstance(step, HookCall):
            hook = cast("_Hook", getattr(server, step.hook))
            result = result_of_blocking(hook(*step.arguments))
        else:
            result = result_of_blocking(server.send(step))
    except NotSeenError:
        raise
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        raise server_raised(step, error, at_once) from error
    check_result(step, result)
    return result


def _perform_concurrently(server: Server, steps: tuple[SingleStep, ...]) -> tuple[object, ...]:
    start = Barrier(len(steps))
    outcomes: list[object] = [None] * len(steps)

    def perform(position: int) -> None:
        start.wait()
        try:
            outcomes[position] = _perform_one(server, steps[position], len(steps))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            outcomes[position] = error

    # One copy for each thread: no two threads can be in one context.
    threads = [
        Thread(target=copy_context().run, args=(perform, each), daemon=True)
        for each in range(len(steps))
    ]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    return _raise_first_error(outcomes)


# --- In an event loop -----------------------------------------------------------------------


async def _drive_async(server: AsyncServer, check_run: _CheckRun) -> None:
    outcome: object = None
    while (step := check_run.next(outcome)) is not None:
        outcome = await _perform_async(server, step)
        check_run.note(step, outcome)


async def _perform_async(server: AsyncServer, step: Step) -> object:
    if isinstance(step, Concurrently):
        calls = [_perform_one_async(server, each, len(step.steps)) for each in step.steps]
        return _raise_first_error(await asyncio.gather(*calls, return_exceptions=True))
    return await _perform_one_async(server, step)


async def _perform_one_async(server: AsyncServer, step: SingleStep, at_once: int = 1) -> object:
    try:
        if isinstance(step, HookCall):
            hook = cast("_AsyncHook", getattr(server, step.hook))
            result = await hook(*step.arguments)
        else:
            result = await server.send(step)
    except NotSeenError:
        raise
    except (Exception, SystemExit) as error:
        raise server_raised(step, error, at_once) from error
    check_result(step, result)
    return result


def _raise_first_error(outcomes: Sequence[object]) -> tuple[object, ...]:
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return tuple(outcomes)
