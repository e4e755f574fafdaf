"""Logs of traffic, in the lines that `replay` reads.

The law of this module: **a log is traffic that was printed**, so `replay` accepts every line, and
a recorded response is the one that the rules give. What is broken says in which line and how.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs
from hypothesis import strategies as st

from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import format_time
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.testing.log_format import format_caller, format_fact, format_response
from curae_lifecycle.testing.strategies import traffic, values
from curae_lifecycle.testing.strategies.request import as_bytes
from curae_lifecycle.testing.strategies.values import START
from curae_lifecycle.web.json import Json, format_json, parse_json
from curae_lifecycle.web.wire_format import to_camel_case


@attrs.frozen
class Log(traffic.Terse):
    """A log that `replay` accepts, line by line in order of time, and what happened in it.

    Where `with_responses`, each request stands with its response; else ids go by the names of the
    answers that gave them.
    """

    lines: tuple[bytes, ...]
    traffic: traffic.Traffic = attrs.field(repr=False)
    with_responses: bool


@attrs.frozen
class BrokenLog:
    """A log with one broken line, and how it is broken.

    Attributes:
        number: Which line, counted from 1.
        error: What the `error` of that line begins with.
    """

    lines: tuple[bytes, ...]
    number: int
    defect: str
    error: str

    @property
    def others(self) -> tuple[bytes, ...]:
        """The log without the broken line."""
        return (*self.lines[: self.number - 1], *self.lines[self.number :])


def logs(*, max_steps: int = 10) -> st.SearchStrategy[Log]:
    """Logs of at most `max_steps` requests, facts and questions, after the lines that set them up."""
    runs = st.tuples(traffic.traffic_runs(max_steps=max_steps), st.booleans())
    return runs.map(lambda drawn: Log(format_log(drawn[0], with_responses=drawn[1]), *drawn))


def broken_logs(*, max_steps: int = 6) -> st.SearchStrategy[BrokenLog]:
    """Logs with one line that is broken in one way; each says which line and how."""
    return st.builds(
        _break, logs(max_steps=max_steps), st.integers(0, max_steps), st.sampled_from(_BREAKAGES)
    )


def format_log(run: traffic.Traffic, *, with_responses: bool) -> tuple[bytes, ...]:
    """The lines of some traffic.

    Args:
        run: What happened.
        with_responses: Whether each request stands with its response. Else whoever replays the log
            numbers the ids, and later lines call them by the names of the answers.
    """
    setup = [
        _line(START, "register", format_caller(secret, who)) for secret, who in traffic.CALLERS
    ]
    if run.buckets:
        setup.append(_line(START, "buckets", [attrs.asdict(each) for each in run.buckets]))
    lines = [*map(format_json, setup)]
    names: dict[str, str] = {}
    for number, happening in enumerate(run.interactions):
        own_lines = _lines(happening, f"a{number}", recorded=with_responses)
        lines.extend([_named(format_json(line), names) for line in own_lines])
        if not with_responses and isinstance(happening, traffic.Exchange):
            _learn(happening, f"a{number}", names)
    return tuple(lines)


# --- Lines ----------------------------------------------------------------------------------


def _line(now: datetime, kind: str, value: Json) -> dict[str, Json]:
    return {"at": format_time(now), kind: value}


def _lines(happening: traffic.Interaction, name: str, *, recorded: bool) -> list[dict[str, Json]]:
    now = happening.now
    match happening:
        case traffic.Exchange():
            line = _line(now, "request", _request(happening)) | {"as": name}
            if recorded:
                line["response"] = format_response(happening.answer.response)
            return [*_healing(happening), line]
        case traffic.RecordedFact(fact=fact):
            return [_line(now, "fact", format_fact(fact))]
        case traffic.AccessQuestion(connection=connection, package=package):
            asked: dict[str, Json] = {"connectionId": connection.id, "dataPackage": package}
            return [_line(now, "ask", {"type": "access", **asked})]


def _healing(exchange: traffic.Exchange) -> list[dict[str, Json]]:
    # What the server found landed while it answered stands as the fact that it is.
    landed, connection = exchange.snapshot.landed_handoff, exchange.snapshot.connection
    if landed is None or connection is None or not _heals(exchange, connection):
        return []
    fact = Authorized(connection.id, landed.expires_at, landed.happened_at)
    return [_line(exchange.now, "fact", format_fact(fact))]


def _heals(exchange: traffic.Exchange, connection: Connection) -> bool:
    # For a stranger, say, nothing is looked at, and so nothing happened.
    return any(
        isinstance(write, ConnectionWrite)
        and write.before == connection
        and write.after.authorized_at != connection.authorized_at
        for write in exchange.decision.changes.writes
    )


def _request(exchange: traffic.Exchange) -> dict[str, Json]:
    request, body = exchange.request, as_bytes(exchange.request)
    headers: Json = dict(request.headers)
    start: dict[str, Json] = {"method": request.method, "path": request.target, "headers": headers}
    return start | ({"body": parse_json(body)} if body else {})


# --- Names of answers -----------------------------------------------------------------------


def _learn(exchange: traffic.Exchange, name: str, names: dict[str, str]) -> None:
    reply = exchange.decision.reply
    for field in reply.__match_args__:
        value: object = getattr(reply, field)
        if isinstance(value, Connection | CuraeConnectSession):
            names.setdefault(value.id, f"{{{name}.{to_camel_case(field)}.id}}")


def _named(line: bytes, names: dict[str, str]) -> bytes:
    for known, name in names.items():
        line = line.replace(known.encode(), name.encode())
    return line


# --- Broken lines ---------------------------------------------------------------------------

_TOKENS: Final = {
    "<unknown>": '{"type":"access","connectionId":"<id>","dataPackage":"labs"}',
    "<malformed>": '{"type":"binding.tombstone","customerAccountId":"<id>","appId":"a","appUserId":" u"}',
    "<id>": values.uuid_of(9999),
}
"""What stands in the lines below; `<at>` is the same time as in the line before."""

# fmt: off
# What the `error` begins with; how the line is broken; the line.
_BREAKAGES: Final = (
    ("the document: NOT_JSON",             "blank",                       ""),
    ("the document: NOT_JSON",             "no JSON",                     "{"),
    ("the line: must be an object",        "no object",                   "[]"),
    ("the line: must have the members at", "no time",                     '{"buckets":[]}'),
    ("the line: must be exactly one of",   "no kind",                     "{<at>}"),
    ("the line: must be exactly one of",   "two kinds at once",           '{<at>,"buckets":[],"ask":{}}'),
    ("the line: has a member twice",       "a member twice",              '{<at>,<at>,"buckets":[]}'),
    ("at: must not run backwards",         "a time that runs backwards",  '{"at":"2025-12-31T23:59:59Z","buckets":[]}'),
    ("at: must be an RFC 3339 time",       "a time that is not UTC",      '{"at":"2026-01-01T00:00:00","buckets":[]}'),
    ("ask.connectionId: must be a known",  "an unknown id in a question", '{<at>,"ask":<unknown>}'),
    ("fact.type: must be one of",          "an unknown kind of fact",     '{<at>,"fact":{"type":"heal"}}'),
    ("appUserId: must be",                 "a malformed app user",        '{<at>,"fact":<malformed>}'),
    ("the line: as and response go",       "a name without a request",    '{<at>,"as":"a","buckets":[]}'),
)
# fmt: on


def _break(log: Log, place: int, breakage: tuple[str, str, str]) -> BrokenLog:
    error, how, line = breakage
    # After a line that set the store up, so that there is a clock to run backwards.
    at = min(len(log.lines), 1 + place)
    before = parse_json(log.lines[at - 1])
    assert isinstance(before, dict)  # noqa: S101 - every line of a log is an object
    for token, text in (("<at>", f'"at":"{before["at"]}"'), *_TOKENS.items()):
        line = line.replace(token, text)
    lines = (*log.lines[:at], line.encode(), *log.lines[at:])
    return BrokenLog(lines=lines, number=at + 1, defect=how, error=error)
