"""Install each extra alone in a fresh environment, and run the program of that extra.

`run_all.py WHEEL NEWEST OLDEST [EXTRA ...]`: the Python NEWEST gets the newest releases, and OLDEST
the oldest ones that `pyproject.toml` allows. Without names it tries all extras. It is started by a
Python that has the extra `test` and uv, from the folder of the project, whose tests start the
databases.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

HERE: Final = Path(__file__).parent
TREE: Final = HERE.parent.parent
sys.path[:0] = [str(TREE), str(HERE.parent)]

import project  # noqa: E402 - needs the path above

from tests.support.databases.mariadb import mariadb, mariadb_database  # noqa: E402 - needs the path above
from tests.support.databases.postgres import database, postgres  # noqa: E402 - needs the path above
from tests.support.databases.valkey import valkey  # noqa: E402 - needs the path above

AT_ONCE: Final = 2


def extras() -> dict[str, list[str]]:
    """Return the requirements of each extra."""
    text = (TREE / "pyproject.toml").read_text(encoding="utf-8")
    found: dict[str, list[str]] = tomllib.loads(text)["project"]["optional-dependencies"]
    return found


def try_extra(name: str, wheel: Path, python: str, pins: list[str], work: Path) -> str | None:
    """Install an extra alone and run its program.

    Args:
        name: The name of the extra.
        wheel: The wheel of the package.
        python: The Python of the environment.
        pins: The versions to install; empty for the newest ones.
        work: An empty folder for the environment.

    Returns:
        The output of what failed; None if nothing did.
    """
    work.mkdir()
    (work / "pins.txt").write_text("\n".join(pins), encoding="utf-8")
    uv = [sys.executable, "-m", "uv"]
    own = str(work / "venv/bin/python")
    install = [*uv, "pip", "install", "--quiet", "--python", own]
    commands = (
        [*uv, "venv", "--quiet", "--python", python, str(work / "venv")],
        [*install, "--constraints", str(work / "pins.txt"), f"{wheel}[{name}]"],
        [own, str(HERE / f"try_{name}.py")],
    )
    for command in commands:
        ended = subprocess.run(
            command,
            cwd=work,
            env=os.environ | {"TREE": str(TREE), "PYTHONWARNINGS": "ignore"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        if ended.returncode:
            return f"$ {' '.join(command)}\n{ended.stdout}"
    return None


def main(wheel: str, newest: str, oldest: str, *names: str) -> int:
    """Try every extra, print how long each took, and return the exit status."""
    started = monotonic()
    runtime = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    failed = 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="curae-extras-")))
        os.environ.setdefault("UV_CACHE_DIR", str(folder / "cache"))
        if "PIP_FIND_LINKS" in os.environ:
            os.environ.setdefault("UV_FIND_LINKS", os.environ["PIP_FIND_LINKS"])
        os.environ["REDIS_URL"] = stack.enter_context(valkey()).url
        made = database(stack.enter_context(postgres()))
        os.environ["POSTGRESQL_URL"] = stack.enter_context(made)
        made = mariadb_database(stack.enter_context(mariadb()))
        os.environ["MARIADB_URL"] = stack.enter_context(made)

        def job(name: str, release: str) -> tuple[str, str | None, float]:
            begun = monotonic()
            pins = project.lowest([*runtime["dependencies"], *extras()[name]])
            python = newest if release == "newest" else oldest
            at = partial(try_extra, name, Path(wheel).resolve(), python)
            said = at(pins if release == "oldest" else [], folder / f"{name}-{release}")
            return f"{name}, {release}", said, monotonic() - begun

        jobs = [(name, release) for name in names or extras() for release in ("newest", "oldest")]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for label, said, seconds in pool.map(lambda each: job(*each), jobs):
                print(f"{label}: {'failed' if said else 'ok'} ({seconds:.1f} s)", flush=True)
                if said:
                    failed += 1
                    print(said, flush=True)
    print(f"{len(jobs)} environments, {failed} failed ({monotonic() - started:.0f} s)")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
