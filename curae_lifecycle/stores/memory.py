"""The embedded default: a whole store in memory, thread-safe and bounded.

The laws of this module: **a write is stored only where what it replaces is what was read**,
all writes of a decision or none; **nothing live is ever evicted**: where a customer account is
full, what is new is refused to that account alone, and a value is dropped five minutes after its
own deadline, never before.

It shows what any store has to do: load by key, compare, set.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event, RLock
from typing import Final, cast

import attrs

from curae_lifecycle.rules.access import AccessDecision, decide_access
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import RETENTION
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import ConnectionId, Coordinate, SessionId, check_instant
from curae_lifecycle.service import changes
from curae_lifecycle.service.call import Decision, refused
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide, needs
from curae_lifecycle.service.facts import fact as facts
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs, NewIds, Snapshot
from curae_lifecycle.stores.accounts import Accounts, AnyKept
from curae_lifecycle.stores.clock import utc_now
from curae_lifecycle.stores.contract import (
    Loaded,
    LoadedCall,
    LoadedFact,
    StoreFullError,
    unbound,
)
from curae_lifecycle.stores.kept import (
    Bindings,
    Connections,
    Kind,
    Owner,
    Rates,
    Records,
    Sessions,
)
from curae_lifecycle.stores.pages import HostedPage, Pages
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, bearer
from curae_lifecycle.web.respond import Answer, respond

DEFAULT_CAPACITY: Final = 100_000
"""How many values of one kind a customer account may hold, where nothing else is said [O]."""

PAUSE: Final = 0.0001
"""For how many seconds a purge of all lets others have the store, a thousand values apart."""

_CLOCKS: Final = 16
"""How many instants must agree before a request drops anything."""

_NO_LINE: Final = None, None, None


class MemoryStore:
    """Callers, connections, sessions, bindings, records and rate limits, in one process.

    Requests and facts drop what is over by themselves, a few values each: of their own account,
    and of the account whose turn it is. They go by the earliest of the latest sixteen instants
    that they were handled at, so that one clock far ahead drops nothing that others still need.

    Args:
        settings: What the server chose.
        capacity: How many values of each kind a customer account may hold, test and live apart.
        keep_over: How long sessions are kept that are over, and chains of which every connection
            is over (REVOKED, EXPIRED or LAPSED); at least a day, so that a replay names nothing
            that is gone. `None` keeps them all.
        clock: Tells the instant of what `for_call` and `for_fact` load.
        deliver: Is given the effects and events of each `commit`, in their order, while the store
            is locked: it puts them into a queue. No outbox in memory outlives the process.

    Attributes:
        clock: As above; it may be set.
    """

    def __init__(
        self,
        settings: Settings = DEFAULT_SETTINGS,
        *,
        capacity: int = DEFAULT_CAPACITY,
        keep_over: timedelta | None = None,
        clock: Callable[[], datetime] = utc_now,
        deliver: Callable[[Changes], None] | None = None,
    ) -> None:
        self._settings = settings
        self.clock = clock
        self._deliver = deliver
        self._lock = RLock()
        self._pause = Event()
        self._callers: dict[str, Caller] = {}
        span = None if keep_over is None else _checked(keep_over)
        self._connections, self._sessions = Connections(span), Sessions(span)
        self._bindings, self._records, self._rates = Bindings(), Records(), Rates()
        kinds = self._rates, self._records, self._sessions, self._bindings, self._connections
        # What is found by the type of a write is asked about such writes alone.
        self._by_kind: dict[Kind, AnyKept] = {each.kind: cast("AnyKept", each) for each in kinds}
        self._pages = Pages()
        self._accounts = Accounts(capacity)
        self._instants: deque[datetime] = deque(maxlen=_CLOCKS)

    @property
    def settings(self) -> Settings:
        """What the server chose."""
        return self._settings

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        """Let an API key stand for a caller; registering again replaces."""
        self._callers[api_key.digest()] = caller

    def replace_buckets(self, buckets: tuple[Bucket, ...]) -> None:
        """Replace the platform's buckets; the new ones are full."""
        with self._lock:
            self._settings = attrs.evolve(self._settings, buckets=buckets)
            self._accounts.drop_buckets(self._rates)

    def caller(self, api_key: ApiKey | None) -> Caller | None:
        """Whom an API key stands for; `None` for no key or an unknown one."""
        return None if api_key is None else self._callers.get(api_key.digest())

    def connection(self, connection_id: ConnectionId) -> Connection | None:
        """A connection as stored, all of the commit that stored it being there."""
        with self._lock:
            return self._connections.get(connection_id)

    def session(self, session_id: SessionId) -> CuraeConnectSession | None:
        """A session as stored, all of the commit that stored it being there."""
        with self._lock:
            return self._sessions.get(session_id)

    def binding(self, coordinate: Coordinate) -> LimitedAccountAppBinding | None:
        """A binding as stored, all of the commit that stored it being there."""
        with self._lock:
            return self._bindings.of(coordinate)

    def handle(self, request: Request, now: datetime, new_ids: NewIds | None = None) -> Answer:
        """Answer a request and store what it decides.

        Args:
            request: The request.
            now: The instant of the request.
            new_ids: Ids and a next action; a mutation needs them, a read does not.

        Returns:
            The answer, its changes stored. Where the caller's account is full it is `INTERNAL`,
            and nothing is stored.

        Raises:
            ArgumentError: `now` is no UTC instant, or `new_ids` is missing, stale or in use.
        """
        call = read(request, caller=self.caller(bearer(request)), now=now, settings=self._settings)
        if isinstance(call, Decision):
            return respond(call)
        self._tidy(now, call.caller)
        asked = needs(call)
        while True:
            answer = respond(decide(call, snapshot=self.load(asked), now=now, new_ids=new_ids))
            try:
                if self.store(answer.changes.writes):
                    return answer
                self._check_fresh(answer.changes.writes)
            except StoreFullError:
                return respond(refused(refuse_at(Gate.ROOM), now, self._settings))

    def record(self, fact: facts.Fact, now: datetime) -> facts.FactAnswer:
        """Record a fact at `now`, and store what follows.

        Raises:
            ArgumentError: An instant out of order or not UTC.
            StoreFullError: A new binding found no room in its account.
        """
        self._tidy(now)
        while True:
            answer = facts.record_fact(fact, self.load_fact(fact), now)
            if not isinstance(answer, Done) or self.store(answer.value.writes):
                return answer

    def ask(
        self, connection_id: ConnectionId, package: str, now: datetime
    ) -> AccessDecision | None:
        """Whether a package may be read over a connection at `now`; `None` for an unknown id."""
        connection = self.connection(connection_id)
        return None if connection is None else decide_access(connection, package, now)

    def load(self, asked: Needs) -> Snapshot:
        """Everything that a call needs, read at one moment."""
        with self._lock:
            connection = successor = head = None
            if asked.connection:
                connection, successor, head = self._connections.line(asked.connection)
            return Snapshot(
                record=self._records.of(asked.record) if asked.record else None,
                buckets=tuple([self._rates.of(key) for key in asked.buckets])
                if asked.buckets
                else (),
                limit=self._rates.of(asked.limit) if asked.limit else None,
                connection=connection,
                successor=successor,
                head=head,
                binding=self._bindings.of(asked.binding) if asked.binding else None,
            )

    def load_fact(self, fact: facts.Fact) -> facts.FactSnapshot:
        """Everything that a fact concerns, read at one moment."""
        with self._lock:
            return self._fact_snapshot(facts.fact_needs(fact))

    def store(self, writes: tuple[changes.Write, ...]) -> bool:
        """Compare and set, all or nothing.

        Returns:
            Whether everything was as it was read. `False`: load again and decide again.

        Raises:
            StoreFullError: A new value found no room in its account; nothing was stored.
        """
        with self._lock:
            placed: list[tuple[AnyKept, object, Owner, changes.Write]] = []
            new: list[tuple[Owner, Kind]] = []
            for write in writes:
                kept = self._by_kind[type(write)]
                key, held, owner = kept.place(write)
                before = write.before
                # What was loaded here is the very value, so few are compared.
                if held is not before and held != before:
                    return False
                if before is None:
                    new.append((owner, kept.kind))
                placed.append((kept, key, owner, write))
            if self._is_bound_since(writes):
                return False
            if new:
                self._accounts.take_room(new)
            for kept, key, owner, write in placed:
                due = kept.set(key, write)
                if due is not None:
                    self._accounts.note(owner, kept, *due)
            return True

    def _is_bound_since(self, writes: tuple[changes.Write, ...]) -> bool:
        coordinate = unbound(writes)
        return coordinate is not None and self._bindings.of(coordinate) is not None

    def caller_of(self, digest: str) -> Caller | None:
        """Whom an API key stands for, by its digest; `None` for an unknown one."""
        return self._callers.get(digest)

    def for_call(self, digest: str, needs: Needs) -> LoadedCall:
        """The caller, and everything that a call of theirs needs, read at one moment."""
        with self._lock:
            now, caller = self.clock(), self.caller_of(digest)
            self._tidy(now, caller)
            return LoadedCall(caller, self.load(needs), now)

    def for_fact(self, needs: facts.FactNeeds) -> LoadedFact:
        """Everything that a fact concerns, read at one moment."""
        with self._lock:
            now = self.clock()
            self._tidy(now)
            return LoadedFact(self._fact_snapshot(needs), now)

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Compare and set, all or nothing; then deliver effects and events.

        Raises:
            StoreFullError: A new value found no room in its account; nothing was stored.
        """
        del loaded
        with self._lock:
            if not self.store(changes.writes):
                return False
            if page is not None:
                self._pages.open(page)
            if self._deliver is not None and (changes.effects or changes.events):
                self._deliver(changes)
        return True

    def page(self, url: str) -> HostedPage | None:
        """What a URL leads to; `None` for one that is unknown or over."""
        with self._lock:
            return self._pages.find(url, self.clock())

    def purge(self, now: datetime | None = None, most: int | None = None) -> int:
        """Drop what is well over, account by account, and return how many values that were.

        A record, a rate limit or a hosted page is dropped five minutes after its deadline, a chain
        or a session five minutes after it was over for `keep_over`. Pages are not counted.

        Args:
            now: An instant that no clock in use is more than five minutes behind; that of the
                store's own clock by default.
            most: How many values and accounts are looked at, so that nobody waits long; a chain
                counts as one. The next call goes on with the next account. `None` for all, a
                thousand at a time: others have their turn in between.
        """
        now = self.clock() if now is None else now
        check_instant("now", now)
        with self._lock:
            self._pages.drop_over(now)
            if most is not None:
                return self._accounts.purge(now, most)
            if not self._accounts.may_be_over(now):
                return 0
        batches, dropped = self._accounts.purge_all(now), 0
        while True:
            with self._lock:
                gone, may_go_on = next(batches)
            dropped += gone
            if not may_go_on:
                return dropped
            # Who lets go of a lock and asks again at once has it again, whoever waits.
            self._pause.wait(PAUSE)

    def _tidy(self, now: datetime, caller: Caller | None = None) -> None:
        check_instant("now", now)
        with self._lock:
            self._instants.append(now)
            # What is not over by now is not over by any earlier instant.
            if self._accounts.may_be_over(now) or self._pages.may_be_over(now):
                trusted = min(self._instants)
                self._pages.drop_over(trusted)
                own = (caller.environment, caller.customer_account_id) if caller else None
                self._accounts.tidy(trusted, own)

    def _fact_snapshot(self, asked: facts.FactNeeds) -> facts.FactSnapshot:
        about = asked.connection or asked.chain
        line = self._connections.line(about) if about else _NO_LINE
        session = self._sessions.get(asked.session) if asked.session else None
        coordinate = session.coordinate if session else asked.binding
        return facts.FactSnapshot(
            *line,
            self._connections.following(line[0]) if asked.chain and line[0] else (),
            session,
            self._bindings.of(coordinate) if coordinate else None,
            self._connections.of_user(asked.connections) if asked.connections else (),
        )

    def _check_fresh(self, writes: tuple[changes.Write, ...]) -> None:
        # Deciding again cannot help where an id that should be fresh belongs to another value.
        for write in writes:
            match write:
                case changes.ConnectionWrite(None, after) if self.connection(after.id):
                    raise ArgumentError("new_ids.connection_id", "an id that is not in use")
                case changes.SessionWrite(None, after) if self.session(after.id):
                    raise ArgumentError("new_ids.session_id", "an id that is not in use")
                case _:
                    pass


def _checked(keep_over: timedelta) -> int:
    span = keep_over // timedelta(microseconds=1)
    if span < RETENTION:
        raise ArgumentError("keep_over", "at least 24 hours, as long as an answer is replayed")
    return span
