"""Commits of PostgreSQL that may be on one server alone, since their wait for a standby was cancelled.

The law of this module: **what may be lost again is neither called done nor read**, before a later
commit has come to where commits wait.

A commit that waits for a standby and is cancelled (`pg_cancel_backend`) is done all the same: the
server warns, and from then on everybody reads it, though a standby that takes over may lack it. To
try again would find it, and call it done. Whatever comes to a standby comes there in order, so a
later commit that did wait vouches for all before it. Other processes are not told.
"""

from __future__ import annotations

import threading
from typing import Final, Protocol

from curae_lifecycle.stores.contract import StoreUnavailableError

CONFIRM: Final = "SELECT pg_logical_emit_message(true, 'curae_lifecycle', '')"
"""Commits something that is nothing but its place in the log."""

WAITS: Final = "SyncRepWaitForLSN"
"""Where PostgreSQL waits for a standby: its warning has no code of its own, and many languages."""


class Notice(Protocol):
    """What a server says beside its answer."""

    @property
    def source_function(self) -> str | None:
        """Which of its functions says so."""
        ...


class Replication:
    """Whether everything that was committed at one database is known to last."""

    def __init__(self) -> None:
        self._doubts = 0
        self._settled = 0
        self._lock = threading.Lock()

    def hear(self, notice: Notice) -> None:
        """Hear what a server says beside its answer."""
        if notice.source_function == WAITS:
            # A doubt that another thread overwrote would be settled with one that came before it.
            with self._lock:
                self._doubts += 1

    @property
    def cancelled_waits(self) -> int:
        """How many waits were cancelled."""
        return self._doubts

    @property
    def is_in_doubt(self) -> bool:
        """Whether a commit may be lost again."""
        return self._doubts > self._settled

    def check(self) -> None:
        """Refuse an answer that may come of such a commit.

        Raises:
            StoreUnavailableError: It may.
        """
        if self.is_in_doubt:
            raise StoreUnavailableError("a wait for a standby was cancelled")

    def settle(self, doubts: int) -> None:
        """Note that a commit came through which began after so many doubts.

        One whose own wait is cancelled is a further doubt, and settles none of these.

        Args:
            doubts: How many there were before it began.

        Raises:
            StoreUnavailableError: There is another doubt by now.
        """
        with self._lock:
            self._settled = max(self._settled, doubts)
        self.check()
