"""Strategies for connections with their histories, one by one and in chains.

The law of this module: **a history is a list of independent moves, played in time order** by the
library's own transitions. A counterexample therefore shrinks to the few moves that matter, and the
rules can reach every drawn connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import product
from typing import Final

import attrs
from hypothesis import strategies as st

from curae_lifecycle.rules.binding import LimitedAccountAppBinding, tombstone
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
from curae_lifecycle.testing.strategies.expect import expect_done
from curae_lifecycle.testing.strategies.values import NEXT_ACTION_LIFETIME, START, TICK


@attrs.frozen
class FactTemplate:
    """A fact without its connection and instants, which the method `fact` fills in.

    Attributes:
        kind: The class of the fact.
        delay: How long before its recording the fact happened. A fact never happens before its
            connection is created. Zero means at the recording: `happened_at` is then `None`.
        field_values: The other fields as pairs of name and value. A `timedelta` stands for the
            instant that long after the fact happened.
    """

    kind: type[Fact]
    delay: timedelta = timedelta(0)
    field_values: tuple[tuple[str, object], ...] = ()

    def fact(self, connection: Connection, now: datetime) -> Fact:
        """Return the fact about a connection, to be recorded at `now`.

        The `happened_at` of the fact is `delay` before `now`, or the creation of the connection if
        that is later. Without a delay it is `None`.

        Args:
            connection: The connection, created no later than `now`.
            now: The instant of recording.
        """
        happened = max(connection.identity.created_at, now - self.delay)
        other_fields = {
            name: happened + value if isinstance(value, timedelta) else value
            for name, value in self.field_values
        }
        happened_at = happened if self.delay else None
        return build(
            self.kind,
            {"connection_id": connection.id, "happened_at": happened_at, **other_fields},
        )


_DELAYS: Final = (timedelta(0), TICK, timedelta(minutes=1), NEXT_ACTION_LIFETIME)
_FIELD_CHOICES: Final[Mapping[str, tuple[object, ...]]] = {
    "expires_at": (None, 2 * NEXT_ACTION_LIFETIME, NEXT_ACTION_LIFETIME, TICK),
    "reason": values.REASONS,
    "actor": tuple(Actor),
}


def _templates(delay: timedelta) -> Iterator[FactTemplate]:
    for kind in FACTS:
        names = [name for name in kind.__match_args__ if name in _FIELD_CHOICES]
        if "connection_id" in kind.__match_args__ and can_build(kind, {"connection_id", *names}):
            for chosen in product(*(_FIELD_CHOICES[name] for name in names)):
                yield FactTemplate(kind, delay, tuple(zip(names, chosen, strict=True)))


# One draw chooses a whole template: Hypothesis leaves out a move more easily if it takes few draws.
FACT_TEMPLATES: Final = tuple(each for delay in _DELAYS for each in _templates(delay))
"""The fact templates that drawn histories use, the simplest first.

A template is a fact without its connection and instants. There is one for each class of facts about
a connection, each combination of field values and each delay.
"""

# One move in four is a reconnect, so that most chains have more than one connection.
_RECONNECTS: Final = (None,) * (len(FACT_TEMPLATES) // 3)


_ChainMove = tuple[timedelta, FactTemplate | None, int]
"""Offset from `START`, fact (`None` is a reconnect), and connection (0 is the newest)."""

# In three hours of history, six hand-offs of half an hour can lapse.
_LONGEST_CHAIN: Final[list[_ChainMove]] = [
    (number * NEXT_ACTION_LIFETIME, None, 0) for number in range(1, 7)
]


@attrs.frozen
class ConnectionStep:
    """A fact in a connection's history, with the rules' answer and the new connection.

    Attributes:
        now: The instant at which the fact was recorded.
        fact: The fact.
        answer: The answer of the rules to the fact.
        connection: The stored connection after the fact; only a `Done` answer changes it.
    """

    now: datetime
    fact: Fact
    answer: Transition
    connection: Connection


@attrs.frozen
class ConnectionHistory:
    """A connection with the facts about it, in time order.

    Attributes:
        created: The connection as it was created.
        steps: The facts with their answers, oldest first; also those that the rules refused.
    """

    created: Connection
    steps: tuple[ConnectionStep, ...]

    @property
    def connection(self) -> Connection:
        """The connection as stored after the last fact; `created` if there is no fact."""
        return self.steps[-1].connection if self.steps else self.created

    @property
    def snapshots(self) -> tuple[Connection, ...]:
        """The connection as stored at its creation and after each fact, oldest first."""
        return (self.created, *(step.connection for step in self.steps))


def apply_fact(
    connection: Connection, fact: Fact, now: datetime, successor: Connection | None = None
) -> Transition:
    """Apply a fact to one connection, and return the answer; no other connection changes.

    The answer assumes that no tombstone was recorded since the connection was made.

    Args:
        connection: The connection.
        fact: The fact about it.
        now: The instant of recording, in UTC.
        successor: The connection that recovered `connection`; `None` if there is none.

    Returns:
        Done: `connection` after the fact. Ignored: `connection` unchanged. Refused: the problem.

    Raises:
        ArgumentError: An instant is not UTC or not allowed, such as a `happened_at` that is more
            than five minutes after `now`.
    """
    following = () if successor is None else (successor,)
    snapshot = _snapshot(connection, following)
    answer = record_fact(fact, snapshot, now)
    match answer:
        case Done(changes, rules):
            return Done(_connections_after(changes).get(connection.id, connection), rules)
        case Ignored(_, rules):
            return Ignored(connection, rules)
        case Refused():
            return answer


def _snapshot(connection: Connection, following: tuple[Connection, ...]) -> Snapshot:
    successor, head = (following[0], following[-1]) if following else (None, None)
    return Snapshot(
        connection=connection,
        successor=successor,
        head=head,
        following=following,
        binding=_tombstoned_binding(connection),
    )


def _tombstoned_binding(connection: Connection) -> LimitedAccountAppBinding | None:
    # The tombstone that began the connection's era is the last one of its coordinate.
    identity = connection.identity
    if identity.era is None:
        return None
    answer = tombstone(None, identity.coordinate, identity.era)
    return expect_done(LimitedAccountAppBinding, answer)


def _connections_after(changes: Changes) -> dict[ConnectionId, Connection]:
    writes = (write for write in changes.writes if isinstance(write, ConnectionWrite))
    return {write.after.id: write.after for write in writes}


def new_connections(*, era: datetime | None = None) -> st.SearchStrategy[Connection]:
    """Draw PENDING connections, created at `START` with a hand-off deadline half an hour later.

    Args:
        era: When the last tombstone before the connection was recorded, no later than `START`;
            `None` if there was none.
    """
    return st.builds(
        create,
        id=values.connection_ids(),
        coordinate=values.coordinates(),
        data_packages=values.data_packages(),
        now=st.just(START),
        next_action=st.just(values.next_action_at(START)),
        era=st.just(era),
    )


def facts_about(connection: Connection, now: datetime) -> st.SearchStrategy[Fact]:
    """Draw facts about a connection, to be recorded at `now`; some happened earlier.

    Each fact names the ID of the connection, but the rules may ignore or refuse the fact.

    Args:
        connection: The connection, created no later than `now`.
        now: The instant of recording, in UTC.
    """
    return st.sampled_from(FACT_TEMPLATES).map(lambda template: template.fact(connection, now))


def connection_histories(
    created: Connection | None = None, *, max_steps: int = 5, era: datetime | None = None
) -> st.SearchStrategy[ConnectionHistory]:
    """Draw a connection with its history: the facts about it in time order, but no reconnect.

    Args:
        created: The connection at the start of the history, created at `START`; `None` draws one.
        max_steps: The largest number of facts.
        era: When the last tombstone before a drawn connection was recorded, no later than `START`;
            `None` if there was none.
    """
    first = new_connections(era=era) if created is None else st.just(created)
    move = st.tuples(values.offsets(), st.sampled_from(FACT_TEMPLATES))
    return st.builds(_play, first, st.lists(move, max_size=max_steps))


def chains(
    *, max_steps: int = 8, era: datetime | None = None
) -> st.SearchStrategy[tuple[Connection, ...]]:
    """Draw chains: a connection and its successors, if any, oldest first.

    Each connection is as stored after all facts and reconnects of the chain. With six steps or
    more, a few chains in a hundred have seven connections, of which all but the last have lapsed.

    Args:
        max_steps: The largest number of facts and reconnects, counted over the whole chain.
        era: When the last tombstone before the connections was recorded, no later than `START`;
            `None` if there was none.
    """
    templates = st.sampled_from((*_RECONNECTS, *FACT_TEMPLATES))
    move = st.tuples(values.offsets(), templates, st.integers(0, 3))
    # Most often the longest, which shrinks to shorter ones.
    longest = min(len(_LONGEST_CHAIN), max_steps)
    lapses = st.sampled_from([*range(longest), *[longest] * 12]).map(
        lambda length: _LONGEST_CHAIN[:length]
    )
    moves = values.mostly(st.lists(move, max_size=max_steps), lapses)
    return st.builds(_play_chain, new_connections(era=era), moves)


def connections(*, era: datetime | None = None) -> st.SearchStrategy[Connection]:
    """Draw connections as they are after some facts; some are the last connection of a chain.

    A chain is a connection with its successors. No drawn fact is a tombstone. To judge a drawn
    connection as ended by a tombstone, pass another era than `era` to `standing` or
    `decide_access`.

    Args:
        era: When the last tombstone before the connections was recorded, no later than `START`;
            `None` if there was none.
    """
    return st.one_of(
        connection_histories(era=era).map(lambda history: history.connection),
        chains(era=era).map(lambda chain: chain[-1]),
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


def _play_chain(created: Connection, moves: list[_ChainMove]) -> tuple[Connection, ...]:
    chain = [created]
    for offset, template, nth_newest in sorted(moves, key=lambda move: move[0]):
        index, now = max(0, len(chain) - 1 - nth_newest), START + offset
        if template is None:
            _reconnect(chain, index, now)
        else:
            _record(chain, index=index, template=template, now=now)
    return tuple(chain)


def _reconnect(chain: list[Connection], index: int, now: datetime) -> None:
    successor = chain[index + 1] if index + 1 < len(chain) else None
    new_id = ConnectionId(values.uuid_of(int(chain[0].id[-12:], 16) + len(chain)))
    action = values.next_action_at(now)
    answer = reconnect(
        chain[index],
        successor,
        now,
        era=chain[0].identity.era,
        id=new_id,
        next_action=action,
        head=chain[-1],
    )
    if isinstance(answer, Refused):
        return
    if isinstance(answer.value, Minted):
        chain.append(answer.value.connection)
    else:
        chain[index + 1] = answer.value.connection


def _record(chain: list[Connection], index: int, template: FactTemplate, now: datetime) -> None:
    connection = chain[index]
    snapshot = _snapshot(connection, tuple(chain[index + 1 :]))
    answer = record_fact(template.fact(connection, now), snapshot, now)
    if isinstance(answer, Done):
        after = _connections_after(answer.value)
        chain[:] = [after.get(each.id, each) for each in chain]
