"""The instant, by this machine's clock."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The instant, by this machine's clock."""
    return datetime.now(UTC)  # noqa: TID251 - here is where a clock is read
