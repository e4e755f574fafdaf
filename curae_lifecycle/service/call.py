"""A request that was read and may be decided, and the decision on one."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules import credentials, idempotency, outcomes, ratelimit
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.operations.operation import (
    Operation,
    ProblemReply,
    Replayed,
    Reply,
)
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.status import status_of


def _needs(call: Call) -> Needs:
    own = call.operation.needs(call.caller)
    owner = call.caller.key_owner
    return attrs.evolve(
        own,
        record=None if call.key is None else idempotency.RecordKey(owner, call.key),
        buckets=tuple([BucketKey(owner, bucket.name) for bucket in call.settings.buckets]),
        limit=_limit_key(call.operation, own),
    )


def _limit_key(operation: Operation, needs: Needs) -> LimitKey | None:
    limit = operation.rule.limit
    if limit is None:
        return None
    if needs.binding is None:
        raise ArgumentError("operation", "one that needs the binding of the user it is limited by")
    return LimitKey(needs.binding.app_user, limit.name)


@attrs.frozen
class Call:
    """A request that was read and may be decided; it has a key where its operation needs one.

    What it needs loaded follows from it.

    Attributes:
        caller: Who asks.
        operation: What is asked for.
        key: The idempotency key, where the operation needs one.
        settings: What the server chose.
        needs: What has to be loaded for it.
    """

    caller: credentials.Caller
    operation: Operation
    key: idempotency.IdempotencyKey | None = None
    settings: Settings = DEFAULT_SETTINGS
    needs: Needs = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_needs, takes_self=True)
    )


@attrs.frozen
class Decision:
    """What a request is answered, and what is to be stored for it in one transaction.

    Attributes:
        reply: The answer, as a value.
        status: Its HTTP status; of a replay, that of the stored response, which `web` reads.
        decided_at: The instant it was decided for.
        changes: Writes, effects and events, without the idempotency record.
        rules: The names of the rules that decided, in order; the last one had the last word.
        attempt: Where the answer is to be kept under the request's key.
        record: The record as loaded, for the write of the kept answer.
        settings: What the server chose.
    """

    reply: Reply
    status: int
    decided_at: datetime
    changes: Changes
    rules: tuple[str, ...]
    attempt: idempotency.Attempt | None = None
    record: idempotency.Record | None = None
    settings: Settings = DEFAULT_SETTINGS

    @property
    def replayed(self) -> bool:
        """Whether the answer was given before: said beside the response, not in it."""
        return isinstance(self.reply, Replayed)


def decision_from_refusal(
    answer: outcomes.Refused,
    now: datetime,
    settings: Settings,
    *,
    changes: Changes = NO_CHANGES,
    limited: ratelimit.RateLimited | None = None,
) -> Decision:
    """The decision on a request that a gate refused, with what is charged all the same.

    Args:
        answer: The refusal.
        now: The instant at which it is asked, in UTC.
        settings: What the server chose.
        changes: What is charged all the same.
        limited: The limit that refused, where one did.
    """
    reply, status = ProblemReply(answer.problem, limited), status_of(answer.problem)
    return Decision(
        reply=reply,
        status=status,
        decided_at=now,
        changes=changes,
        rules=answer.rules,
        settings=settings,
    )
