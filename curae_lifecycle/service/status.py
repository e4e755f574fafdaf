"""HTTP statuses of problems, and the answers that are kept under an idempotency key.

The law of this module: **an answer of the rule itself is kept**; a refusal before the rule leaves
the key unused [O].
"""

from __future__ import annotations

from functools import partial
from typing import Final

import attrs

from curae_lifecycle.rules.problems import Problem, ProblemKind
from curae_lifecycle.rules.tables import Axis, Row, Table


@attrs.frozen
class HttpStatus:
    """The outcome of a cell of the table `problem-status`: the HTTP status of a kind of problem.

    Attributes:
        status: The HTTP status of the response.
        kept: Whether the response is stored under the idempotency key, so that retries get it. The
            response to a retryable problem is never stored.
    """

    status: int
    kept: bool

    def __str__(self) -> str:
        return f"{self.status}, {'kept' if self.kept else 'not kept'}"


# The rule itself decided: retries get the same answer.
kept: Final = partial(HttpStatus, kept=True)
# The rule did not decide: a retry may succeed.
not_kept: Final = partial(HttpStatus, kept=False)

# fmt: off
PROBLEM_STATUS: Final = Table[ProblemKind, HttpStatus](
    "problem-status",
    "What HTTP says to each kind of problem, and whether a final answer of that kind is kept under its key.",
    Axis.of("kind", ProblemKind),
    Row(ProblemKind.INVALID,        not_kept(400), "[O] The request was not read, so no rule was asked."),
    Row(ProblemKind.UNKNOWN_CALLER, not_kept(401), "[O] Nothing is kept for a stranger."),
    Row(ProblemKind.FORBIDDEN,      not_kept(403), "[O] Another scope may be granted tomorrow."),
    Row(ProblemKind.ABSENT,         kept(404),     "[O] The rule was asked: there was nothing."),
    Row(ProblemKind.CONFLICT,       kept(409),     "[O] The rule was asked; one that may pass leaves no record."),
    Row(ProblemKind.MISMATCH,       not_kept(422), "[O] The key belongs to another request."),
    Row(ProblemKind.LIMITED,        not_kept(429), "[O] The same request may pass later."),
    Row(ProblemKind.FAILED,         not_kept(500), "[O] The server could not answer."),
)
"""The table `problem-status`: the HTTP status of each kind of problem."""
# fmt: on

NOT_MODIFIED: Final = 304
"""The HTTP status of the reply to a client that holds the current answer already."""


def status_of(problem: Problem) -> int:
    """Return the HTTP status of a problem, which the table `problem-status` gives for its kind."""
    return PROBLEM_STATUS[problem.problem_type.kind].outcome.status


def is_answer_kept(problem: Problem) -> bool:
    """Return whether the response with a problem is stored under the idempotency key [O].

    The response is stored if the problem is not retryable and the table `problem-status` keeps its
    kind. After any other problem, a retry is decided again.
    """
    problem_type = problem.problem_type
    return PROBLEM_STATUS[problem_type.kind].outcome.kept and not problem_type.retryable


def is_kept(status: int) -> bool:
    """Return whether a response with an HTTP status can be stored under an idempotency key [O].

    A response with 2xx, 404 or 409 can be stored. A response with any other status never is.
    """
    if 200 <= status < 300:  # noqa: PLR2004 - the successes of HTTP
        return True
    answers = [row.outcome for row in PROBLEM_STATUS.values()]
    return any(answer.kept for answer in answers if answer.status == status)
