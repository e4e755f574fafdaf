"""Requests to operations, decisions to responses: HTTP as values, with no I/O.

The laws of this module: **a request passes its gates in the order of the table `request`**,
and **every request, however malformed, gets a documented answer**. Nothing of a request but
the parsed values of its operation comes further in.

A server's endpoint, in order: `bearer` finds the API key, the server looks the caller up,
`read` gives a `Call` or a refusal, the server loads what `needs` names, `decide` decides, and
`respond` gives the response with everything that is to be stored in one transaction.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final, assert_never
from urllib.parse import unquote_plus

import attrs

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.credentials import ApiKey, Caller, check_permission
from curae_lifecycle.rules.idempotency import (
    IdempotencyKey,
    Response,
    ResponseReference,
    completed_record,
    parse_key,
)
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.problems import Fault, ProblemCode
from curae_lifecycle.rules.ratelimit import limit_header, policy_header
from curae_lifecycle.rules.values import (
    ArgumentError,
    ConnectionId,
    ceil_seconds,
    parse_app_user_id,
    parse_uuid,
)
from curae_lifecycle.service.changes import NO_CHANGES, Changes, RecordWrite
from curae_lifecycle.service.operations import (
    DEFAULT_SETTINGS,
    OPERATIONS,
    AccountStateShown,
    Call,
    ConnectionCreated,
    ConnectionReconnected,
    ConnectionRevoked,
    ConnectionShown,
    Decision,
    FreshReply,
    Gate,
    GetAccountState,
    GetConnection,
    GraduationStarted,
    KeyUse,
    Operation,
    OperationName,
    ProblemReply,
    Reconnect,
    Replayed,
    Revoke,
    SessionInitiated,
    Settings,
    refuse_at,
)
from curae_lifecycle.web.wire import (
    Json,
    MalformedError,
    format_connection,
    format_json,
    format_next_action,
    format_problem,
    format_session,
    parse_json,
    read_create,
    read_graduation,
    read_initiate,
    read_nothing,
)

__all__ = [
    "Answer",
    "ParsedBody",
    "Request",
    "Response",
    "bearer",
    "etag",
    "header",
    "read",
    "respond",
]


@attrs.frozen
class ParsedBody:
    """A body that the server's framework has read already; `parse_json` reads it strictly."""

    value: Json


@attrs.frozen
class Request:
    """An HTTP request as it came.

    Attributes:
        method: The method, as it was spelled.
        target: The path and, after `?`, the query; nothing decoded.
        headers: Names and values in order, repetitions included; names ignore case.
        body: The exact bytes, or what the framework made of them.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    body: bytes | ParsedBody = b""


@attrs.frozen
class Answer:
    """What the server sends, and what it stores, does and tells in the same transaction.

    Attributes:
        response: What is sent, be it fresh or a replay.
        changes: Writes (the idempotency record among them), effects, events.
        rules: The names of the rules that decided, in order; the last one had the last word.
        replayed: Whether the response was sent before; it is not told in the response.
    """

    response: Response
    changes: Changes
    rules: tuple[str, ...]
    replayed: bool


def header(request: Request, name: str) -> list[str]:
    """Every value of a header, in order; `name` in lower case."""
    return [value for key, value in request.headers if key.isascii() and key.lower() == name]


def bearer(request: Request) -> ApiKey | None:
    """The API key of `Authorization: Bearer <key>` [S]; `None` where there is not exactly one."""
    values = header(request, "authorization")
    found = _BEARER.fullmatch(values[0].strip(" \t")) if len(values) == 1 else None
    if found is None:
        return None
    try:
        return ApiKey(found[1])
    except ArgumentError:
        return None


def read(
    request: Request,
    caller: Caller | None,
    now: datetime,
    settings: Settings = DEFAULT_SETTINGS,
) -> Call | Decision:
    """Read a request as far as nothing stored is needed [O].

    Args:
        request: The request.
        caller: Whom its API key stands for; `None` for no key or an unknown one.
        now: The instant of the request.
        settings: What the server chose.

    Returns:
        Call: load what `needs` names and `decide`. Decision: refused with 400, 401, 403 or
        404, charging nothing and storing nothing; it goes to `respond` like any other.
    """
    if caller is None:
        return _decision(refuse_at(Gate.CREDENTIALS), now)
    path, _, query = request.target.partition("?")
    routed = _route(request.method, path)
    if routed is None:
        return _decision(refuse_at(Gate.ROUTE), now)
    name, segment = routed
    rule = OPERATIONS[name,].outcome
    forbidden = check_permission(caller, rule.scope, settings.environment)
    if forbidden is not None:
        return _decision(forbidden, now)
    try:
        operation = _operation(name, segment, query, request)
    except MalformedError as malformed:
        facts = (malformed.member, malformed.fault)
        return _decision(refuse_at(Gate.BODY, facts), now)
    if rule.key is KeyUse.UNUSED:
        return Call(caller, operation)
    values = header(request, "idempotency-key")
    if rule.key is KeyUse.NOT_ALLOWED:
        if values:
            return _decision(refuse_at(Gate.KEY_ALLOWED), now)
        return Call(caller, operation)
    if not values:
        return _decision(refuse_at(Gate.KEY_GIVEN), now)
    key = _read_key(values)
    if key is None:
        return _decision(refuse_at(Gate.KEY_READABLE), now)
    return Call(caller, operation, key)


def respond(
    decision: Decision,
    settings: Settings = DEFAULT_SETTINGS,
    *,
    fetch: Callable[[ResponseReference], Response] | None = None,
    instance: str | None = None,
) -> Answer:
    """The response of a decision, and the record that keeps it where it is to be kept.

    Args:
        decision: What was decided.
        settings: What the server chose.
        fetch: Gives the kept response of a reference, where the server stores references.
        instance: The server's own URI of this occurrence, for a problem that is not a 404.

    Raises:
        ArgumentError: A replay of a reference without `fetch`.
    """
    reply = decision.reply
    if isinstance(reply, Replayed):
        kept = reply.response
        if isinstance(kept, ResponseReference):
            if fetch is None:
                raise ArgumentError("fetch", "given where responses are kept by reference")
            kept = fetch(kept)
        return Answer(kept, decision.changes, decision.rules, replayed=True)
    response = _response(decision, reply, settings, instance)
    changes = decision.changes
    attempt = decision.attempt
    if attempt is not None:
        write = RecordWrite(attempt.key, decision.record, completed_record(attempt, response))
        changes = Changes((*changes.writes, write), changes.effects, changes.events)
    return Answer(response, changes, decision.rules, replayed=False)


def etag(state: AccountState) -> str:
    """The entity tag of an account state: the same for every user and app in it [O]."""
    return f'"account-{state.lower()}"'


_BEARER: Final = re.compile(r"bearer +([!-~]+)", re.IGNORECASE)
_QUOTED_KEY: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_ESCAPE: Final = re.compile(r"\\(.)")
_ENTITY_TAG: Final = re.compile(r'[ \t]*+(?:(?:W/)?("[!#-~\x80-\xff]*"))?[ \t]*(?:,|\Z)')

_EXACT: Final = {
    (rule.outcome.method, rule.outcome.path): OperationName(key[0])
    for key, rule in OPERATIONS
    if "{" not in rule.outcome.path
}
_BY_ID: Final = {
    (rule.outcome.method, action): OperationName(key[0])
    for key, rule in OPERATIONS
    for _, brace, action in [rule.outcome.path.partition("{connectionId}")]
    if brace
}
_CONNECTION: Final = re.compile(r"/api/sdk/v1/connections/([^/:]+)(:[a-z]+)?")


def _route(method: str, path: str) -> tuple[OperationName, str] | None:
    exact = _EXACT.get((method, path))
    if exact is not None:
        return exact, ""
    found = _CONNECTION.fullmatch(path)
    if found is None:
        return None
    name = _BY_ID.get((method, found[2] or ""))
    return None if name is None else (name, found[1])


def _operation(name: OperationName, segment: str, query: str, request: Request) -> Operation:
    match name:
        case OperationName.CREATE_CONNECTION:
            return read_create(_body(request))
        case OperationName.INITIATE:
            return read_initiate(_body(request))
        case OperationName.GRADUATION_HANDOFF:
            return read_graduation(_body(request))
        case OperationName.ACCOUNT_STATE:
            return _account_state(query, request)
        case OperationName.GET_CONNECTION:
            return GetConnection(_connection_id(segment))
        case OperationName.RECONNECT:
            read_nothing(_optional_body(request))
            return Reconnect(_connection_id(segment))
        case OperationName.REVOKE:
            read_nothing(_optional_body(request))
            return Revoke(_connection_id(segment))


def _body(request: Request) -> Json:
    body = request.body
    return body.value if isinstance(body, ParsedBody) else parse_json(body)


def _optional_body(request: Request) -> Json:
    return {} if request.body == b"" else _body(request)


def _connection_id(segment: str) -> ConnectionId:
    try:
        return ConnectionId(parse_uuid("connectionId", segment))
    except ArgumentError as error:
        raise MalformedError(error.argument, Fault.INVALID) from None


def _account_state(query: str, request: Request) -> GetAccountState:
    values = [
        value
        for name, _, value in (part.partition("=") for part in query.split("&"))
        if unquote_plus(name) == "appUserId"
    ]
    if len(values) != 1:
        fault = Fault.REPEATED if values else Fault.MISSING
        raise MalformedError("appUserId", fault)
    try:
        app_user_id = parse_app_user_id(unquote_plus(values[0], errors="strict"))
    except ValueError:
        raise MalformedError("appUserId", Fault.INVALID) from None
    return GetAccountState(app_user_id, _known_states(header(request, "if-none-match")))


def _known_states(fields: list[str]) -> frozenset[AccountState]:
    text = ",".join(fields)
    if text.strip(" \t") == "*":
        return frozenset(AccountState)
    tags: set[str] = set()
    at = 0
    while at < len(text):
        found = _ENTITY_TAG.match(text, at)
        if found is None:
            return frozenset()
        tags.add(found[1] or "")
        at = found.end()
    return frozenset(state for state in AccountState if etag(state) in tags)


def _read_key(values: list[str]) -> IdempotencyKey | None:
    if len(values) != 1:
        return None
    text = values[0].strip(" \t")
    if text.startswith('"'):
        quoted = _QUOTED_KEY.fullmatch(text)
        if quoted is None:
            return None
        text = _ESCAPE.sub(r"\1", quoted[1])
    try:
        return parse_key(text)
    except ArgumentError:
        return None


def _decision(refused: Refused, now: datetime) -> Decision:
    problem = refused.problem
    return Decision(ProblemReply(problem), problem.type.status, now, NO_CHANGES, refused.rules)


_JSON: Final = ("content-type", "application/json")
_PROBLEM_JSON: Final = ("content-type", "application/problem+json")
_NO_STORE: Final = ("cache-control", "no-store")
_REVALIDATE: Final = ("cache-control", "private, no-cache")
_CHALLENGE: Final = ("www-authenticate", "Bearer")


def _response(
    decision: Decision, reply: FreshReply, settings: Settings, instance: str | None
) -> Response:
    at = decision.at
    spelling = settings.active_spelling
    body: dict[str, Json]
    headers: tuple[tuple[str, str], ...] = (_JSON, _NO_STORE)
    match reply:
        case ConnectionCreated(connection, next_action):
            body = {
                "connection": format_connection(connection, at, spelling),
                "nextAction": format_next_action(next_action),
            }
        case ConnectionReconnected(connection, previous, next_action):
            body = {
                "connection": format_connection(connection, at, spelling),
                "previousConnectionId": previous,
                "nextAction": format_next_action(next_action),
            }
        case SessionInitiated(session, next_action):
            body = {
                "session": format_session(session),
                "nextAction": format_next_action(next_action),
            }
        case GraduationStarted(next_action):
            body = {"nextAction": format_next_action(next_action)}
        case ConnectionShown(connection):
            headers = (_JSON,)
            body = {"connection": format_connection(connection, at, spelling)}
        case ConnectionRevoked(connection, revoked_now):
            headers = (_JSON,)
            body = {
                "connection": format_connection(connection, at, spelling),
                "revokedNow": revoked_now,
            }
        case AccountStateShown(state, known):
            tag = ("etag", etag(state))
            if known:
                return Response(decision.status, (_REVALIDATE, tag), b"")
            headers = (_JSON, _REVALIDATE, tag)
            body = {"lifecycleState": state}
        case ProblemReply():
            headers = _problem_headers(reply)
            body = format_problem(reply.problem, settings.type_base, instance)
        case _ as never:
            assert_never(never)
    return Response(decision.status, headers, format_json(body))


def _problem_headers(refusal: ProblemReply) -> tuple[tuple[str, str], ...]:
    problem = refusal.problem
    if problem.code is ProblemCode.UNAUTHENTICATED:
        return (_PROBLEM_JSON, _CHALLENGE)
    if problem.code is ProblemCode.IDEMPOTENCY_KEY_IN_FLIGHT:
        return (_PROBLEM_JSON, ("retry-after", str(problem.facts[0])))
    if refusal.limited is None:
        return (_PROBLEM_JSON,)
    return (
        _PROBLEM_JSON,
        _NO_STORE,
        ("retry-after", str(ceil_seconds(refusal.limited.retry_after))),
        ("ratelimit-policy", policy_header(refusal.limited.policy)),
        ("ratelimit", limit_header(refusal.limited)),
    )
