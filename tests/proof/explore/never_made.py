"""The cells of the tables that no small world reaches, each with its reason."""

from __future__ import annotations

from typing import Final

from curae_lifecycle.rules.connection import EraState, Status

# Values that only a server could store itself: no function builds them.
_BY_HAND: Final = "a revocation stores its status with its instant"
_BOTH: Final = (("deadline",), ("standing", "before the deadline, or none set"))
NEVER_MADE: Final[dict[tuple[str, ...], str]] = {
    **{
        (*cell, era, *clock): _BY_HAND
        for era in EraState
        for table, *clock in _BOTH
        for cell in (
            (table, "REVOKED", "no revokedAt"),
            *[(table, each, "a revokedAt") for each in Status if each is not Status.REVOKED],
        )
    },
    **{
        (
            table,
            "EXPIRED",
            "no revokedAt",
            EraState.OTHER,
            *clock,
        ): "no world records an expiry first"
        for table, *clock in _BOTH
    },
    ("completion", "EXISTING_ACTIVE_HANDOFF", "waiting, made under another era"): (
        "path A is minted landed"
    ),
    ("completion", "EXISTING_ACTIVE_HANDOFF", "waiting"): "path A is minted landed",
    ("completion", "EXISTING_ACTIVE_HANDOFF", "over without landing"): "path A is minted landed",
    ("completion", "SILENT_LIMITED", "landed for the same user"): "path C never lands",
    ("completion", "SILENT_LIMITED", "landed for another user"): "path C never lands",
    **{
        ("record-standing", state, "lease running", lost): "only an attempt in flight has a lease"
        for state in ("RELEASED", "COMPLETED", "FORGOTTEN")
        for lost in ("execute", "unknown")
    },
}
