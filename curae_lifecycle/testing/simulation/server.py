"""A server in several steps: what is loaded, decided and stored lies apart, so others come between.

The law of this module: **the store's comparison of writes is all that keeps transactions apart**.
Nothing that was read is read again at the commit; whoever was slower loads and decides anew. The
server around the rules is as small as an embedding one can be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

import attrs

from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.attempt import LeaseLost, complete, forget, release, renew, resolve
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import (
    Attempt,
    LostLeaseAction,
    Record,
    RecordKey,
    in_flight_record,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, record_fact
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import LandedHandoff, Needs, NewIds, Snapshot
from curae_lifecycle.service.status import is_kept, status_of
from curae_lifecycle.service.writes import RecordWrite
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.testing.simulated_clock import SimulatedClockStore
from curae_lifecycle.testing.watch import Watch
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, bearer
from curae_lifecycle.web.respond import Answer, respond

_Result = TypeVar("_Result")
_NOT_FOUND: Final = 404


@attrs.define
class Transaction:
    """A request between its load and its commit.

    Attributes:
        digest: Of its API key.
        loaded: What was loaded, at the instant of the worker's clock.
        loaded_at_commit: How many commits there were by then.
        attempt: The attempt that calls out, where one does.
    """

    digest: str
    call: Call
    asked: Needs
    loaded: Loaded
    loaded_at_commit: int
    attempt: Attempt | None = None

    @property
    def now(self) -> datetime:
        """The instant at which it was loaded."""
        return self.loaded.now


@attrs.frozen
class FactTransaction:
    """A fact between its load and its commit."""

    fact: Fact
    loaded: Loaded

    @property
    def now(self) -> datetime:
        """The instant at which it was loaded."""
        return self.loaded.now


class SimulatedServer:
    """The brackets around the rules, watched or not: load, decide, store.

    `landed` are hand-offs that are not recorded yet; `conflicts` counts how often a transaction
    had to start again, `facts` how often each kind of fact had which outcome.
    """

    def __init__(self, store: SimulatedClockStore, settings: Settings, watch: Watch | None) -> None:
        self._store = store
        self._settings = settings
        self._watch = watch
        self._not_found: Response | None = None
        self.landed: dict[ConnectionId, LandedHandoff] = {}
        self.conflicts = 0
        self.facts: Counter[str] = Counter()

    def load(self, request: Request, now: datetime) -> Transaction | Answer:
        """Read a request and load what it needs, or refuse it."""
        api_key = bearer(request)
        digest = "" if api_key is None else api_key.digest()
        caller = self._store.caller_of(digest)
        call = _documented(lambda: read(request, caller=caller, now=now, settings=self._settings))
        if isinstance(call, Decision):
            answer = respond(call)
            if self._watch is not None:
                self._watch.observe_response(answer, now, caller=caller)
            return answer
        asked = call.needs
        return Transaction(
            digest=digest,
            call=call,
            asked=asked,
            loaded=self._load(digest, call=call, asked=asked, now=now),
            loaded_at_commit=self._steps(),
        )

    def commit(self, work: Transaction, new_ids: NewIds) -> Answer | None:
        """Decide and store; `None` where somebody was faster: load again."""
        return self._commit(work, self._decide(work, work.loaded.snapshot, new_ids))

    def begin_external_call(
        self, work: Transaction, new_ids: NewIds, lease: int, lost: LostLeaseAction
    ) -> Answer | None:
        """Begin an attempt that calls out: the record says so before anything else is stored.

        Returns:
            The answer where no attempt is needed; `None` where `work.attempt` has begun, or
            where somebody was faster.
        """
        decision = self._decision(work, work.loaded.snapshot, new_ids)
        attempt = decision.attempt
        if attempt is None:
            return self._commit(work, respond(decision))
        record = in_flight_record(attempt, lease=lease, lost_lease=lost)
        if self._stored(work.loaded, RecordWrite(attempt.key, work.loaded.snapshot.record, record)):
            work.attempt = attempt
        return None

    def prolong(self, work: Transaction, attempt: Attempt, now: datetime, lease: int) -> None:
        """Renew the lease of an attempt that calls out; one that is lost stays lost."""
        loaded = self._record(work.digest, attempt.key, now)
        record = loaded.snapshot.record
        renewed = renew(record, attempt, now, lease=lease)
        if isinstance(renewed, Done):
            self._stored(loaded, RecordWrite(attempt.key, record, renewed.value))

    def finish_external_call(
        self, work: Transaction, attempt: Attempt, now: datetime, new_ids: NewIds
    ) -> Answer | None:
        """End an attempt that called out; `None` where it lost its lease or its race."""
        work.loaded_at_commit = self._steps()
        work.loaded = self._load(work.digest, call=work.call, asked=work.asked, now=now)
        snapshot = work.loaded.snapshot
        record = snapshot.record
        # The attempt is this one's own, so the record does not stand in its way.
        answer = self._decide(work, attrs.evolve(snapshot, record=None), new_ids)
        if is_kept(answer.response.status):
            ended = complete(record, attempt=attempt, response=answer.response, now=now)
        else:
            ended = release(record, attempt, now)
        if isinstance(ended, LeaseLost):
            return None
        others = (each for each in answer.changes.writes if not isinstance(each, RecordWrite))
        writes = (*others, RecordWrite(attempt.key, record, ended.value))
        changes = attrs.evolve(answer.changes, writes=writes)
        return self._commit(work, attrs.evolve(answer, changes=changes))

    def load_fact(self, fact: Fact, now: datetime) -> FactTransaction:
        """Load what a fact concerns."""
        self._store.now = now
        return FactTransaction(fact, self._store.load(fact.needs()))

    def commit_fact(self, work: FactTransaction) -> FactAnswer | None:
        """Record and store; `None` where somebody was faster: load again."""
        answer = _documented(lambda: record_fact(work.fact, work.loaded.snapshot, work.now))
        if isinstance(answer, Done) and not self._is_taken(work.loaded, answer.value):
            return None
        outcome = type(answer).__name__.lower()
        if isinstance(answer, Refused):
            # What a server whose hosted page reports over HTTP would answer.
            outcome = f"{status_of(answer.problem)} {answer.problem.code}"
        self.facts[f"{type(work.fact).__name__} {outcome}"] += 1
        if self._watch is not None:
            self._watch.observe_fact(answer, work.now)
        return answer

    def ask(self, caller: Caller, connection_id: ConnectionId, package: str, now: datetime) -> str:
        """Whether a package may be read: a status, and why not."""
        self._store.now = now
        connection = self._store.load(Needs(connection=connection_id)).snapshot.connection
        if connection is None or not caller.owns(connection):
            return str(_NOT_FOUND)
        decision = decide_access(connection, package, now)
        if self._watch is not None:
            self._watch.observe_access_decision(connection_id, package, now, decision=decision)
        if isinstance(decision, Granted):
            return "200"
        return f"{status_of(decision.problem)} {decision.reason}"

    def settle(self, key: RecordKey, now: datetime, *, answered: bool) -> None:
        """An operator says what became of an attempt whose worker died."""
        loaded = self._record("", key, now)
        response = self._not_found if answered else None
        self._upkeep(loaded, resolve(loaded.snapshot.record, now, response=response))

    def erase(self, key: RecordKey, now: datetime) -> None:
        """An operator erases the answer under a key."""
        loaded = self._record("", key, now)
        self._upkeep(loaded, forget(loaded.snapshot.record, now))

    def purge(self, now: datetime) -> int:
        """Drop what is over at an instant that no worker's clock is behind."""
        if self._watch is not None:
            self._watch.purge(now)
        return self._store.purge(now)

    def _load(self, digest: str, call: Call, asked: Needs, now: datetime) -> Loaded:
        self._store.now = now
        loaded = self._store.load(asked, digest)
        operation = call.operation
        if not isinstance(operation, GetConnection) or operation.connection_id not in self.landed:
            return loaded
        landed = self.landed[operation.connection_id]
        return attrs.evolve(loaded, snapshot=attrs.evolve(loaded.snapshot, landed_handoff=landed))

    def _decision(self, work: Transaction, snapshot: Snapshot, new_ids: NewIds) -> Decision:
        return _documented(
            lambda: decide(work.call, snapshot=snapshot, now=work.now, new_ids=new_ids)
        )

    def _decide(self, work: Transaction, snapshot: Snapshot, new_ids: NewIds) -> Answer:
        decision = self._decision(work, snapshot, new_ids)
        return _documented(lambda: respond(decision))

    def _commit(self, work: Transaction, answer: Answer) -> Answer | None:
        if answer.changes.writes and not self._is_taken(work.loaded, answer.changes):
            return None
        if self._watch is not None:
            caller, read_at = work.call.caller, work.loaded_at_commit
            self._watch.observe_response(
                answer, work.now, caller=caller, needs=work.asked, loaded_at_commit=read_at
            )
        if answer.response.status == _NOT_FOUND:
            self._not_found = answer.response
        return answer

    def _record(self, digest: str, key: RecordKey, now: datetime) -> Loaded:
        self._store.now = now
        return self._store.load(Needs(record=key), digest)

    def _upkeep(self, loaded: Loaded, kept: Done[Record] | Ignored[Record | None]) -> None:
        if isinstance(kept, Done):
            after = kept.value
            self._stored(loaded, RecordWrite(after.key, loaded.snapshot.record, after))

    def _stored(self, loaded: Loaded, write: RecordWrite) -> bool:
        changes = Changes((write,))
        if not self._is_taken(loaded, changes):
            return False
        if self._watch is not None:
            self._watch.observe_commit(changes.writes, loaded.now)
        return True

    def _is_taken(self, loaded: Loaded, changes: Changes) -> bool:
        taken = self._store.commit(loaded, changes)
        self.conflicts += not taken
        return taken

    def _steps(self) -> int:
        return 0 if self._watch is None else self._watch.commit_count


def _documented(rule: Callable[[], _Result]) -> _Result:
    try:
        return rule()
    except Exception as error:
        kind = type(error).__name__
        raise LawBrokenError(16, f"{kind}: {error}", "a request or a fact") from error
