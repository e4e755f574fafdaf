"""The command `outbox`: print messages to deliver them, and list, revive and discard dead ones.

The law of this module: **a message is deleted only after its whole line is printed**. A failed
write leaves no part of a line in a file, and a part that a crash left gets its own line. A pipe
holds printed lines until its reader takes them, so a reader that ends loses those.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

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
        help="end when no message is due, instead of waiting for more; the exit status is 1 if a "
        "message could not be printed",
    )
    instead.add_argument("--dead", action="store_true", help="list all dead messages")
    instead.add_argument(
        "--revive", type=int, metavar="NUMBER", help="make a dead message due again"
    )
    instead.add_argument("--discard", type=int, metavar="NUMBER", help="delete a dead message")
    command.set_defaults(run=run, parser=command)


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Print due messages and delete them, or list, revive or discard dead messages.

    The messages are the effects and events in the outbox, the store's queue of messages to deliver.
    A dead message has no attempts left. Without one of the options `--once`, `--dead`, `--revive`
    and `--discard`, the command prints messages as they become due, until a signal stops it.

    Args:
        parser: The parser of the command, which reports a wrong option and exits.
        options: The parsed options.

    Returns:
        The exit status 0.

    Raises:
        SystemExit: With status 1 if the database failed, if `--once` could not print a message, or
            if no dead message has the number of `--revive` or `--discard`. With status 2 if the
            database's URL is missing or malformed.
        ReaderGoneError: Standard output is a pipe whose reader ended.
    """
    with open_database(parser, options) as database:
        outbox = Outbox(database)
        if options.revive is not None:
            _change_dead(parser, options.revive, outbox.revive)
        elif options.discard is not None:
            _change_dead(parser, options.discard, outbox.discard)
        elif options.dead:
            _list_dead(outbox)
        elif options.once:
            _print_due(parser, outbox)
        else:
            outbox.run(_print, _stop_at_signal())
    return 0


def _change_dead(
    parser: argparse.ArgumentParser, number: int, change: Callable[[int], bool]
) -> None:
    if not change(number):
        parser.exit(1, f"{parser.prog}: error: no dead message has the number {number}\n")


def _print_due(parser: argparse.ArgumentParser, outbox: Outbox) -> None:
    failure: OSError | None = None
    readable, tried = 0, 0

    def print_or_note(delivery: Delivery) -> None:
        nonlocal failure, readable
        readable += 1
        try:
            _print(delivery)
        except OSError as error:
            failure = error
            raise

    while batch := outbox.deliver_batch(print_or_note):
        tried += batch
    said = f"{parser.prog}: error: a message could not be printed"
    if failure is not None:
        parser.exit(1, f"{said}: {failure.strerror}\n")
    if readable < tried:
        parser.exit(1, f"{said}: it is malformed\n")


def _stop_at_signal() -> threading.Event:
    # A signal ends the command after the current message, and a second one at once: the reader of a
    # pipe may never take that message. A shell starts a job in the background with SIGINT ignored,
    # and that stays so.
    stop = threading.Event()
    both = (signal.SIGINT, signal.SIGTERM)
    signals = [each for each in both if signal.getsignal(each) is not signal.SIG_IGN]

    def set_stop(_: int, __: object) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_DFL)
        # The interrupted `stop.wait` may hold the lock of the event until this handler has returned.
        # `set` waits for that lock, so it runs in a thread, which is usually done at once.
        setting = threading.Thread(target=stop.set, daemon=True)
        setting.start()
        setting.join(1)

    for each in signals:
        signal.signal(each, set_stop)
    return stop


def _list_dead(outbox: Outbox) -> None:
    after = 0
    while dead := outbox.list_dead(after):
        for each in dead:
            print(_format(each))
        after = dead[-1].number


class ReaderGoneError(BaseException):
    """The error for a closed pipe: the program that read the standard output has ended.

    It is not an `Exception`, so that the outbox does not count it as a failed delivery.
    """


def _print(delivery: Delivery) -> None:
    line = f"{_format(delivery)}\n"
    descriptor = _file_descriptor()
    if descriptor is not None:
        _append(descriptor, line.encode())
        return
    try:
        sys.stdout.write(line)
        sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderGoneError from None


def _file_descriptor() -> int | None:
    # Returns the descriptor of standard output if that is a regular file, else None.
    try:
        descriptor = sys.stdout.fileno()
    except io.UnsupportedOperation:
        return None
    return descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def _append(descriptor: int, line: bytes) -> None:
    if not _is_at_line_start(descriptor):
        line = b"\n" + line
    written = 0
    try:
        while written < len(line):
            written += os.write(descriptor, line[written:])
        # The message is deleted next, and a crash of the machine must not lose its line.
        os.fsync(descriptor)
    except OSError:
        end = os.lseek(descriptor, 0, os.SEEK_CUR)
        # Another worker may have added a line to the file meanwhile, which must stay.
        if os.fstat(descriptor).st_size == end:
            os.ftruncate(descriptor, end - written)
            os.lseek(descriptor, end - written, os.SEEK_SET)
        raise


def _is_at_line_start(descriptor: int) -> bool:
    # A process that was killed in the middle of a write leaves a part of a line. If that cannot be
    # known, an empty line does less harm than a message that is added to such a part.
    if os.fstat(descriptor).st_size == 0:
        return True
    try:
        # A file to append to cannot be read through the same descriptor.
        with Path(f"/dev/fd/{descriptor}").open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read().endswith(b"\n")
    except OSError:
        return False


def _format(delivery: AnyDelivery) -> str:
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
    return json.dumps(members)
