"""Workers that are killed under load, at the size that the docs publish."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.wire.crash import crash
from tests.wire.databases import WRONG
from tests.wire.postgres import database, postgres


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--app", default="fastapi")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--wrong", choices=WRONG)
    asked = parser.parse_args()
    with (
        postgres() as server,
        database(server) as url,
        tempfile.TemporaryDirectory() as directory,
    ):
        seen = crash(
            asked.app,
            url,
            Path(directory),
            requests=asked.requests,
            kills=asked.kills,
            workers=asked.workers,
            rounds=asked.rounds,
            seed=asked.seed,
            wrong=asked.wrong,
        )
    print(seen)  # noqa: T201 - a command's answer
    return 1 if seen.broken else 0


if __name__ == "__main__":
    sys.exit(main())
