"""Writes of a decision, as data.

The law of this module: **a write holds the value before and after**, so that a store can compare
and set.
"""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules import idempotency, ratelimit, values
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.rate_keys import RateKey


@attrs.frozen
class ConnectionWrite:
    """The insert (if `before` is `None`) or update of a connection.

    A database needs two unique constraints: on the id and on the predecessor's id. If a decision
    relied on a connection without changing it, `after` is `before` with the next version. A late
    authorization, a new successor and the revocation of a chain thus write the same row: if they
    are concurrent, one is committed, and the others conflict and are decided again [O].

    Attributes:
        before: The connection as it is stored; `None` for a new one.
        after: The connection to store.
    """

    before: Connection | None
    after: Connection


@attrs.frozen
class SessionWrite:
    """The insert (if `before` is `None`) or update of a connect session, unique by its id.

    Attributes:
        before: The session as it is stored; `None` for a new one.
        after: The session to store.
    """

    before: CuraeConnectSession | None
    after: CuraeConnectSession


@attrs.frozen
class BindingWrite:
    """The insert (if `before` is `None`) or update of a binding, unique by its coordinate.

    Some updates change only the version, to make a concurrent write conflict.

    Attributes:
        before: The binding as it is stored; `None` for a new one.
        after: The binding to store.
    """

    before: LimitedAccountAppBinding | None
    after: LimitedAccountAppBinding


@attrs.frozen
class PageWrite:
    """The update of a hosted page, unique by its digest, that only raises the version.

    A fact that came from the page commits this write, so that it conflicts with a commit that
    replaces the page [O]. A new page has no write: the store's `commit` takes it separately.

    Attributes:
        before: The page as it is stored.
        after: The page to store.
    """

    before: HostedPage
    after: HostedPage


@attrs.frozen
class RecordWrite:
    """The insert (if `before` is `None`) or update of an idempotency record, unique by `key`.

    Attributes:
        key: The key of the record.
        before: The record as it is stored, perhaps past its retention; `None` for a new one.
        after: The record to store.
    """

    key: idempotency.RecordKey
    before: idempotency.Record | None
    after: idempotency.Record


@attrs.frozen
class RateWrite:
    """The insert (if `before` is `None`) or update of a rate limit's state, unique by `key`.

    Attributes:
        key: The key of the limit.
        policy: The rate limit that was charged.
        before: The state as it is stored; `None` for a new one.
        after: The state to store.
    """

    key: RateKey
    policy: ratelimit.Policy
    before: ratelimit.RateState | None
    after: ratelimit.RateState

    @property
    def expires_at(self) -> datetime:
        """The instant from which a store may drop the state `after`: then it limits nothing more.

        If a later `expires_at` is stored, the store keeps that one: a server with a longer window
        may have written it.
        """
        return ratelimit.state_expires_at(self.policy, self.after) or values.LAST_INSTANT


Write = ConnectionWrite | SessionWrite | BindingWrite | PageWrite | RecordWrite | RateWrite
"""A write of any kind: one insert or update of a stored value, to commit with the others."""
