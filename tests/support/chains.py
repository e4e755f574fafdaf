"""Chains of any length, stored at once: the last connection gives access, the others ended."""

from __future__ import annotations

import attrs

from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.stores.contract import Store
from tests.support.strategies import pending, uuid

STORED_AT_ONCE = 1000


def chain_of(length: int, start: int = 1) -> list[Connection]:
    """Build a chain of so many connections, numbered from `start`; the last one is ACTIVE."""
    root = pending(number=start)
    return [
        attrs.evolve(
            root,
            identity=attrs.evolve(
                root.identity,
                id=ConnectionId(uuid(start + place)),
                predecessor_id=ConnectionId(uuid(start + place - 1)) if place else None,
                position=place + 1,
            ),
            status=Status.ACTIVE if place == length - 1 else Status.EXPIRED,
            authorized_at=root.updated_at,
            handoff_deadline=None,
        )
        for place in range(length)
    ]


def store_chain(store: Store, length: int, start: int = 1) -> list[Connection]:
    """Store such a chain, without messages, and return it."""
    chain = chain_of(length, start)
    for first in range(0, length, STORED_AT_ONCE):
        part = chain[first : first + STORED_AT_ONCE]
        writes = tuple([ConnectionWrite(None, each) for each in part])
        assert store.commit(store.load(Needs()), Changes(writes))
    return chain
