"""Runs checks against a server, in threads or in a loop, and tells what came of them.

The law of this module: **every check ends in exactly one of passed, failed and not run**, whatever
a server does, and in time; a check that failed stops no other.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Sequence
from datetime import timedelta
from threading import Barrier, Thread
from typing import Final, Protocol, cast

from curae_lifecycle.rules.errors import LifecycleError
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance.all_checks import checks
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.client import in_short
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
    run_with_timeout,
    run_with_timeout_async,
)
from curae_lifecycle.testing.laws import LAWS
from curae_lifecycle.web.request import Request

_SWITCH: Final = 1e-5
"""How often threads take turns while requests are sent at once: often, so that races show."""

_LAST: Final = 4
"""How many steps a failure tells."""

_SHORT: Final = 80
"""How much of a body it tells."""

_UNTOLD: Final = frozenset({"make_key", "register_again", "withdraw", "outbox"})
"""The hooks of which a failure tells no more than that they were called."""

_NOT_TOLD: Final = frozenset({"authorization", "content-type"})

_BUCKETS: Final = "replace_buckets"
_OWN_BUCKETS: Final = HookCall(_BUCKETS, (None,))
"""What ends a check that brought buckets of its own, however it went."""


class ServerRaisedError(LifecycleError, AssertionError):
    """A function of the server's raised instead of answering."""


def run(
    server: Server,
    *,
    only: Collection[str] | None = None,
    seed: str | None = None,
    operations: Operations = OPERATIONS,
    timeout: timedelta | None = DEFAULT_TIMEOUT,
    progress: ProgressCallback | None = None,
) -> Report:
    """Run the checks against a server.

    Args:
        server: The server.
        only: Names of checks; all by default.
        seed: Of the names that are sent; a fresh one by default, as a server that lives on
            knows the names of earlier runs.
        operations: What the server serves.
        timeout: How long a check may take, beside the server's patience; then it has failed, and
            the thread that runs it is left behind. With `None` every check takes what it takes,
            in the caller's own thread.
        progress: Is told of each check that has ended.

    Returns:
        Every check that was asked for, as passed, failed or not run.

    Raises:
        KeyError: A name that no check has.
    """
    seed = secrets.token_hex(8) if seed is None else seed
    going = _Run(select_checks(only, operations), progress)
    for check in going.checks():
        going.ended(
            check, run_check(server, check=check, seed=seed, operations=operations, timeout=timeout)
        )
    return going.report(seed)


async def run_async(
    server: AsyncServer,
    *,
    only: Collection[str] | None = None,
    seed: str | None = None,
    operations: Operations = OPERATIONS,
    timeout: timedelta | None = DEFAULT_TIMEOUT,
    progress: ProgressCallback | None = None,
) -> Report:
    """Run the checks against a server whose functions are coroutine functions; see `run`.

    What exceeds the limit is cancelled. A function that blocks the loop holds up everything.
    """
    seed = secrets.token_hex(8) if seed is None else seed
    going = _Run(select_checks(only, operations), progress)
    for check in going.checks():
        going.ended(
            check,
            await run_check_async(
                server, check=check, seed=seed, operations=operations, timeout=timeout
            ),
        )
    return going.report(seed)


class _Run:
    # What has come of the checks so far.

    def __init__(self, asked: list[Check], progress: ProgressCallback | None) -> None:
        self._asked = asked
        self._progress = progress
        self._results: list[tuple[Check, Result]] = []
        self._began = 0.0

    def checks(self) -> Iterator[Check]:
        for check in self._asked:
            self._began = time.monotonic()
            yield check

    def ended(self, check: Check, result: Result) -> None:
        self._results.append((check, result))
        if self._progress is None:
            return
        took = time.monotonic() - self._began
        done, total = len(self._results), len(self._asked)
        self._progress(
            Progress(
                check=check.name, outcome=outcome_of(result), seconds=took, number=done, total=total
            )
        )

    def report(self, seed: str) -> Report:
        results = [result for _, result in self._results]
        return Report(
            passed=tuple([check.name for check, result in self._results if result is None]),
            failed=tuple([result for result in results if isinstance(result, Failure)]),
            not_run=tuple([result for result in results if isinstance(result, NotRun)]),
            seed=seed,
        )


def select_checks(only: Collection[str] | None, operations: Operations = OPERATIONS) -> list[Check]:
    """The checks with these names, in the kit's own order.

    Raises:
        KeyError: A name that no check has.
    """
    kit = checks(operations)
    names = {check.name for check in kit}
    asked = names if only is None else set(only)
    if asked - names:
        raise KeyError(f"no such check: {', '.join(sorted(asked - names))}")
    return [check for check in kit if check.name in asked]


class _Attempt:
    # One run of a check, as it is seen from outside while it goes on.

    def __init__(self, check: Check, kit: CheckContext, limit: timedelta | None) -> None:
        self.check = check
        self.limit = limit
        self.steps = check.begin(kit)
        self.told: deque[str] = deque(maxlen=_LAST)
        self.at: Step | None = None
        self.given_up = False
        self.restores = _BUCKETS in check.hooks

    def next(self, outcome: object) -> Step | None:
        # The next step; none where the check has ended, or nobody waits for it any more.
        if self.given_up:
            return None
        try:
            self.at = self.steps.send(outcome)
        except StopIteration:
            return None
        return self.at

    def done(self, step: Step, outcome: object) -> object:
        self.told.extend(_told(step, outcome))
        return outcome

    def result(self, error: Exception) -> Result:
        if isinstance(error, NotSeenError):
            return NotRun(self.check.name, str(error))
        return _failure(self.check, error, self.told)

    def over(self) -> Result:
        self.given_up = True
        at = "" if self.at is None else f"\n  where: {_place(self.at)}"
        hung = CheckTimeoutError(f"it took longer than {self.limit}{at}")
        return _failure(self.check, hung, self.told.copy())


def run_check(
    server: Server,
    check: Check,
    seed: str,
    operations: Operations,
    timeout: timedelta | None = DEFAULT_TIMEOUT,
) -> Result:
    """Run one check; `timeout` as in `run`."""
    attempt = _begun(server, check=check, seed=seed, operations=operations, limit=timeout)
    if isinstance(attempt, NotRun):
        return attempt
    result = _bounded(attempt, lambda: _drive(server, attempt))
    if not attempt.restores:
        return result
    attempt.at = _OWN_BUCKETS
    restored = _bounded(attempt, lambda: _perform(server, _OWN_BUCKETS))
    return result or restored


def _bounded(attempt: _Attempt, work: Callable[[], object]) -> Result:
    try:
        run_with_timeout(attempt.limit, work)
    except CheckTimeoutError:
        return attempt.over()
    except Exception as error:  # noqa: BLE001 - whatever a server's answer led to is its account
        return attempt.result(error)
    return None


async def run_check_async(
    server: AsyncServer,
    check: Check,
    seed: str,
    operations: Operations,
    timeout: timedelta | None = DEFAULT_TIMEOUT,
) -> Result:
    """Run one check; `timeout` as in `run_async`."""
    attempt = _begun(server, check=check, seed=seed, operations=operations, limit=timeout)
    if isinstance(attempt, NotRun):
        return attempt
    result = await _bounded_async(attempt, _drive_async(server, attempt))
    if not attempt.restores:
        return result
    attempt.at = _OWN_BUCKETS
    restored = await _bounded_async(attempt, _perform_async(server, _OWN_BUCKETS))
    return result or restored


async def _bounded_async(attempt: _Attempt, work: Coroutine[object, object, object]) -> Result:
    try:
        await run_with_timeout_async(attempt.limit, work)
    except CheckTimeoutError:
        return attempt.over()
    except Exception as error:  # noqa: BLE001 - as above
        return attempt.result(error)
    return None


def _begun(
    server: Server | AsyncServer,
    check: Check,
    seed: str,
    operations: Operations,
    limit: timedelta | None,
) -> _Attempt | NotRun:
    lacking = [hook for hook in check.hooks if getattr(server, hook) is None]
    if lacking:
        return NotRun(check.name, f"needs {', '.join(lacking)}")
    if check.time_needed > server.max_time_per_check:
        return NotRun(check.name, f"needs the patience for {check.time_needed}")
    if limit is not None and server.max_time_per_check < UNLIMITED_TIME:
        # A server that really waits may do so for as long as it said.
        limit += server.max_time_per_check
    kit = CheckContext(
        names=Names(f"{seed} {check.name}"),
        environment=Environment.LIVE if server.environment is None else server.environment,
        hooks=frozenset([hook for hook in HOOKS if getattr(server, hook) is not None]),
        max_time_per_check=server.max_time_per_check,
        varying=server.varying_headers,
        seed=seed,
        operations=operations,
        rounds=server.race_rounds or 0,
    )
    return _Attempt(check, kit, limit)


def _failure(check: Check, error: Exception, told: deque[str]) -> Failure:
    known = isinstance(error, AssertionError)
    lines = [str(error) if known else f"the answer could not be judged: {error!r}"]
    lines += [f"  after: {each}" for each in told]
    lines += [f"  law {law}: {LAWS[law]}" for law in check.laws]
    if check.rules:
        lines.append(f"  rules: {', '.join(check.rules)}")
    lines.append(f"  check: {check.name}: {check.shows}")
    return Failure(check.name, "\n".join(lines))


def _told(step: Step, outcome: object) -> Iterator[str]:
    # A step as a failure tells it; never an API key.
    match step:
        case HookCall(hook, arguments):
            told = "" if hook in _UNTOLD else f"({', '.join(map(str, arguments))}): {outcome}"
            yield hook + told
        case Concurrently(several):
            for one, came in zip(several, cast("tuple[object, ...]", outcome), strict=True):
                yield from [f"at once, {line}" for line in _told(one, came)]
        case _:
            yield _in_a_line(step, cast("Response", outcome))


def _in_a_line(request: Request, answer: Response) -> str:
    told = [f"{name}: {value}" for name, value in request.headers if name.lower() not in _NOT_TOLD]
    if isinstance(request.body, bytes) and request.body:
        told.append(f"{request.body[:_SHORT]!r}")
    return " ".join([request.method, request.target, *told]) + f": {in_short(answer)}"


class _Hook(Protocol):
    def __call__(self, *arguments: object) -> object: ...


class _AsyncHook(Protocol):
    def __call__(self, *arguments: object) -> Awaitable[object]: ...


# --- In threads -----------------------------------------------------------------------------


def _drive(server: Server, attempt: _Attempt) -> None:
    outcome: object = None
    while (step := attempt.next(outcome)) is not None:
        outcome = attempt.done(step, _perform(server, step))


def _perform(server: Server, step: Step) -> object:
    if isinstance(step, Concurrently):
        return _at_once(server, step.steps)
    return _done(server, step)


def _done(server: Server, step: SingleStep) -> object:
    try:
        if isinstance(step, HookCall):
            hook = cast("_Hook", getattr(server, step.hook))
            return hook(*step.arguments)
        return server.send(step)
    except Exception as error:
        raise _raised(step, error) from error


def _at_once(server: Server, several: tuple[SingleStep, ...]) -> tuple[object, ...]:
    start = Barrier(len(several))
    came: list[object] = [None] * len(several)

    def do(position: int) -> None:
        start.wait()
        try:
            came[position] = _done(server, several[position])
        except ServerRaisedError as error:
            came[position] = error

    threads = [Thread(target=do, args=(each,), daemon=True) for each in range(len(several))]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    return _none_raised(came)


# --- In a loop ------------------------------------------------------------------------------


async def _drive_async(server: AsyncServer, attempt: _Attempt) -> None:
    outcome: object = None
    while (step := attempt.next(outcome)) is not None:
        outcome = attempt.done(step, await _perform_async(server, step))


async def _perform_async(server: AsyncServer, step: Step) -> object:
    if isinstance(step, Concurrently):
        doing = [_done_async(server, each) for each in step.steps]
        return _none_raised(await asyncio.gather(*doing, return_exceptions=True))
    return await _done_async(server, step)


async def _done_async(server: AsyncServer, step: SingleStep) -> object:
    try:
        if isinstance(step, HookCall):
            hook = cast("_AsyncHook", getattr(server, step.hook))
            return await hook(*step.arguments)
        return await server.send(step)
    except Exception as error:
        raise _raised(step, error) from error


def _none_raised(came: Sequence[object]) -> tuple[object, ...]:
    for each in came:
        if isinstance(each, BaseException):
            raise each
    return tuple(came)


def _raised(step: SingleStep, error: BaseException) -> ServerRaisedError:
    return ServerRaisedError(f"the server raised {error!r}\n  where: {_place(step)}")


def _place(step: Step) -> str:
    match step:
        case Concurrently(several):
            return f"{len(several)} at once, such as {_place(several[0])}"
        case HookCall(hook):
            return hook
        case _:
            return str(step)
