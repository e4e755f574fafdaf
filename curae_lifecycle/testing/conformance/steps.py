"""Checks as generators: a check yields a step and receives the outcome of the step.

The law of this module: **a check does no I/O**. It yields a request, a hook call, or several of
these to run concurrently. The runner performs the step, in threads or in an event loop, and sends
the outcome back. So each check is written once for sync and async servers.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from random import Random
from typing import Final, TypeVar, cast

import attrs

from curae_lifecycle.rules.errors import LifecycleError
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance.server import WRITING, ApiKeyRequest
from curae_lifecycle.web.request import Request

Result = TypeVar("Result")


@attrs.frozen
class HookCall:
    """A step that calls a hook, a function of the server for what no request can do.

    Attributes:
        hook: The name of the hook: a field of `Server`.
        arguments: The positional arguments of the call.
    """

    hook: str
    arguments: tuple[object, ...]


SingleStep = Request | HookCall
"""A request to send or a hook (a function of the server) to call, alone or with other steps."""


@attrs.frozen
class Concurrently:
    """A step that consists of several steps, run concurrently.

    Its outcome is a tuple with the outcomes of `steps`, in the same order.
    """

    steps: tuple[SingleStep, ...]


Step = Request | Concurrently | HookCall
"""A step that a check yields: a request to send, or a hook (a function of the server) to call.

A `Concurrently` is a step that holds several of these, to run at the same time.
"""

Steps = Generator[Step, object, Result]
"""A generator, such as a check, that yields steps, receives their outcomes and returns a result.

A step is a request to send, or a hook (a function of the server) to call.
"""

Operations = tuple[type[Operation], ...]
"""The classes of the operations that a server serves."""


class NotConformingError(LifecycleError, AssertionError):
    """The error of a check that found a server that breaks a rule.

    The runner's failure message adds the last steps, the laws and the rules of the check.

    Attributes:
        what: What the server did, and what the rules require instead.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class NotSeenError(LifecycleError):
    """The error of a check that cannot judge this server.

    The message says why: something that the check needs cannot be seen. The runner reports the
    check as not run.
    """


class Names:
    """A source of fresh names, which checks use as ids of apps and users and as idempotency keys.

    The same seed and calls give the same names; different seeds give different ones.
    """

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)  # noqa: S311 - names, not secrets

    def uuid(self) -> str:
        """Return a fresh UUID of version 4."""
        digits = f"{self._random.getrandbits(128):032x}"
        variant = "89ab"[int(digits[16], 16) % 4]
        return (
            f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
        )

    def word(self, kind: str) -> str:
        """Return a fresh name that begins with `kind`, then has a hyphen and 16 hex digits."""
        return f"{kind}-{self._random.getrandbits(64):016x}"


@attrs.frozen
class CheckContext:
    """The values that a check gets from its runner.

    Attributes:
        names: The source of fresh names.
        environment: The environment, live or test, of the check's API keys.
        hooks: The names of the hooks, such as `expire`, that the server has.
        max_time_per_check: The longest time that the check may let pass on the server's clock.
        varying: Names, in lower case, of headers that may differ from response to response.
        seed: The seed of the run, for a check that draws more than names.
        operations: The classes of the operations that the server serves.
        rounds: How often a race (two concurrent steps) is run; 0 if the server must not be called
            concurrently.
    """

    names: Names
    environment: Environment
    hooks: frozenset[str]
    max_time_per_check: timedelta
    varying: frozenset[str]
    seed: str
    operations: Operations
    rounds: int = 0

    @property
    def all_scopes(self) -> frozenset[str]:
        """The scopes of an API key that may call every operation of the server."""
        needed = {kind.rule.scope for kind in self.operations}
        return WRITING | {scope for scope in needed if scope is not None}


CONCURRENT_REQUESTS: Final = 8
"""The number of requests that a check of concurrent requests sends."""

NEVER_COMPARED: Final = frozenset(
    (
        *("age", "connection", "date", "keep-alive", "proxy-authenticate", "server"),
        *("set-cookie", "te", "trailer", "transfer-encoding", "upgrade", "via"),
    )
)
"""Headers of the network connection, and headers that a web server or proxy adds to each response.

They are never part of a stored response, so checks compare responses without them.
"""


def send(request: Request) -> Steps[Response]:
    """Send one request and return its response."""
    return cast("Response", (yield request))


def send_concurrently(requests: tuple[Request, ...]) -> Steps[tuple[Response, ...]]:
    """Send several requests concurrently and return their responses in the same order."""
    return cast("tuple[Response, ...]", (yield Concurrently(requests)))


def run_concurrently(*steps: SingleStep) -> Steps[tuple[object, ...]]:
    """Run requests and hook calls concurrently and return their outcomes in the same order."""
    return cast("tuple[object, ...]", (yield Concurrently(steps)))


def use(hook: str, *arguments: object) -> Steps[str | None]:
    """Call a hook (a function of the server), such as `expire`; return the outcome it reports.

    Returns:
        The outcome, such as `done`; `None` if the hook reports none.
    """
    return cast("str | None", (yield HookCall(hook, arguments)))


def call_bool_hook(hook: str, *arguments: object) -> Steps[bool]:
    """Call a hook (a function of the server), such as `may_read`; return whether it gave True."""
    return (yield HookCall(hook, arguments)) is True


def wait(span: timedelta) -> Steps[None]:
    """Let time pass on the server's clock, through the hook `pass_time`."""
    yield HookCall("pass_time", (span,))


def later(kit: CheckContext, span: timedelta) -> Steps[None]:
    """Let time pass on the server's clock if the server allows it; otherwise do nothing.

    A check calls `later` between two requests, so that their timestamps can differ.

    Args:
        kit: The context of the check. If the server has no hook `pass_time`, no time passes.
        span: How much time passes. If it exceeds the context's `max_time_per_check`, none does.
    """
    if "pass_time" in kit.hooks and span <= kit.max_time_per_check:
        yield from wait(span)


def make_key(wanted: ApiKeyRequest) -> Steps[str]:
    """Make a new API key by the server's function `make_key`, and return the key's text.

    `wanted` holds the app, account, environment and scopes that the key stands for.
    """
    return cast("str", (yield HookCall("make_key", (wanted,))))
