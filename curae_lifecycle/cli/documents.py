"""`openapi` and `asyncapi`: print the documents of the API and of its events, or write them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from curae_lifecycle.web.events import asyncapi
from curae_lifecycle.web.openapi import openapi

_DOCUMENTS: Final = {"openapi": openapi, "asyncapi": asyncapi}


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of both commands."""
    command.add_argument("--write", type=Path, metavar="FILE", help="write a file instead")
    command.add_argument(
        "--check", action="store_true", help="with --write: write nothing, fail if FILE is stale"
    )
    command.set_defaults(run=run)


def document_text(name: str) -> str:
    """Return the text of `openapi` or of `asyncapi`, as JSON."""
    return json.dumps(_DOCUMENTS[name](), indent=2) + "\n"


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Print the document of the command, write it to a file, or compare it with one."""
    text = document_text(options.command)
    file: Path | None = options.write
    if file is None and options.check:
        parser.error("--check compares a file: name it with --write")
    if file is None:
        sys.stdout.write(text)
    elif not options.check:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    elif not file.is_file() or file.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"stale, write again: {file.name}\n")
        return 1
    return 0
