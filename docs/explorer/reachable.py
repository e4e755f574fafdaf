"""The states of the explorer that requests and facts can lead to.

The law of this module: **nothing is declared unreachable by hand**. From an empty store, every
operation and fact that moves a connection, a session or an account is put to the library, at every
instant at which its answer can differ, until nothing new is stored.

States that the explorer cannot tell apart are followed once. `tests/docs/explorer` checks with
random traffic that this misses none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import cache
from typing import Final

import attrs

from curae_lifecycle.rules.binding import (
    LimitedAccountAppBinding,
    account_state,
    present_era,
)
from curae_lifecycle.rules.connection import (
    Actor,
    Connection,
    EraState,
    RevocationState,
    Status,
    standing,
)
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.values import NextAction, UserId
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import KeyUse, Operation
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.service.sweep import sweep_changes
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, SessionWrite
from docs.explorer import states
from docs.explorer.states import CONNECTION, COORDINATE, HOUR, NOW, SUCCESSOR

USERS: Final = (UserId("first"), UserId("second"))
"""The users of a coordinate, before and after a tombstone."""

LONG: Final = 1_000_000 * HOUR
"""A time that ends after all steps of the search."""

Seen = tuple[str, ...]
"""The values of a state, one for each choice of its group."""


@attrs.frozen
class World:
    """The stored values of one coordinate, and the instant."""

    now: datetime = NOW
    connection: Connection | None = None
    successor: Connection | None = None
    session: CuraeConnectSession | None = None
    binding: LimitedAccountAppBinding | None = None

    @property
    def later(self) -> World:
        """Return the world an hour later, when the next deadline is reached."""
        return attrs.evolve(self, now=self.now + HOUR)

    def decided(
        self, operation: Operation, *, on: Connection | None = None, open_for: timedelta = HOUR
    ) -> World:
        """Return the world after an operation whose hosted page is open for a time."""
        call = Call(
            states.CALLER, operation, states.KEY if operation.rule.key is KeyUse.NEEDED else None
        )
        # A tombstoned user is never bound again.
        bound = None if self.binding is None else self.binding.user_id
        ids = NewIds(
            connection_id=CONNECTION if self.connection is None else SUCCESSOR,
            session_id=states.SESSION,
            user_id=next(user for user in USERS if user != bound),
            next_action=NextAction("https://connect.example/", self.now + open_for),
        )
        snapshot = Snapshot(
            connection=on, successor=self.successor, head=self.successor, binding=self.binding
        )
        return self.with_changes(decide(call, snapshot=snapshot, now=self.now, new_ids=ids).changes)

    def recorded(self, fact: Fact, *, on: Connection | None = None) -> World:
        """Return the world after a fact."""
        following = self.successor if on is self.connection else None
        snapshot = Snapshot(
            connection=on,
            successor=following,
            head=following,
            following=() if following is None else (following,),
            session=self.session,
            binding=self.binding,
        )
        said = record_fact(fact, snapshot, self.now)
        return self if isinstance(said, Refused) else self.with_changes(said.value)

    @property
    def swept(self) -> World:
        """Return the world after the sweep that follows a tombstone."""
        if self.binding is None or self.binding.tombstoned_at is None:
            return self
        stored = tuple(each for each in (self.connection, self.successor) if each is not None)
        return self.with_changes(sweep_changes(self.binding, stored, self.now))

    def with_changes(self, changes: Changes) -> World:
        """Return the world with the writes of the changes."""
        world = self
        for write in changes.writes:
            match write:
                case ConnectionWrite(_, after) if after.id == CONNECTION:
                    world = attrs.evolve(world, connection=after)
                case ConnectionWrite(_, after):
                    world = attrs.evolve(world, successor=after)
                case SessionWrite(_, after):
                    world = attrs.evolve(world, session=world.session or after)
                case BindingWrite(_, after):
                    world = attrs.evolve(world, binding=after)
                case _:
                    pass
        return world


# --- What the explorer sees of a world ---------------------------------------------------------


def connection_seen(world: World) -> Seen | None:
    """Return the connection of a world in the explorer's choices; `None` without one."""
    if world.connection is None:
        return None
    era = present_era(world.binding)
    follower = world.successor
    after = (
        states.ALONE
        if follower is None
        else states.FOLLOWED + standing(follower, world.now, era=era)
    )
    return (*_stored_seen(world.connection, world), after)


def _stored_seen(connection: Connection, world: World) -> Seen:
    pending = connection.status is Status.PENDING
    deadline = connection.handoff_deadline if pending else connection.expires_at
    left = None if deadline is None else deadline - world.now
    before, at, after, unset = states.CLOCKS
    if left is None:
        clock = unset
    elif left:
        clock = before if left > 0 * HOUR else after
    else:
        clock = at
    return (
        connection.status,
        RevocationState.NEVER if connection.revoked_at is None else RevocationState.ONCE,
        _era(connection.identity.era, world),
        clock,
    )


def session_seen(world: World) -> Seen | None:
    """Return the session and the account of a world in the explorer's choices.

    `None` without a session, or if it landed for a user who is not the bound one.
    """
    session, binding = world.session, world.binding
    if session is None:
        return None
    name: str = session.path
    if session.path is EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF:
        waiting, over, landed = [each for each in states.SESSIONS if each.startswith(name)]
        if session.handoff is HandoffState.LANDED:
            if binding is None or binding.user_id != session.user_id:
                return None
            name = landed
        else:
            name = waiting if world.now < session.expires_at else over
    return (account_state(binding), name, _era(session.era, world))


def _era(made_under: datetime | None, world: World) -> EraState:
    return EraState.THIS if made_under == present_era(world.binding) else EraState.OTHER


# --- Every step -------------------------------------------------------------------------------


def _connection_steps(world: World) -> Iterator[World]:
    yield world.later
    yield world.recorded(Tombstoned(COORDINATE))
    yield world.swept
    for open_for in (0 * HOUR, HOUR):
        if world.connection is None:
            create = CreateConnection(states.USER, (states.PACKAGE,))
            yield world.decided(create, open_for=open_for)
        else:
            again = Reconnect(CONNECTION)
            yield world.decided(again, on=world.connection, open_for=open_for)
    for each in (world.connection, world.successor):
        if each is not None:
            for fact in _facts(each, world.now):
                yield world.recorded(fact, on=each)


def _facts(connection: Connection, now: datetime) -> Iterator[Fact]:
    # Each authorization ends soon, after all steps of the search, or never.
    for expires_at in (now + HOUR, connection.identity.created_at + LONG, None):
        yield Authorized(connection.id, expires_at)
        # As of its creation, when the hosted page was open.
        yield Authorized(connection.id, expires_at, connection.identity.created_at)
    yield ActionRequired(connection.id, "portal_login")
    yield Expired(connection.id)
    yield Revoked(connection.id, Actor.PATIENT)


def _session_steps(world: World) -> Iterator[World]:
    yield world.later
    yield world.recorded(Tombstoned(COORDINATE))
    yield world.decided(Initiate(states.USER, prefer_signup=True))
    yield world.decided(Initiate(states.USER, prefer_signup=False))
    for user in USERS:
        yield world.recorded(Graduated(COORDINATE, user))
        if world.session is not None:
            yield world.recorded(HandoffCompleted(states.SESSION, user))
            early = max(world.now - HOUR, world.session.created_at)
            yield world.recorded(HandoffCompleted(states.SESSION, user, early))


def _followed(world: World) -> object:
    # The parts of a world that a further step can depend on, as far as the explorer shows them.
    binding, session = world.binding, world.session
    user = None if binding is None else binding.user_id
    landed = None if session is None else session.user_id
    era = present_era(binding) is not None
    chain = tuple(
        (_stored_seen(each, world), _ends_late(each, world))
        for each in (world.connection, world.successor)
        if each is not None
    )
    return chain, session_seen(world), account_state(binding), user, landed, era


def _ends_late(connection: Connection, world: World) -> bool:
    return connection.expires_at is not None and connection.expires_at - world.now > HOUR


def _reached(steps: Callable[[World], Iterable[World]]) -> Iterator[World]:
    first = World()
    found, left = {_followed(first)}, [first]
    while left:
        world = left.pop()
        yield world
        for after in steps(world):
            mark = _followed(after)
            if mark not in found:
                found.add(mark)
                left.append(after)


@cache
def connections() -> frozenset[Seen]:
    """Return every reachable connection: status, revocation, era, clock and successor."""
    seen = (connection_seen(world) for world in _reached(_connection_steps))
    return frozenset(each for each in seen if each is not None)


@cache
def sessions() -> frozenset[Seen]:
    """Return every reachable session: the account, the session and its era."""
    seen = (session_seen(world) for world in _reached(_session_steps))
    return frozenset(each for each in seen if each is not None)
