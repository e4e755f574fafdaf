"""Search the contracts with CrossHair: `python -m tests.proof.symbolic.search`.

For each contract it prints if every path was walked (confirmed) or only as many as the time
allowed (not falsified). Each wrong contract must be falsified.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Final

from tests.support.paths import ROOT

HERE: Final = Path(__file__).parent
SECONDS: Final = 10
"""The time limit of one contract; all of them took 3 s together when this was written."""


def contracts_of(module: str) -> dict[str, range]:
    """Return the contracts of a module with their lines."""
    tree = ast.parse((HERE / f"{module}.py").read_text(encoding="utf-8"))
    return {
        node.name: range(node.lineno, (node.end_lineno or node.lineno) + 1)
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }


def verdicts_of(module: str) -> dict[str, str]:
    """Return CrossHair's verdict on each contract of a module, without those out of time."""
    command = ("-m", "crosshair", "check", "--analysis_kind=asserts", "--report_all")
    done = subprocess.run(
        [
            sys.executable,
            *command,
            f"--per_condition_timeout={SECONDS}",
            f"tests.proof.symbolic.{module}",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if done.stderr:
        raise RuntimeError(done.stderr)
    verdicts: dict[str, str] = {}
    for line in done.stdout.splitlines():
        found = re.search(rf"{module}\.py:(\d+): (.*)", line)
        for name, lines in contracts_of(module).items():
            if found and int(found[1]) in lines:
                verdicts[name] = found[2]
    return verdicts


def main() -> int:
    """Search both modules.

    Returns:
        The exit status: 1 if a contract is falsified, or a wrong one is not.
    """
    started, failed = perf_counter(), 0
    for module, is_wrong in (("contracts", False), ("wrong", True)):
        verdicts = verdicts_of(module)
        for name in contracts_of(module):
            verdict = verdicts.get(name, "not falsified in the time it had")
            failed += verdict.startswith("error") is not is_wrong
            sys.stdout.write(f"{module}.{name}: {verdict}\n")
    sys.stdout.write(f"{failed} failures, {perf_counter() - started:.1f} s\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
