"""Tests of the contract of a store: which stores charge buckets ahead of a commit."""

from __future__ import annotations

from curae_lifecycle import MemoryStore
from curae_lifecycle.stores.contract import is_async_charging_store, is_charging_store
from curae_lifecycle.stores.serve import as_async_store
from tests.support.charging import MemoryChargingStore
from tests.support.serving import Awaited


def test_is_charging_store_tells_a_charging_from_a_plain_store() -> None:
    charging = MemoryChargingStore()
    assert is_charging_store(charging)
    assert is_async_charging_store(as_async_store(charging))
    assert not is_charging_store(MemoryStore())
    assert not is_async_charging_store(Awaited(MemoryStore()))
