"""Instants as small integers."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from tests.support.strategies import START, TICK, pending

Mark = int | None
"""An instant of a reference: ticks after `START`, or None."""

TICKS: Final = tuple(START + TICK * number for number in range(128))
IDENTITY: Final = pending().identity
STATUSES: Final = ("PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED")


def instant(mark: Mark) -> datetime | None:
    return None if mark is None else TICKS[mark]


def marks(size: int) -> tuple[Mark, ...]:
    return (None, *range(size))
