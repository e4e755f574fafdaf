"""Measure by sampling where the time of one benchmark row goes.

    python -m benchmarks.shares [--samples 2000] [FAMILY NAME]

After each millisecond of processor time, a signal interrupts the row and its handler counts the
running function, until there are enough samples. On many systems the clock ticks only a hundred
times a second, and then so does the signal. Unlike a profiler that counts calls, sampling does not
slow the functions down. Time in C code counts for the function that called it. The default row is
an initiate from bytes to bytes.
"""

from __future__ import annotations

import argparse
import signal
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Final

from benchmarks.measure import Row, Work, without_collector
from benchmarks.table import all_rows

PACKAGE: Final = "curae_lifecycle"
SHOWN: Final = 16
INTERVAL: Final = 0.001
CALLS: Final = 2000
"""The number of calls that are prepared at once."""


def where(frame: FrameType) -> str:
    """Return the name that the table gives a frame: a function, a module or a constructor."""
    code = frame.f_code
    if code.co_name == "__init__" and code.co_filename.startswith("<attrs generated"):
        return "constructing values"
    path = Path(code.co_filename)
    if PACKAGE not in path.parts:
        return f"Python's {path.stem}"
    at = path.parts[path.parts.index(PACKAGE) + 1 :]
    return f"`{'.'.join((*at[:-1], path.stem))}: {code.co_qualname}`"


def sampled(row: Row, samples: int) -> Counter[str]:
    """Count how often each function of a row is running, in that many samples or a few more."""
    seen = Counter[str]()

    def note(_signal: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code is not work_loop.__code__:
            seen[where(frame)] += 1

    def work_loop(work: Work) -> None:
        for _ in range(CALLS):
            work()

    make = row.sides[0].make
    before = signal.signal(signal.SIGPROF, note)
    try:
        while seen.total() < samples:
            work = make(CALLS)
            with without_collector():
                signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
                work_loop(work)
                signal.setitimer(signal.ITIMER_PROF, 0)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    return seen


def markdown(seen: Counter[str]) -> str:
    """Return the largest shares and the sum of all others, as a Markdown table."""
    total = seen.total() or 1
    shown = seen.most_common(SHOWN)
    rest = total - sum(times for _, times in shown)
    lines = ["| share | where |", "| --- | --- |"]
    lines += [f"| {times / total:.0%} | {name} |" for name, times in shown]
    return "\n".join([*lines, f"| {rest / total:.0%} | all others |"]) + "\n"


def main() -> None:
    """Sample one row and print its shares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("family", nargs="?", default="bytes in, bytes out")
    parser.add_argument("name", nargs="?", default="initiate")
    parser.add_argument("--samples", type=int, default=2000)
    asked = parser.parse_args()
    rows = {(each.family, each.name): each for each in all_rows(())}
    row = rows.get((asked.family, asked.name))
    if row is None:
        raise SystemExit("\n".join(f"{family!r} {name!r}" for family, name in rows))
    print(markdown(sampled(row, asked.samples)))


if __name__ == "__main__":
    main()
