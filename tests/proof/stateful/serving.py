"""Requests and facts on one store, interleaved, with faults within and between them.

Every call of the store is two turns, so that any other run may come between a load, a commit and
its result. A worker may die or be cancelled at each of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Generator
from contextlib import nullcontext
from contextvars import Context, copy_context
from functools import partial
from types import coroutine
from typing import Final, TypeVar

import attrs

import curae_lifecycle as curae
from curae_lifecycle import ApiKey, MemoryStore, NewIds, NextAction, RetryPolicy
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import (
    IdempotencyKey,
    LostLeaseAction,
    Record,
    RecordKey,
    RecordState,
)
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import DEFAULT_SETTINGS
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.service.status import is_kept
from curae_lifecycle.service.writes import ConnectionWrite, RecordWrite
from curae_lifecycle.stores.contract import Loaded, StoreUnavailableError
from curae_lifecycle.stores.external_call import AsyncRenew, ExternalCall, answer_with_external_call
from curae_lifecycle.stores.request_loop import answer_fact, answer_request
from curae_lifecycle.stores.retry import Retrier, RetryStats
from curae_lifecycle.testing.laws import check_documented, check_one_execution
from curae_lifecycle.testing.store_invariants import check_store
from curae_lifecycle.testing.watch import Watch
from curae_lifecycle.web.respond import Answer
from tests.support.instants import commit_writes
from tests.support.server import API_KEY, CALLER, ID, code, request
from tests.support.serving import AFTER, BEFORE, LATE, LOST, Clock, Fault, Numbered
from tests.support.strategies import COORDINATE, NEXT_ACTION_LIFETIME, START, pending

Result = TypeVar("Result")

LEASE: Final = 60
PASSING: Final = (LOST, BEFORE, AFTER, LATE)
PATIENCE: Final = RetryPolicy(attempts=4, seconds=1e6)
"""A policy that counts attempts only: no time passes except on the store's clock."""

KEYS: Final = ("create", "reconnect", "revoke", "initiate")
"""Each idempotency key belongs to one operation, whose name it bears."""

SITUATIONS: Final = frozenset(
    {
        *("answered", "replayed", "given up", "told to come later", "outcome unknown"),
        *("recorded", "a fact given up", "called out", "the call failed", "outlived the lease"),
        *("known again", "let go", "cancelled", "died", "arrived late"),
    }
)
"""The situations that the runs of a test must reach."""

FACTS: Final[tuple[Fact, ...]] = (
    curae.Authorized(ID),
    curae.ActionRequired(ID, "portal_login"),
    curae.Revoked(ID, curae.Actor.PATIENT),
    curae.Tombstoned(COORDINATE),
)


class UnreachableError(Exception):
    """The external service is unreachable."""


@coroutine
def turn() -> Generator[None, None, None]:
    """Let other runs take their turn."""
    yield


@attrs.define(eq=False)
class Run:
    """The work on one request or fact.

    Attributes:
        key: The idempotency key of its request.
        faults: The faults of its next commits.
        load_fails: Whether its next load fails.
        read_at: The number of commits when it loaded.
        taken: The in-flight records that it stored, with the step of the machine.
        called: The number of its external calls.
        context: Its context variables, as of a separate task or thread.
    """

    key: str
    coroutine: Coroutine[None, None, Answer | FactAnswer] | None = None
    faults: list[Fault | None] = attrs.field(factory=list[Fault | None])
    load_fails: bool = False
    read_at: int = 0
    taken: list[tuple[int, Record]] = attrs.field(factory=list[tuple[int, Record]])
    called: int = 0
    context: Context = attrs.field(factory=copy_context)


@attrs.frozen
class Out:
    """The course of an external call.

    Attributes:
        seconds: Its duration.
    """

    fails: bool
    renews: bool
    seconds: int
    lost_lease: LostLeaseAction


@attrs.frozen
class Luck:
    """The course of the next turns of a run.

    Attributes:
        turns: The number of turns.
        faults: The faults of its next commits.
        load_fails: Whether its next load fails.
    """

    turns: int
    faults: tuple[Fault | None, ...]
    load_fails: bool


class Serving:
    """A store with interleaved runs, checked against the laws at every commit and response.

    Attributes:
        chosen: The operation of most runs, and their idempotency key.
        seen: The number of times that each situation arose.
    """

    def __init__(self, chosen: str) -> None:
        self.chosen = chosen
        self.seen: Counter[str] = Counter()
        self.clock = Clock()
        self.store = MemoryStore(clock=self.clock)
        self.store.register(ApiKey(API_KEY), CALLER)
        self.watch = Watch()
        made = ConnectionWrite(None, pending())
        assert commit_writes(self.store, (made,))
        self.watch.observe_commit((made,), START)
        self.mint = Numbered(2)
        self.pages = 0
        self.step = 0
        self.runs: list[Run] = []
        self.late: list[Callable[[], bool]] = []
        self.executions: Counter[str] = Counter()
        self.calls: Counter[tuple[str, int]] = Counter()
        self.harmful: dict[str, int] = {}
        self.answers: dict[str, list[Response]] = defaultdict(list)

    # What runs ------------------------------------------------------------------------------

    def serve(self, key: str | None) -> None:
        """Start a request; None for the most common one."""
        run = Run(key or self.chosen)
        asked = request(run.key, key=run.key)
        store, trying = (
            Turns(self, run),
            Retrier(policy=PATIENCE, sleep=self._sleep, timeout=nullcontext, stats=RetryStats()),
        )
        run.coroutine = answer_request(
            store, request=asked, id_factory=self.mint, settings=DEFAULT_SETTINGS, retrier=trying
        )
        self.runs.append(run)

    def call_out(self, key: str | None, out: Out) -> None:
        """Start a request with an external call."""
        run = Run(key or self.chosen)

        async def called(_: NewIds, renew: AsyncRenew) -> NextAction:
            self._called(run, out.lost_lease)
            await turn()
            if out.renews:
                await renew()
            self.clock.pass_time(out.seconds)
            if out.fails:
                self.seen["the call failed"] += 1
                raise UnreachableError
            await turn()
            self.pages += 1
            return NextAction(
                f"https://pages.example/{self.pages}", self.clock.now + NEXT_ACTION_LIFETIME
            )

        asked, calling = request(run.key, key=run.key), ExternalCall(called, LEASE, out.lost_lease)
        store, trying = (
            Turns(self, run),
            Retrier(policy=PATIENCE, sleep=self._sleep, timeout=nullcontext, stats=RetryStats()),
        )
        run.coroutine = answer_with_external_call(
            store,
            request=asked,
            id_factory=self.mint,
            external_call=calling,
            settings=DEFAULT_SETTINGS,
            retrier=trying,
        )
        self.runs.append(run)

    def record(self, fact: Fact) -> None:
        """Start recording a fact."""
        run, trying = (
            Run(""),
            Retrier(policy=PATIENCE, sleep=self._sleep, timeout=nullcontext, stats=RetryStats()),
        )
        run.coroutine = answer_fact(Turns(self, run), fact, trying)
        self.runs.append(run)

    @staticmethod
    async def _sleep(_: float) -> None:
        await turn()

    # What goes on ---------------------------------------------------------------------------

    def go_on(self, number: int, luck: Luck) -> None:
        """Give one of the runs some turns."""
        run = self.runs[number % len(self.runs)]
        run.faults, run.load_fails = list(luck.faults), luck.load_fails
        for _ in range(luck.turns):
            if run in self.runs:
                self._send(run)

    def cancel(self, number: int) -> None:
        """Cancel one of the runs, which may still clean up."""
        run = self.runs[number % len(self.runs)]
        assert run.coroutine is not None
        self.seen["cancelled"] += 1
        self._resume(run, partial(run.coroutine.throw, asyncio.CancelledError()))

    def die(self, number: int) -> None:
        """Kill the worker of one of the runs."""
        run = self.runs.pop(number % len(self.runs))
        assert run.coroutine is not None
        self.seen["died"] += 1
        run.context.run(run.coroutine.close)

    def arrive(self) -> None:
        """Apply a commit whose worker never learns of it."""
        self.seen["arrived late"] += self.late.pop(0)()

    def register_again(self, scopes: frozenset[str]) -> None:
        """Register the API key again, with other scopes or the same."""
        self.store.register(ApiKey(API_KEY), attrs.evolve(CALLER, scopes=scopes))

    def end(self) -> None:
        """Finish all runs without faults, and check the store."""
        while self.late:
            self.arrive()
        while self.runs:
            self.runs[0].faults, self.runs[0].load_fails = [], False
            self._send(self.runs[0])
        held = self.store.load(Needs(connections=ConnectionsPage(COORDINATE))).snapshot
        bindings = [] if held.binding is None else [held.binding]
        sessions = list(self.store._sessions.values())
        check_store(held.connections, sessions=sessions, bindings=bindings, now=self.clock.now)

    def close(self) -> None:
        """Close every unfinished run after a failure."""
        for run in self.runs:
            assert run.coroutine is not None
            run.context.run(run.coroutine.close)

    def _send(self, run: Run) -> None:
        assert run.coroutine is not None
        self._resume(run, partial(run.coroutine.send, None))

    def _resume(self, run: Run, resume: Callable[[], object]) -> None:
        self.step += 1
        try:
            run.context.run(resume)
        except StopIteration as end:
            self.runs.remove(run)
            if isinstance(end.value, Answer):
                self._answered(run, end.value)
            else:
                self.seen["recorded"] += 1
        except (UnreachableError, asyncio.CancelledError):
            self.runs.remove(run)
        except StoreUnavailableError:
            # Every request gets a response, whatever the store does.
            assert run.key == ""
            self.runs.remove(run)
            self.seen["a fact given up"] += 1

    # What is seen ---------------------------------------------------------------------------

    def committed(self, run: Run, loaded: Loaded, changes: Changes) -> None:
        """Observe a commit that took effect, whether or not its worker learns of it."""
        self.watch.observe_commit(changes.writes, loaded.now, loaded_at_commit=run.read_at)
        for write in changes.writes:
            if not isinstance(write, RecordWrite):
                continue
            if write.after.state is RecordState.COMPLETED:
                self.executions[run.key] += 1
                mine = [record.token for _, record in run.taken]
                self.seen["outlived the lease"] += bool(mine) and write.after.token not in mine
            elif write.after.state is RecordState.RELEASED:
                self.seen["let go"] += 1
            elif write.before is None or write.before.token != write.after.token:
                run.taken.append((self.step, write.after))

    def _called(self, run: Run, lost_lease: LostLeaseAction) -> None:
        self.seen["called out"] += 1
        run.called += 1
        assert run.called == 1, "law 12: one request called out twice"
        assert run.taken, "it called out without having taken its key"
        step, taken = run.taken[-1]
        self.calls[run.key, taken.token] += 1
        assert self.calls[run.key, taken.token] == 1, "law 12: two call out for one attempt"
        harmful = self.harmful.get(run.key)
        assert harmful is None or step < harmful, "a second call, where it does harm"
        if lost_lease is LostLeaseAction.UNKNOWN:
            self.harmful[run.key] = self.step

    def _answered(self, run: Run, answer: Answer) -> None:
        response = answer.response
        check_documented(response)
        said = str(code(answer)) if response.status >= 400 else ""
        self.seen["replayed" if answer.replayed else "answered"] += 1
        self.seen["given up"] += said == "INTERNAL"
        self.seen["told to come later"] += said == "IDEMPOTENCY_KEY_IN_FLIGHT"
        self.seen["outcome unknown"] += said == "IDEMPOTENCY_OUTCOME_UNKNOWN"
        if not is_kept(response.status) or said.startswith("IDEMPOTENCY_"):
            return
        answers = self.answers[run.key]
        answers.append(response)
        check_one_execution(answers, self.executions[run.key])
        record = self.record_of(run.key)
        assert record is not None, "law 12: an answer that is not kept"
        assert record.response == response.to_storable()

    def record_of(self, key: str) -> Record | None:
        found = RecordKey(CALLER.key_owner, IdempotencyKey(key))
        return self.store.load(Needs(record=found)).snapshot.record


class Turns:
    """The store as seen by one run."""

    def __init__(self, world: Serving, run: Run) -> None:
        self._world = world
        self._run = run

    async def caller_of(self, key_digest: str) -> Caller | None:
        return await self._load(lambda: self._world.store.caller_of(key_digest))

    async def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        def load() -> Loaded:
            self._run.read_at = self._world.watch.commit_count
            loaded = self._world.store.load(needs, key_digest)
            held = loaded.snapshot.record
            known = held is not None and held in [record for _, record in self._run.taken]
            self._world.seen["known again"] += known and not self._run.called
            return loaded

        return await self._load(load)

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        def done() -> bool:
            if fault is LOST:
                return False
            stored = self._world.store.commit(loaded, changes, page)
            if stored:
                self._world.committed(self._run, loaded, changes)
            return stored

        fault = self._run.faults.pop(0) if self._run.faults else None
        if fault is LATE:
            self._world.late.append(done)
        return await self._turns(done, fault)

    async def _load(self, load: Callable[[], Result]) -> Result:
        fails, self._run.load_fails = self._run.load_fails, False
        return await self._turns(load, BEFORE if fails else None)

    async def _turns(self, call: Callable[[], Result], fault: Fault | None) -> Result:
        await turn()
        if fault in {BEFORE, LATE}:
            raise StoreUnavailableError("it failed before")
        answered = call()
        await turn()
        if fault is AFTER:
            raise StoreUnavailableError("it failed after")
        return answered
