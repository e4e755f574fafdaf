"""The folder for the data of the tests' servers."""

from __future__ import annotations

import os


def data_root() -> str | None:
    """Return the folder: in memory if pytest keeps its files there, else the system's default."""
    return os.environ.get("PYTEST_DEBUG_TEMPROOT")
