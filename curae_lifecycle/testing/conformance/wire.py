"""Checks of responses: every standing, every problem, and no internal values."""

from __future__ import annotations

from typing import Final

import attrs

from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance import client, sessions
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, Document, require, same
from curae_lifecycle.testing.conformance.connections import BRINGS, HOUR, REASON, create_in_standing
from curae_lifecycle.testing.conformance.replies import check_reply
from curae_lifecycle.testing.conformance.steps import NotConformingError, Steps, send, use
from curae_lifecycle.testing.conformance.wording import difference, format_value
from curae_lifecycle.testing.laws import check_documented
from curae_lifecycle.web.request import Request

CHECKS: Final = Checks()


@CHECKS.add("law-13.every-standing", laws=(13,))
def _every_standing(app: App) -> Steps[None]:
    """Connections in every standing have the listed members and no others."""
    for standing, needed in BRINGS.items():
        if set(needed) <= app.context.hooks and "pass_time" not in needed:
            connection_id = yield from create_in_standing(app, standing)
            for kind, request in (
                (GetConnection, app.get(connection_id)),
                (Revoke, app.revoke(connection_id)),
                (Reconnect, app.reconnect(connection_id)),
            ):
                answer = yield from send(request)
                check_reply(kind, answer)


@CHECKS.add(
    "law-16.problems",
    laws=(16,),
    rules=(
        *("problem.bad-request", "problem.key-required", "problem.key-invalid"),
        *("problem.key-not-allowed", "problem.unauthenticated", "problem.not-found"),
        *("problem.connection-not-reconnectable", "problem.connection-superseded"),
        *("problem.binding-not-limited", "problem.key-reused", "problem.rate-limited"),
    ),
)
def _every_problem(app: App) -> Steps[None]:
    """Problems have all their members, the right status and the right `retryable`."""
    connection_id = yield from app.created_id()
    key = app.new_key()
    yield from send(app.create("user", key=key))
    yield from app.use_up_initiates("busy")
    unknown = attrs.evolve(app, api_key=app.api_key + "-more")
    refused: tuple[tuple[Request, str], ...] = (
        (app.request("POST", "/connections", {"extra": 1}, key="k"), "BAD_REQUEST"),
        (app.request("POST", f"/connections/{connection_id}:revoke"), "IDEMPOTENCY_KEY_REQUIRED"),
        (app.revoke(connection_id, key="k k"), "IDEMPOTENCY_KEY_INVALID"),
        (app.graduate("user", ("Idempotency-Key", "k")), "IDEMPOTENCY_KEY_NOT_ALLOWED"),
        (unknown.get(connection_id), "UNAUTHENTICATED"),
        (app.get(app.names.uuid()), "NOT_FOUND"),
        (app.reconnect(connection_id), "CONNECTION_NOT_RECONNECTABLE"),
        (app.graduate("user"), "BINDING_NOT_LIMITED"),
        (app.create("another", key=key), "IDEMPOTENCY_KEY_REUSED"),
        (app.initiate("busy"), "RATE_LIMITED"),
    )
    for request, code in refused:
        answer = yield from send(request)
        problem = client.document(answer)
        require(
            problem.get("code") == code, f"answered {client.in_short(answer)} instead of {code}"
        )
        _check_problem(answer, problem, code)
    yield from app.revoked(connection_id)
    yield from app.revoked((yield from client.created_id(app.reconnect(connection_id))))
    answer = yield from send(app.reconnect(connection_id))
    _check_problem(answer, client.document(answer), "CONNECTION_SUPERSEDED")


def _check_problem(answer: Response, problem: Document, code: str) -> None:
    check_documented(answer)
    kind = problem.get("type")
    kebab = code.lower().replace("_", "-")
    if not isinstance(kind, str) or not kind.endswith(kebab) or len(kind) == len(kebab):
        raise NotConformingError(
            f"the type {format_value(kind)} is not a base URI followed by {kebab}"
        )
    for name in ("title", "detail"):
        if not isinstance(problem.get(name), str) or not problem[name]:
            raise NotConformingError(f"{name} is not a non-empty string")


@CHECKS.add("law-13.no-user-id", laws=(13,), hooks=("complete_handoff",))
def _no_user_id(app: App) -> Steps[None]:
    """Responses contain no user id of the platform."""
    user_id = app.names.word("platform-user")
    session = sessions.session_id((yield from app.initiated("user", prefer_signup=True)))
    yield from use("complete_handoff", session, user_id)
    for ask in (app.initiate, app.account_state, app.graduate, app.create):
        answer = yield from send(ask("user"))
        require(user_id.encode() not in answer.body, "the response contains the platform's user id")


@CHECKS.add(
    "connection.reason-survives-revoke",
    rules=("connection.revoke.action-required",),
    hooks=("authorize", "require_action"),
)
def _reason_survives(app: App) -> Steps[None]:
    """Revoking a connection keeps its reason and its earlier timestamps."""
    connection_id = yield from app.created_id()
    yield from use("authorize", connection_id, HOUR)
    yield from use("require_action", connection_id, REASON)
    before = yield from app.seen(connection_id)
    yield from app.revoked(connection_id)
    after = yield from app.seen(connection_id)
    for name in ("actionRequiredReason", "authorizedAt", "expiresAt", "createdAt"):
        same(after.get(name), before.get(name), name)


@CHECKS.add("law-14.reads-agree", laws=(14,))
def _reads_agree(app: App) -> Steps[None]:
    """Reads that are repeated with nothing in between get the same response."""
    connection_id = yield from app.created_id()
    for request in (app.get(connection_id), app.account_state("user")):
        one = client.lasting((yield from send(request)), app.context.varying)
        for _ in range(2):
            again = client.lasting((yield from send(request)), app.context.varying)
            require(again == one, f"two consecutive reads got different {difference(one, again)}")
