"""PostgreSQL commits that a failover might lose, because their wait for a standby was cancelled.

The law of this module: **a commit that may be lost is neither reported as done nor read**, until a
later commit has reached the standby.

If an operator cancels a commit that waits for a standby (`pg_cancel_backend`), PostgreSQL commits
it anyway and only warns. All clients read the commit from then on, although a standby that takes
over may lack it. A retry would find the commit and report it as done.

Commits reach a standby in order. So a later commit that did wait proves that all earlier commits
have arrived. Each process records only the warnings that it received itself.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, Protocol

from curae_lifecycle.stores.contract import StoreUnavailableError

CONFIRM: Final = "SELECT txid_current(), pg_logical_emit_message(true, 'curae_lifecycle', '')"
"""The statement that ensures that a failover loses no earlier commit: it logs an empty message.

Its commit waits for the disk and for a synchronous standby. All earlier commits are there by then.
"""

SYNC_WAIT_FUNCTION: Final = "SyncRepWaitForLSN"
"""The name of the function in PostgreSQL's source code that waits for a standby.

It identifies the warning that a wait was cancelled: that warning has no code, and its text is
translated.
"""


class Notice(Protocol):
    """A notice that the PostgreSQL server sent, such as a warning."""

    @property
    def source_function(self) -> str | None:
        """The function in PostgreSQL's source code that sent the notice; `None` if not named."""
        ...


class Replication:
    """The commits of one process that a failover of PostgreSQL might lose, as counts.

    A commit may be lost if its wait for a standby was cancelled and no later commit has reached the
    standby yet.
    """

    def __init__(self) -> None:
        self._doubts = 0
        self._confirmed = 0
        self._lock = threading.Lock()

    def handle_notice(self, notice: Notice) -> None:
        """Count a notice if it says that a wait for a standby was cancelled; ignore others."""
        if notice.source_function == SYNC_WAIT_FUNCTION:
            # Without the lock, two threads could count two doubts as one, and one commit would
            # settle both.
            with self._lock:
                self._doubts += 1

    @property
    def is_in_doubt(self) -> bool:
        """True if a failover might lose a commit because its wait for the standby was cancelled."""
        return self._doubts > self._confirmed

    def check(self) -> None:
        """Raise if a failover might lose a commit of this process.

        The check runs no query. It relies on the server's notices that `handle_notice` counted.
        Drivers call this after each statement.

        Raises:
            StoreUnavailableError: A failover might lose a commit.
        """
        if self.is_in_doubt:
            raise StoreUnavailableError("a wait for a standby was cancelled")

    @contextmanager
    def confirm_earlier_commits(self) -> Generator[None]:
        """Record that all commits before a `with` block reached the standby.

        In the block, run the statement `CONFIRM`. Its commit waits for the standby, which by then
        has all earlier commits. If the block raises, nothing is recorded.

        Raises:
            StoreUnavailableError: A failover might lose a commit of this process: its wait for the
                standby was cancelled during the block. It may be the commit of `CONFIRM` itself.
        """
        doubts = self._doubts
        yield
        with self._lock:
            self._confirmed = max(self._confirmed, doubts)
        self.check()
