"""`outbox`: messages printed as they are shipped, and those that are dead."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterable

from curae_lifecycle.cli.database import add_database, open_database
from curae_lifecycle.stores.outbox import Delivery
from curae_lifecycle.stores.sql.outbox_worker import Outbox


def add_options(command: argparse.ArgumentParser) -> None:
    """Say what can be done with an outbox."""
    add_database(command)
    instead = command.add_mutually_exclusive_group()
    instead.add_argument(
        "--once", action="store_true", help="end where nothing is due, instead of waiting for more"
    )
    instead.add_argument("--dead", action="store_true", help="list the messages that are dead")
    instead.add_argument(
        "--revive", type=int, metavar="NUMBER", help="let a dead message be shipped again"
    )
    command.set_defaults(run=run)


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Ship, list or revive."""
    with open_database(parser, options) as database:
        outbox = Outbox(database)
        if options.revive is not None:
            if not outbox.revive(options.revive):
                parser.exit(1, f"{parser.prog}: error: no message of this number is dead\n")
        elif options.dead:
            _list(outbox)
        elif options.once:
            while outbox.deliver_batch(_print):
                pass
        else:
            outbox.run(_print, _until_told())
    return 0


def _until_told() -> threading.Event:
    # Whoever ends the command lets the message at hand be finished.
    stop = threading.Event()

    def end(_: int, __: object) -> None:
        stop.set()

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, end)
    return stop


def _list(outbox: Outbox) -> None:
    after = 0
    while dead := outbox.list_dead(after):
        _write(dead)
        after = dead[-1].number


class ReaderGoneError(BaseException):
    """Whoever read the output has read enough, which is no failure of a message."""


def _print(delivery: Delivery) -> None:
    try:
        _write([delivery])
    except BrokenPipeError:
        raise ReaderGoneError from None


def _write(deliveries: Iterable[Delivery]) -> None:
    for delivery in deliveries:
        members = {
            "number": delivery.number,
            "attempt": delivery.attempt,
            "kind": delivery.kind,
            "subject": delivery.subject,
            "document": delivery.document,
        }
        print(json.dumps(members))
    sys.stdout.flush()
