"""What every operation is: a value that was read from a request, and can be decided.

An operation is one class in one file: its `rule` says method, path, scope, key, limit, status
and members; `needs` names what is loaded; `decide` decides it. Reading,
routing, fingerprint, printing and the API's document follow from these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final, Self, cast, final

import attrs

from curae_lifecycle.rules import credentials, errors, idempotency, outcomes, problems, ratelimit
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.values import AppUserId, ConnectionId, Coordinate
from curae_lifecycle.service.changes import NO_CHANGES, Changes
from curae_lifecycle.service.members import Member, ParsedMembers
from curae_lifecycle.service.snapshot import Needs, NewIds, Snapshot

BASE_PATH: Final = "/api/sdk/v1"
"""What every path begins with [S]."""


class KeyUse(StrEnum):
    """What an operation does with an idempotency key."""

    NEEDED = "key needed"
    NOT_ALLOWED = "key not allowed"
    UNUSED = "key not looked at"


def _own_trail(rule: OperationRule) -> tuple[str, ...]:
    return (f"operation.{rule.name}",)


def _all_members(rule: OperationRule) -> tuple[Member[object], ...]:
    return (*rule.ids, *rule.query, *(rule.body or ()))


@attrs.frozen(kw_only=True)
class OperationRule:
    """What holds for an operation before its own rule is asked.

    Attributes:
        name: The operation's name: part of its fingerprint and of its rule's name.
        why: What it is for, with the source of the rule.
        summary: The same in a few words, for the API's document.
        method: The HTTP method.
        path: The path; `{member}` stands for a member of `ids`.
        scope: The scope it needs; `None` for a read.
        key: What it does with an idempotency key.
        limit: The app user's limit it is counted by, where there is one.
        status: The HTTP status of success.
        ids: The members of its path.
        query: The members of its query.
        body: The members of its body; `None` where no body is read.
        tags: Whether the client may name entity tags that it holds.
        asks: What the names of the rules that may refuse it begin with.
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
    query: tuple[Member[str], ...] = ()
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
    """What is answered, as a value; its fields are the members of the body, in order."""

    __slots__ = ()
    # attrs fills it with the names of the fields.
    __match_args__: ClassVar[tuple[str, ...]] = ()

    @property
    def etag(self) -> str | None:
        """The entity tag of the answer, where it has one."""
        return None


@final
@attrs.frozen
class ProblemReply(Reply):
    """Answers with a problem; where a rate limit refused, its headers are sent.

    Attributes:
        problem: The problem.
        limited: The limit that refused, where one did.
    """

    problem: problems.Problem
    limited: ratelimit.RateLimited | None = None


@final
@attrs.frozen
class NotModified(Reply):
    """Answers that the client holds the answer already."""

    held_etag: str

    @property
    def etag(self) -> str:
        """The entity tag that the client holds."""
        return self.held_etag


@attrs.frozen
class Replayed(Reply):
    """Answers what was answered before, byte for byte."""

    response: idempotency.StoredResponse


@attrs.frozen
class Ruling:
    """What an operation's own rule decided: the answer, the rules by name, and the changes.

    Attributes:
        reply: The answer.
        rules: The names of the rules that decided.
        changes: What is to be stored and done.
    """

    reply: Reply
    rules: tuple[str, ...] = ()
    changes: Changes = NO_CHANGES


def ruling_from_refusal(refused: outcomes.Refused) -> Ruling:
    """A refusal as a ruling."""
    return Ruling(ProblemReply(refused.problem), refused.rules)


class OperationContext:
    """All that an operation decides from; it only reads them.

    Attributes:
        caller: Who asks.
        snapshot: What was loaded.
        now: The instant at which it is asked, in UTC.
        needs: What was loaded, and for whom.
        new_ids_or_none: New ids and a next action, where it is a mutation.
    """

    __slots__ = ()
    caller: credentials.Caller
    snapshot: Snapshot
    now: datetime
    needs: Needs
    new_ids_or_none: NewIds | None

    @property
    def connection(self) -> Connection:
        """The connection that was asked for; the gate of ownership has seen it."""
        connection = self.snapshot.connection
        assert connection is not None  # noqa: S101 - an unknown one is refused before the rule
        return connection

    @property
    def coordinate(self) -> Coordinate:
        """The coordinate that was asked for."""
        assert self.needs.binding is not None  # noqa: S101 - the operation named one
        return self.needs.binding

    @property
    def new_ids(self) -> NewIds:
        """Ids and a next action; raises `ArgumentError` where none were given."""
        if self.new_ids_or_none is None:
            raise errors.ArgumentError("new_ids", "given for a mutation")
        return self.new_ids_or_none


class Operation(ABC):
    """A request that was read: what it asks, and how that is decided."""

    __slots__ = ()
    # attrs fills it with the names of the fields.
    __match_args__: ClassVar[tuple[str, ...]] = ()

    rule: ClassVar[OperationRule]
    reply: ClassVar[type[Reply]]

    @classmethod
    def from_members(cls, parsed: ParsedMembers) -> Self:
        """The operation of what was sent: its fields are the rule's members, in their order."""
        values = parsed.values
        members = [values.get(member.name, member.default) for member in cls.rule.members]
        # A test reads every operation: its members fit its constructor.
        return cls(*members)

    @abstractmethod
    def needs(self, caller: credentials.Caller) -> Needs:
        """Return what its rule needs loaded, without the idempotency record and rate limits.

        If the operation is limited, the limit of the binding's app user is charged.
        """

    @abstractmethod
    def decide(self, context: OperationContext) -> Ruling:
        """What it is answered, once every gate before its rule is passed."""

    def fingerprint_values(self) -> list[str]:
        """What makes two requests the same: every value that was read, in a fixed order [O]."""
        values: list[str] = []
        for name in self.__match_args__:
            value: object = getattr(self, name)
            if isinstance(value, str):
                values.append(value)
            elif isinstance(value, bool):
                values.append("true" if value else "false")
            elif isinstance(value, tuple):
                values.extend(map(str, cast("tuple[object, ...]", value)))
        return values


class ConnectionOperation(Operation):
    """An operation on one connection of the caller's."""

    __slots__ = ()
    connection_id: ConnectionId

    def needs(self, caller: credentials.Caller) -> Needs:
        """Return the need for the connection, its successor and the head of its chain."""
        del caller
        return Needs(connection=self.connection_id)


class UserOperation(Operation):
    """An operation on the account of one user of the app."""

    __slots__ = ()
    app_user_id: AppUserId

    def needs(self, caller: credentials.Caller) -> Needs:
        """Return the need for the binding of the app's user."""
        return Needs(binding=caller.coordinate(self.app_user_id))
