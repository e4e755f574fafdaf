"""The laws checked against all contents of a store while no transaction runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from curae_lifecycle.rules.binding import LimitedAccountAppBinding, present_era
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import ConnectionId, Coordinate
from curae_lifecycle.testing import laws
from curae_lifecycle.testing.laws import LawBrokenError


def check_store(
    connections: Iterable[Connection],
    sessions: Iterable[CuraeConnectSession],
    bindings: Iterable[LimitedAccountAppBinding],
    now: datetime,
) -> None:
    """Check all connections, sessions and bindings of a store while no transaction runs.

    Each check belongs to a law, and covers it only in part:

    - Law 1: no connection is stored twice.
    - Law 6: every chain, which is a connection with its successors, keeps this law.
    - Law 7: no connection has two successors.
    - Law 8: no coordinate has two bindings.
    - Law 12: if a session landed, its coordinate has had a user. If that was the only user, it is
      the session's. The session's user, if still bound, is not LIMITED.

    Args:
        connections: Every connection in the store.
        sessions: Every connect session in the store.
        bindings: Every binding in the store.
        now: The instant to judge at. No stored instant may be later.

    Raises:
        LawBrokenError: One of these checks fails. The error names the law.
    """
    by_id: dict[ConnectionId, Connection] = {}
    chains: dict[ConnectionId, list[Connection]] = defaultdict(list)
    for connection in connections:
        if connection.id in by_id:
            raise LawBrokenError(1, "it is stored twice", f"connection {connection.id}")
        by_id[connection.id] = connection
        chains[connection.identity.root_id].append(connection)
    laws.check_one_pending_successor((), stored=by_id.values())
    bound: dict[Coordinate, LimitedAccountAppBinding] = {}
    for binding in bindings:
        coordinate = binding.coordinate
        if coordinate in bound:
            raise LawBrokenError(8, "it has two bindings", f"app user {coordinate.app_user_id}")
        bound[coordinate] = binding
    for chain in chains.values():
        era = present_era(bound.get(chain[0].identity.coordinate))
        laws.check_chain(chain, now, era=era)
    for session in sessions:
        _check_landing(session, bound.get(session.coordinate))


def _check_landing(session: CuraeConnectSession, binding: LimitedAccountAppBinding | None) -> None:
    if session.handoff != "LANDED":
        return
    where = f"session {session.id}"
    if binding is None or binding.generation == 0:
        raise LawBrokenError(12, "partial landing: the session landed, and no user is bound", where)
    same_user = binding.user_id == session.user_id
    if same_user and binding.state == "LIMITED":
        raise LawBrokenError(12, "partial landing: its user is still LIMITED", where)
    # A later generation may have another user, who was bound after a tombstone.
    if not same_user and binding.generation == 1:
        raise LawBrokenError(12, "partial landing: another user is bound in generation 1", where)
