"""Tests of outbox workers that get a handler or an event of the other kind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

import pytest

from curae_lifecycle import ArgumentError
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import SqlDatabase
from curae_lifecycle.stores.sql.outbox_worker import AsyncOutbox, Outbox
from curae_lifecycle.stores.sql.threaded import ThreadedDatabase
from tests.stores.sql.posting import database, left, post, url

__all__ = ["database", "url"]


def blocking(_: Delivery) -> None:
    """Deliver a message."""


async def awaited(_: Delivery) -> None:
    """Deliver a message."""


class AwaitedObject:
    """A handler whose kind only its result shows."""

    async def __call__(self, _: Delivery) -> None:
        """Deliver a message."""


Handler = Callable[[Delivery], None]


@pytest.mark.parametrize("handler", [awaited, partial(awaited), None])
def test_outbox_with_an_async_handler_raises_and_keeps_messages(
    database: SqlDatabase, handler: object
) -> None:
    post(database, "one")
    outbox, handle = Outbox(database), cast("Handler", handler)
    for deliver in (outbox.run, outbox.deliver_batch):
        with pytest.raises(ArgumentError, match=r"^handle: must be a function that takes"):
            deliver(handle)
    assert left(database) == 1


def test_outbox_keeps_a_message_whose_handler_was_not_awaited(
    database: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    post(database, "one")
    outbox = Outbox(database, DeliverySettings(attempts=2))
    assert outbox.deliver_batch(cast("Handler", AwaitedObject())) == 1
    assert left(database) == 1
    assert "message 1: attempt 1 of 2: ArgumentError" in caplog.text


def test_async_outbox_with_a_blocking_handler_raises_at_once(database: SqlDatabase) -> None:
    post(database, "one")
    outbox = AsyncOutbox(ThreadedDatabase(database))
    handle = cast("Callable[[Delivery], Awaitable[None]]", blocking)

    async def check() -> None:
        for deliver in (outbox.run, outbox.deliver_batch):
            with pytest.raises(ArgumentError, match=r"^handle: must be an async function"):
                await deliver(handle)

    asyncio.run(check())
    assert left(database) == 1


def test_outbox_run_with_the_wrong_kind_of_stop_event_raises(database: SqlDatabase) -> None:
    with pytest.raises(ArgumentError, match=r"^stop: must be a threading\.Event or None"):
        Outbox(database).run(blocking, cast("threading.Event", asyncio.Event()))

    async def run() -> None:
        outbox = AsyncOutbox(ThreadedDatabase(database))
        with pytest.raises(ArgumentError, match=r"^stop: must be an asyncio\.Event or None"):
            await outbox.run(awaited, cast("asyncio.Event", threading.Event()))

    asyncio.run(run())
