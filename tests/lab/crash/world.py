"""The sequential specification: a world in which one operation comes after the other.

The law of this module: **`decide` and `record_fact` define each operation**; this module only
loads their input and applies their result.

Buckets are left out: they belong to an API key, not to a user, and are judged separately. After a
tombstone the loop sweeps in commits of its own, which are no part of the operation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final

import attrs

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, Connection, Status
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.idempotency import Record
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT, LogState
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import (
    ConnectionId,
    Coordinate,
    SessionId,
    UserId,
    parse_time,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.rate_keys import LimitKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs, NewIds, Snapshot
from curae_lifecycle.service.sweep import sweep_changes, swept_changes
from curae_lifecycle.service.writes import (
    BindingWrite,
    ConnectionWrite,
    PageWrite,
    RateWrite,
    RecordWrite,
    SessionWrite,
    Write,
)
from curae_lifecycle.stores.codec import Storable
from curae_lifecycle.stores.keys import coordinate_key, key_of, rate_key, record_key
from curae_lifecycle.stores.outbox import messages
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import respond

Place = tuple[str, str]
"""The kind of a value, and its key."""

Posted = tuple[str, dict[str, Json]]
"""A message of the outbox: its kind and its document."""

_MINUTE: Final = timedelta(minutes=1)
_EVENTS: Final = frozenset(map(str, EventKind))
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
RULES: Final = Settings()
"""The settings of the servers, without their buckets."""


@attrs.frozen(eq=False)
class Rest:
    """One user's part of a database at rest.

    Attributes:
        values: The stored values.
        posted: The messages posted since the last rest in order, by the key of their subject.
    """

    values: Mapping[Place, Storable] = attrs.field(factory=dict)
    posted: Mapping[str, Sequence[Posted]] = attrs.field(factory=dict)

    @cached_property
    def connections(self) -> Sequence[Connection]:
        """The connections of the user."""
        return [each for each in self.values.values() if isinstance(each, Connection)]


@attrs.frozen(eq=False)
class World:
    """The values after some operations.

    Attributes:
        base: The values before the first of them.
        moved: The values that they stored.
        posted: The number of messages that they posted, by the key of the subject.
    """

    base: Rest
    moved: Mapping[Place, Storable] = attrs.field(factory=dict)
    posted: Mapping[str, int] = attrs.field(factory=dict)

    def mark(self) -> tuple[object, ...]:
        """Return a key that equal worlds share."""
        return frozenset(self.moved.items()), frozenset(self.posted.items())

    def find(self, place: Place) -> Storable | None:
        """Return the value at a place."""
        found = self.moved.get(place)
        return self.base.values.get(place) if found is None else found

    def is_at(self, rest: Rest) -> bool:
        """Return whether a database at rest holds exactly this world."""
        if len(self.base.values.keys() | self.moved.keys()) != len(rest.values):
            return False
        if any(self.find(place) != value for place, value in rest.values.items()):
            return False
        return all(self.posted.get(key, 0) == len(each) for key, each in rest.posted.items())

    def differences(self, rest: Rest) -> tuple[str, ...]:
        """Return what a database at rest holds otherwise than this world."""
        places = sorted(self.base.values.keys() | self.moved.keys() | rest.values.keys())
        values = [
            f"{place}: {self.find(place)!r} is {rest.values.get(place)!r}"
            for place in places
            if self.find(place) != rest.values.get(place)
        ]
        keys = sorted(self.posted.keys() | rest.posted.keys())
        told = [
            f"{key}: {self.posted.get(key, 0)} of {len(rest.posted.get(key, ()))} messages"
            for key in keys
            if self.posted.get(key, 0) != len(rest.posted.get(key, ()))
        ]
        return (*values, *told)

    def after(self, changes: Changes, rest: Rest) -> World | None:
        """Return the world with these changes; None if the outbox at rest contradicts them."""
        posted = dict(self.posted)
        for message in messages(changes, RULES):
            subject = key_of(message.subject)
            number = posted.get(subject, 0)
            seen = rest.posted.get(subject, ())
            if number >= len(seen) or seen[number] != (message.kind, message.document):
                return None
            posted[subject] = number + 1
        moved = dict(self.moved)
        for write in changes.writes:
            place = place_of(write)
            if self.find(place) != write.before:
                return None
            if isinstance(write.after, LogState) and not _is_logged(write.after, rest, place):
                return None
            if write.before is None and not _is_made_so(write.after, rest.values.get(place)):
                return None
            moved[place] = write.after
        return World(self.base, moved, posted)

    def sweep_batches(self, rest: Rest) -> Iterator[Changes]:
        """Yield the commits of a sweep after a tombstone that the outbox at rest allows next.

        The loop revokes ACTIVE connections first, then all. A connection that arrives late may miss
        a batch, so a batch holds only those whose revocation the outbox tells next.
        """
        for binding in self._unswept():
            told = {each: self._next_revocation(each, rest) for each in self._ended_by(binding)}
            instants = sorted({now for now in told.values() if now is not None})
            for now in instants:
                batch = [each for each, at in told.items() if at is not None and at >= now]
                same = [each for each in batch if told[each] == now]
                active = [each for each in same if each.status is Status.ACTIVE]
                # A connection that was written later than the sweep's clock keeps that instant.
                for connections in {tuple(active), tuple(same), tuple(batch)} - {()}:
                    yield sweep_changes(binding, connections, now)

    def sweep_ends(self, *, is_done: bool) -> Iterator[Changes]:
        """Yield the ends of sweeps: of those that left nothing to revoke, or of the others.

        A connection that arrives late may miss the sweep, so the sweep may end at any time.
        """
        for binding in self._unswept():
            if is_done == (not self._ended_by(binding)):
                yield swept_changes(binding)

    def _unswept(self) -> Iterator[LimitedAccountAppBinding]:
        return (each for each in self._bindings() if not each.swept)

    def _ended_by(self, binding: LimitedAccountAppBinding) -> list[Connection]:
        # What a tombstone ended and no row says yet.
        return [
            each
            for each in self._page(binding.coordinate)
            if each.identity.era != binding.era and each.revoked_at is None
        ]

    def _next_revocation(self, connection: Connection, rest: Rest) -> datetime | None:
        # The instant of the revocation that the outbox tells next of the connection.
        key = key_of(connection.id)
        for kind, document in rest.posted.get(key, ())[self.posted.get(key, 0) :]:
            if kind in _EVENTS:
                is_revoked = kind == EventKind.CONNECTION_REVOKED
                return parse_time("at", document["at"]) if is_revoked else None
        return None

    def _bindings(self) -> Iterator[LimitedAccountAppBinding]:
        for place in {*self.base.values, *self.moved}:
            found = self.find(place)
            if isinstance(found, LimitedAccountAppBinding):
                yield found

    # --- Loads --------------------------------------------------------------------------------

    def snapshot(self, asked: Needs) -> Snapshot:
        """Return what a store loads for these needs."""
        connection, successor, head = self._line(asked.connection)
        following: tuple[Connection, ...] = ()
        if asked.chain is not None:
            connection = self.connection(asked.chain)
            following = () if connection is None else tuple(self._later(connection))
        session = None if asked.session is None else self._session(asked.session)
        page = asked.connections
        user = asked.binding
        if session is not None:
            user = session.coordinate
        elif connection is not None:
            user = connection.identity.coordinate
        elif page is not None:
            user = page.coordinate
        return Snapshot(
            record=self._record(asked),
            limit=None if asked.limit is None else self.log(asked.limit),
            connection=connection,
            successor=successor,
            head=head,
            following=following,
            session=session,
            binding=None if user is None else self._binding(user),
            connections=() if page is None else self._page(page.coordinate),
        )

    def _page(self, coordinate: Coordinate) -> tuple[Connection, ...]:
        theirs = [each for each in self._connections() if each.identity.coordinate == coordinate]
        return tuple(sorted(theirs, key=lambda each: each.id))

    def log(self, key: LimitKey) -> LogState | None:
        """Return the log of a limit."""
        found = self.find((LogState.__name__, rate_key(key)))
        return found if isinstance(found, LogState) else None

    def connection(self, connection_id: ConnectionId) -> Connection | None:
        """Return a connection by its id."""
        found = self.find((Connection.__name__, connection_id))
        return found if isinstance(found, Connection) else None

    def _record(self, asked: Needs) -> Record | None:
        found = None
        if asked.record is not None:
            found = self.find((Record.__name__, record_key(asked.record)))
        return found if isinstance(found, Record) else None

    def _session(self, session_id: SessionId) -> CuraeConnectSession | None:
        found = self.find((CuraeConnectSession.__name__, session_id))
        return found if isinstance(found, CuraeConnectSession) else None

    def _binding(self, coordinate: Coordinate) -> LimitedAccountAppBinding | None:
        found = self.find((LimitedAccountAppBinding.__name__, coordinate_key(coordinate)))
        return found if isinstance(found, LimitedAccountAppBinding) else None

    def _connections(self) -> Iterable[Connection]:
        for each in self.base.connections:
            moved = self.moved.get((Connection.__name__, each.id))
            yield moved if isinstance(moved, Connection) else each
        for place, found in self.moved.items():
            if isinstance(found, Connection) and place not in self.base.values:
                yield found

    def _later(self, connection: Connection) -> list[Connection]:
        its = connection.identity
        later = [
            each
            for each in self._connections()
            if each.identity.root_id == its.root_id and each.identity.position > its.position
        ]
        return sorted(later, key=lambda each: each.identity.position)

    def _line(
        self, connection_id: ConnectionId | None
    ) -> tuple[Connection | None, Connection | None, Connection | None]:
        connection = None if connection_id is None else self.connection(connection_id)
        later = [] if connection is None else self._later(connection)
        return (connection, later[0], later[-1]) if later else (connection, None, None)


def _is_made_so(made: Storable, found: Storable | None) -> bool:
    # The era that a connection or a session was made under never changes, and no response shows it.
    if isinstance(made, Connection):
        return isinstance(found, Connection) and found.identity == made.identity
    if isinstance(made, CuraeConnectSession):
        return isinstance(found, CuraeConnectSession) and found.era == made.era
    return True


def _is_logged(log: LogState, rest: Rest, place: Place) -> bool:
    # Whether the log at rest has every charge, except those that it has dropped.
    found = rest.values.get(place)
    if not isinstance(found, LogState):
        return False
    since = forgets_until(found)
    charged = Counter([each for each in log.instants if since is None or each > since])
    return charged <= Counter(found.instants)


def forgets_until(log: LogState) -> datetime | None:
    """Return the instant before which a log at rest may have dropped charges, or None.

    It drops charges that are a minute old, and only if it is full.
    """
    instants = log.instants
    return instants[-1] - _MINUTE if len(instants) >= INITIATE_LIMIT.limit else None


def place_of(write: Write) -> Place:
    """Return the place of a write's value."""
    kind = type(write.after).__name__
    match write:
        case ConnectionWrite() | SessionWrite():
            return kind, write.after.id
        case BindingWrite(_, binding):
            return kind, coordinate_key(binding.coordinate)
        case RecordWrite(key):
            return kind, record_key(key)
        case RateWrite(key):
            return kind, rate_key(key)
        case PageWrite(_, page):
            return kind, page.digest


# --- Operations ---------------------------------------------------------------------------------


@attrs.frozen
class Asked:
    """A request of a caller."""

    caller: Caller
    request: Request

    @cached_property
    def call(self) -> Call:
        """The parsed call, which does not depend on the time."""
        call = read(self.request, caller=self.caller, now=EPOCH, settings=RULES)
        assert isinstance(call, Call), "only what can be read is sent"
        return call

    def act(self, world: World, now: datetime, new_ids: NewIds) -> tuple[Response, Changes]:
        """Return the response and the changes."""
        decision = decide(
            self.call, snapshot=world.snapshot(self.call.needs), now=now, new_ids=new_ids
        )
        answer = respond(decision)
        return answer.response, answer.changes


@attrs.frozen
class Told:
    """A recorded fact."""

    fact: Fact

    def act(self, world: World, now: datetime, new_ids: NewIds) -> tuple[str, Changes]:
        """Return the outcome in a word, and the changes."""
        del new_ids
        answer = record_fact(self.fact, world.snapshot(self.fact.needs()), now)
        return said_of(answer), answer.value if isinstance(answer, Done) else Changes()


@attrs.frozen
class Visited:
    """An action on a hosted page.

    Attributes:
        kind: The kind of its subject: a connection, a session or a user.
        subject: The id of the connection or session.
        coordinate: The coordinate of the subject.
        action: `finish` or `cancel`.
        told: The fact that it records; None if there is none, or before `adopting`.
    """

    kind: str
    subject: str
    coordinate: Coordinate
    action: str
    told: Fact | None = None

    def adopting(self, rest: Rest) -> Visited:
        """Return the visit with its fact; values that the page chose are read from the rest."""
        match self.kind, self.action:
            case "connection", "finish":
                made = rest.values.get((Connection.__name__, self.subject))
                until = made.expires_at if isinstance(made, Connection) else None
                told: Fact | None = Authorized(ConnectionId(self.subject), until)
            case "connection", "cancel":
                told = Revoked(ConnectionId(self.subject), Actor.PATIENT)
            case "session", "finish":
                landed = rest.values.get((CuraeConnectSession.__name__, self.subject))
                user = landed.user_id if isinstance(landed, CuraeConnectSession) else None
                told = HandoffCompleted(SessionId(self.subject), user or UserId("nobody"))
            case "user", "finish":
                told = Graduated(self.coordinate)
            case _:
                told = None
        return attrs.evolve(self, told=told)

    def act(self, world: World, now: datetime, new_ids: NewIds) -> tuple[str, Changes]:
        """Act as the fact does; `done` also if it was done before, or if nothing is cancelled."""
        if self.told is None or self._is_finished(world):
            return DONE, Changes()
        said, changes = Told(self.told).act(world, now, new_ids)
        return (DONE if said == IGNORED else said), changes

    def _is_finished(self, world: World) -> bool:
        # A page cancels nothing that was finished, nor what came after it.
        if not isinstance(self.told, Revoked):
            return False
        snapshot = world.snapshot(self.told.needs())
        reached = (snapshot.connection, *snapshot.following)
        return any(each is not None and each.authorized_at is not None for each in reached)


Work = Asked | Told | Visited

DONE: Final = "done"
IGNORED: Final = "ignored"


def said_of(answer: FactAnswer) -> str:
    """Return the outcome of a fact in a word."""
    match answer:
        case Done():
            return DONE
        case Ignored():
            return IGNORED
        case Refused(problem):
            return str(problem.code)
