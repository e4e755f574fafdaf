"""Needs and snapshots: the values to load for a request or a fact, and the loaded values.

The law of this module: **a snapshot is checked against its needs**, so that no answer uses the
values of another caller.
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import attrs

from curae_lifecycle.rules import idempotency, ratelimit, values
from curae_lifecycle.rules.binding import LimitedAccountAppBinding, check_coordinate, present_era
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey


@attrs.frozen
class ConnectionsPage:
    """A selection of a coordinate's connections to load: a page of a list, not a hosted page.

    It is for an operation that lists connections, and for the sweep after a tombstone. With `after`
    or `limit`, the connections are loaded in the order of their ids.

    Attributes:
        coordinate: The coordinate whose connections are loaded.
        after: Load only connections with a greater id than `after`; `None` starts at the first.
        limit: Load at most this many, at least 1; `None` loads all of them.
    """

    coordinate: values.Coordinate
    after: values.ConnectionId | None = None
    limit: int | None = None

    def __attrs_post_init__(self) -> None:
        """Check the limit.

        Raises:
            ArgumentError: The limit is below 1, so nothing would be loaded.
        """
        if self.limit is not None and self.limit < 1:
            raise ArgumentError("limit", "at least 1, or None for all")


@attrs.frozen
class ChainPart:
    """The connections of a chain to load for one batch of the chain's revocation.

    A revocation begins at the end of the chain and goes back, batch by batch, to the connection
    that `Needs.chain` names. With a `limit` of 100, the first batch is the last 100 connections,
    the second batch the 100 before those, and so on.

    Attributes:
        limit: The number of connections in the batch, at least 1; the last batch may be smaller.
        before: Load only connections before this `position` in the chain, the lowest in the
            previous batch; `None` for the first batch.
    """

    limit: int
    before: int | None = None

    def __attrs_post_init__(self) -> None:
        """Check the limit.

        Raises:
            ArgumentError: The limit is below 1, so nothing would be loaded.
        """
        if self.limit < 1:
            raise ArgumentError("limit", "at least 1")


@attrs.frozen(kw_only=True)
class Needs:
    """The keys of the values that a store loads for a request or fact, in one consistent read.

    `None` or `()` loads nothing.

    Attributes:
        record: The key of the idempotency record.
        buckets: The keys of the API key's buckets, in the order of `Settings.buckets`.
        limit: The key of the app user's limit.
        connection: The id of a connection; load it, its successor, the head of its chain and the
            binding of its coordinate.
        chain: The id of a connection; load it, every later connection of its chain and the binding
            of its coordinate.
        chain_part: The part of those later connections that is needed; `None` for all of them. A
            store may ignore `chain_part` and load all, but then a long chain takes long.
        session: The id of a session; load it and the binding of its coordinate.
        binding: The coordinate whose binding is loaded. It is not needed with `session`,
            `connection`, `chain` or `connections`, which load the binding of their coordinate. If
            it is set with one of these, it must be their coordinate: for any other coordinate
            `decide` answers `NOT_FOUND`.
        connections: The selection of a coordinate's connections to load. The coordinate's binding
            is loaded, too.
        page: The digest of the URL of a hosted page; load the page, even if it has expired.
    """

    record: idempotency.RecordKey | None = None
    buckets: tuple[BucketKey, ...] = ()
    limit: LimitKey | None = None
    connection: values.ConnectionId | None = None
    chain: values.ConnectionId | None = None
    chain_part: ChainPart | None = None
    session: values.SessionId | None = None
    binding: values.Coordinate | None = None
    connections: ConnectionsPage | None = None
    page: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class LandedHandoff:
    """A hand-off that landed: an authorization that the server learned of.

    The connection does not hold the authorization yet; a request that gets the connection records
    it [P]. If `happened_at` is more than five minutes ahead, or `expires_at` is not after
    `happened_at`, `decide` raises `ArgumentError`.

    Attributes:
        happened_at: When the patient authorized, in UTC.
        expires_at: When the authorization ends (exclusive), in UTC; `None` for no end.
    """

    happened_at: datetime
    expires_at: datetime | None


@attrs.frozen(kw_only=True)
class Snapshot:
    """The values that a store loaded for `Needs`; `None` and `()` for values that do not exist.

    Attributes:
        record: The idempotency record.
        buckets: The state of each bucket, in the order of `needs.buckets`; `None` for a new one.
        limit: The state of the app user's limit.
        connection: The connection that `needs.connection` or `needs.chain` names.
        successor: The connection that recovered `connection`; loaded for `needs.connection`.
        head: The last connection of the chain of `connection`, if that has a successor; `head` and
            `successor` can be the same. Loaded for `needs.connection`.
        following: Every later connection of the chain of `connection`, nearest first, or the part
            that `needs.chain_part` names; loaded for `needs.chain`.
        session: The session that `needs.session` names.
        binding: The binding of `needs.binding`, or of the coordinate of `session`, `connection` or
            `connections`.
        connections: The connections that `needs.connections` selects: in any order, but sorted by
            their ids if the selection has an `after` or a `limit`.
        page: The hosted page that `needs.page` names; `None` if another page replaced it or its row
            is gone.
        landed_handoff: An authorization that the pending `connection` does not record yet. `None`
            unless the server sets it before it decides a get, which then records the authorization.
    """

    record: idempotency.Record | None = None
    buckets: tuple[ratelimit.RateState | None, ...] = ()
    limit: ratelimit.RateState | None = None
    connection: Connection | None = None
    successor: Connection | None = None
    head: Connection | None = None
    following: tuple[Connection, ...] = ()
    session: CuraeConnectSession | None = None
    binding: LimitedAccountAppBinding | None = None
    connections: tuple[Connection, ...] = ()
    page: HostedPage | None = None
    landed_handoff: LandedHandoff | None = None

    @property
    def era(self) -> datetime | None:
        """The coordinate's era: when its user was last recorded as gone; `None` if never."""
        return present_era(self.binding)


@attrs.frozen
class NewIds:
    """Fresh ids and a next action that the server makes for one mutation.

    The mutation uses only those that it needs.

    Attributes:
        connection_id: The id of a new connection: a UUID in lower case.
        session_id: The id of a new session: a UUID in lower case.
        user_id: The id of a new LIMITED user: text that is not empty and holds no surrogates.
        next_action: The hosted page to show; by default it ends 30 minutes after the request [O].
    """

    connection_id: values.ConnectionId
    session_id: values.SessionId
    user_id: values.UserId = attrs.field(repr=False)
    next_action: values.NextAction

    def __attrs_post_init__(self) -> None:
        """Check the ids, because they are stored for ever, and the next action.

        Raises:
            ArgumentError: An id of a connection or session is no UUID in lower case, the user's id
                or the URL is empty, no text or holds a surrogate, or the next action ends at no UTC
                instant.
        """
        values.check_uuid("connection_id", self.connection_id)
        values.check_uuid("session_id", self.session_id)
        values.parse_opaque("user_id", self.user_id)
        allowed = "a NextAction, which has a URL and its expiry"
        values.check_type("next_action", self.next_action, values.NextAction, allowed=allowed)
        values.parse_opaque("next_action.url", self.next_action.url)
        values.check_instant("next_action.expires_at", self.next_action.expires_at)


def check_snapshot(needs: Needs, snapshot: Snapshot) -> None:
    """Check that the values in `snapshot`, which a store loaded, belong to the keys in `needs`.

    A value of a key may be missing. Values of a kind that the needs name no key for are not
    checked.

    The idempotency record is not checked here. `begin_attempt`, which decides whether a request may
    execute under its key, checks the record.

    Raises:
        ArgumentError: A value belongs to another key than the needs name; the number of bucket
            states differs; only one of `successor` and `head` is missing; the chain has a gap or a
            wrong order; or the connections are more than `needs.connections.limit`, or not sorted
            by their ids although they must be.
    """
    if len(snapshot.buckets) != len(needs.buckets):
        raise ArgumentError("snapshot.buckets", "a state or None for each bucket of the settings")
    coordinate = needs.binding
    if needs.connections is not None:
        coordinate = needs.connections.coordinate
    if snapshot.connection is not None:
        coordinate = snapshot.connection.identity.coordinate
    if needs.session is not None and snapshot.session is not None:
        _check(snapshot.session.id == needs.session, "session", "the session that was asked for")
        coordinate = snapshot.session.coordinate
    if coordinate is not None:
        check_coordinate(snapshot.binding, coordinate)
    if needs.connection is not None and snapshot.connection is not None:
        _check_line(needs.connection, snapshot.connection, snapshot)
    if needs.chain is not None and snapshot.connection is not None:
        _check_chain(needs, snapshot.connection, snapshot.following)
    if needs.connections is not None:
        _check_connections(needs.connections, snapshot.connections)
    if needs.page is not None and snapshot.page is not None:
        _check(snapshot.page.digest == needs.page, "page", "the hosted page that was asked for")


def _check(holds: bool, part: str, allowed: str) -> None:  # noqa: FBT001 - the condition
    if not holds:
        raise ArgumentError(f"snapshot.{part}", allowed)


def _check_line(asked: values.ConnectionId, connection: Connection, snapshot: Snapshot) -> None:
    successor, head = snapshot.successor, snapshot.head
    _check(connection.id == asked, "connection", "the connection that was asked for")
    if successor is None:
        is_last = head is None or head.id == asked
        _check(is_last, "successor", "given if the chain goes on")
        return
    recovers = successor.identity.predecessor_id == asked
    _check(recovers, "successor", "the connection that recovered the one that was asked for")
    is_head = (
        head is not None
        and head.identity.root_id == connection.identity.root_id
        and head.identity.position >= successor.identity.position
    )
    _check(is_head, "head", "the last connection of the chain")


def _check_chain(needs: Needs, connection: Connection, following: tuple[Connection, ...]) -> None:
    _check(connection.id == needs.chain, "connection", "the connection that was asked for")
    before: str | None = connection.id
    part = needs.chain_part
    if part is not None and len(following) >= part.limit:
        # The part may begin later in the chain.
        before = following[0].identity.predecessor_id
    for each in following:
        follows = each.identity.predecessor_id == before
        _check(follows, "following", "the later connections of the chain")
        before = each.id


def _check_connections(page: ConnectionsPage, connections: tuple[Connection, ...]) -> None:
    theirs = all(each.identity.coordinate == page.coordinate for each in connections)
    _check(theirs, "connections", "the connections of the coordinate")
    if page.after is None and page.limit is None:
        return
    fits = page.limit is None or len(connections) <= page.limit
    ids = ["" if page.after is None else page.after, *(each.id for each in connections)]
    in_order = all(before < after for before, after in pairwise(ids))
    _check(fits and in_order, "connections", "one page, in the order of the ids")
