"""Settings of a database session: timeouts, durable commits, strict values and isolation."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

import attrs

DEFAULT_TIMEOUT: Final = 2.0
"""The default timeout for a connection, a lock or a statement, in seconds."""

GRACE: Final = 0.25
"""Extra seconds that the client waits beyond the server's timeout.

The server's own error comes first that way, and it says more.
"""


def postgresql_options(wait: float, given: Iterable[str]) -> str:
    """Return the command-line options of a session of PostgreSQL.

    With them, a commit waits for the disk and for a synchronous standby, even if the role or the
    database is set to wait for neither. Otherwise a crash could undo a revocation that was reported
    as done.

    Args:
        wait: The longest duration of a statement, in seconds; at least a millisecond, since
            PostgreSQL reads 0 as no limit. The longest wait for a lock is shorter by a sixteenth,
            but by no more than an eighth of a second.
        given: The options of the database's URL. Without any, those of the environment variable
            `PGOPTIONS` are used, as by PostgreSQL's client library. These options may set another
            `synchronous_commit`.
    """
    milliseconds = max(1, int(wait * 1000))
    # The lock timeout is the shorter one: its error says that a lock was not free.
    lock = milliseconds - min(milliseconds // 16, int(GRACE / 2 * 1000))
    limits = f"-c statement_timeout={milliseconds} -c lock_timeout={lock}"
    others = [*given] or [os.environ.get("PGOPTIONS", "")]
    return " ".join(["-c synchronous_commit=on", *filter(None, others), limits])


MARIADB_SQL_MODE: Final = "STRICT_ALL_TABLES"
"""The SQL mode of a session of MariaDB: a value that does not fit is an error, never cut off."""


@attrs.frozen
class MariadbLimits:
    """The limits of a MariaDB session, and the statement that sets them.

    Attributes:
        seconds: The longest wait for a lock, in whole seconds, at least 1.
        init_command: The statement that sets the limits and the isolation level. On a node of a
            Galera cluster, each read then waits until the node has all earlier commits.
    """

    seconds: int
    init_command: str


def mariadb_limits(wait: float) -> MariadbLimits:
    """Return the limits of a MariaDB session.

    Args:
        wait: The longest wait for a lock, and for a statement, in seconds. It is rounded to whole
            seconds, at least 1; a statement gets an eighth of a second more.
    """
    seconds = max(1, round(wait))
    # The store compares versions itself, so this level is enough. It deadlocks least.
    level = "transaction_isolation = 'READ-COMMITTED'"
    # The lock timeout is the shortest: its error says for certain that nothing was stored.
    limits = f"innodb_lock_wait_timeout = {seconds}, max_statement_time = {seconds + GRACE / 2}"
    # Not every MariaDB knows Galera's variable. The statement in quotes fails alone there.
    return MariadbLimits(
        seconds,
        "BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR 1193 BEGIN END; "
        f"SET SESSION {level}, {limits}; "
        "EXECUTE IMMEDIATE 'SET SESSION wsrep_sync_wait = 1'; END",
    )
