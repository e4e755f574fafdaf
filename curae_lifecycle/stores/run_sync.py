"""A way to run coroutines that never suspend, so that one coroutine serves both kinds of store."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TypeVar

_Result = TypeVar("_Result")


def run_sync(coroutine: Coroutine[None, None, _Result]) -> _Result:
    """Run a coroutine that never suspends, and return its result.

    So a blocking function such as `serve` runs the same coroutine as its async twin.

    Raises:
        AssertionError: The coroutine suspended.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: _Result = end.value
        return result
    coroutine.close()
    raise AssertionError("a coroutine of a blocking store suspended")
