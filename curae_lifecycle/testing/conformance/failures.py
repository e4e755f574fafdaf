"""Messages of failed checks: what the server did, after which steps, and what that breaks.

The law of this module: **no message holds an API key**.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from inspect import iscoroutine
from types import NoneType
from typing import Final, cast

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.errors import ArgumentError, LifecycleError, describe
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.client import in_short
from curae_lifecycle.testing.conformance.results import Failure
from curae_lifecycle.testing.conformance.steps import (
    Concurrently,
    HookCall,
    NotConformingError,
    SingleStep,
    Step,
)
from curae_lifecycle.testing.conformance.timeout import CheckTimeoutError
from curae_lifecycle.testing.conformance.wording import format_argument
from curae_lifecycle.testing.laws import LAWS
from curae_lifecycle.web.request import Request

SERVER_ERROR: Final = 500
"""A response with this status or a higher one may come from a server that is down."""

STEPS_IN_MESSAGE: Final = 4
"""How many of a check's last steps (requests and hook calls) a failure message shows."""

_BODY_IN_MESSAGE: Final = 80
"""How many bytes of a request body a failure message shows."""

_SHORT_HOOKS: Final = frozenset(
    {"make_key", "register_again", "change_key_id", "withdraw", "outbox"}
)
"""Hooks of which a failure message shows only the name: their values are secret or long."""

_HOOKS_WITH_KEY: Final = frozenset({"register_again", "change_key_id", "withdraw"})
"""Hooks whose first argument is an API key."""

_HIDDEN_KEY: Final = "<API key>"
"""The text that replaces an API key in a failure message."""

_HIDDEN_HEADERS: Final = frozenset({"authorization", "content-type"})


class ServerRaisedError(LifecycleError, AssertionError):
    """A function of `Server` or `AsyncServer`, such as `send`, raised an exception."""


_OUTCOME: Final = ((str, NoneType), "None or the outcome as a text, such as 'done'")
_RESULTS: Final[dict[str, tuple[tuple[type, ...], str]]] = {
    "make_key": ((str,), "the text of the key"),
    "may_read": ((bool,), "True or False"),
    "outbox": ((Sequence,), "a sequence of JSON objects"),
}
"""The types that a hook may return, and in words what it returns. Other hooks return `_OUTCOME`."""

_WITHOUT_RESULT: Final = frozenset(
    {
        "pass_time",
        "turn_clock_back",
        "replace_buckets",
        "register_again",
        "change_key_id",
        "withdraw",
        "purge",
    }
)
"""Hooks whose result the kit does not look at."""


def check_result(step: SingleStep, result: object) -> None:
    """Check that `send` or a hook, functions of the server, returned a value of the right type.

    Args:
        step: The request that was passed to `send`, or the call of a hook.
        result: The value that the function returned.

    Raises:
        NotConformingError: The result has a wrong type, or is an API key that no header can hold.
            The message does not show the value, which may be an API key.
    """
    if isinstance(step, HookCall):
        if step.hook in _WITHOUT_RESULT:
            return
        function = f"the hook {step.hook}"
        types, wanted = _RESULTS.get(step.hook, _OUTCOME)
    else:
        function, types, wanted = "send", (Response,), "a Response"
    if not isinstance(result, types):
        given = describe(result)
        raise NotConformingError(
            f"{function} returned {given} instead of {wanted}\n  where: {describe_step(step)}"
        )
    if isinstance(step, HookCall) and step.hook == "make_key":
        # A client names an invalid header's value in its error, so the key is not sent.
        try:
            ApiKey(cast("str", result))
        except ArgumentError as error:
            raise NotConformingError(f"{function} returned a wrong key: {error}") from None


def server_raised(step: Step, error: BaseException, at_once: int = 1) -> ServerRaisedError:
    """Return the error to report if `send` or a hook, functions of the server, raised `error`.

    The message names the function. For a `Concurrently`, which holds several steps, the message
    says only that one of them raised. An API key that was passed to the function is replaced in the
    text and the notes of the exception.

    Args:
        step: The request that was passed to `send`, the call of a hook, or a `Concurrently`.
        error: The exception.
        at_once: How many steps ran at once, `step` included. The message shows the number if it is
            above 1 and `step` is a request.
    """
    match step:
        case HookCall(hook):
            function = f"the hook {hook}"
        case Concurrently():
            function = "a concurrent step"
        case _:
            function = "send"
    notes = cast("list[object]", getattr(error, "__notes__", []))
    raised = "\n".join([f"{function} raised {error!r}", *[f"  note: {note}" for note in notes]])
    for key in _keys_of(step):
        # A key with quotes or backslashes has another text in a repr.
        raised = raised.replace(key, _HIDDEN_KEY).replace(repr(key)[1:-1], _HIDDEN_KEY)
    lines = [raised]
    lines.append(f"  where: {describe_step(step)}")
    if at_once > 1 and isinstance(step, Request):
        lines.append(
            f"  sent at once: {at_once}; connections beyond the server's listen backlog may be reset"
        )
    return ServerRaisedError("\n".join(lines))


def _keys_of(step: Step) -> Iterator[str]:
    match step:
        case Concurrently(steps):
            for each in steps:
                yield from _keys_of(each)
        case HookCall(hook, arguments):
            if hook in _HOOKS_WITH_KEY:
                yield from map(str, arguments[:1])
        case _:
            for name, value in step.headers:
                key = value.rpartition(" ")[2]
                if name.lower() == "authorization" and key:
                    yield key


def result_of_blocking(result: object) -> object:
    """Return the result of a function of `Server` unchanged, or raise if the function is async.

    A coroutine that no one awaits does nothing, so a check could pass without the hook's work.

    Raises:
        TypeError: The result is a coroutine.
    """
    if not iscoroutine(result):
        return result
    result.close()
    raise TypeError("the function is async: pass an AsyncServer to run_async")


def failure_of(
    check: Check, error: Exception, history: Iterable[HistoryEntry], *, last_status: int = 0
) -> Failure:
    """Convert the error that ended a check to a `Failure` with a message for people.

    Args:
        check: The check.
        error: The error that ended the check.
        history: The last steps before the error, each as a line of text or as a request with its
            response, as `history_of` returns them.
        last_status: The status of the last response; 0 if there was none. From 500 on, the server
            may be down, and `Failure.may_be_down` is true.
    """
    expected = isinstance(error, AssertionError)
    lines = [str(error) if expected else f"the response could not be judged: {error!r}"]
    described = [each if isinstance(each, str) else _describe_response(*each) for each in history]
    lines += [f"  after: {step}" for step in described]
    lines += [f"  law {law}: {LAWS[law]}" for law in check.laws]
    if check.rules:
        lines.append(f"  rules: {', '.join(check.rules)}")
    lines.append(f"  check: {check.name}: {check.shows}")
    may_be_down = last_status >= SERVER_ERROR or isinstance(
        error, ServerRaisedError | CheckTimeoutError
    )
    return Failure(check.name, "\n".join(lines), may_be_down)


HistoryEntry = str | tuple[Request, Response]
"""A step in a failure message: a line that describes it, or a request with its response."""


def history_of(step: Step, outcome: object) -> Iterable[HistoryEntry]:
    """Return the entries of a failure message that show a step of a check and its outcome.

    A single request gives one entry: the pair of the request and its response. `failure_of` makes a
    line of the pair if the check fails. A hook call gives a line, and so does each of several
    concurrent steps. If the body of a response is not bytes, its entry is a line, and iterating
    over the entries may raise an error, which fails the check.
    """
    is_plain = isinstance(outcome, Response) and isinstance(cast("object", outcome.body), bytes)
    if isinstance(step, Request) and is_plain:
        return ((step, cast("Response", outcome)),)
    return describe_outcome(step, outcome)


def describe_outcome(step: Step, outcome: object) -> Iterator[str]:
    """Yield a line for each request or hook call of a step, with its outcome, for a message."""
    match step:
        case HookCall(hook, arguments):
            yield hook if hook in _SHORT_HOOKS else _describe_call(hook, arguments, outcome)
        case Concurrently(steps):
            outcomes = cast("tuple[object, ...]", outcome)
            for each, its_outcome in zip(steps, outcomes, strict=True):
                lines = describe_outcome(each, its_outcome)
                yield from [f"concurrently, {line}" for line in lines]
        case _:
            yield _describe_response(step, cast("Response", outcome))


def _describe_call(hook: str, arguments: tuple[object, ...], outcome: object) -> str:
    call = f"{hook}({', '.join(map(format_argument, arguments))})"
    return call if outcome is None else f"{call}: {format_argument(outcome)}"


def _describe_response(request: Request, response: Response) -> str:
    parts = [request.method, request.target]
    parts += [
        f"{name}: {value}" for name, value in request.headers if name.lower() not in _HIDDEN_HEADERS
    ]
    if isinstance(request.body, bytes) and request.body:
        parts.append(f"{request.body[:_BODY_IN_MESSAGE]!r}")
    return f"{' '.join(parts)}: {in_short(response)}"


def describe_step(step: Step) -> str:
    """Describe a step for a failure message: the name of a hook, or a request without its API key.

    For a `Concurrently`, the text says how many steps it holds and describes the first.
    """
    match step:
        case Concurrently(steps):
            return f"{len(steps)} concurrent steps, such as {describe_step(steps[0])}"
        case HookCall(hook):
            return hook
        case _:
            return str(step)
