"""A dependency that is down until half a second has passed, and counts its calls."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final, TypeVar

import attrs

from tests.support.serving import FakeTime

Result = TypeVar("Result")

DOWN_SECONDS: Final = 0.5
"""How long the dependency is down."""

PAUSES: Final = [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.25]
"""The pauses of `serve` until the dependency is up again, written by hand from the defaults."""

FAILED: Final = len(PAUSES)
"""The calls that fail if each attempt makes one."""


@attrs.define
class Outage:
    """An outage that begins at once and ends by itself.

    Attributes:
        time: The time of the test.
        error: Makes the error of a call during the outage.
        failed: The number of calls during the outage.
        succeeded: The number of calls after it.
    """

    time: FakeTime
    error: Callable[[], Exception]
    failed: int = 0
    succeeded: int = 0

    def call(self, function: Callable[[], Result]) -> Result:
        """Call a function, or raise the error while the dependency is down."""
        if self.time.passed < DOWN_SECONDS:
            self.failed += 1
            raise self.error()
        self.succeeded += 1
        return function()


def busy() -> Exception:
    """Return the error of an SQLite database that another process holds."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error
