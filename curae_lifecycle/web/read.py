"""Requests to calls: the gates that nothing stored is needed for.

The law of this module: **every request, however malformed, gets a documented answer**, and its
gates are passed in the order of the table `request`. Nothing of a request but the parsed values
of its operation comes further in.
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
from curae_lifecycle.service.call import Call, Decision, refused
from curae_lifecycle.service.gates import Gate, in_order, refuse_at
from curae_lifecycle.service.members import NO_TAGS, Given, Member
from curae_lifecycle.service.operations.operation import KeyUse, Operation
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.web.json import Json, MalformedError, parse_json
from curae_lifecycle.web.request import (
    ParsedBody,
    Request,
    entity_tags,
    header,
    idempotency_key,
)
from curae_lifecycle.web.shapes import parse_member, parse_members


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
        settings: What the server chose; the call carries it from here on.

    Returns:
        Call: load what `needs` names and `decide`. Decision: refused with 400, 401, 403 or
        404, charging nothing and storing nothing; it goes to `respond` like any other.
    """
    reading = _Reading(request, caller, settings)
    for gate in READ:
        answer = _PASS[gate](reading)
        if answer is not None:
            return refused(answer, now, settings)
    return reading.call()


@attrs.define
class _Reading:
    """A request on its way through the gates, and what they found out."""

    request: Request
    caller: Caller | None
    settings: Settings
    kind: type[Operation] | None = None
    segments: tuple[str, ...] = ()
    operation: Operation | None = None
    key: IdempotencyKey | None = None
    found_keys: list[str] | None = None

    @property
    def known(self) -> Caller:
        """The caller."""
        assert self.caller is not None  # noqa: S101 - the gate of credentials is passed
        return self.caller

    @property
    def routed(self) -> type[Operation]:
        """The kind of operation."""
        assert self.kind is not None  # noqa: S101 - the gate of the path is passed
        return self.kind

    @property
    def keys(self) -> list[str]:
        """Every value of the header that carries the idempotency key."""
        if self.found_keys is None:
            self.found_keys = header(self.request, "idempotency-key")
        return self.found_keys

    def call(self) -> Call:
        """What was read, once every gate is passed."""
        assert self.operation is not None  # noqa: S101 - the gate of the body is passed
        return Call(self.known, self.operation, self.key, self.settings)


def _credentials(reading: _Reading) -> Refused | None:
    return refuse_at(Gate.CREDENTIALS) if reading.caller is None else None


def _route(reading: _Reading) -> Refused | None:
    method, path = reading.request.method, reading.request.target.partition("?")[0]
    exact, patterns = _routes(reading.settings.operations)
    reading.kind = exact.get((method, path))
    if reading.kind is not None:
        return None
    for kind, pattern in patterns:
        found = pattern.fullmatch(path) if kind.rule.method == method else None
        if found is not None:
            reading.kind, reading.segments = kind, found.groups()
            return None
    return refuse_at(Gate.ROUTE)


_Exact = dict[tuple[str, str], type[Operation]]
_Patterns = list[tuple[type[Operation], re.Pattern[str]]]


@cache
def _routes(operations: tuple[type[Operation], ...]) -> tuple[_Exact, _Patterns]:
    # An id is all between two marks, so that a malformed one is a fault of the request's values.
    parts = {kind: re.split(r"\{\w+\}", kind.rule.path) for kind in operations}
    exact = {(kind.rule.method, kind.rule.path): kind for kind in operations if not kind.rule.ids}
    patterns = [
        (kind, re.compile("([^/:]+)".join(map(re.escape, parts[kind]))))
        for kind in operations
        if kind.rule.ids
    ]
    return exact, patterns


def _permission(reading: _Reading) -> Refused | None:
    scope = reading.routed.rule.scope
    return check_permission(reading.known, scope, reading.settings.environment)


def _body(reading: _Reading) -> Refused | None:
    rule, request = reading.routed.rule, reading.request
    values: dict[str, object] = {}
    try:
        if rule.body is not None:
            values |= parse_members(_document(request, optional=not rule.body), rule.body).values
        for member in rule.query:
            values[member.name] = _query_member(request, member)
        for name, segment in zip(rule.ids, reading.segments, strict=True):
            values[name.name] = parse_member(name, segment)
    except MalformedError as malformed:
        return refuse_at(Gate.BODY, (malformed.member, malformed.fault))
    tags = entity_tags(request) if rule.tags else NO_TAGS
    reading.operation = reading.routed.read(Given(values, tags))
    return None


def _document(request: Request, *, optional: bool) -> Json:
    body = request.body
    if isinstance(body, ParsedBody):
        return body.value
    return {} if optional and body == b"" else parse_json(body)


def _query_member(request: Request, member: Member[str]) -> str:
    query = request.target.partition("?")[2]
    pairs = [part.partition("=") for part in query.split("&")]
    values = [value for name, _, value in pairs if unquote_plus(name) == member.name]
    if len(values) != 1:
        raise MalformedError(member.name, Fault.REPEATED if values else Fault.MISSING)
    try:
        return member.parse(unquote_plus(values[0], errors="strict"))
    except ValueError:
        raise MalformedError(member.name, Fault.INVALID) from None


def _key_allowed(reading: _Reading) -> Refused | None:
    if reading.routed.rule.key is KeyUse.NOT_ALLOWED and reading.keys:
        return refuse_at(Gate.KEY_ALLOWED)
    return None


def _key_given(reading: _Reading) -> Refused | None:
    if reading.routed.rule.key is KeyUse.NEEDED and not reading.keys:
        return refuse_at(Gate.KEY_GIVEN)
    return None


def _key_readable(reading: _Reading) -> Refused | None:
    if reading.routed.rule.key is not KeyUse.NEEDED:
        return None
    reading.key = idempotency_key(reading.keys)
    return refuse_at(Gate.KEY_READABLE) if reading.key is None else None


_PASS: Final[dict[Gate, Callable[[_Reading], Refused | None]]] = {
    Gate.CREDENTIALS: _credentials,
    Gate.ROUTE: _route,
    Gate.PERMISSION: _permission,
    Gate.BODY: _body,
    Gate.KEY_ALLOWED: _key_allowed,
    Gate.KEY_GIVEN: _key_given,
    Gate.KEY_READABLE: _key_readable,
}

READ: Final = in_order(*_PASS)
"""The gates that are passed here."""
