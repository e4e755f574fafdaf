"""Checks of the order in which a request is refused."""

from __future__ import annotations

from functools import partial
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.testing.conformance.check import Check, Checks
from curae_lifecycle.testing.conformance.client import App, id_of, new_app, refusal
from curae_lifecycle.testing.conformance.connections import bring
from curae_lifecycle.testing.conformance.gates import without
from curae_lifecycle.testing.conformance.steps import Steps, send
from curae_lifecycle.web.request import Request

Fails = tuple[str, int, str]
"""A gate's name and what it answers."""

STRANGER: Final[Fails] = ("credentials", 401, "UNAUTHENTICATED")

ROUTE: Final[Fails] = ("route", 404, "NOT_FOUND")

SCOPE: Final[Fails] = ("scope", 403, "SCOPE_INSUFFICIENT")

BODY: Final[Fails] = ("body", 400, "BAD_REQUEST")

NO_KEY: Final[Fails] = ("key", 400, "IDEMPOTENCY_KEY_REQUIRED")

BAD_KEY: Final[Fails] = ("key", 400, "IDEMPOTENCY_KEY_INVALID")

NOT_ALLOWED: Final[Fails] = ("key not allowed", 400, "IDEMPOTENCY_KEY_NOT_ALLOWED")

REUSED: Final[Fails] = ("idempotency", 422, "IDEMPOTENCY_KEY_REUSED")

LIMITED: Final[Fails] = ("limit", 429, "RATE_LIMITED")

OWNERSHIP: Final[Fails] = ("ownership", 404, "NOT_FOUND")


@attrs.frozen
class _Scene:
    # Everything that a request may fail on.
    app: App
    reader: App
    used_key: str
    pending: str
    of_another: str
    user_at_limit: str


def _scene(app: App) -> Steps[_Scene]:
    reader = yield from app.second_key(frozenset())
    stranger = yield from new_app(app.kit)
    key = app.new_key()
    yield from send(app.create("somebody", key=key))
    pending = id_of((yield from app.created()))
    of_another = yield from bring(stranger, Standing.REVOKED)
    yield from app.filled("busy")
    for _ in range(10):
        yield from send(app.graduate("busy"))
    return _Scene(app, reader, key, pending, of_another, "busy")


BAD: Final = b'{"extra": 1}'


def _pairs(scene: _Scene) -> tuple[tuple[str, Fails, Request], ...]:
    # What else the request fails on, the gate that answers, and the request.
    app, reader, used = scene.app, scene.reader, scene.used_key
    busy, pending, foreign = scene.user_at_limit, scene.pending, scene.of_another
    initiate_path, connect = "/curae-connect/initiate", "/connections"
    graduation = "/curae-connect/graduation-handoff"
    nobody = attrs.evolve(app, api_key="cae_live_nobody")
    return (
        ("route", STRANGER, nobody.request("GET", "/nothing")),
        ("body", STRANGER, nobody.request("POST", connect, BAD, key=app.new_key())),
        ("id", STRANGER, nobody.get("nonsense")),
        ("key", STRANGER, without(nobody.create("user"), "idempotency-key")),
        ("ownership", STRANGER, nobody.get(pending)),
        ("scope", ROUTE, reader.request("POST", "/nothing")),
        ("body", ROUTE, app.request("PUT", connect, BAD, key=app.new_key())),
        ("key", ROUTE, app.request("POST", "/nothing", key="")),
        ("body", SCOPE, reader.request("POST", connect, BAD, key=app.new_key())),
        ("id", SCOPE, reader.revoke("nonsense")),
        ("key", SCOPE, without(reader.create("user"), "idempotency-key")),
        ("a key that is not allowed", SCOPE, reader.graduate(busy, ("Idempotency-Key", "k"))),
        ("limit", SCOPE, reader.initiate(busy)),
        ("ownership", SCOPE, reader.revoke(foreign)),
        ("rule", SCOPE, reader.reconnect(pending)),
        ("key", BODY, app.request("POST", connect, BAD)),
        ("an invalid key", BODY, app.request("POST", connect, BAD, key="")),
        ("a key that is not allowed", BODY, app.request("POST", graduation, BAD, key="k")),
        ("id, key", BODY, app.request("POST", "/connections/nonsense:revoke")),
        ("body, id", BODY, app.request("POST", f"/connections/{pending}:revoke", BAD)),
        ("a used key", BODY, app.request("POST", initiate_path, BAD, key=used)),
        ("limit", BODY, app.request("POST", initiate_path, {"appUserId": busy, "x": 1}, key="k")),
        ("limit", NO_KEY, without(app.initiate(busy), "idempotency-key")),
        ("ownership", NO_KEY, without(app.revoke(foreign), "idempotency-key")),
        ("rule", NO_KEY, without(app.reconnect(pending), "idempotency-key")),
        ("limit", BAD_KEY, app.initiate(busy, key="k k")),
        ("ownership", BAD_KEY, app.revoke(foreign, key="k k")),
        ("limit", NOT_ALLOWED, app.graduate(busy, ("Idempotency-Key", "k"))),
        ("limit", REUSED, app.initiate(busy, key=used)),
        ("ownership", REUSED, app.revoke(foreign, key=used)),
        ("rule", REUSED, app.reconnect(pending, key=used)),
        ("rule", OWNERSHIP, app.reconnect(foreign)),
    )


def _order(answering: Fails, app: App) -> Steps[None]:
    scene = yield from _scene(app)
    gate, status, code = answering
    for other, first, request in _pairs(scene):
        if first == answering:
            yield from refusal(request, status, code, f"fails at {gate} and at {other}")


CHECKS: Final = Checks()


@CHECKS.add("order.limit", rules=("request.limit", "request.rule"))
def _limit_before_rule(app: App) -> Steps[None]:
    """The app user's limit is asked before the rule itself, which refuses at a cost."""
    for _ in range(10):
        yield from refusal(
            app.graduate("user"), 409, "BINDING_NOT_LIMITED", "graduate an unlinked account"
        )
    where = "graduate an unlinked account the 11th time: fails at the limit and at the rule"
    yield from refusal(app.graduate("user"), 429, "RATE_LIMITED", where)


CHECKS.extend(
    Check(
        f"order.{slug}",
        f"A request that fails at {answering[0]} and at a later gate is answered by the first.",
        partial(_order, answering),
        rules=(rule,),
    )
    for slug, answering, rule in (
        ("credentials", STRANGER, "request.credentials"),
        ("route", ROUTE, "request.route"),
        ("scope", SCOPE, "request.permission"),
        ("body", BODY, "request.body"),
        ("key-missing", NO_KEY, "request.key-required"),
        ("key-invalid", BAD_KEY, "request.key-invalid"),
        ("key-not-allowed", NOT_ALLOWED, "request.key-not-allowed"),
        ("idempotency", REUSED, "request.idempotency"),
        ("ownership", OWNERSHIP, "request.ownership"),
    )
)
