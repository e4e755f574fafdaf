"""The place of a worker, and its way to the database."""

from __future__ import annotations

import attrs

from tests.lab.engines.hosts import Host


@attrs.frozen
class Place:
    """The place of a worker, and its way to the database.

    Attributes:
        url: The URL of the database from there.
        host: Its host, or None for this machine.
    """

    url: str
    host: Host | None = None
