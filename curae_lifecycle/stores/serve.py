"""The one loop: load, decide, commit, and again where somebody was faster.

The laws of this module: **a request is answered in time**, whatever the store does: what can be
answered in no attempt is answered with a problem that may be retried; **nothing spins**: between
two attempts it waits, longer each time; **a call out is made once**: what it brought is committed
by as many attempts as that takes, and never called for again.

The functions come in two kinds, for a store that waits and for one that is awaited. Both run the
same coroutine: a store that waits never suspends it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.values import SECOND, NextAction
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, FactNeeds
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs, NewIds
from curae_lifecycle.stores.contract import (
    AsyncStore,
    Loaded,
    LoadedCall,
    LoadedFact,
    Store,
    StoreUnavailableError,
)
from curae_lifecycle.stores.minting import Mint
from curae_lifecycle.stores.pages import HostedPage
from curae_lifecycle.stores.patience import DEFAULT_PATIENCE, Patience
from curae_lifecycle.stores.serving import (
    AsyncRenew,
    CallOut,
    Renew,
    answer_request,
    record_in,
)
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer

_Answered = TypeVar("_Answered")


def serve(
    store: Store,
    request: Request,
    mint: Mint,
    settings: Settings = DEFAULT_SETTINGS,
    *,
    patience: Patience = DEFAULT_PATIENCE,
) -> Answer:
    """Answer a request whole: load, decide, commit.

    Args:
        store: Where everything is kept.
        request: The request as it came.
        mint: Makes the ids and the next action of a mutation.
        settings: What the server chose.
        patience: How often and how long it is tried.

    Returns:
        The answer; what it changes is committed. Where the store could not, in all attempts, it
        is `INTERNAL`, a problem that may be retried, with `Retry-After`.
    """
    return _at_once(answer_request(_Waiting(store), request, mint, settings, patience, _sleep))


async def serve_async(
    store: AsyncStore,
    request: Request,
    mint: Mint,
    settings: Settings = DEFAULT_SETTINGS,
    *,
    patience: Patience = DEFAULT_PATIENCE,
) -> Answer:
    """Answer a request whole, as `serve` does, with a store that is awaited."""
    timed = _Timed(store, patience.answer_seconds)
    return await answer_request(timed, request, mint, settings, patience, asyncio.sleep)


def serve_calling_out(
    store: Store,
    request: Request,
    call_out: Callable[[NewIds, Renew], NextAction],
    mint: Mint,
    settings: Settings = DEFAULT_SETTINGS,
    *,
    lease: float = 60.0,
    patience: Patience = DEFAULT_PATIENCE,
) -> Answer:
    """Answer a request whose next action another service mints.

    The key is taken in one transaction and the answer is stored in another; no transaction is
    open while the call is out. Where the answer is a refusal or a replay, nobody is called.

    Args:
        store: Where everything is kept.
        request: The request as it came.
        call_out: Asks the other service for the next action, given the ids that were minted and
            a function that prolongs the lease: call it before `lease` is over. It is called once
            at most; what it raises comes out of here, and the key is free again.
        mint: Makes the ids; its next action is not used.
        settings: What the server chose.
        lease: For how many seconds a retry is told that this attempt is at work. After that the
            next one takes over.
        patience: How often and how long each of the two transactions is tried.

    Returns:
        The answer, as from `serve`.
    """

    async def called(new_ids: NewIds, renew: AsyncRenew) -> NextAction:
        return call_out(new_ids, lambda: _at_once(_awaited(renew())))

    out = CallOut(called, int(lease * SECOND))
    return _at_once(answer_request(_Waiting(store), request, mint, settings, patience, _sleep, out))


async def serve_calling_out_async(
    store: AsyncStore,
    request: Request,
    call_out: Callable[[NewIds, AsyncRenew], Awaitable[NextAction]],
    mint: Mint,
    settings: Settings = DEFAULT_SETTINGS,
    *,
    lease: float = 60.0,
    patience: Patience = DEFAULT_PATIENCE,
) -> Answer:
    """Answer a request whose next action another service mints, as `serve_calling_out` does."""
    out = CallOut(call_out, int(lease * SECOND))
    timed = _Timed(store, patience.answer_seconds)
    return await answer_request(timed, request, mint, settings, patience, asyncio.sleep, out)


def record(store: Store, fact: Fact, *, patience: Patience = DEFAULT_PATIENCE) -> FactAnswer:
    """Record a fact whole: load, judge, commit.

    Args:
        store: Where everything is kept.
        fact: What happened.
        patience: How often and how long it is tried.

    Returns:
        Done, ignored or refused; what was done is committed.

    Raises:
        ArgumentError: An instant out of order or not UTC.
        StoreUnavailableError: The store could not, in all attempts. Record the fact again later:
            to come late or twice is no error.
    """
    return _at_once(record_in(_Waiting(store), fact, patience, _sleep))


async def record_async(
    store: AsyncStore, fact: Fact, *, patience: Patience = DEFAULT_PATIENCE
) -> FactAnswer:
    """Record a fact whole, as `record` does, with a store that is awaited."""
    timed = _Timed(store, patience.answer_seconds)
    return await record_in(timed, fact, patience, asyncio.sleep)


class _Waiting:
    """A store that waits, as one that is awaited: nothing of it ever suspends."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def caller_of(self, digest: str) -> Caller | None:
        return self._store.caller_of(digest)

    async def for_call(self, digest: str, needs: Needs) -> LoadedCall:
        return self._store.for_call(digest, needs)

    async def for_fact(self, needs: FactNeeds) -> LoadedFact:
        return self._store.for_fact(needs)

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        return self._store.commit(loaded, changes, page)


async def _sleep(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 - there is no loop that it could hold up


def _at_once(coroutine: Coroutine[None, None, _Answered]) -> _Answered:
    # The result of a coroutine that awaits nothing that suspends.
    try:
        coroutine.send(None)
    except StopIteration as end:
        answered: _Answered = end.value
        return answered
    coroutine.close()
    raise AssertionError("a store that waits never suspends")  # pragma: no cover - see _Waiting


async def _awaited(answer: Awaitable[_Answered]) -> _Answered:
    return await answer


class _Timed:
    """A store that is awaited, for no longer than some seconds at a time."""

    def __init__(self, store: AsyncStore, seconds: float) -> None:
        self._store = store
        self._seconds = seconds

    async def caller_of(self, digest: str) -> Caller | None:
        return await self._in_time(self._store.caller_of(digest))

    async def for_call(self, digest: str, needs: Needs) -> LoadedCall:
        return await self._in_time(self._store.for_call(digest, needs))

    async def for_fact(self, needs: FactNeeds) -> LoadedFact:
        return await self._in_time(self._store.for_fact(needs))

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        return await self._in_time(self._store.commit(loaded, changes, page))

    async def _in_time(self, answer: Awaitable[_Answered]) -> _Answered:
        try:
            async with asyncio.timeout(self._seconds):
                return await answer
        except TimeoutError:
            raise StoreUnavailableError("it did not answer in time") from None
