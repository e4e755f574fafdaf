"""Check pure functions on all values of small domains, at the largest sizes: a few minutes.

    python benchmarks/small_domains.py [--size small|heavy|long]

Each result is compared with one that `tests/proof/domains/test_domains.py` works out from the rules
alone; the first difference ends the run. The script prints how many results were compared.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.proof.domains.test_domains import walked


def main() -> None:
    """Walk each domain and print its number of comparisons."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", choices=("small", "heavy", "long"), default="long")
    size = parser.parse_args().size
    began = time.monotonic()
    total = 0
    for name, cases in walked(size):
        total += cases
        print(f"{name:<20} {cases:>12,} {time.monotonic() - began:>7.0f} s", flush=True)
    print(f"{'all':<20} {total:>12,} {time.monotonic() - began:>7.0f} s")


if __name__ == "__main__":
    main()
