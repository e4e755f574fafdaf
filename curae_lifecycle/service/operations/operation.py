"""The base classes of operations: values that are read from a request and decided.

An operation is one class in one file. Its `rule` sets method, path, scope, key, limit, status and
members, `needs` names the values to load, `decide` decides, and `examples` shows its successes.
Reading, routing, the fingerprint, the response and the API's document follow from these.
"""

from __future__ import annotations

import json
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
"""The beginning of the path of every operation [S]."""


class KeyUse(StrEnum):
    """The ways in which an operation treats an idempotency key.

    Attributes:
        NEEDED: A request without a key is refused.
        NOT_ALLOWED: A request with a key is refused.
        UNUSED: A key is ignored.
    """

    NEEDED = "key needed"
    NOT_ALLOWED = "key not allowed"
    UNUSED = "key not looked at"


def _own_trail(rule: OperationRule) -> tuple[str, ...]:
    return (f"operation.{rule.name}",)


def _all_members(rule: OperationRule) -> tuple[Member[object], ...]:
    return (*rule.ids, *rule.query, *(rule.body or ()))


@attrs.frozen(kw_only=True)
class OperationRule:
    """The properties of an operation, as its row of the table `operation` holds them.

    Attributes:
        name: The name of the operation. The fingerprint and the rule's name contain it.
        why: The purpose, with the source of the rule.
        summary: The purpose in a few words, for the OpenAPI document.
        method: The HTTP method.
        path: The path; `{name}` stands for the member of `ids` with that name.
        scope: The scope that the caller needs; `None` for a read.
        key: The way in which the operation treats an idempotency key.
        limit: The rate limit of the app user, which a request of the operation charges; `None` for
            no limit.
        status: The HTTP status of a success.
        ids: The members of the path.
        query: The members of the query; their parsers get text.
        body: The members of the body; `None` if no body is read.
        tags: Whether `If-None-Match` is read: the entity tags of answers that the client holds.
        asks: The beginnings of the names of the rules that can refuse the operation: `recovery`
            stands for all rules whose names begin with `recovery.`. The OpenAPI document lists the
            problems of these rules for the operation.
        rules: A tuple of one: the name of the operation's row, which each decision lists.
        members: All members of path, query and body, in the order of the operation's fields.
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
    ids: tuple[Member[object], ...] = ()
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

    def __attrs_post_init__(self) -> None:
        """Check the status: the response to a success always has a body.

        Raises:
            ArgumentError: The status is no success, or is one of a response without a body.
        """
        if self.status not in _SUCCESSES_WITH_BODY:
            allowed = "a success whose response has a body: 200 to 299, but not 204 or 205"
            raise errors.ArgumentError("status", allowed, str(self.status))

    def __str__(self) -> str:
        scope = self.scope or "no scope"
        limit = "no limit" if self.limit is None else _show_limit(self.limit)
        return f"{self.method} {self.path} → {self.status}; {scope}, {self.key}, {limit}"


def _show_limit(log: ratelimit.ExactLog) -> str:
    window = "a minute" if log.seconds == _MINUTE else f"in {log.seconds} s"
    return f"{log.limit} {window}"


_MINUTE: Final = 60
_SUCCESSES_WITH_BODY: Final = frozenset(range(200, 300)) - {204, 205}


class Reply:
    """The base class of replies: the answer to a request as a value.

    The fields of a success are the members of the response's body, in order.
    """

    __slots__ = ()
    # attrs fills it with the names of the fields.
    __match_args__: ClassVar[tuple[str, ...]] = ()

    @property
    def etag(self) -> str | None:
        """The entity tag of the reply; `None` if it has none."""
        return None


@final
@attrs.frozen
class ProblemReply(Reply):
    """The reply of a refusal; if a rate limit refused, the response shows that limit in headers.

    Attributes:
        problem: The problem.
        limited: The answer of the rate limit that refused; `None` if another rule refused.
    """

    problem: problems.Problem
    limited: ratelimit.RateLimited | None = None


@final
@attrs.frozen
class NotModified(Reply):
    """The reply (a 304) to a client that already holds the answer with the tag `held_etag`."""

    held_etag: str

    @property
    def etag(self) -> str:
        """The entity tag that the client holds."""
        return self.held_etag


@attrs.frozen
class Replayed(Reply):
    """The reply to a retry: the stored `response`, to send byte for byte."""

    response: idempotency.StoredResponse


@attrs.frozen
class Ruling:
    """The result of `Operation.decide`: the reply and the changes.

    Attributes:
        reply: The reply.
        rules: The names of the rules that decided, without the operation's own rule.
        changes: The writes, effects and events to commit.
    """

    reply: Reply
    rules: tuple[str, ...] = ()
    changes: Changes = NO_CHANGES


def ruling_from_refusal(refused: outcomes.Refused) -> Ruling:
    """Convert a refusal to the ruling of an operation: its problem as the reply, no changes."""
    return Ruling(ProblemReply(refused.problem), refused.rules)


class OperationContext:
    """The values from which `Operation.decide` decides; it only reads them.

    Attributes:
        caller: The caller.
        snapshot: The loaded values.
        now: The instant of the request, in UTC.
        needs: The keys of the values in `snapshot`.
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
        """The connection of the request, which exists and belongs to the caller.

        Use it only if the `needs` of the operation, the keys of values to load, name a connection.
        """
        connection = self.snapshot.connection
        assert connection is not None  # noqa: S101 - the gate of ownership refused an unknown one
        return connection

    @property
    def coordinate(self) -> Coordinate:
        """The coordinate of the request: one user of one app.

        Use it only if the `needs` of the operation, the keys of values to load, name a binding.
        """
        assert self.needs.binding is not None  # noqa: S101 - the operation needs its binding
        return self.needs.binding

    @property
    def new_ids(self) -> NewIds:
        """The new ids and the next action; raises `ArgumentError` if `decide` was given none.

        `serve` provides them for an operation that needs a scope of the API key, so not for a read.
        """
        if self.new_ids_or_none is None:
            allowed = "given for a mutation, whose rule has a scope"
            raise errors.ArgumentError("new_ids", allowed)
        return self.new_ids_or_none


class Operation(ABC):
    """The base class of operations: a parsed request, and the rules that decide it.

    Attributes:
        rule: The properties of the operation, such as its method, path, scope and members.
        reply: The class of the reply to a success.
        trigger: The trigger of a connection, such as REVOKE, that the operation fires; `None` if it
            fires none.
    """

    __slots__ = ()
    # attrs fills it with the names of the fields.
    __match_args__: ClassVar[tuple[str, ...]] = ()

    rule: ClassVar[OperationRule]
    reply: ClassVar[type[Reply]]
    trigger: ClassVar[Trigger | None] = None

    @classmethod
    def from_members(cls, parsed: ParsedMembers) -> Self:
        """Build the operation from parsed members.

        The values of `cls.rule.members`, in that order, become its fields. A member that was left
        out gets its default.
        """
        values = parsed.values
        members = [values.get(member.name, member.default) for member in cls.rule.members]
        # A test reads every operation: its members fit its constructor.
        return cls(*members)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Return examples of successes for the OpenAPI document; an empty tuple by default."""
        return ()

    @abstractmethod
    def needs(self, caller: credentials.Caller) -> Needs:
        """Return the keys of the values to load for the operation.

        `Call`, the parsed request, adds the keys of the idempotency record and the rate limits. An
        operation whose rule has a `limit` must name a binding: the limit of that binding's app user
        is charged.
        """

    @abstractmethod
    def decide(self, context: OperationContext) -> Ruling:
        """Decide a request by the operation's own rules; return its reply and changes.

        The request has passed all earlier gates (checks), such as that of ownership. `context` has
        the loaded values.
        """

    def fingerprint_values(self) -> list[str]:
        """Return the parsed values as texts, in a fixed order, for the fingerprint [O].

        The fingerprint tells a retry from another request with the same idempotency key.
        Different values give different texts. For example, `1`, `"1"` and `True` differ, `None`
        differs from an empty text, and `(a,), (b, c)` from `(a, b), (c,)`. The one exception is a
        last field that can be a text or a tuple: `"a"` and `("a",)` give the same text.

        Raises:
            ArgumentError: A field is no text, datetime, tuple, `None` or value of JSON. If an
                operation needs an idempotency key and has such a field, override this method.
        """
        values: list[str] = []
        for name in self.__match_args__:
            value: object = getattr(self, name)
            if isinstance(value, tuple):
                items = cast("tuple[object, ...]", value)
                values.extend([_fingerprint_text(name, item) for item in items])
                if name != self.__match_args__[-1]:
                    # Without a count, items of this tuple could be items of the next one.
                    values.append(f"{_MARK}{len(items)}")
            else:
                values.append(_fingerprint_text(name, value))
        return values


@attrs.frozen
class Example:
    """An example of an operation's success, for the OpenAPI document and for tests.

    Attributes:
        title: The title of the example in the document.
        operation: The operation.
        snapshot: The values that are loaded for the operation.
    """

    title: str
    operation: Operation
    snapshot: Snapshot = attrs.field(factory=Snapshot)


_MARK: Final = "\0"
"""The beginning of a text in a fingerprint that is not the value itself."""


def _fingerprint_text(name: str, value: object) -> str:
    if isinstance(value, str):
        is_ambiguous = value.startswith(_MARK) or value in {"true", "false"}
        return _MARK + value if is_ambiguous else str(value)
    if value is None:
        return _MARK
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"{_MARK}={format_time(value)}"
    try:
        return f"{_MARK}={json.dumps(value, sort_keys=True)}"
    except (TypeError, ValueError):
        allowed = (
            "a text, datetime, tuple, None or value of JSON; else override `fingerprint_values`"
        )
        raise errors.ArgumentError(name, allowed, errors.describe(value)) from None


class ConnectionOperation(Operation):
    """The base class of operations on one connection of the caller, with id `connection_id`."""

    __slots__ = ()
    connection_id: ConnectionId

    def needs(self, caller: credentials.Caller) -> Needs:
        """Return the keys to load: the connection's id.

        The store then loads the connection, its successor, the last connection of its chain and
        the binding of its coordinate.
        """
        del caller
        return Needs(connection=self.connection_id)


class UserOperation(Operation):
    """The base class of operations on one user of the app, with id `app_user_id`."""

    __slots__ = ()
    app_user_id: AppUserId

    def needs(self, caller: credentials.Caller) -> Needs:
        """Return the keys to load: the coordinate of the app user, whose binding is loaded."""
        return Needs(binding=caller.coordinate(self.app_user_id))
