"""The members of requests and facts: each one's name on the wire, and what it may be.

The law of this module: **a member is parsed once, where it enters**; what it may be is said by
the `ArgumentError` that refuses it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Final, Generic, TypeVar, cast

import attrs

from curae_lifecycle.rules import values
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import Coordinate, Environment, UserId

Value = TypeVar("Value", covariant=True)
Wanted = TypeVar("Wanted")
Word = TypeVar("Word", bound=StrEnum)


@attrs.frozen
class Member(Generic[Value]):
    """One member of a request or a fact: its name on the wire, and what parses it.

    An optional one is `default` where it was not sent.
    """

    name: str
    parse: Callable[[object], Value] = attrs.field(repr=False)
    optional: bool = False
    default: Value | None = None


@attrs.frozen
class EntityTags:
    """The entity tags that a client says it holds.

    Attributes:
        tags: Each with its quotes, without `W/`.
        matches_any: Whether it was `*`: whatever there is.
    """

    tags: frozenset[str] = frozenset()
    matches_any: bool = False

    def __contains__(self, tag: object) -> bool:
        return self.matches_any or tag in self.tags


NO_TAGS: Final = EntityTags()
"""What a client holds that says nothing."""


@attrs.frozen
class ParsedMembers:
    """What was sent, parsed: one value for each member that an operation or a fact has.

    The values go by the members' names; a user's id can be among them, so no repr shows them.

    Attributes:
        values: By the members' names.
        tags: The entity tags that the client holds.
    """

    values: dict[str, object] = attrs.field(repr=False)
    tags: EntityTags = NO_TAGS

    def __getitem__(self, member: Member[Wanted]) -> Wanted:
        """The value of a member, or what it is where it is absent."""
        # The member's own parser made the value.
        return cast("Wanted", self.values.get(member.name, member.default))

    def coordinate(self) -> Coordinate:
        """The coordinate that the members of `COORDINATE` make."""
        return Coordinate(
            environment=self[ENVIRONMENT],
            app_id=self[APP_ID],
            customer_account_id=self[CUSTOMER_ACCOUNT_ID],
            app_user_id=self[APP_USER_ID],
        )


def parse_enum(name: str, kind: type[Word], value: object) -> Word:
    """One of an enumeration's words.

    Args:
        name: The member's name.
        kind: The enumeration.
        value: What came in.

    Raises:
        ArgumentError: It is none of them.
    """
    if isinstance(value, str):
        try:
            return kind(value)
        except ValueError:
            pass
    raise ArgumentError(name, f"one of {', '.join(kind)}")


def parse_lenient_id(name: str, value: object) -> str:
    """An id in lower case; one that is no UUID is unknown [O], so it goes on to be refused.

    Args:
        name: The member's name.
        value: What came in.

    Raises:
        ArgumentError: It is no text.
    """
    if isinstance(value, str):
        return value.lower()
    raise ArgumentError(name, "a string")


def parse_account_id(value: object) -> values.CustomerAccountId:
    """A customer account's id: a UUID, in any case."""
    return values.CustomerAccountId(values.parse_uuid("customerAccountId", value))


def parse_flag(value: object) -> bool:
    """True or false.

    Raises:
        ArgumentError: It is neither true nor false.
    """
    if isinstance(value, bool):
        return value
    raise ArgumentError("flag", "true or false")


def parse_connection_id(value: object) -> values.ConnectionId:
    """A connection's id: a UUID, in any case."""
    return values.ConnectionId(values.parse_uuid("connectionId", value))


APP_USER_ID: Final = Member("appUserId", values.parse_app_user_id)
"""`appUserId` of a query or a body."""

DATA_PACKAGES: Final = Member("dataPackages", values.parse_data_packages)
"""`dataPackages` of a body."""

PREFER_SIGNUP: Final = Member("preferSignup", parse_flag, optional=True, default=False)
"""`preferSignup` of a body; absent is false."""

CONNECTION_ID: Final = Member("connectionId", parse_connection_id)
"""A connection's id in a request; anything but a UUID is malformed."""

FACT_CONNECTION_ID: Final = Member(
    "connectionId", lambda value: values.ConnectionId(parse_lenient_id("connectionId", value))
)
"""A connection's id in a fact; anything but a UUID is unknown."""

FACT_SESSION_ID: Final = Member(
    "sessionId", lambda value: values.SessionId(parse_lenient_id("sessionId", value))
)
"""`sessionId` of a fact."""

REASON: Final = Member("reason", lambda value: values.parse_opaque("reason", value))
"""Why a patient must act: a token or text of the server's, shown on the wire."""

ACTOR: Final = Member("actor", lambda value: parse_enum("actor", Actor, value))
"""`actor` of a fact."""

USER_ID: Final = Member("userId", lambda value: UserId(values.parse_opaque("userId", value)))
"""`userId` of a fact."""

OPTIONAL_USER_ID: Final[Member[UserId | None]] = Member("userId", USER_ID.parse, optional=True)
"""`userId` of a fact that may leave it out."""

ENVIRONMENT: Final = Member(
    "environment",
    lambda value: parse_enum("environment", Environment, value),
    optional=True,
    default=Environment.LIVE,
)
"""`environment` of a fact; absent is live."""

APP_ID: Final = Member("appId", lambda value: values.AppId(values.parse_opaque("appId", value)))
"""`appId` of a fact."""

CUSTOMER_ACCOUNT_ID: Final = Member("customerAccountId", parse_account_id)
"""`customerAccountId` of a fact or a snapshot."""

COORDINATE_MEMBERS: Final = (ENVIRONMENT, APP_ID, CUSTOMER_ACCOUNT_ID, APP_USER_ID)
"""The members by which a fact names a coordinate."""

EXPIRES_AT: Final[Member[datetime | None]] = Member(
    "expiresAt", lambda value: values.parse_time("expiresAt", value), optional=True
)
"""`expiresAt` of a fact; absent is never."""

HAPPENED_AT: Final[Member[datetime | None]] = Member(
    "happenedAt", lambda value: values.parse_time("happenedAt", value), optional=True
)
"""`happenedAt` of a fact; absent is now."""
