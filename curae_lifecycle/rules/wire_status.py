"""How a connection's standing is spelled on the wire, and what a spelling is read as.

The law of this module: **the wire has five statuses, and LAPSED is none of them**; a status that
nobody knows is read as nothing at all, so it never grants anything.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from curae_lifecycle.rules.connection import (
    ACTION_REQUIRED,
    ACTIVE,
    EXPIRED,
    LAPSED,
    PENDING,
    REVOKED,
    Standing,
    Status,
)
from curae_lifecycle.rules.outcomes import Is
from curae_lifecycle.rules.tables import ANY, Axis, Row, Table


class WireStatus(StrEnum):
    """The five statuses of the wire [S], and the spelling of ACTIVE in two places [P]."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    AUTHORIZED = "AUTHORIZED"
    ACTION_REQUIRED = "ACTION_REQUIRED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


class Trace(StrEnum):
    """Whether a snapshot shows that the connection was ever more than pending."""

    SHOWN = "authorizedAt or a reason"
    NONE = "neither authorizedAt nor a reason"


@attrs.frozen
class ReadAs:
    """A cell's verdict: the stored status, and whether its hand-off was over by then."""

    status: Status
    lapsed: bool = False

    def __str__(self) -> str:
        return f"{self.status}, its hand-off over" if self.lapsed else str(self.status)


# fmt: off
WIRE_STATUS: Final = Table[Standing, Is[WireStatus]](
    "wire-status",
    "How each standing is spelled on the wire.",
    Axis.of("standing", Standing),
    Row(PENDING,         Is(WireStatus.PENDING),         "[S] Waits for the patient."),
    Row(LAPSED,          Is(WireStatus.EXPIRED),         "[O] Recovered like an expiry, so shown as one."),
    Row(ACTIVE,          Is(WireStatus.ACTIVE),          "[S] Spelled AUTHORIZED where the server asks for it [P]."),
    Row(ACTION_REQUIRED, Is(WireStatus.ACTION_REQUIRED), "[S] Waits for the patient to act."),
    Row(EXPIRED,         Is(WireStatus.EXPIRED),         "[S] Over, recorded or not."),
    Row(REVOKED,         Is(WireStatus.REVOKED),         "[S] For ever."),
)

STORED_STATUS: Final = Table[tuple[WireStatus, Trace], ReadAs](
    "stored-status",
    "What each status of the wire is read as.",
    (Axis.of("wire status", WireStatus), Axis.of("snapshot", Trace)),
    Row((WireStatus.PENDING,         ANY),         ReadAs(Status.PENDING),         "[S] As it is spelled."),
    Row((WireStatus.ACTIVE,          ANY),         ReadAs(Status.ACTIVE),          "[S] As it is spelled."),
    Row((WireStatus.AUTHORIZED,      ANY),         ReadAs(Status.ACTIVE),          "[P] Two pages spell ACTIVE so."),
    Row((WireStatus.ACTION_REQUIRED, ANY),         ReadAs(Status.ACTION_REQUIRED), "[S] As it is spelled."),
    Row((WireStatus.EXPIRED,         Trace.SHOWN), ReadAs(Status.EXPIRED),         "[S] As it is spelled.", "expired"),
    Row((WireStatus.EXPIRED,         Trace.NONE),  ReadAs(Status.PENDING, True),   "[O] It lapsed.", "lapsed"),
    Row((WireStatus.REVOKED,         ANY),         ReadAs(Status.REVOKED),         "[S] As it is spelled."),
)
# fmt: on
