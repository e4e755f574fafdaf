"""Stores that charge buckets apart, with a hook or a fault at each step of a request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.ratelimit import Bucket, limit_left
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import ChargingStore, Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.request_loop import split_charges
from tests.support.server import CALLER
from tests.support.serving import LOST, Faults, run


class MemoryChargingStore(MemoryStore):
    """A store in memory that charges buckets apart."""

    charges_apart = True

    def charge(self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool) -> bool:
        assert charges or durable
        return self.commit(loaded, Changes(charges))


class ChargesOnlyApart(MemoryChargingStore):
    """A store in memory that charges buckets apart, and none in a commit."""

    def charge(self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool) -> bool:
        assert charges or durable
        return super().commit(loaded, Changes(charges))

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        assert not split_charges(changes)[0]
        return super().commit(loaded, changes, page)


class AdmitsUncharged(ChargesOnlyApart):
    """A store that also admits a request whose charge met that of another one."""

    def charge(self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool) -> bool:
        super().charge(loaded, charges, durable=durable)
        return True


class Meddled:
    """A store that charges buckets apart, with hooks and faults; it counts its calls.

    Attributes:
        store: The store without hooks and faults.
        charges: The fault of each charge, in order; none after the last.
        commits: The fault of each commit.
        before_charge: A hook before each charge.
        before_commit: A hook before each commit.
        asked: The number of calls of each method.
        durable: For each charge, whether it had to be durable.
    """

    charges_apart = True

    def __init__(self, store: ChargingStore) -> None:
        assert store.charges_apart
        self.store = store
        self.charges: Faults = ()
        self.commits: Faults = ()
        self.before_charge: Callable[[], object] = lambda: None
        self.before_commit: Callable[[], object] = lambda: None
        self.asked: Counter[str] = Counter()
        self.durable: list[bool] = []

    def caller_of(self, key_digest: str) -> Caller | None:
        return self.store.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        self.asked["load"] += 1
        return self.store.load(needs, key_digest)

    def charge(self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool) -> bool:
        self.asked["charge"] += 1
        self.durable.append(durable)
        self.before_charge()
        return self._run("charges", lambda: self.store.charge(loaded, charges, durable=durable))

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        assert changes != NO_CHANGES
        assert not split_charges(changes)[0]
        self.asked["commit"] += 1
        self.before_commit()
        return self._run("commits", lambda: self.store.commit(loaded, changes, page))

    def charged(self, bucket: Bucket) -> int:
        """Return how often the bucket of `CALLER` was charged; it must hardly refill."""
        loaded = self.store.load(Needs(buckets=(BucketKey(CALLER.key_owner, bucket),)))
        state = loaded.snapshot.buckets[0]
        if state is None:
            return 0
        return bucket.capacity - limit_left(bucket, state, loaded.now).remaining

    def _run(self, name: str, call: Callable[[], bool]) -> bool:
        faults = [*getattr(self, name)]
        fault = faults[0] if faults else None
        setattr(self, name, faults[1:])
        return False if fault is LOST else run(fault, call)
