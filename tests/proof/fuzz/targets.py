"""The parsers as fuzz targets, with their promises for every input.

A target takes bytes and returns the outcome in a word: `value`, a fault, a problem's code. Another
exception or a broken promise is a failure. The second reader is `tests/proof/reference` or
written here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.binding import AccountState, LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import Record, parse_idempotency_key
from curae_lifecycle.rules.ratelimit import Bucket, BucketState, ExactLog, LogState, RateLimited
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import (
    AppId,
    Environment,
    format_time,
    parse_app_user_id,
    parse_data_packages,
    parse_opaque,
    parse_time,
    parse_uuid,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.operations.account_state import GetAccountState, etag
from curae_lifecycle.stores.codec import Storable, dump, load
from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.laws import check_documented
from curae_lifecycle.web.json import (
    DEPTH_MAX,
    DuplicateKeyObject,
    MalformedError,
    format_json,
    parse_json,
)
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, bearer
from curae_lifecycle.web.respond import format_rate_limit, format_rate_limit_policy
from curae_lifecycle.web.wire_format import format_connection, parse_connection
from tests.proof.fuzz.mutate import text_of
from tests.proof.reference import requests, values
from tests.proof.reference.model import Model
from tests.support.instants import handle_at
from tests.support.malformed import BODIES
from tests.support.server import API_KEY, CALLER, new_ids
from tests.support.strategies import START

Target = Callable[[bytes], str]


def refused(parse: Callable[[], object]) -> str | None:
    """Return the fault of a refused input, or None for a value."""
    try:
        parse()
    except MalformedError as error:
        return f"{error.member or 'document'} {error.fault}"
    except ArgumentError as error:
        return f"not {error.argument}"
    except NewerFormatError:
        return "a newer form"
    return None


# --- JSON ------------------------------------------------------------------------------------


def fuzz_json(data: bytes) -> str:
    """Check that a document is read as by the second reader, as bytes and as text."""
    mine = refused(lambda: parse_json(data))
    assert (mine is None) == _is_json(data), "JSON: two readings disagree"
    if mine is not None:
        return mine
    value = parse_json(data)
    text = data.decode()
    assert _plain(parse_json(text)) == _plain(value) == _plain_model(values.parse_json(text))
    if isinstance(value, dict) and not isinstance(value, DuplicateKeyObject) and _is_utf8(value):
        assert parse_json(format_json(value)) == value, "JSON: printed and read again it differs"
    return "value"


def _is_json(data: bytes) -> bool:
    try:
        text = data.decode()
        if _depth(text) > DEPTH_MAX:
            return False
        value = values.parse_json(text)
    except ValueError:
        return False
    return all(abs(number) != float("inf") for number in _floats(value))


def _depth(text: str) -> int:
    """Return the deepest nesting of brackets outside of strings."""
    depth = deepest = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _floats(value: object) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _floats(item)
    elif isinstance(value, values.Members):
        for _, item in value.pairs:
            yield from _floats(item)


def _is_utf8(value: Json) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(value: Json) -> object:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        pairs = value.pairs if isinstance(value, DuplicateKeyObject) else list(value.items())
        return ("object", [(name, _plain(item)) for name, item in pairs])
    return (type(value), value)


def _plain_model(value: object) -> object:
    if isinstance(value, list):
        return [_plain_model(item) for item in value]
    if isinstance(value, values.Members):
        return ("object", [(name, _plain_model(item)) for name, item in value.pairs])
    return (type(value), value)


# --- Bodies ----------------------------------------------------------------------------------


def _body_target(operation: str, read_body: Callable[[Json], object]) -> Target:
    def target(data: bytes) -> str:
        mine = refused(lambda: read_body(parse_json(data)))
        if _is_json(data):
            try:
                requests.read_body(operation, data.decode())
                theirs = True
            except requests.ProblemReply:
                theirs = False
            assert (mine is None) == theirs, f"the body of {operation}: two readings disagree"
        return mine or "value"

    return target


def fuzz_connection(data: bytes) -> str:
    """Check that a printed snapshot of a connection prints the same after reading."""

    def read_it(document: Json) -> Connection:
        return parse_connection(document, environment=Environment.LIVE, app_id=AppId("app-1"))

    mine = refused(lambda: read_it(parse_json(data)))
    if mine is not None:
        return mine
    connection = read_it(parse_json(data))
    printed = format_connection(connection, connection.updated_at, binding=None)
    again = read_it(parse_json(format_json(printed)))
    assert format_connection(again, again.updated_at, binding=None) == printed, (
        "a snapshot changed on its way"
    )
    return "value"


def _load_target(kind: type[Storable]) -> Target:
    def target(data: bytes) -> str:
        mine = refused(lambda: load(kind, parse_json(data)))
        if mine is not None:
            return mine
        value = load(kind, parse_json(data))
        assert load(kind, dump(value)) == value, f"{kind.__name__}: stored and loaded, it differs"
        return "value"

    return target


# --- Values ----------------------------------------------------------------------------------


def fuzz_time(data: bytes) -> str:
    """Check a time against the second reader and the standard library."""
    text = text_of(data)
    mine = refused(lambda: parse_time("time", text))
    theirs = values.parse_time(text)
    assert (mine is None) == (theirs is not None), "a time: two readings disagree"
    if mine is not None:
        return mine
    instant = parse_time("time", text)
    assert instant == theirs == datetime.fromisoformat(text)
    assert instant.tzinfo is UTC
    assert parse_time("time", format_time(instant)) == instant
    return "value"


def fuzz_uuid(data: bytes) -> str:
    """Check a UUID against the second reader, and that it stays lower case."""
    text = text_of(data)
    mine = refused(lambda: parse_uuid("id", text))
    theirs = values.parse_uuid(text)
    assert (mine is None) == (theirs is not None), "a UUID: two readings disagree"
    if mine is None:
        assert parse_uuid("id", text) == theirs == parse_uuid("id", theirs)
    return mine or "value"


def fuzz_app_user_id(data: bytes) -> str:
    """Check that an app user id is kept unchanged, or refused as by the second reader."""
    text = text_of(data)
    mine = refused(lambda: parse_app_user_id(text))
    assert (mine is None) == values.is_app_user(text), "appUserId: two readings disagree"
    assert mine is not None or parse_app_user_id(text) == text
    return mine or "value"


def fuzz_opaque(data: bytes) -> str:
    """Check that an opaque text is kept unchanged, or refused as by the second reader."""
    text = text_of(data)
    mine = refused(lambda: parse_opaque("text", text))
    assert (mine is None) == values.is_text(text), "opaque text: two readings disagree"
    assert mine is not None or parse_opaque("text", text) == text
    return mine or "value"


def fuzz_key(data: bytes) -> str:
    """Check that an idempotency key is kept unchanged, or refused as by the second reader."""
    text = text_of(data)
    mine = refused(lambda: parse_idempotency_key(text))
    assert (mine is None) == bool(requests.VISIBLE.fullmatch(text)), "a key: two readings disagree"
    assert mine is not None or parse_idempotency_key(text) == text
    return mine or "value"


def fuzz_packages(data: bytes) -> str:
    """Check that packages are sorted and unique, or refused as by the second reader."""
    fault = refused(lambda: parse_json(data))
    if fault is not None:
        return fault
    value = parse_json(data)
    mine = refused(lambda: parse_data_packages(value))
    tokens = value if isinstance(value, list) else []
    good = [each for each in tokens if isinstance(each, str) and values.PACKAGE.fullmatch(each)]
    theirs = bool(good) and len(good) == len(tokens) and len(set(good)) <= 64
    assert (mine is None) == theirs, "dataPackages: two readings disagree"
    assert mine is not None or list(parse_data_packages(value)) == sorted(set(good))
    return mine or "value"


# --- HTTP ------------------------------------------------------------------------------------


def request_of(data: bytes) -> Request:
    """Parse a request of the corpus: lines end in CR LF, so either alone is content."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = text_of(head).split("\r\n")
    method, _, target = first.partition(" ")
    headers = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))
    return Request(method=method, target=target, headers=headers, body=body)


def fuzz_http(data: bytes) -> str:
    """Check that a whole request gets a documented response, with the second reader's code."""
    request = request_of(data)
    known = bearer(request) == ApiKey(API_KEY)
    call = read(request, CALLER if known else None, START)
    store = MemoryStore()
    store.register(ApiKey(API_KEY), CALLER)
    answer = handle_at(
        store, request, START, new_ids=None if request.method == "GET" else new_ids()
    )
    check_documented(answer.response)
    status = answer.response.status
    assert isinstance(call, Call) or call.status == status, "read and handle disagree"
    mine = json.loads(answer.response.body).get("code") if answer.response.body else None
    # Each side has its own entity tags; `fuzz_entity_tags` checks them.
    shown = 200 if status == 304 else status
    assert (shown, mine) == _second_answer(request), "a request: two readings disagree"
    return mine or str(status)


def _second_answer(request: Request) -> tuple[int, object]:
    assert isinstance(request.body, bytes)
    second = Model()
    second.keys[API_KEY] = {
        "api_key": API_KEY,
        "app": CALLER.app_id,
        "account": CALLER.customer_account_id,
        "scopes": list(CALLER.scopes),
        "environment": CALLER.environment,
    }
    # A body that is no JSON is no JSON for the second reader either.
    body = request.body.decode("utf-8", "surrogateescape")
    if not _is_json(request.body) and body:
        body = "no JSON"
    headers = [(name.lower(), value) for name, value in request.headers if name.isascii()]
    try:
        answer, _ = second._request(
            START, request.method, request.target, headers=headers, body=body, recorded=None
        )
    except requests.ProblemReply as refusal:
        answer = requests.problem(refusal)
    return answer[0], json.loads(answer[2]).get("code") if answer[2] else None


def fuzz_bearer(data: bytes) -> str:
    """Check that `Authorization` gives one key or none, and no other text becomes a key."""
    fields = text_of(data).split("\r\n")
    key = bearer(Request("GET", "/", tuple(("Authorization", value) for value in fields)))
    plain = fields[0].strip(" \t")
    scheme, _, rest = plain.partition(" ")
    secret = rest.lstrip(" ")
    visible = bool(secret) and all("!" <= character <= "~" for character in secret)
    expected = len(fields) == 1 and _lower(scheme) == "bearer" and visible
    assert (key is not None) == expected, "Authorization: two readings disagree"
    assert key is None or (key == ApiKey(secret) and repr(key) == "ApiKey()")
    return "nobody" if key is None else "value"


def _lower(text: str) -> str:
    return text.lower() if text.isascii() else text


def fuzz_entity_tags(data: bytes) -> str:
    """Check `If-None-Match`: known tags of a well-formed list, all for `*`, else none."""
    fields = text_of(data).split("\r\n")
    headers = tuple(("If-None-Match", value) for value in fields)
    target = "/api/sdk/v1/curae-connect/account-state?appUserId=u"
    call = read(Request("GET", target, headers), CALLER, START)
    assert isinstance(call, Call)
    assert isinstance(call.operation, GetAccountState)
    tags = _entity_tags(",".join(fields))
    expected = {state for state in AccountState if tags is None or etag(state) in tags}
    assert call.operation.cached_states == expected, "If-None-Match: two readings disagree"
    return "any" if tags is None else "known" if expected else "unknown"


def _entity_tags(text: str) -> set[str] | None:
    """Parse RFC 9110's list of entity tags, character by character; return None for `*`."""
    if text.strip(" \t") == "*":
        return None
    found: set[str] = set()
    at = 0
    while at <= len(text):
        at = _blank(text, at)
        at += 2 if text.startswith('W/"', at) else 0
        if text[at : at + 1] == '"':
            end = at + 1
            while end < len(text) and _is_tag_character(text[end]):
                end += 1
            if text[end : end + 1] != '"':
                return set()
            found.add(text[at : end + 1])
            at = end + 1
        at = _blank(text, at)
        if at < len(text) and text[at] != ",":
            return set()
        at += 1
    return found


def _is_tag_character(character: str) -> bool:
    return character == "!" or "#" <= character <= "~" or "\x80" <= character <= "\xff"


def _blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t":
        at += 1
    return at


# --- Output ----------------------------------------------------------------------------------

_SF_INTEGER: Final = re.compile(r"0|[1-9][0-9]{0,14}")


def fuzz_rate_headers(data: bytes) -> str:
    """Check that a policy of any name and size is refused, or printed so that it reads back."""
    name, *rest = text_of(data).split("\n")
    numbers = [int(each[:25]) if each.isascii() and each.isdigit() else 0 for each in rest]
    limit, seconds, refill, wait = [*numbers, 0, 0, 0, 0][:4]
    made: list[ExactLog | Bucket] = []
    fault = refused(
        lambda: made.append(
            Bucket(name=name, capacity=limit, refill=refill, seconds=seconds)
            if refill
            else ExactLog(name, limit, seconds)
        )
    )
    if fault is not None:
        return fault
    policy = made[0]
    assert _read_item(format_rate_limit_policy(policy)) == (name, {"q": limit, "w": policy.window})
    wait = 1 + abs(wait)
    seconds_left = min(-(-wait // 1_000_000), 999_999_999_999_999)
    assert _read_item(format_rate_limit(RateLimited((), policy, wait))) == (
        name,
        {"r": 0, "t": seconds_left},
    )
    return "value"


def _read_item(field: str) -> tuple[str, dict[str, int]]:
    """Parse a structured field's string with integer parameters, character by character."""
    assert field.startswith('"')
    text, at = "", 1
    while field[at] != '"':
        at += field[at] == "\\"
        text += field[at]
        at += 1
    parameters: dict[str, int] = {}
    for part in field[at + 1 :].split(";")[1:]:
        name, _, number = part.partition("=")
        assert _SF_INTEGER.fullmatch(number), f"RateLimit: {name} is no structured field's integer"
        parameters[name] = int(number)
    return text, parameters


# --- Logs ------------------------------------------------------------------------------------


def fuzz_log(data: bytes) -> str:
    """Check that a log gives a JSON answer per line, and is the same without broken lines."""
    lines = data.split(b"\n")
    answers = list(replay(lines, check=True))
    assert [each.answer["line"] for each in answers] == list(range(1, len(lines) + 1))
    for each in answers:
        # As the command line prints it.
        assert json.loads(json.dumps(each.answer).encode()) == each.answer
        assert each.broken == ("error" in each.answer)
    whole = [
        (line, answer) for line, answer in zip(lines, answers, strict=True) if not answer.broken
    ]
    again = list(replay([line for line, _ in whole], check=True))
    for (_, first), second in zip(whole, again, strict=True):
        second.answer["line"] = first.answer["line"]
        assert first == second, "a broken line did something"
    return f"{len(lines) - len(whole)} broken" if len(whole) < len(lines) else "value"


TARGETS: Final[dict[str, Target]] = {
    "json": fuzz_json,
    "create": _body_target("create", BODIES["create"]),
    "initiate": _body_target("initiate", BODIES["initiate"]),
    "graduation": _body_target("graduation", BODIES["graduation"]),
    "nothing": _body_target("revoke", BODIES["nothing"]),
    "connection": fuzz_connection,
    "stored-connection": _load_target(Connection),
    "stored-session": _load_target(CuraeConnectSession),
    "stored-binding": _load_target(LimitedAccountAppBinding),
    "stored-record": _load_target(Record),
    "stored-log": _load_target(LogState),
    "stored-bucket": _load_target(BucketState),
    "time": fuzz_time,
    "uuid": fuzz_uuid,
    "app-user-id": fuzz_app_user_id,
    "opaque": fuzz_opaque,
    "key": fuzz_key,
    "packages": fuzz_packages,
    "http": fuzz_http,
    "authorization": fuzz_bearer,
    "if-none-match": fuzz_entity_tags,
    "rate-headers": fuzz_rate_headers,
    "log": fuzz_log,
}
