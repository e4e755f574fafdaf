"""Run a command with the URLs of new databases in its environment.

    python -m tests.support.databases [mariadb] [postgresql] [redis] -- COMMAND

The variables are `MARIADB_URL`, `POSTGRESQL_URL` and `REDIS_URL`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.support.databases.mariadb import mariadb, mariadb_database
from tests.support.databases.postgres import database, postgres
from tests.support.databases.valkey import valkey


@contextmanager
def url_of(kind: str) -> Iterator[str]:
    """Yield the URL of a new database of this kind."""
    match kind:
        case "mariadb":
            with mariadb() as server, mariadb_database(server) as url:
                yield url
        case "postgresql":
            with postgres() as server, database(server) as url:
                yield url
        case "redis":
            with valkey() as running:
                yield running.url
        case _:
            raise SystemExit(__doc__)


def main(arguments: list[str]) -> int:
    """Run the command, and return its exit status."""
    if "--" not in arguments:
        raise SystemExit(__doc__)
    end = arguments.index("--")
    with ExitStack() as stack:
        urls = {
            f"{kind.upper()}_URL": stack.enter_context(url_of(kind)) for kind in arguments[:end]
        }
        return subprocess.run(arguments[end + 1 :], env=os.environ | urls, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
