"""Replay of a log of traffic through the rules.

The laws of this module:

- **Every line gets exactly one answer**, even one that cannot be read.
- **A broken line has no effect.** It moves no clock and names no answer, and the next line runs.
- **Memory is bounded by the stored values and the named answers**, not by the number of lines.

A line holds a time and one of `KINDS`. `register` and `buckets` set up the store, a `request` is
served, a `fact` is recorded, and an `ask` asks for access. Strings may refer to values of earlier
answers: `{c1.connection.id}`, `{a1.headers.etag}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from datetime import datetime
from itertools import count
from typing import Final

import attrs

from curae_lifecycle.replay.blame import Deciders
from curae_lifecycle.replay.recorded import Comparison, Divergence, Recorded, RecordedTags
from curae_lifecycle.rules import values
from curae_lifecycle.rules.access import Denied, decide_access
from curae_lifecycle.rules.binding import present_era
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.errors import ArgumentError, LifecycleError
from curae_lifecycle.rules.outcomes import Done, Refused
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.members import APP_ID, ENVIRONMENT, ParsedMembers
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs, NewIds
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.retry import RetryPolicy, RetryStats
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.web.json import (
    DuplicateKeyObject,
    MalformedError,
    has_duplicate_keys,
    parse_json,
)
from curae_lifecycle.web.request import ParsedBody, Request
from curae_lifecycle.web.wire_format import to_camel_case

KINDS: Final = ("register", "buckets", "request", "fact", "ask")
"""The kinds of line in a log; each line has a time and exactly one of these members."""

_KINDS: Final = frozenset(KINDS)
_REQUIRED: Final = frozenset({"at"})
_ALLOWED: Final = _REQUIRED | _KINDS | {"as", "response"}
_REQUIRED_OF_REQUEST: Final = frozenset({"method", "path"})
_ALLOWED_OF_REQUEST: Final = _REQUIRED_OF_REQUEST | {"headers", "body"}
_REQUIRED_OF_ASK: Final = frozenset({"type", "connectionId", "dataPackage"})

NEXT_ACTION_LIFETIME: Final = 30 * values.MINUTE
"""How many microseconds a next action (page to show) is valid, if the log does not say it [O]."""


class BrokenLineError(LifecycleError, ValueError):
    """The error for a line of a log that cannot be run; the message repeats no API key and no body.

    Attributes:
        why: What is wrong with the line.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@attrs.frozen
class LineAnswer:
    """The answer of `replay` to one line of a log.

    Attributes:
        answer: The answer as the command `replay` prints it. `repr` leaves it out, because it can
            hold a hand-off URL.
        broken: Whether the line could not be run; `answer` then holds the error.
        divergences: The differences between the recorded response of the line and the response by
            the rules; empty unless `replay` got `check=True`.
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
    """Run a log of traffic through the rules, on an empty store; `KINDS` lists the kinds of line.

    Args:
        lines: JSON lines in time order. A line counts as broken if its time is before that of the
            last line that is not broken.
        environment: The only environment to serve; None for both.
        check: Whether to report the differences of recorded responses from those of the rules.
        operations: The operations to serve.
        facts: The kinds of fact that a line may hold.

    Yields:
        One answer for each line, also for a broken one.
    """
    settings = Settings(environment=environment, operations=operations)
    runner = _LogRunner(settings, facts, check=check)
    for number, raw in enumerate(lines, 1):
        yield runner.answer_line(number, raw)


@attrs.define
class _NamedAnswer:
    """A response that a line named; its body is parsed when a later line first uses it."""

    response: Response
    body: Json = attrs.field(default=None, repr=False)
    is_parsed: bool = False

    def value_at(self, path: list[str]) -> Json:
        """Return the value at a path into the headers or the body; None if there is none."""
        value: Json
        if path[0] == "headers":
            value, path = dict(self.response.headers), [part.lower() for part in path[1:]]
        else:
            if not self.is_parsed:
                self.body = parse_json(self.response.body) if self.response.body else None
                self.is_parsed = True
            value = self.body
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return value


class _LogRunner:
    """A store with the clock of the log, and the answers that lines named."""

    def __init__(self, settings: Settings, facts: tuple[type[Fact], ...], *, check: bool) -> None:
        self._facts = facts
        self._now = values.EPOCH
        self._store = MemoryStore(settings, capacity=_UNBOUNDED, clock=lambda: self._now)
        self._comparison = Comparison() if check else None
        self._deciders = Deciders(self._store)
        self._tags = RecordedTags(self._store.caller_of)
        self._last_time: datetime | None = None
        self._named: dict[str, _NamedAnswer] = {}
        self._name_room = 0
        self._numbers = count(1)

    def answer_line(self, number: int, raw: bytes) -> LineAnswer:
        try:
            return self._run_line(number, raw)
        except (BrokenLineError, ArgumentError, MalformedError) as error:
            return LineAnswer({"line": number, "error": str(error)}, broken=True)

    def _run_line(self, number: int, raw: bytes) -> LineAnswer:
        document = parse_json(raw)
        if self._named:
            # The name that a line gives to its own answer is not replaced.
            name = document.get("as") if isinstance(document, dict) else None
            self._name_room = _NAMED_MAX
            document = self._resolve_names(document)
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
        if self._last_time is not None and now < self._last_time:
            raise BrokenLineError("at: must not run backwards")
        body = line[kind]
        self._now = now
        match kind:
            case "request":
                answer = self._answer_request(number, line, now)
            case "fact":
                fact = read_fact(body, self._facts)
                answer = LineAnswer(self._answer_fact(number, fact, now))
            case "ask":
                answer = LineAnswer(self._answer_ask(number, body, now))
            case "register":
                self._store.register(*_registration(body))
                answer = LineAnswer({"line": number, "outcome": "done"})
            case _:
                self._store.replace_buckets(_buckets(body))
                answer = LineAnswer({"line": number, "outcome": "done"})
        self._last_time = now
        self._store.purge(now)
        return answer

    def _answer_request(self, number: int, line: dict[str, Json], now: datetime) -> LineAnswer:
        name = line.get("as")
        if name is not None and not isinstance(name, str):
            raise BrokenLineError("as: must be a string")
        request = self._tags.translate(_request(line["request"]))
        recorded = _recorded(line.get("response"))
        # Every request but a GET takes new ids, even one that is refused.
        new_ids = None if request.method == "GET" else self._new_ids(recorded, now)
        stats = RetryStats()
        answer = serve(
            self._store,
            request,
            lambda _: new_ids or self._new_ids(recorded, now),
            settings=self._store.settings,
            retry_policy=_ONE_ATTEMPT,
            stats=stats,
        )
        if stats.conflicts:
            # Lines run one after another, so only an id that is in use can conflict.
            raise ArgumentError("new_ids", "ids that are not in use")
        response = answer.response
        self._tags.note(request, recorded, response)
        if name is not None:
            self._named[name] = _NamedAnswer(response)
        divergences: tuple[Divergence, ...] = ()
        if self._comparison is not None:
            rule_of = self._deciders.after_request(request, answer)
            if recorded is not None:
                divergences = self._comparison.divergences(recorded, response, rule_of)
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

    def _new_ids(self, recorded: Recorded | None, now: datetime) -> NewIds:
        number = next(self._numbers)
        url: str | None = None
        expires_at = connection_id = session_id = None
        if recorded is not None:
            url, expires_at = recorded.url(), recorded.next_action_end()
            connection_id, session_id = recorded.id("connection"), recorded.id("session")
        if expires_at is None or expires_at <= now:
            expires_at = values.add_microseconds(now, NEXT_ACTION_LIFETIME)
        if url is None:
            url = f"https://connect.example/{number}"
        return NewIds(
            connection_id=values.ConnectionId(self._unused_id(connection_id)),
            session_id=values.SessionId(self._unused_id(session_id)),
            user_id=values.UserId(f"limited-user-{number}"),
            next_action=values.NextAction(url, expires_at),
        )

    def _unused_id(self, recorded: str | None) -> str:
        # A generated id can be in use, too, if it was adopted from an earlier recorded response.
        id_ = recorded
        while id_ is None or self._is_in_use(id_):
            id_ = f"00000000-0000-4000-8000-{next(self._numbers):012x}"
        return id_

    def _is_in_use(self, text: str) -> bool:
        return (
            self._store.connection(values.ConnectionId(text)) is not None
            or self._store.session(values.SessionId(text)) is not None
        )

    def _answer_fact(self, number: int, fact: Fact, now: datetime) -> dict[str, Json]:
        try:
            answer = record(self._store, fact, retry_policy=_ONE_ATTEMPT)
        except ArgumentError as error:
            # A line spells its members in camelCase.
            name = to_camel_case(error.argument)
            raise ArgumentError(name, error.allowed, error.given) from error
        if self._comparison is not None and isinstance(answer, Done):
            self._deciders.note(answer.value, answer.rules, now)
        return format_fact_answer(number, answer)

    def _answer_ask(self, number: int, body: Json, now: datetime) -> dict[str, Json]:
        ask = _object("ask", body, _REQUIRED_OF_ASK)
        if ask["type"] != "access":
            raise BrokenLineError("ask.type: must be access")
        id_ = values.parse_uuid("ask.connectionId", ask["connectionId"])
        package = _text("ask.dataPackage", ask["dataPackage"])
        snapshot = self._store.load(Needs(connection=values.ConnectionId(id_))).snapshot
        connection = snapshot.connection
        if connection is None:
            raise BrokenLineError("ask.connectionId: must be a known connection")
        access = decide_access(connection, package, now, era=present_era(snapshot.binding))
        if isinstance(access, Denied):
            return {"line": number, "granted": False, "reason": access.reason, "validUntil": None}
        end = access.valid_until
        valid_until = None if end is None else values.format_time(end)
        return {"line": number, "granted": True, "reason": None, "validUntil": valid_until}

    def _resolve_names(self, value: Json) -> Json:
        # Replaces names of answers in all strings of a value; members' names stay as they are.
        # Comprehensions would add a second frame to the stack for each level of nesting.
        if isinstance(value, str):
            return _NAME.sub(self._named_value, value) if "{" in value else value
        if isinstance(value, list):
            return list(map(self._resolve_names, value))
        if isinstance(value, DuplicateKeyObject):
            names, held = zip(*value.pairs, strict=True)
            return DuplicateKeyObject(list(zip(names, map(self._resolve_names, held), strict=True)))
        if isinstance(value, dict):
            resolved: dict[str, Json] = {}
            for name, inner in value.items():
                resolved[name] = self._resolve_names(inner)
            return resolved
        return value

    def _named_value(self, match: re.Match[str]) -> str:
        named = self._named.get(match[1])
        if named is None:
            return match[0]
        path = match[2].split(".")[1:]
        value = named.value_at(path) if path else None
        if not isinstance(value, str):
            raise BrokenLineError(f"names: {match[0]} must lead to a string of an answer")
        self._name_room -= len(value)
        if self._name_room < 0:
            raise BrokenLineError(
                f"names: must make no more than {_NAMED_MAX} characters of a line"
            )
        return value


_NAMED_MAX: Final = 65_536
"""The number of characters that the names of one line may stand for, in all [O].

Without a limit, a text that contains itself twice would double with each line, and a line that
repeats the name of a long text would fill the memory.
"""

_UNBOUNDED: Final = 2**62
_ONE_ATTEMPT: Final = RetryPolicy(attempts=1)
_NAME: Final = re.compile(r"\{([^{}.]*)((?:\.[^{}]*)?)\}")


def _object(
    label: str, value: Json, required: AbstractSet[str], allowed: AbstractSet[str] | None = None
) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise BrokenLineError(f"{label}: must be an object")
    if isinstance(value, DuplicateKeyObject):
        raise BrokenLineError(f"{label}: has a member twice")
    allowed = required if allowed is None else allowed
    if required <= value.keys() <= allowed:
        return value
    names = ", ".join([*sorted(required), *(f"{name}?" for name in sorted(allowed - required))])
    raise BrokenLineError(f"{label}: must have the members {names}")


def _text(label: str, value: Json) -> str:
    if isinstance(value, str):
        return value
    raise BrokenLineError(f"{label}: must be a string")


def _request(value: Json) -> Request:
    request = _object(
        "request", value=value, required=_REQUIRED_OF_REQUEST, allowed=_ALLOWED_OF_REQUEST
    )
    return Request(
        method=_text("request.method", request["method"]),
        target=_text("request.path", request["path"]),
        headers=_headers(request.get("headers", {})),
        body=_body(request.get("body")),
    )


def _body(value: Json) -> bytes | ParsedBody:
    if value is None:
        return b""
    # A surrogate becomes bytes that are not UTF-8, which the body parser refuses.
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
    allowed = required | {"apiKeyId", "environment"}
    members = _object("register", value=value, required=required, allowed=allowed)
    scopes = members["scopes"]
    if not isinstance(scopes, list):
        raise BrokenLineError("register.scopes: must be a list of strings")
    api_key = ApiKey(_text("register.apiKey", members["apiKey"]))
    environment = ENVIRONMENT.parse(members.get("environment", values.Environment.LIVE))
    app_id = APP_ID.parse(members["appId"])
    account = values.parse_uuid("customerAccountId", members["customerAccountId"])
    key_id = values.parse_opaque("apiKeyId", members.get("apiKeyId", api_key.digest()))
    caller = Caller(
        api_key_id=values.ApiKeyId(key_id),
        app_id=app_id,
        customer_account_id=values.CustomerAccountId(account),
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


def _integer(label: str, value: Json) -> int:
    # In Python a bool is an int, but it is no size.
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise BrokenLineError(f"{label}: must be an integer")


def read_fact(value: Json, facts: tuple[type[Fact], ...] = FACTS) -> Fact:
    """Parse the fact that a line of a log holds.

    Args:
        value: The value of the line's member `fact`: an object with `type` and the fact's members.
        facts: The kinds of fact to accept.

    Raises:
        BrokenLineError: The value is no fact of a kind in `facts`, or has missing, repeated or
            unknown members.
        ArgumentError: A member is malformed.
    """
    name = value.get("type") if isinstance(value, dict) else None
    kind = next((each for each in facts if each.kind == name), None)
    if kind is None:
        raise BrokenLineError(f"fact.type: must be one of {', '.join(each.kind for each in facts)}")
    required = {"type", *(each.name for each in kind.members if not each.optional)}
    allowed = {"type", *(each.name for each in kind.members)}
    members = _object("fact", value=value, required=required, allowed=allowed)
    given = {
        each.name: each.parse(members[each.name]) for each in kind.members if each.name in members
    }
    return kind.from_members(ParsedMembers(given))


def format_fact_answer(number: int, answer: FactAnswer) -> dict[str, Json]:
    """Format the answer to a fact for a log: `{line, outcome, code, rules}`.

    `outcome` is `done`, `ignored` or `refused`. `code` is the problem code of a refusal, else None.
    `rules` holds the names of the rules that decided, in order.

    Args:
        number: The number of the line, from 1.
        answer: The outcome of the fact.
    """
    code = answer.problem.code if isinstance(answer, Refused) else None
    return {
        "line": number,
        "outcome": type(answer).__name__.lower(),
        "code": code,
        "rules": list(answer.rules),
    }
