"""The command `replay`: run a log of traffic through the rules."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TextIO

from curae_lifecycle.cli.options import open_input, read_lines
from curae_lifecycle.cli.terminal import discard_output, track_progress
from curae_lifecycle.replay.log import replay
from curae_lifecycle.replay.recorded import Absent
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.json_schema import Json


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of the command `replay` to its parser, and set the function that runs it."""
    command.add_argument("file", metavar="FILE", help="the log; - for standard input")
    command.add_argument(
        "--check",
        action="store_true",
        help="compare recorded responses: status, code, body with ids matched one to one, then the "
        "headers that the rules fix. Each divergence is printed in its line's answer and on "
        "standard error, with the rule that decided that member; the exit status is 1 if there "
        "are any",
    )
    command.add_argument(
        "--environment",
        choices=("live", "test"),
        help="serve only this environment, and refuse a key of the other one; by default both",
    )
    command.set_defaults(run=run, parser=command)


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Run a log through the rules, and print the answer to every line.

    A log is recorded traffic: JSON lines of requests and facts.

    Args:
        parser: The parser of the command, which reports a wrong option and exits.
        options: The parsed options.

    Returns:
        The exit status: 1 if a line could not be run, or if `--check` found a recorded response
        that differs from that of the rules; else 0.

    Raises:
        SystemExit: The file cannot be opened; the status is 2. Or reading fails in the middle of
            the file; the status is 1.
    """
    environment = None if options.environment is None else Environment(options.environment)
    name: str = options.file
    with open_input(parser, name) as log:
        total = 0 if name == "-" else os.fstat(log.fileno()).st_size
        failed = False
        read = read_lines(parser, log, name)
        lines = track_progress("replay", items=read, total=total, size=len)
        for line in replay(lines, environment=environment, check=options.check):
            answer = line.answer
            for each in line.divergences:
                _print(
                    f"line {answer['line']}: {_escape(each.member)}: "
                    f"recorded {_show(each.recorded)}, "
                    f"decided {_show(each.decided)} by rule {each.rule}",
                    sys.stderr,
                )
            if line.divergences:
                answer = answer | {"divergences": [each.document() for each in line.divergences]}
            _print(json.dumps(answer), sys.stdout)
            failed = failed or line.broken or bool(line.divergences)
    return 1 if failed else 0


def _print(text: str, stream: TextIO) -> None:
    try:
        stream.write(f"{text}\n")
    except BrokenPipeError:
        # The rest of the log decides the exit status, too.
        discard_output(stream)


def _show(value: Json | Absent) -> str:
    return "nothing" if isinstance(value, Absent) else json.dumps(value)


def _escape(text: str) -> str:
    # The name of a recorded member can hold any text, such as line breaks and terminal codes.
    return json.dumps(text)[1:-1]
