"""The base classes of facts: events outside of requests that the platform learned of.

The law of this module: **a fact is judged at the instant it happened and recorded once**. A late or
repeated fact that changes nothing is ignored. Hosted pages, refresh jobs and consoles report facts;
a store commits the changes of a fact as those of a request.

A fact is one class in one file: `kind` names it, `members` are its members, `needs` names the values
to load, `judge` judges it, and `trigger` names the trigger that it fires.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import ClassVar, Self, TypeVar

from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.triggers import Transition, Trigger
from curae_lifecycle.rules.values import ConnectionId, clamp_happened_at
from curae_lifecycle.service import changes
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.members import Member, ParsedMembers
from curae_lifecycle.service.snapshot import Needs, Snapshot, check_snapshot

Moved = TypeVar("Moved")


FactAnswer = Done[changes.Changes] | Ignored[changes.Changes] | Refused
"""The answer to a fact. Done: commit the changes. Ignored: there are none. Refused: see the problem."""


class Fact(ABC):
    """An event outside of requests.

    Attributes:
        kind: Its name in a log.
        members: Its members in a log, in the order of its fields.
        trigger: The trigger of a connection that it fires, or `None`.
    """

    __slots__ = ()
    # attrs fills it with the names of the fields.
    __match_args__: ClassVar[tuple[str, ...]] = ()

    kind: ClassVar[str]
    members: ClassVar[tuple[Member[object], ...]]
    trigger: ClassVar[Trigger | None] = None
    happened_at: datetime | None
    """When it happened; `None` for the instant at which it is recorded."""

    @classmethod
    def from_members(cls, parsed: ParsedMembers) -> Self:
        """Make the fact of parsed members: its fields are its members, in order."""
        # A test reads every fact: its members fit its constructor.
        return cls(*[parsed[member] for member in cls.members])

    @abstractmethod
    def needs(self) -> Needs:
        """Return the values to load before the fact is recorded."""

    def check(self, now: datetime) -> None:
        """Raise `ArgumentError` if no correct program reports such a fact at that instant."""
        clamp_happened_at(self.happened_at, now)

    @abstractmethod
    def judge(self, snapshot: Snapshot, now: datetime) -> FactAnswer:
        """Judge the fact, whose instant and snapshot were checked.

        Args:
            snapshot: The loaded values; the connection or session that the fact names is among them.
            now: When it is recorded, in UTC.
        """


class ConnectionFact(Fact):
    """A fact about one connection."""

    __slots__ = ()
    connection_id: ConnectionId

    def needs(self) -> Needs:
        """Return the need of the connection, its successor and the head of its chain."""
        return Needs(connection=self.connection_id)


def record_fact(fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
    """Record one fact [O].

    Args:
        fact: The fact.
        snapshot: The values that were loaded for `fact.needs()`.
        now: When it is recorded.

    Returns:
        Done, ignored or refused, as the tables decide; `NOT_FOUND` for an unknown id.

    Raises:
        ArgumentError: An instant is out of order or not UTC, or the snapshot holds other values than
            `fact.needs()` names.
    """
    fact.check(now)
    needs = fact.needs()
    check_snapshot(needs, snapshot)
    names_connection = needs.connection is not None or needs.chain is not None
    is_unknown = names_connection and snapshot.connection is None
    if is_unknown or (needs.session is not None and snapshot.session is None):
        return refuse_at(Gate.OWNERSHIP)
    return fact.judge(snapshot, now)


def require_connection(snapshot: Snapshot) -> Connection:
    """Return the connection of a fact; `record_fact` refused an unknown one."""
    assert snapshot.connection is not None  # noqa: S101 - see the docstring
    return snapshot.connection


def to_fact_answer(
    answer: Done[Moved] | Ignored[object] | Refused,
    build_changes: Callable[[Moved], changes.Changes],
) -> FactAnswer:
    """Return the answer to a fact, with the changes of what its rule moved.

    Args:
        answer: The answer of the rule.
        build_changes: Builds the changes of the new value.
    """
    match answer:
        case Done(moved, rules):
            return Done(build_changes(moved), rules)
        case Ignored(_, rules):
            return Ignored(changes.NO_CHANGES, rules)
        case Refused():
            return answer


def to_connection_fact_answer(
    kind: EventKind, before: Connection, answer: Transition
) -> FactAnswer:
    """Return the answer to a fact about a connection that needs action, expires or is revoked.

    Args:
        kind: The kind of the event if the connection moved.
        before: The connection as it is stored.
        answer: The answer of the rule.
    """
    return to_fact_answer(answer, lambda after: changes.ending_changes(kind, before, after))
