"""A server whose load and commit are separate steps, so that transactions can overlap.

The law of this module: **only the store's comparison of writes isolates transactions**. Nothing is
loaded again at the commit. After a conflict, the request is loaded and decided again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

import attrs

from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.attempt import LeaseLost, complete, forget, release, renew, resolve
from curae_lifecycle.rules.binding import present_era
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import (
    Attempt,
    LostLeaseAction,
    Record,
    RecordKey,
    in_flight_record,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import AppUser, ConnectionId
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, record_fact
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import HostedPage, PageKind
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import LandedHandoff, Needs, NewIds, Snapshot
from curae_lifecycle.service.status import is_kept, status_of
from curae_lifecycle.service.writes import RecordWrite
from curae_lifecycle.stores.contract import Loaded, StoreUnavailableError
from curae_lifecycle.stores.hosted_pages import hosted_page_for
from curae_lifecycle.stores.serve import sweep_now
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.testing.request_store import RequestStore
from curae_lifecycle.testing.simulated_clock import SimulatedClockStore
from curae_lifecycle.testing.simulation.journal import Journal
from curae_lifecycle.testing.simulation.outbox import SimulatedOutbox
from curae_lifecycle.testing.simulation.summary import RuleBrokenError
from curae_lifecycle.testing.watch import Watch
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, bearer
from curae_lifecycle.web.respond import Answer, respond

_Result = TypeVar("_Result")
_NOT_FOUND: Final = 404


@attrs.define
class OpenRequest:
    """A request of a simulated world that the server has loaded, but not committed yet.

    Attributes:
        request: The request as it arrived.
        digest: The digest of the request's API key.
        call: The request as it was read.
        loaded: The values of the latest load, and its instant by the clock of the server process.
        loaded_at_commit: The number of commits that the `Watch`, which checks the laws, had
            observed when the values were loaded; 0 without a `Watch`.
        attempt: The right to execute a request that calls another system; `None` for any other
            request, and until `begin_external_call` has stored the attempt.
        page: The hosted page that the answer hands out; `None` if it has none or is undecided yet.
        page_url: The URL of `page`.
        store: The store, with the charges of rate limits made for the request ahead of its commit.
    """

    request: Request
    digest: str
    call: Call
    store: RequestStore
    loaded: Loaded
    loaded_at_commit: int
    attempt: Attempt | None = None
    page: HostedPage | None = None
    page_url: str = ""

    @property
    def now(self) -> datetime:
        """The instant of the last load, by the clock of the worker that runs the request."""
        return self.loaded.now


@attrs.frozen
class FactTransaction:
    """A fact of a simulated world with the values loaded for it, not committed yet.

    Attributes:
        fact: The fact.
        loaded: The loaded values, with the instant of the worker's clock.
    """

    fact: Fact
    loaded: Loaded

    @property
    def now(self) -> datetime:
        """The instant of the load, by the clock of the worker that records the fact."""
        return self.loaded.now


class SimulatedServer:
    """A server that loads, decides and commits in separate steps.

    The methods raise `LawBrokenError` if `watch` finds a broken law, or if the rules raise an
    error, which breaks law 16.

    Args:
        store: The store.
        settings: The settings of the server.
        watch: The `Watch` that observes every commit and answer; `None` to check no laws.
        journal: The logs, one for each app user; each answer is added before it is checked.

    Attributes:
        current_user: Set before each step: the app user to whose log in `journal` the step's
            requests and facts are added; `None` if the step belongs to no app user.
        outbox: The outbox, which gets the messages of every commit.
        shown: The hosted page of the latest answer and its URL; `None` if that answer has no page.
        unrecorded: Set by the caller: authorizations on a page that no fact has recorded yet, by
            the id of the connection. A get of the connection records its authorization.
        conflicts: The number of commits that the store refused because of a conflict.
        facts: The number of judged facts, by kind and outcome.
    """

    def __init__(
        self,
        store: SimulatedClockStore,
        settings: Settings,
        watch: Watch | None,
        journal: Journal,
    ) -> None:
        self._store = store
        self._settings = settings
        self._watch = watch
        self._journal = journal
        self.current_user: AppUser | None = None
        self._not_found: Response | None = None
        self.outbox = SimulatedOutbox()
        self.shown: tuple[HostedPage, str] | None = None
        self._newest_urls: dict[tuple[PageKind, str], str] = {}
        self.unrecorded: dict[ConnectionId, LandedHandoff] = {}
        self.conflicts = 0
        self.facts: Counter[str] = Counter()

    def load(
        self, request: Request, now: datetime, store: RequestStore | None = None
    ) -> OpenRequest | Answer:
        """Read a request and load the values that it needs: the first step of every request.

        Args:
            request: The request.
            now: The instant by the clock of the worker, the process that runs the request.
            store: For a request that starts over, the `store` of the earlier result; else `None`.

        Returns:
            The loaded request for the next step; an answer if it was refused before the load.
        """
        api_key = bearer(request)
        digest = "" if api_key is None else api_key.digest()
        caller = self._store.caller_of(digest)
        call = _without_error(
            lambda: read(request, caller=caller, now=now, settings=self._settings)
        )
        if isinstance(call, Decision):
            answer, self.shown = respond(call), None
            self._log_answer(request, answer, now)
            if self._watch is not None:
                self._watch.observe_response(answer, now, caller=caller)
            return answer
        store = store or RequestStore(self._store)
        call = attrs.evolve(call, charged=True) if store.charges else call
        return OpenRequest(
            request=request,
            digest=digest,
            call=call,
            store=store,
            loaded=self._load(digest, call, now),
            loaded_at_commit=self._commit_count(),
        )

    def commit(self, transaction: OpenRequest, new_ids: NewIds) -> Answer | None:
        """Decide and commit a request that makes no external call: the step after `load`.

        Args:
            transaction: The loaded request that `load` returned.
            new_ids: The ids that the request may use.

        Returns:
            The answer; `None` on a conflict, after which the request must be loaded again.
        """
        answer = self._decide_answer(transaction, transaction.loaded.snapshot, new_ids)
        return self._commit(transaction, answer)

    def begin_external_call(
        self, transaction: OpenRequest, new_ids: NewIds, lease: int, lost_lease: LostLeaseAction
    ) -> Answer | None:
        """Begin a request that calls another system: store its attempt and nothing else.

        The attempt is the right to execute the request: no retry is executed during the call. The
        caller then makes the call, and `finish_external_call` decides and commits the rest.

        Args:
            transaction: The loaded request that `load` returned.
            new_ids: The ids that the request may use.
            lease: How long the attempt keeps the idempotency key, in microseconds.
            lost_lease: EXECUTE to run a retry after the lease has expired, UNKNOWN to refuse it.

        Returns:
            The answer, already committed, if the request needs no attempt, as for a replay. `None`
            otherwise: `transaction.attempt` is now set, or still `None` because of a conflict.
        """
        decision = self._decide(transaction, transaction.loaded.snapshot, new_ids)
        attempt = decision.attempt
        if attempt is None:
            return self._commit(transaction, respond(decision))
        record = in_flight_record(attempt, lease=lease, lost_lease=lost_lease)
        loaded = transaction.loaded
        if self._commit_record(loaded, RecordWrite(attempt.key, loaded.snapshot.record, record)):
            transaction.attempt = attempt
        return None

    def renew_lease(
        self, transaction: OpenRequest, attempt: Attempt, now: datetime, lease: int
    ) -> None:
        """Renew the lease of an attempt during the external call of its request.

        Nothing changes if the attempt has lost its lease, or if the commit meets a conflict.

        Args:
            transaction: The request that `begin_external_call` began.
            attempt: The right to execute the request, as `begin_external_call` began it.
            now: The instant of the worker's clock.
            lease: The length of the new lease in microseconds, from `now` on.
        """
        loaded = self._load_record(transaction.digest, attempt.key, now)
        record = loaded.snapshot.record
        renewed = renew(record, attempt, now, lease=lease)
        if isinstance(renewed, Done):
            self._commit_record(loaded, RecordWrite(attempt.key, record, renewed.value))

    def finish_external_call(
        self, transaction: OpenRequest, attempt: Attempt, now: datetime, new_ids: NewIds
    ) -> Answer | None:
        """Load and decide a request again after its call of another system, and commit it.

        Args:
            transaction: The request that `begin_external_call` began, before the call.
            attempt: The right to execute the request, as `begin_external_call` began it.
            now: The instant of the worker's clock.
            new_ids: The ids that the request may use.

        Returns:
            The answer; `None` if the lease was lost or on a conflict: the client must then retry.
        """
        transaction.loaded_at_commit = self._commit_count()
        transaction.loaded = self._load(transaction.digest, transaction.call, now)
        snapshot = transaction.loaded.snapshot
        record = snapshot.record
        # The record in flight is the attempt's own, and would refuse the request.
        without_record = attrs.evolve(snapshot, record=None)
        answer = self._decide_answer(transaction, without_record, new_ids)
        if is_kept(answer.response.status):
            ended = complete(record, attempt=attempt, response=answer.response, now=now)
        else:
            ended = release(record, attempt, now)
        if isinstance(ended, LeaseLost):
            return None
        others = (each for each in answer.changes.writes if not isinstance(each, RecordWrite))
        writes = (*others, RecordWrite(attempt.key, record, ended.value))
        changes = attrs.evolve(answer.changes, writes=writes)
        return self._commit(transaction, attrs.evolve(answer, changes=changes))

    def load_fact(self, fact: Fact, now: datetime) -> FactTransaction:
        """Load what a fact needs, at a worker's `now`; return the fact with the loaded values."""
        self._store.now = now
        return FactTransaction(fact, self._store.load(fact.needs()))

    def commit_fact(self, transaction: FactTransaction) -> FactAnswer | None:
        """Judge a fact by the values that `load_fact` loaded, and commit its changes.

        Returns:
            The answer; `None` on a conflict, after which the fact must be loaded again. The answer
            to a tombstone includes the sweep, which has been committed, too.
        """
        fact, loaded, now = transaction.fact, transaction.loaded, transaction.now
        answer = _without_error(lambda: record_fact(fact, loaded.snapshot, now))
        if isinstance(answer, Done) and not self._commit_changes(loaded, answer.value):
            return None
        if self.current_user is not None:
            self._journal.add(self.current_user, now, fact)
        if isinstance(answer, Done):
            self._check_page(fact)
            if isinstance(fact, Tombstoned):
                swept = _without_error(lambda: sweep_now(self._store, fact.coordinate))
                self.outbox.post(swept, now)
                answer = attrs.evolve(answer, value=answer.value + swept)
        outcome = type(answer).__name__.lower()
        if isinstance(answer, Refused):
            outcome = f"{status_of(answer.problem)} {answer.problem.code}"
        self.facts[f"{type(fact).__name__} {outcome}"] += 1
        if self._watch is not None:
            self._watch.observe_fact(answer, now)
        return answer

    def decide_access(
        self, caller: Caller, connection_id: ConnectionId, package: str, now: datetime
    ) -> str:
        """Decide whether a caller may read a data package over a connection.

        Args:
            caller: The caller.
            connection_id: The id of the connection.
            package: The data package.
            now: The current instant.

        Returns:
            "200" if access is granted; "404" if the caller owns no connection with this id;
            otherwise the status and the reason of the denial, with a space between them.
        """
        self._store.now = now
        snapshot = self._store.load(Needs(connection=connection_id)).snapshot
        connection = snapshot.connection
        if connection is None or not caller.owns(connection.identity.coordinate):
            return str(_NOT_FOUND)
        decision = decide_access(connection, package, now, era=present_era(snapshot.binding))
        if self._watch is not None:
            self._watch.observe_access_decision(connection_id, package, now, decision=decision)
        if isinstance(decision, Granted):
            return "200"
        return f"{status_of(decision.problem)} {decision.reason}"

    def resolve_attempt(self, key: RecordKey, now: datetime, *, took_effect: bool) -> None:
        """Record how a request ended whose worker died during its execution, as an operator does.

        Args:
            key: The key of the request's idempotency record. Nothing happens unless that record is
                in flight and its lease has expired.
            now: The current instant.
            took_effect: True to record that the request took effect. Its response is unknown, so
                the latest 404 that this server sent to any request is stored instead. If False, or
                without such a 404, the record says that the request had no effect.
        """
        loaded = self._load_record("", key, now)
        response = self._not_found if took_effect else None
        self._commit_upkeep(loaded, resolve(loaded.snapshot.record, now, response=response))

    def erase_response(self, key: RecordKey, now: datetime) -> None:
        """Erase the stored response of an idempotency key, as an operator does.

        Args:
            key: The key of the idempotency record; if there is no such record, nothing happens.
            now: The current instant.
        """
        loaded = self._load_record("", key, now)
        self._commit_upkeep(loaded, forget(loaded.snapshot.record, now))

    @property
    def has_settable_clock(self) -> bool:
        """True if the store's clock can follow the simulated one."""
        return self._store.has_settable_clock

    def limit_purge_to(self, now: datetime) -> None:
        """Let the store drop only values that had expired at `now`; `purge` sets another instant.

        The simulation makes the clocks of its workers wrong. With the earliest of them as `now`,
        the store drops no value that is live for a worker.
        """
        self._store.limit_purge_to(now)

    def purge(self, now: datetime) -> int:
        """Purge the store; the `Watch`, which checks the laws, forgets expired idempotency keys.

        Args:
            now: The instant to judge expiry at. No worker's clock may be behind `now`.

        Returns:
            The number of dropped values; 0 if the store does not report it or cannot be purged.
        """
        if self._watch is not None:
            self._watch.purge(now)
        return self._store.purge(now)

    def _load(self, digest: str, call: Call, now: datetime) -> Loaded:
        self._store.now = now
        loaded = self._store.load(call.needs, digest)
        operation = call.operation
        if not isinstance(operation, GetConnection):
            return loaded
        landed = self.unrecorded.get(operation.connection_id)
        if landed is None:
            return loaded
        # A clock that ran ahead may have reported the landing, and has been put right since.
        landed = attrs.evolve(landed, happened_at=min(landed.happened_at, now))
        return attrs.evolve(loaded, snapshot=attrs.evolve(loaded.snapshot, landed_handoff=landed))

    def _decide(self, transaction: OpenRequest, snapshot: Snapshot, new_ids: NewIds) -> Decision:
        call, now = transaction.call, transaction.now
        return _without_error(lambda: decide(call, snapshot=snapshot, now=now, new_ids=new_ids))

    def _decide_answer(
        self, transaction: OpenRequest, snapshot: Snapshot, new_ids: NewIds
    ) -> Answer:
        decision = self._decide(transaction, snapshot, new_ids)
        transaction.page = hosted_page_for(transaction.call, decision.reply, snapshot.binding)
        transaction.page_url = new_ids.next_action.url
        return _without_error(lambda: respond(decision))

    def _commit(self, transaction: OpenRequest, answer: Answer) -> Answer | None:
        page, self.shown, store = transaction.page, None, transaction.store
        earlier = store.charges
        if (answer.changes.writes or page is not None or earlier) and not self._commit_changes(
            transaction.loaded, answer.changes, page=page, store=store
        ):
            charges = store.charges[len(earlier) :]
            if charges and self._watch is not None:
                self._watch.observe_commit(charges, transaction.now)
            return None
        if page is not None:
            self.shown = page, transaction.page_url
            self._newest_urls[page.kind, page.subject] = transaction.page_url
        self._log_answer(transaction.request, answer, transaction.now)
        if self._watch is not None:
            self._watch.observe_response(
                answer,
                transaction.now,
                caller=transaction.call.caller,
                needs=transaction.call.needs,
                loaded_at_commit=transaction.loaded_at_commit,
            )
        if answer.response.status == _NOT_FOUND:
            self._not_found = answer.response
        return answer

    def _log_answer(self, request: Request, answer: Answer, now: datetime) -> None:
        if self.current_user is not None:
            self._journal.add_answer(self.current_user, now, request, answer=answer)

    def _load_record(self, digest: str, key: RecordKey, now: datetime) -> Loaded:
        self._store.now = now
        return self._store.load(Needs(record=key), digest)

    def _commit_upkeep(
        self, loaded: Loaded, outcome: Done[Record] | Ignored[Record | None]
    ) -> None:
        if isinstance(outcome, Done):
            after = outcome.value
            self._commit_record(loaded, RecordWrite(after.key, loaded.snapshot.record, after))

    def _commit_record(self, loaded: Loaded, write: RecordWrite) -> bool:
        changes = Changes((write,))
        if not self._commit_changes(loaded, changes):
            return False
        if self._watch is not None:
            self._watch.observe_commit(changes.writes, loaded.now)
        return True

    def _check_page(self, fact: Fact) -> None:
        subject = fact.page_key()
        if fact.page_url is None or subject is None:
            return
        if self._newest_urls.get(subject) != fact.page_url:
            what = f"the fact {fact.kind} of a hosted page that was replaced was recorded"
            raise RuleBrokenError(what, f"{subject[0]} {subject[1]}")

    def _commit_changes(
        self,
        loaded: Loaded,
        changes: Changes,
        page: HostedPage | None = None,
        store: RequestStore | None = None,
    ) -> bool:
        accepted = (store or self._store).commit(loaded, changes, page)
        self.conflicts += not accepted
        if accepted:
            self.outbox.post(changes, loaded.now)
        return accepted

    def _commit_count(self) -> int:
        return 0 if self._watch is None else self._watch.commit_count


def _without_error(rule: Callable[[], _Result]) -> _Result:
    try:
        return rule()
    except StoreUnavailableError:
        raise
    except Exception as error:
        kind = type(error).__name__
        raise LawBrokenError(
            16, f"the rules raised {kind}: {error}", "a request or a fact"
        ) from error
