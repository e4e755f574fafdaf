"""A comparison of the package's `replay` with the reference model.

Both answer the same generated traffic, line by line. Not compared are the trail of rules, the text
of errors, a problem's `title` and `detail`, and `details` whose members the rules do not list.
Values that either side numbers itself (ids, urls, entity tags) are matched one to one over a log.

`python -m tests.proof.comparison LOGS LINES FIRST` compares so many logs of so many lines, from
that seed on, and prints the first difference of each.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from functools import cache
from typing import Final

import attrs

from curae_lifecycle import Environment
from curae_lifecycle.replay.log import replay
from curae_lifecycle.service.json_schema import Json
from tests.proof.reference.model import Model
from tests.proof.reference.traffic import traffic

LINES: Final = 250
"""The number of lines of one log."""

FREE: Final = {"rules", "error"}
FREE_IN_BODIES: Final = {"title", "detail", "details"}
LISTED: Final = {"CONNECTION_SUPERSEDED"}
"""Problems whose details the rules list."""

NUMBERED: Final = re.compile(r"https://connect\.example/\d+|00000000-0000-4000-8000-[0-9a-f]{12}")
"""Values that a replay numbers unless a recorded response gives them."""


class OneToOne:
    """A one-to-one map of the model's numbered values to the package's."""

    def __init__(self) -> None:
        self._forth: dict[str, str] = {}
        self._back: dict[str, str] = {}

    def matches(self, model: str, package: str) -> bool:
        forth = self._forth.setdefault(model, package)
        return forth == package and self._back.setdefault(package, model) == model


def differences(model: Json, package: Json, pairs: OneToOne, path: str = "") -> list[str]:
    """Yield the paths at which two answers differ."""
    if isinstance(model, dict) and isinstance(package, dict):
        free = FREE_IN_BODIES if path == "body" else FREE if path == "" else set()
        if path == "body" and model.get("code") in LISTED:
            free = free - {"details"}
        found = [f"{path}.{name}" for name in model.keys() ^ package.keys()]
        for name in (model.keys() & package.keys()) - free:
            inner = f"{path}.{name}".removeprefix(".")
            found += differences(model[name], package=package[name], pairs=pairs, path=inner)
        return found
    if isinstance(model, list) and isinstance(package, list) and len(model) == len(package):
        items = enumerate(zip(model, package, strict=True))
        return [
            each
            for n, (a, b) in items
            for each in differences(a, package=b, pairs=pairs, path=f"{path}.{n}")
        ]
    if isinstance(model, str) and isinstance(package, str):
        if path == "body":
            return differences(
                json.loads(model), package=json.loads(package), pairs=pairs, path=path
            )
        if path == "headers.etag":
            return [] if pairs.matches(model, package) else [path]
        numbered = NUMBERED.findall(model), NUMBERED.findall(package)
        same = (
            NUMBERED.split(model) == NUMBERED.split(package)
            and len(numbered[0]) == len(numbered[1])
            and all(pairs.matches(a, b) for a, b in zip(*numbered, strict=True))
        )
        return [] if same else [path]
    return [] if type(model) is type(package) and model == package else [path]


def served(seed: int) -> str | None:
    """Return the environment of the server that answers a seed's traffic, or None for both."""
    return {6: "live", 7: "test"}.get(seed % 8)


def names_of(raw: bytes, answer: dict[str, Json]) -> list[str]:
    """Yield the names of what happened on a line, for counting."""
    if "error" in answer:
        return ["broken line"]
    line = json.loads(raw)
    if "request" in line:
        if answer["replayed"]:
            return ["replay"]
        status = answer["status"]
        if status in {200, 201, 304}:
            path = line["request"]["path"].partition("?")[0]
            path = re.sub(r"connections/[^/]+?(:\w+)?$", r"connections/ID\1", path)
            return [f"{line['request']['method']} {path.removeprefix('/api/sdk/v1/')} {status}"]
        return [f"{status} {json.loads(str(answer['body']))['code']}"]
    if "fact" in line:
        outcome = answer["code"] or answer["outcome"]
        return [f"{line['fact']['type']}: {outcome}"]
    if "ask" in line:
        return [f"access: {answer['reason'] or 'granted'}"]
    return ["register" if "register" in line else "buckets"]


@attrs.frozen
class Run:
    """The result of comparing one log."""

    difference: str | None
    counts: Counter[str]


@cache
def run(seed: int, length: int = LINES) -> Run:
    """Answer a seed's traffic with both, up to the first difference."""
    environment = served(seed)
    model, pairs, counts = Model(environment), OneToOne(), Counter[str]()
    lines = traffic(seed, length)
    assert len(lines) == length
    answers = replay(lines, environment=Environment(environment) if environment else None)
    for number, (raw, replayed) in enumerate(zip(lines, answers, strict=True), 1):
        expected: dict[str, Json] = json.loads(json.dumps(model.line(raw, number)))
        found = differences(expected, replayed.answer, pairs)
        if found:
            where = f"seed {seed}, line {number}, at {', '.join(found)}\n  line:    {raw.decode()}"
            return Run(f"{where}\n  model:   {expected}\n  package: {replayed.answer}", counts)
        counts.update(names_of(raw, replayed.answer))
    return Run(None, counts)


def main(logs: int = 20, length: int = 2000, first: int = 0) -> int:
    """Compare logs from the command line; return 1 if any differs."""
    differing = 0
    for seed in range(first, first + logs):
        difference = run(seed, length).difference
        if difference is not None:
            differing += 1
            sys.stdout.write(f"{difference}\n\n")
    sys.stdout.write(f"{logs} logs of {length} lines, {differing} with a difference\n")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
