"""A request that is answered in two transactions, with a call to another service in between.

The laws of this module: **a call out is made once**: what it brought is committed in as many
attempts as that takes, and never called for again; **a key is not left behind**: what ends without
an answer releases it, so that the next retry runs at once, unless a second call must not be made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

import attrs

from curae_lifecycle.rules import attempt as attempts
from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import Attempt, LostLeaseAction, Record, in_flight_record
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import SECOND, NextAction
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.service.writes import RecordWrite
from curae_lifecycle.stores.contract import AsyncStore, Loaded, StoreFullError
from curae_lifecycle.stores.hosted_pages import hosted_page_for
from curae_lifecycle.stores.new_ids import IdFactory, random_microseconds
from curae_lifecycle.stores.request_loop import (
    RequestAttempts,
    answer_or_internal_error,
    internal_error_answer,
    log_error,
    start_request,
)
from curae_lifecycle.stores.retry import Retrier
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer, respond

Renew = Callable[[], bool]
"""Prolongs the lease of a call out; false where it could not, and the call had better end."""

AsyncRenew = Callable[[], Awaitable[bool]]
"""The same, awaited."""


@attrs.frozen
class ExternalCall:
    """How another service is asked for the next action.

    Attributes:
        call: Asks it, given the ids that were minted and a way to prolong the lease.
        lease: For how many seconds the key is taken.
        lost_lease: What it means if that is over and nobody renewed.
    """

    call: Callable[[NewIds, AsyncRenew], Awaitable[NextAction]]
    lease: float
    lost_lease: LostLeaseAction

    def __attrs_post_init__(self) -> None:
        """Refuse a lease that would be over at once."""
        if not 1 / SECOND <= self.lease < float("inf"):
            raise ArgumentError("lease", "a number of seconds, more than 0")

    @property
    def ticks(self) -> int:
        """The lease in microseconds."""
        return int(self.lease * SECOND)


async def answer_with_external_call(
    store: AsyncStore,
    request: Request,
    id_factory: IdFactory,
    external_call: ExternalCall,
    settings: Settings,
    retrier: Retrier,
) -> Answer:
    """Answer a request, calling out for its next action where it has one.

    Args:
        store: Where everything is kept.
        request: The request as it came.
        id_factory: Makes the ids and the next action of a mutation, anew for each attempt.
        external_call: How the other service is asked, and for how long.
        settings: What the server chose.
        retrier: How often and how long it is tried.
    """

    async def answer() -> Answer:
        serving = start_request(
            store, request=request, id_factory=id_factory, settings=settings, stats=retrier.stats
        )
        if isinstance(serving, Answer):
            return serving
        return await _CallingOut(serving, external_call, retrier).answer()

    return await answer_or_internal_error(answer(), settings, retrier.stats)


@attrs.frozen
class _Begun:
    """An attempt that took its key, or asked to; whoever holds the key may call out.

    Attributes:
        attempt: The right to execute; `None` where the operation takes no key.
        before: The record before that.
        running: The record while it is at work.
    """

    call: Call
    new_ids: NewIds
    attempt: Attempt | None = None
    before: Record | None = None
    running: Record | None = None


@attrs.define
class _CallingOut:
    """One request on its way through both transactions.

    Attributes:
        asked: Every attempt that asked for the key, whatever the store said.
        begun: The one that may call out.
    """

    serving: RequestAttempts
    out: ExternalCall
    trying: Retrier
    asked: list[_Begun] = attrs.field(factory=list[_Begun])
    begun: _Begun | None = None

    async def answer(self) -> Answer:
        """Take the key, call out, and commit what came of it; else let the key go."""
        try:
            answer = await self._answer()
        except GeneratorExit:
            # Nothing may be awaited any more: the lease will be over by itself.
            raise
        except BaseException:
            try:
                await self.trying.run(self._let_go)
            except Exception as error:  # noqa: BLE001 - what came first says more, or cancels
                log_error("a key was not freed", error)
            raise
        if answer is None:
            # The store has had its time.
            await self.trying.single_attempt().run(self._let_go)
        return answer or internal_error_answer(self.serving.settings)

    async def _answer(self) -> Answer | None:
        begun: _Begun | Answer | None = await self.trying.run(self._begin)
        if not isinstance(begun, _Begun):
            return begun
        self.begun = begun
        next_action = await self.out.call(begun.new_ids, self._renew)
        new_ids = attrs.evolve(begun.new_ids, next_action=next_action)
        return await self.trying.run(partial(self._end, begun, new_ids))

    async def _begin(self) -> _Begun | Answer | None:
        decided = await self.serving.decide()
        if decided is None:
            return None
        loaded, call, new_ids = decided.loaded, decided.call, decided.new_ids
        begun = self._holder(loaded.snapshot.record)
        if begun is not None:
            return begun
        if call is None or new_ids is None or decided.page is None:
            return await self.serving.commit_decision(decided)
        attempt = decided.decision.attempt
        if attempt is None:
            return _Begun(call, new_ids)
        # That part makes the record unlike anybody else's, so that it is known again.
        lease = self.out.ticks + random_microseconds()
        running = in_flight_record(attempt, lease=lease, lost_lease=self.out.lost_lease)
        begun = _Begun(
            call=call,
            new_ids=new_ids,
            attempt=attempt,
            before=loaded.snapshot.record,
            running=running,
        )
        self.asked.append(begun)
        write = RecordWrite(attempt.key, begun.before, running)
        try:
            return begun if await self._commit(loaded, write) else None
        except StoreFullError as error:
            return self.serving.full(error)

    def _holder(self, record: Record | None) -> _Begun | None:
        # Which attempt a record was given to, though the store could not say that it was.
        return next((each for each in self.asked if each.running == record), None)

    async def _renew(self) -> bool:
        renew = partial(attempts.renew, lease=self.out.ticks)
        return bool(await self.trying.run(partial(self._move, renew)))

    async def _let_go(self) -> bool | None:
        if self.begun is not None and self.out.lost_lease is LostLeaseAction.UNKNOWN:
            # What was called for may have happened, and must not be called for again.
            return False
        return await self._move(attempts.release)

    async def _move(
        self, act: Callable[[Record | None, Attempt, datetime], Done[Record] | LeaseLost]
    ) -> bool | None:
        # Whether the record moved, or there is none to move; `None` where somebody was faster.
        if not self.asked:
            return True
        loaded = await self.serving.load(self.asked[-1].call.needs)
        held = loaded.snapshot.record
        begun = self.begun or self._holder(held)
        if begun is None or begun.attempt is None:
            return False
        moved = act(held, begun.attempt, loaded.now)
        if isinstance(moved, LeaseLost):
            return False
        write = RecordWrite(begun.attempt.key, held, moved.value)
        return True if await self._commit(loaded, write) else None

    async def _end(self, begun: _Begun, new_ids: NewIds) -> Answer | None:
        loaded = await self.serving.load(begun.call.needs)
        if loaded.caller != begun.call.caller:
            # The API key was registered again meanwhile; a retry is judged by what it is now.
            return await self._without(internal_error_answer(self.serving.settings))
        as_begun = attrs.evolve(loaded.snapshot, record=begun.before)
        decision = decide(begun.call, snapshot=as_begun, now=loaded.now, new_ids=new_ids)
        answer = respond(decision)
        if begun.attempt is not None:
            if decision.attempt is None:
                # A limit refused it, and what was not executed is not kept.
                return await self._without(answer)
            held = loaded.snapshot.record
            ended = attempts.complete(
                held, attempt=begun.attempt, response=answer.response, now=loaded.now
            )
            if isinstance(ended, LeaseLost):
                # It is judged like a retry; one that may execute has been called out for.
                decision = decide(
                    begun.call, snapshot=loaded.snapshot, now=loaded.now, new_ids=new_ids
                )
                answer = respond(decision)
            else:
                write = RecordWrite(begun.attempt.key, held, ended.value)
                answer = attrs.evolve(answer, changes=decision.changes + Changes((write,)))
        try:
            page = hosted_page_for(begun.call, decision.reply, loaded.snapshot.binding)
            return await self.serving.commit(loaded, answer, page)
        except StoreFullError as error:
            return await self._without(self.serving.full(error))

    async def _without(self, answer: Answer) -> Answer | None:
        # An answer that leaves the key free; `None` where somebody was faster.
        return None if await self._let_go() is None else answer

    async def _commit(self, loaded: Loaded, write: RecordWrite) -> bool:
        return await self.serving.store.commit(loaded, Changes((write,)))
