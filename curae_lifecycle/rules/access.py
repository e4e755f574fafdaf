"""Who may read what, until when, and why not.

The law of this module: **access is granted only in ACTIVE, only for a package that the
patient granted, and only until the standing changes**. Everything else is a denial with its
reason; an unknown package is one that was not granted.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Connection, Standing, next_deadline, standing
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.tables import ANY, Axis, Row, Table
from curae_lifecycle.rules.values import check_instant


class PackageGrant(StrEnum):
    """Whether the connection's packages hold the one asked for."""

    GRANTED = "package granted"
    NOT_GRANTED = "package not granted"


class DenialReason(StrEnum):
    """Why access is denied; the standing is asked before the package [O]."""

    PENDING = "PENDING"
    LAPSED = "LAPSED"
    ACTION_REQUIRED = "ACTION_REQUIRED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
    PACKAGE_NOT_GRANTED = "PACKAGE_NOT_GRANTED"


@attrs.frozen
class Grant:
    """A cell's verdict: access."""

    def __str__(self) -> str:
        return "grant"


@attrs.frozen
class Deny:
    """A cell's verdict: no access."""

    reason: DenialReason

    def __str__(self) -> str:
        return f"deny {self.reason}"


PENDING, LAPSED, ACTIVE, ACTION_REQUIRED, EXPIRED, REVOKED = Standing
GRANTED, NOT_GRANTED = PackageGrant
GRANT: Final = Grant()
Why = DenialReason

# fmt: off
ACCESS: Final = Table[tuple[Standing, PackageGrant], Grant | Deny](
    "access",
    "Who may read: only an ACTIVE connection, only a package that was granted.",
    (Axis.of("standing", Standing), Axis.of("package", PackageGrant)),
    Row((PENDING,         ANY),         Deny(Why.PENDING),             "[S] The patient has not authorized yet."),
    Row((LAPSED,          ANY),         Deny(Why.LAPSED),              "[O] The patient did not finish in time."),
    Row((ACTIVE,          GRANTED),     GRANT,                         "[S] The patient authorized it.", name="active"),
    Row((ACTIVE,          NOT_GRANTED), Deny(Why.PACKAGE_NOT_GRANTED), "[S] Not granted.", name="active-other-package"),
    Row((ACTION_REQUIRED, ANY),         Deny(Why.ACTION_REQUIRED),     "[O] Nothing flows until the patient acted."),
    Row((EXPIRED,         ANY),         Deny(Why.EXPIRED),             "[O] Over at `expiresAt`, recorded or not."),
    Row((REVOKED,         ANY),         Deny(Why.REVOKED),             "[S] Revocation ends the access."),
)
"""The table `access`: who may read."""
# fmt: on


@attrs.frozen
class Granted:
    """Access, at this instant, by the rule that is named.

    Attributes:
        valid_until: When to ask again at the latest (exclusive); `None` where only an event
            can end it. A revocation ends it at once, so a cached grant needs a way to die.
    """

    valid_until: datetime | None
    rule: str


@attrs.frozen
class Denied:
    """No access, at this instant, by the rule that is named.

    Its problem, `CONNECTION_ACCESS_DENIED`, is ready to be answered.

    Attributes:
        reason: Why, in a word.
        problem: What a server answers it with.
        rule: The name of the rule that decided.
    """

    reason: DenialReason
    problem: Problem
    rule: str


AccessDecision = Granted | Denied
"""What a question for access is answered: a grant, or a denial with its reason."""


def decide_access(connection: Connection, package: str, now: datetime) -> AccessDecision:
    """Whether `package` may be read over `connection` at `now`, a UTC instant [S]."""
    check_instant("now", now)
    held = package in connection.identity.data_packages
    row = ACCESS[standing(connection, now), GRANTED if held else NOT_GRANTED]
    if isinstance(row.outcome, Grant):
        return Granted(next_deadline(connection), row.rule)
    reason = row.outcome.reason
    values = (connection.id, package, reason)
    return Denied(reason, Problem(ProblemCode.CONNECTION_ACCESS_DENIED, values), row.rule)
