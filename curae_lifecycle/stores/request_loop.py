"""The loop that answers a request or records a fact: load, decide, commit, and retry.

The laws of this module: **every commit was decided from the values that it replaces**; **a request
is charged before it is admitted, and once whatever its attempts**; **the log shows the class and
the place of an unexpected error**. It shows the error's text, which could repeat a part of the
request, only to an endpoint in debug mode.

A store that charges buckets apart may charge them twice if the outcome of a charge is unknown.

The loop runs on an `AsyncStore`; `serve` adapts a blocking `Store` to one.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from time import monotonic
from traceback import walk_tb
from typing import Final

import attrs

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import Coordinate, check_type
from curae_lifecycle.service.call import Call, Decision, decision_from_refusal
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, record_fact
from curae_lifecycle.service.facts.revoked_batch import RevokedBatch, first_step
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.rate_keys import BucketKey
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs, NewIds
from curae_lifecycle.service.writes import BindingWrite, RateWrite, Write
from curae_lifecycle.stores.clock import utc_now
from curae_lifecycle.stores.contract import (
    AsyncStore,
    Loaded,
    StoreFullError,
    StoreUnavailableError,
    check_stored,
    is_async_charging_store,
)
from curae_lifecycle.stores.deadline import current_deadline
from curae_lifecycle.stores.hosted_pages import hosted_page_for
from curae_lifecycle.stores.new_ids import IdFactory
from curae_lifecycle.stores.retry import Retrier, RetryStats
from curae_lifecycle.stores.sweeping import (
    REVOCATION_BATCH,
    sweep,
    unfinished_sweep,
)
from curae_lifecycle.stores.wiring import check_serve_arguments
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, bearer
from curae_lifecycle.web.respond import Answer, respond

_LOG: Final = logging.getLogger(__name__)

LOG_TRACEBACKS: Final[ContextVar[bool]] = ContextVar("log_tracebacks", default=False)
"""True while an endpoint in debug mode answers a request.

Unexpected errors are then logged with their texts and tracebacks, which can hold secrets.
"""


def internal_error_answer(settings: Settings) -> Answer:
    """Return the answer to a request that failed inside the server.

    It is the problem `INTERNAL`, with `Retry-After: 1`, since the client may retry the request.
    """
    return respond(decision_from_refusal(refuse_at(Gate.ROOM), utc_now(), settings))


def log_error(what: str, error: Exception) -> None:
    """Log an error by its class and the frames that it passed through, without its text.

    In debug mode, for which `LOG_TRACEBACKS` is set, the text and traceback are logged, too.

    Args:
        what: What failed, such as `a request failed`; it begins the line.
        error: The error.
    """
    shown = error if LOG_TRACEBACKS.get() else None
    place = format_frames(error)
    _LOG.error("%s: %s at %s", what, type(error).__name__, place, exc_info=shown)


def format_frames(error: BaseException) -> str:
    """Return the frames of an error as `module:line > module:line`, outermost first."""
    return " > ".join(
        # Code that was not imported, such as a string given to `exec`, may have no module name.
        f"{frame.f_globals.get('__name__', '?')}:{line}"
        for frame, line in walk_tb(error.__traceback__)
    )


@attrs.frozen
class AttemptDecision:
    """The decision that one attempt at a request made, with the values that it was made from.

    Attributes:
        loaded: The result of the load.
        decision: The decision.
        call: The request as it was read; `None` if reading already refused the request, such as
            for a malformed body.
        new_ids: The ids that the decision may use; `None` for an operation that only reads, or if
            `call` is `None`.
        page: The hosted page whose URL the answer hands out, for the commit to register; `None` if
            there is none.
    """

    loaded: Loaded
    decision: Decision
    call: Call | None = None
    new_ids: NewIds | None = None
    page: HostedPage | None = None


@attrs.define
class RequestAttempts:
    """The attempts to answer one request, step by step.

    Attributes:
        store: The store to load from and commit to.
        request: The request as it came in.
        digest: The digest of the request's API key.
        id_factory: Makes the new ids, and the next action that the app must show the user, for a
            request that may create something; called again for each attempt.
        settings: The settings of the server.
        stats: The counts of attempts, conflicts and failures, to update.
        loaded: The result of the latest load; the next attempt takes the caller of the API key from
            there. `None` before the first load; the caller then comes from `store.caller_of`.
        charges: The charges of buckets that the store made ahead of the commit; later attempts skip
            the buckets.
    """

    store: AsyncStore
    request: Request
    digest: str
    id_factory: IdFactory
    settings: Settings
    stats: RetryStats
    loaded: Loaded | None = None
    charges: tuple[RateWrite, ...] = ()

    async def attempt(self) -> Answer | None:
        """Make one attempt: load, decide and commit.

        Returns:
            The answer, whose changes are committed. `None` if another attempt is needed: on a
            conflict, or if the request was read with an outdated caller of the API key.
        """
        decided = await self.decide()
        return None if decided is None else await self.commit_decision(decided)

    async def decide(self) -> AttemptDecision | None:
        """Read the request, load the values that it needs, and decide.

        Returns:
            The decision, with the values that it was made from. `None` if the loaded caller of the
            API key differs from the one that the request was read with, which came from a cache or
            an earlier load. The next attempt uses the loaded caller.

        Raises:
            ArgumentError: `id_factory` returned something other than `NewIds`.
        """
        caller = await self._caller()
        call = read(self.request, caller=caller, now=utc_now(), settings=self.settings)
        if isinstance(call, Call):
            call = self.after_charge(call)
        loaded = await self.load(call.needs if isinstance(call, Call) else Needs())
        if loaded.caller != caller:
            return None
        if isinstance(call, Decision):
            return AttemptDecision(loaded, attrs.evolve(call, decided_at=loaded.now))
        # Only a mutation needs a scope, and a read uses no new ids.
        new_ids = None if call.operation.rule.scope is None else self.id_factory(loaded.now)
        if new_ids is not None:
            allowed = "a function that takes an instant and returns NewIds"
            check_type("id_factory", new_ids, NewIds, allowed=allowed)
        decision = decide(call, snapshot=loaded.snapshot, now=loaded.now, new_ids=new_ids)
        page = hosted_page_for(call, decision.reply, loaded.snapshot.binding)
        return AttemptDecision(
            loaded=loaded, decision=decision, call=call, new_ids=new_ids, page=page
        )

    async def commit_decision(self, decided: AttemptDecision) -> Answer | None:
        """Commit a decision and return its answer, or None on a conflict.

        If the store has no room for a new value of a customer account, the answer is the problem
        `INTERNAL`. Nothing is stored then, except perhaps charges of the API key's rate limits.
        """
        try:
            return await self.commit(decided.loaded, respond(decided.decision), decided.page)
        except StoreFullError as error:
            return self.full_account_answer(error)

    def full_account_answer(self, error: StoreFullError) -> Answer:
        """Count and log that a customer account may hold no more values; return `INTERNAL`."""
        self.stats.store_full += 1
        # The log must not name the account.
        _LOG.error("no room: %d values of kind %s are kept", error.capacity, error.kind)
        return internal_error_answer(self.settings)

    def after_charge(self, call: Call) -> Call:
        """Mark a call as charged if an earlier attempt charged the buckets; return the call.

        A call is a request as it was read. Buckets are the rate limits of the API key. The decision
        on a marked call does not charge them again.
        """
        return attrs.evolve(call, charged=True) if self.charges else call

    async def commit(
        self, loaded: Loaded, answer: Answer, page: HostedPage | None
    ) -> Answer | None:
        """Commit the changes of an answer.

        If the store charges buckets (rate limits of the API key) apart, `store.charge` runs first.
        If a page or other changes are left, `store.commit` runs. Otherwise `store.charge` makes all
        charges durable (kept after a crash), those of earlier attempts included.

        Args:
            loaded: The result of the load that the answer was decided from.
            answer: The answer.
            page: The hosted page to register; `None` if there is none.

        Returns:
            The answer, with the charges of all attempts in its changes; `None` on a conflict.

        Raises:
            ArgumentError: The `commit` of the store returned None.
            StoreFullError: The store has no room for a new value of a customer account. Nothing was
                stored, except perhaps charges of buckets.
            StoreUnavailableError: The store failed. The changes may have been stored.
        """
        changes = answer.changes
        if is_async_charging_store(self.store):
            charges, changes = split_charges(changes)
            earlier, is_last = self.charges, page is None and changes == NO_CHANGES
            if charges or (earlier and is_last):
                if not await self.store.charge(loaded, charges, durable=is_last):
                    return None
                self.charges += charges
            if earlier:
                answer = attrs.evolve(answer, changes=Changes(earlier) + answer.changes)
        if page is None and changes == NO_CHANGES:
            return answer
        stored = check_stored(await self.store.commit(loaded, changes, page))
        return answer if stored else None

    async def load(self, needs: Needs) -> Loaded:
        """Load the values that `needs` names, and the current caller of the API key.

        The attribute `loaded` keeps the result: the next attempt takes the caller from there, and
        loads everything else again.
        """
        self.loaded = await self.store.load(needs, self.digest)
        return self.loaded

    async def _caller(self) -> Caller | None:
        if self.loaded is not None:
            return self.loaded.caller
        return await self.store.caller_of(self.digest)


def split_charges(changes: Changes) -> tuple[tuple[RateWrite, ...], Changes]:
    """Split a request's changes in two: the writes of buckets, and all other changes.

    A bucket is a rate limit of the API key. A store that charges buckets ahead of the commit gets
    the first part in a call of `charge`, and then the second part in a call of `commit`.
    """
    charges: list[RateWrite] = []
    others: list[Write] = []
    for write in changes.writes:
        if isinstance(write, RateWrite) and isinstance(write.key, BucketKey):
            charges.append(write)
        else:
            others.append(write)
    return tuple(charges), Changes(tuple(others), changes.effects, changes.events)


async def answer_in_attempts(attempts: RequestAttempts, retrier: Retrier) -> Answer | None:
    """Answer a request by attempts of one commit each, until one succeeds.

    Args:
        attempts: The request, with the steps of an attempt: load, decide and commit.
        retrier: Repeats the attempt on a conflict or a store failure, up to its limits.

    Returns:
        The answer; `None` if no attempt succeeded.
    """
    return await retrier.run(attempts.attempt)


async def answer_request(
    store: AsyncStore,
    request: Request,
    id_factory: IdFactory,
    settings: Settings,
    retrier: Retrier,
    answer: Callable[[RequestAttempts, Retrier], Awaitable[Answer | None]] = answer_in_attempts,
) -> Answer:
    """Answer a request: find its API key, or refuse a request without one, and run the attempts.

    Args:
        store: The store to load from and commit to.
        request: The request as it came in.
        id_factory: Makes the new ids, and the next action that the app must show the user, for a
            request that may create something; called again for each attempt.
        settings: The settings of the server.
        retrier: Runs the attempts.
        answer: Answers a request that has an API key, or returns `None` if no attempt succeeded.

    Returns:
        The answer, whose changes are committed. It is `INTERNAL` if no attempt succeeded, or after
        an unexpected error, which is logged.

    Raises:
        ArgumentError: An argument is invalid, which is a mistake of the program.
        AssertionError: A check inside the library found a mistake of the program.
    """
    try:
        check_serve_arguments(request, id_factory, settings)
        api_key = bearer(request)
        if api_key is None:
            return _answer_without_key(request, settings)
        attempts = RequestAttempts(
            store=store,
            request=request,
            digest=api_key.digest(),
            id_factory=id_factory,
            settings=settings,
            stats=retrier.stats,
        )
        return await answer(attempts, retrier) or internal_error_answer(settings)
    except (ArgumentError, AssertionError):
        raise
    except Exception as error:  # noqa: BLE001 - the client gets an answer after any error
        retrier.stats.unexpected_errors += 1
        log_error("a request failed", error)
        return internal_error_answer(settings)


def _answer_without_key(request: Request, settings: Settings) -> Answer:
    # This refusal does not need the store, so its instant is from this machine's clock.
    refusal = read(request, caller=None, now=utc_now(), settings=settings)
    assert isinstance(refusal, Decision)  # noqa: S101 - a request without a caller is refused
    return respond(refusal)


async def answer_fact(store: AsyncStore, fact: Fact, retrier: Retrier) -> FactAnswer:
    """Record a fact; `retrier` repeats the attempts.

    A tombstone records that a user is gone. A sweep then revokes, in batches, the connections that
    the tombstone ended. An unfinished sweep of the fact's coordinate is finished first. After a
    tombstone is recorded, its own sweep runs. The revocation of a chain is recorded in batches,
    too, newest connections first.

    The retrier's limits apply to each batch, not to all batches together. Otherwise a long sweep
    that was cut off could spend all its time on rows that it has done, and never finish.

    Args:
        store: The store to load from and commit to.
        fact: The fact.
        retrier: Runs the attempts.

    Returns:
        Done: the fact's changes were committed. The value holds those of all batches, and of the
        sweep after a tombstone. Ignored or Refused: the fact changed nothing.

    Raises:
        ArgumentError: `fact` is no fact, or an instant is out of order or not in UTC.
        StoreFullError: A completed hand-off makes a new binding, and its customer account is full.
        MalformedError: A stored value that the fact needs is not one that this library wrote.
        NewerFormatError: A newer release stored a value that the fact needs.
        StoreUnavailableError: No attempt succeeded, or a sweep or the revocation of a chain was cut
            off.
    """
    check_type("fact", fact, Fact, allowed="a fact, such as Authorized(...)")
    step = await _record_step(store, first_step(fact, REVOCATION_BATCH), retrier)
    answer = step.answer
    tombstoned = _tombstoned_coordinate(answer)
    if tombstoned is not None:
        swept = await sweep(store, tombstoned, retrier=retrier)
        assert isinstance(answer, Done)  # noqa: S101 - it wrote a tombstone
        return attrs.evolve(answer, value=answer.value + swept)
    while step.rest is not None:
        if monotonic() >= current_deadline():
            raise StoreUnavailableError("the revocation of a chain was cut off")
        step = await _record_step(store, step.rest, retrier)
        answer = _join(answer, step.answer)
    return answer


@attrs.frozen
class _Step:
    """The answer to a fact or to one batch of it, and the next batch."""

    answer: FactAnswer
    rest: Fact | None


async def _record_step(store: AsyncStore, fact: Fact, retrier: Retrier) -> _Step:
    async def attempt() -> _Step | Coordinate | None:
        loaded = await store.load(fact.needs())
        unswept = unfinished_sweep(loaded.snapshot)
        if unswept is not None:
            return unswept
        answer = record_fact(fact, loaded.snapshot, loaded.now)
        if isinstance(answer, Done) and not check_stored(await store.commit(loaded, answer.value)):
            return None
        if not isinstance(fact, RevokedBatch) or isinstance(answer, Refused):
            return _Step(answer, None)
        return _Step(answer, fact.rest(loaded.snapshot, loaded.now))

    while True:
        step: _Step | Coordinate = await retrier.run_or_raise(
            attempt, "no attempt succeeded in time"
        )
        if isinstance(step, _Step):
            return step
        await sweep(store, step, retrier=retrier)


def _join(answer: FactAnswer, later: FactAnswer) -> FactAnswer:
    # A batch is refused only if its connections were deleted after the first batch.
    if isinstance(answer, Refused) or isinstance(later, Refused):
        return answer
    rules = answer.rules + later.rules
    changes = answer.value + later.value
    return Ignored(NO_CHANGES, rules) if changes == NO_CHANGES else Done(changes, rules)


def _tombstoned_coordinate(answer: FactAnswer) -> Coordinate | None:
    if isinstance(answer, Done):
        for write in answer.value.writes:
            if isinstance(write, BindingWrite) and not write.after.swept:
                return write.after.coordinate
    return None
