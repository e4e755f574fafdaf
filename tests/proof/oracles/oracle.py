"""Types of oracles, and the words for what a call did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, ParamSpec

from curae_lifecycle.rules.connection import Status
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.web.json import MalformedError
from docs.generate.vectors.cases import cell_id
from tests.support.specimens import Key, refusal

Answer = tuple[Key, str, Key]
"""A cell, the observed behavior in the words of the page, and the trail."""

Oracle = Callable[[], list[Answer]]
Given = ParamSpec("Given")
RAISED: Final = (
    ArgumentError,
    AssertionError,
    AttributeError,
    KeyError,
    MalformedError,
    TypeError,
    ValueError,
)


def answered(
    key: Key, call: Callable[Given, tuple[str, Key]], *given: Given.args, **named: Given.kwargs
) -> Answer:
    """Return what a call does; a mutant may make it raise."""
    try:
        deed, trail = call(*given, **named)
    except RAISED as error:
        return key, f"raises {type(error).__name__}", ()
    return tuple(map(str, key)), deed, trail


def said(answer: Done[object] | Ignored[object] | Refused, to: str = "") -> str:
    """Name an outcome: the new state, ignore, or a refusal with its reason."""
    match answer:
        case Done():
            return to
        case Ignored():
            return "ignore"
        case Refused():
            return refusal(answer)


NOBODY: Final = "Nobody is bound to an UNLINKED coordinate, so no user can be the bound one."
TOMBSTONED: Final = "`tombstone` takes no user: it is the bound one that is gone."
NO_DEADLINE: Final = "`deadline` gives it no end, so no instant is at or after it."
THIS_ERA: Final = "made under the present era"
OTHER_ERA: Final = "made under another era"
NEVER_ENDING: Final = (
    ("EXPIRED", "no revokedAt", THIS_ERA),
    ("REVOKED", "no revokedAt", THIS_ERA),
    *((status, "no revokedAt", OTHER_ERA) for status in Status),
    *((status, "a revokedAt", era) for status in Status for era in (THIS_ERA, OTHER_ERA)),
)
"""Stored status, revocation and era without a deadline."""
UNREACHABLE: Final[dict[Key, str]] = {
    **{
        ("standing", status, revocation, era, "at or after the deadline"): NO_DEADLINE
        for status, revocation, era in NEVER_ENDING
    },
    ("binding", "provision", "UNLINKED", "same user"): NOBODY,
    ("binding", "complete sign-up", "UNLINKED", "same user"): NOBODY,
    ("binding", "graduate", "UNLINKED", "same user"): NOBODY,
    ("binding", "tombstone", "UNLINKED", "same user"): NOBODY,
    ("binding", "tombstone", "LIMITED", "other user, or none bound"): TOMBSTONED,
    ("binding", "tombstone", "ACTIVE", "other user, or none bound"): TOMBSTONED,
    ("binding", "provision", "TOMBSTONED", "same user"): (
        "`provision` raises for the tombstoned user before the table is asked."
    ),
}
"""Cells that no call reaches, with the proof."""

ROOM: Final = "request/room-in-the-store"
"""The case of the cell that only a full store reaches; no decision asks."""
UNREACHABLE_CASES: Final = {
    *(cell_id(table, key) for table, *key in UNREACHABLE if table != "standing"),
    ROOM,
}
"""The cells without a vector, by their case."""
UNASKED_CASES: Final = {cell_id(table, key) for table, *key in UNREACHABLE if table == "standing"}
"""The cells with a vector that no function looks up, by their case."""
