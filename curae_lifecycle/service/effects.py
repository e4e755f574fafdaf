"""Effects of a decision, as data: tasks of the server.

The law of this module: **an effect is for the server alone** and never reaches a response [S].
"""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules import values


@attrs.frozen
class AccessEnded:
    """Drop every cached grant of the connection.

    Attributes:
        connection_id: The connection's id.
        at: The instant from which it gives no access.
    """

    connection_id: values.ConnectionId
    at: datetime


@attrs.frozen
class HandoffCancelled:
    """End the live hand-off of the connection: its URL no longer works."""

    connection_id: values.ConnectionId


@attrs.frozen
class NextActionReplaced:
    """End the connection's earlier URL: a fresh one was issued."""

    connection_id: values.ConnectionId


@attrs.frozen
class SuccessorsLive:
    """A warning that access continues: the head of the revoked connection's chain is alive [O].

    An app that revokes an old id may believe that all access ended.
    """

    connection_id: values.ConnectionId
    head_id: values.ConnectionId


@attrs.frozen
class UserProvisioned:
    """Create the LIMITED user that the binding names.

    Attributes:
        user_id: The new user.
        coordinate: The coordinate that it is bound to.
    """

    user_id: values.UserId = attrs.field(repr=False)
    coordinate: values.Coordinate


Effect = AccessEnded | HandoffCancelled | NextActionReplaced | SuccessorsLive | UserProvisioned
"""An effect of any kind."""
