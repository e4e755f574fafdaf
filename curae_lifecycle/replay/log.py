"""A log of traffic against the rules.

The laws of this module: **every line gives one answer**, whatever stands in it; **a broken
line does nothing**, moves no clock and names no answer, and the rest goes on; **memory is
bounded by the live world and the named answers**, not by the lines.

A line holds a time and one of `KINDS`: `register` and `buckets` set the world up, a `request`
goes through it, a `fact` is recorded, an `ask` asks for access. Strings may name values of
earlier answers: `{c1.connection.id}`, `{a1.headers.etag}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from datetime import datetime
from itertools import count
from typing import Final

import attrs

from curae_lifecycle.replay.recorded import Comparison, Divergence, Recorded
from curae_lifecycle.rules import values
from curae_lifecycle.rules.access import Denied, decide_access
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.errors import ArgumentError, LifecycleError
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.members import APP_ID, ENVIRONMENT, ParsedMembers
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.retry import RetryPolicy, RetryStats
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.web.json import (
    DuplicateKeyObject,
    Json,
    MalformedError,
    has_duplicate_keys,
    parse_json,
)
from curae_lifecycle.web.request import ParsedBody, Request

KINDS: Final = ("register", "buckets", "request", "fact", "ask")
"""What a line may be, beside its time."""

_KINDS: Final = frozenset(KINDS)
_REQUIRED: Final = frozenset({"at"})
_ALLOWED: Final = _REQUIRED | _KINDS | {"as", "response"}
_REQUIRED_OF_REQUEST: Final = frozenset({"method", "path"})
_ALLOWED_OF_REQUEST: Final = _REQUIRED_OF_REQUEST | {"headers", "body"}
_OF_ASK: Final = frozenset({"type", "connectionId", "dataPackage"})

NEXT_ACTION_LIFETIME: Final = 30 * values.MINUTE
"""How long a next action lives where no recorded response says otherwise [O]."""


class BrokenLineError(LifecycleError, ValueError):
    """A line that cannot be read, and why; keys and bodies are never repeated."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@attrs.frozen
class LineAnswer:
    """What one line answers.

    Attributes:
        answer: The answer, as it is printed; it can hold a hand-off URL, so no repr shows it.
        broken: Whether the line could not be read.
        divergences: Where its recorded response is not what the rules say.
    """

    answer: dict[str, Json] = attrs.field(repr=False)
    broken: bool = False
    divergences: tuple[Divergence, ...] = ()


def replay(
    lines: Iterable[bytes],
    *,
    environment: values.Environment | None = None,
    check: bool = False,
    operations: tuple[type[Operation], ...] = OPERATIONS,
    facts: tuple[type[Fact], ...] = FACTS,
) -> Iterator[LineAnswer]:
    """Run a log through the rules on an empty world.

    Args:
        lines: JSON lines in time order.
        environment: The one environment that is served; `None` for both.
        check: Whether recorded responses are compared.
        operations: The operations that are served.
        facts: The facts that a line may hold.

    Yields:
        One answer per line.
    """
    settings = Settings(environment=environment, operations=operations)
    log = _Log(settings, facts, check=check)
    for number, raw in enumerate(lines, 1):
        yield log.line(number, raw)


@attrs.define
class _Named:
    """A named answer; its body is read when a line first asks for it."""

    response: Response
    body: Json = attrs.field(default=None, repr=False)
    is_read: bool = False

    def at(self, path: list[str]) -> Json:
        """The value at a path of the answer: its headers, or its body."""
        value: Json
        if path[0] == "headers":
            value, path = dict(self.response.headers), [part.lower() for part in path[1:]]
        else:
            if not self.is_read:
                self.body = parse_json(self.response.body) if self.response.body else None
                self.is_read = True
            value = self.body
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return value


class _Log:
    """A world, its clock, and the answers that were named."""

    def __init__(self, settings: Settings, facts: tuple[type[Fact], ...], *, check: bool) -> None:
        self._facts = facts
        self._now = values.EPOCH
        self._world = MemoryStore(settings, capacity=_UNBOUNDED, clock=lambda: self._now)
        self._comparison = Comparison() if check else None
        self._clock: datetime | None = None
        self._named: dict[str, _Named] = {}
        self._odd_names = False
        self._has_adopted = False
        self._numbers = count(1)

    def line(self, number: int, raw: bytes) -> LineAnswer:
        try:
            return self._line(number, raw)
        except (BrokenLineError, ArgumentError, MalformedError) as error:
            return LineAnswer({"line": number, "error": str(error)}, broken=True)

    def _line(self, number: int, raw: bytes) -> LineAnswer:
        document = parse_json(raw)
        if self._named and (self._odd_names or _MAY_NAME.search(raw) or b"\\u" in raw):
            name = document.get("as") if isinstance(document, dict) else None
            document = self._with_names(document)
            if isinstance(document, dict) and name is not None:
                document["as"] = name
        line = _object("the line", value=document, required=_REQUIRED, allowed=_ALLOWED)
        kinds = line.keys() & _KINDS
        if len(kinds) != 1:
            raise BrokenLineError(f"the line: must be exactly one of {', '.join(KINDS)}")
        (kind,) = kinds
        if kind != "request" and ("as" in line or "response" in line):
            raise BrokenLineError("the line: as and response go with a request")
        now = values.parse_time("at", line["at"])
        if self._clock is not None and now < self._clock:
            raise BrokenLineError("at: must not run backwards")
        body = line[kind]
        self._now = now
        match kind:
            case "request":
                done = self._request(number, line, now)
            case "fact":
                answer = record(
                    self._world, read_fact(body, self._facts), retry_policy=_ONE_ATTEMPT
                )
                done = LineAnswer(format_fact_answer(number, answer))
            case "ask":
                done = LineAnswer(self._ask(number, body, now))
            case "register":
                self._world.register(*_registration(body))
                done = LineAnswer({"line": number, "outcome": "done"})
            case _:
                self._world.replace_buckets(_buckets(body))
                done = LineAnswer({"line": number, "outcome": "done"})
        self._clock = now
        self._world.purge(now)
        return done

    def _request(self, number: int, line: dict[str, Json], now: datetime) -> LineAnswer:
        name = line.get("as")
        if name is not None and not isinstance(name, str):
            raise BrokenLineError("as: must be a string")
        request = _request(line["request"])
        recorded = _recorded(line.get("response"))
        new_ids = None if request.method == "GET" else self._fresh(recorded, now)
        stats = RetryStats()
        answer = serve(
            self._world,
            request,
            lambda _: new_ids or self._fresh(recorded, now),
            settings=self._world.settings,
            retry_policy=_ONE_ATTEMPT,
            stats=stats,
        )
        if stats.conflicts:
            # Nothing runs beside a line, so the only conflict is an id that is in use.
            raise ArgumentError("new_ids", "ids that are not in use")
        response = answer.response
        if name is not None:
            self._named[name] = _Named(response)
            self._odd_names = self._odd_names or _PLAIN_NAME.match(name) is None
        divergences: tuple[Divergence, ...] = ()
        if self._comparison is not None and recorded is not None:
            divergences = self._comparison.divergences(recorded, response, answer.rules[-1])
        printed: dict[str, Json] = {
            "line": number,
            "as": name,
            "status": response.status,
            "headers": dict(response.headers),
            "body": response.body.decode() if response.body else None,
            "replayed": answer.replayed,
            "rules": list(answer.rules),
        }
        return LineAnswer(printed, divergences=divergences)

    def _fresh(self, recorded: Recorded | None, now: datetime) -> NewIds:
        number = next(self._numbers)
        url: str | None = None
        ends = connection_id = session_id = None
        if recorded is not None:
            url, ends = recorded.url(), recorded.next_action_end()
            connection_id, session_id = recorded.id("connection"), recorded.id("session")
        if ends is None or ends <= now:
            ends = values.add_microseconds(now, NEXT_ACTION_LIFETIME)
        if url is None:
            url = f"https://connect.example/{number}"
        return NewIds(
            connection_id=values.ConnectionId(self._fresh_id(connection_id)),
            session_id=values.SessionId(self._fresh_id(session_id)),
            user_id=values.UserId(f"limited-user-{number}"),
            next_action=values.NextAction(url, ends),
        )

    def _fresh_id(self, adopted: str | None) -> str:
        if adopted is not None:
            # From here on a number may stand for what has the same id already.
            self._has_adopted = True
        while adopted is None or (self._has_adopted and self._in_use(adopted)):
            adopted = f"00000000-0000-4000-8000-{next(self._numbers):012x}"
        return adopted

    def _in_use(self, text: str) -> bool:
        return (
            self._world.connection(values.ConnectionId(text)) is not None
            or self._world.session(values.SessionId(text)) is not None
        )

    def _ask(self, number: int, body: Json, now: datetime) -> dict[str, Json]:
        ask = _object("ask", body, _OF_ASK)
        if ask["type"] != "access":
            raise BrokenLineError("ask.type: must be access")
        connection_id = values.ConnectionId(
            values.parse_uuid("ask.connectionId", ask["connectionId"])
        )
        package = _text("ask.dataPackage", ask["dataPackage"])
        connection = self._world.connection(connection_id)
        if connection is None:
            raise BrokenLineError("ask.connectionId: must be a known connection")
        answer = decide_access(connection, package, now)
        if isinstance(answer, Denied):
            return {"line": number, "granted": False, "reason": answer.reason, "validUntil": None}
        ends = answer.valid_until
        until = None if ends is None else values.format_time(ends)
        return {"line": number, "granted": True, "reason": None, "validUntil": until}

    def _with_names(self, value: Json) -> Json:
        # map and loops, not comprehensions, keep a level of nesting to one level of recursion.
        if isinstance(value, str):
            if "{" not in value:
                return value
            text = _NAME.sub(self._named_value, value)
            if len(text) > max(len(value), _NAMED_MAX):
                raise BrokenLineError(f"names: must make no text longer than {_NAMED_MAX}")
            return text
        if isinstance(value, list):
            return list(map(self._with_names, value))
        if isinstance(value, DuplicateKeyObject):
            names, held = zip(*value.pairs, strict=True)
            return DuplicateKeyObject(list(zip(names, map(self._with_names, held), strict=True)))
        if isinstance(value, dict):
            # Nobody else has what was read from a line, and most of it is plain text.
            for name, each in value.items():
                if not isinstance(each, str) or "{" in each:
                    value[name] = self._with_names(each)
        return value

    def _named_value(self, found: re.Match[str]) -> str:
        named = self._named.get(found[1])
        if named is None:
            return found[0]
        path = found[2].split(".")[1:]
        value = named.at(path) if path else None
        if not isinstance(value, str):
            raise BrokenLineError(f"the answer {found[1]} has no string at {'.'.join(path)}")
        return value


_NAMED_MAX: Final = 65_536
"""How long names may make a text [O]: one that holds itself twice would double with each line."""

_UNBOUNDED: Final = 2**62
_ONE_ATTEMPT: Final = RetryPolicy(attempts=1)
_NAME: Final = re.compile(r"\{([^{}.]*)((?:\.[^{}]*)?)\}")
_PLAIN_NAME: Final = re.compile(r"[^\s\"{}]")
_MAY_NAME: Final = re.compile(rb"\{\s*[^\s\"}]")
"""Whether a line's strings may name an answer: cheap, and sure for all but odd names and what is
spelled with an escape."""


def _object(
    what: str, value: Json, required: AbstractSet[str], allowed: AbstractSet[str] | None = None
) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise BrokenLineError(f"{what}: must be an object")
    if isinstance(value, DuplicateKeyObject):
        raise BrokenLineError(f"{what}: has a member twice")
    allowed = required if allowed is None else allowed
    if required <= value.keys() <= allowed:
        return value
    names = ", ".join([*sorted(required), *(f"{name}?" for name in sorted(allowed - required))])
    raise BrokenLineError(f"{what}: must have the members {names}")


def _text(what: str, value: Json) -> str:
    if isinstance(value, str):
        return value
    raise BrokenLineError(f"{what}: must be a string")


def _request(value: Json) -> Request:
    request = _object(
        "request", value=value, required=_REQUIRED_OF_REQUEST, allowed=_ALLOWED_OF_REQUEST
    )
    body = request.get("body")
    return Request(
        method=_text("request.method", request["method"]),
        target=_text("request.path", request["path"]),
        headers=_headers(request.get("headers", {})),
        body=_body(body),
    )


def _body(value: Json) -> bytes | ParsedBody:
    if value is None:
        return b""
    # A surrogate becomes bytes that are no UTF-8, so that the reader of bodies refuses them.
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else ParsedBody(value)


def _headers(value: Json) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise BrokenLineError("request.headers: must be an object")
    headers: list[tuple[str, str]] = []
    for name, held in value.pairs if isinstance(value, DuplicateKeyObject) else value.items():
        if isinstance(held, list):
            headers += [(name, _text("request.headers", each)) for each in held]
        else:
            headers.append((name, _text("request.headers", held)))
    return tuple(headers)


def _recorded(value: Json) -> Recorded | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BrokenLineError("response: must be an object")
    if has_duplicate_keys(value):
        raise BrokenLineError("response: has a member twice")
    return Recorded.of(value)


def _registration(value: Json) -> tuple[ApiKey, Caller]:
    required = {"apiKey", "appId", "customerAccountId", "scopes"}
    members = _object(
        "register", value=value, required=required, allowed=required | {"environment"}
    )
    scopes = members["scopes"]
    if not isinstance(scopes, list):
        raise BrokenLineError("register.scopes: must be a list of strings")
    api_key = ApiKey(_text("register.apiKey", members["apiKey"]))
    environment = ENVIRONMENT.parse(members.get("environment", values.Environment.LIVE))
    app_id = APP_ID.parse(members["appId"])
    account = values.CustomerAccountId(
        values.parse_uuid("customerAccountId", members["customerAccountId"])
    )
    caller = Caller(
        api_key_id=values.ApiKeyId(api_key.digest()),
        app_id=app_id,
        customer_account_id=account,
        environment=environment,
        scopes=frozenset([_text("register.scopes", scope) for scope in scopes]),
    )
    return api_key, caller


def _buckets(value: Json) -> tuple[Bucket, ...]:
    if not isinstance(value, list):
        raise BrokenLineError("buckets: must be a list")
    buckets: list[Bucket] = []
    for each in value:
        members = _object("buckets", each, {"name", "capacity", "refill", "seconds"})
        buckets.append(
            Bucket(
                name=_text("buckets.name", members["name"]),
                capacity=_integer("buckets.capacity", members["capacity"]),
                refill=_integer("buckets.refill", members["refill"]),
                seconds=_integer("buckets.seconds", members["seconds"]),
            )
        )
    return tuple(buckets)


def _integer(what: str, value: Json) -> int:
    # A bool is an int to Python and no size to anyone.
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise BrokenLineError(f"{what}: must be an integer")


def read_fact(value: Json, facts: tuple[type[Fact], ...] = FACTS) -> Fact:
    """The fact that a line holds.

    Args:
        value: What stands in the line's `fact`.
        facts: The facts that it may be.

    Raises:
        BrokenLineError: It is none of these, or has other members.
        ArgumentError: A member is malformed.
    """
    kinds = {each.kind: each for each in facts}
    name = value.get("type") if isinstance(value, dict) else None
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise BrokenLineError(f"fact.type: must be one of {', '.join(kinds)}")
    required = {"type"} | {each.name for each in kind.members if not each.optional}
    members = _object(
        "fact",
        value=value,
        required=required,
        allowed=required | {each.name for each in kind.members},
    )
    given = {
        each.name: each.parse(members[each.name]) for each in kind.members if each.name in members
    }
    return kind.from_members(ParsedMembers(given))


def format_fact_answer(number: int, answer: FactAnswer) -> dict[str, Json]:
    """What became of a fact, as the line of that number is answered."""
    code = answer.problem.code if isinstance(answer, Refused) else None
    outcome = type(answer).__name__.lower()
    return {"line": number, "outcome": outcome, "code": code, "rules": list(answer.rules)}
