"""Parsers of option values that several commands share."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import BinaryIO


def positive(text: str) -> int:
    """Parse a whole number of 1 or more.

    Raises:
        ArgumentTypeError: The number is less than 1.
        ValueError: The text is not a whole number.
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def open_input(parser: argparse.ArgumentParser, name: str) -> BinaryIO:
    """Open the named file, or standard input for `-`; exit with status 2 if opening fails."""
    try:
        return sys.stdin.buffer if name == "-" else Path(name).open("rb")
    except OSError as error:
        parser.error(f"cannot read {name}: {error.strerror}")
