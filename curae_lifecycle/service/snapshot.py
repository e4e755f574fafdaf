"""What a server loads for a request, and the ids that it mints for one.

The law of this module: **a snapshot is checked against what was asked for**, so that no answer
is ever made of somebody else's values.
"""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules import idempotency, ratelimit, values
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.service.changes import BucketKey, LimitKey


@attrs.frozen
class Needs:
    """What the server loads for a call, all of it by key.

    Attributes:
        buckets: The states of the platform's buckets, in this order.
        connection: The connection, its successor, and the head of its chain, all of one moment.
        binding: The binding of the coordinate.
        record: The key of the idempotency record.
        limit: The key of the app user's limit.
    """

    record: idempotency.RecordKey | None
    buckets: tuple[BucketKey, ...]
    limit: LimitKey | None
    connection: values.ConnectionId | None
    binding: values.Coordinate | None


@attrs.frozen
class LandedHandoff:
    """A hand-off of a pending connection that the server knows to have landed [P].

    The patient authorized then; the authorization ends at `expires_at`, or never.

    Attributes:
        happened_at: When it happened.
        expires_at: When the authorization ends; `None` for never.
    """

    happened_at: datetime
    expires_at: datetime | None


@attrs.frozen
class Snapshot:
    """What was loaded for `Needs`; `None` and `()` for what is not there.

    Attributes:
        successor: The connection that recovered the one asked for, where there is one.
        head: The last connection of its chain, where there is a successor; it may be that one.
        landed: Where the connection's hand-off has landed and that is not recorded yet.
        buckets: The state of each bucket, in order.
        limit: The state of the app user's limit.
        binding: The coordinate's binding.
    """

    record: idempotency.Record | None = None
    buckets: tuple[ratelimit.RateState | None, ...] = ()
    limit: ratelimit.RateState | None = None
    connection: Connection | None = None
    successor: Connection | None = None
    head: Connection | None = None
    binding: LimitedAccountAppBinding | None = None
    landed: LandedHandoff | None = None


@attrs.frozen
class NewIds:
    """Ids and the next action that a mutation may use; the server mints them.

    The ids of a new connection and a new session are UUIDs in lower case, that of a LIMITED user is
    any text. The next action lives 30 minutes unless the server says otherwise [O].
    """

    connection_id: values.ConnectionId
    session_id: values.SessionId
    user_id: values.UserId = attrs.field(repr=False)
    next_action: values.NextAction

    def __attrs_post_init__(self) -> None:
        """Check the ids where they come in: what they name is stored for ever."""
        values.check_uuid("connection_id", self.connection_id)
        values.check_uuid("session_id", self.session_id)
        values.parse_opaque("user_id", self.user_id)


def check_line(
    asked: values.ConnectionId,
    connection: Connection,
    successor: Connection | None,
    head: Connection | None,
) -> None:
    """Raise unless this is the connection that was asked for, its successor and its head."""
    identity = connection.identity
    if identity.id != asked:
        raise ArgumentError("snapshot.connection", "the connection that was asked for")
    if successor is None:
        if head is not None and head.id != asked:
            raise ArgumentError("snapshot.successor", "given where the chain goes on")
        return
    if successor.identity.predecessor_id != asked:
        raise ArgumentError("snapshot.successor", "what recovered the connection")
    if (
        head is None
        or head.identity.root_id != identity.root_id
        or head.identity.position < successor.identity.position
    ):
        raise ArgumentError("snapshot.head", "the last connection of the chain")


def check_chain(
    asked: values.ConnectionId, connection: Connection, following: tuple[Connection, ...]
) -> None:
    """Raise unless this is the connection that was asked for, with the rest of its chain.

    Args:
        asked: The id that was asked for.
        connection: What was loaded for it.
        following: Every later one of its chain.
    """
    if connection.id != asked:
        raise ArgumentError("snapshot.connection", "the connection that was asked for")
    before = connection.id
    for each in following:
        if each.identity.predecessor_id != before:
            raise ArgumentError("snapshot.following", "the later connections of the chain")
        before = each.id
