"""The command `simulate`: simulate failing clients and check the laws at each step."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from os.path import isdir
from pathlib import Path

from curae_lifecycle.cli.options import positive, positive_up_to
from curae_lifecycle.cli.program_name import program_name
from curae_lifecycle.cli.terminal import say, track_progress
from curae_lifecycle.rules.values import format_time
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.cells import Cell, cells_of, count_cell_lookups
from curae_lifecycle.testing.simulation import (
    MAX_CLIENTS,
    MAX_HOURS,
    Simulation,
    StoreWithApiKeys,
    Summary,
    Violation,
)


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of the command `simulate` to its parser; set the function that runs it."""
    command.add_argument("--seed", type=int, metavar="N", required=True, help="the first seed")
    command.add_argument(
        "--seeds",
        type=positive,
        metavar="M",
        default=1,
        help="how many seeds, one simulation each (default: %(default)s)",
    )
    command.add_argument(
        "--clients",
        type=positive_up_to(MAX_CLIENTS),
        metavar="C",
        default=2,
        help="how many apps in each simulation (default: %(default)s)",
    )
    command.add_argument(
        "--hours",
        type=positive_up_to(MAX_HOURS),
        metavar="H",
        default=24,
        help="how many simulated hours in each simulation (default: %(default)s)",
    )
    command.add_argument(
        "--cells",
        action="store_true",
        help="print how many cells of the tables were reached, and which were not",
    )
    command.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="where to write the log of a violation; standard output by default",
    )
    command.set_defaults(run=run, parser=command)


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Run one simulation for each seed, and stop at the first violation of a law.

    A simulation sends random traffic of simulated apps to a store in memory. A law is a numbered
    statement that holds whatever happens: a `revokedAt` never changes, say.

    Args:
        parser: The parser of the command, which reports a wrong option and exits.
        options: The parsed options.

    Returns:
        The exit status: 1 if there was a violation, else 0.
    """
    log: Path | None = options.log
    if log is not None and (isdir(log) or not isdir(log.parent)):  # noqa: PTH112 - `Path.is_dir` raises for a long name
        parser.error(f"cannot write {log}: it is a directory, or its directory does not exist")
    clients: int = options.clients
    hours: int = options.hours
    total = Summary(options.seed, clients)
    with ExitStack() as stack:
        counts = stack.enter_context(count_cell_lookups()) if options.cells else None
        for seed in range(options.seed, options.seed + options.seeds):
            summary = run_seed(seed, clients=clients, hours=hours, store=MemoryStore)
            say(summary.headline(), "title")
            if summary.violation is not None:
                say_violation(seed, summary.violation, log)
                return 1
            total.add(summary)
    for line in total.lines():
        say(line, "asked" if line.startswith(" ") else "title")
    if counts is not None:
        _say_cells(counts)
    say(
        f"every law held: {total.client_hours:,} client-hours, {total.requests:,} requests", "title"
    )
    return 0


def run_seed(
    seed: int, clients: int, hours: int, store: Callable[[Settings], StoreWithApiKeys]
) -> Summary:
    """Run one simulation of random traffic, and show its progress.

    Args:
        seed: The seed of the random numbers, which decides everything that happens.
        clients: The number of simulated apps.
        hours: The number of simulated hours.
        store: Makes an empty store; it is called with the settings of the simulated server.

    Returns:
        The summary of the simulation, with the violation of a law that ended it, if any.
    """
    simulation = Simulation(seed, clients=clients, hours=hours, make_store=store)
    for _ in track_progress(f"seed {seed}", items=simulation.run(), total=hours, size=lambda _: 1):
        pass
    return simulation.summary


def say_violation(seed: int, violation: Violation, log: Path | None) -> None:
    """Print which law was violated, and write the traffic that led there as a log.

    The command `replay` can run the log; how to do that is printed, too. If the file cannot be
    written, the log is printed, so that a long simulation was not in vain.

    Args:
        seed: The seed of the simulation.
        violation: The violation, with its time and the log.
        log: The file to write the log to; None for standard output.
    """
    say(f"seed {seed} at {format_time(violation.at)}: {violation.message}", "rule")
    environment = violation.environment
    option = "" if environment is None else f" --environment {environment}"
    text = "".join(f"{line}\n" for line in violation.log)
    if log is not None:
        try:
            log.write_text(text, encoding="utf-8")
        except OSError as error:
            say(f"cannot write {log}: {error.strerror}; the log is printed below", "rule")
            log = None
    say(f"to replay the log: {program_name()} replay {log or '-'}{option}", "title")
    if log is None:
        sys.stdout.write(text)


def _say_cells(counts: Mapping[Cell, int]) -> None:
    cells = cells_of(TABLES.values())
    never = [" × ".join(cell) for cell in cells if cell not in counts]
    say(f"cells reached: {len(cells) - len(never)} of {len(cells)}", "title")
    for cell in never:
        say(f"never reached: {cell}", "rule")
