"""Tests of the arguments of both endpoints: the whole error of each mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

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
IDS: Final = "a function that takes an instant and returns NewIds, such as RandomIds"

MISTAKES: Final[list[tuple[str, type, tuple[object, ...], dict[str, object]]]] = [
    (
        "store: must be a blocking store: Awaited.caller_of is async, so use AsyncEndpoint",
        Endpoint,
        (ASYNC_STORE, MINT),
        {},
    ),
    (
        "store: must be an async store: Faulty.caller_of is not async, so use Endpoint",
        AsyncEndpoint,
        (STORE, MINT),
        {},
    ),
    *(
        mistake
        for kind, store in ((Endpoint, STORE), (AsyncEndpoint, ASYNC_STORE))
        for mistake in (
            (
                f'id_factory: must be {IDS}("https://…/"): this one is async',
                kind,
                (store, awaited),
                {},
            ),
            (
                "settings: must be Settings, such as Settings(), not an empty dict",
                kind,
                (store, MINT, {}),
                {},
            ),
            (
                "counters: must be counters: Metrics is a class, so call it",
                kind,
                (store, MINT),
                {"counters": Metrics},
            ),
        )
    ),
    (
        f"hosted_pages: must be a {PAGES}: this one is async",
        Endpoint,
        (STORE, MINT),
        {"hosted_pages": awaited},
    ),
    (
        f"hosted_pages: must be an async {PAGES}: this one is not async",
        AsyncEndpoint,
        (ASYNC_STORE, MINT),
        {"hosted_pages": called},
    ),
    (
        f"backlog: must be a {BACKLOG}: this one is async",
        Endpoint,
        (STORE, MINT),
        {"backlog": awaited},
    ),
    (
        f"backlog: must be an async {BACKLOG}: this one is not async",
        AsyncEndpoint,
        (ASYNC_STORE, MINT),
        {"backlog": called},
    ),
]


@pytest.mark.parametrize(("error", "kind", "given", "named"), MISTAKES)
def test_endpoint_made_with_a_wrong_argument_says_what_to_pass(
    error: str,
    kind: Callable[..., object],
    given: tuple[object, ...],
    named: dict[str, object],
) -> None:
    with pytest.raises(ArgumentError) as raised:
        kind(*given, **named)
    assert str(raised.value) == error
