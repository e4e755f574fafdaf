"""Logs of traffic, in the lines that `replay` reads.

The law of this module: **a log is printed traffic**, so `replay` accepts every line, and a recorded
response is the one that the rules give. A broken log names its broken line and the defect.
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
    """A log that `replay` accepts, with its traffic.

    Attributes:
        lines: The lines, in order of time.
        traffic: The traffic.
        with_responses: Whether each request has its response. Without responses, later lines refer
            to ids by the names of the answers that showed them.
    """

    lines: tuple[bytes, ...]
    traffic: traffic.Traffic = attrs.field(repr=False)
    with_responses: bool


@attrs.frozen
class BrokenLog:
    """A log with one broken line.

    Attributes:
        lines: The lines.
        number: The number of the broken line, counted from 1.
        defect: The defect.
        error: The beginning of the `error` of that line.
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
    """Draw logs.

    Args:
        max_steps: The largest number of requests, facts and questions, after the setup lines.
    """
    runs = st.tuples(traffic.traffic_runs(max_steps=max_steps), st.booleans())
    return runs.map(lambda drawn: Log(format_log(drawn[0], with_responses=drawn[1]), *drawn))


def broken_logs(*, max_steps: int = 6) -> st.SearchStrategy[BrokenLog]:
    """Draw logs with one broken line.

    Args:
        max_steps: The largest number of requests, facts and questions.
    """
    return st.builds(
        _break, logs(max_steps=max_steps), st.integers(0, max_steps), st.sampled_from(_BREAKAGES)
    )


def format_log(run: traffic.Traffic, *, with_responses: bool) -> tuple[bytes, ...]:
    """Return the lines of some traffic.

    Args:
        run: The traffic.
        with_responses: Whether each request has its response. Without responses the replay numbers the
            ids, and later lines refer to them by the names of the answers.
    """
    setup = [
        _line(START, "register", format_caller(secret, who)) for secret, who in traffic.CALLERS
    ]
    if run.buckets:
        setup.append(_line(START, "buckets", [attrs.asdict(each) for each in run.buckets]))
    lines = [*map(format_json, setup)]
    names: dict[str, str] = {}
    for number, interaction in enumerate(run.interactions):
        own_lines = _lines(interaction, f"a{number}", recorded=with_responses)
        lines.extend([_named(format_json(line), names) for line in own_lines])
        if not with_responses and isinstance(interaction, traffic.Exchange):
            _learn(interaction, f"a{number}", names)
    return tuple(lines)


# --- Lines ----------------------------------------------------------------------------------


def _line(now: datetime, kind: str, value: Json) -> dict[str, Json]:
    return {"at": format_time(now), kind: value}


def _lines(interaction: traffic.Interaction, name: str, *, recorded: bool) -> list[dict[str, Json]]:
    now = interaction.now
    match interaction:
        case traffic.Exchange():
            line = _line(now, "request", _request(interaction)) | {"as": name}
            if recorded:
                line["response"] = format_response(interaction.answer.response)
            return [*_healing(interaction), line]
        case traffic.RecordedFact(fact=fact):
            return [_line(now, "fact", format_fact(fact))]
        case traffic.AccessQuestion(connection=connection, package=package):
            asked: dict[str, Json] = {"connectionId": connection.id, "dataPackage": package}
            return [_line(now, "ask", {"type": "access", **asked})]


def _healing(exchange: traffic.Exchange) -> list[dict[str, Json]]:
    # A hand-off that a get found landed is a fact of its own in the log.
    landed, connection = exchange.snapshot.landed_handoff, exchange.snapshot.connection
    if landed is None or connection is None or not _heals(exchange, connection):
        return []
    fact = Authorized(connection.id, landed.expires_at, landed.happened_at)
    return [_line(exchange.now, "fact", format_fact(fact))]


def _heals(exchange: traffic.Exchange, connection: Connection) -> bool:
    # A refused get, for instance of another tenant, records no fact.
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
"""The texts of the tokens in the lines below; `<at>` is the time of the line before."""

# fmt: off
# The beginning of the `error`; the defect; the line.
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
    # After a setup line, so that there is a time to run backwards from.
    at = min(len(log.lines), 1 + place)
    before = parse_json(log.lines[at - 1])
    assert isinstance(before, dict)  # noqa: S101 - every line of a log is an object
    for token, text in (("<at>", f'"at":"{before["at"]}"'), *_TOKENS.items()):
        line = line.replace(token, text)
    lines = (*log.lines[:at], line.encode(), *log.lines[at:])
    return BrokenLog(lines=lines, number=at + 1, defect=how, error=error)
