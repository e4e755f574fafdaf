"""A driver for steps: a test answers each step itself, without a server."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

import attrs

from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.testing.conformance import ApiKeyRequest
from curae_lifecycle.testing.conformance.client import App
from curae_lifecycle.testing.conformance.server import UNLIMITED_TIME
from curae_lifecycle.testing.conformance.steps import CheckContext, Names, Step, Steps

Result = TypeVar("Result")


@attrs.frozen
class Played:
    """The steps that a generator yielded, and its result."""

    steps: list[Step]
    result: object


def play(steps: Steps[Result], *outcomes: object) -> Played:
    """Run steps to their end, with the given outcome of each step."""
    seen: list[Step] = []
    given: object = None
    left = iter(outcomes)
    while True:
        try:
            seen.append(steps.send(given))
        except StopIteration as ended:
            assert next(left, None) is None, "fewer steps than outcomes"
            return Played(seen, ended.value)
        given = next(left)


def context(
    *hooks: str,
    environment: Environment = Environment.LIVE,
    max_time_per_check: timedelta = UNLIMITED_TIME,
) -> CheckContext:
    """Return the context of a check for a server with these hooks."""
    return CheckContext(
        names=Names("seed"),
        environment=environment,
        hooks=frozenset(hooks),
        max_time_per_check=max_time_per_check,
        varying=frozenset(),
        seed="seed",
        operations=OPERATIONS,
    )


ACCOUNT = "c0ffee00-0000-4000-8000-000000000001"


def app(kit: CheckContext | None = None, environment: Environment = Environment.LIVE) -> App:
    """Return an app with the API key `secret`."""
    wanted = ApiKeyRequest("app-1", ACCOUNT, environment, scopes=frozenset({"connection:write"}))
    return App("secret", wanted, kit or context())
