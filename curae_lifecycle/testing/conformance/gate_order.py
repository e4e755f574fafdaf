"""Checks of the order in which a request is refused."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations
from typing import Final, TypedDict

import attrs

from curae_lifecycle.service.operations.operation import BASE_PATH, KeyUse
from curae_lifecycle.testing.conformance.check import Check, Checks
from curae_lifecycle.testing.conformance.client import App, id_of, new_app, refusal
from curae_lifecycle.testing.conformance.gates import without
from curae_lifecycle.testing.conformance.operation_requests import (
    Kind,
    about,
    body_of,
    build_request,
    keyed,
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
"""What a request is answered that fails at a gate, and the gate's rule."""


@attrs.frozen
class _Asked:
    # All that a request can fail by; a missing key is the empty text.
    app: App
    connection_id: str
    user: str = "user"
    extra: bool = False
    key: str | None = None
    method: str = ""
    path: str = ""

    def request(self, kind: Kind) -> Request:
        values = about(self.connection_id, self.user)
        body = body_of(kind, values) | {"extra": 1} if self.extra else None
        made = build_request(self.app, kind, values, body=body, key=self.key or None)
        made = without(made, "idempotency-key") if self.key == "" else made
        made = attrs.evolve(made, method=self.method or made.method)
        return attrs.evolve(made, target=self.path or made.target)


class _Change(TypedDict, total=False):
    app: App
    connection_id: str
    user: str
    extra: bool
    key: str
    method: str
    path: str


GateFailure = tuple[str, _Change]
"""Where a request fails, and what of it makes it fail there."""


@attrs.frozen
class _Scene:
    # Everything that a request may fail on.
    right: _Asked
    reader: App
    used_key: str
    of_another: str

    def faults(self, kind: Kind) -> Iterator[GateFailure]:
        """Every way in which a request for an operation can fail, in the order of the gates."""
        rule = kind.rule
        yield "credentials", {"app": attrs.evolve(self.right.app, api_key="cae_live_nobody")}
        yield "route", {"path": f"{BASE_PATH}/nothing"}
        yield "route", {"method": "PUT"}
        if rule.scope is not None:
            yield "scope", {"app": self.reader}
        if rule.body is not None:
            yield "body", {"extra": True}
        if rule.ids:
            yield "body", {"connection_id": "nonsense"}
        if rule.query:
            yield "body", {"user": ""}
        if keyed(rule):
            yield "key-missing", {"key": ""}
            yield "key-invalid", {"key": "k k"}
        if rule.key is KeyUse.NOT_ALLOWED:
            yield "key-not-allowed", {"key": "k"}
        if keyed(rule):
            yield "idempotency", {"key": self.used_key}
        if rule.limit is not None:
            yield "limit", {"user": "busy"}
        if rule.ids:
            yield "ownership", {"connection_id": self.of_another}
        # A reconnect is refused anyway, as the connection is pending.
        yield "rule", {}


def _scene(app: App) -> Steps[_Scene]:
    reader = yield from app.second_key(frozenset())
    stranger = yield from new_app(app.context)
    key = app.new_key()
    yield from send(app.create("somebody", key=key))
    pending = id_of((yield from app.created()))
    of_another = id_of((yield from stranger.created()))
    for kind in app.context.operations:
        limit = kind.rule.limit
        for _ in range(0 if limit is None else limit.limit):
            yield from send(build_request(app, kind, about(pending, "busy")))
    right = _Asked(app, pending)
    return _Scene(right=right, reader=reader, used_key=key, of_another=of_another)


def _order(gate: str, app: App) -> Steps[None]:
    scene = yield from _scene(app)
    status, code, _ = GATES[gate]
    for kind in app.context.operations:
        for (first, what), (_, more) in combinations(scene.faults(kind), 2):
            if first == gate and not what.keys() & more.keys():
                asked = attrs.evolve(attrs.evolve(scene.right, **what), **more)
                yield from refusal(asked.request(kind), status, code)


@CHECKS.add("order.limit", rules=("request.limit", "request.rule"))
def _limit_before_rule(app: App) -> Steps[None]:
    """The app user's limit is asked before the rule itself, which refuses at a cost."""
    for _ in range(10):
        yield from refusal(app.graduate("user"), 409, "BINDING_NOT_LIMITED")
    yield from refusal(app.graduate("user"), 429, "RATE_LIMITED")


CHECKS.extend(
    Check(
        f"order.{gate}",
        f"A request that fails at {gate} and at a later gate is answered by the first.",
        partial(_order, gate),
        rules=(rule,),
    )
    for gate, (_, _, rule) in GATES.items()
)
