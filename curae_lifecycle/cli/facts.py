"""`facts`: what happened outside of requests, recorded from a terminal.

The law of this module: **what is recorded twice changes nothing**, so a file that was read in part
is read again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import datetime

from curae_lifecycle.cli.database import add_database, open_database
from curae_lifecycle.cli.options import open_input
from curae_lifecycle.replay.log import BrokenLineError, format_fact_answer, read_fact
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import parse_time
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.stores.serve import record
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.json import Json, MalformedError, parse_json


def add_options(command: argparse.ArgumentParser) -> None:
    """Say which facts are recorded."""
    add_database(command)
    command.add_argument(
        "file", metavar="FILE", help="a JSON line for each fact; - for standard input"
    )
    command.add_argument(
        "--ends-since",
        metavar="INSTANT",
        help="the lines are what `outbox` printed: record again each revocation and each tombstone "
        "that they tell of, of that instant or later, such as 2026-01-31T08:00:00Z",
    )
    command.set_defaults(run=run)


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Record every fact; the exit status says whether all could be read."""
    try:
        since = None if options.ends_since is None else parse_time("INSTANT", options.ends_since)
    except ArgumentError as error:
        parser.error(f"--ends-since: {error}")
    broken = False
    with open_input(parser, options.file) as file, open_database(parser, options) as database:
        store = SqlStore(database)
        for number, line in enumerate(file, 1):
            try:
                for fact in _facts(line, since):
                    answer = record(store, read_fact(fact))
                    print(json.dumps(format_fact_answer(number, answer)))
            except (BrokenLineError, ArgumentError, MalformedError) as error:
                broken = True
                print(json.dumps({"line": number, "error": str(error)}))
    return 1 if broken else 0


def _facts(line: bytes, since: datetime | None) -> Iterator[Json]:
    # What a line says that is to be recorded.
    said = parse_json(line)
    if since is None:
        yield said
        return
    event = said.get("document") if isinstance(said, dict) else None
    if not isinstance(event, dict) or "kind" not in event:
        raise BrokenLineError("the line: must be one that outbox printed")
    fact = _end_of(event)
    if fact is not None and parse_time("at", event.get("at")) >= since:
        yield fact


def _end_of(event: dict[str, Json]) -> Json:
    # The fact that makes an event's end true again; `None` where it tells of none.
    match event["kind"]:
        case EventKind.CONNECTION_REVOKED:
            connection = _part(event, "subject")
            # Each connection of a chain has an event of its own, so none reaches further.
            return {
                "type": Revoked.kind,
                "connectionId": connection.get("id"),
                "actor": Actor.UPSTREAM,
                "happenedAt": connection.get("revokedAt"),
            }
        case EventKind.BINDING_TOMBSTONED:
            coordinate = _part(event, "coordinate")
            return {"type": Tombstoned.kind, "happenedAt": event.get("at"), **coordinate}
        case _:
            return None


def _part(event: dict[str, Json], name: str) -> dict[str, Json]:
    part = event.get(name)
    if not isinstance(part, dict):
        raise BrokenLineError(f"{name}: must be an object")
    return part
