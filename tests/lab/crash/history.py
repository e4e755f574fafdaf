"""What one user's clients saw: when each operation began and ended, and what it was answered."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.values import AppUser
from curae_lifecycle.service.response import Response
from tests.lab.crash.world import EPOCH, Asked, Told, Visited, Work

TICK: Final = timedelta(microseconds=1)


def at(microseconds: int) -> datetime:
    """An instant of the true clock."""
    return EPOCH + microseconds * TICK


@attrs.frozen(kw_only=True)
class Operation:
    """One attempt of a client.

    An answer that never came, or that says that the server does not know, is no answer: the
    operation may have taken effect at any time after it began, or may not have.

    Attributes:
        user: Whose it is.
        work: What was to be done.
        invoked: When it was sent: microseconds of the true clock.
        returned: When its answer had come; `None` where none came.
        answer: The answer; of a fact or a page, in a word. `None` where it is not known.
        skew: How far the clock of whoever answered is ahead, in microseconds.
        is_doubtful: Whether the server may have tried it more than once without knowing what
            became of the first time: the database was ended or stood still meanwhile.
    """

    user: AppUser
    work: Work
    invoked: int
    returned: int | None
    answer: Response | str | None
    skew: int = 0
    is_doubtful: bool = False

    def __str__(self) -> str:
        answer = self.answer
        if isinstance(answer, Response):
            # Its body names what was refused and why, and what was minted.
            answer = f"{answer.status} {bytes(answer.body).decode()}"
        doubtful = ", doubtful" if self.is_doubtful else ""
        return (
            f"{self.invoked}..{self.returned or 'unknown'} (clock {self.skew:+d}{doubtful}) "
            f"{_named(self.work)} -> {answer or 'unknown'}"
        )


def _named(work: Work) -> str:
    match work:
        case Asked(_, request):
            key = dict(request.headers).get("Idempotency-Key", "none")
            return f"{request.method} {request.target} by key {key}"
        case Told(fact):
            return repr(fact)
        case Visited(kind, subject, _, action):
            return f"{action} on the page of {kind} {subject}"
