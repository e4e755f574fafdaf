"""Requests in two transactions, with an external call to another service in between.

The laws of this module: **an external call is made once**, and its result is committed in as many
attempts as that takes; **a key is not left taken**: a request that ends without an answer releases
its key, so that the next retry runs at once, unless a second call must not be made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
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
from curae_lifecycle.stores.contract import (
    AsyncStore,
    Loaded,
    StoreFullError,
    StoreUnchangedError,
    check_stored,
)
from curae_lifecycle.stores.hosted_pages import hosted_page_for
from curae_lifecycle.stores.new_ids import IdFactory, random_microseconds
from curae_lifecycle.stores.request_loop import (
    RequestAttempts,
    answer_request,
    internal_error_answer,
    log_error,
)
from curae_lifecycle.stores.retry import Retrier
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer, respond

Renew = Callable[[], bool]
"""A function that extends the lease: the time for which a request holds its idempotency key.

It returns True, or False if the lease could not be extended; the external call should then end.
"""

AsyncRenew = Callable[[], Coroutine[None, None, bool]]
"""A coroutine function that extends the lease, as the blocking `Renew` does.

The lease is the time for which a request holds its idempotency key. The result is True, or False if
the lease could not be extended; the external call should then end.
"""


@attrs.frozen
class ExternalCall:
    """A call to another service that makes the next action of a request.

    The next action is what the app must show the user: the URL of a page, and its expiry.

    Attributes:
        call: Makes the call, given the new ids and a function that extends the lease. Returns the
            next action.
        lease: How long the request holds its idempotency key, in seconds; each extension lasts as
            long.
        lost_lease: The treatment of an expired lease. EXECUTE: the next retry executes. UNKNOWN:
            the call may have taken effect, so no retry executes.

    Raises:
        ArgumentError: The lease is shorter than a microsecond, or not a finite number.
    """

    call: Callable[[NewIds, AsyncRenew], Awaitable[NextAction]]
    lease: float
    lost_lease: LostLeaseAction

    def __attrs_post_init__(self) -> None:
        """Check the lease.

        Raises:
            ArgumentError: The lease is shorter than a microsecond, or not a finite number.
        """
        if not 1 <= self.lease * SECOND < float("inf"):
            raise ArgumentError("lease", "a finite number of seconds, at least a microsecond")

    @property
    def lease_microseconds(self) -> int:
        """How long the request holds its idempotency key, in whole microseconds: its lease."""
        return int(self.lease * SECOND)


async def answer_with_external_call(
    store: AsyncStore,
    request: Request,
    id_factory: IdFactory,
    external_call: ExternalCall,
    settings: Settings,
    retrier: Retrier,
) -> Answer:
    """Answer a request, with an external call if the answer holds a next action.

    The next action is what the app must show the user: the URL of a page, and its expiry. One
    transaction takes the request's idempotency key, and another stores the answer. The external
    call is made between the two.

    Args:
        store: The store to load from and commit to.
        request: The request as it came in.
        id_factory: Makes the new ids, again for each attempt. The next action that `id_factory`
            makes is not used.
        external_call: The call that makes the next action.
        settings: The settings of the server.
        retrier: Repeats each of the two transactions on a conflict or a store failure.

    Returns:
        The answer, whose changes are committed. The answer is `INTERNAL` if no attempt succeeded,
        or after an unexpected error.

    Raises:
        ArgumentError: An argument is invalid, which is a mistake of the program.
        AssertionError: A check inside the library found a mistake of the program.
    """

    async def answer(attempts: RequestAttempts, retrier: Retrier) -> Answer | None:
        return await _RequestWithExternalCall(attempts, external_call, retrier).answer()

    return await answer_request(
        store,
        request=request,
        id_factory=id_factory,
        settings=settings,
        retrier=retrier,
        answer=answer,
    )


@attrs.frozen
class _Claim:
    """A claim to the idempotency key of a request; the claim that is stored makes the call.

    Attributes:
        call: The call that was read from the request.
        new_ids: The new ids of the request.
        attempt: The right to execute; `None` for an operation that takes no key.
        before: The record that the claim replaces.
        running: The record in flight that the claim stores.
    """

    call: Call
    new_ids: NewIds
    attempt: Attempt | None = None
    before: Record | None = None
    running: Record | None = None


@attrs.define
class _RequestWithExternalCall:
    """A request with the steps of both transactions.

    Attributes:
        request: The request with the steps of an attempt.
        external_call: The call that makes the next action.
        retrier: Runs the attempts of each transaction, such as the one that takes the key.
        claims: The claims that the store has, or may store yet.
        claim: The claim that makes the external call; `None` before the call.
    """

    request: RequestAttempts
    external_call: ExternalCall
    retrier: Retrier
    claims: list[_Claim] = attrs.field(factory=list[_Claim])
    claim: _Claim | None = None

    async def answer(self) -> Answer | None:
        """Claim the key, make the call and commit its result; release the key if that fails.

        Returns:
            The answer; `None` if no attempt at a transaction succeeded.
        """
        try:
            answer = await self._answer()
        except GeneratorExit:
            # A coroutine that is being closed cannot await, so the lease is left to expire.
            raise
        except BaseException:
            await self._try_to_release(self.retrier)
            raise
        if answer is None or (self.claim is None and self.claims):
            # The retries are used up already, or the request was decided otherwise after a claim
            # that may be stored yet. So the release is tried once.
            await self._try_to_release(self.retrier.single_attempt())
        return answer

    async def _try_to_release(self, retrier: Retrier) -> None:
        try:
            await retrier.run(self._release)
        except Exception as error:  # noqa: BLE001 - the request has its answer, error or end
            log_error("a key was not freed", error)

    async def _answer(self) -> Answer | None:
        claim: _Claim | Answer | None = await self.retrier.run(self._claim_key)
        if not isinstance(claim, _Claim):
            return claim
        self.claim = claim
        next_action = await self.external_call.call(claim.new_ids, self._renew)
        new_ids = attrs.evolve(claim.new_ids, next_action=next_action)
        return await self.retrier.run(partial(self._complete, claim, new_ids))

    async def _claim_key(self) -> _Claim | Answer | None:
        decided = await self.request.decide()
        if decided is None:
            return None
        loaded, call, new_ids = decided.loaded, decided.call, decided.new_ids
        stored = self._stored_claim(loaded.snapshot.record)
        if stored is not None:
            return stored
        if call is None or new_ids is None or decided.page is None:
            return await self.request.commit_decision(decided)
        attempt = decided.decision.attempt
        if attempt is None:
            return _Claim(call, new_ids)
        # The random part makes this record differ from the record of every other attempt, so that
        # `_stored_claim` recognizes it after a commit whose result was lost.
        lease = self.external_call.lease_microseconds + random_microseconds()
        running = in_flight_record(attempt, lease=lease, lost_lease=self.external_call.lost_lease)
        claim = _Claim(
            call=call,
            new_ids=new_ids,
            attempt=attempt,
            before=loaded.snapshot.record,
            running=running,
        )
        write = RecordWrite(attempt.key, claim.before, running)
        try:
            return claim if await self._commit_claim(loaded, claim, write) else None
        except StoreFullError as error:
            return self.request.full_account_answer(error)

    async def _commit_claim(self, loaded: Loaded, claim: _Claim, write: RecordWrite) -> bool:
        # Keeps the claim unless the store certainly did not store it.
        self.claims.append(claim)
        try:
            is_stored = await self._commit_record(loaded, write)
        except (StoreFullError, StoreUnchangedError):
            self.claims.remove(claim)
            raise
        if not is_stored:
            self.claims.remove(claim)
        return is_stored

    def _stored_claim(self, record: Record | None) -> _Claim | None:
        return next((claim for claim in self.claims if claim.running == record), None)

    async def _renew(self) -> bool:
        renew = partial(attempts.renew, lease=self.external_call.lease_microseconds)
        return bool(await self.retrier.run(partial(self._update_record, renew)))

    async def _release(self) -> bool | None:
        if self.claim is not None and self.external_call.lost_lease is LostLeaseAction.UNKNOWN:
            # The call may have taken effect, and no retry may make it again.
            return False
        return await self._update_record(attempts.release)

    async def _update_record(
        self, act: Callable[[Record | None, Attempt, datetime], Done[Record] | LeaseLost]
    ) -> bool | None:
        # True if the record was updated or no claim can be stored; False if the record is no longer
        # this request's; None on a conflict.
        if not self.claims:
            return True
        loaded = await self.request.load(self.claims[-1].call.needs)
        record = loaded.snapshot.record
        claim = self.claim or self._stored_claim(record)
        if claim is None:
            return await self._prevent_late_claim(loaded)
        if claim.attempt is None:
            return False
        updated = act(record, claim.attempt, loaded.now)
        if isinstance(updated, LeaseLost):
            return False
        write = RecordWrite(claim.attempt.key, record, updated.value)
        return True if await self._commit_record(loaded, write) else None

    async def _prevent_late_claim(self, loaded: Loaded) -> bool | None:
        # A commit that was cancelled or failed may still be running, as in a thread. This one
        # writes over the record that the claim would replace, so at most one of them succeeds.
        record = loaded.snapshot.record
        for claim in self.claims:
            if claim.attempt is not None and claim.before == record:
                released = attempts.release(
                    claim.running, attempt=claim.attempt, now=claim.attempt.started_at
                )
                assert isinstance(released, Done)  # noqa: S101 - a lease lasts a microsecond or more
                write = RecordWrite(claim.attempt.key, record, released.value)
                return True if await self._commit_record(loaded, write) else None
        return False

    async def _complete(self, claim: _Claim, new_ids: NewIds) -> Answer | None:
        call = self.request.after_charge(claim.call)
        loaded = await self.request.load(call.needs)
        if loaded.caller != call.caller:
            # The API key was registered for another caller meanwhile; a retry is decided for that
            # caller.
            return await self._release_and_return(internal_error_answer(self.request.settings))
        as_claimed = attrs.evolve(loaded.snapshot, record=claim.before)
        decision = decide(call, snapshot=as_claimed, now=loaded.now, new_ids=new_ids)
        answer = respond(decision)
        if claim.attempt is not None:
            if decision.attempt is None:
                # A rate limit refused the request, and a refusal by a limit leaves no record.
                return await self._release_and_return(answer)
            record = loaded.snapshot.record
            completed = attempts.complete(
                record, attempt=claim.attempt, response=answer.response, now=loaded.now
            )
            if isinstance(completed, LeaseLost):
                # The request is decided like a retry. If that executes, it uses the result of the
                # call that was made.
                decision = decide(call, snapshot=loaded.snapshot, now=loaded.now, new_ids=new_ids)
                answer = respond(decision)
            else:
                write = RecordWrite(claim.attempt.key, record, completed.value)
                answer = attrs.evolve(answer, changes=decision.changes + Changes((write,)))
        try:
            page = hosted_page_for(call, decision.reply, loaded.snapshot.binding)
            return await self.request.commit(loaded, answer, page)
        except StoreFullError as error:
            return await self._release_and_return(self.request.full_account_answer(error))

    async def _release_and_return(self, answer: Answer) -> Answer | None:
        return None if await self._release() is None else answer

    async def _commit_record(self, loaded: Loaded, write: RecordWrite) -> bool:
        return check_stored(await self.request.store.commit(loaded, Changes((write,))))
