"""The sweep after a tombstone: it writes down which connections the tombstone ended.

The laws of this module: **a sweep changes no access**, because everything it reaches was over
already; **each connection is revoked alone and once**, with its effects and events.

A store runs the sweep in batches after the commit of the tombstone (`stores.sweeping`).
"""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.triggers import sweep
from curae_lifecycle.service.changes import NO_CHANGES, Changes, ending_changes
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.writes import BindingWrite


def sweep_changes(
    binding: LimitedAccountAppBinding, connections: tuple[Connection, ...], now: datetime
) -> Changes:
    """Return the changes that store as REVOKED the connections that the last tombstone ended.

    A tombstone records that the coordinate's user is gone. These connections have given no access
    since then, but their rows do not say so yet.

    Args:
        binding: The binding of the coordinate as it is stored, after a tombstone.
        connections: Connections of the coordinate as they are stored. Those that were made under
            the binding's era, and those that are REVOKED already, are left alone.
        now: When the revocations are recorded, in UTC.

    Returns:
        The changes to commit; `NO_CHANGES` if no connection is to be stored as REVOKED.
    """
    tombstoned_at = binding.tombstoned_at
    assert tombstoned_at is not None  # noqa: S101 - the binding was tombstoned
    swept = [
        (each, sweep(each, now, tombstoned_at=tombstoned_at))
        for each in connections
        if each.identity.era != binding.era
    ]
    return sum(
        (
            ending_changes(EventKind.CONNECTION_REVOKED, before, answer.value)
            for before, answer in swept
            if isinstance(answer, Done)
        ),
        NO_CHANGES,
    )


def swept_changes(binding: LimitedAccountAppBinding) -> Changes:
    """Return the changes that mark a binding's sweep as finished.

    The sweep stores as REVOKED the connections that a tombstone ended.

    Args:
        binding: The binding as it is stored, with an unfinished sweep.
    """
    after = attrs.evolve(binding, swept=True, version=binding.version + 1)
    return Changes((BindingWrite(binding, after),))
