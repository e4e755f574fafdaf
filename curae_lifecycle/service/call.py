"""A request that was read and may be decided, and the decision on one."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import Attempt, IdempotencyKey, Record
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.ratelimit import Limited
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.operations.operation import Operation, ProblemReply, Replayed, Reply
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.status import status_of


@attrs.frozen
class Call:
    """A request that was read and may be decided.

    Attributes:
        caller: Whom its API key stands for.
        operation: What it asks.
        key: Its idempotency key, where the operation needs one.
        settings: What the server chose.
    """

    caller: Caller
    operation: Operation
    key: IdempotencyKey | None = None
    settings: Settings = DEFAULT_SETTINGS


@attrs.frozen
class Decision:
    """What a request is answered, and what is to be stored for it in one transaction.

    Attributes:
        reply: The answer, as a value.
        status: Its HTTP status; of a replay, that of the stored response, which `web` reads.
        at: The instant it was decided for.
        changes: Writes, effects and events, without the idempotency record.
        rules: The names of the rules that decided, in order; the last one had the last word.
        attempt: Where the answer is to be kept under the request's key.
        record: The record as loaded, for the write of the kept answer.
        settings: What the server chose.
    """

    reply: Reply
    status: int
    at: datetime
    changes: Changes
    rules: tuple[str, ...]
    attempt: Attempt | None = None
    record: Record | None = None
    settings: Settings = DEFAULT_SETTINGS

    @property
    def replayed(self) -> bool:
        """Whether the answer was given before: said beside the response, not in it."""
        return isinstance(self.reply, Replayed)


def refused(
    answer: Refused,
    now: datetime,
    settings: Settings,
    *,
    changes: Changes = NO_CHANGES,
    limited: Limited | None = None,
) -> Decision:
    """The decision on a request that a gate refused, with what is charged all the same."""
    reply, status = ProblemReply(answer.problem, limited), status_of(answer.problem)
    return Decision(reply, status, now, changes, answer.rules, settings=settings)
