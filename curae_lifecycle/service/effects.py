"""Effects of a decision, as data: tasks of the server.

The law of this module: **an effect is for the server alone** and never reaches a response [S].
"""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules import values


@attrs.frozen
class AccessEnded:
    """The task to drop every cached grant of a connection at once, since it gives no more access.

    Attributes:
        connection_id: The connection's id.
        at: The `revoked_at` of a revoked connection, else when the end was recorded. Access may
            have ended before, for instance at `expires_at`.
    """

    connection_id: values.ConnectionId
    at: datetime


@attrs.frozen
class HandoffCancelled:
    """The task to end a connection's open hand-off: its hosted page's URL must stop working."""

    connection_id: values.ConnectionId


@attrs.frozen
class NextActionReplaced:
    """The task to disable the earlier hosted page URL of a connection: a fresh one was issued."""

    connection_id: values.ConnectionId


@attrs.frozen
class SuccessorsLive:
    """A warning that a connection was revoked but a later one of its chain is still live [O].

    An app that revokes an old id may believe that all access ended.

    `connection_id` was revoked; `head_id`, the last of the chain, is live.
    """

    connection_id: values.ConnectionId
    head_id: values.ConnectionId


@attrs.frozen
class UserProvisioned:
    """The task to create a new LIMITED user, once the binding that names the user is stored.

    The rules have decided that the user is provisioned; the server has yet to create the user.

    Attributes:
        user_id: The id that the new user must get; no repr shows it.
        coordinate: The coordinate (one user of one app) that the binding ties to the new user.
    """

    user_id: values.UserId = attrs.field(repr=False)
    coordinate: values.Coordinate


Effect = AccessEnded | HandoffCancelled | NextActionReplaced | SuccessorsLive | UserProvisioned
"""An effect of any kind: a task for the server beside storing, or a warning to it."""
