"""Tests of the comparison of a store's outbox with the messages of its commits."""

from __future__ import annotations

from typing import Final

import pytest

from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.effects import AccessEnded, HandoffCancelled
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.stores.contract import Loaded, StoreUnavailableError
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.races import StoreArena
from curae_lifecycle.testing.races.outbox import OutboxRecorder
from tests.support.strategies import START

LOADED: Final = Loaded(Snapshot(), START)
CANCELLED: Final[dict[str, Json]] = {"kind": "HandoffCancelled", "connectionId": "c-1"}


def cancelled(number: int) -> Changes:
    return Changes(effects=(HandoffCancelled(ConnectionId(f"c-{number}")),))


class Told(MemoryStore):
    """A store whose outbox holds what it is told, whatever it commits."""

    def __init__(self, *documents: dict[str, Json], accepts: bool = True) -> None:
        super().__init__()
        self._documents = documents
        self._accepts = accepts
        self.error: Exception | None = None

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        del changes, page
        assert loaded is LOADED
        if self.error is not None:
            raise self.error
        return self._accepts

    def outbox(self) -> list[dict[str, Json]]:
        """Return all messages."""
        return [*self._documents]


def test_outbox_check_passes_if_each_message_is_there_once() -> None:
    store = OutboxRecorder(Told({"connectionId": "c-1", "kind": "HandoffCancelled"}), START)
    assert store.reason_not_compared() is None
    assert store.commit(LOADED, cancelled(1))
    assert store.outbox_differences() == ()
    assert store.reason_not_compared() is None


@pytest.mark.parametrize(
    ("documents", "accepts", "counts"),
    [
        ((CANCELLED,), False, "1 times, not 0"),
        ((CANCELLED, CANCELLED), True, "2 times, not 1"),
        (({**CANCELLED, "connectionId": "c-2"},), True, "0 times, not 1"),
    ],
)
def test_outbox_check_reports_missing_and_extra_messages(
    documents: tuple[dict[str, Json], ...], counts: str, *, accepts: bool
) -> None:
    store = OutboxRecorder(Told(*documents, accepts=accepts), START)
    assert store.commit(LOADED, cancelled(1)) is accepts
    store.commit(LOADED, cancelled(2))
    text = '{"connectionId": "c-1", "kind": "HandoffCancelled"}'
    assert f"{text}: {counts}" in store.outbox_differences()


def test_outbox_check_skips_messages_in_the_stores_own_format() -> None:
    store = OutboxRecorder(Told(CANCELLED, {"type": "AccessEnded"}), START)
    ended = AccessEnded(ConnectionId("c-1"), START)
    assert store.commit(LOADED, cancelled(1) + Changes(effects=(ended,)))
    assert store.outbox_differences() == ()
    assert store.reason_not_compared() is None


def test_outbox_is_not_compared_if_no_message_has_known_format() -> None:
    store = OutboxRecorder(Told({"type": "HandoffCancelled"}), START)
    assert store.commit(LOADED, cancelled(1))
    assert store.outbox_differences() == ()
    expected = "the outbox holds none of them in the form of stores.outbox.messages"
    assert store.reason_not_compared() == expected


def test_outbox_check_is_skipped_after_the_store_is_unavailable() -> None:
    told = Told(CANCELLED, accepts=False)
    store = OutboxRecorder(told, START)
    assert not store.commit(LOADED, cancelled(1))
    assert store.outbox_differences() != ()
    told.error = StoreUnavailableError("gone")
    with pytest.raises(StoreUnavailableError):
        store.commit(LOADED, cancelled(2))
    assert store.outbox_differences() == ()
    assert store.reason_not_compared() == "it is unknown which commits took effect"


def test_outbox_check_passes_a_store_without_an_outbox() -> None:
    store = OutboxRecorder(MemoryStore(), START)
    assert store.commit(LOADED, cancelled(1))
    assert store.outbox_differences() == ()
    arena, reason = StoreArena(MemoryStore()), "the store has no method outbox"
    assert arena.outbox_differences() == ()
    assert store.reason_not_compared() == arena.reason_outbox_not_compared() == reason
