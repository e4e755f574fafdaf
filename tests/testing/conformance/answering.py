"""A driver for steps whose outcomes a function of the test gives, step by step."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar, cast

from curae_lifecycle.testing.conformance import Request, Response
from curae_lifecycle.testing.conformance.steps import HookCall, Step, Steps
from tests.testing.conformance.by_hand import Played

Result = TypeVar("Result")


def drive(steps: Steps[Result], outcome: Callable[[Step], object]) -> Played:
    """Run steps to their end; `outcome` gives the outcome of each step."""
    seen: list[Step] = []
    given: object = None
    while True:
        try:
            seen.append(steps.send(given))
        except StopIteration as ended:
            return Played(seen, ended.value)
        given = outcome(seen[-1])


def respond(status: int, body: object) -> Response:
    """Return a response with a JSON body."""
    return Response(status, (), json.dumps(body).encode())


def refuse(status: int, code: str, **details: object) -> Response:
    """Return the response of a refusal."""
    return respond(status, {"code": code, "details": details})


def header(request: Request, name: str) -> str | None:
    """Return the value of a request's header, or None; `name` is in the kit's own case."""
    return dict(request.headers).get(name)


def body_of(request: Request) -> dict[str, object] | None:
    """Return the JSON object in the body of a request, or None without a body."""
    assert isinstance(request.body, bytes)
    return cast("dict[str, object]", json.loads(request.body)) if request.body else None


def in_words(step: Step) -> str:
    """Return a request as its method and path, or a hook call as the hook and its arguments."""
    if isinstance(step, Request):
        return f"{step.method} {step.target.removeprefix('/api/sdk/v1')}"
    assert isinstance(step, HookCall)
    return " ".join([step.hook, *map(str, step.arguments)])
