"""The clock of this machine."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the current instant by this machine's clock, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the one place that reads the clock
