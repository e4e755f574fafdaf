"""Assertions of the tools for testers, weakened one at a time: each time a test must fail.

    python benchmarks/weakened.py [MODULE ...] [--sample N] [--seed S] [--jobs N]

A MODULE is a name within the package, such as `testing.laws`. The tests are those of the seeded
bugs, which a weakened tool must miss, and those of the tools. Only tests without randomness judge.

A weakened assertion that no test notices is *covered* if `covered.json` beside this file says what
else finds the mistake, and *unwatched* otherwise; then the exit status is 1. So it is if an entry
of the list fits no assertion, or if a test notices it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar, cast

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.assertions import modules, weakened
from benchmarks.mutant import ROOT, Mutant
from benchmarks.trial import Trial
from curae_lifecycle.testing.conformance import runner

Result = TypeVar("Result")

COVERED: Final = Path(__file__).with_name("covered.json")
"""The assertions that another covers, each with the reason."""

TESTS: Final = {
    "testing.conformance": (
        "tests/proof/bugs/test_bugs.py",
        "tests/testing/conformance/test_invalid_responses.py",
        "tests/testing/conformance/test_triggers.py",
    ),
    "testing.laws": (
        *("tests/docs/extending/test_list.py", "tests/testing/laws", "tests/testing/watch"),
    ),
    "testing.races": ("tests/cli/test_check.py", "tests/testing/races"),
    "testing.simulation": ("tests/testing/simulation/test_planted.py",),
    "testing.store_invariants": ("tests/testing/test_store_invariants.py",),
    "testing.watch": ("tests/testing/watch", "tests/testing/test_watch_limits.py"),
}
"""The tests that judge the modules whose names begin so."""

SLOW: Final = "tests/testing/simulation/test_planted.py"
"""The only tests marked `heavy` that judge: no other finds the mistakes that are planted there."""


def main() -> int:
    """Weaken the assertions and report."""
    every = modules()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(every))
    parser.add_argument("--sample", type=int, metavar="N", help="try N of them")
    parser.add_argument("--seed", type=int, default=0, help="which N")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    asked: list[str] = options.modules or list(every)
    names = [each for each in every if any(f"{each}.".startswith(f"{name}.") for name in asked)]
    if not names:
        parser.error(f"none of {', '.join(every)}")
    mutants = [mutant for name in names for mutant in weakened(name)]
    if options.sample is not None:
        chosen = random.Random(options.seed).sample(  # noqa: S311 - a choice, not a secret
            range(len(mutants)), min(options.sample, len(mutants))
        )
        mutants = [mutants[number] for number in sorted(chosen)]
    trial = Trial(mutants, options.jobs)
    arguments = ["-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:terminal"]
    with pytest.MonkeyPatch.context() as patch:
        # A trial learns what a test calls in the test's own thread.
        patch.setattr(runner, "run_with_timeout", run_at_once)
        status = pytest.main(
            [*arguments, "-m", "not hypothesis", *tests_of(names)], plugins=[trial, Judges()]
        )
    if trial.failure:
        print(f"no verdict (pytest ended with {int(status)}): {trial.failure}")
        return 2
    return report(mutants, trial.survivors, covered(), whole=options.sample is None)


class Judges:
    """A pytest plugin: of the tests marked `heavy`, only those of planted mistakes judge."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out the other tests marked `heavy`."""
        items[:] = [
            item
            for item in items
            if item.get_closest_marker("heavy") is None or item.path == ROOT / SLOW
        ]


def run_at_once(timeout: timedelta | None, function: Callable[[], Result]) -> Result:
    """Call a function in the caller's thread, without a timeout."""
    del timeout
    return function()


def tests_of(names: list[str]) -> list[str]:
    """Return the paths of the tests that judge modules."""
    found = {
        path
        for begin, paths in TESTS.items()
        for path in paths
        if any(name.startswith(begin) for name in names)
    }
    return [str(ROOT / path) for path in sorted(found)]


Key = tuple[str, str, str]
"""A function, its assertion as it is, and the weaker one."""


def covered() -> dict[Key, str]:
    """Return the listed assertions that another covers, each with the reason."""
    entries = cast("list[dict[str, str]]", json.loads(COVERED.read_text(encoding="utf-8")))
    return {(each["in"], each["before"], each["after"]): each["reason"] for each in entries}


def report(
    mutants: list[Mutant], unnoticed: list[Mutant], listed: dict[Key, str], *, whole: bool
) -> int:
    """Print the results by module; return 1 if one is unwatched or the list is wrong."""
    found = {mutant.key for mutant in unnoticed}
    made, missed, kept = (
        Counter(mutant.module for mutant in group)
        for group in (
            mutants,
            unnoticed,
            [mutant for mutant in unnoticed if mutant.key in listed],
        )
    )
    print(f"{'module':<44} {'weakened':>8} {'watched':>8} {'covered':>8} {'unwatched':>9}")
    for name in [*made, ""]:
        counts = [each[name] if name else each.total() for each in (made, missed, kept)]
        print(
            f"{name or 'all':<44} {counts[0]:>8} {counts[0] - counts[1]:>8} {counts[2]:>8} "
            f"{counts[1] - counts[2]:>9}"
        )
    for mutant in unnoticed:
        if mutant.key not in listed:
            print(f"\nunwatched: {mutant}")
    tried = {mutant.key for mutant in mutants}
    # Two assertions of one function may read the same.
    wrong = {key for key in listed if key in tried and key not in found}
    if whole:
        begun = tuple({mutant.module for mutant in mutants})
        wrong |= {key for key in listed if key[0].startswith(begun) and key not in tried}
    for where, before, after in sorted(wrong):
        print(f"\nlisted as covered, but noticed or gone: {where}\n    - {before}\n    + {after}")
    return 1 if wrong or found - set(listed) else 0


if __name__ == "__main__":
    sys.exit(main())
