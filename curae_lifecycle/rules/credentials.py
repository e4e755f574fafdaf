"""API keys, their callers, scopes and environments.

The laws of this module: **an API key is opaque** and shows in no repr, exception, problem or
fingerprint; servers find the caller by the key's digest. **One key belongs to one app, one
customer account and one environment** [S], and a caller acts only within them.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules import values
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import PROCEED, Proceed, Refused, RefuseWith
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.tables import ANY, Axis, Row, Table

CONNECTION_WRITE: Final = "connection:write"
"""The scope of every mutation [S]; reads need a valid key and no scope [O]."""


@attrs.frozen
class ApiKey:
    """An API key, which is secret: no repr shows it. Two keys are equal if their text is equal.

    Raises:
        ArgumentError: The text is empty or holds anything but visible ASCII without spaces.
    """

    _secret: str = attrs.field(repr=False)

    def __attrs_post_init__(self) -> None:
        """Check that a client can send the key in a header.

        Raises:
            ArgumentError: The key is empty, or holds a character other than visible ASCII.
        """
        values.check_type(
            "api key", self._secret, str, allowed="visible ASCII characters without spaces"
        )
        if not (self._secret.isascii() and self._secret.isprintable()) or " " in self._secret:
            raise ArgumentError("api key", "visible ASCII characters without spaces")
        if not self._secret:
            raise ArgumentError("api key", "not empty")

    def digest(self) -> str:
        """Return the SHA-256 of the key, in hex.

        A server stores the digest instead of the key, and finds the caller by it.
        """
        return hashlib.sha256(self._secret.encode()).hexdigest()


@attrs.frozen
class KeyOwner:
    """An API key's id with its app, account and environment [P; the latter three O].

    Idempotency records and rate-limit buckets belong to a `KeyOwner`. If the same key id is
    registered again for another app, account or environment, the two owners share no records and
    no buckets.

    Attributes:
        api_key_id: The server's id of the key, which is no secret.
        environment: Test or live.
        app_id: The SDK app's id.
        customer_account_id: The customer account's id.
    """

    api_key_id: values.ApiKeyId
    environment: values.Environment
    app_id: values.AppId
    customer_account_id: values.CustomerAccountId


def _build_key_owner(caller: Caller) -> KeyOwner:
    return KeyOwner(
        api_key_id=caller.api_key_id,
        environment=caller.environment,
        app_id=caller.app_id,
        customer_account_id=caller.customer_account_id,
    )


@attrs.frozen
class Caller:
    """The app, customer account and environment that an API key stands for, with its scopes.

    Attributes:
        api_key_id: The server's id of the key, which is no secret.
        app_id: The SDK app's id.
        customer_account_id: The customer account's id.
        environment: Test or live.
        scopes: The key's permissions, such as `connection:write`.
        key_owner: The owner of the caller's idempotency records and buckets, built from the fields.
    """

    api_key_id: values.ApiKeyId
    app_id: values.AppId
    customer_account_id: values.CustomerAccountId
    environment: values.Environment
    scopes: frozenset[str]
    key_owner: KeyOwner = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_build_key_owner, takes_self=True)
    )

    def __attrs_post_init__(self) -> None:
        """Check the members, because every request of the key is decided by them.

        Raises:
            ArgumentError: An id is empty or no text, the account is no UUID in lower case, the
                environment is no `Environment`, or the scopes are no frozenset of texts.
        """
        values.parse_opaque("api_key_id", self.api_key_id)
        values.parse_opaque("app_id", self.app_id)
        values.check_uuid("customer_account_id", self.customer_account_id)
        values.check_environment("environment", self.environment)
        # A str would grant each scope that is part of it.
        values.check_type("scopes", self.scopes, frozenset, allowed="a frozenset of scopes")
        for scope in self.scopes:
            values.parse_opaque("scopes", scope)

    def coordinate(self, app_user_id: values.AppUserId) -> values.Coordinate:
        """Return the coordinate of one of the caller's users.

        `app_user_id` is the app's own id of the user.
        """
        return values.Coordinate(
            environment=self.environment,
            app_id=self.app_id,
            customer_account_id=self.customer_account_id,
            app_user_id=app_user_id,
        )

    def owns(self, coordinate: values.Coordinate) -> bool:
        """Return whether a coordinate has the caller's app, customer account and environment."""
        return (
            coordinate.environment == self.environment
            and coordinate.app_id == self.app_id
            and coordinate.customer_account_id == self.customer_account_id
        )


class EnvironmentMatch(StrEnum):
    """The two cases of a caller's environment: served by this server, or not.

    Attributes:
        SERVED: The server serves the caller's environment.
        OTHER: The server serves only the other environment.
    """

    SERVED = "environment served"
    OTHER = "another environment"


class ScopeHeld(StrEnum):
    """The two cases of a caller: it has the scope that an operation needs, or lacks it.

    Attributes:
        HELD: The caller has the scope, or the operation needs none.
        MISSING: The caller lacks the scope.
    """

    HELD = "scope held or not needed"
    MISSING = "scope missing"


SERVED, OTHER = EnvironmentMatch
HELD, MISSING = ScopeHeld

NO_SCOPE: Final = RefuseWith(ProblemCode.SCOPE_INSUFFICIENT)
WRONG_ENVIRONMENT: Final = RefuseWith(ProblemCode.WRONG_ENVIRONMENT)

# fmt: off
PERMISSION: Final = Table[tuple[EnvironmentMatch, ScopeHeld], Proceed | RefuseWith](
    "permission",
    "Whether a known caller may run an operation here; the environment is asked first.",
    (Axis.of("environment", EnvironmentMatch), Axis.of("scope", ScopeHeld)),
    Row((SERVED, HELD), PROCEED, "[S] The key has the scope that the operation needs.", name="granted"),
    Row((SERVED, MISSING), NO_SCOPE, "[S] A mutation needs connection:write.", name="scope-missing"),
    Row((OTHER, ANY), WRONG_ENVIRONMENT, "[P] Test and live never mix; it comes first [O].", name="wrong-environment"),
)
"""The table `permission`: the permission of a known caller to run an operation on this server."""
# fmt: on


def check_permission(
    caller: Caller, scope: str | None, served: values.Environment | None
) -> Refused | None:
    """Return the refusal if the caller may not run an operation on this server.

    Args:
        caller: The caller of the operation.
        scope: The scope that the operation needs; `None` for a read, which needs none.
        served: The one environment that the server serves; `None` if it serves both.

    Returns:
        Refused: `WRONG_ENVIRONMENT` if the server does not serve the caller's environment, else
            `SCOPE_INSUFFICIENT` if the caller lacks `scope`. `None`: the caller may run it.
    """
    environment = SERVED if served in (None, caller.environment) else OTHER
    held = HELD if scope is None or scope in caller.scopes else MISSING
    row = PERMISSION[environment, held]
    match row.outcome:
        case Proceed():
            return None
        case RefuseWith(ProblemCode.SCOPE_INSUFFICIENT as code):
            return Refused(Problem(code, (scope,)), row.rules)
        case RefuseWith(code):
            return Refused(Problem(code, (caller.environment,)), row.rules)
