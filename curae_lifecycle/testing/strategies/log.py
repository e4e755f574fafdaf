"""Strategies for logs of traffic, as the lines that `replay` reads.

The law of this module: **a log is printed from drawn traffic**. `replay` therefore accepts every
line, and each recorded response is the one that the rules give. A broken log names its broken line
and the defect.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs
from hypothesis import strategies as st

from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import NextAction, format_time
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.writes import ConnectionWrite
from curae_lifecycle.testing.log_format import format_caller, format_fact, format_response
from curae_lifecycle.testing.strategies import traffic, values
from curae_lifecycle.testing.strategies.request import body_bytes
from curae_lifecycle.testing.strategies.values import START
from curae_lifecycle.web.json import format_json, parse_json
from curae_lifecycle.web.wire_format import to_camel_case


@attrs.frozen
class Log(traffic.Terse):
    """A log of requests and facts that `replay` accepts, and the traffic it was printed from.

    Attributes:
        lines: The JSON lines in time order, without line feeds.
        traffic: The requests, facts and access questions that were printed, with their answers.
        with_responses: Whether each request line holds the response. If not, each request line
            gives its answer a name, such as `a1`. Later lines refer to an ID in the answer by that
            name, as in `{a1.connection.id}`.
    """

    lines: tuple[bytes, ...]
    traffic: traffic.Traffic = attrs.field(repr=False)
    with_responses: bool


@attrs.frozen
class BrokenLog:
    """A log for `replay` with exactly one broken line.

    A log holds requests, facts and access questions, a JSON line each.

    Attributes:
        lines: All lines, including the broken one.
        number: The number of the broken line, counted from 1.
        defect: What is wrong with the broken line.
        error: The beginning of the `error` that `replay` must write for the broken line.
    """

    lines: tuple[bytes, ...]
    number: int
    defect: str
    error: str

    @property
    def others(self) -> tuple[bytes, ...]:
        """All lines of the log except the broken one; `replay` accepts every one of them."""
        return (*self.lines[: self.number - 1], *self.lines[self.number :])


def logs(*, max_steps: int = 10) -> st.SearchStrategy[Log]:
    """Draw logs that `replay` accepts; some of them hold the recorded responses.

    A log holds requests, facts and access questions, a JSON line each. The first lines register
    the API keys. The next line sets the buckets, if there are any.

    Args:
        max_steps: The largest number of requests, facts and access questions together.
    """
    runs = st.tuples(traffic.traffic_runs(max_steps=max_steps), st.booleans())
    return runs.map(lambda drawn: Log(format_log(drawn[0], with_responses=drawn[1]), *drawn))


def broken_logs(*, max_steps: int = 6) -> st.SearchStrategy[BrokenLog]:
    """Draw logs for `replay` with one broken line, which has one named defect and is never first.

    Args:
        max_steps: The largest number of valid requests, facts and access questions together.
    """
    return st.builds(
        _break, logs(max_steps=max_steps), st.integers(0, max_steps), st.sampled_from(_BREAKAGES)
    )


def format_log(run: traffic.Traffic, *, with_responses: bool) -> tuple[bytes, ...]:
    """Return drawn requests, facts and access questions as the lines of a log for `replay`.

    The first lines register the API keys of `CALLERS`, the callers of all drawn requests, and set
    the buckets of the run, if any. A graduation is written without its user and its
    hosted page, because `replay` gives LIMITED users other IDs. A graduation that was refused is
    written whole, so that `replay` refuses it, too.

    Args:
        run: The requests, facts and access questions in time order, with their answers.
        with_responses: Whether each request line holds the response, whose IDs `replay` adopts. If
            not, `replay` makes up the IDs. Each request line then gives its answer a name, and
            later lines refer to an ID by that name, as in `{a1.connection.id}`.
    """
    setup = [
        _line(START, "register", format_caller(secret, caller))
        for secret, caller in traffic.CALLERS
    ]
    if run.buckets:
        setup.append(_line(START, "buckets", [attrs.asdict(each) for each in run.buckets]))
    lines = [*map(format_json, setup)]
    names: dict[str, str] = {}
    for number, interaction in enumerate(run.interactions):
        own_lines = _lines(interaction, f"a{number}", with_responses=with_responses)
        lines.extend([_replace_ids(format_json(line), names) for line in own_lines])
        if not with_responses and isinstance(interaction, traffic.Exchange):
            _name_ids(interaction, f"a{number}", names)
    return tuple(lines)


# --- Lines ----------------------------------------------------------------------------------


def _line(now: datetime, kind: str, value: Json) -> dict[str, Json]:
    return {"at": format_time(now), kind: value}


def _lines(
    interaction: traffic.Interaction, name: str, *, with_responses: bool
) -> list[dict[str, Json]]:
    now = interaction.now
    match interaction:
        case traffic.Exchange():
            line = _line(now, "request", _request(interaction)) | {"as": name}
            if with_responses:
                line["response"] = format_response(interaction.answer.response)
            return [*_landing_facts(interaction), line]
        case traffic.RecordedFact(fact=Graduated() as fact, answer=Done() | Ignored()):
            # `replay` gives the bound user another ID, which no response shows.
            bound = attrs.evolve(fact, user_id=None, page_url=None)
            return [_line(now, "fact", format_fact(bound))]
        case traffic.RecordedFact(fact=fact):
            return [_line(now, "fact", format_fact(fact))]
        case traffic.AccessQuestion(connection=connection, package=package):
            members: dict[str, Json] = {"connectionId": connection.id, "dataPackage": package}
            return [_line(now, "ask", {"type": "access", **members})]


def _landing_facts(exchange: traffic.Exchange) -> list[dict[str, Json]]:
    # A log cannot say that a get found a landed hand-off, so a fact before the request says it.
    landed, connection = exchange.snapshot.landed_handoff, exchange.snapshot.connection
    if landed is None or connection is None or not _records_landing(exchange, connection):
        return []
    fact = Authorized(connection.id, landed.expires_at, landed.happened_at)
    return [_line(exchange.now, "fact", format_fact(fact))]


def _records_landing(exchange: traffic.Exchange, connection: Connection) -> bool:
    # A refused request does not record the landing.
    return any(
        isinstance(write, ConnectionWrite)
        and write.before == connection
        and write.after.authorized_at != connection.authorized_at
        for write in exchange.decision.changes.writes
    )


def _request(exchange: traffic.Exchange) -> dict[str, Json]:
    request, body = exchange.request, body_bytes(exchange.request)
    headers: Json = dict(request.headers)
    line: dict[str, Json] = {"method": request.method, "path": request.target, "headers": headers}
    return line | ({"body": parse_json(body)} if body else {})


# --- Names of answers -----------------------------------------------------------------------


def _name_ids(exchange: traffic.Exchange, name: str, names: dict[str, str]) -> None:
    reply = exchange.decision.reply
    for field in reply.__match_args__:
        value: object = getattr(reply, field)
        if isinstance(value, Connection | CuraeConnectSession):
            names.setdefault(value.id, f"{{{name}.{to_camel_case(field)}.id}}")
        elif isinstance(value, NextAction):
            # With its quotes, because one URL can begin with another.
            names[f'"{value.url}"'] = f'"{{{name}.{to_camel_case(field)}.url}}"'


def _replace_ids(line: bytes, names: dict[str, str]) -> bytes:
    for id_, name in names.items():
        line = line.replace(id_.encode(), name.encode())
    return line


# --- Broken lines ---------------------------------------------------------------------------

_TOKENS: Final = {
    "<unknown>": '{"type":"access","connectionId":"<id>","dataPackage":"labs"}',
    "<malformed>": '{"type":"binding.tombstone","customerAccountId":"<id>","appId":"a","appUserId":" u"}',
    "<id>": values.uuid_of(9999),
}
"""The replacement of each placeholder in `_BREAKAGES`; `<at>` is the time of the line before."""

# fmt: off
# The beginning of the `error`, the defect, the line.
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
    error, defect, line = breakage
    # Never first: the broken line copies the time of the line before it, or runs back from it.
    index = min(len(log.lines), 1 + place)
    before = parse_json(log.lines[index - 1])
    assert isinstance(before, dict)  # noqa: S101 - every line of a log is an object
    for token, text in (("<at>", f'"at":"{before["at"]}"'), *_TOKENS.items()):
        line = line.replace(token, text)
    lines = (*log.lines[:index], line.encode(), *log.lines[index:])
    return BrokenLog(lines=lines, number=index + 1, defect=defect, error=error)
