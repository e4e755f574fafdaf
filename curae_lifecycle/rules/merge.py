"""The merge of snapshots of one connection that arrive out of order.

The law of this module: **merge is commutative, associative and idempotent, and REVOKED
absorbs**, so webhooks and replicas may arrive in any order and more than once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.errors import LifecycleError
from curae_lifecycle.rules.values import LAST_INSTANT, ConnectionId


class MergeError(LifecycleError, ValueError):
    """The error of merging snapshots of two connections, which have different identities.

    If both ids are equal, another member that never changes differs, such as the creation time.

    Attributes:
        left: The connection's id in the left snapshot.
        right: The connection's id in the right snapshot.
    """

    def __init__(self, left: ConnectionId, right: ConnectionId) -> None:
        super().__init__(left, right)
        self.left = left
        self.right = right

    def __str__(self) -> str:
        return f"snapshots of {self.left} and {self.right} have different identities"


RANK: Final = {status: rank for rank, status in enumerate(Status)}
"""The rank of each `Status`: the stored status of a connection never falls in rank."""

_Member = TypeVar("_Member", str, datetime)


def merge(left: Connection, right: Connection) -> Connection:
    """Merge two snapshots of one connection that may have arrived out of order [O].

    - The status of the higher rank wins: PENDING < ACTIVE < ACTION_REQUIRED < EXPIRED < REVOKED.
    - `revoked_at`, `authorized_at` and `expires_at` are the earliest known. `revoked_by` is the
      actor of the earliest revocation.
    - `action_required_reason` is the first in text order if both snapshots have one.
    - `updated_at`, `version` and `handoff_deadline` are the latest.
    - Ties are broken by value, never by the order of the arguments.

    The merge is commutative, associative and idempotent. A merge with REVOKED gives REVOKED.

    Args:
        left: One snapshot.
        right: The other snapshot; swapping the two gives the same result.

    Raises:
        MergeError: The snapshots are of different connections: their `ConnectionIdentity` differs.
    """
    if left.identity != right.identity:
        raise MergeError(left.id, right.id)
    revocation = min(left, right, key=_revocation)
    return Connection(
        identity=left.identity,
        status=max(left.status, right.status, key=RANK.__getitem__),
        updated_at=max(left.updated_at, right.updated_at),
        handoff_deadline=_merge_known(max, left.handoff_deadline, right.handoff_deadline),
        authorized_at=_merge_known(min, left.authorized_at, right.authorized_at),
        expires_at=_merge_known(min, left.expires_at, right.expires_at),
        action_required_reason=_merge_known(
            min, left.action_required_reason, right.action_required_reason
        ),
        revoked_at=revocation.revoked_at,
        revoked_by=revocation.revoked_by,
        version=max(left.version, right.version),
    )


def _revocation(connection: Connection) -> tuple[bool, datetime, bool, str]:
    # Sorts the earliest revocation first, and an unknown instant or actor last.
    at, by = connection.revoked_at, connection.revoked_by
    return (at is None, at or LAST_INSTANT, by is None, by or "")


def _merge_known(
    choose: Callable[[_Member, _Member], _Member], left: _Member | None, right: _Member | None
) -> _Member | None:
    if left is None or right is None:
        return right if left is None else left
    return choose(left, right)
