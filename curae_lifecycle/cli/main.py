"""The command line, and the only I/O of the package.

python -m curae_lifecycle tour
python -m curae_lifecycle tables [NAME|RULE|CODE|REASON] [--format md|mermaid|json]
python -m curae_lifecycle tables --diff OLD.json [--format json]
python -m curae_lifecycle problems [CODE]
python -m curae_lifecycle replay FILE [--check] [--environment live|test]
python -m curae_lifecycle simulate --seed N [--seeds M] [--clients C] [--hours H]
python -m curae_lifecycle check MODULE:STORE [--seeds N] [--only kit|races|simulation]
python -m curae_lifecycle openapi [--write FILE] [--check]
python -m curae_lifecycle asyncapi [--write FILE] [--check]
python -m curae_lifecycle database create|purge|erase --database URL
python -m curae_lifecycle facts --database URL FILE [--ends-since INSTANT]
python -m curae_lifecycle keys register|narrow|withdraw|list --database URL
python -m curae_lifecycle outbox --database URL [--once|--dead|--revive NUMBER]

`curae-lifecycle`, the console script, is the same.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Final

import attrs

from curae_lifecycle import __version__
from curae_lifecycle.cli import (
    check,
    database,
    documents,
    facts,
    keys,
    outbox,
    problems,
    replay,
    simulate,
    tables,
    tour,
)
from curae_lifecycle.cli.program_name import program_name


@attrs.frozen
class Command:
    """A command: what adds its options, what it runs among them, and what is said of it."""

    add_options: Callable[[argparse.ArgumentParser], None]
    help: str
    description: str


COMMANDS: Final = {
    "tour": Command(
        tour.add_options,
        "watch the rules answer, from the first initiate to the last revoke",
        "Tells the story of the platform's operations: each step shows the request, the answer and "
        "the rule that decided. With the cli extra it comes in colour on a terminal.",
    ),
    "tables": Command(
        tables.add_options,
        "print the tables that decide",
        "Prints every table, or the one named. The name of a rule, as an answer's trail has it, a "
        "problem's code or a refusal's reason finds the rules and their lines of code.",
    ),
    "problems": Command(
        problems.add_options,
        "print what each problem code means and what a client should do",
        "Prints the page of every problem code, or of the one named: its status, its details, the "
        "rules that answer it, and what a client should do.",
    ),
    "replay": Command(
        replay.add_options,
        "run a log of traffic through the rules",
        "Reads JSON lines in time order, runs them through the rules on an empty world and writes "
        "one JSON line for each. A broken line is answered with its error and the rest goes on; the "
        "exit status is then 1.",
    ),
    "simulate": Command(
        simulate.add_options,
        "let worlds of clients that crash and retry live, and hold the laws against them",
        "Simulates apps, users, hosted pages, flaky networks and workers that die, on simulated "
        "time. A seed decides everything that happens. The laws are checked at each step; where one "
        "does not hold, the seed and a log for replay are written and the exit status is 1.",
    ),
    "check": Command(
        check.add_options,
        "hold a store of your own against the rules",
        "Makes empty stores and runs what finds mistakes in one: the conformance kit on a server in "
        "this process, every pair of happenings that may race, and worlds of the simulation. Each "
        "part says what it found; the exit status is then 1.",
    ),
    "openapi": Command(
        documents.add_options,
        "print the API as an OpenAPI 3.1 document",
        "Prints what the operations take and answer, every problem code included, as JSON.",
    ),
    "asyncapi": Command(
        documents.add_options,
        "print the events as an AsyncAPI 3.0 document",
        "Prints what an outbox delivers, a message for each kind of event, as JSON.",
    ),
    "database": Command(
        database.add_options,
        "make the tables of a store in SQL, purge them, erase an app user",
        "Works on what a store keeps everything in, on SQLite, PostgreSQL or MariaDB.",
    ),
    "facts": Command(
        facts.add_options,
        "record what happened outside of requests",
        "Records facts, a JSON line each, as the `fact` of a log has them, and writes what became "
        "of each. To record one twice changes nothing. With --ends-since it brings back what a "
        "restored database has forgotten. A line that cannot be read is answered with its error and "
        "the rest goes on; the exit status is then 1.",
    ),
    "keys": Command(
        keys.add_options,
        "register, narrow, withdraw and list API keys",
        "Says whom API keys stand for. Each change takes effect on the next request, whichever "
        "worker answers it; a key's digest alone is stored.",
    ),
    "outbox": Command(
        outbox.add_options,
        "print effects and events as they are shipped",
        "Prints a JSON line for each effect and event, at least once, those of one subject in their "
        "order, and drops what was printed. A server ships its own way with "
        "curae_lifecycle.stores.sql.outbox_worker.",
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0; 1 for a broken line, a divergence, a stale document, a difference or a
        law that did not hold, a finding in a store, a database that refused or a key that is not
        there; 2 for a mistake on the command line.
    """
    parser = argparse.ArgumentParser(
        prog=program_name(),
        description="The lifecycle of patient-data connections, as pure rules.",
    )
    parser.add_argument("--version", action="version", version=f"curae_lifecycle {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, each in COMMANDS.items():
        each.add_options(commands.add_parser(name, help=each.help, description=each.description))
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(parser, options)
    except (BrokenPipeError, outbox.ReaderGoneError):
        # Whoever read the output has read enough; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status
