"""Load, decide, commit: the steps of a request and of a fact, for a store that is awaited.

The laws of this module: **what is committed was decided from what is replaced**; **a call out is
made once**: what it brought is committed by as many attempts as that takes, and never called for
again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Final

import attrs

from curae_lifecycle.rules import attempt as attempts
from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.idempotency import Attempt, Record, in_flight_record
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.values import NextAction
from curae_lifecycle.service.call import Call, Decision, refused
from curae_lifecycle.service.changes import NO_CHANGES, Changes, RecordWrite
from curae_lifecycle.service.decide import decide, needs
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, fact_needs, record_fact
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs, NewIds
from curae_lifecycle.service.status import is_kept
from curae_lifecycle.stores.contract import (
    AsyncStore,
    LoadedCall,
    StoreFullError,
    StoreUnavailableError,
)
from curae_lifecycle.stores.minting import Mint, utc_now
from curae_lifecycle.stores.pages import HostedPage, page_of
from curae_lifecycle.stores.patience import Patience, Sleep, until_done
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, bearer
from curae_lifecycle.web.respond import Answer, respond

_NOTHING: Final = Needs(None, (), None, None, None)
"""What a request needs that was refused before anything stored was asked for."""

Renew = Callable[[], bool]
"""Prolongs the lease of an attempt that is calling out; false where it was lost."""

AsyncRenew = Callable[[], Awaitable[bool]]
"""The same, awaited."""


async def answer_request(
    store: AsyncStore,
    request: Request,
    mint: Mint,
    settings: Settings,
    patience: Patience,
    sleep: Sleep,
    out: CallOut | None = None,
) -> Answer:
    """Answer a request in as many attempts as patience has, calling out in between if asked to."""
    api_key = bearer(request)
    if api_key is None:
        # The answer says nothing of time, and no store was asked for one.
        refusal = read(request, None, utc_now(), settings)
        assert isinstance(refusal, Decision)  # noqa: S101 - nobody calls
        return respond(refusal)
    serving = _Serving(store, request, api_key.digest(), mint, settings, out)
    answer: Answer | _Begun | None = await until_done(serving.attempt, patience, sleep)
    if isinstance(answer, _Begun):
        answer = await serving.finish(answer, patience, sleep)
    return answer or given_up(settings)


def given_up(settings: Settings) -> Answer:
    """The answer where no attempt was done: a problem that may be retried, and when."""
    answer = respond(refused(refuse_at(Gate.ROOM), utc_now(), settings))
    headers = (*answer.response.headers, ("retry-after", "1"))
    return attrs.evolve(answer, response=attrs.evolve(answer.response, headers=headers))


@attrs.frozen
class CallOut:
    """How another service is asked for the next action.

    Attributes:
        call: Asks it, given the ids that were minted and a way to prolong the lease.
        lease: Microseconds for which the key is taken.
    """

    call: Callable[[NewIds, AsyncRenew], Awaitable[NextAction]]
    lease: int


@attrs.frozen
class _Begun:
    """An attempt that took its key and may call out.

    Attributes:
        call: The request, read.
        new_ids: The ids that it uses in every further attempt.
        decision: What was decided before it was called out for.
    """

    call: Call
    new_ids: NewIds
    decision: Decision

    @property
    def attempt(self) -> Attempt | None:
        """What the key was taken for; `None` where the operation takes no key."""
        return self.decision.attempt

    @property
    def before(self) -> Record | None:
        """The record before the key was taken."""
        return self.decision.record


@attrs.frozen
class _Serving:
    """One request on its way through its attempts."""

    store: AsyncStore
    request: Request
    digest: str
    mint: Mint
    settings: Settings
    out: CallOut | None

    async def attempt(self) -> Answer | _Begun | None:
        """Load, decide, commit; `None` where somebody was faster."""
        caller = await self.store.caller_of(self.digest)
        call = read(self.request, caller, utc_now(), self.settings)
        asked = needs(call) if isinstance(call, Call) else _NOTHING
        loaded = await self.store.for_call(self.digest, asked)
        if loaded.caller != caller:
            # The key was registered anew since the store remembered its caller.
            return None
        if isinstance(call, Decision):
            return respond(call)
        # A read mints nothing.
        new_ids = None if call.operation.rule.scope is None else self.mint(loaded.now)
        decision = decide(call, loaded.snapshot, loaded.now, new_ids)
        page = page_of(call, decision.reply)
        if self.out is None or page is None or new_ids is None:
            return await self._commit(loaded, respond(decision), page)
        return await self._begin(self.out, loaded, _Begun(call, new_ids, decision))

    async def _commit(
        self, loaded: LoadedCall, answer: Answer, page: HostedPage | None
    ) -> Answer | None:
        if page is None and answer.changes == NO_CHANGES:
            return answer
        try:
            stored = await self.store.commit(loaded, answer.changes, page)
        except StoreFullError:
            return given_up(self.settings)
        return answer if stored else None

    async def _begin(self, out: CallOut, loaded: LoadedCall, begun: _Begun) -> _Begun | None:
        attempt = begun.attempt
        if attempt is None:
            return begun
        running = in_flight_record(attempt, lease=out.lease)
        taken = RecordWrite(attempt.key, begun.before, running)
        return begun if await self.store.commit(loaded, Changes((taken,))) else None

    async def finish(self, begun: _Begun, patience: Patience, sleep: Sleep) -> Answer | None:
        """Call out, and commit what came of it, in as many attempts as that takes."""
        assert self.out is not None  # noqa: S101 - nothing else begins
        out = self.out

        async def renew() -> bool:
            prolonged = partial(attempts.renew, lease=out.lease)
            return bool(await until_done(lambda: self._move(begun, prolonged), patience, sleep))

        try:
            next_action = await out.call(begun.new_ids, renew)
        except BaseException:
            await until_done(lambda: self._move(begun, attempts.release), patience, sleep)
            raise
        minted = attrs.evolve(begun.new_ids, next_action=next_action)
        return await until_done(lambda: self._end(begun, minted), patience, sleep)

    async def _move(
        self,
        begun: _Begun,
        act: Callable[[Record | None, Attempt, datetime], Done[Record] | LeaseLost],
    ) -> bool | None:
        # Whether the record moved; `False` where the lease was lost.
        attempt = begun.attempt
        if attempt is None:
            return True
        loaded = await self.store.for_call(self.digest, needs(begun.call))
        held = loaded.snapshot.record
        moved = act(held, attempt, loaded.now)
        if not isinstance(moved, Done):
            return False
        write = RecordWrite(attempt.key, held, moved.value)
        return True if await self.store.commit(loaded, Changes((write,))) else None

    async def _end(self, begun: _Begun, minted: NewIds) -> Answer | None:
        loaded = await self.store.for_call(self.digest, needs(begun.call))
        held, attempt = loaded.snapshot.record, begun.attempt
        snapshot = attrs.evolve(loaded.snapshot, record=begun.before)
        decision = decide(begun.call, snapshot, loaded.now, minted)
        answer, page = respond(decision), page_of(begun.call, decision.reply)
        if attempt is None:
            return await self._commit(loaded, answer, page)
        response = answer.response
        if is_kept(response.status):
            ended = attempts.complete(held, attempt, response, loaded.now)
        else:
            ended = attempts.release(held, attempt, loaded.now)
        if not isinstance(ended, Done):
            return await self._overtaken(begun, loaded)
        changes = decision.changes
        write = RecordWrite(attempt.key, held, ended.value)
        changes = Changes((*changes.writes, write), changes.effects, changes.events)
        return await self._commit(loaded, attrs.evolve(answer, changes=changes), page)

    async def _overtaken(self, begun: _Begun, loaded: LoadedCall) -> Answer | None:
        # Another attempt took over after the lease: what it says is the answer.
        decision = decide(begun.call, loaded.snapshot, loaded.now, begun.new_ids)
        if decision.attempt is not None:
            return given_up(self.settings)
        return await self._commit(loaded, respond(decision), None)


async def record_in(store: AsyncStore, fact: Fact, patience: Patience, sleep: Sleep) -> FactAnswer:
    """Record a fact in as many attempts as patience has."""

    async def attempt() -> FactAnswer | None:
        loaded = await store.for_fact(fact_needs(fact))
        answer = record_fact(fact, loaded.snapshot, loaded.now)
        if not isinstance(answer, Done):
            return answer
        return answer if await store.commit(loaded, answer.value) else None

    answer: FactAnswer | None = await until_done(attempt, patience, sleep)
    if answer is None:
        raise StoreUnavailableError("no attempt was done in time")
    return answer
