"""Grow the corpus of the fuzz tests by inputs that take a new path through a parser.

    python benchmarks/fuzz.py [--seconds 60] [--seed 0] [--write] [TARGET ...]

The script mutates inputs of the corpus, and traces which lines of the package each mutant runs. A
mutant that steps from one line to another as no earlier input did is shortened as far as it still
takes the step, and joins the corpus of this run. With `--write` it also joins the corpus on disk.
A mutant that fails is printed and ends the run.
"""

from __future__ import annotations

import argparse
import sys
from hashlib import sha256
from pathlib import Path
from random import Random
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import curae_lifecycle
from tests.proof.fuzz.corpus_files import load_corpus, store_corpus
from tests.proof.fuzz.mutate import mutate
from tests.proof.fuzz.targets import TARGETS, Target

if TYPE_CHECKING:
    from _typeshed import TraceFunction

PACKAGE: Final = str(Path(curae_lifecycle.__file__).parent)

Step = tuple[str, str, int, int]
"""A step: a file, a function, and two of its lines that ran one after the other."""


def steps_of(target: Target, data: bytes) -> set[Step]:
    """Return the steps that an input takes through the package."""
    steps: set[Step] = set()
    last: dict[FrameType, int] = {}

    def step(frame: FrameType, event: str, _: object) -> TraceFunction:
        if event == "line":
            code = frame.f_code
            steps.add((code.co_filename, code.co_name, last.get(frame, 0), frame.f_lineno))
            last[frame] = frame.f_lineno
        return step

    def call(frame: FrameType, _: str, __: object) -> TraceFunction | None:
        return step if frame.f_code.co_filename.startswith(PACKAGE) else None

    sys.settrace(call)
    try:
        target(data)
    finally:
        sys.settrace(None)
    return steps


def shortened(target: Target, data: bytes, wanted: set[Step]) -> bytes:
    """Return the input without the parts that it does not need for the wanted steps."""
    size = len(data) // 2
    while size:
        at = 0
        while at < len(data):
            shorter = data[:at] + data[at + size :]
            if wanted <= steps_of(target, shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def name_of(data: bytes) -> str:
    """Return a name for a generated input."""
    return f"grown {sha256(data).hexdigest()[:6]}"


def grow(name: str, seconds: float, seed: int) -> tuple[int, dict[str, bytes]]:
    """Mutate a target's inputs for some seconds.

    Returns:
        The number of mutants, and the new inputs by name.
    """
    target, corpus, random = TARGETS[name], load_corpus(name), Random(f"{seed} {name}")  # noqa: S311 - not a secret
    seen: set[Step] = set()
    for data in corpus.values():
        seen |= steps_of(target, data)
    inputs, found, tried = list(corpus.values()), dict[str, bytes](), 0
    end = monotonic() + seconds
    while monotonic() < end:
        mutant = mutate(random.choice(inputs), random, inputs)
        tried += 1
        try:
            new = steps_of(target, mutant) - seen
            if not new:
                continue
            mutant = shortened(target, mutant, new)
            seen |= steps_of(target, mutant)
        except Exception:
            print(f"{name}: fails for {mutant!r}", file=sys.stderr)
            raise
        inputs.append(mutant)
        found[name_of(mutant)] = mutant
    return tried, found


def main() -> int:
    """Grow the corpora of the named targets, or of all."""
    parser = argparse.ArgumentParser(description="Grow the corpus of the fuzz tests.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", default=list(TARGETS))
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="add the new inputs to the corpus")
    options = parser.parse_args()
    for name in options.targets:
        tried, found = grow(name, options.seconds, options.seed)
        print(f"{name}: {tried} mutants, {len(found)} new inputs", flush=True)
        if options.write and found:
            store_corpus(name, load_corpus(name) | found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
