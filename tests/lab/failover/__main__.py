"""Failovers of PostgreSQL under load, at the published size."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from tests.lab.crash import exit_status
from tests.lab.failover import FAST_BUCKETS, SLOW_BUCKETS, fail_over


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--app", default="fastapi")
    parser.add_argument("--requests", type=int, default=4_000)
    parser.add_argument("--failovers", type=int, default=8)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--users", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--standard", action="store_true", help="the standard buckets, which lock keys out"
    )
    parser.add_argument("--wrong", choices=["asynchronous"], help="what must be found")
    parser.add_argument("--blows", action="store_true", help="say each failover")
    parser.add_argument("--report", type=Path, help="where all that was wrong is written")
    asked = parser.parse_args()
    # Retries of this process are not logged.
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as directory:
        seen = fail_over(
            Path(directory),
            requests=asked.requests,
            failovers=asked.failovers,
            kills=asked.kills,
            app=asked.app,
            workers=asked.workers,
            rounds=asked.rounds,
            users=asked.users,
            seed=asked.seed,
            buckets=FAST_BUCKETS if asked.standard else SLOW_BUCKETS,
            is_synchronous=asked.wrong is None,
        )
    if asked.blows:
        print("\n".join(seen.run.fought))  # noqa: T201 - a command's answer
    print(seen)  # noqa: T201 - the same
    if asked.report is not None:
        asked.report.write_text("\n".join(seen.broken))
    return exit_status(seen.broken)


if __name__ == "__main__":
    sys.exit(main())
