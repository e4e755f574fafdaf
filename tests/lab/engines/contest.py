"""One engine that spans hosts, with faults under load, and the judge of the run.

The law of this module: **requests and faults follow from a seed**; their interleaving is the
machine's.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final, Protocol

from tests.lab.crash import Run, crash, exit_status
from tests.lab.crash.enemies import Against, Enemy
from tests.lab.crash.place import Place
from tests.lab.engines.watching import Copy, Watch

_NAMES: Final = {each: each.name.lower().replace("_", "-") for each in Enemy}


class Engine(Protocol):
    """An engine that runs on several hosts."""

    @property
    def url(self) -> str:
        """The URL of the database from this process, which no fault cuts off."""
        ...

    @property
    def places(self) -> Sequence[Place]:
        """The places of servers, with their URLs of the database."""
        ...

    @property
    def against(self) -> Against:
        """The faults of the engine."""
        ...

    @property
    def copies(self) -> Mapping[str, Copy]:
        """Its readable copies, by name."""
        ...


def parser(text: str, enemies: Mapping[Enemy, int]) -> argparse.ArgumentParser:
    """Return the parser of the command's arguments.

    Args:
        text: The description of the command.
        enemies: The kinds of faults, with their default numbers.
    """
    made = argparse.ArgumentParser(description=text, allow_abbrev=False)
    made.add_argument("--app", default="fastapi")
    made.add_argument("--requests", type=int, default=10_000)
    made.add_argument("--workers", type=int, default=6)
    made.add_argument("--rounds", type=int, default=12)
    made.add_argument("--users", type=int, default=48)
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--longest", type=float, default=12.0, help="seconds that a fault lasts")
    made.add_argument("--blows", action="store_true", help="say each blow")
    made.add_argument("--report", type=Path, help="where all that was wrong is written")
    made.add_argument("--none", action="store_true", help="no enemies but those that are named")
    for each, times in enemies.items():
        made.add_argument(f"--{_NAMES[each]}", type=int, help=f"how many: {each} ({times})")
    return made


def _wanted(asked: argparse.Namespace, enemies: Mapping[Enemy, int]) -> dict[Enemy, int]:
    named = {each: getattr(asked, _NAMES[each].replace("-", "_")) for each in enemies}
    usual = dict.fromkeys(enemies, 0) if asked.none else enemies
    return {each: usual[each] if times is None else times for each, times in named.items()}


def contend(
    engine: Engine,
    asked: argparse.Namespace,
    enemies: Mapping[Enemy, int],
    wrong: str | None = None,
) -> int:
    """Inject faults into an engine, print what was seen, and return the exit status.

    Args:
        engine: The running engine.
        asked: The arguments of the command.
        enemies: The kinds of faults that `parser` was given.
        wrong: The mistake of each server's store, if any.

    Returns:
        0 if nothing was wrong, 1 if something was, 3 if histories were left undecided alone.
    """
    # Retries of this process are not logged.
    logging.disable(logging.WARNING)
    watch = Watch(engine.copies)
    with tempfile.TemporaryDirectory() as directory:
        seen = crash(
            asked.app,
            engine.url,
            Path(directory),
            requests=asked.requests,
            enemies=_wanted(asked, enemies),
            against=engine.against,
            places=engine.places,
            beside=watch.over,
            workers=asked.workers,
            rounds=asked.rounds,
            users=asked.users,
            seed=asked.seed,
            longest=asked.longest,
            wrong=wrong,
        )
    if asked.blows:
        _say("\n".join(seen.fought))
    _say(seen.summary)
    _say(_gaps(seen))
    _say(str(watch))
    broken = [*watch.broken, *seen.broken]
    # A history takes many lines.
    _say("\n".join([each.split("\n")[0] for each in broken[:20]]))
    if asked.report is not None:
        asked.report.write_text("\n".join(broken))
    return exit_status(broken)


def _gaps(seen: Run) -> str:
    lines = ["seconds without a commit, for the median and the longest of each:"]
    for enemy, gaps in seen.gaps.items():
        lines.append(f"  {enemy}: {len(gaps)} times, {median(gaps):.1f}, {max(gaps):.1f}")
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command's answer
