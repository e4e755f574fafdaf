"""What a server loads for a request, and the ids that it mints for one.

The law of this module: **a snapshot is checked against what was asked for**, so that no answer
is ever made of somebody else's values.
"""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import Record, RecordKey
from curae_lifecycle.rules.ratelimit import RateState
from curae_lifecycle.rules.values import (
    ConnectionId,
    Coordinate,
    NextAction,
    SessionId,
    UserId,
    check_uuid,
    parse_opaque,
)
from curae_lifecycle.service.changes import BucketKey, LimitKey


@attrs.frozen
class Needs:
    """What the server loads for a call, all of it by key.

    Attributes:
        record: The idempotency record.
        buckets: The states of the platform's buckets, in this order.
        limit: The state of the app user's limit.
        connection: The connection, and every later one of its chain.
        binding: The binding of the coordinate.
    """

    record: RecordKey | None
    buckets: tuple[BucketKey, ...]
    limit: LimitKey | None
    connection: ConnectionId | None
    binding: Coordinate | None


@attrs.frozen
class LandedHandoff:
    """A hand-off of a pending connection that the server knows to have landed [P].

    Attributes:
        happened_at: When the patient authorized.
        expires_at: When the authorization ends; `None` for no end.
    """

    happened_at: datetime
    expires_at: datetime | None


@attrs.frozen
class Snapshot:
    """What was loaded; `None` and `()` for what is not there.

    Attributes:
        record: As `Needs.record`.
        buckets: As `Needs.buckets`, one for each.
        limit: As `Needs.limit`.
        connection: As `Needs.connection`.
        following: Every later connection of the chain, nearest first.
        binding: As `Needs.binding`.
        landed: Where the connection's hand-off has landed and that is not recorded yet.
    """

    record: Record | None = None
    buckets: tuple[RateState | None, ...] = ()
    limit: RateState | None = None
    connection: Connection | None = None
    following: tuple[Connection, ...] = ()
    binding: LimitedAccountAppBinding | None = None
    landed: LandedHandoff | None = None

    @property
    def successor(self) -> Connection | None:
        """The connection that recovered the one asked for, where there is one."""
        return self.following[0] if self.following else None


@attrs.frozen
class NewIds:
    """Ids and the next action that a mutation may use; the server mints them.

    Attributes:
        connection_id: For a new connection: a UUID in lower case.
        session_id: For a new session: a UUID in lower case.
        user_id: For a LIMITED user that is provisioned.
        next_action: What the app must show; it lives 30 minutes unless the server says
            otherwise [O].
    """

    connection_id: ConnectionId
    session_id: SessionId
    user_id: UserId = attrs.field(repr=False)
    next_action: NextAction

    def __attrs_post_init__(self) -> None:
        """Check the ids where they come in: what they name is stored for ever."""
        check_uuid("connection_id", self.connection_id)
        check_uuid("session_id", self.session_id)
        parse_opaque("user_id", self.user_id)


def check_chain(
    asked: ConnectionId, connection: Connection, following: tuple[Connection, ...]
) -> None:
    """Raise unless this is the connection that was asked for, with the rest of its chain.

    Raises:
        ArgumentError: Another connection, or one that does not follow the one before it.
    """
    if connection.id != asked:
        raise ArgumentError("snapshot.connection", "the connection that was asked for")
    before = connection.id
    for each in following:
        if each.identity.predecessor_id != before:
            raise ArgumentError("snapshot.following", "the later connections of the chain")
        before = each.id
