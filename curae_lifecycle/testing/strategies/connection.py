"""Connections with their histories, alone and in chains.

The law of this module: **a history is a list of independent steps, played in the order of their
instants** by the library's own transitions. So a counterexample shrinks to the few steps that
matter, and every drawn connection is one that the rules can reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import product
from typing import Final

import attrs
from hypothesis import strategies as st

from curae_lifecycle.rules.chain import Minted, reconnect
from curae_lifecycle.rules.connection import Actor, Connection, create
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.triggers import Transition
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, record_fact
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.testing.factories import build, can_build
from curae_lifecycle.testing.strategies import values
from curae_lifecycle.testing.strategies.values import NEXT_ACTION_LIFETIME, START, TICK


@attrs.frozen
class FactTemplate:
    """A fact without its connection and its instant.

    Attributes:
        kind: The class of the fact.
        delay: How long after the event the fact is recorded.
        field_values: The values of its other fields; a span of time counts from the event.
    """

    kind: type[Fact]
    delay: timedelta = timedelta(0)
    field_values: tuple[tuple[str, object], ...] = ()

    def fact(self, connection: Connection, now: datetime) -> Fact:
        """Return the fact about a connection that was created no later than `now`."""
        happened = max(connection.identity.created_at, now - self.delay)
        others = {
            name: happened + value if isinstance(value, timedelta) else value
            for name, value in self.field_values
        }
        at = happened if self.delay else None
        return build(self.kind, {"connection_id": connection.id, "happened_at": at, **others})


_DELAYS: Final = (timedelta(0), TICK, timedelta(minutes=1), NEXT_ACTION_LIFETIME)
_VALUES: Final[Mapping[str, tuple[object, ...]]] = {
    "expires_at": (None, 2 * NEXT_ACTION_LIFETIME, NEXT_ACTION_LIFETIME, TICK),
    "reason": values.REASONS,
    "actor": tuple(Actor),
}


def _templates(delay: timedelta) -> Iterator[FactTemplate]:
    for kind in FACTS:
        names = [name for name in kind.__match_args__ if name in _VALUES]
        if "connection_id" in kind.__match_args__ and can_build(kind, {"connection_id", *names}):
            for values_of_fields in product(*(_VALUES[name] for name in names)):
                yield FactTemplate(kind, delay, tuple(zip(names, values_of_fields, strict=True)))


# The simplest first. All of them are one choice, so that a step takes few choices and Hypothesis can
# drop a whole step.
FACT_TEMPLATES: Final = tuple(each for delay in _DELAYS for each in _templates(delay))
# Frequent enough that most chains have more than one connection.
_RECOVERIES: Final = (None,) * (len(FACT_TEMPLATES) // 3)


@attrs.frozen
class ConnectionStep:
    """A step of a history: a fact, its instant, its answer, and the connection after it."""

    now: datetime
    fact: Fact
    answer: Transition
    connection: Connection


@attrs.frozen
class ConnectionHistory:
    """A connection with its history: as it was created, and each fact in the order of recording."""

    created: Connection
    steps: tuple[ConnectionStep, ...]

    @property
    def connection(self) -> Connection:
        """The connection after the last step."""
        return self.steps[-1].connection if self.steps else self.created

    @property
    def snapshots(self) -> tuple[Connection, ...]:
        """The connection as it was created and after each step, oldest first."""
        return (self.created, *(step.connection for step in self.steps))


def apply_fact(
    connection: Connection, fact: Fact, now: datetime, successor: Connection | None = None
) -> Transition:
    """Return the answer to a fact about one connection; changes of other connections are dropped.

    Args:
        connection: The connection as it is stored.
        fact: The fact.
        now: When it is recorded.
        successor: The connection that recovered it, or `None`.

    Raises:
        ArgumentError: An instant out of order or not UTC.
    """
    following = () if successor is None else (successor,)
    snapshot = Snapshot(
        connection=connection, successor=successor, head=successor, following=following
    )
    answer = record_fact(fact, snapshot, now)
    match answer:
        case Done(changes, rules):
            return Done(_stored(changes).get(connection.id, connection), rules)
        case Ignored(_, rules):
            return Ignored(connection, rules)
        case Refused():
            return answer


def _stored(changes: Changes) -> dict[ConnectionId, Connection]:
    writes = (write for write in changes.writes if isinstance(write, ConnectionWrite))
    return {write.after.id: write.after for write in writes}


def new_connections() -> st.SearchStrategy[Connection]:
    """Draw connections that were created at `START` and are PENDING for half an hour."""
    return st.builds(
        create,
        id=values.connection_ids(),
        coordinate=values.coordinates(),
        data_packages=values.data_packages(),
        now=st.just(START),
        next_action=st.just(values.next_action_at(START)),
    )


def facts_about(connection: Connection, now: datetime) -> st.SearchStrategy[Fact]:
    """Draw facts about a connection, recorded at `now`, some of them late."""
    return st.sampled_from(FACT_TEMPLATES).map(lambda template: template.fact(connection, now))


def connection_histories(
    created: Connection | None = None, *, max_steps: int = 5
) -> st.SearchStrategy[ConnectionHistory]:
    """Draw histories of one connection.

    Args:
        created: The connection as it was created; any by default.
        max_steps: The largest number of facts.
    """
    first = new_connections() if created is None else st.just(created)
    move = st.tuples(values.offsets(), st.sampled_from(FACT_TEMPLATES))
    return st.builds(_play, first, st.lists(move, max_size=max_steps))


def chains(*, max_steps: int = 8) -> st.SearchStrategy[tuple[Connection, ...]]:
    """Draw chains of connections, oldest first.

    Args:
        max_steps: The largest number of facts and recoveries.
    """
    # The offset, the fact (`None` for a reconnect), and the position counted from the newest.
    steps = st.sampled_from((*_RECOVERIES, *FACT_TEMPLATES))
    move = st.tuples(values.offsets(), steps, st.integers(0, 3))
    return st.builds(_play_chain, new_connections(), st.lists(move, max_size=max_steps))


def connections() -> st.SearchStrategy[Connection]:
    """Draw connections with a history; some are the newest of a chain."""
    return st.one_of(
        connection_histories().map(lambda history: history.connection),
        chains().map(lambda chain: chain[-1]),
    )


def _play(created: Connection, moves: list[tuple[timedelta, FactTemplate]]) -> ConnectionHistory:
    connection = created
    steps: list[ConnectionStep] = []
    for offset, template in sorted(moves, key=lambda move: move[0]):
        now = START + offset
        fact = template.fact(connection, now)
        answer = apply_fact(connection, fact, now)
        connection = connection if isinstance(answer, Refused) else answer.value
        steps.append(ConnectionStep(now=now, fact=fact, answer=answer, connection=connection))
    return ConnectionHistory(created, tuple(steps))


def _play_chain(
    created: Connection, moves: list[tuple[timedelta, FactTemplate | None, int]]
) -> tuple[Connection, ...]:
    chain = [created]
    for offset, template, back in sorted(moves, key=lambda move: move[0]):
        at, now = max(0, len(chain) - 1 - back), START + offset
        if template is None:
            _recover(chain, at, now)
        else:
            _record(chain, at=at, template=template, now=now)
    return tuple(chain)


def _recover(chain: list[Connection], at: int, now: datetime) -> None:
    successor = chain[at + 1] if at + 1 < len(chain) else None
    new_id = ConnectionId(values.uuid_of(int(chain[0].id[-12:], 16) + len(chain)))
    action = values.next_action_at(now)
    answer = reconnect(chain[at], successor, now, id=new_id, next_action=action, head=chain[-1])
    if isinstance(answer, Refused):
        return
    if isinstance(answer.value, Minted):
        chain.append(answer.value.connection)
    else:
        chain[at + 1] = answer.value.connection


def _record(chain: list[Connection], at: int, template: FactTemplate, now: datetime) -> None:
    following = tuple(chain[at + 1 :])
    successor, head = (following[0], following[-1]) if following else (None, None)
    snapshot = Snapshot(connection=chain[at], successor=successor, head=head, following=following)
    answer = record_fact(template.fact(chain[at], now), snapshot, now)
    if isinstance(answer, Done):
        after = _stored(answer.value)
        chain[:] = [after.get(each.id, each) for each in chain]
