"""`openapi` and `asyncapi`: documents for other people's tools."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from curae_lifecycle.cli.files import write
from curae_lifecycle.cli.options import add_write
from curae_lifecycle.web.events import asyncapi
from curae_lifecycle.web.openapi import openapi

_DOCUMENTS: Final = {"openapi": openapi, "asyncapi": asyncapi}


def add_options(command: argparse.ArgumentParser) -> None:
    """Say what the commands take."""
    add_write(command, "FILE", "write it into a file instead")
    command.set_defaults(run=run)


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Print the document of a command, or write it."""
    text = json.dumps(_DOCUMENTS[options.command](), indent=2) + "\n"
    file: Path | None = options.write
    if file is not None:
        return write(file.parent, {file.name: text}, file.name, check=options.check)
    if options.check:
        parser.error("--check compares a file: name it with --write")
    sys.stdout.write(text)
    return 0
