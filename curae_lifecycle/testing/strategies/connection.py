"""Connections with their pasts, one by one and in chains.

The law of this module: **a past is a list of independent moves, played in the order of their
instants** by the library's own transitions, so a counterexample shrinks to the few moves that
matter, and no connection is drawn that the rules cannot reach.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import attrs
from hypothesis import strategies as st

from curae_lifecycle.rules.chain import Minted, reconnect, revoke_chain
from curae_lifecycle.rules.connection import Actor, Connection, create
from curae_lifecycle.rules.outcomes import Done, Refused
from curae_lifecycle.rules.triggers import Transition, authorize, expire, require_action, revoke
from curae_lifecycle.rules.values import ConnectionId, Coordinate, DataPackage
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.testing.strategies.values import (
    LIFETIME,
    REASONS,
    START,
    TICK,
    connection_ids,
    coordinates,
    data_packages,
    next_action_at,
    offsets,
    uuid_of,
)


class DeedKind(StrEnum):
    """What a move does; the simplest first."""

    AUTHORIZE = "authorize"
    REQUIRE_ACTION = "require action"
    EXPIRE = "expire"
    REVOKE = "revoke"
    RECONNECT = "reconnect"


@attrs.frozen
class Deed:
    """What is to happen, whenever and to whichever connection; it is told late or not."""

    kind: DeedKind
    delay: timedelta
    lifetime: timedelta | None = None
    reason: str = "portal_login"
    actor: Actor = Actor.APP

    def fact(self, connection: Connection, now: datetime) -> ConnectionFact:
        """The deed as a fact of a connection that was created no later than `now`."""
        created = connection.identity.created_at
        happened = max(created, now - self.delay)
        said = happened if self.delay else None
        match self.kind:
            case DeedKind.AUTHORIZE:
                until = None if self.lifetime is None else happened + self.lifetime
                return Authorized(connection.id, until, said)
            case DeedKind.REQUIRE_ACTION:
                return ActionRequired(connection.id, self.reason, said)
            case DeedKind.REVOKE:
                return Revoked(connection.id, self.actor, said)
            case DeedKind.EXPIRE | DeedKind.RECONNECT:
                return Expired(connection.id, said)


_DELAYS: Final = (timedelta(0), TICK, timedelta(minutes=1), LIFETIME)
_LIFETIMES: Final = (None, 2 * LIFETIME, LIFETIME, TICK)

# The simplest first. One choice among all of them, so that a move is few choices and Hypothesis
# can leave a whole move out.
FACT_DEEDS: Final = tuple(
    deed
    for delay in _DELAYS
    for deed in (
        *(Deed(DeedKind.AUTHORIZE, delay, lifetime) for lifetime in _LIFETIMES),
        *(Deed(DeedKind.REQUIRE_ACTION, delay, reason=reason) for reason in REASONS),
        Deed(DeedKind.EXPIRE, delay),
        *(Deed(DeedKind.REVOKE, delay, actor=actor) for actor in Actor),
    )
)
# Often enough that most chains have more than one connection.
_RECOVERIES: Final = (Deed(DeedKind.RECONNECT, timedelta(0)),) * (len(FACT_DEEDS) // 3)


@attrs.frozen
class _Move:
    """A deed, when it is told, and how many connections before the newest it is of."""

    offset: timedelta
    deed: Deed
    back: int = 0


def _moves() -> st.SearchStrategy[_Move]:
    return st.builds(_Move, offsets(), st.sampled_from(FACT_DEEDS), st.just(0))


def _chain_moves() -> st.SearchStrategy[_Move]:
    deeds = (*_RECOVERIES, *FACT_DEEDS)
    return st.builds(_Move, offsets(), st.sampled_from(deeds), st.integers(0, 3))


def _in_order(moves: list[_Move]) -> list[_Move]:
    return sorted(moves, key=lambda move: move.offset)


@attrs.frozen
class Step:
    """One fact of a history and what it was answered.

    Attributes:
        now: When it was recorded.
        fact: What happened.
        answer: Done, ignored or refused.
        connection: The connection after it, whatever it was answered.
    """

    now: datetime
    fact: ConnectionFact
    answer: Transition
    connection: Connection


@attrs.frozen
class History:
    """A connection with its past.

    Attributes:
        created: The connection as it was created.
        steps: What happened to it, in the order of its recording.
    """

    created: Connection
    steps: tuple[Step, ...]

    @property
    def connection(self) -> Connection:
        """The connection after everything."""
        return self.steps[-1].connection if self.steps else self.created

    @property
    def snapshots(self) -> tuple[Connection, ...]:
        """Every snapshot that was ever stored, oldest first, one for each step and the first."""
        return (self.created, *(step.connection for step in self.steps))


def apply_event(
    connection: Connection,
    fact: ConnectionFact,
    now: datetime,
    successor: Connection | None = None,
) -> Transition:
    """What one connection answers to a fact about it; a revocation reaches no further.

    Args:
        connection: The connection that the fact names.
        fact: What happened.
        now: When it is recorded.
        successor: The connection that recovered this one, where there is one.

    Raises:
        ArgumentError: An instant out of order or not UTC.
    """
    happened = fact.happened_at
    match fact:
        case Authorized():
            return authorize(
                connection,
                now,
                expires_at=fact.expires_at,
                happened_at=happened,
                successor=successor,
            )
        case ActionRequired():
            return require_action(connection, now, reason=fact.reason, happened_at=happened)
        case Expired():
            return expire(connection, now, happened_at=happened)
        case Revoked():
            return revoke(connection, now, actor=fact.actor, happened_at=happened)


def new_connections() -> st.SearchStrategy[Connection]:
    """Connections just created, at `START`, PENDING for half an hour."""
    return st.builds(_create, connection_ids(), coordinates(), data_packages())


def events(connection: Connection, now: datetime) -> st.SearchStrategy[ConnectionFact]:
    """Facts that may be recorded of a connection at `now`, some of them late.

    Args:
        connection: Of which; created no later than `now`.
        now: When they are recorded.
    """
    return st.sampled_from(FACT_DEEDS).map(lambda deed: deed.fact(connection, now))


def histories(created: Connection | None = None, *, most: int = 5) -> st.SearchStrategy[History]:
    """One connection with its past: created, then at most `most` facts in order.

    Args:
        created: The connection as it was created at `START`; any where absent.
        most: How many facts at most.
    """
    first = new_connections() if created is None else st.just(created)
    return st.builds(_play, first, st.lists(_moves(), max_size=most))


def chains(*, most: int = 8) -> st.SearchStrategy[tuple[Connection, ...]]:
    """A connection with its successors, oldest first, after at most `most` facts and recoveries."""
    return st.builds(_play_chain, new_connections(), st.lists(_chain_moves(), max_size=most))


def connections() -> st.SearchStrategy[Connection]:
    """Connections with a plausible past, some of them a chain's newest."""
    return st.one_of(
        histories().map(lambda history: history.connection), chains().map(lambda chain: chain[-1])
    )


def _create(
    connection_id: ConnectionId, coordinate: Coordinate, packages: tuple[DataPackage, ...]
) -> Connection:
    return create(
        id=connection_id,
        coordinate=coordinate,
        data_packages=packages,
        now=START,
        next_action=next_action_at(START),
    )


def _play(created: Connection, moves: list[_Move]) -> History:
    connection = created
    steps: list[Step] = []
    for move in _in_order(moves):
        now = START + move.offset
        fact = move.deed.fact(connection, now)
        answer = apply_event(connection, fact, now)
        connection = connection if isinstance(answer, Refused) else answer.value
        steps.append(Step(now, fact, answer, connection))
    return History(created, tuple(steps))


def _play_chain(created: Connection, moves: list[_Move]) -> tuple[Connection, ...]:
    chain = [created]
    for move in _in_order(moves):
        at = max(0, len(chain) - 1 - move.back)
        if move.deed.kind is DeedKind.RECONNECT:
            _recover(chain, at, START + move.offset)
        else:
            _happen(chain, at, move)
    return tuple(chain)


def _recover(chain: list[Connection], at: int, now: datetime) -> None:
    answer = reconnect(
        chain[at],
        chain[at + 1] if at + 1 < len(chain) else None,
        now,
        id=ConnectionId(uuid_of(int(chain[0].id[-12:], 16) + len(chain))),
        next_action=next_action_at(now),
    )
    if isinstance(answer, Refused):
        return
    if isinstance(answer.value, Minted):
        chain.append(answer.value.connection)
    else:
        chain[at + 1] = answer.value.connection


def _happen(chain: list[Connection], at: int, move: _Move) -> None:
    now = START + move.offset
    connection, following = chain[at], tuple(chain[at + 1 :])
    fact = move.deed.fact(connection, now)
    answers: tuple[Transition, ...]
    if isinstance(fact, Revoked):
        answers = revoke_chain(
            connection, following, now, actor=fact.actor, happened_at=fact.happened_at
        )
    else:
        answers = (apply_event(connection, fact, now, following[0] if following else None),)
    for index, answer in enumerate(answers, at):
        if isinstance(answer, Done):
            chain[index] = answer.value
