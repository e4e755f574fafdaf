"""What every fact is: something that the platform learned by itself.

The law of this module: **a fact is judged at the instant it happened and recorded once**; a late
or repeated one that changes nothing is ignored. A server's hosted pages, refresh jobs and
consoles report facts; the answer's changes are stored like those of a request.

A fact is one class in one file: `kind` names it, `members` says what it holds, `needs` names what
is loaded, `judge` judges it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import ClassVar, Self, TypeVar

from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.triggers import Transition
from curae_lifecycle.rules.values import ConnectionId, clamp_happened_at
from curae_lifecycle.service import changes
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.members import Member, ParsedMembers
from curae_lifecycle.service.snapshot import Needs, Snapshot, check_snapshot

Moved = TypeVar("Moved")


FactAnswer = Done[changes.Changes] | Ignored[changes.Changes] | Refused
"""Done: store the changes. Ignored: there are none. Refused: the problem says why."""


class Fact(ABC):
    """Something that happened outside of requests."""

    __slots__ = ()
    # attrs fills it with the names of the fields.
    __match_args__: ClassVar[tuple[str, ...]] = ()

    kind: ClassVar[str]
    members: ClassVar[tuple[Member[object], ...]]
    happened_at: datetime | None
    """When it happened; when it is recorded, where absent."""

    @classmethod
    def from_members(cls, parsed: ParsedMembers) -> Self:
        """The fact of what was sent: its fields are its members, in their order."""
        # A test reads every fact: its members fit its constructor.
        return cls(*[parsed[member] for member in cls.members])

    @abstractmethod
    def needs(self) -> Needs:
        """What the server must load before it records the fact."""

    def check(self, now: datetime) -> None:
        """Raise where no correct program reports such a fact, whatever is stored."""
        clamp_happened_at(self.happened_at, now)

    @abstractmethod
    def judge(self, snapshot: Snapshot, now: datetime) -> FactAnswer:
        """What the fact changes; its snapshot was checked, and what it names is there.

        Args:
            snapshot: What was loaded for it.
            now: When it is recorded, in UTC.
        """


class ConnectionFact(Fact):
    """Something that happened to one connection."""

    __slots__ = ()
    connection_id: ConnectionId

    def needs(self) -> Needs:
        """The connection, its successor and its head."""
        return Needs(connection=self.connection_id)


def record_fact(fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
    """Record one fact [O].

    Args:
        fact: What happened.
        snapshot: What was loaded for `fact.needs()`.
        now: When it is recorded.

    Returns:
        Done, ignored or refused, as the tables say; `NOT_FOUND` for an unknown id.

    Raises:
        ArgumentError: An instant out of order or not UTC, whatever is stored, or a snapshot that
            is not the one that was asked for.
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
    """The connection that a fact is of; an unknown one was refused before."""
    assert snapshot.connection is not None  # noqa: S101 - `record_fact` looked
    return snapshot.connection


def to_fact_answer(
    answer: Done[Moved] | Ignored[object] | Refused,
    build_changes: Callable[[Moved], changes.Changes],
) -> FactAnswer:
    """The answer of a fact, with the changes made of what it moved, where it moved anything."""
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
    """The answer of a fact that moved its connection, or did not.

    Args:
        kind: Which kind of event it is where it moved.
        before: The connection as it is stored.
        answer: What its rule said.
    """
    return to_fact_answer(answer, lambda after: changes.ending_changes(kind, before, after))
