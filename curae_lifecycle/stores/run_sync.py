"""One coroutine for what waits and what is awaited: what waits never suspends it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TypeVar

_Answered = TypeVar("_Answered")


def run_sync(coroutine: Coroutine[None, None, _Answered]) -> _Answered:
    """The result of a coroutine that awaits nothing that suspends.

    Raises:
        AssertionError: It waited for something, which nothing here does.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        answered: _Answered = end.value
        return answered
    coroutine.close()
    raise AssertionError("what waits never suspends")
