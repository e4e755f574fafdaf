"""Where a worker runs, and how it reaches the database."""

from __future__ import annotations

import attrs

from tests.lab.engines.hosts import Host


@attrs.frozen
class Place:
    """Where a worker runs, and its way to the database.

    Attributes:
        url: The database, as it is reached from there.
        host: Its host; this machine, where it is none.
    """

    url: str
    host: Host | None = None
