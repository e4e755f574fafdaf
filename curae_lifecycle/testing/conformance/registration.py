"""Checks of API keys that are registered again or withdrawn.

The law of this module: **the next request is judged by the latest registration**.
"""

from __future__ import annotations

from typing import Final

import attrs

from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, refusal, require, same
from curae_lifecycle.testing.conformance.operation_requests import (
    build_request,
    member_values,
    operations_where,
)
from curae_lifecycle.testing.conformance.steps import Steps, use

CHECKS: Final = Checks()


@CHECKS.add("registration.scopes", rules=("permission.scope-missing",), hooks=("register_again",))
def _scopes_change(app: App) -> Steps[None]:
    """Changes of an API key's scopes take effect with the next request."""
    connection_id = yield from app.created_id("user")
    yield from use("register_again", app.api_key, attrs.evolve(app.key_request, scopes=frozenset()))
    for kind in operations_where(app, lambda rule: rule.scope):
        request = build_request(app, kind, member_values(connection_id))
        yield from refusal(request, 403, "SCOPE_INSUFFICIENT")
    yield from app.shows(connection_id, "PENDING")
    yield from use("register_again", app.api_key, app.key_request)
    yield from app.revoked(connection_id)


@CHECKS.add(
    "registration.other-app", laws=(15,), rules=("request.ownership",), hooks=("register_again",)
)
def _app_changes(app: App) -> Steps[None]:
    """Registering an API key for another app hides the first app's data until it is undone."""
    connection_id = yield from app.created_id("user")
    yield from app.initiated("user")
    other = attrs.evolve(app.key_request, app_id=app.names.word("app"))
    yield from use("register_again", app.api_key, other)
    for build in (app.get, app.revoke, app.reconnect):
        yield from refusal(build(connection_id), 404, "NOT_FOUND")
    same((yield from app.state("user")), "UNLINKED", "the account state")
    yield from use("register_again", app.api_key, app.key_request)
    yield from app.shows(connection_id, "PENDING")
    same((yield from app.state("user")), "LIMITED", "the account state")


@CHECKS.add("registration.other-id", rules=("idempotency.absent",), hooks=("change_key_id",))
def _id_changes(app: App) -> Steps[None]:
    """Registering an API key under another id starts its idempotency keys anew; data is the same."""
    request = app.create("user")
    first = yield from client.created_id(request)
    same((yield from client.created_id(request)), first, "the id of the replayed connection")
    yield from use("change_key_id", app.api_key, app.key_request)
    second = yield from client.created_id(request)
    require(second != first, "the request was replayed although its API key has another id")
    same((yield from client.created_id(request)), second, "the id of the replayed connection")
    for each in (first, second):
        yield from app.shows(each, "PENDING")


@CHECKS.add("registration.withdrawn", rules=("request.credentials",), hooks=("withdraw",))
def _withdrawn(app: App) -> Steps[None]:
    """Withdrawn API keys are refused from the next request on; other keys of the app still work."""
    request = app.create("user")
    connection_id = yield from client.created_id(request)
    sibling = yield from app.second_key()
    yield from use("withdraw", app.api_key)
    for each in (request, app.get(connection_id), app.revoke(connection_id)):
        yield from refusal(each, 401, "UNAUTHENTICATED")
    yield from sibling.shows(connection_id, "PENDING")
