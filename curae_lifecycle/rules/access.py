"""Access to data: grants with their end, and denials with their reason.

The law of this module: **access is granted only in ACTIVE, only for a package that the
patient granted, and only until the standing changes**. Everything else is denied with a reason. An
unknown package counts as not granted.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Connection, Standing, next_deadline, standing
from curae_lifecycle.rules.outcomes import Reason
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.tables import ANY, Axis, Row, Table


class PackageGrant(StrEnum):
    """The two cases of a requested data package: granted to the connection, or not.

    Attributes:
        GRANTED: The package is one of the connection's packages.
        NOT_GRANTED: The connection does not have the package, or no such package exists.
    """

    GRANTED = "package granted"
    NOT_GRANTED = "package not granted"


class DenialReason(Reason):
    """The reasons to deny reading a data package over a connection [O].

    PENDING, LAPSED, ACTION_REQUIRED, EXPIRED and REVOKED name the standing of the connection.
    PACKAGE_NOT_GRANTED says that the connection is ACTIVE, but the patient did not grant the
    package.
    """

    PENDING = "PENDING", "Wait for the patient."
    LAPSED = "LAPSED", "Reconnect: the patient did not finish in time."
    ACTION_REQUIRED = "ACTION_REQUIRED", "Reconnect: the patient must act."
    EXPIRED = "EXPIRED", "Reconnect: the authorization ended."
    REVOKED = "REVOKED", "Reconnect: the authorization was revoked."
    PACKAGE_NOT_GRANTED = "PACKAGE_NOT_GRANTED", "Ask for another package."


@attrs.frozen
class Grant:
    """The outcome of a cell of the table `access`: the data package may be read.

    `decide_access` then returns `Granted`.
    """

    def __str__(self) -> str:
        return "grant"


@attrs.frozen
class Deny:
    """The outcome of a cell of the table `access`: reading is denied, for `reason`.

    `decide_access` then returns `Denied`.
    """

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
"""The table `access`: whether a data package may be read, or the reason of the denial."""
# fmt: on


@attrs.frozen
class Granted:
    """The answer of `decide_access` if the data package may be read.

    Attributes:
        valid_until: When the access ends by itself (exclusive); `None` if only an event can end the
            access. A revocation ends the access earlier, so drop a cached answer then.
        rule: The name of the rule of the table `access` that decided.
    """

    valid_until: datetime | None
    rule: str


@attrs.frozen
class Denied:
    """The answer of `decide_access` if reading the data package is denied.

    Attributes:
        reason: The reason of the denial.
        problem: The problem for the response, `CONNECTION_ACCESS_DENIED`.
        rule: The name of the rule of the table `access` that decided.
    """

    reason: DenialReason
    problem: Problem
    rule: str


AccessDecision = Granted | Denied
"""The answer of `decide_access`."""


def decide_access(
    connection: Connection, package: str, now: datetime, *, era: datetime | None
) -> AccessDecision:
    """Decide whether a data package may be read over a connection at an instant [S].

    Args:
        connection: The connection as it is stored.
        package: The name of the data package to read; an unknown one is denied as not granted.
        now: The instant, in UTC.
        era: When the coordinate's user was last recorded as gone (tombstoned); `None` if never.
            `binding.present_era` returns this instant.

    Returns:
        `Granted`: the package may be read. `Denied`: reading it is denied, with the reason.

    Raises:
        ArgumentError: `now` is not a UTC instant.
    """
    held = GRANTED if package in connection.identity.data_packages else NOT_GRANTED
    row = ACCESS[standing(connection, now, era=era), held]
    if isinstance(row.outcome, Grant):
        return Granted(next_deadline(connection, era=era), row.rule)
    reason = row.outcome.reason
    values = (connection.id, package, reason)
    return Denied(reason, Problem(ProblemCode.CONNECTION_ACCESS_DENIED, values), row.rule)
