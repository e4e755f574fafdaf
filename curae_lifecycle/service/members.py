"""Members of requests and facts: their names on the wire, their parsers, schemas and examples.

The law of this module: **a member is parsed once, where it enters**. The `ArgumentError` of its
parser says what is allowed.
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
from curae_lifecycle.service import json_schema
from curae_lifecycle.service.json_schema import Json, Schema

Value = TypeVar("Value", covariant=True)
Wanted = TypeVar("Wanted")
Word = TypeVar("Word", bound=StrEnum)

_ID: Final = "6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d01"


@attrs.frozen
class Member(Generic[Value]):
    """The definition of one member (a named value) of a request or a fact.

    Attributes:
        name: The name of the member on the wire.
        parse: Parses a JSON value, or raises `ArgumentError`. In a path or query it gets text.
        optional: Whether the member may be left out.
        default: The parsed value of a member that was left out.
        schema: The JSON schema of the value; an empty one allows any value.
        example: A JSON value that the member may have; `None` for a member without an example.
    """

    name: str
    parse: Callable[[object], Value] = attrs.field(repr=False)
    optional: bool = False
    default: Value | None = None
    schema: Schema = attrs.field(factory=dict[str, Json], eq=False, repr=False, kw_only=True)
    example: Json = attrs.field(default=None, eq=False, repr=False, kw_only=True)


@attrs.frozen
class EntityTags:
    """The entity tags that a client sent in `If-None-Match`.

    An entity tag names a version of a response that the client holds. For an `EntityTags` named
    `sent`, `tag in sent` is true if one of the tags in it matches `tag`.

    Attributes:
        tags: Each tag with its quotes, without `W/`.
        matches_any: Whether the client sent `*`, which matches every tag.
    """

    tags: frozenset[str] = frozenset()
    matches_any: bool = False

    def __contains__(self, tag: object) -> bool:
        return self.matches_any or tag in self.tags


NO_TAGS: Final = EntityTags()
"""The entity tags of a client that sends none."""


@attrs.frozen
class ParsedMembers:
    """The parsed members of a request or a fact; `parsed[member]` returns a value or its default.

    Attributes:
        values: The values by the names of their members. A user's id can be among them, so no
            repr shows them.
        tags: The entity tags that the client sent in `If-None-Match`; none for a fact.
    """

    values: dict[str, object] = attrs.field(repr=False)
    tags: EntityTags = NO_TAGS

    def __getitem__(self, member: Member[Wanted]) -> Wanted:
        """Return the value of a member, or its default if it was left out."""
        # The member's own parser made the value.
        return cast("Wanted", self.values.get(member.name, member.default))

    def coordinate(self) -> Coordinate:
        """Build the coordinate of a fact from its environment, app, account and app user.

        Use it only for a fact that has these four members (`COORDINATE_MEMBERS`). The environment
        is live if it was left out; the others are never left out.
        """
        return Coordinate(
            environment=self[ENVIRONMENT],
            app_id=self[APP_ID],
            customer_account_id=self[CUSTOMER_ACCOUNT_ID],
            app_user_id=self[APP_USER_ID],
        )


def parse_enum(name: str, kind: type[Word], value: object) -> Word:
    """Return the member of the enumeration `kind` that `value` spells.

    Args:
        name: The name on the wire, for the error.
        kind: The enumeration.
        value: The value to parse.

    Raises:
        ArgumentError: The value is not the text of a member of `kind`.
    """
    if isinstance(value, str):
        try:
            return kind(value)
        except ValueError:
            pass
    raise ArgumentError(name, f"one of {', '.join(kind)}")


def parse_lenient_id(name: str, value: object) -> str:
    """Return any text as an id, in lower case.

    Unlike `parse_connection_id`, it accepts text that is no UUID. No connection has such an id, so
    it is refused later, as an unknown id [O].

    Args:
        name: The name on the wire, for the error.
        value: The value to parse.

    Raises:
        ArgumentError: The value is not text.
    """
    if isinstance(value, str):
        return value.lower()
    raise ArgumentError(name, "a string")


def parse_account_id(value: object) -> values.CustomerAccountId:
    """Parse the id of a customer account, a UUID in any case, and return it in lower case.

    Raises:
        ArgumentError: The value is not the text of a UUID with hyphens.
    """
    return values.CustomerAccountId(values.parse_uuid("customerAccountId", value))


def parse_flag(value: object) -> bool:
    """Check that a value is true or false, and return it unchanged.

    Raises:
        ArgumentError: The value is not a boolean.
    """
    if isinstance(value, bool):
        return value
    raise ArgumentError("flag", "true or false")


def parse_connection_id(value: object) -> values.ConnectionId:
    """Parse the id of a connection, a UUID in any case, and return it in lower case.

    Raises:
        ArgumentError: The value is not the text of a UUID with hyphens.
    """
    return values.ConnectionId(values.parse_uuid("connectionId", value))


APP_USER_ID: Final = Member(
    "appUserId", values.parse_app_user_id, schema=json_schema.APP_USER_ID, example="user-1"
)
"""The member `appUserId` of a query, a body or a fact: the app's own id of its user."""

DATA_PACKAGES: Final = Member(
    "dataPackages",
    values.parse_data_packages,
    schema=json_schema.DATA_PACKAGES,
    example=["clinical_summary", "labs"],
)
"""The member `dataPackages` of a body: the packages that a connection is for."""

_SIGN_UP: Final = "Whether a user without an account is to sign up."
PREFER_SIGNUP: Final = Member(
    "preferSignup",
    parse_flag,
    optional=True,
    default=False,
    schema={"type": "boolean", "default": False, "description": _SIGN_UP},
    example=True,
)
"""The member `preferSignup` of a body: whether a new user is to sign up; false if left out."""

CONNECTION_ID: Final = Member(
    "connectionId", parse_connection_id, schema=json_schema.UUID, example=_ID
)
"""The member `connectionId` of a request's path; only a UUID is allowed."""

FACT_CONNECTION_ID: Final = Member(
    "connectionId",
    lambda value: values.ConnectionId(parse_lenient_id("connectionId", value)),
    schema=json_schema.TEXT,
    example=_ID,
)
"""The member `connectionId` of a fact; it may be no UUID, and then names no connection."""

FACT_SESSION_ID: Final = Member(
    "sessionId",
    lambda value: values.SessionId(parse_lenient_id("sessionId", value)),
    schema=json_schema.TEXT,
    example="6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d03",
)
"""The member `sessionId` of a fact; it may be no UUID, and then names no session."""

REASON: Final = Member(
    "reason",
    lambda value: values.parse_opaque("reason", value),
    schema=json_schema.TEXT,
    example="portal_login",
)
"""The member `reason` of a fact: why the patient must act. Responses show it."""

ACTOR: Final = Member(
    "actor",
    lambda value: parse_enum("actor", Actor, value),
    schema=json_schema.enum_of(Actor),
    example=Actor.PATIENT,
)
"""The member `actor` of a fact: the actor that revoked, such as the patient."""

USER_ID: Final = Member(
    "userId",
    lambda value: UserId(values.parse_opaque("userId", value)),
    schema=json_schema.TEXT,
    example="user-of-the-platform",
)
"""The member `userId` of a fact: the platform's id of the user."""

OPTIONAL_USER_ID: Final[Member[UserId | None]] = Member(
    "userId", USER_ID.parse, optional=True, schema=USER_ID.schema, example=USER_ID.example
)
"""The member `userId` of a fact that may leave it out: the platform's id of the user."""

ENVIRONMENT: Final = Member(
    "environment",
    lambda value: parse_enum("environment", Environment, value),
    optional=True,
    default=Environment.LIVE,
    schema=json_schema.enum_of(Environment),
    example=Environment.LIVE,
)
"""The member `environment` of a fact; live if it is left out."""

APP_ID: Final = Member(
    "appId",
    lambda value: values.AppId(values.parse_opaque("appId", value)),
    schema=json_schema.TEXT,
    example="app-1",
)
"""The member `appId` of a fact: the id of the customer's app."""

CUSTOMER_ACCOUNT_ID: Final = Member(
    "customerAccountId",
    parse_account_id,
    schema=json_schema.UUID,
    example="0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f",
)
"""The member `customerAccountId` of a fact, or of a connection that another system sent."""

COORDINATE_MEMBERS: Final = (ENVIRONMENT, APP_ID, CUSTOMER_ACCOUNT_ID, APP_USER_ID)
"""The members of a fact that together name a coordinate: one user of one app."""

EXPIRES_AT: Final[Member[datetime | None]] = Member(
    "expiresAt",
    lambda value: values.parse_time("expiresAt", value),
    optional=True,
    schema=json_schema.TIME,
)
"""The member `expiresAt` of a fact; without it the authorization has no end."""

PAGE_URL: Final[Member[str | None]] = Member(
    "pageUrl",
    lambda value: values.parse_opaque("pageUrl", value),
    optional=True,
    schema=json_schema.TEXT,
)
"""The member `pageUrl` of a fact: the URL of the hosted page that the fact comes from."""

HAPPENED_AT: Final[Member[datetime | None]] = Member(
    "happenedAt",
    lambda value: values.parse_time("happenedAt", value),
    optional=True,
    schema=json_schema.TIME,
)
"""The member `happenedAt` of a fact; if it is left out, the fact happened when it is recorded."""
