"""The spelling of a connection's standing on the wire, and the reading of that spelling.

The law of this module: **the wire has five statuses, and LAPSED is none of them**. An unknown
status is not read as any status, so it never grants anything.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules.connection import RevocationState, Standing, Status
from curae_lifecycle.rules.outcomes import Value
from curae_lifecycle.rules.tables import ANY, Axis, Row, Table


class WireStatus(StrEnum):
    """The status of a connection in a response: five words [S], and a second word for ACTIVE.

    AUTHORIZED is another spelling of ACTIVE [P]. The others mean the same as in `Status`, the
    stored status. A PENDING connection whose hand-off deadline is reached is shown as EXPIRED.
    """

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    AUTHORIZED = "AUTHORIZED"
    ACTION_REQUIRED = "ACTION_REQUIRED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


class AuthorizationEvidence(StrEnum):
    """The two cases of a connection in a response: the patient once authorized it, or not.

    Attributes:
        SHOWN: The response has an `authorizedAt` or an `actionRequiredReason`.
        NONE: The response has neither. The status EXPIRED then stands for a PENDING connection
            whose hand-off ended.
    """

    SHOWN = "authorizedAt or a reason"
    NONE = "neither authorizedAt nor a reason"


@attrs.frozen
class ReadAs:
    """The outcome of a cell of the table `stored-status`: how a status in a response is read back.

    Attributes:
        status: The stored status that the response stands for.
        lapsed: True for a PENDING connection whose hand-off had ended, which a response shows as
            EXPIRED.
    """

    status: Status
    lapsed: bool = False

    def __str__(self) -> str:
        return f"{self.status}, its hand-off over" if self.lapsed else str(self.status)


SHOWN, NONE = AuthorizationEvidence
NEVER, ONCE = RevocationState
TO_PENDING: Final = ReadAs(Status.PENDING)
TO_LAPSED: Final = ReadAs(Status.PENDING, lapsed=True)
TO_ACTIVE: Final = ReadAs(Status.ACTIVE)
TO_ACTION: Final = ReadAs(Status.ACTION_REQUIRED)
TO_EXPIRED: Final = ReadAs(Status.EXPIRED)
TO_REVOKED: Final = ReadAs(Status.REVOKED)

PENDING, LAPSED, ACTIVE, ACTION_REQUIRED, EXPIRED, REVOKED = Standing

# fmt: off
WIRE_STATUS: Final = Table[Standing, Value[WireStatus]](
    "wire-status",
    "How each standing is spelled on the wire.",
    Axis.of("standing", Standing),
    Row(PENDING,         Value(WireStatus.PENDING),         "[S] Waits for the patient."),
    Row(LAPSED,          Value(WireStatus.EXPIRED),         "[O] Recovered like an expiry, so shown as one."),
    Row(ACTIVE,          Value(WireStatus.ACTIVE),          "[S] Spelled AUTHORIZED where the server asks for it [P]."),
    Row(ACTION_REQUIRED, Value(WireStatus.ACTION_REQUIRED), "[S] Waits for the patient to act."),
    Row(EXPIRED,         Value(WireStatus.EXPIRED),         "[S] Over, recorded or not."),
    Row(REVOKED,         Value(WireStatus.REVOKED),         "[S] For ever."),
)
"""The table `wire-status`: the status that a response shows for each standing."""

STORED_STATUS: Final = Table[tuple[WireStatus, RevocationState, AuthorizationEvidence], ReadAs](
    "stored-status",
    "What each status of the wire is read as.",
    (
        Axis.of("wire status", WireStatus),
        Axis.of("revocation", RevocationState),
        Axis.of("snapshot", AuthorizationEvidence),
    ),
    Row((ANY,                        ONCE,  ANY),   TO_REVOKED, "[O] Contradictions fail closed.", name="revoked-at"),
    Row((WireStatus.PENDING,         NEVER, ANY),   TO_PENDING, "[S] As it is spelled.", name="pending"),
    Row((WireStatus.ACTIVE,          NEVER, ANY),   TO_ACTIVE,  "[S] As it is spelled.", name="active"),
    Row((WireStatus.AUTHORIZED,      NEVER, ANY),   TO_ACTIVE,  "[P] Two pages spell ACTIVE so.", name="authorized"),
    Row((WireStatus.ACTION_REQUIRED, NEVER, ANY),   TO_ACTION,  "[S] As it is spelled.", name="action-required"),
    Row((WireStatus.EXPIRED,         NEVER, SHOWN), TO_EXPIRED, "[S] As it is spelled.", name="expired"),
    Row((WireStatus.EXPIRED,         NEVER, NONE),  TO_LAPSED,  "[O] It lapsed.", name="lapsed"),
    Row((WireStatus.REVOKED,         NEVER, ANY),   TO_REVOKED, "[S] As it is spelled.", name="revoked"),
)
"""The table `stored-status`: the stored status that each status of a response is read as."""
# fmt: on
