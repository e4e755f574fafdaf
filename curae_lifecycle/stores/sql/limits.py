"""Session settings that limit how long a server lets a lock or a statement wait."""

from __future__ import annotations

from typing import Final

import attrs

GRACE: Final = 0.25
"""Extra seconds that the client waits beyond the server's timeout.

The server's own error comes first that way, and it says more.
"""


def postgresql_limits(wait: float) -> dict[str, int]:
    """Return the settings of PostgreSQL, in milliseconds, by their names.

    Args:
        wait: The longest wait for a lock, and for a statement, in seconds.
    """
    milliseconds = int(wait * 1000)
    return {"statement_timeout": milliseconds, "lock_timeout": milliseconds}


@attrs.frozen
class MariadbLimits:
    """The limits of a session of MariaDB, which counts whole seconds.

    Attributes:
        seconds: The longest wait for a lock, at least 1.
        init_command: The statement that sets the limits and the isolation level.
    """

    seconds: int
    init_command: str


def mariadb_limits(wait: float) -> MariadbLimits:
    """Return the limits of a session of MariaDB.

    Args:
        wait: The longest wait for a lock, and for a statement, in seconds; it is rounded.
    """
    seconds = max(1, round(wait))
    # The store compares versions itself, so this level is enough. It deadlocks least.
    level = "transaction_isolation = 'READ-COMMITTED'"
    # The lock timeout is the shortest: its error says for certain that nothing was stored.
    limits = f"innodb_lock_wait_timeout = {seconds}, max_statement_time = {seconds + GRACE / 2}"
    return MariadbLimits(seconds, f"SET SESSION {level}, {limits}")
