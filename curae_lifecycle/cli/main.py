"""The command line, and the only I/O of the package.

python -m curae_lifecycle tour
python -m curae_lifecycle tables [NAME|RULE|CODE|REASON] [--format md|mermaid|json]
python -m curae_lifecycle tables --diff OLD.json [--format json]
python -m curae_lifecycle problems [CODE] [--write DIR] [--check]
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
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from curae_lifecycle import __version__
from curae_lifecycle.cli import (
    check,
    database,
    facts,
    keys,
    outbox,
    problems,
    replay,
    simulate,
    tables,
)
from curae_lifecycle.cli.called import called_as
from curae_lifecycle.cli.files import write
from curae_lifecycle.cli.terminal import say
from curae_lifecycle.cli.tour import lines
from curae_lifecycle.cli.tour import steps as tour_steps
from curae_lifecycle.web.events import asyncapi
from curae_lifecycle.web.json import Json
from curae_lifecycle.web.openapi import openapi

_DOCUMENTS: Final[dict[str, tuple[Callable[[], dict[str, Json]], str, str]]] = {
    "openapi": (
        openapi,
        "print the API as an OpenAPI 3.1 document",
        "Prints what the operations take and answer, every problem code included, as JSON.",
    ),
    "asyncapi": (
        asyncapi,
        "print the events as an AsyncAPI 3.0 document",
        "Prints what an outbox delivers, a message for each kind of event, as JSON.",
    ),
}
"""The documents for other people's tools, by their commands, and what is said of these."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0; 1 for a broken line, a divergence, a stale page, a difference or a
        law that did not hold, a finding in a store, a database that refused or a key that is not
        there; 2 for a mistake on the command line.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        run = _RUNS[options.command]
        return run(parser, options)
    except (BrokenPipeError, outbox.ReaderGoneError):
        # Whoever read the output has read enough; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=called_as(),
        description="The lifecycle of patient-data connections, as pure rules.",
    )
    parser.add_argument("--version", action="version", version=f"curae_lifecycle {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser(
        "tour",
        help="watch the rules answer, from the first initiate to the last revoke",
        description="Tells the story of the platform's operations: each step shows the "
        "request, the answer and the rule that decided. With the cli extra it comes in colour "
        "on a terminal.",
    )
    pages = commands.add_parser(
        "tables",
        help="print the tables that decide",
        description="Prints every table, or the one named. The name of a rule, as an answer's "
        "trail has it, a problem's code or a refusal's reason finds the rules and their lines of "
        "code.",
    )
    pages.add_argument(
        "name", nargs="?", metavar="NAME", help="a table, a rule, a problem code or a reason"
    )
    pages.add_argument("--format", choices=("md", "mermaid", "json"), default="md")
    instead = pages.add_mutually_exclusive_group()
    instead.add_argument(
        "--write",
        type=Path,
        metavar="DIR",
        help="write every page and every picture into a directory instead",
    )
    instead.add_argument(
        "--diff",
        type=Path,
        metavar="OLD.json",
        help="say what changed since what --format json printed; the exit status is 1 if anything "
        "did",
    )
    pages.add_argument(
        "--check", action="store_true", help="with --write: write nothing, fail on a stale page"
    )
    problems.add_options(
        commands.add_parser(
            "problems",
            help="print what each problem code means and what a client should do",
            description="Prints the page of every problem code, or of the one named: its status, "
            "its details, the rules that answer it, and what a client should do.",
        )
    )
    log = commands.add_parser(
        "replay",
        help="run a log of traffic through the rules",
        description="Reads JSON lines in time order, runs them through the rules on an empty "
        "world and writes one JSON line for each. A broken line is answered with its error and "
        "the rest goes on; the exit status is then 1.",
    )
    log.add_argument("file", metavar="FILE", help="the log; - for standard input")
    log.add_argument(
        "--check",
        action="store_true",
        help="compare recorded responses (status, code, body with ids matched one to one): "
        "each divergence stands in its line's answer and on standard error, with the rule that "
        "decided, and the exit status is 1 if there is any",
    )
    log.add_argument(
        "--environment",
        choices=("live", "test"),
        help="serve one environment only; a key of the other is refused",
    )
    for name, (_, said, description) in _DOCUMENTS.items():
        document = commands.add_parser(name, help=said, description=description)
        document.add_argument(
            "--write", type=Path, metavar="FILE", help="write it into a file instead"
        )
        document.add_argument(
            "--check", action="store_true", help="with --write: write nothing, fail on a stale file"
        )
    simulate.add_options(
        commands.add_parser(
            "simulate",
            help="let worlds of clients that crash and retry live, and hold the laws against them",
            description="Simulates apps, users, hosted pages, flaky networks and workers that "
            "die, on simulated time. A seed decides everything that happens. The laws are checked "
            "at each step; where one does not hold, the seed and a log for replay are written and "
            "the exit status is 1.",
        )
    )
    check.add_options(
        commands.add_parser(
            "check",
            help="hold a store of your own against the rules",
            description="Makes empty stores and runs what finds mistakes in one: the conformance "
            "kit on a server in this process, every pair of happenings that may race, and worlds "
            "of the simulation. Each part says what it found; the exit status is then 1.",
        )
    )
    database.add_options(
        commands.add_parser(
            "database",
            help="make the tables of a store in SQL, purge them, erase an app user",
            description="Works on what a store keeps everything in, on SQLite, PostgreSQL or "
            "MariaDB.",
        )
    )
    facts.add_options(
        commands.add_parser(
            "facts",
            help="record what happened outside of requests",
            description="Records facts, a JSON line each, as the `fact` of a log has them, and "
            "writes what became of each. To record one twice changes nothing. With --ends-since it "
            "brings back what a restored database has forgotten. A line that cannot be read is "
            "answered with its error and the rest goes on; the exit status is then 1.",
        )
    )
    keys.add_options(
        commands.add_parser(
            "keys",
            help="register, narrow, withdraw and list API keys",
            description="Says whom API keys stand for. Each change takes effect on the next "
            "request, whichever worker answers it; a key's digest alone is stored.",
        )
    )
    outbox.add_options(
        commands.add_parser(
            "outbox",
            help="print effects and events as they are shipped",
            description="Prints a JSON line for each effect and event, at least once, those of "
            "one subject in their order, and drops what was printed. A server ships its own way "
            "with curae_lifecycle.stores.sql.shipping.",
        )
    )
    return parser


def _tour(_: argparse.ArgumentParser, __: argparse.Namespace) -> int:
    for number, step in enumerate(tour_steps(), 1):
        for text, role in lines(number, step):
            say(text, role)
    say(f"Each rule is a row of a table: {called_as()} tables RULE", "title")
    return 0


def _document(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    text = json.dumps(_DOCUMENTS[options.command][0](), indent=2) + "\n"
    file: Path | None = options.write
    if file is None:
        if options.check:
            parser.error("--check compares a file: name it with --write")
        sys.stdout.write(text)
        return 0
    return write(file.parent, {file.name: text}, file.name, check=options.check)


_RUNS: Final[dict[str, Callable[[argparse.ArgumentParser, argparse.Namespace], int]]] = {
    "tour": _tour,
    "tables": tables.run,
    "problems": problems.run,
    "replay": replay.run,
    "simulate": simulate.run,
    "check": check.run,
    **dict.fromkeys(_DOCUMENTS, _document),
    "database": database.run,
    "facts": facts.run,
    "keys": keys.run,
    "outbox": outbox.run,
}
"""What each command does."""
