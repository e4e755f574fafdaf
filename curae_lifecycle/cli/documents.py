"""The commands `openapi` and `asyncapi`: print the documents of the API and its events."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from curae_lifecycle.web.events import asyncapi
from curae_lifecycle.web.openapi import openapi


def add_openapi_options(command: argparse.ArgumentParser) -> None:
    """Add the options of the command `openapi` to its parser, and set the function that runs it."""
    command.add_argument(
        "--server",
        metavar="URL",
        default="/",
        help="the URL of your server, without the path of an operation (default: %(default)s)",
    )
    _add_shared_options(command)


def add_asyncapi_options(command: argparse.ArgumentParser) -> None:
    """Add the options of the command `asyncapi` to its parser; set the function that runs it."""
    command.set_defaults(server="/")
    _add_shared_options(command)


def _add_shared_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--write", type=Path, metavar="FILE", help="write to FILE instead of standard output"
    )
    command.add_argument(
        "--check",
        action="store_true",
        help="with --write: write nothing, and exit with status 1 if FILE is stale",
    )
    command.set_defaults(run=run, parser=command)


def document_text(name: str, server_url: str = "/") -> str:
    """Return the document that a command prints: indented JSON.

    Args:
        name: The command's name, `openapi` or `asyncapi`.
        server_url: The URL of the server in the document of `openapi`.
    """
    document = openapi(server_url=server_url) if name == "openapi" else asyncapi()
    return json.dumps(document, indent=2) + "\n"


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Print the document of the command `openapi` or `asyncapi`, or write it to a file.

    With `--check`, the file is only compared, and nothing is written.

    Args:
        parser: The parser of the command, which reports a wrong option and exits.
        options: The parsed options.

    Returns:
        The exit status: 1 if `--check` finds that the file is stale, else 0.

    Raises:
        SystemExit: With status 2 if `--check` is given without `--write`, or if the file cannot be
            written, or read for `--check`.
    """
    text = document_text(options.command, options.server)
    file: Path | None = options.write
    if file is None and options.check:
        parser.error("--check needs --write FILE, the file to compare")
    if file is None:
        sys.stdout.write(text)
    elif not options.check:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            parser.error(f"cannot write {file}: {error.strerror}")
    elif _read(parser, file) != text:
        sys.stderr.write(f"{file.name} is stale; run again without --check\n")
        return 1
    return 0


def _read(parser: argparse.ArgumentParser, file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        parser.error(f"cannot read {file}: {error.strerror}")
