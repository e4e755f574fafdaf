"""The rows of a small store: loads, and compare and set.

The law of this module: **only versions are compared**. The store does not look for a successor: an
insert needs its id and its predecessor to be free, an update needs the version that was loaded.
"""

from __future__ import annotations

import attrs

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, Write
from tests.support.wrong_stores import only_counts

Connections = tuple[Connection, ...]


@attrs.frozen
class Stores:
    """The behavior of a store on the writes of a decision.

    Attributes:
        compares: Whether it compares versions before it sets.
        counts: Whether it stores writes that only bump a version; a wrong store skips them.
    """

    compares: bool = True
    counts: bool = True


CORRECT = Stores()


def following(connections: Connections, connection_id: ConnectionId) -> Connections:
    """Return every later connection of a chain, nearest first."""
    by_predecessor = {each.identity.predecessor_id: each for each in connections}
    line: list[Connection] = []
    after = by_predecessor.get(connection_id)
    while after is not None:
        line.append(after)
        after = by_predecessor.get(after.id)
    return tuple(line)


def loaded(
    connections: Connections,
    connection_id: ConnectionId,
    binding: LimitedAccountAppBinding | None = None,
) -> Snapshot:
    """Load a connection, its successor and its head, with the binding of the coordinate."""
    later = following(connections, connection_id)
    successor, head = (later[0], later[-1]) if later else (None, None)
    named = next(each for each in connections if each.id == connection_id)
    return Snapshot(connection=named, successor=successor, head=head, binding=binding)


def loaded_for(
    fact: Fact, connections: Connections, binding: LimitedAccountAppBinding | None = None
) -> Snapshot:
    """Load exactly what a fact needs."""
    asked = fact.needs()
    everything = () if asked.connections is None else connections
    named = asked.connection or asked.chain
    if named is None:
        return Snapshot(binding=binding, connections=everything)
    line = loaded(connections, named, binding)
    if asked.chain is not None:
        later = following(connections, named)
        return Snapshot(connection=line.connection, following=later, binding=binding)
    return line


def compared_and_set(
    connections: Connections,
    binding: LimitedAccountAppBinding | None,
    writes: tuple[Write, ...],
    store: Stores = CORRECT,
) -> tuple[Connections, LimitedAccountAppBinding | None] | None:
    """Return the values after a commit, or None on a conflict; ignore other writes."""
    after = {each.id: each for each in connections}
    for write in writes:
        if not isinstance(write, ConnectionWrite | BindingWrite):
            continue
        held = binding if isinstance(write, BindingWrite) else after.get(write.after.id)
        if not store.counts and only_counts(write):
            continue
        if store.compares and _version(held) != _version(write.before):
            return None
        if isinstance(write, BindingWrite):
            binding = write.after
            continue
        predecessor = write.after.identity.predecessor_id
        taken = {each.identity.predecessor_id for each in after.values()} - {None}
        if store.compares and write.before is None and predecessor in taken:
            return None
        after[write.after.id] = write.after
    return tuple(after.values()), binding


def _version(value: Connection | LimitedAccountAppBinding | None) -> int | None:
    return None if value is None else value.version
