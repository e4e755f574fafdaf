"""Tests of the arguments of both endpoints: the whole error of each mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from curae_lifecycle import serve, serve_async
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.servers.endpoint import AsyncEndpoint, Endpoint
from curae_lifecycle.servers.metrics import Metrics
from tests.support.asking import MINT
from tests.support.serving import Awaited, faulty

STORE: Final = faulty()
ASYNC_STORE: Final = Awaited(STORE)


def called(*_: object) -> None:
    """Take the place of a function that no endpoint has called yet."""


async def awaited(*_: object) -> None:
    """Take the place of an async function."""


PAGES: Final = "function that takes a Request and returns a Response or None"
BACKLOG: Final = "function that counts the outbox, such as the backlog of an Outbox"
NOT_ASYNC: Final = (
    "id_factory: must be a function that takes an instant and returns NewIds, "
    'such as RandomIds("https://…/"): this one is async'
)
NO_SETTINGS: Final = "settings: must be Settings, such as Settings(), not an empty dict"
A_CLASS: Final = "counters: must be counters: Metrics is a class, so call it"


def call(kind: object, *given: object, **named: object) -> object:
    """Call a class with arguments that its type does not allow."""
    assert callable(kind)
    made: object = kind(*given, **named)
    return made


MISTAKES: Final[list[tuple[str, Callable[[], object]]]] = [
    (
        "store: must be a blocking store: Awaited.caller_of is async, so use AsyncEndpoint",
        lambda: call(Endpoint, ASYNC_STORE, MINT),
    ),
    (
        "store: must be an async store: Faulty.caller_of is not async, so use Endpoint",
        lambda: call(AsyncEndpoint, STORE, MINT),
    ),
    (NOT_ASYNC, lambda: call(Endpoint, STORE, awaited)),
    (NOT_ASYNC, lambda: call(AsyncEndpoint, ASYNC_STORE, awaited)),
    (NO_SETTINGS, lambda: call(Endpoint, STORE, MINT, {})),
    (NO_SETTINGS, lambda: call(AsyncEndpoint, ASYNC_STORE, MINT, {})),
    (A_CLASS, lambda: call(Endpoint, STORE, MINT, counters=Metrics)),
    (A_CLASS, lambda: call(AsyncEndpoint, ASYNC_STORE, MINT, counters=Metrics)),
    (
        f"hosted_pages: must be a {PAGES}: this one is async",
        lambda: call(Endpoint, STORE, MINT, hosted_pages=awaited),
    ),
    (
        f"hosted_pages: must be an async {PAGES}: this one is not async",
        lambda: call(AsyncEndpoint, ASYNC_STORE, MINT, hosted_pages=called),
    ),
    (
        f"backlog: must be a {BACKLOG}: this one is async",
        lambda: call(Endpoint, STORE, MINT, backlog=awaited),
    ),
    (
        f"backlog: must be an async {BACKLOG}: this one is not async",
        lambda: call(AsyncEndpoint, ASYNC_STORE, MINT, backlog=called),
    ),
    (
        "serve: must be a function such as stores.serve.serve: this one is async",
        lambda: call(Endpoint, STORE, MINT, serve=serve_async),
    ),
    (
        "serve: must be an async function such as stores.serve.serve_async: this one is not async",
        lambda: call(AsyncEndpoint, ASYNC_STORE, MINT, serve=serve),
    ),
]


@pytest.mark.parametrize(("error", "mistake"), MISTAKES)
def test_wrong_endpoint_argument_raises_an_error_with_the_fix(
    error: str, mistake: Callable[[], object]
) -> None:
    with pytest.raises(ArgumentError) as raised:
        mistake()
    assert str(raised.value) == error
