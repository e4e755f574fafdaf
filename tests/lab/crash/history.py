"""The history of one user's clients: the start, end and response of each operation."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.values import AppUser
from curae_lifecycle.service.response import Response
from tests.lab.crash.world import EPOCH, Asked, Told, Visited, Work

TICK: Final = timedelta(microseconds=1)


def at(microseconds: int) -> datetime:
    """Return an instant of the true clock."""
    return EPOCH + microseconds * TICK


@attrs.frozen(kw_only=True)
class Operation:
    """One attempt of a client.

    A missing response, or one that says the outcome is unknown, counts as none: the operation may
    have taken effect at any time after its start, or not at all.

    Attributes:
        user: The user.
        work: The request, fact or page visit.
        invoked: The time of sending, in microseconds of the true clock.
        returned: The time of the response; None without one.
        answer: The response, or a word for a fact or a page; None if unknown.
        skew: How far the answering clock is ahead, in microseconds.
        is_doubtful: Whether it may have been tried more than once without knowing the first
            outcome: a fact if a commit failed, a request if the database was stopped or paused
            meanwhile.
        offsets: How far the database's clock was ahead of the true one meanwhile, in microseconds:
            at least, and at most.
    """

    user: AppUser
    work: Work
    invoked: int
    returned: int | None
    answer: Response | str | None
    skew: int = 0
    is_doubtful: bool = False
    offsets: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        answer = self.answer
        if isinstance(answer, Response):
            # The body has the reason of a refusal, and the minted ids.
            answer = f"{answer.status} {bytes(answer.body).decode()}"
        doubtful = ", doubtful" if self.is_doubtful else ""
        stepped = f", database {self.offsets}" if any(self.offsets) else ""
        return (
            f"{self.invoked}..{self.returned or 'unknown'} (clock {self.skew:+d}{stepped}{doubtful}) "
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
