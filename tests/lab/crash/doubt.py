"""Doubtful operations: their server may have executed an earlier attempt without knowing it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import (
    Loaded,
    Store,
    StoreUnavailableError,
    StoreUnchangedError,
)
from tests.lab.crash.history import Operation
from tests.lab.crash.world import Told

_DOUBT: Final = 1_500_000
"""Microseconds after which a server may have made a second attempt: half a second less than one lasts."""

LOOP: Final = 10_000_000
"""Microseconds after which no server retries for a client that may be gone, even after a pause."""


@attrs.define
class DoubtedCommits:
    """A store for one fact, which counts the commits whose outcome it did not learn.

    Attributes:
        store: The store behind it.
        number: The number of commits with an unknown outcome.
    """

    store: Store
    number: int = 0

    def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of an API key."""
        return self.store.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load what is needed."""
        return self.store.load(needs, key_digest)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Commit, and count it if the database did not answer."""
        try:
            return self.store.commit(loaded, changes, page)
        except StoreUnchangedError:
            raise
        except StoreUnavailableError:
            self.number += 1
            raise


def with_doubt(operation: Operation, troubles: Iterable[tuple[int, int]]) -> Operation:
    """Return a request with `is_doubtful` set; a fact already has it, from `DoubtedCommits`.

    Args:
        operation: The operation.
        troubles: The beginning and end of each outage, in microseconds of the true clock.
    """
    if isinstance(operation.work, Told):
        return operation
    begun, ended = operation.invoked, operation.returned
    # Without a response the server may still be at its attempts.
    if ended is None:
        ended = begun + LOOP
    # An attempt is cancelled after two seconds without knowing its outcome.
    is_long = operation.returned is not None and ended - begun >= _DOUBT
    is_troubled = any(first <= ended and begun <= last for first, last in troubles)
    return attrs.evolve(operation, is_doubtful=is_long or is_troubled)
