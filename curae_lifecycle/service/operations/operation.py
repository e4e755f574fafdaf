"""The base classes of operations: values that are read from a request and decided.

An operation is one class in one file. Its `rule` sets method, path, scope, key, limit, status and
members, `needs` names the values to load, `decide` decides, and `examples` shows its successes.
Reading, routing, the fingerprint, the response and the API's document follow from these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final, Self, cast, final

import attrs

from curae_lifecycle.rules import credentials, errors, idempotency, outcomes, problems, ratelimit
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.triggers import Trigger
from curae_lifecycle.rules.values import AppUserId, ConnectionId, Coordinate, format_time
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.members import Member, ParsedMembers
from curae_lifecycle.service.snapshot import Needs, NewIds, Snapshot

BASE_PATH: Final = "/api/sdk/v1"
"""The beginning of every path [S]."""


class KeyUse(StrEnum):
    """The uses that an operation may make of an idempotency key."""

    NEEDED = "key needed"
    NOT_ALLOWED = "key not allowed"
    UNUSED = "key not looked at"


def _own_trail(rule: OperationRule) -> tuple[str, ...]:
    return (f"operation.{rule.name}",)


def _all_members(rule: OperationRule) -> tuple[Member[object], ...]:
    return (*rule.ids, *rule.query, *(rule.body or ()))


@attrs.frozen(kw_only=True)
class OperationRule:
    """The rule of an operation: everything that holds before the operation itself decides.

    Attributes:
        name: The name of the operation: part of its fingerprint and of its rule's name.
        why: The purpose, with the source of the rule.
        summary: The purpose in a few words, for the API's document.
        method: The HTTP method.
        path: The path; `{member}` stands for a member of `ids`.
        scope: The scope that the caller needs; `None` for a read.
        key: The use of an idempotency key.
        limit: The limit of the app user that it counts against, or `None`.
        status: The HTTP status of a success.
        ids: The members of its path.
        query: The members of its query; their parsers get text.
        body: The members of its body; `None` if no body is read.
        tags: Whether the client may send the entity tags that it holds.
        asks: The beginnings of the names of the rules that may refuse it.
        rules: The name of its rule, as the trail of a decision.
        members: All of its members, in the order of the operation's fields.
    """

    name: str
    why: str
    summary: str
    method: str
    path: str
    scope: str | None
    key: KeyUse
    status: int
    limit: ratelimit.ExactLog | None = None
    ids: tuple[Member[ConnectionId], ...] = ()
    query: tuple[Member[object], ...] = ()
    body: tuple[Member[object], ...] | None = None
    tags: bool = False
    asks: tuple[str, ...] = ()

    rules: tuple[str, ...] = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_own_trail, takes_self=True)
    )
    members: tuple[Member[object], ...] = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_all_members, takes_self=True)
    )

    def __str__(self) -> str:
        limit = "no limit" if self.limit is None else f"{self.limit.limit} a minute"
        scope = self.scope or "no scope"
        return f"{self.method} {self.path} → {self.status}; {scope}, {self.key}, {limit}"


class Reply:
    """The answer as a value; its fields are the members of the body, in order."""

    __slots__ = ()
    # attrs fills it with the names of the fields.
    __match_args__: ClassVar[tuple[str, ...]] = ()

    @property
    def etag(self) -> str | None:
        """The entity tag of the answer, or `None`."""
        return None


@final
@attrs.frozen
class ProblemReply(Reply):
    """The reply of a refusal; the refusal of a rate limit sends its headers too.

    Attributes:
        problem: The problem.
        limited: The limit that refused, or `None`.
    """

    problem: problems.Problem
    limited: ratelimit.RateLimited | None = None


@final
@attrs.frozen
class NotModified(Reply):
    """The reply to a client that holds the current answer already."""

    held_etag: str

    @property
    def etag(self) -> str:
        """The entity tag that the client holds."""
        return self.held_etag


@attrs.frozen
class Replayed(Reply):
    """The reply to a retry: the stored response, byte for byte."""

    response: idempotency.StoredResponse


@attrs.frozen
class Ruling:
    """The decision of an operation.

    Attributes:
        reply: The reply.
        rules: The names of the rules that decided.
        changes: The writes, effects and events.
    """

    reply: Reply
    rules: tuple[str, ...] = ()
    changes: Changes = NO_CHANGES


def ruling_from_refusal(refused: outcomes.Refused) -> Ruling:
    """Return the ruling of a refusal."""
    return Ruling(ProblemReply(refused.problem), refused.rules)


class OperationContext:
    """The values that an operation decides from; it only reads them.

    Attributes:
        caller: The caller.
        snapshot: The loaded values.
        now: The instant of the request, in UTC.
        needs: The needs that were loaded.
        new_ids_or_none: New ids and a next action; `None` for a read.
    """

    __slots__ = ()
    caller: credentials.Caller
    snapshot: Snapshot
    now: datetime
    needs: Needs
    new_ids_or_none: NewIds | None

    @property
    def connection(self) -> Connection:
        """The connection of the request."""
        connection = self.snapshot.connection
        assert connection is not None  # noqa: S101 - the gate of ownership refused an unknown one
        return connection

    @property
    def coordinate(self) -> Coordinate:
        """The coordinate of the request."""
        assert self.needs.binding is not None  # noqa: S101 - the operation needs its binding
        return self.needs.binding

    @property
    def new_ids(self) -> NewIds:
        """The new ids and the next action; raises `ArgumentError` if none were given."""
        if self.new_ids_or_none is None:
            raise errors.ArgumentError("new_ids", "given for a mutation")
        return self.new_ids_or_none


@attrs.frozen
class Example:
    """A success of an operation, for the API's document and for tests.

    Attributes:
        title: Its title in the document.
        operation: The operation.
        snapshot: The values that are loaded for it.
    """

    title: str
    operation: Operation
    snapshot: Snapshot = attrs.field(factory=Snapshot)


class Operation(ABC):
    """A parsed request, which `decide` answers.

    Attributes:
        rule: The rule of the operation.
        reply: The reply to a success.
        trigger: The trigger of a connection that it fires, or `None`.
    """

    __slots__ = ()
    # attrs fills it with the names of the fields.
    __match_args__: ClassVar[tuple[str, ...]] = ()

    rule: ClassVar[OperationRule]
    reply: ClassVar[type[Reply]]
    trigger: ClassVar[Trigger | None] = None

    @classmethod
    def from_members(cls, parsed: ParsedMembers) -> Self:
        """Make the operation of parsed members: its fields are the rule's members, in order."""
        values = parsed.values
        members = [values.get(member.name, member.default) for member in cls.rule.members]
        # A test reads every operation: its members fit its constructor.
        return cls(*members)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Return examples of its successes for the API's document; none by default."""
        return ()

    @abstractmethod
    def needs(self, caller: credentials.Caller) -> Needs:
        """Return the values to load, without the idempotency record and the rate limits.

        An operation with a limit needs the binding of the app user that is charged.
        """

    @abstractmethod
    def decide(self, context: OperationContext) -> Ruling:
        """Decide the request, which has passed every gate before the rule."""

    def fingerprint_values(self) -> list[str]:
        """Return the texts that tell requests apart: every parsed value, in a fixed order [O].

        An operation with a key and with fields of other types than text, flag, integer, instant and
        tuple of texts overrides it.
        """
        values: list[str] = []
        for name in self.__match_args__:
            value: object = getattr(self, name)
            if isinstance(value, tuple):
                values.extend(map(str, cast("tuple[object, ...]", value)))
            elif isinstance(value, bool):
                values.append("true" if value else "false")
            elif isinstance(value, datetime):
                values.append(format_time(value))
            elif isinstance(value, str | int):
                values.append(str(value))
            elif value is None:
                values.append("")
        return values


class ConnectionOperation(Operation):
    """An operation on one connection of the caller."""

    __slots__ = ()
    connection_id: ConnectionId

    def needs(self, caller: credentials.Caller) -> Needs:
        """Return the need of the connection, its successor and the head of its chain."""
        del caller
        return Needs(connection=self.connection_id)


class UserOperation(Operation):
    """An operation on the account of one user of the app."""

    __slots__ = ()
    app_user_id: AppUserId

    def needs(self, caller: credentials.Caller) -> Needs:
        """Return the need of the binding of the app user."""
        return Needs(binding=caller.coordinate(self.app_user_id))
