"""Explore the models of `tests/proof/explore`, and print how many states each run visits.

    python benchmarks/explore.py [small|published|long] [NAME]

NAME selects one run. The long runs, the default, need some gigabytes of memory and take longer than
a test run may take.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.proof.explore.published import LONG, PUBLISHED, SMALL, Runs


def main() -> None:
    """Run the selected explorations and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", nargs="?", default="long", choices=["small", "published", "long"])
    parser.add_argument("name", nargs="?", help="the only run to explore")
    asked = parser.parse_args()
    runs: Runs = {"small": SMALL, "published": PUBLISHED, "long": LONG}[asked.which]
    states = 0
    print("| model | states | transitions | depth | seconds |")
    print("| --- | --- | --- | --- | --- |")
    for name, run in runs.items():
        if asked.name in {None, name}:
            started = time.perf_counter()
            seen = run()
            spent = time.perf_counter() - started
            states += seen.states
            print(
                f"| {name} | {seen.states:,} | {seen.transitions:,} | {seen.depth} | {spent:.0f} |",
                flush=True,
            )
    print(f"{states:,} states in all")


if __name__ == "__main__":
    main()
