"""The command `facts`: record what happened outside of requests.

The laws of this module:

- **An outcome is printed as soon as its fact is recorded.** After a failure, go on with the first
  line that has no outcome. Earlier lines must not be repeated: some would end newer access.
- **An interrupt waits for the outcome of the current fact.** A second one ends the command at once.
- **Output that fails stops nothing.** The other facts are recorded without it.
- **A repeated end keeps its `revokedAt`.** A tombstone would revoke a connection at its own instant,
  so tombstones are repeated after all other ends. Only tombstones are held in memory.
- **Every event that ended access is repeated.** The revocation of a successor that the database has
  lost ends nothing. The expiry or required action that the successor recovered from does.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.cli.database import add_database, open_database
from curae_lifecycle.cli.options import open_input, read_lines
from curae_lifecycle.cli.terminal import discard_output, track_progress
from curae_lifecycle.replay.log import BrokenLineError, format_fact_answer, read_fact
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import CLOCK_TOLERANCE, add_microseconds, parse_time
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.stores.serve import record
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.stores.sweeping import BATCH_POLICY
from curae_lifecycle.web.json import MalformedError, parse_json

_MARGIN: Final = 2 * CLOCK_TOLERANCE
"""How long before `--ends-since` an end may be recorded and be missing in the backup.

The clocks of database hosts may disagree by the one half. A request may commit that much later than
the instant that its events hold.
"""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of the command `facts` to its parser, and set the function that runs it."""
    add_database(command)
    command.add_argument(
        "file", metavar="FILE", help="one JSON line for each fact; - for standard input"
    )
    command.add_argument(
        "--ends-since",
        metavar="INSTANT",
        help="take lines that `outbox` printed, and record again what ended access: revocations, "
        "expiries, required actions and, last, tombstones, from ten minutes before INSTANT on, "
        "such as 2026-01-31T08:00:00Z",
    )
    command.set_defaults(run=run, parser=command)


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Record the facts of a file of JSON lines; print the outcome of each as a JSON line.

    A fact is something that happened outside the API, such as a patient's authorization.

    `--ends-since` is for a database that was restored from a backup: it records again what ended
    access since then. The file then holds lines that the command `outbox` printed. Events that say
    that a user is gone (tombstones) are recorded last.

    Args:
        parser: The parser of the command, which reports a wrong option and exits.
        options: The parsed options: the file and the database.

    Returns:
        The exit status: 1 if a line or a stored value could not be read, else 0.

    Raises:
        SystemExit: With status 2 for a wrong option or a file that cannot be opened. With status 1
            if the database failed, if reading the file failed, or if outcomes could not be printed.
            The message names the line, except for a failure before the first line.
    """
    try:
        since = None if options.ends_since is None else parse_time("INSTANT", options.ends_since)
    except ArgumentError as error:
        parser.error(f"--ends-since: {error}")
    tombstones: list[tuple[int, Tombstoned]] = []
    with open_input(parser, options.file) as file, open_database(parser, options) as database:
        recorder = _Recorder(SqlStore(database))
        total = os.fstat(file.fileno()).st_size if options.file != "-" else 0
        read = read_lines(parser, file, options.file)
        lines = track_progress("facts", items=read, total=total, size=len)
        for number, line in enumerate(lines, 1):
            with hold_signals(), recorder.report_errors(number):
                fact = _fact_of_line(line, since)
                if since is not None and isinstance(fact, Tombstoned):
                    tombstones.append((number, fact))
                elif fact is not None:
                    recorder.record(number, fact)
        for number, tombstone in tombstones:
            with hold_signals(), recorder.report_errors(number):
                recorder.record(number, tombstone)
    if recorder.print_error is not None:
        parser.exit(1, f"{parser.prog}: error: {recorder.print_error}\n")
    return 1 if recorder.is_broken else 0


@contextmanager
def hold_signals() -> Generator[None, None, None]:
    """Delay SIGINT and SIGTERM until a `with` block ends; a second signal ends the process at once.

    So a fact that is being recorded is finished, and its outcome is printed. A signal that the
    process ignores stays ignored.
    """
    held: list[int] = []

    def hold(number: int, _: object) -> None:
        held.append(number)
        for each in handlers:
            signal.signal(each, signal.SIG_DFL)

    handlers = {
        each: handler
        for each in (signal.SIGINT, signal.SIGTERM)
        # A shell starts a job in the background with SIGINT ignored, and that stays so.
        if (handler := signal.getsignal(each)) is not signal.SIG_IGN
    }
    for each in handlers:
        signal.signal(each, hold)
    try:
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    for number in held:
        signal.raise_signal(number)


@attrs.define
class _Recorder:
    """Records facts in a store and prints an answer for each line.

    Attributes:
        store: The store.
        is_broken: Whether a line or a stored value could not be read.
        print_error: Says from which line on no outcome could be printed; None if all were, or if
            the reader closed the pipe.
    """

    store: SqlStore
    is_broken: bool = False
    print_error: str | None = None

    def record(self, number: int, fact: Fact) -> None:
        # No request waits, so a fact outlasts the restart of a database.
        answer = record(self.store, fact, retry_policy=BATCH_POLICY)
        self._print(number, format_fact_answer(number, answer))

    @contextmanager
    def report_errors(self, number: int) -> Generator[None, None, None]:
        try:
            yield
        except (BrokenLineError, ArgumentError, MalformedError, NewerFormatError) as error:
            self.is_broken = True
            self._print(number, {"line": number, "error": str(error)})
        except BaseException:
            # Earlier outcomes may not have been printed.
            sys.stderr.write(f"stopped at line {number}\n")
            raise

    def _print(self, number: int, document: Mapping[str, Json]) -> None:
        try:
            print(json.dumps(document), flush=True)
        except OSError as error:
            # The facts matter more than their outcomes, so the others are recorded all the same.
            discard_output()
            if not isinstance(error, BrokenPipeError):
                lost = f"the outcomes from line {number} on"
                self.print_error = f"{lost} could not be printed: {error.strerror}"


def _fact_of_line(line: bytes, since: datetime | None) -> Fact | None:
    if since is not None and line.isspace():
        # `outbox` adds an empty line to a file if it cannot know whether the last one is whole.
        return None
    document = parse_json(line)
    if since is None:
        return read_fact(document)
    event = document.get("document") if isinstance(document, dict) else None
    if not isinstance(event, dict) or "kind" not in event:
        raise BrokenLineError("the line: must be a line that outbox printed")
    fact = _fact_of_event(event)
    if fact is None or add_microseconds(parse_time("at", event.get("at")), _MARGIN) < since:
        return None
    return read_fact(fact)


def _fact_of_event(event: dict[str, Json]) -> Json:
    # Returns the fact that repeats an end of access, or None for any other event.
    match event["kind"]:
        case EventKind.CONNECTION_REVOKED:
            connection = _object_member(event, "subject")
            # Each revoked connection of a chain has its own event, so each fact revokes one id.
            return {
                "type": Revoked.kind,
                "connectionId": connection.get("id"),
                "actor": Actor.UPSTREAM,
                "happenedAt": connection.get("revokedAt"),
            }
        case EventKind.CONNECTION_EXPIRED:
            connection = _object_member(event, "subject")
            return {
                "type": Expired.kind,
                "connectionId": connection.get("id"),
                "happenedAt": event.get("at"),
            }
        case EventKind.CONNECTION_ACTION_REQUIRED:
            connection = _object_member(event, "subject")
            return {
                "type": ActionRequired.kind,
                "connectionId": connection.get("id"),
                "reason": connection.get("actionRequiredReason"),
                "happenedAt": event.get("at"),
            }
        case EventKind.BINDING_TOMBSTONED:
            coordinate = _object_member(event, "coordinate")
            return {"type": Tombstoned.kind, "happenedAt": event.get("at"), **coordinate}
        case _:
            return None


def _object_member(event: dict[str, Json], name: str) -> dict[str, Json]:
    member = event.get(name)
    if not isinstance(member, dict):
        raise BrokenLineError(f"{name}: must be an object")
    return member
