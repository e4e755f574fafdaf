"""Checks of the order of the gates: the first gate that a request fails at refuses it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import combinations
from typing import Final, TypedDict

import attrs

from curae_lifecycle.service.operations.operation import BASE_PATH, KeyUse
from curae_lifecycle.testing.conformance.check import Check, Checks
from curae_lifecycle.testing.conformance.client import App, new_app, refusal
from curae_lifecycle.testing.conformance.gates import without
from curae_lifecycle.testing.conformance.operation_requests import (
    Kind,
    body_of,
    build_request,
    has_connection_id,
    member_values,
    needs_key,
)
from curae_lifecycle.testing.conformance.steps import Steps, send
from curae_lifecycle.web.request import Request

CHECKS: Final = Checks()

# fmt: off
GATES: Final = {
    "credentials":     (401, "UNAUTHENTICATED",             "request.credentials"),
    "route":           (404, "NOT_FOUND",                   "request.route"),
    "scope":           (403, "SCOPE_INSUFFICIENT",          "request.permission"),
    "body":            (400, "BAD_REQUEST",                 "request.body"),
    "key-missing":     (400, "IDEMPOTENCY_KEY_REQUIRED",    "request.key-required"),
    "key-invalid":     (400, "IDEMPOTENCY_KEY_INVALID",     "request.key-invalid"),
    "key-not-allowed": (400, "IDEMPOTENCY_KEY_NOT_ALLOWED", "request.key-not-allowed"),
    "idempotency":     (422, "IDEMPOTENCY_KEY_REUSED",      "request.idempotency"),
    "ownership":       (404, "NOT_FOUND",                   "request.ownership"),
}
# fmt: on
"""The gates by name, in their order: the status and code of the refusal, and the rule's name.

A gate is a check that a request must pass before the operation's own rule decides. The gates of
the rate limits are left out.
"""


@attrs.frozen
class _RequestParts:
    # With None for `key` the request has a fresh key; with an empty `key` it has none.
    app: App
    connection_id: str
    user: str = "user"
    extra: bool = False
    key: str | None = None
    method: str = ""
    path: str = ""

    def request(self, kind: Kind) -> Request:
        values = member_values(self.connection_id, self.user)
        body = body_of(kind, values) | {"extra": 1} if self.extra else None
        request = build_request(self.app, kind, values, body=body, key=self.key or None)
        if self.key == "":
            request = without(request, "idempotency-key")
        return attrs.evolve(
            request, method=self.method or request.method, target=self.path or request.target
        )


class _Change(TypedDict, total=False):
    app: App
    connection_id: str
    user: str
    extra: bool
    key: str
    method: str
    path: str


GateFailure = tuple[str, _Change]
"""The name of a gate, and a change to a valid request that makes this gate refuse it.

A gate is a check of a request before the operation's own rule decides. The name `rule` stands for
that rule.
"""


@attrs.frozen
class _Scene:
    # A valid request, and the values that make it fail: an app without scopes, an idempotency key
    # that another request used, and the id of a connection of another app.
    valid: _RequestParts
    reader: App
    used_key: str
    foreign_id: str

    def failures(self, kind: Kind) -> Iterator[GateFailure]:
        """Yield changes to a valid request, each with the gate that refuses it, in gate order."""
        rule = kind.rule
        yield "credentials", {"app": attrs.evolve(self.valid.app, api_key="cae_live_nobody")}
        yield "route", {"path": f"{BASE_PATH}/nothing"}
        yield from _wrong_methods(rule.path, self.valid.app.context.operations)
        if rule.scope is not None:
            yield "scope", {"app": self.reader}
        if rule.body is not None:
            yield "body", {"extra": True}
        if has_connection_id(rule):
            yield "body", {"connection_id": "nonsense"}
        if any(each.name == "appUserId" for each in rule.query):
            yield "body", {"user": ""}
        if needs_key(rule):
            yield "key-missing", {"key": ""}
            yield "key-invalid", {"key": "k k"}
        if rule.key is KeyUse.NOT_ALLOWED:
            yield "key-not-allowed", {"key": "k"}
        if needs_key(rule):
            yield "idempotency", {"key": self.used_key}
        if rule.limit is not None:
            yield "limit", {"user": "busy"}
        if has_connection_id(rule):
            yield "ownership", {"connection_id": self.foreign_id}
        # The rule refuses a reconnect of the valid request, because its connection is pending.
        yield "rule", {}


def _wrong_methods(path: str, operations: Iterable[Kind]) -> Iterator[GateFailure]:
    served = {each.rule.method for each in operations if _shape(each.rule.path) == _shape(path)}
    for method in [each for each in ("PUT", "PATCH", "DELETE") if each not in served][:1]:
        yield "route", {"method": method}


def _shape(path: str) -> str:
    # Two ids in one place match the same paths, whatever their names.
    return re.sub(r"{\w+}", "{}", path)


def _build_scene(app: App) -> Steps[_Scene]:
    reader = yield from app.second_key(frozenset())
    stranger = yield from new_app(app.context)
    key = app.new_key()
    yield from send(app.create("somebody", key=key))
    pending = yield from app.created_id()
    foreign_id = yield from stranger.created_id()
    for kind in app.context.operations:
        limit = kind.rule.limit
        for _ in range(0 if limit is None else limit.limit):
            yield from send(build_request(app, kind, member_values(pending, "busy")))
    valid = _RequestParts(app, pending)
    return _Scene(valid=valid, reader=reader, used_key=key, foreign_id=foreign_id)


def _first_gate_refuses(gate: str, app: App) -> Steps[None]:
    scene = yield from _build_scene(app)
    status, code, _ = GATES[gate]
    for kind in app.context.operations:
        for (first, change), (_, later_change) in combinations(scene.failures(kind), 2):
            if first == gate and not change.keys() & later_change.keys():
                parts = attrs.evolve(attrs.evolve(scene.valid, **change), **later_change)
                yield from refusal(parts.request(kind), status, code)


@CHECKS.add("order.limit", rules=("request.limit", "request.rule"))
def _limit_before_rule(app: App) -> Steps[None]:
    """Requests that the rule refuses count against the app user's limit, which comes first."""
    for _ in range(10):
        yield from refusal(app.graduate("user"), 409, "BINDING_NOT_LIMITED")
    yield from refusal(app.graduate("user"), 429, "RATE_LIMITED")


CHECKS.extend(
    Check(
        f"order.{gate}",
        f"The {gate} gate refuses a request before any later gate does.",
        partial(_first_gate_refuses, gate),
        rules=(rule,),
    )
    for gate, (_, _, rule) in GATES.items()
)
