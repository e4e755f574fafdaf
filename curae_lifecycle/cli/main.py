"""The command line: the arguments, the commands and their exit status.

python -m curae_lifecycle tour
python -m curae_lifecycle tables [NAME|RULE|CODE|REASON] [--format md|mermaid|json]
python -m curae_lifecycle tables --diff OLD.json [--format json]
python -m curae_lifecycle problems [CODE]
python -m curae_lifecycle replay FILE [--check] [--environment live|test]
python -m curae_lifecycle simulate --seed N [--seeds M] [--clients C] [--hours H]
python -m curae_lifecycle check MODULE:STORE [--seeds N] [--only kit|races|simulation]
python -m curae_lifecycle openapi [--server URL] [--write FILE] [--check]
python -m curae_lifecycle asyncapi [--write FILE] [--check]
python -m curae_lifecycle database create|purge|erase --database URL
python -m curae_lifecycle facts --database URL FILE [--ends-since INSTANT]
python -m curae_lifecycle keys register|narrow|withdraw|list --database URL
python -m curae_lifecycle outbox --database URL [--once|--dead|--revive NUMBER|--discard NUMBER]

The console script `curae-lifecycle` runs the same commands.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

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
from curae_lifecycle.cli.parser import Parser
from curae_lifecycle.cli.program_name import program_name
from curae_lifecycle.cli.terminal import discard_output, replace_unencodable

_Status = TypeVar("_Status")


@attrs.frozen
class Command:
    """A command of the command line.

    Attributes:
        add_options: Adds the command's options to its parser, and sets the function that runs it.
        help: The text that describes the command in the list of all commands.
        description: The text above the options in the command's own help.
    """

    add_options: Callable[[argparse.ArgumentParser], None]
    help: str
    description: str


COMMANDS: Final = {
    "tour": Command(
        tour.add_options,
        "watch the rules answer, from the first initiate to the last revoke",
        "Tells the story of the platform's operations. Each step shows the request, the response "
        "and the rule that decided. On a terminal it is in colour if the extra cli is installed.",
    ),
    "tables": Command(
        tables.add_options,
        "print the tables of rules",
        "Prints every table, or the named one. Given the name of a rule, a problem code or a "
        "reason, prints the matching rules and the lines of code that declare them.",
    ),
    "problems": Command(
        problems.add_options,
        "print what each problem code means and what a client should do",
        "Prints the page of every problem code, or of the named one: its status, its details, the "
        "rules that answer with it, and what a client should do.",
    ),
    "replay": Command(
        replay.add_options,
        "run a log of traffic through the rules",
        "Reads JSON lines in time order, runs them through the rules on an empty store and writes "
        "one JSON line for each. For a broken line it writes the error and continues; the exit "
        "status is then 1.",
    ),
    "simulate": Command(
        simulate.add_options,
        "simulate clients that crash and retry, and check the laws at each step",
        "Simulates apps, users, hosted pages, flaky networks and workers that die, on a simulated "
        "clock. The seed decides everything that happens. The laws are checked at each step. If a "
        "law does not hold, the seed and a log for replay are written and the exit status is 1.",
    ),
    "check": Command(
        check.add_options,
        "check a store of your own against the rules",
        "Creates empty stores and looks for bugs in them in three parts: the conformance kit on a "
        "server in this process, every pair of actions that can race, and the simulation. A race "
        "fails if its result is that of neither order. Each part prints its findings. The exit "
        "status is 1 if there are any.",
    ),
    "openapi": Command(
        documents.add_openapi_options,
        "print the API as an OpenAPI 3.1 document",
        "Prints the requests and responses of all operations as JSON, with every problem code.",
    ),
    "asyncapi": Command(
        documents.add_asyncapi_options,
        "print the events as an AsyncAPI 3.0 document",
        "Prints the messages that an outbox delivers as JSON, one for each kind of event.",
    ),
    "database": Command(
        database.add_options,
        "create the tables of a SQL store, purge them, or erase an app user",
        "Works on the tables of a SQL store in SQLite, PostgreSQL or MariaDB.",
    ),
    "facts": Command(
        facts.add_options,
        "record what happened outside of requests",
        "Records facts, one JSON line each, in the form of `fact` in a log. Writes the outcome of "
        "each when it is recorded. After a failure, go on with the first line that has no outcome: "
        "a repeated revocation or tombstone may end access that was given since. With --ends-since "
        "it records again the ends of access that a restored database has lost; after a failure, "
        "repeat that before you accept traffic. For a line that cannot be read it writes the error "
        "and continues; the exit status is then 1.",
    ),
    "keys": Command(
        keys.add_options,
        "register, narrow, withdraw and list API keys",
        "Manages the callers of API keys. Each change takes effect with the next request, on every "
        "worker. Of a key only the digest is stored.",
    ),
    "outbox": Command(
        outbox.add_options,
        "print effects and events as they are delivered",
        "Prints a JSON line for each effect and event and then deletes it from the outbox. Each is "
        "printed at least once, and those of one subject in their order. Print to a file: the "
        "reader of a pipe that ends loses the lines that it has not handled. A server delivers "
        "them with curae_lifecycle.stores.sql.outbox_worker instead.",
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the arguments name.

    Args:
        arguments: The arguments of the command line, without the program; by default those of the
            process.

    Returns:
        The exit status. 0 is success; a program that closes the pipe before it has read all output
        is no error. 1 is a broken line, a recorded response that differs from the decided one, a
        stale document, a difference between releases, a law that did not hold, a finding in a
        store, with `--strict` a check that was not run, a stored value that cannot be read, or
        output that could not be printed. 130 is an interrupt, such as Ctrl-C.

    Raises:
        SystemExit: With status 2 for a mistake on the command line. With status 1 if the database
            or the input failed, if a stored value that cannot be read stopped the command, if an
            API key or a dead message does not exist, if standard output is closed, or if a new
            key, a message of the outbox or the outcome of a fact could not be printed. With status
            0 after `--help` and `--version`.
    """
    parser = Parser(
        prog=program_name(),
        description="The lifecycle of patient-data connections, as pure rules.",
    )
    parser.add_argument("--version", action="version", version=f"curae_lifecycle {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, each in COMMANDS.items():
        each.add_options(commands.add_parser(name, help=each.help, description=each.description))
    if sys.stderr is None:
        # It also takes the closed descriptor, which a database file could get otherwise.
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it stays open
    if sys.stdout is None:
        parser.exit(1, f"{parser.prog}: error: standard output is closed\n")
    try:
        return _flush_output(parser, _run(parser, arguments))
    except SystemExit as ended:
        if _flush_output(parser, ended.code) != ended.code:
            raise SystemExit(1) from None
        raise
    except (BrokenPipeError, outbox.ReaderGoneError):
        # The reader closed the pipe.
        discard_output()
        return 0
    except OSError as error:
        # The error of a file names the file.
        if error.filename is not None:
            raise
        discard_output()
        return _report_output_error(parser, error)


def _run(parser: argparse.ArgumentParser, arguments: list[str] | None) -> int:
    options, unknown = parser.parse_known_args(arguments)
    # The parser of the command that was named, so that an error shows the usage of this command.
    command: argparse.ArgumentParser = options.parser
    if unknown:
        command.error(f"unrecognized arguments: {' '.join(unknown)}")
    replace_unencodable()
    try:
        status: int = options.run(command, options)
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            # Ends the line of a progress bar, or that on which the terminal shows Ctrl-C.
            sys.stderr.write("\n")
        return 130
    return status


def _flush_output(parser: argparse.ArgumentParser, status: _Status) -> _Status | int:
    # Returns `status`, or 1 if that is a success but the output could not be printed.
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
    except OSError as error:
        discard_output()
        if not status:
            return _report_output_error(parser, error)
    return status


def _report_output_error(parser: argparse.ArgumentParser, error: OSError) -> int:
    said = f"the output could not be printed: {error.strerror}"
    sys.stderr.write(f"{parser.prog}: error: {said}\n")
    return 1
