"""Options that several commands take, and what they name."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import BinaryIO


def add_write(command: argparse.ArgumentParser, where: str, said: str) -> None:
    """Let a command write files; `where` names what is given, `said` what becomes of it."""
    command.add_argument("--write", type=Path, metavar=where, help=said)
    command.add_argument(
        "--check", action="store_true", help="with --write: write nothing, fail on what is stale"
    )


def positive(text: str) -> int:
    """A number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def opened_lines(parser: argparse.ArgumentParser, name: str) -> BinaryIO:
    """The file of this name, `-` for standard input; where it cannot be read the command ends."""
    try:
        return sys.stdin.buffer if name == "-" else Path(name).open("rb")
    except OSError as error:
        parser.error(f"cannot read {name}: {error.strerror}")
