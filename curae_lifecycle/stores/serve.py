"""Functions that answer a request or record a fact: load, decide, commit, and retry on a conflict.

The laws of this module: **every request gets an answer in time**, whatever the store does: if no
attempt succeeds, or after an unexpected error, the answer is a problem that may be retried; **an
external call is made once**.

Each function has an async twin for an `AsyncStore`. Both run the same coroutine, which a blocking
store never suspends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Protocol, cast

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import LostLeaseAction
from curae_lifecycle.rules.values import Coordinate, NextAction
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs, NewIds
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import AsyncStore, Loaded, Store, is_charging_store
from curae_lifecycle.stores.external_call import (
    AsyncRenew,
    ExternalCall,
    Renew,
    answer_with_external_call,
)
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
from curae_lifecycle.stores.sweeping import BATCH_POLICY, sweep
from curae_lifecycle.stores.wiring import (
    check_async_function,
    check_function,
    check_store_kind,
)
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer


class ServeFunction(Protocol):
    """The type of the function by which an `Endpoint` answers its requests, such as `serve`.

    If another service makes the next actions, pass `serve_with_external_call` to the `Endpoint`,
    with the argument `make_next_action` bound by `functools.partial`.
    """

    def __call__(
        self,
        store: Store,
        *,
        request: Request,
        id_factory: IdFactory,
        settings: Settings,
        retry_policy: RetryPolicy,
        stats: RetryStats,
    ) -> Answer:
        """Answer a request and commit its changes, as `serve` does with the same arguments."""
        ...


class AsyncServeFunction(Protocol):
    """The type of an async function that answers requests, such as `serve_async`.

    `AsyncEndpoint` takes such a function.
    """

    async def __call__(
        self,
        store: AsyncStore,
        *,
        request: Request,
        id_factory: IdFactory,
        settings: Settings,
        retry_policy: RetryPolicy,
        stats: RetryStats,
    ) -> Answer:
        """Answer a request and commit its changes, as `serve_async` does, with its arguments."""
        ...


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
        store: The store to load from and commit to.
        request: The request as it came in.
        id_factory: Makes the new ids, and the next action that the app must show the user, for a
            request that may create something; called again for each attempt.
        settings: The settings of the server.
        retry_policy: The limits of the attempts, and the pauses between them.
        stats: The counts of attempts, conflicts and failures to update; they are correct even if
            this function raises. `None` if the caller does not read them.

    Returns:
        The answer, whose changes are committed. If no attempt succeeded, it is `INTERNAL`, a
        problem that may be retried, with `Retry-After`. After an unexpected error it is `INTERNAL`,
        too. The log then shows the class and the place of the error, never its text.

    Raises:
        ArgumentError: An argument is invalid, which is a mistake of the program.
        AssertionError: A check inside the library found a mistake of the program.
    """
    check_store_kind(store, "serve_async", is_async=False)
    return run_sync(
        answer_request(
            _AsyncStoreAdapter(store),
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
    """Answer a request on an async store: load, decide and commit, with retries, as `serve` does.

    Arguments, result and errors are those of `serve`. `id_factory` is not async.
    """
    check_store_kind(store, "serve", is_async=True)
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

    The next action is what the app must show the user: the URL of a page, and its expiry.

    One transaction takes the idempotency key, and another stores the answer. No transaction is open
    during the external call. If the answer has no next action, no call is made: for a refusal, a
    replay or a read.

    Args:
        store: The store to load from and commit to.
        request: The request as it came in.
        id_factory: Makes new ids for each attempt. The next action that `id_factory` makes is not
            used.
        make_next_action: Asks the other service for the next action, given the new ids and a
            function that extends the lease. Call that function before the lease expires; if it
            returns False, end the external call. `make_next_action` is called at most once. If
            `make_next_action` raises, the answer is `INTERNAL`, and the key is released unless
            `lost_lease` is UNKNOWN.
        settings: The settings of the server.
        lease: How long the request holds its idempotency key, in seconds. A retry meanwhile is
            refused with `IDEMPOTENCY_KEY_IN_FLIGHT`.
        lost_lease: The treatment of an expired lease. EXECUTE: the next retry makes the external
            call again. UNKNOWN: no second call may be made. A retry is then refused until the
            server has asked the other service what happened, and has recorded that with
            `rules.attempt.resolve`. Once the call was started, the key stays taken even if the
            call fails: only an answer or `resolve` ends the attempt.
        retry_policy: The limits of the attempts of each transaction, and the pauses between them.
        stats: The counts of attempts, conflicts and failures to update, over both transactions;
            `None` if the caller does not read them.

    Returns:
        The answer, as from `serve`.

    Raises:
        ArgumentError: An argument is invalid, such as a `lease` that is infinite or below a
            microsecond. This is a mistake of the program. The idempotency key is released, unless
            the external call was started and `lost_lease` is UNKNOWN.
        AssertionError: A check inside the library found a mistake of the program. The idempotency
            key is released as after an `ArgumentError`.
    """
    check_store_kind(store, "serve_with_external_call_async", is_async=False)
    check_function("make_next_action", make_next_action, "a function that returns a NextAction")

    async def call(new_ids: NewIds, renew: AsyncRenew) -> NextAction:
        return make_next_action(new_ids, lambda: run_sync(renew()))

    return run_sync(
        answer_with_external_call(
            _AsyncStoreAdapter(store),
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
    """Answer a request on an async store, with a next action that another service makes.

    The request holds its idempotency key for `lease` seconds. `make_next_action` asks the other
    service, and gets a function that extends the lease; both are async. `lost_lease` says whether
    the next retry may execute once the lease has expired. Arguments, result and errors are the same
    as `serve_with_external_call` has.

    If the task is cancelled, the idempotency key is released before the cancellation is passed on,
    unless the external call was started and `lost_lease` is UNKNOWN.
    """
    check_store_kind(store, "serve_with_external_call", is_async=True)
    wanted = "an async function that returns a NextAction"
    check_async_function("make_next_action", make_next_action, wanted)

    async def call(new_ids: NewIds, renew: AsyncRenew) -> NextAction:
        made = make_next_action(new_ids, renew)
        # A program without a type checker may pass a blocking function.
        if not isawaitable(cast("object", made)):
            raise ArgumentError("make_next_action", "an async function")
        return await made

    return await answer_with_external_call(
        store,
        request=request,
        id_factory=id_factory,
        external_call=ExternalCall(call, lease, lost_lease),
        settings=settings,
        retrier=async_retrier(retry_policy, stats),
    )


def record(
    store: Store, fact: Fact, *, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY
) -> FactAnswer:
    """Record a fact: load, judge and commit, with retries.

    A tombstone, the fact that a user is gone, is one small commit, after which no earlier
    connection or session of its coordinate is valid. Then `record` stores these connections as
    REVOKED, in batches: the sweep. A sweep that was cut off is finished by the next fact about the
    coordinate, before anything else, or by the store's `purge`.

    The revocation of a chain is committed in batches, too. The first one holds the end of the chain
    and so ends its access.

    Args:
        store: The store to load from and commit to.
        fact: The fact.
        retry_policy: The limits of the attempts, and the pauses between them. The limits apply to
            each batch of a sweep or of a chain's revocation, not to all batches together.

    Returns:
        Done: the changes were committed, those of a tombstone's sweep included. Ignored: the fact
        changes nothing. Refused: the fact was refused with a problem, and nothing was stored. If an
        attempt took effect but the store failed before it confirmed the commit, the next attempt
        returns Ignored; a tombstone without `happened_at` is then recorded again.

    Raises:
        ArgumentError: The fact holds a value that is not allowed, such as an instant that is not in
            UTC or a `happened_at` more than five minutes in the future.
        StoreUnavailableError: No attempt succeeded, or a sweep or the revocation of a chain was
            interrupted. Record the fact again later; a fact that is recorded late or twice does no
            harm, except for a tombstone without `happened_at`, which is a new one each time. A
            resumed revocation without `happened_at` gives the connections that are left a later
            `revoked_at`.
        StoreFullError: A completed hand-off makes a new binding, and its customer account is full.
            A tombstone is recorded even if the account is full.
        MalformedError: A stored value that the fact needs is not one that this library wrote.
        NewerFormatError: A newer release stored a value that the fact needs.
    """
    check_store_kind(store, "record_async", is_async=False)
    return run_sync(answer_fact(_AsyncStoreAdapter(store), fact, blocking_retrier(retry_policy)))


async def record_async(
    store: AsyncStore, fact: Fact, *, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY
) -> FactAnswer:
    """Record a fact on an async store: load, judge and commit, with retries, as `record` does.

    Arguments, result and errors are those of `record`.
    """
    check_store_kind(store, "record", is_async=True)
    return await answer_fact(store, fact, async_retrier(retry_policy))


def sweep_now(store: Store, coordinate: Coordinate) -> Changes:
    """Revoke all connections that the last tombstone of a coordinate ended: finish its sweep.

    A tombstone is the fact that the coordinate's user is gone.

    `record` sweeps by itself. Use this function in a program that commits a tombstone in another
    way, or in a store's `purge`. The attempts at each batch end after a minute.

    Args:
        store: The store to load from and commit to.
        coordinate: The coordinate.

    Returns:
        Everything that was committed; `NO_CHANGES` if the sweep was finished before.

    Raises:
        StoreUnavailableError: No attempt at a batch succeeded, or the caller's deadline passed.
    """
    retrier = blocking_retrier(BATCH_POLICY)
    return run_sync(sweep(_AsyncStoreAdapter(store), coordinate, retrier=retrier))


def as_async_store(store: Store) -> AsyncStore:
    """Wrap a blocking store as an `AsyncStore`, for coroutines that `run_sync` runs.

    Its calls block instead of suspending, as `run_sync` requires.
    """
    return _AsyncStoreAdapter(store)


class _AsyncStoreAdapter:
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

    @property
    def charges_apart(self) -> bool:
        return is_charging_store(self._store)

    async def charge(
        self, loaded: Loaded, charges: tuple[RateWrite, ...], *, durable: bool
    ) -> bool:
        assert is_charging_store(self._store)  # noqa: S101 - `charges_apart` says so
        return self._store.charge(loaded, charges, durable=durable)
