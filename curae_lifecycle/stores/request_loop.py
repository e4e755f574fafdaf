"""One request or one fact on its way through its attempts, at a store that is awaited.

The laws of this module: **what is committed was decided from what it replaces**; **of an error
that nobody foresaw its kind and its place are logged**, and never its text, which could repeat
what a request held.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from traceback import walk_tb
from typing import Final

import attrs

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.service.call import Call, Decision, decision_from_refusal
from curae_lifecycle.service.changes import NO_CHANGES
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, record_fact
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs, NewIds
from curae_lifecycle.stores.clock import utc_now
from curae_lifecycle.stores.contract import (
    AsyncStore,
    Loaded,
    StoreFullError,
    StoreUnavailableError,
)
from curae_lifecycle.stores.hosted_pages import HostedPage, hosted_page_for
from curae_lifecycle.stores.new_ids import IdFactory
from curae_lifecycle.stores.retry import Retrier, RetryStats
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, bearer
from curae_lifecycle.web.respond import Answer, respond

_LOG: Final = logging.getLogger(__name__)

_RETRY_AFTER: Final = ("retry-after", "1")


def internal_error_answer(settings: Settings) -> Answer:
    """The answer where the store could not: a problem that may be retried, and when."""
    answer = respond(decision_from_refusal(refuse_at(Gate.ROOM), utc_now(), settings))
    headers = (*answer.response.headers, _RETRY_AFTER)
    return attrs.evolve(answer, response=attrs.evolve(answer.response, headers=headers))


def log_error(what: str, error: Exception) -> None:
    """Log what an error ended, of which kind it is, and the way to where it was raised."""
    _LOG.error("%s: %s at %s", what, type(error).__name__, format_frames(error))


def format_frames(error: BaseException) -> str:
    """The way to where an error was raised: modules and lines, and nothing that it says."""
    return " > ".join(
        # What was never imported may have no name.
        f"{frame.f_globals.get('__name__', '?')}:{line}"
        for frame, line in walk_tb(error.__traceback__)
    )


async def answer_or_internal_error(
    answering: Awaitable[Answer], settings: Settings, effort: RetryStats
) -> Answer:
    """An answer, also where something went wrong that nobody foresaw: one that may be retried.

    Args:
        answering: What answers, or raises.
        settings: What the server chose.
        effort: Where it is noted what it took.

    Raises:
        ArgumentError: The program is wrong, so a retry would be, too.
        AssertionError: The same; somebody looked, and found it.
    """
    try:
        return await answering
    except (ArgumentError, AssertionError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it was, the client gets an answer
        effort.unexpected_errors += 1
        log_error("a request failed", error)
        return internal_error_answer(settings)


@attrs.frozen
class AttemptDecision:
    """What one attempt decided, and all that it was decided from.

    Attributes:
        loaded: What was loaded.
        decision: The decision.
        call: The request, read; `None` where it was refused before it could be.
        new_ids: The ids that it may use; `None` where nothing is minted.
        page: The hosted page that it sends the user to.
    """

    loaded: Loaded
    decision: Decision
    call: Call | None = None
    new_ids: NewIds | None = None
    page: HostedPage | None = None


@attrs.define
class RequestAttempts:
    """One request on its way through its attempts.

    Attributes:
        digest: Of its API key.
        stats: Where it is noted what it took.
        loaded: What was loaded last; its caller is the newest that is known.
        store: Where everything is kept.
        id_factory: Makes the ids and the next action of a mutation, anew for each attempt.
        settings: What the server chose.
    """

    store: AsyncStore
    request: Request
    digest: str
    id_factory: IdFactory
    settings: Settings
    stats: RetryStats
    loaded: Loaded | None = None

    async def attempt(self) -> Answer | None:
        """Load, decide, commit; `None` where somebody was faster."""
        decided = await self.decide()
        return None if decided is None else await self.commit_decision(decided)

    async def decide(self) -> AttemptDecision | None:
        """Load and decide; `None` where the API key was registered again in between."""
        caller = await self._caller()
        call = read(self.request, caller=caller, now=utc_now(), settings=self.settings)
        loaded = await self.load(call.needs if isinstance(call, Call) else Needs())
        if loaded.caller != caller:
            return None
        if isinstance(call, Decision):
            return AttemptDecision(loaded, attrs.evolve(call, decided_at=loaded.now))
        # A read mints nothing.
        new_ids = None if call.operation.rule.scope is None else self.id_factory(loaded.now)
        decision = decide(call, snapshot=loaded.snapshot, now=loaded.now, new_ids=new_ids)
        page = hosted_page_for(call, decision.reply, loaded.snapshot.binding)
        return AttemptDecision(
            loaded=loaded, decision=decision, call=call, new_ids=new_ids, page=page
        )

    async def commit_decision(self, decided: AttemptDecision) -> Answer | None:
        """Commit what was decided; `None` where somebody was faster."""
        try:
            return await self.commit(decided.loaded, respond(decided.decision), decided.page)
        except StoreFullError as error:
            return self.full(error)

    def full(self, error: StoreFullError) -> Answer:
        """The answer where a new value found no room."""
        self.stats.store_full += 1
        # Whose account it is stays out of the log.
        _LOG.error("no room: %d values of kind %s are kept", error.capacity, error.kind)
        return internal_error_answer(self.settings)

    async def commit(
        self, loaded: Loaded, answer: Answer, page: HostedPage | None
    ) -> Answer | None:
        """Commit what an answer changes; `None` where somebody was faster."""
        if page is None and answer.changes == NO_CHANGES:
            return answer
        return answer if await self.store.commit(loaded, answer.changes, page) else None

    async def load(self, asked: Needs) -> Loaded:
        """Load what is needed, and whom the API key stands for by now."""
        self.loaded = await self.store.load(asked, self.digest)
        return self.loaded

    async def _caller(self) -> Caller | None:
        if self.loaded is not None:
            return self.loaded.caller
        return await self.store.caller_of(self.digest)


def start_request(
    store: AsyncStore,
    request: Request,
    id_factory: IdFactory,
    settings: Settings,
    stats: RetryStats,
) -> RequestAttempts | Answer:
    """A request that may be served, or its answer where it shows no API key.

    Args:
        store: Where everything is kept.
        request: The request as it came.
        id_factory: Makes the ids and the next action of a mutation, anew for each attempt.
        settings: What the server chose.
        stats: Where it is noted what it took.
    """
    api_key = bearer(request)
    if api_key is not None:
        return RequestAttempts(
            store=store,
            request=request,
            digest=api_key.digest(),
            id_factory=id_factory,
            settings=settings,
            stats=stats,
        )
    # The store has nothing to say to it, not even the time.
    refusal = read(request, caller=None, now=utc_now(), settings=settings)
    assert isinstance(refusal, Decision)  # noqa: S101 - nobody calls
    return respond(refusal)


async def answer_request(
    store: AsyncStore, request: Request, id_factory: IdFactory, settings: Settings, retrier: Retrier
) -> Answer:
    """Answer a request in as many attempts as patience has.

    Args:
        store: Where everything is kept.
        request: The request as it came.
        id_factory: Makes the ids and the next action of a mutation, anew for each attempt.
        settings: What the server chose.
        retrier: How often and how long it is tried.
    """

    async def answer() -> Answer:
        serving = start_request(
            store, request=request, id_factory=id_factory, settings=settings, stats=retrier.stats
        )
        if isinstance(serving, Answer):
            return serving
        return await retrier.run(serving.attempt) or internal_error_answer(settings)

    return await answer_or_internal_error(answer(), settings, retrier.stats)


async def answer_fact(store: AsyncStore, fact: Fact, retrier: Retrier) -> FactAnswer:
    """Record a fact in as many attempts as patience has.

    Args:
        store: Where everything is kept.
        fact: What happened.
        retrier: How often and how long it is tried.

    Raises:
        StoreUnavailableError: The store could not, in all attempts.
    """

    async def attempt() -> FactAnswer | None:
        loaded = await store.load(fact.needs())
        answer = record_fact(fact, loaded.snapshot, loaded.now)
        if not isinstance(answer, Done):
            return answer
        return answer if await store.commit(loaded, answer.value) else None

    answer: FactAnswer | None = await retrier.run(attempt)
    if answer is None:
        raise StoreUnavailableError("no attempt was done in time")
    return answer
