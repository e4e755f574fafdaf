"""The base classes of facts: events outside of requests that the platform learned of.

The laws of this module: **a fact is judged at the instant it happened and recorded once**: a late or
repeated fact that changes nothing is ignored; **a page that was replaced cannot act**. Hosted pages,
refresh jobs and consoles report facts; a store commits the changes of a fact as those of a request.

A fact is one class in one file: `kind` names it, `members` are its members, `needs` names the
values to load, `judge` judges it, and `trigger` names the trigger that it fires.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import ClassVar, Self, TypeVar

from curae_lifecycle.rules.connection import Connection, clamp_to_updated_at
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.session import raise_to_session
from curae_lifecycle.rules.triggers import Transition, Trigger
from curae_lifecycle.rules.values import (
    ConnectionId,
    Coordinate,
    check_coordinate_members,
    check_instant,
    check_type,
    clamp_happened_at,
    parse_opaque,
)
from curae_lifecycle.service import changes
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.hosted_page import PageKind, url_digest
from curae_lifecycle.service.members import Member, ParsedMembers
from curae_lifecycle.service.snapshot import Needs, Snapshot, check_snapshot

Moved = TypeVar("Moved")


FactAnswer = Done[changes.Changes] | Ignored[changes.Changes] | Refused
"""The answer to a fact. Done: commit the changes. Ignored: no changes. Refused: see the problem."""


class Fact(ABC):
    """The base class of facts: events outside of requests that the platform learned of.

    For example: the patient authorized a connection, or the user of a coordinate is gone.

    Attributes:
        kind: The name of the kind of fact, such as `binding.graduate`: the member `type` in JSON.
        members: The other members of the fact in JSON, in the order of the class's fields.
        trigger: The trigger of a connection, such as REVOKE, that the fact fires; `None` if it
            fires none.
        happened_at: When the fact happened, in UTC; `None` for the instant of recording.
        page_url: The URL of the hosted page that the fact comes from; `None` if it comes from no
            page.
    """

    __slots__ = ()
    # attrs fills it with the names of the fields.
    __match_args__: ClassVar[tuple[str, ...]] = ()

    kind: ClassVar[str]
    members: ClassVar[tuple[Member[object], ...]]
    trigger: ClassVar[Trigger | None] = None
    happened_at: datetime | None
    page_url: str | None = None

    def __attrs_post_init__(self) -> None:
        """Check the members that every fact has; a class with others extends this method.

        Raises:
            ArgumentError: `happened_at` is neither `None` nor a UTC instant, or `page_url` is
                empty, neither `None` nor text, or holds a surrogate.
        """
        if self.happened_at is not None:
            check_instant("happened_at", self.happened_at)
        if self.page_url is not None:
            parse_opaque("page_url", self.page_url)

    @classmethod
    def from_members(cls, parsed: ParsedMembers) -> Self:
        """Build the fact from parsed members.

        The values of `cls.members`, in that order, become the positional arguments of the
        constructor. A member that was left out gets its default.
        """
        # A test reads every fact: its members fit its constructor.
        return cls(*[parsed[member] for member in cls.members])

    @abstractmethod
    def needs(self) -> Needs:
        """Return the keys of the values to load before the fact is recorded.

        If the fact can come from a hosted page, set `page` of the `Needs` to `page_digest()`, so
        that the page is loaded, too.
        """

    def page_digest(self) -> str | None:
        """Return the digest of `page_url`, by which the page is loaded; None without a page."""
        return None if self.page_url is None else url_digest(self.page_url)

    def page_key(self) -> tuple[PageKind, str] | None:
        """Return the kind and subject of the hosted pages that the fact may come from.

        A page is about a connection, a session or a user: that is its kind. The subject names that
        value, for instance by its id. `record_fact` refuses a fact from a page about another value.
        `None`, the default, is for a fact that comes from no page.
        """
        return None

    def check(self, now: datetime) -> None:
        """Check the values that the fact itself holds, before the rules judge it.

        Args:
            now: When the fact is recorded, in UTC. If the clock was put back, the stored connection
                or session may hold a later instant; `record_fact` then passes that instant.

        Raises:
            ArgumentError: `now` or `happened_at` is not UTC, or `happened_at` is more than five
                minutes after `now`.
        """
        clamp_happened_at(self.happened_at, now)

    @abstractmethod
    def judge(self, snapshot: Snapshot, now: datetime) -> FactAnswer:
        """Apply the rules to the fact; `record_fact` calls this after its checks.

        Args:
            snapshot: The values loaded for `needs()`, with the connection or session of the fact.
            now: When the fact is recorded, in UTC. The caller has run `check(now)`.

        Returns:
            Done: the changes to commit. Ignored: the fact changes nothing. Refused: a rule forbids
            the fact.

        Raises:
            ArgumentError: A value is not allowed that `check` did not check.
        """


class ConnectionFact(Fact):
    """The base class of facts about the one connection with the id `connection_id`."""

    __slots__ = ()
    connection_id: ConnectionId

    def __attrs_post_init__(self) -> None:
        """Check the connection's id and the members that every fact has.

        Raises:
            ArgumentError: The id is no text, `page_url` is empty, no text or holds a surrogate, or
                `happened_at` is no UTC instant.
        """
        # Text that is no UUID is an unknown id, and is refused when the fact is recorded.
        check_type(
            "connection_id", self.connection_id, str, allowed="the text of a connection's id"
        )
        super().__attrs_post_init__()

    def needs(self) -> Needs:
        """Return the keys to load: the connection's id, and the digest of the fact's page, if any.

        The store then loads the connection, its successor, the last connection of its chain, the
        binding of its coordinate, and the page.
        """
        return Needs(connection=self.connection_id, page=self.page_digest())

    def page_key(self) -> tuple[PageKind, str]:
        """Return the key of the connection's hosted pages: their kind and the connection's id.

        `record_fact` refuses the fact if it comes from a page with another key.
        """
        return PageKind.CONNECTION, self.connection_id


class UserFact(Fact):
    """The base class of facts about the user of one coordinate, `coordinate`."""

    __slots__ = ()
    coordinate: Coordinate

    def __attrs_post_init__(self) -> None:
        """Check the coordinate and the members that every fact has.

        Raises:
            ArgumentError: The coordinate is no `Coordinate` or has a malformed member, `page_url`
                is empty, no text or holds a surrogate, or `happened_at` is no UTC instant.
        """
        check_coordinate_members("coordinate", self.coordinate)
        super().__attrs_post_init__()

    def needs(self) -> Needs:
        """Return the keys to load: the coordinate, and the digest of the fact's page, if any.

        The store then loads the binding of the coordinate, and the page.
        """
        return Needs(binding=self.coordinate, page=self.page_digest())

    def check(self, now: datetime) -> None:
        """Check only that `now` is in UTC.

        `judge` checks that `happened_at` is not too far after `now`. It skips that check for a fact
        that repeats an earlier one, which is ignored.

        Args:
            now: When the fact is recorded, in UTC.

        Raises:
            ArgumentError: `now` is not UTC.
        """
        check_instant("now", now)


def record_fact(fact: Fact, snapshot: Snapshot, now: datetime) -> FactAnswer:
    """Judge a fact by the rules, and return the changes that record it [O].

    Nothing is stored here; `stores.serve.record` loads, calls this function and commits.

    Args:
        fact: The fact.
        snapshot: The values that were loaded for `fact.needs()`.
        now: When the fact is recorded, in UTC.

    Returns:
        Done: the changes to commit. Ignored: the fact changes nothing. Refused: a rule forbids the
        fact, or `NOT_FOUND` if its connection or session does not exist, or if the hosted page that
        it names was replaced, is gone, or is about something else.

    Raises:
        ArgumentError: `now` is not UTC, `fact.check` or `fact.judge` raises this error, or the
            snapshot holds other values than `fact.needs()` names.
    """
    fact.check(_raise_to_seen(snapshot, now))
    needs = fact.needs()
    check_snapshot(needs, snapshot)
    names_connection = needs.connection is not None or needs.chain is not None
    is_unknown = names_connection and snapshot.connection is None
    if is_unknown or (needs.session is not None and snapshot.session is None):
        return refuse_at(Gate.OWNERSHIP)
    if fact.page_url is None:
        return fact.judge(snapshot, now)
    page = snapshot.page
    if page is None or (page.kind, page.subject) != fact.page_key():
        return refuse_at(Gate.OWNERSHIP)
    answer = fact.judge(snapshot, now)
    if isinstance(answer, Done):
        return Done(changes.page_changes(page) + answer.value, answer.rules)
    return answer


def _raise_to_seen(snapshot: Snapshot, now: datetime) -> datetime:
    # If the clock was put back, an instant that the value has seen already is not ahead [O].
    if snapshot.connection is not None:
        return clamp_to_updated_at(snapshot.connection, now)
    if snapshot.session is not None:
        return raise_to_session(snapshot.session, now)
    check_instant("now", now)
    return now


def require_connection(snapshot: Snapshot) -> Connection:
    """Return the connection that a fact is about; `record_fact` has checked that there is one."""
    assert snapshot.connection is not None  # noqa: S101 - see the docstring
    return snapshot.connection


def to_fact_answer(
    answer: Done[Moved] | Ignored[object] | Refused,
    build_changes: Callable[[Moved], changes.Changes],
) -> FactAnswer:
    """Convert the answer of a rule to the answer to a fact, which holds changes to commit.

    Args:
        answer: The answer of the rule, which holds the new value if it is `Done`.
        build_changes: Builds the changes from the new value if `answer` is `Done`.

    Returns:
        Done: the changes that `build_changes` built. Ignored: no changes. Refused: `answer` itself.
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
    """Convert the answer of `require_action`, `expire` or `revoke` to the answer to a fact.

    Args:
        kind: The kind of the event to emit if `answer` is `Done`.
        before: The connection as it is stored.
        answer: The answer of the rule, which holds the connection to store if it is `Done`.

    Returns:
        Done: the changes that store the connection, emit its event and end its hand-off or access.
        Ignored: no changes. Refused: `answer` itself.
    """
    return to_fact_answer(answer, lambda after: changes.ending_changes(kind, before, after))
