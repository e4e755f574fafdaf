"""A store as one request uses it: its buckets are charged as `serve` charges them.

The law of this module: **a request is charged once, however often it starts over**.
"""

from __future__ import annotations

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import Loaded, Store, is_charging_store
from curae_lifecycle.stores.request_loop import split_charges


class RequestStore:
    """A wrapper of a store for one request, so that its API key's rate limits are charged once.

    A `ChargingStore` charges these limits, the buckets, in a separate transaction ahead of the
    commit. If the commit then conflicts, the charges stay, and the request is loaded and decided
    again. Any other store charges buckets in its commit, and the wrapper changes nothing.

    Args:
        store: The store.

    Attributes:
        charges: The charges that were made ahead of a commit. If there are any when the request
            starts over, make its new `Call`, the parsed request, with `charged=True`. The request
            is then not charged again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.charges: tuple[RateWrite, ...] = ()

    def caller_of(self, key_digest: str) -> Caller | None:
        """Return the caller of the API key with this digest, or None for an unknown key."""
        return self._store.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        """Load the values that `needs` names, and the API key's caller if a digest is given."""
        return self._store.load(needs, key_digest)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Commit the changes of the request to the wrapped store.

        Some stores (`ChargingStore`) charge buckets, the rate limits of API keys, in a transaction
        of their own. For those this method makes the charges first.

        Args:
            loaded: The result of the load that the changes were decided from.
            changes: The changes, charges included.
            page: The hosted page to register; `None` if there is none.

        Returns:
            True if the store accepted everything. If it made the charges and then refused the
            commit, the result is False, and the charges stay.
        """
        if not is_charging_store(self._store):
            return self._store.commit(loaded, changes, page)
        charges, others = split_charges(changes)
        is_last = page is None and others == NO_CHANGES
        if charges or (self.charges and is_last):
            if not self._store.charge(loaded, charges, durable=is_last):
                return False
            self.charges += charges
        return is_last or self._store.commit(loaded, others, page)
