"""The one loop: load, decide, commit, and again where somebody was faster.

The laws of this module: **a request is answered in time**, whatever the store does: what no
attempt can answer, and what fails in a way that nobody foresaw, is answered with a problem that may
be retried; **a call out is made once**.

Each function comes twice, for a store that waits and for one that is awaited. Both run the same
coroutine: at a store that waits, nothing ever suspends it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import LostLeaseAction
from curae_lifecycle.rules.values import NextAction
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs, NewIds
from curae_lifecycle.stores.contract import AsyncStore, Loaded, Store
from curae_lifecycle.stores.external_call import (
    AsyncRenew,
    ExternalCall,
    Renew,
    answer_with_external_call,
)
from curae_lifecycle.stores.hosted_pages import HostedPage
from curae_lifecycle.stores.new_ids import IdFactory
from curae_lifecycle.stores.request_loop import answer_fact, answer_request
from curae_lifecycle.stores.retry import (
    DEFAULT_RETRY_POLICY,
    RetryPolicy,
    RetryStats,
    async_retrier,
    blocking_retrier,
)
from curae_lifecycle.stores.run_sync import run_sync
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer

_Answered = TypeVar("_Answered")


def serve(
    store: Store,
    request: Request,
    id_factory: IdFactory,
    settings: Settings = DEFAULT_SETTINGS,
    *,
    retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
    stats: RetryStats | None = None,
) -> Answer:
    """Answer a request whole: load, decide, commit.

    Args:
        store: Where everything is kept.
        request: The request as it came.
        id_factory: Makes the ids and the next action of a mutation, anew for each attempt.
        settings: What the server chose.
        retry_policy: How often and how long it is tried.
        stats: Where it is noted what it took, also where this raises.

    Returns:
        The answer; what it changes is committed. Where the store could not, in all attempts, it
        is `INTERNAL`, a problem that may be retried, with `Retry-After`. So it is where anything
        else raised; of that, the kind and the place are logged, and no text.

    Raises:
        ArgumentError: The program is wrong: it gave what no correct one gives.
        AssertionError: It is wrong, too, and says so itself.
    """
    trying = blocking_retrier(retry_policy, stats)
    return run_sync(
        answer_request(
            _Waiting(store),
            request=request,
            id_factory=id_factory,
            settings=settings,
            retrier=trying,
        )
    )


async def serve_async(
    store: AsyncStore,
    request: Request,
    id_factory: IdFactory,
    settings: Settings = DEFAULT_SETTINGS,
    *,
    retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
    stats: RetryStats | None = None,
) -> Answer:
    """Answer a request whole, as `serve` does, at a store that is awaited."""
    return await answer_request(
        store,
        request=request,
        id_factory=id_factory,
        settings=settings,
        retrier=async_retrier(retry_policy, stats),
    )


def serve_with_external_call(
    store: Store,
    request: Request,
    id_factory: IdFactory,
    make_next_action: Callable[[NewIds, Renew], NextAction],
    settings: Settings = DEFAULT_SETTINGS,
    *,
    lease: float = 60.0,
    lost_lease: LostLeaseAction = LostLeaseAction.EXECUTE,
    retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
    stats: RetryStats | None = None,
) -> Answer:
    """Answer a request whose next action another service makes.

    The key is taken in one transaction and the answer is stored in another; no transaction is
    open while the call is out. Where the answer is a refusal, a replay or a read, nobody is
    called.

    Args:
        store: Where everything is kept.
        request: The request as it came.
        id_factory: Makes the ids; its next action is not used.
        make_next_action: Asks the other service for the next action, given the ids and a function that
            prolongs the lease: call that before the lease is over, and end where it answers
            false. It is called once at most. Where it raises, the key is free again, and the
            answer is one that may be retried.
        settings: What the server chose.
        lease: For how many seconds a retry is told that this attempt is at work.
        lost_lease: What a lease that is over means. EXECUTE: the next retry calls out again.
            UNKNOWN: no second call may be made, so a retry is refused until the server has asked
            the other side and said with `resolve` what happened; and once it was called out, the
            key is not freed without an answer.
        retry_policy: How often and how long each of the two transactions is tried.
        stats: Where it is noted what both took.

    Returns:
        The answer, as from `serve`.

    Raises:
        ArgumentError: As from `serve`; the key is free again.
        AssertionError: The same.
    """

    async def called(new_ids: NewIds, renew: AsyncRenew) -> NextAction:
        return make_next_action(new_ids, lambda: run_sync(_awaited(renew())))

    out, trying = ExternalCall(called, lease, lost_lease), blocking_retrier(retry_policy, stats)
    return run_sync(
        answer_with_external_call(
            _Waiting(store),
            request=request,
            id_factory=id_factory,
            external_call=out,
            settings=settings,
            retrier=trying,
        )
    )


async def serve_with_external_call_async(
    store: AsyncStore,
    request: Request,
    id_factory: IdFactory,
    make_next_action: Callable[[NewIds, AsyncRenew], Awaitable[NextAction]],
    settings: Settings = DEFAULT_SETTINGS,
    *,
    lease: float = 60.0,
    lost_lease: LostLeaseAction = LostLeaseAction.EXECUTE,
    retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
    stats: RetryStats | None = None,
) -> Answer:
    """Answer a request whose next action another service makes, as `serve_with_external_call` does.

    Where it is cancelled, the key is free again before the cancellation goes on.
    """
    out, trying = (
        ExternalCall(make_next_action, lease, lost_lease),
        async_retrier(retry_policy, stats),
    )
    return await answer_with_external_call(
        store,
        request=request,
        id_factory=id_factory,
        external_call=out,
        settings=settings,
        retrier=trying,
    )


def record(
    store: Store, fact: Fact, *, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY
) -> FactAnswer:
    """Record a fact whole: load, judge, commit.

    Args:
        store: Where everything is kept.
        fact: What happened.
        retry_policy: How often and how long it is tried.

    Returns:
        Done, ignored or refused; what was done is committed. Where an attempt took effect and the
        store could not say so, the next one finds its work done: ignored.

    Raises:
        ArgumentError: An instant out of order or not UTC.
        StoreUnavailableError: The store could not, in all attempts. Record the fact again later:
            to come late or twice is no error.
        StoreFullError: A new binding found no room.
    """
    return run_sync(answer_fact(_Waiting(store), fact, blocking_retrier(retry_policy)))


async def record_async(
    store: AsyncStore, fact: Fact, *, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY
) -> FactAnswer:
    """Record a fact whole, as `record` does, at a store that is awaited."""
    return await answer_fact(store, fact, async_retrier(retry_policy))


def as_async_store(store: Store) -> AsyncStore:
    """A store that waits, as one that is awaited."""
    return _Waiting(store)


class _Waiting:
    """A store that waits, as one that is awaited: nothing of it ever suspends."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def caller_of(self, key_digest: str) -> Caller | None:
        return self._store.caller_of(key_digest)

    async def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        return self._store.load(needs, key_digest)

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        return self._store.commit(loaded, changes, page)


async def _awaited(answer: Awaitable[_Answered]) -> _Answered:
    return await answer
