"""The laws held against a whole store at rest: everything that it holds, looked at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
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
    """Judge all that a store holds, at rest (laws 1, 6, 7, 8 and 12).

    Args:
        connections: Every connection.
        sessions: Every connect session.
        bindings: Every binding.
        now: The instant to look at, no earlier than anything that is stored.

    Raises:
        LawBrokenError: An id twice, a chain that is no line, two bindings of one coordinate, or
            a hand-off that landed without its binding.
    """
    chains: dict[ConnectionId, list[Connection]] = defaultdict(list)
    held: dict[ConnectionId, Connection] = {}
    for each in connections:
        if each.id in held:
            raise LawBrokenError(1, "it is stored twice", f"connection {each.id}")
        held[each.id] = each
        chains[each.identity.root_id].append(each)
    laws.check_one_pending_successor((), stored=held.values())
    for chain in chains.values():
        laws.check_chain(chain, now)
    bound: dict[Coordinate, LimitedAccountAppBinding] = {}
    for binding in bindings:
        coordinate = binding.coordinate
        if coordinate in bound:
            raise LawBrokenError(8, "two bindings", f"app user {coordinate.app_user_id}")
        bound[coordinate] = binding
    for session in sessions:
        _check_landing(session, bound.get(session.coordinate))


def _check_landing(session: CuraeConnectSession, binding: LimitedAccountAppBinding | None) -> None:
    if session.handoff != "LANDED":
        return
    where = f"session {session.id}"
    if binding is None:
        raise LawBrokenError(12, "half of a landing: it landed and nobody is bound", where)
    same = binding.user_id == session.user_id
    if same and binding.state == "LIMITED":
        raise LawBrokenError(12, "half of a landing: the user is LIMITED still", where)
    if not same and binding.generation == 1:
        raise LawBrokenError(12, "half of a landing: the only user is another one", where)
