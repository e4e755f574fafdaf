"""The embedded default: a whole store in memory, thread-safe and bounded.

The laws of this module: **a write is stored only where what it replaces is what was read**,
all writes of a decision or none; **nothing live is ever evicted**: where a customer account is
full, what is new is refused to that account alone, and a value is dropped five minutes after its
own deadline, never before.

It shows what any store has to do: load by key, compare, set.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from threading import Event, RLock
from typing import Final

import attrs

from curae_lifecycle.rules.access import AccessDecision, decide_access
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import RETENTION, Record, RecordKey, record_expires_at
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import Bucket, Policy, RateState, state_expires_at
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import (
    LAST_INSTANT,
    ConnectionId,
    Coordinate,
    SessionId,
    check_instant,
    later,
)
from curae_lifecycle.service import changes
from curae_lifecycle.service.call import Decision, refused
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide, needs
from curae_lifecycle.service.facts import fact as facts
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import Needs, NewIds, Snapshot
from curae_lifecycle.stores.accounts import (
    Accounts,
    ChainKey,
    Held,
    Owner,
    SessionKey,
    ended_at,
    is_over,
    owner,
)
from curae_lifecycle.stores.clock import utc_now
from curae_lifecycle.stores.contract import Loaded, LoadedCall, LoadedFact, StoreFullError
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
        self._keep_over = None if keep_over is None else _checked(keep_over)
        self.clock = clock
        self._deliver = deliver
        self._lock = RLock()
        self._pause = Event()
        self._callers: dict[str, Caller] = {}
        self._connections: dict[ConnectionId, Connection] = {}
        self._successors: dict[ConnectionId, Connection] = {}
        self._heads: dict[ConnectionId, Connection] = {}
        self._of_user: dict[Coordinate, dict[ConnectionId, Connection]] = {}
        self._sessions: dict[SessionId, CuraeConnectSession] = {}
        self._bindings: dict[Coordinate, LimitedAccountAppBinding] = {}
        self._records: dict[RecordKey, Record] = {}
        self._rates: dict[changes.RateKey, tuple[RateState, Policy]] = {}
        self._pages = Pages()
        self._accounts = Accounts(capacity, self._kept_until, self._drop)
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
            self._accounts.drop_buckets()

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
            return self._bindings.get(coordinate)

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
        call = read(request, self.caller(bearer(request)), now, self._settings)
        if isinstance(call, Decision):
            return respond(call)
        self._tidy(now, owner(call.caller))
        asked = needs(call)
        while True:
            answer = respond(decide(call, self.load(asked), now, new_ids))
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
                connection, successor, head = self._line(asked.connection)
            return Snapshot(
                self._records.get(asked.record) if asked.record else None,
                tuple([self._rate(key) for key in asked.buckets]) if asked.buckets else (),
                self._rate(asked.limit) if asked.limit else None,
                connection,
                successor,
                head,
                self._bindings.get(asked.binding) if asked.binding else None,
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
            for write in writes:
                if not self._is_current(write):
                    return False
            new = [write for write in writes if write.before is None]
            if new:
                self._accounts.check_room(new)
            for write in writes:
                if write.before is None:
                    self._accounts.add(write, self._due(write))
                self._set(write)
            return True

    def caller_of(self, digest: str) -> Caller | None:
        """Whom an API key stands for, by its digest; `None` for an unknown one."""
        return self._callers.get(digest)

    def for_call(self, digest: str, needs: Needs) -> LoadedCall:
        """The caller, and everything that a call of theirs needs, read at one moment."""
        with self._lock:
            now, caller = self.clock(), self.caller_of(digest)
            self._tidy(now, owner(caller) if caller else None)
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
        batches, dropped = self._accounts.purge_all(now), 0
        while True:
            with self._lock:
                gone, may_go_on = next(batches)
            dropped += gone
            if not may_go_on:
                return dropped
            # Who lets go of a lock and asks again at once has it again, whoever waits.
            self._pause.wait(PAUSE)

    def _tidy(self, now: datetime, own: Owner | None = None) -> None:
        check_instant("now", now)
        with self._lock:
            self._instants.append(now)
            trusted = min(self._instants)
            self._pages.drop_over(trusted)
            self._accounts.tidy(trusted, own)

    # --- What is loaded -----------------------------------------------------------------------

    def _rate(self, key: changes.RateKey) -> RateState | None:
        row = self._rates.get(key)
        return None if row is None else row[0]

    def _line(
        self, connection_id: ConnectionId | None
    ) -> tuple[Connection | None, Connection | None, Connection | None]:
        connection = self._connections.get(connection_id) if connection_id else None
        successor = self._successors.get(connection.id) if connection else None
        head = self._heads[connection.identity.root_id] if connection and successor else None
        return connection, successor, head

    def _fact_snapshot(self, asked: facts.FactNeeds) -> facts.FactSnapshot:
        connection, successor, head = self._line(asked.connection or asked.chain)
        session = self._sessions.get(asked.session) if asked.session else None
        coordinate = session.coordinate if session else asked.binding
        user = self._of_user.get(asked.connections, {}) if asked.connections else {}
        return facts.FactSnapshot(
            connection,
            successor,
            head,
            self._following(connection) if asked.chain else (),
            session,
            self._bindings.get(coordinate) if coordinate else None,
            tuple(user.values()),
        )

    def _following(self, connection: Connection | None) -> tuple[Connection, ...]:
        following: list[Connection] = []
        while connection is not None:
            connection = self._successors.get(connection.id)
            if connection is not None:
                following.append(connection)
        return tuple(following)

    # --- What is stored -----------------------------------------------------------------------

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

    def _is_current(self, write: changes.Write) -> bool:
        # What is most often written comes first, here and in `_set`; and what was loaded here is
        # the very value, so few are compared.
        before = write.before
        if isinstance(write, changes.RateWrite):
            held: object = self._rate(write.key)
        elif isinstance(write, changes.RecordWrite):
            held = self._records.get(write.key)
        elif isinstance(write, changes.SessionWrite):
            held = self._sessions.get(write.after.id)
        elif isinstance(write, changes.BindingWrite):
            held = self._bindings.get(write.after.coordinate)
        else:
            identity = write.after.identity
            held = self._connections.get(identity.id)
            if before is None and identity.predecessor_id in self._successors:
                return False
        return held is before or held == before

    def _set(self, write: changes.Write) -> None:
        if isinstance(write, changes.RateWrite):
            self._rates[write.key] = write.after, write.policy
        elif isinstance(write, changes.RecordWrite):
            self._records[write.key] = write.after
        elif isinstance(write, changes.SessionWrite):
            self._sessions[write.after.id] = write.after
        elif isinstance(write, changes.BindingWrite):
            self._bindings[write.after.coordinate] = write.after
        else:
            self._set_connection(write.after)

    def _set_connection(self, after: Connection) -> None:
        identity = after.identity
        self._connections[identity.id] = after
        self._of_user.setdefault(identity.coordinate, {})[identity.id] = after
        if identity.predecessor_id is not None:
            self._successors[identity.predecessor_id] = after
        head = self._heads.get(identity.root_id)
        if head is None or head.identity.position <= identity.position:
            self._heads[identity.root_id] = after

    # --- What is over -------------------------------------------------------------------------

    def _due(self, write: changes.Write) -> tuple[datetime, Held] | None:
        # From when on a new value may be over, if it is ever dropped: a tombstone never is.
        if isinstance(write, changes.RateWrite):
            return write.expires_at, write.key
        if isinstance(write, changes.RecordWrite):
            return record_expires_at(write.after), write.key
        if self._keep_over is None or isinstance(write, changes.BindingWrite):
            return None
        if isinstance(write, changes.SessionWrite):
            return self._kept(write.after.expires_at), SessionKey(write.after.id)
        root_id = write.after.identity.root_id
        if root_id in self._heads:
            return None
        return self._kept(write.after.updated_at), ChainKey(root_id)

    def _kept_until(self, held: Held, now: datetime) -> datetime | None:
        # None: it is over.
        match held:
            case ChainKey():
                return self._chain_kept_until(held, now)
            case SessionKey(session_id):
                deadline = self._kept(self._sessions[session_id].expires_at)
            case RecordKey():
                deadline = record_expires_at(self._records[held])
            case _:
                state, policy = self._rates[held]
                deadline = state_expires_at(policy, state) or LAST_INSTANT
        return None if is_over(deadline, now) else deadline

    def _chain_kept_until(self, chain: ChainKey, now: datetime) -> datetime | None:
        # What ends earlier than it would by itself ends by a write after `now`, so it is soon
        # enough to look again after as long as what is over is kept.
        again = self._kept(now)
        for each in self._backwards(chain):
            ended = ended_at(each)
            deadline = again if ended is None else self._kept(ended)
            if not is_over(deadline, now):
                return min(deadline, again)
        return None

    def _kept(self, over: datetime) -> datetime:
        assert self._keep_over is not None  # noqa: S101 - nothing is noted down where all is kept
        return later(over, self._keep_over)

    def _backwards(self, chain: ChainKey) -> Iterator[Connection]:
        # The head comes first: it is what lives longest.
        each: Connection | None = self._heads[chain.root_id]
        while each is not None:
            yield each
            predecessor = each.identity.predecessor_id
            each = self._connections.get(predecessor) if predecessor else None

    def _drop(self, held: Held) -> int:
        match held:
            case ChainKey(root_id):
                dropped = list(self._backwards(held))
                for each in dropped:
                    self._drop_connection(each)
                del self._heads[root_id]
                return len(dropped)
            case SessionKey(session_id):
                del self._sessions[session_id]
            case RecordKey():
                del self._records[held]
            case _:
                del self._rates[held]
        return 1

    def _drop_connection(self, connection: Connection) -> None:
        identity = connection.identity
        del self._connections[identity.id]
        if identity.predecessor_id is not None:
            del self._successors[identity.predecessor_id]
        of_user = self._of_user[identity.coordinate]
        del of_user[identity.id]
        if not of_user:
            del self._of_user[identity.coordinate]


def _checked(keep_over: timedelta) -> int:
    span = keep_over // timedelta(microseconds=1)
    if span < RETENTION:
        raise ArgumentError("keep_over", "at least 24 hours, as long as an answer is replayed")
    return span
