"""Writes of a decision, as data: each says what it replaces.

The law of this module: **a write says before and after**, so that a store compares and sets.
"""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules import idempotency, ratelimit, values
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.service.rate_keys import RateKey


@attrs.frozen
class ConnectionWrite:
    """Insert (`before` is `None`) or update a connection.

    Two constraints are all a database needs: the id, and the predecessor's id, each unique. Where
    a decision only relied on a connection, `after` is the same with one write more: a late
    authorization, the mint of a successor and the revocation of a chain so meet on one row [O].
    """

    before: Connection | None
    after: Connection


@attrs.frozen
class SessionWrite:
    """Insert or update a connect session, unique by its id.

    Attributes:
        before: What is stored now; `None` where nothing is.
        after: What takes its place.
    """

    before: CuraeConnectSession | None
    after: CuraeConnectSession


@attrs.frozen
class BindingWrite:
    """Insert or update a binding, unique by its coordinate, or count that it was relied on.

    Attributes:
        before: What is stored now; `None` where nothing is.
        after: What takes its place.
    """

    before: LimitedAccountAppBinding | None
    after: LimitedAccountAppBinding


@attrs.frozen
class RecordWrite:
    """Insert or update an idempotency record, unique by its key.

    What was loaded may be past its retention.

    Attributes:
        key: Whose record it is.
        before: What is stored now; `None` where nothing is.
        after: What takes its place.
    """

    key: idempotency.RecordKey
    before: idempotency.Record | None
    after: idempotency.Record


@attrs.frozen
class RateWrite:
    """Insert or update the state of the rate limit that was charged, unique by its key.

    Attributes:
        key: Whose limit it is.
        policy: The limit.
        before: What is stored now; `None` where nothing is.
        after: What takes its place.
    """

    key: RateKey
    policy: ratelimit.Policy
    before: ratelimit.RateState | None
    after: ratelimit.RateState

    @property
    def expires_at(self) -> datetime:
        """When the state may be dropped, never before."""
        return ratelimit.state_expires_at(self.policy, self.after) or values.LAST_INSTANT


Write = ConnectionWrite | SessionWrite | BindingWrite | RecordWrite | RateWrite
"""What is to be stored, of whichever kind."""
