"""The revocation of a connection, as far as its actor reaches: needs, answers and changes.

The law of this module: **the table `revocation-reach` decides what is loaded and what ends**, for
the operation and the fact alike.
"""

from __future__ import annotations

from datetime import datetime

from curae_lifecycle.rules import chain, outcomes
from curae_lifecycle.rules.connection import Actor, Connection
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import (
    NO_CHANGES,
    Changes,
    ending_changes,
    live_head_changes,
    revocation_changes,
)
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.snapshot import Needs, Snapshot

Answers = tuple[outcomes.Done[Connection] | outcomes.Ignored[Connection], ...]
"""The outcome for each connection of a revocation, in the chain's order.

Done: the connection was revoked now. Ignored: it was revoked before.
"""


def revocation_needs(connection_id: ConnectionId, actor: Actor) -> Needs:
    """Return the keys to load for a revocation: the connection, or also the rest of its chain.

    A PATIENT and the PLATFORM revoke every later connection of the chain, too, so for them the
    chain is loaded.

    Args:
        connection_id: The id of the connection to revoke.
        actor: The actor that revokes.
    """
    if reaches_chain(actor):
        return Needs(chain=connection_id)
    return Needs(connection=connection_id)


def revoke_by_actor(
    connection: Connection,
    snapshot: Snapshot,
    now: datetime,
    *,
    actor: Actor,
    happened_at: datetime | None = None,
) -> tuple[Answers, Changes]:
    """Revoke a connection and, for a PATIENT or the PLATFORM, the later ones of its chain.

    An APP and the UPSTREAM revoke only the connection; the table `revocation-reach` says so. If the
    last connection of the chain is then still live, the changes hold a warning to the server.

    Args:
        connection: The connection to revoke, as it is stored.
        snapshot: The values that were loaded for `revocation_needs(connection.id, actor)`.
        now: When the revocation is recorded, in UTC.
        actor: The actor that revokes.
        happened_at: When the revocation happened, in UTC; `None` for `now`.

    Returns:
        The answer for each connection that was to be revoked, the named one first, and the changes
        to commit; `NO_CHANGES` if every connection was revoked before.
    """
    if reaches_chain(actor):
        reached = (connection, *snapshot.following)
        return revoke_part(reached, snapshot, now, actor=actor, happened_at=happened_at)
    era = snapshot.era
    answers = chain.revoke_chain(connection, (), now, era=era, actor=actor, happened_at=happened_at)
    answer = answers[0]
    if not isinstance(answer, outcomes.Done):
        return answers, NO_CHANGES
    changes = ending_changes(EventKind.CONNECTION_REVOKED, connection, answer.value)
    return answers, changes + live_head_changes(connection, snapshot.head, now, era=era)


def revoke_part(
    reached: tuple[Connection, ...],
    snapshot: Snapshot,
    now: datetime,
    *,
    actor: Actor,
    happened_at: datetime | None = None,
    has_head: bool = True,
) -> tuple[Answers, Changes]:
    """Revoke connections that follow one another in a chain, for a PATIENT or the PLATFORM.

    A chain that is too long for one commit is revoked in several parts.

    Args:
        reached: The connections as they are stored, in the order of the chain; at least one.
        snapshot: The values that were loaded with `reached`; only the binding is used.
        now: When the revocation is recorded, in UTC.
        actor: The actor that revokes.
        happened_at: When the revocation happened, in UTC; `None` for `now`.
        has_head: True if `reached` includes the last connection (the head) of the chain. Changes
            that revoke at least one connection then raise the head's version, too, even if the head
            was revoked before. So a concurrent reconnect conflicts.

    Returns:
        The answer for each of `reached`, and the changes to commit; `NO_CHANGES` if every one was
        revoked before.
    """
    answers = chain.revoke_chain(
        reached[0],
        reached[1:],
        now,
        era=snapshot.era,
        actor=actor,
        happened_at=happened_at,
    )
    if not any(isinstance(answer, outcomes.Done) for answer in answers):
        return answers, NO_CHANGES
    return answers, revocation_changes(reached, answers, has_head=has_head)


def join_rules(answers: Answers) -> tuple[str, ...]:
    """Return the names of the rules that decided a revocation, from all its answers, in order."""
    return tuple(rule for answer in answers for rule in answer.rules)


def reaches_chain(actor: Actor) -> bool:
    """Return whether an actor revokes the later connections of a chain, too.

    The table `revocation-reach` says so.

    Args:
        actor: The actor that revokes.
    """
    return chain.REVOCATION_REACH[actor].outcome.value is chain.Reach.CHAIN
