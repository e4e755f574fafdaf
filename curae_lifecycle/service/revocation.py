"""The revocation of a connection, as far as its actor reaches: needs, answers and changes.

The law of this module: **the table `revocation-reach` decides what is loaded and what ends**, for
the operation and the fact alike.
"""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules import chain, outcomes
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import (
    NO_CHANGES,
    Changes,
    live_head_changes,
    revocation_changes,
)
from curae_lifecycle.service.snapshot import Needs, Snapshot


@attrs.frozen
class Revocation:
    """The result of a revocation.

    Attributes:
        answer: The answer for the named connection. Done: it was revoked now.
        rules: The names of the rules that decided, for every connection that was reached.
        changes: The changes to commit; `NO_CHANGES` if every connection was revoked before.
    """

    answer: outcomes.Done[Connection] | outcomes.Ignored[Connection]
    rules: tuple[str, ...]
    changes: Changes


def revocation_needs(connection_id: ConnectionId, actor: Actor) -> Needs:
    """Return needs that name the chain if the actor's revocation reaches it, else the connection.

    Args:
        connection_id: The id of the connection to revoke.
        actor: The actor that revokes.
    """
    if _reaches_chain(actor):
        return Needs(chain=connection_id)
    return Needs(connection=connection_id)


def revoke_reached(
    connection: Connection,
    snapshot: Snapshot,
    now: datetime,
    *,
    actor: Actor,
    happened_at: datetime | None = None,
) -> Revocation:
    """Revoke a connection, and the later ones of its chain if the actor's revocation reaches them.

    Args:
        connection: The connection to revoke, as it is stored.
        snapshot: The values that were loaded for `revocation_needs`.
        now: When the revocation is recorded, in UTC.
        actor: The actor that revokes.
        happened_at: When the revocation happened, in UTC; `None` for `now`.
    """
    answers = chain.revoke_chain(
        connection, snapshot.following, now, actor=actor, happened_at=happened_at
    )
    rules = tuple(rule for answer in answers for rule in answer.rules)
    if not any(isinstance(answer, outcomes.Done) for answer in answers):
        return Revocation(answers[0], rules, NO_CHANGES)
    if _reaches_chain(actor):
        reached = (connection, *snapshot.following)
        changes = revocation_changes(reached, answers, heads=reached[-1:])
    else:
        changes = revocation_changes((connection,), answers)
        changes += live_head_changes(connection, snapshot.head, now)
    return Revocation(answers[0], rules, changes)


def _reaches_chain(actor: Actor) -> bool:
    return chain.REVOCATION_REACH[actor].outcome.value is chain.Reach.CHAIN
