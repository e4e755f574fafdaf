"""Table cells with another outcome for the duration of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final, cast

import attrs

from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.testing.cells import replace_row

_NOBODY: Final = "nobody is bound, so no user can be the bound one"
_ITSELF: Final = "a tombstone names no user: it is always the bound one's"
UNREACHABLE: Final = {
    "binding/provision/UNLINKED/same-user": _NOBODY,
    "binding/complete-sign-up/UNLINKED/same-user": _NOBODY,
    "binding/graduate/UNLINKED/same-user": _NOBODY,
    "binding/tombstone/UNLINKED/same-user": _NOBODY,
    "binding/provision/TOMBSTONED/same-user": "a mistake that raises before the table is asked",
    "binding/tombstone/LIMITED/other-user-or-none-bound": _ITSELF,
    "binding/tombstone/ACTIVE/other-user-or-none-bound": _ITSELF,
    "request/room-in-the-store": "only a store can be full; no decision asks",
}
"""The cells that no function can reach, each with the reason."""

_NO_DEADLINE: Final = "what waits for no deadline is always before it"
NEVER_ASKED: Final = {
    "standing/EXPIRED/no-revokedAt/made-under-the-present-era/at-or-after-the-deadline": _NO_DEADLINE,
    "standing/REVOKED/no-revokedAt/made-under-the-present-era/at-or-after-the-deadline": _NO_DEADLINE,
    **{
        f"standing/{status}/{past}/at-or-after-the-deadline": _NO_DEADLINE
        for status in ("PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED")
        for past in (
            "a-revokedAt/made-under-the-present-era",
            "a-revokedAt/made-under-another-era",
            "no-revokedAt/made-under-another-era",
        )
    },
}
"""The cells that no function looks up, although they hold; each with the reason."""

Key = tuple[str, ...]
"""One value for each axis of a table."""


@contextmanager
def outcome_of(table: str, key: Key, outcome: object) -> Iterator[None]:
    """Replace the outcome of one cell of a table within the block."""
    place = cast("str | tuple[StrEnum, ...]", key[0] if len(key) == 1 else key)
    row = TABLES[table][place]
    replace_row(TABLES[table], place, attrs.evolve(row, outcome=outcome))
    try:
        yield
    finally:
        replace_row(TABLES[table], place, row)


def outcomes(table: str) -> dict[Key, object]:
    """Return the outcome of each cell of a table."""
    return {key: row.outcome for key, row in TABLES[table].cells()}
