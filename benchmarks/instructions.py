"""How many instructions eight hot paths take, held to what is committed: the guard of the CI.

    python benchmarks/instructions.py [--write]

needs Debian's valgrind and attrs in the version that the counts name. Each path runs so many times
and twice as many; the difference is counted, so that neither the start nor what surrounds the loop
is. The same code on the same interpreter takes the same number of instructions, run after run, so
more than two in a hundred above the committed count fails.

It sees what Python and C execute. It does not see what a cache, a branch or a lock costs, nor time
that is waited: a figure of `benchmarks/table.py` says what an instruction takes. Counts are of one
interpreter, as it was built: on another one nothing is compared, and that fails where `CI` is set.
Where a path is meant to take more, `--write` notes the new counts, of this interpreter alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Final, cast

HERE: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.hot_paths import CALLS, MARK, paths  # noqa: E402 - found by the line above

COUNTS: Final = HERE / "instructions.json"
MOST: Final = 0.02
"""By how much of its count a path may grow."""

Counts = dict[str, int]


def interpreter() -> str:
    """What the counts hold for: the interpreter as it was built, and attrs."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    build = f"{platform.python_compiler()}, {platform.machine()}"
    return f"{python} [{build}], attrs {version('attrs')}"


def counted() -> Counts:
    """The instructions of one call of each path, rounded."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--dump-before={MARK}",
            f"--callgrind-out-file={folder}/counts",
            sys.executable,
            "-B",
            str(HERE / "hot_paths.py"),
        ]
        # As little of an environment as can be: it lies in the program's memory.
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        surroundings = kept | {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            command, env=surroundings, capture_output=True, text=True, check=False, cwd="/"
        )
        if done.returncode:
            raise SystemExit(f"{done.stderr}\nvalgrind ended with {done.returncode}")
        return by_path([_total(each) for each in _in_order(Path(folder))])


def by_path(totals: list[int]) -> Counts:
    """The counts of the paths, from what was counted before each mark."""
    names = list(paths())
    if len(totals) != 3 * len(names):
        raise SystemExit(f"{len(totals)} marks were seen, not {3 * len(names)}")
    # Before its first mark a path is warmed up; then it runs once and twice as long.
    return {
        name: round((totals[3 * at + 2] - totals[3 * at + 1]) / CALLS)
        for at, name in enumerate(names)
    }


def _in_order(folder: Path) -> list[Path]:
    # The last one, without a number, is what came after the last mark.
    found = [each for each in folder.iterdir() if each.suffix]
    return sorted(found, key=lambda each: int(each.suffix[1:]))


def _total(file: Path) -> int:
    found = re.search(r"^totals: (\d+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if found is None:
        raise SystemExit(f"{file} has no total")
    return int(found[1])


def compared(now: Counts, noted: Counts) -> tuple[list[str], list[str]]:
    """A line for each path, and the names of those that grew too much or are not noted."""
    lines: list[str] = []
    grown: list[str] = []
    for name, count in now.items():
        before = noted.get(name)
        if before is None:
            lines.append(f"{name:28}{count:10,}   not noted")
            grown.append(name)
            continue
        change = (count - before) / before
        lines.append(f"{name:28}{count:10,}{before:10,}{change:+9.2%}")
        if change > MOST:
            grown.append(name)
    return lines, grown


def noted() -> dict[str, Counts]:
    """The committed counts, by interpreter."""
    if not COUNTS.exists():
        return {}
    return cast("dict[str, Counts]", json.loads(COUNTS.read_text(encoding="utf-8")))


def main() -> None:
    """Count and compare; or count and note."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="note the counts, on purpose")
    write: bool = parser.parse_args().write
    here, known = interpreter(), noted()
    print(here)
    if here not in known and not write:
        print("NOTHING IS COMPARED: no counts of this interpreter are noted. Those noted are of")
        print("\n".join(f"- {each}" for each in known))
        print("To note its own: python benchmarks/instructions.py --write")
        sys.exit(1 if "CI" in os.environ else 0)
    now = counted()
    lines, grown = compared(now, known.get(here, {}))
    print("\n".join(["path                        now     noted   change", *lines]))
    if write:
        text = json.dumps(known | {here: now}, indent=1, sort_keys=True)
        COUNTS.write_text(text + "\n", encoding="utf-8")
        print(f"noted in {COUNTS.name}")
    elif grown:
        print(f"\nMore than {MOST:.0%} above what is noted: {', '.join(grown)}.")
        print("Make them cheaper; or, where they are meant to take more, note the new counts with")
        print("python benchmarks/instructions.py --write")
        sys.exit(1)


if __name__ == "__main__":
    main()
