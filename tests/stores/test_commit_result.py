"""Tests of stores whose `commit` does not return whether it stored the changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from curae_lifecycle import (
    ApiKey,
    ArgumentError,
    Done,
    MemoryStore,
    record,
    record_fact,
    serve,
    serve_with_external_call,
)
from curae_lifecycle.rules.values import NextAction
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import Needs, NewIds
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.serve import sweep_now
from tests.support.instants import commit_writes
from tests.support.server import API_KEY, CALLER, request
from tests.support.serving import Numbered
from tests.support.strategies import COORDINATE, START, pending


class Silent(MemoryStore):
    """A store whose `commit` stores the changes, and returns nothing once it is silent."""

    is_silent = False
    commits = 0

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        self.commits += self.is_silent
        stored = super().commit(loaded, changes, page)
        return cast("bool", None) if self.is_silent else stored


def make_next_action(new_ids: NewIds, renew: Callable[[], bool]) -> NextAction:
    del renew
    return new_ids.next_action


def serve_with_call(store: Silent) -> object:
    return serve_with_external_call(
        store, request("create"), Numbered(), make_next_action=make_next_action
    )


def sweep_again(store: Silent) -> object:
    store.is_silent = False
    loaded = store.load(Needs(binding=COORDINATE))
    answer = record_fact(Tombstoned(COORDINATE), loaded.snapshot, loaded.now)
    assert isinstance(answer, Done)
    assert store.commit(loaded, answer.value)
    store.is_silent = True
    return sweep_now(store, COORDINATE)


@pytest.mark.parametrize(
    ("act", "commits"),
    [
        (lambda store: serve(store, request("create"), Numbered()), 1),
        # It also tries to free the idempotency key.
        (serve_with_call, 2),
        (lambda store: record(store, Tombstoned(COORDINATE)), 1),
        (sweep_again, 1),
    ],
    ids=["request", "request with an external call", "fact", "sweep"],
)
def test_commit_returning_none_raises_argument_error_at_once(
    act: Callable[[Silent], object], commits: int
) -> None:
    store = Silent(clock=lambda: START)
    store.register(ApiKey(API_KEY), CALLER)
    assert commit_writes(store, (ConnectionWrite(None, pending()),))
    store.is_silent = True
    with pytest.raises(ArgumentError, match=r"^store\.commit: must be a method .*, not None$"):
        act(store)
    assert store.commits == commits
