"""Limits of time so short that a test can wait for their end, on a machine that may stand still."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final, TypeVar

from curae_lifecycle.stores.contract import StoreUnavailableError
from curae_lifecycle.stores.patience import Patience

PATIENCE: Final = 60.0
"""Seconds after which what does not happen is taken for never."""

PATIENT: Final = Patience(seconds=PATIENCE, attempt_seconds=PATIENCE)
"""For whoever is not to be refused, however slow the machine is."""

Answer = TypeVar("Answer")


def answered(ask: Callable[[], Answer], limit: float, wanted: Callable[[Answer], bool]) -> Answer:
    """The answer that is wanted, of what may be refused where its time is over, and not before.

    A machine that stands still for longer than a short limit has what is within it refused, however
    right it is. A refusal that comes sooner is one that no machine explains.

    Args:
        ask: Asks once.
        limit: How many seconds it has at least before it is refused.
        wanted: Whether an answer is the wanted one.
    """
    until = monotonic() + PATIENCE
    while True:
        began = monotonic()
        answer = ask()
        if wanted(answer):
            return answer
        # A clock may be a tick behind.
        assert monotonic() - began >= limit / 2, f"refused before its time was over: {answer}"
        assert monotonic() < until, answer


def run(act: Callable[[], Answer], limit: float) -> Answer:
    """What a store or a database answers that may be unavailable where its time is over.

    Args:
        act: Does it once.
        limit: As for `answered`.
    """

    def attempt() -> tuple[Answer] | StoreUnavailableError:
        try:
            return (act(),)
        except StoreUnavailableError as error:
            return error

    found = answered(attempt, limit, lambda each: isinstance(each, tuple))
    assert isinstance(found, tuple)
    return found[0]
