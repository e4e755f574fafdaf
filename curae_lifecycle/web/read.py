"""Reading of requests into calls, through the gates that need no stored value.

The law of this module: **every request, however malformed, gets a documented answer**, and passes
its gates in the order of the table `request`. Only the parsed values of its operation go further.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Final
from urllib.parse import unquote_plus

import attrs

from curae_lifecycle.rules.credentials import Caller, check_permission
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.service.call import Call, Decision, decision_from_refusal
from curae_lifecycle.service.gates import Gate, refuse_at, sort_gates
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.members import NO_TAGS, Member, ParsedMembers
from curae_lifecycle.service.operations.operation import KeyUse, Operation, OperationRule
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.web.json import (
    MalformedError,
    has_duplicate_keys,
    has_surrogates,
    parse_json,
)
from curae_lifecycle.web.request import (
    BODY_MAX,
    ParsedBody,
    Request,
    header_values,
    parse_idempotency_key_header,
    parse_if_none_match,
)
from curae_lifecycle.web.wire_format import parse_member, parse_members


def read(
    request: Request, caller: Caller | None, now: datetime, settings: Settings = DEFAULT_SETTINGS
) -> Call | Decision:
    """Parse a request, and check everything that can be checked without a stored value [O].

    Args:
        request: The request.
        caller: The caller of the request's API key; `None` if the key is missing or unknown.
        now: The instant of the request.
        settings: The settings of the server; the returned call carries them.

    Returns:
        A `Call`, the parsed request, if no check of `READ_GATES` refuses: load the values that
        `Call.needs` names, and pass them to `decide`. Otherwise a `Decision` that refuses with 400,
        401, 403 or 404: pass it to `respond`. A refusal charges no rate limit and stores nothing.
    """
    kind, segments = _route(request, settings.operations)
    reading = _Reading(
        request=request, settings=settings, known=caller, found=kind, segments=segments
    )
    for check in _CHECKS_BY_KEY_USE[KeyUse.UNUSED if kind is None else kind.rule.key]:
        answer = check(reading)
        if answer is not None:
            return decision_from_refusal(answer, now, settings)
    return Call(
        caller=reading.caller, operation=reading.operation, key=reading.key, settings=settings
    )


def operation_name(request: Request, settings: Settings = DEFAULT_SETTINGS) -> str | None:
    """Return the name of a request's operation; `None` if none has its method and path.

    Args:
        request: The request.
        settings: The settings of the server.
    """
    kind, _ = _route(request, settings.operations)
    return None if kind is None else kind.rule.name


@attrs.define
class _Reading:
    """A request on its way through the gates; each gate sets the values that later gates need."""

    request: Request
    settings: Settings
    known: Caller | None
    found: type[Operation] | None
    segments: dict[str, str]
    key: IdempotencyKey | None = None
    caller: Caller = attrs.field(init=False)
    kind: type[Operation] = attrs.field(init=False)
    operation: Operation = attrs.field(init=False)
    keys: list[str] = attrs.field(init=False)


def _route(
    request: Request, operations: tuple[type[Operation], ...]
) -> tuple[type[Operation] | None, dict[str, str]]:
    path = request.target.partition("?")[0]
    exact, patterns = _routes(operations)
    kind = exact.get((request.method, path))
    if kind is None:
        for pattern, each in patterns.get(request.method, ()):
            found = pattern.fullmatch(path)
            if found is not None:
                return each, found.groupdict()
    return kind, {}


_Exact = dict[tuple[str, str], type[Operation]]
_Patterns = dict[str, list[tuple[re.Pattern[str], type[Operation]]]]


@cache
def _routes(operations: tuple[type[Operation], ...]) -> tuple[_Exact, _Patterns]:
    exact: _Exact = {}
    patterns: _Patterns = {}
    for kind in operations:
        rule = kind.rule
        if rule.ids:
            # An id matches any text between two delimiters, so that a malformed one is 400, not 404.
            pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/:]+)", re.escape(rule.path))
            patterns.setdefault(rule.method, []).append((re.compile(pattern), kind))
        else:
            exact[rule.method, rule.path] = kind
    return exact, patterns


def _credentials(reading: _Reading) -> Refused | None:
    if reading.known is None:
        return refuse_at(Gate.CREDENTIALS)
    reading.caller = reading.known
    return None


def _path(reading: _Reading) -> Refused | None:
    if reading.found is None:
        return refuse_at(Gate.ROUTE)
    reading.kind = reading.found
    return None


def _permission(reading: _Reading) -> Refused | None:
    return check_permission(reading.caller, reading.kind.rule.scope, reading.settings.environment)


def _body(reading: _Reading) -> Refused | None:
    rule, request = reading.kind.rule, reading.request
    try:
        values = {} if rule.body is None else _body_members(request, rule, rule.body)
        if rule.query:
            values |= _query_members(request, rule.query)
        for member in rule.ids:
            values[member.name] = parse_member(member, reading.segments[member.name])
    except MalformedError as malformed:
        return refuse_at(Gate.BODY, (malformed.member, malformed.fault))
    tags = parse_if_none_match(request) if rule.tags else NO_TAGS
    reading.operation = reading.kind.from_members(ParsedMembers(values, tags))
    return None


def _body_members(
    request: Request, rule: OperationRule, expected: tuple[Member[object], ...]
) -> dict[str, object]:
    document, body = _document(request, rule), request.body
    values = parse_members(document, expected)
    assert isinstance(document, dict)  # noqa: S101 - `parse_members` refused anything else
    # An escape alone spells a surrogate, and a nested object alone holds another repeated name.
    if isinstance(body, bytes) and b"\\u" not in body and body.count(b"{") <= 1:
        return values
    # The parser of an own member may let any value pass.
    for name, value in document.items():
        if has_duplicate_keys(value):
            raise MalformedError(name, Fault.REPEATED)
        if has_surrogates(value):
            raise MalformedError(name, Fault.INVALID)
    return values


def _document(request: Request, rule: OperationRule) -> Json:
    body = request.body
    if isinstance(body, ParsedBody):
        return body.value
    if len(body) > BODY_MAX:
        raise MalformedError(None, Fault.NOT_JSON)
    # A body without members may be left out.
    return {} if body == b"" and not rule.body else parse_json(body)


def _query_members(request: Request, expected: tuple[Member[object], ...]) -> dict[str, object]:
    # Other parameters of the query are ignored.
    query = request.target.partition("?")[2]
    pairs = [part.partition("=") for part in query.split("&")]
    parsed: dict[str, object] = {}
    for member in expected:
        texts = [text for name, _, text in pairs if unquote_plus(name) == member.name]
        if texts:
            parsed[member.name] = _query_member(member, texts)
        elif not member.optional:
            raise MalformedError(member.name, Fault.MISSING)
    return parsed


def _query_member(member: Member[object], texts: list[str]) -> object:
    if len(texts) > 1:
        raise MalformedError(member.name, Fault.REPEATED)
    if not texts[0].isascii():
        # Servers decode the target's bytes as Latin-1, so the text could be another user's id.
        raise MalformedError(member.name, Fault.INVALID)
    try:
        return member.parse(unquote_plus(texts[0], errors="strict"))
    except ValueError:
        raise MalformedError(member.name, Fault.INVALID) from None


def _key_allowed(reading: _Reading) -> Refused | None:
    return refuse_at(Gate.KEY_ALLOWED) if header_values(reading.request, _KEY) else None


def _key_given(reading: _Reading) -> Refused | None:
    reading.keys = header_values(reading.request, _KEY)
    return None if reading.keys else refuse_at(Gate.KEY_GIVEN)


def _key_readable(reading: _Reading) -> Refused | None:
    reading.key = parse_idempotency_key_header(reading.keys)
    return refuse_at(Gate.KEY_READABLE) if reading.key is None else None


_KEY: Final = "idempotency-key"
_Check = Callable[[_Reading], Refused | None]
_CHECKS: Final[dict[Gate, _Check]] = {
    Gate.CREDENTIALS: _credentials,
    Gate.ROUTE: _path,
    Gate.PERMISSION: _permission,
    Gate.BODY: _body,
    Gate.KEY_ALLOWED: _key_allowed,
    Gate.KEY_GIVEN: _key_given,
    Gate.KEY_READABLE: _key_readable,
}
KEY_USE_BY_GATE: Final = {
    Gate.KEY_ALLOWED: KeyUse.NOT_ALLOWED,
    Gate.KEY_GIVEN: KeyUse.NEEDED,
    Gate.KEY_READABLE: KeyUse.NEEDED,
}
"""The gates (checks of a request) that depend on how an operation treats idempotency keys.

Each gate applies only to the operations with its `KeyUse`, such as those that need a key. The other
gates of `READ_GATES` apply to every operation.
"""

READ_GATES: Final = sort_gates(*_CHECKS)
"""The gates (checks of a request) in the table `request` that `read` applies, in order."""


def _checks_by_key_use(gates: tuple[Gate, ...]) -> dict[KeyUse, list[_Check]]:
    return {
        use: [_CHECKS[gate] for gate in gates if KEY_USE_BY_GATE.get(gate, use) is use]
        for use in KeyUse
    }


_CHECKS_BY_KEY_USE: Final = _checks_by_key_use(READ_GATES)
