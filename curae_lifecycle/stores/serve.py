"""Functions that answer a request or record a fact: load, decide, commit, and retry on a conflict.

The laws of this module: **every request gets an answer in time**, whatever the store does: if no
attempt succeeds, or after an unexpected error, the answer is a problem that may be retried; **an
external call is made once**.

Each function has an async twin for an `AsyncStore`. Both run the same coroutine, which a blocking
store never suspends.
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

_Result = TypeVar("_Result")


def serve(
    store: Store,
    request: Request,
    id_factory: IdFactory,
    settings: Settings = DEFAULT_SETTINGS,
    *,
    retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
    stats: RetryStats | None = None,
) -> Answer:
    """Answer a request: load, decide and commit, with retries.

    Args:
        store: The store.
        request: The request as it came in.
        id_factory: Makes the ids and the next action of a mutation, again for each attempt.
        settings: The settings of the server.
        retry_policy: The limits of the attempts, and the pauses between them.
        stats: The counts to update; they are right even if this function raises.

    Returns:
        The answer, whose changes are committed. If no attempt succeeded, it is `INTERNAL`, a
        problem that may be retried, with `Retry-After`. After an unexpected error it is `INTERNAL`,
        too. The log then shows the class and the place of the error, never its text.

    Raises:
        ArgumentError: The program is wrong: it passed an argument that no correct program passes.
        AssertionError: The program is wrong, and one of its own checks found it.
    """
    return run_sync(
        answer_request(
            _BlockingStoreAdapter(store),
            request=request,
            id_factory=id_factory,
            settings=settings,
            retrier=blocking_retrier(retry_policy, stats),
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
    """Answer a request as `serve` does, with an async store."""
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

    One transaction takes the idempotency key, and another stores the answer. No transaction is open
    during the external call. A refusal, a replay, a read, and any other request whose answer has no
    next action make no call.

    Args:
        store: The store.
        request: The request as it came in.
        id_factory: Makes the ids, again for each attempt; its next action is not used.
        make_next_action: Asks the other service for the next action, given the new ids and a
            function that extends the lease. Call that function before the lease expires, and end
            the call if it returns False. `make_next_action` is called at most once. If it raises,
            the key is released and the answer may be retried, except with UNKNOWN.
        settings: The settings of the server.
        lease: For how many seconds the request takes its key; a retry meanwhile is refused with
            `IDEMPOTENCY_KEY_IN_FLIGHT`.
        lost_lease: What an expired lease means. EXECUTE: the next retry makes the external call
            again. UNKNOWN: no second call may be made. A retry is then refused until the server
            has asked the other service what happened, and has recorded it with `resolve`. Once the
            call was made, the key is not released without an answer.
        retry_policy: The limits of the attempts of each transaction, and the pauses between them.
        stats: The counts to update, over both transactions.

    Returns:
        The answer, as from `serve`.

    Raises:
        ArgumentError: The program is wrong, as in `serve`; the key is released, except with UNKNOWN
            after the call was made.
        AssertionError: The same.
    """

    async def call(new_ids: NewIds, renew: AsyncRenew) -> NextAction:
        return make_next_action(new_ids, lambda: run_sync(_await(renew())))

    return run_sync(
        answer_with_external_call(
            _BlockingStoreAdapter(store),
            request=request,
            id_factory=id_factory,
            external_call=ExternalCall(call, lease, lost_lease),
            settings=settings,
            retrier=blocking_retrier(retry_policy, stats),
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
    """Answer a request as `serve_with_external_call` does, with an async store.

    If it is cancelled, it releases the key before it passes the cancellation on, except with
    UNKNOWN after the call was made.
    """
    return await answer_with_external_call(
        store,
        request=request,
        id_factory=id_factory,
        external_call=ExternalCall(make_next_action, lease, lost_lease),
        settings=settings,
        retrier=async_retrier(retry_policy, stats),
    )


def record(
    store: Store, fact: Fact, *, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY
) -> FactAnswer:
    """Record a fact: load, judge and commit, with retries.

    Args:
        store: The store.
        fact: The fact.
        retry_policy: The limits of the attempts, and the pauses between them.

    Returns:
        Done, ignored or refused; the changes of done are committed. If an attempt took effect but
        the store failed before it confirmed the commit, the next attempt returns ignored.

    Raises:
        ArgumentError: An instant is out of order or not in UTC.
        StoreUnavailableError: No attempt succeeded. Record the fact again later; a fact that comes
            late or twice is no error.
        StoreFullError: There is a new binding, and its customer account is full.
    """
    return run_sync(answer_fact(_BlockingStoreAdapter(store), fact, blocking_retrier(retry_policy)))


async def record_async(
    store: AsyncStore, fact: Fact, *, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY
) -> FactAnswer:
    """Record a fact as `record` does, with an async store."""
    return await answer_fact(store, fact, async_retrier(retry_policy))


def as_async_store(store: Store) -> AsyncStore:
    """Return a blocking store as an `AsyncStore` whose calls never suspend."""
    return _BlockingStoreAdapter(store)


class _BlockingStoreAdapter:
    """A blocking store as an `AsyncStore`; its calls block and never suspend."""

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


async def _await(awaitable: Awaitable[_Result]) -> _Result:
    # `run_sync` needs a coroutine, and an awaitable need not be one.
    return await awaitable
