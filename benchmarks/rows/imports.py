"""Benchmarks of imports: the processor time beyond that of importing attrs, in a new process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.measure import Quantity, spread

ATTRS: Final = "import attrs"
OURS: Final = {
    "decide": "from curae_lifecycle.service.decide import decide",
    "the store in memory, and bytes to bytes": "from curae_lifecycle.stores.memory import MemoryStore",
    "the codec": "from curae_lifecycle.stores.codec import dump",
}
PYDANTIC: Final = "from pydantic import BaseModel"

_TIMED: Final = """
import time
begun = time.process_time_ns()
{statement}
print(time.process_time_ns() - begun)
"""


def milliseconds(statement: str, cache: str) -> float:
    """Return the processor time of a statement in a new process, in milliseconds.

    Args:
        statement: The statement to run.
        cache: The folder of the compiled files.
    """
    command = [
        sys.executable,
        "-X",
        f"pycache_prefix={cache}",
        "-c",
        _TIMED.format(statement=statement),
    ]
    root = str(Path(__file__).parents[2])
    # With this variable Python would store no compiled files, and compiling would take most of the
    # time.
    kept = {name: held for name, held in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root, env=kept)
    return int(done.stdout) / 1e6


def statement_of(name: str) -> str:
    """Return the name of an import in the table."""
    return f"import {name}"


def quantities(rounds: int, *, pydantic: bool) -> list[Quantity]:
    """Measure by how many milliseconds each import exceeds that of attrs.

    The imports take turns, and everything was compiled before.
    """
    asked = {"attrs": ATTRS} | OURS | ({"pydantic's BaseModel": PYDANTIC} if pydantic else {})
    with tempfile.TemporaryDirectory() as cache:
        for statement in asked.values():
            milliseconds(statement, cache)
        seen: dict[str, list[float]] = {name: [] for name in asked}
        for _ in range(rounds):
            for name, statement in asked.items():
                seen[name].append(milliseconds(statement, cache))
    more = {
        name: [took - base for took, base in zip(times, seen["attrs"], strict=True)]
        for name, times in seen.items()
        if name != "attrs"
    }
    return [
        Quantity(
            family="import",
            name=statement_of(name),
            side="ours" if name in OURS else "pydantic",
            value=median(times),
            unit="ms more than attrs",
            spread=spread(times),
        )
        for name, times in more.items()
    ]
