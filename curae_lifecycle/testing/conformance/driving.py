"""Runs checks against a server, in threads or in a loop, and tells what came of them.

The law of this module: **every check ends in exactly one of passed, failed and not run**, whatever
a server does; a check that failed stops no other.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections import deque
from collections.abc import Awaitable, Collection, Generator, Iterator
from threading import Barrier, Thread
from typing import Final, Protocol, cast

from curae_lifecycle.rules.errors import LifecycleError
from curae_lifecycle.rules.frozen import frozen
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance.catalogue import checks
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.client import in_short
from curae_lifecycle.testing.conformance.server import HOOKS, AsyncServer, Server
from curae_lifecycle.testing.conformance.steps import (
    Kit,
    Names,
    NotSeenError,
    Operations,
    Step,
    Together,
    Use,
)
from curae_lifecycle.testing.laws import LAWS
from curae_lifecycle.web.request import Request

_SWITCH: Final = 1e-5
"""How often threads take turns while requests are sent at once: often, so that races show."""

_LAST: Final = 4
"""How many steps a failure tells."""

_SHORT: Final = 80
"""How much of a body it tells."""

_OF_KEYS: Final = frozenset({"make_key", "register_again"})
_NOT_TOLD: Final = frozenset({"authorization", "content-type"})

_BUCKETS: Final = "replace_buckets"
_OWN_BUCKETS: Final = Use(_BUCKETS, (None,))
"""What ends a check that brought buckets of its own, however it went."""


class ServerRaisedError(LifecycleError, AssertionError):
    """A function of the server's raised instead of answering."""


@frozen
class Failure:
    """A check that failed: its name; what was seen, where, and which laws and rules say otherwise."""

    check: str
    account: str


@frozen
class NotRun:
    """A check that could not be run: its name, and the name of what is missing."""

    check: str
    reason: str


_Lines = deque[str]

Result = Failure | NotRun | None
"""What came of one check; `None` where it passed."""


@frozen
class Report:
    """What came of a run: the names of the checks that passed, and the others, each with why.

    The same `seed` sends the same requests.
    """

    passed: tuple[str, ...]
    failed: tuple[Failure, ...]
    not_run: tuple[NotRun, ...]
    seed: str

    def __str__(self) -> str:
        counts = (len(self.passed), len(self.failed), len(self.not_run))
        lines = ["{} passed, {} failed, {} not run (seed {})".format(*counts, self.seed)]
        lines += [f"failed: {failure.check}\n  {failure.account}" for failure in self.failed]
        lines += [f"not run: {left.check}: {left.reason}" for left in self.not_run]
        return "\n".join(lines)


def run(
    server: Server,
    *,
    only: Collection[str] | None = None,
    seed: str | None = None,
    operations: Operations = OPERATIONS,
) -> Report:
    """Run the checks against a server.

    Args:
        server: The server.
        only: Names of checks; all by default.
        seed: Of the names that are sent; a fresh one by default, as a server that lives on
            knows the names of earlier runs.
        operations: What the server serves.

    Returns:
        Every check that was asked for, as passed, failed or not run.

    Raises:
        KeyError: A name that no check has.
    """
    seed = secrets.token_hex(8) if seed is None else seed
    asked = chosen(only, operations)
    return _report([(check, run_check(server, check, seed, operations)) for check in asked], seed)


async def run_async(
    server: AsyncServer,
    *,
    only: Collection[str] | None = None,
    seed: str | None = None,
    operations: Operations = OPERATIONS,
) -> Report:
    """Run the checks against a server whose functions are coroutine functions; see `run`."""
    seed = secrets.token_hex(8) if seed is None else seed
    asked = chosen(only, operations)
    results = [(check, await run_check_async(server, check, seed, operations)) for check in asked]
    return _report(results, seed)


def chosen(only: Collection[str] | None, operations: Operations = OPERATIONS) -> list[Check]:
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


def run_check(server: Server, check: Check, seed: str, operations: Operations) -> Result:
    """Run one check."""
    missing = _missing(server, check)
    if missing is not None:
        return NotRun(check.name, missing)
    steps, told = check.begin(_kit(server, check, seed, operations)), _Lines(maxlen=_LAST)
    try:
        try:
            _drive(server, steps, told)
        finally:
            if _BUCKETS in check.hooks:
                _perform(server, _OWN_BUCKETS)
    except NotSeenError as reason:
        return NotRun(check.name, str(reason))
    except Exception as error:  # noqa: BLE001 - whatever a server's answer led to is its account
        return _failure(check, error, told)
    return None


async def run_check_async(
    server: AsyncServer, check: Check, seed: str, operations: Operations
) -> Result:
    """Run one check."""
    missing = _missing(server, check)
    if missing is not None:
        return NotRun(check.name, missing)
    steps, told = check.begin(_kit(server, check, seed, operations)), _Lines(maxlen=_LAST)
    try:
        try:
            await _drive_async(server, steps, told)
        finally:
            if _BUCKETS in check.hooks:
                await _perform_async(server, _OWN_BUCKETS)
    except NotSeenError as reason:
        return NotRun(check.name, str(reason))
    except Exception as error:  # noqa: BLE001 - as above
        return _failure(check, error, told)
    return None


def _report(results: list[tuple[Check, Result]], seed: str) -> Report:
    return Report(
        tuple([check.name for check, result in results if result is None]),
        tuple([result for _, result in results if isinstance(result, Failure)]),
        tuple([result for _, result in results if isinstance(result, NotRun)]),
        seed,
    )


def _missing(server: Server | AsyncServer, check: Check) -> str | None:
    lacking = [hook for hook in check.hooks if getattr(server, hook) is None]
    if lacking:
        return f"needs {', '.join(lacking)}"
    if check.passes > server.patience:
        return f"needs the patience for {check.passes}"
    return None


def _kit(server: Server | AsyncServer, check: Check, seed: str, operations: Operations) -> Kit:
    return Kit(
        Names(f"{seed} {check.name}"),
        Environment.LIVE if server.environment is None else server.environment,
        frozenset([hook for hook in HOOKS if getattr(server, hook) is not None]),
        server.patience,
        server.varying_headers,
        seed,
        operations,
    )


def _failure(check: Check, error: Exception, told: _Lines) -> Failure:
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
        case Use(hook, arguments):
            told = "" if hook in _OF_KEYS else f"({', '.join(map(str, arguments))}): {outcome}"
            yield hook + told
        case Together(requests):
            for pair in zip(requests, cast("tuple[Response, ...]", outcome), strict=True):
                yield f"at once, {_in_a_line(*pair)}"
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


def _drive(server: Server, steps: Generator[Step, object, None], told: _Lines) -> None:
    outcome: object = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration:
            return
        outcome = _perform(server, step)
        told.extend(_told(step, outcome))


def _perform(server: Server, step: Step) -> object:
    if isinstance(step, Together):
        return _at_once(server, step.requests)
    try:
        if isinstance(step, Use):
            hook = cast("_Hook", getattr(server, step.hook))
            return hook(*step.arguments)
        return server.send(step)
    except Exception as error:
        raise _raised(step, error) from error


def _at_once(server: Server, requests: tuple[Request, ...]) -> tuple[Response, ...]:
    start = Barrier(len(requests))
    answers: list[Response | Exception | None] = [None] * len(requests)

    def answer(position: int) -> None:
        start.wait()
        try:
            answers[position] = server.send(requests[position])
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that asked
            answers[position] = error

    threads = [Thread(target=answer, args=(each,)) for each in range(len(requests))]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    return tuple([_answered(*pair) for pair in zip(requests, answers, strict=True)])


# --- In a loop ------------------------------------------------------------------------------


async def _drive_async(
    server: AsyncServer, steps: Generator[Step, object, None], told: _Lines
) -> None:
    outcome: object = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration:
            return
        outcome = await _perform_async(server, step)
        told.extend(_told(step, outcome))


async def _perform_async(server: AsyncServer, step: Step) -> object:
    if isinstance(step, Together):
        sent = [server.send(request) for request in step.requests]
        answers = await asyncio.gather(*sent, return_exceptions=True)
        return tuple([_answered(*pair) for pair in zip(step.requests, answers, strict=True)])
    try:
        if isinstance(step, Use):
            hook = cast("_AsyncHook", getattr(server, step.hook))
            return await hook(*step.arguments)
        return await server.send(step)
    except Exception as error:
        raise _raised(step, error) from error


def _answered(request: Request, answer: Response | BaseException | None) -> Response:
    if isinstance(answer, Response):
        return answer
    raise _raised(request, answer)


def _raised(step: Step, error: BaseException | None) -> ServerRaisedError:
    what = step.hook if isinstance(step, Use) else str(step)
    return ServerRaisedError(f"the server raised {error!r}\n  where: {what}")
