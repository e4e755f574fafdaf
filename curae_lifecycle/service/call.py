"""Calls: parsed requests that may be decided; and the decision on a call."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules import credentials, idempotency, outcomes, ratelimit
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
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
    buckets = () if call.charged else call.settings.buckets
    return Needs(
        record=None if call.key is None else idempotency.RecordKey(owner, call.key),
        buckets=tuple([BucketKey(owner, bucket) for bucket in buckets]),
        limit=_limit_key(call.operation, own),
        connection=own.connection,
        chain=own.chain,
        chain_part=own.chain_part,
        session=own.session,
        binding=own.binding,
        connections=own.connections,
        page=own.page,
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
    """A parsed request that passed gates 1 to 4 (API key, path, scope, body), ready for `decide`.

    Attributes:
        caller: The app, account and environment of the API key.
        operation: The operation, with its parsed members.
        key: The idempotency key; `None` if the operation uses none.
        settings: The settings of the server.
        charged: Whether an earlier attempt at the request has charged its buckets. If so, this
            attempt neither loads nor charges them.
        needs: The keys of the values to load before `decide`; computed from the other fields.
    """

    caller: credentials.Caller
    operation: Operation
    key: idempotency.IdempotencyKey | None = None
    settings: Settings = DEFAULT_SETTINGS
    charged: bool = False
    needs: Needs = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_needs, takes_self=True)
    )


@attrs.frozen
class Decision:
    """The answer to a request, and the changes to commit for it in one transaction.

    Attributes:
        reply: The answer, as a value.
        status: The HTTP status of the reply; of a replay, the status of the stored response.
        decided_at: The instant of the decision.
        changes: The writes, effects and events. `web.respond`, which builds the response, adds the
            write of the idempotency record.
        rules: The names of the rules that decided, in order.
        attempt: The right to store the response under the idempotency key, for retries; `None` if
            the response is not to be stored.
        record: The idempotency record as it was loaded; `None` if the store had none. If `attempt`
            is given, a record with the response replaces this one.
        settings: The settings of the server.
        binding: The binding of the request's coordinate, as loaded; `None` if none was loaded. The
            response shows a connection as REVOKED if the binding says that its user is gone.
    """

    reply: Reply
    status: int
    decided_at: datetime
    changes: Changes
    rules: tuple[str, ...]
    attempt: idempotency.Attempt | None = None
    record: idempotency.Record | None = None
    settings: Settings = DEFAULT_SETTINGS
    binding: LimitedAccountAppBinding | None = None

    @property
    def replayed(self) -> bool:
        """True if the reply is the stored response to an earlier request with the same key."""
        return isinstance(self.reply, Replayed)


def decision_from_refusal(
    answer: outcomes.Refused,
    now: datetime,
    settings: Settings,
    *,
    changes: Changes = NO_CHANGES,
    limited: ratelimit.RateLimited | None = None,
) -> Decision:
    """Return the decision on a request that a gate refused.

    Gates are the checks before the operation's own rule. The response is not stored under the
    idempotency key.

    Args:
        answer: The refusal.
        now: The instant of the request, in UTC.
        settings: The settings of the server.
        changes: The charges of rate limits to commit despite the refusal.
        limited: The answer of the rate limit that refused; `None` if another gate refused.
    """
    return Decision(
        reply=ProblemReply(answer.problem, limited),
        status=status_of(answer.problem),
        decided_at=now,
        changes=changes,
        rules=answer.rules,
        settings=settings,
    )
