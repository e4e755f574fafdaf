"""The crash run at the published size."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from tests.lab.crash import crash, exit_status
from tests.lab.crash.enemies import ROOM, Enemy
from tests.support.databases.postgres import can_mount, cluster, database
from tests.support.wire.databases import WRONG


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--app", default="fastapi")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pauses", type=int, default=20)
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--freezes", type=int, default=5)
    parser.add_argument("--exhaustions", type=int, default=5)
    parser.add_argument("--fills", type=int, default=3 if can_mount() else 0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--users", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--wrong", choices=WRONG)
    parser.add_argument("--blows", action="store_true", help="say each blow")
    asked = parser.parse_args()
    # Retries of this process are not logged.
    logging.disable(logging.WARNING)
    enemies = {
        Enemy.KILL: asked.kills,
        Enemy.PAUSE: asked.pauses,
        Enemy.RESTART: asked.restarts,
        Enemy.FREEZE: asked.freezes,
        Enemy.EXHAUST: asked.exhaustions,
        Enemy.FILL: asked.fills,
    }
    with (
        cluster(connections=80, room=ROOM) as server,
        database(server.url) as url,
        tempfile.TemporaryDirectory() as directory,
    ):
        seen = crash(
            asked.app,
            url,
            Path(directory),
            requests=asked.requests,
            enemies=enemies,
            cluster=server,
            workers=asked.workers,
            rounds=asked.rounds,
            users=asked.users,
            seed=asked.seed,
            wrong=asked.wrong,
        )
    if asked.blows:
        print("\n".join(seen.fought))  # noqa: T201 - a command's answer
    print(seen)  # noqa: T201 - the same
    return exit_status(seen.broken)


if __name__ == "__main__":
    sys.exit(main())
