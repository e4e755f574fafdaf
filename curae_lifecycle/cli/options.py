"""Parsers of option values that several commands share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Generator
from itertools import count
from pathlib import Path
from typing import BinaryIO, TextIO


def positive(text: str) -> int:
    """Parse the text of an option as a whole number of 1 or more.

    Raises:
        ArgumentTypeError: The text is not a whole number, or the number is less than 1.
    """
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def positive_up_to(most: int) -> Callable[[str], int]:
    """Return a parser of an option's text as a whole number from 1 to `most`.

    The parser raises `ArgumentTypeError` for any other text.
    """

    def parse(text: str) -> int:
        number = positive(text)
        if number > most:
            raise argparse.ArgumentTypeError(f"must be {most:,} or less")
        return number

    return parse


def _standard_input(parser: argparse.ArgumentParser) -> TextIO:
    """Return standard input; if it is closed, `parser` prints an error and exits with status 2."""
    if sys.stdin is None:
        parser.error("standard input is closed")
    return sys.stdin


def read_line(parser: argparse.ArgumentParser) -> str:
    """Read the line of standard input, without its line end and without a byte order mark.

    If standard input is closed, cannot be read, is not text or has a second line that is not blank,
    `parser` prints an error and exits with status 2.
    """
    stdin = _standard_input(parser)
    try:
        line = stdin.readline()
        # A terminal has no end before someone types it.
        if not stdin.isatty() and any(map(str.strip, stdin)):
            parser.error("standard input must hold one line")
        return line.removeprefix("\ufeff").rstrip("\r\n")
    except UnicodeDecodeError as error:
        parser.error(f"standard input is not {error.encoding}")
    except OSError as error:
        parser.error(f"cannot read standard input: {error.strerror}")


def open_input(parser: argparse.ArgumentParser, name: str) -> BinaryIO:
    """Open the file `name` to read bytes, or standard input for `-`.

    If the file cannot be opened, `parser` prints an error and exits with status 2.
    """
    try:
        return _standard_input(parser).buffer if name == "-" else Path(name).open("rb")
    except OSError as error:
        parser.error(f"cannot read {name}: {error.strerror}")


def read_lines(parser: argparse.ArgumentParser, file: BinaryIO, name: str) -> Generator[bytes]:
    """Yield the lines of a file that `open_input` opened, each with its line end.

    If a line cannot be read, `parser` prints an error and exits with status 1.

    Args:
        parser: The parser of the command.
        file: The open file.
        name: The name of the file on the command line.
    """
    for number in count(1):
        try:
            line = file.readline()
        except OSError as error:
            of = "standard input" if name == "-" else name
            said = f"cannot read line {number} of {of}: {error.strerror}"
            parser.exit(1, f"{parser.prog}: error: {said}\n")
        if not line:
            return
        yield line
