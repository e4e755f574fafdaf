"""The command `outbox`: print messages to deliver them, and list and revive dead ones."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterable

from curae_lifecycle.cli.database import add_database, open_database
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.stores.outbox import AnyDelivery, Delivery
from curae_lifecycle.stores.sql.outbox_worker import Outbox


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of the command `outbox` to its parser, and set the function that runs it."""
    add_database(command)
    instead = command.add_mutually_exclusive_group()
    instead.add_argument(
        "--once",
        action="store_true",
        help="end when no message is due, instead of waiting for more",
    )
    instead.add_argument("--dead", action="store_true", help="list all dead messages")
    instead.add_argument(
        "--revive", type=int, metavar="NUMBER", help="make a dead message due again"
    )
    command.set_defaults(run=run, parser=command)


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Print due messages and delete them, list the dead ones, or revive one; return 0.

    `--revive` exits with status 1 if no dead message has the number.

    Args:
        parser: The parser of the command, which reports a wrong option and exits.
        options: The options as it parsed them.
    """
    with open_database(parser, options) as database:
        outbox = Outbox(database)
        if options.revive is not None:
            if not outbox.revive(options.revive):
                parser.exit(
                    1, f"{parser.prog}: error: no dead message has the number {options.revive}\n"
                )
        elif options.dead:
            _list_dead(outbox)
        elif options.once:
            while outbox.deliver_batch(_print):
                pass
        else:
            outbox.run(_print, _stop_at_signal())
    return 0


def _stop_at_signal() -> threading.Event:
    # A signal ends the command after the current message.
    stop = threading.Event()

    def set_stop(_: int, __: object) -> None:
        stop.set()

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, set_stop)
    return stop


def _list_dead(outbox: Outbox) -> None:
    after = 0
    while dead := outbox.list_dead(after):
        _write(dead)
        after = dead[-1].number


class ReaderGoneError(BaseException):
    """The error for a closed pipe: the program that read the standard output has ended.

    It is not an `Exception`, so that the outbox does not count it as a failed delivery.
    """


def _print(delivery: Delivery) -> None:
    try:
        _write([delivery])
    except BrokenPipeError:
        raise ReaderGoneError from None


def _write(deliveries: Iterable[AnyDelivery]) -> None:
    for delivery in deliveries:
        members: dict[str, Json] = {
            "number": delivery.number,
            "attempt": delivery.attempt,
            "kind": delivery.kind,
            "subject": delivery.subject,
        }
        if isinstance(delivery, Delivery):
            members["document"] = delivery.document
        else:
            members["error"] = str(delivery.error)
        print(json.dumps(members))
    sys.stdout.flush()
