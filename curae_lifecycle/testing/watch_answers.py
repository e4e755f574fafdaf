"""Checks of one answer that need no history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from curae_lifecycle.rules.access import AccessDecision
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import RecordKey
from curae_lifecycle.rules.ratelimit import ExactLog
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    RecordWrite,
    SessionWrite,
)
from curae_lifecycle.testing import laws
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.testing.laws.connections import AccessRule

_EXECUTED: Final = frozenset({200, 201, 404, 409})


def limit_header(response: Response, name: str, where: str) -> str:
    """Return the value of a header that the refusal of a rate limit must have.

    Args:
        response: The response, a 429.
        name: The name of the header, in lower case.
        where: The limit and the instant, for the error's message.

    Raises:
        LawBrokenError: The response has no such header.
    """
    for key, value in response.headers:
        if key == name:
            return value
    raise LawBrokenError(10, f"refused without the header {name}", where)


def check_response_is_stored(response: Response, changes: Changes, key: RecordKey) -> None:
    """Check law 12: the response of an executed request is stored once, under its idempotency key.

    The response of a request that was refused before its execution is not checked.

    Args:
        response: The response.
        changes: The changes that were committed with the response.
        key: The idempotency key of the request.

    Raises:
        LawBrokenError: The changes store no response under the key, more than one, or one that
            differs from `response`.
    """
    if response.status not in _EXECUTED or b'"code":"IDEMPOTENCY_' in response.body:
        return
    records = [write for write in changes.writes if isinstance(write, RecordWrite)]
    stored = [write.after.response for write in records if write.key == key]
    if len(stored) != 1:
        what = f"one execution stored {len(stored)} responses"
        raise LawBrokenError(12, what, f"key {key.key}")
    if isinstance(stored[0], Response):
        laws.check_one_execution((stored[0], response), 1)


def check_owner(changes: Changes, caller: Caller) -> None:
    """Check law 15: every written connection, session and binding belongs to the caller.

    Args:
        changes: The changes that were committed for a request.
        caller: The caller of the request.

    Raises:
        LawBrokenError: One of these values belongs to another tenant.
    """
    for write in changes.writes:
        if isinstance(write, ConnectionWrite):
            coordinate = write.after.identity.coordinate
        elif isinstance(write, SessionWrite | BindingWrite):
            coordinate = write.after.coordinate
        else:
            continue
        if coordinate != caller.coordinate(coordinate.app_user_id):
            where = f"app user {coordinate.app_user_id}"
            raise LawBrokenError(15, "another tenant's value was written", where)


def check_retry_after(
    response: Response, instants: Sequence[datetime], now: datetime, *, limit: ExactLog, where: str
) -> None:
    """Check that the app user's limit had to refuse a request, and that `Retry-After` is exact.

    The exact value is the time until the limit has room again, in whole seconds, rounded up.

    Args:
        response: The response, a 429.
        instants: The instants at which the limit admitted requests, in order.
        now: The instant that the request was decided for.
        limit: The limit: its number of requests and its window in seconds.
        where: The limit's name and the app user, for the error's message.

    Raises:
        LawBrokenError: The limit had room, or `Retry-After` is missing or not exact.
    """
    window = timedelta(seconds=limit.seconds)
    if len(instants) < limit.limit or instants[-limit.limit] + window <= now:
        raise LawBrokenError(10, "refused although the limit had room", where)
    # `Retry-After` is in whole seconds, rounded up.
    expected = str(-((now - instants[-limit.limit] - window) // timedelta(seconds=1)))
    retry_after = limit_header(response, "retry-after", where)
    if retry_after != expected:
        what = f"Retry-After is {retry_after} s instead of {expected} s"
        raise LawBrokenError(10, what, where)


def rule_that_answers(decision: AccessDecision) -> AccessRule:
    """Return a function in place of `decide_access` that always returns one access decision.

    The checks of `testing.laws` ask a function for an access decision. With this function they
    check a decision that a server made before.

    Args:
        decision: The decision.
    """

    def decide(
        _held: Connection, _package: str, _now: datetime, /, *, era: datetime | None
    ) -> AccessDecision:
        del era
        return decision

    return decide


def shown_revoked_at(held: Connection, binding: LimitedAccountAppBinding | None) -> datetime | None:
    """Return the `revokedAt` that a response must show for a REVOKED connection.

    - If the connection has a stored `revoked_at`, the result is that instant.
    - Otherwise, if the binding has a tombstone, the tombstone ended the connection. The result is
      the instant of the tombstone, or the creation of the connection if that is later.
    - Otherwise the result is `None`, and the response shows null.

    Args:
        held: The connection as it is stored.
        binding: The binding of the connection's coordinate; `None` if there is none.
    """
    ended = None if binding is None else binding.tombstoned_at
    if held.revoked_at is not None or ended is None:
        return held.revoked_at
    return max(ended, held.identity.created_at)
