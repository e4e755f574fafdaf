"""Tests of `run_sync`, which runs coroutines that never suspend."""

from __future__ import annotations

import asyncio

import pytest

from curae_lifecycle.stores.run_sync import run_sync


async def returned(value: str) -> str:
    return value


def test_run_sync_returns_the_result_of_a_coroutine() -> None:
    assert run_sync(returned("done")) == "done"


def test_run_sync_raises_and_closes_a_coroutine_that_suspends() -> None:
    closed: list[bool] = []

    async def suspends() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    with pytest.raises(AssertionError, match="a coroutine of a blocking store suspended"):
        run_sync(suspends())
    assert closed == [True]
