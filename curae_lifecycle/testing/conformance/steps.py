"""A check as a generator: it yields what is to be done and is sent what came of it.

The law of this module: **a check does no I/O**. It yields a request, several requests to be sent
at once, or a hook to be called; whoever drives it, in threads or in a loop, does that and sends
the outcome back. So each check is written once for servers of both kinds.
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
from curae_lifecycle.testing.conformance.server import ApiKeyRequest
from curae_lifecycle.web.request import Request

Result = TypeVar("Result")


@attrs.frozen
class HookCall:
    """A hook of the server's that is called."""

    hook: str
    arguments: tuple[object, ...]


SingleStep = Request | HookCall
"""What is done by itself, or beside others."""


@attrs.frozen
class Concurrently:
    """What is done at once; what came of each comes back in the same order."""

    steps: tuple[SingleStep, ...]


Step = Request | Concurrently | HookCall
Steps = Generator[Step, object, Result]
Operations = tuple[type[Operation], ...]


class NotConformingError(LifecycleError, AssertionError):
    """A server does otherwise than the rules say: what was seen, beside what they say.

    Whoever drives the check knows after which steps.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class NotSeenError(LifecycleError):
    """What a check is about cannot be seen on this server; the message says why."""


class Names:
    """Names that no other check and no other run uses; the same seed gives the same names."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)  # noqa: S311 - names, not secrets

    def uuid(self) -> str:
        """A fresh UUID of version 4."""
        digits = f"{self._random.getrandbits(128):032x}"
        variant = "89ab"[int(digits[16], 16) % 4]
        return (
            f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
        )

    def word(self, kind: str) -> str:
        """A fresh word that says what it names."""
        return f"{kind}-{self._random.getrandbits(64):016x}"


@attrs.frozen
class CheckContext:
    """What a check is given: fresh names, and what of the server it has to know.

    Attributes:
        hooks: Which of the server's optional parts are there.
        max_time_per_check: The longest time the check may let pass.
        varying: Names of headers that may differ from answer to answer.
        seed: Where the names come from, for a check that draws more than names.
        rounds: How often a race is run; none where the server may not be called at once.
    """

    names: Names
    environment: Environment
    hooks: frozenset[str]
    max_time_per_check: timedelta
    varying: frozenset[str]
    seed: str
    operations: Operations
    rounds: int = 0


CONCURRENT_REQUESTS: Final = 8
"""How many requests are sent at once."""

NEVER_COMPARED: Final = frozenset(
    (
        *("age", "connection", "date", "keep-alive", "proxy-authenticate", "server"),
        *("set-cookie", "te", "trailer", "transfer-encoding", "upgrade", "via"),
    )
)
"""Headers of the connection or of the front, which belong to no kept answer."""


def send(request: Request) -> Steps[Response]:
    """Send one request."""
    return cast("Response", (yield request))


def send_concurrently(requests: tuple[Request, ...]) -> Steps[tuple[Response, ...]]:
    """Send several at once."""
    return cast("tuple[Response, ...]", (yield Concurrently(requests)))


def run_concurrently(*each: SingleStep) -> Steps[tuple[object, ...]]:
    """Do several things at once, requests and hooks."""
    return cast("tuple[object, ...]", (yield Concurrently(each)))


def use(hook: str, *arguments: object) -> Steps[str | None]:
    """Call a hook; what it says of the outcome comes back."""
    return cast("str | None", (yield HookCall(hook, arguments)))


def call_bool_hook(hook: str, *arguments: object) -> Steps[bool]:
    """Call a hook that answers yes or no."""
    return (yield HookCall(hook, arguments)) is True


def wait(span: timedelta) -> Steps[None]:
    """Let time pass on the server's clock."""
    yield HookCall("pass_time", (span,))


def later(kit: CheckContext, span: timedelta) -> Steps[None]:
    """Let time pass where that is possible, so that a time that moves is seen to move."""
    if "pass_time" in kit.hooks and span <= kit.max_time_per_check:
        yield from wait(span)


def make_key(wanted: ApiKeyRequest) -> Steps[str]:
    """Have an API key made."""
    return cast("str", (yield HookCall("make_key", (wanted,))))
