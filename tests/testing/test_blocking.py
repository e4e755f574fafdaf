"""Tests of the adapter that makes an async store a blocking one."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

import pytest

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.testing.blocking import (
    BlockingStoreAdapter,
    has_clock,
    method_of,
    replace_clock,
)
from tests.support.server import CALLER
from tests.support.strategies import at
from tests.testing.recording import DROPPED, KEY, AsyncRecordingStore, RecordingStore, check_calls


@pytest.fixture
def runner() -> Generator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


def test_adapter_passes_each_call_to_its_async_store(runner: asyncio.Runner) -> None:
    store = AsyncRecordingStore()
    adapter = BlockingStoreAdapter(store, runner)
    assert adapter.inner is store
    check_calls(adapter, store.inner)


class PlainRegister(AsyncRecordingStore):
    """An async store whose `register` is no coroutine function."""

    def register(self, api_key: ApiKey, caller: Caller) -> object:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride] - both are allowed
        return self.inner.register(api_key, caller)


def test_adapter_calls_register_even_if_it_is_not_async(runner: asyncio.Runner) -> None:
    store = PlainRegister()
    assert BlockingStoreAdapter(store, runner).register(KEY, CALLER) == "registered"
    assert store.inner.calls == [("register", KEY, CALLER)]


class ChargesWithCommit(AsyncRecordingStore):
    """An async store that charges buckets within the commit."""

    charges_apart = False


def test_adapter_charges_buckets_in_its_commit_if_its_store_does(runner: asyncio.Runner) -> None:
    assert not BlockingStoreAdapter(ChargesWithCommit(), runner).charges_apart


def test_adapter_runs_optional_methods_of_its_async_store(runner: asyncio.Runner) -> None:
    purge = method_of(BlockingStoreAdapter(AsyncRecordingStore(), runner), "purge")
    assert purge is not None
    assert purge() == DROPPED


def test_looking_up_a_method_that_the_store_lacks_gives_none() -> None:
    purge = method_of(RecordingStore(), "purge")
    assert purge is not None
    assert purge() == DROPPED
    assert method_of(RecordingStore(), "sweep") is None


def test_setting_the_adapters_clock_sets_the_async_stores_clock(runner: asyncio.Runner) -> None:
    store = AsyncRecordingStore()
    adapter = BlockingStoreAdapter(store, runner)
    assert has_clock(adapter)
    replace_clock(adapter, lambda: at(5))
    assert store.clock() == at(5)


class WithoutClock:
    """A store whose attribute `clock` is not a function."""

    clock = None


@pytest.mark.parametrize("store", [object(), WithoutClock()])
def test_has_clock_is_false_for_a_store_without_a_clock_function(store: object) -> None:
    assert not has_clock(store)
