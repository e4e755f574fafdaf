"""The eight hot paths whose instructions are counted: run under callgrind by `instructions.py`.

The law of this module: **the same calls, in the same order, on the same values, each time**: no
clock is read, nothing is random, no cyclic garbage is collected. Between two marks a path runs so
many times; a mark is a system call whose function callgrind watches for.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measure import Row, Work
from benchmarks.rows import connections, limits, requests, stores

CALLS: Final = 100
MARK: Final = "getsid"
"""The function of the C library that a mark calls, and that nothing else here does."""

WARM: Final = 60
"""So many calls before anything is counted: the interpreter has specialized the code by then."""


def ours(rows: list[Row], family: str, name: str) -> Callable[[int], Work]:
    """How the work of our side of a row is made."""
    (row,) = [each for each in rows if (each.family, each.name) == (family, name)]
    return row.sides[0].make


def paths() -> dict[str, Callable[[int], Work]]:
    """The paths, by name."""
    connection, limit, request = connections.rows(), limits.rows(), requests.rows()
    decided, memory = "decided from a snapshot", "the store in memory"
    return {
        "authorize": ours(connection, "connection", "authorize, accepted"),
        "refuse": ours(connection, "connection", "authorize, refused"),
        "log": ours(limit, "limits", "a full exact log of ten, admitted"),
        "log and two buckets": ours(limit, "limits", "the log and two buckets, admitted"),
        "decide initiate": ours(request, decided, "initiate"),
        "decide replay": ours(request, decided, "replay of an initiate"),
        "initiate, bytes to bytes": ours(request, "bytes in, bytes out", "initiate"),
        "initiate, store in memory": ours(
            stores.rows(), memory, "an initiate, from bytes to bytes, stored"
        ),
    }


def run(work: Work, calls: int) -> None:
    """Call it so often."""
    for _ in repeat(None, calls):
        work()


def main() -> None:
    """Run each path so many times and twice as many, with a mark before, between and after."""
    works = {name: make(WARM + 3 * CALLS) for name, make in paths().items()}
    gc.disable()
    for work in works.values():
        run(work, WARM)
        os.getsid(0)
        run(work, CALLS)
        os.getsid(0)
        run(work, 2 * CALLS)
        os.getsid(0)


if __name__ == "__main__":
    main()
