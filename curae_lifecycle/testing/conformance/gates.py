"""Checks of who gets in: credentials, routes, scopes, environments, and whose an id is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import (
    BASE,
    CREATED,
    OK,
    App,
    expect,
    expect_problem,
    headers,
    id_of,
    lasting,
    member,
    new_app,
    refusal,
    same,
    success,
)
from curae_lifecycle.testing.conformance.connections import bring
from curae_lifecycle.testing.conformance.steps import Kit, NotSeenError, Steps, send
from curae_lifecycle.testing.laws import check_documented, check_indistinguishable
from curae_lifecycle.web.request import Request

Build = Callable[[App, str], Request]
"""Makes a request of an app for a connection's id."""

MUTATIONS: Final[dict[str, Build]] = {
    "create": lambda app, _: app.create("user"),
    "reconnect": lambda app, connection_id: app.reconnect(connection_id),
    "revoke": lambda app, connection_id: app.revoke(connection_id),
    "initiate": lambda app, _: app.initiate("user"),
    "graduation": lambda app, _: app.graduate("user"),
}

READS: Final[dict[str, Build]] = {
    "get": lambda app, connection_id: app.get(connection_id),
    "account-state": lambda app, _: app.account_state("user"),
}

OPERATIONS: Final = {**MUTATIONS, **READS}

KEYED: Final = ("create", "reconnect", "revoke", "initiate")


def without(request: Request, *names: str) -> Request:
    """A request without some of its headers; names in lower case."""
    kept = tuple([pair for pair in request.headers if pair[0].lower() not in names])
    return attrs.evolve(request, headers=kept)


def having(request: Request, *extra: tuple[str, str]) -> Request:
    """A request with more headers."""
    return attrs.evolve(request, headers=(*request.headers, *extra))


def refused(answer: Response, status: int, code: str, where: str) -> None:
    """Raise unless an answer is a problem, whole and documented."""
    expect_problem(answer, status, code, where)
    check_documented(answer)


CHECKS: Final = Checks()


@CHECKS.add(
    "request.credentials",
    rules=("problem-status.unknown-caller", "request.credentials", "problem.unauthenticated"),
)
def _stranger(app: App) -> Steps[None]:
    """Nobody without exactly one known key gets further, and learns nothing."""
    unknown = f"Bearer cae_{app.kit.environment}_{app.kit.names.word('unknown')}"
    real = f"Bearer {app.api_key}"
    for name, build in OPERATIONS.items():
        request = without(build(app, app.kit.names.uuid()), "authorization")
        for how, given in (
            ("no key", ()),
            ("an unknown key", (("Authorization", unknown),)),
            ("no scheme", (("Authorization", app.api_key),)),
            ("another scheme", (("Authorization", f"Basic {app.api_key}"),)),
            ("a key with more after it", (("Authorization", f"{real}-more"),)),
            ("two keys", (("Authorization", real), ("Authorization", real))),
        ):
            answer = yield from send(having(request, *given))
            where = f"{name} with {how}"
            refused(answer, 401, "UNAUTHENTICATED", where)
            same(headers(answer, "www-authenticate"), ["Bearer"], "WWW-Authenticate", where)


@CHECKS.add("request.credentials.scheme", rules=("request.credentials",))
def _scheme_in_any_case(app: App) -> Steps[None]:
    """The scheme of the Authorization header is read in any case."""
    request = without(app.account_state("user"), "authorization")
    for scheme in ("bearer", "BEARER"):
        yield from success(
            having(request, ("authorization", f"{scheme} {app.api_key}")),
            OK,
            f"a key after {scheme}",
        )


@CHECKS.add("request.route", rules=("request.route", "problem.not-found"))
def _unknown_routes(app: App) -> Steps[None]:
    """An unknown path or method is not found."""
    connection_id = id_of((yield from app.created()))
    for method, path in (
        ("GET", "/nothing"),
        ("GET", "/connections"),
        ("PUT", "/connections"),
        ("POST", f"/connections/{connection_id}"),
        ("DELETE", f"/connections/{connection_id}"),
        ("PATCH", f"/connections/{connection_id}"),
        ("GET", f"/connections/{connection_id}:revoke"),
        ("POST", f"/connections/{connection_id}:delete"),
        ("POST", f"/connections/{connection_id}:Revoke"),
        ("GET", "/curae-connect/initiate"),
        ("POST", "/curae-connect/account-state"),
        ("GET", "/curae-connect/graduation-handoff"),
    ):
        answer = yield from send(app.request(method, path, key=app.new_key()))
        refused(answer, 404, "NOT_FOUND", f"{method} {BASE}{path}")
    yield from app.shows(
        connection_id, "PENDING", "the connection's status", "after unknown routes"
    )


@CHECKS.add(
    "permission.scope-missing",
    rules=(
        "problem-status.forbidden",
        "permission.scope-missing",
        "problem.scope-insufficient",
        "request.permission",
    ),
)
def _scope_missing(app: App) -> Steps[None]:
    """A mutation needs connection:write."""
    connection_id = id_of((yield from app.created()))
    reader = yield from app.second_key(frozenset())
    other = yield from app.second_key(frozenset({"connection:read", "connection"}))
    for name, build in MUTATIONS.items():
        for who in (reader, other):
            where = f"{name} with a key that lacks the scope"
            details = yield from refusal(
                build(who, connection_id), 403, "SCOPE_INSUFFICIENT", where
            )
            same(dict(details), {"scope": "connection:write"}, "details", where)
    yield from app.shows(
        connection_id, "PENDING", "the connection's status", "nothing was executed"
    )


@CHECKS.add("permission.granted", rules=("permission.granted",))
def _reads_need_no_scope(app: App) -> Steps[None]:
    """A read needs a valid key and no scope."""
    connection_id = id_of((yield from app.created()))
    reader = yield from app.second_key(frozenset())
    for name, build in READS.items():
        yield from success(build(reader, connection_id), OK, f"{name} without any scope")


@CHECKS.add(
    "permission.wrong-environment",
    rules=("permission.wrong-environment", "problem.wrong-environment", "request.permission"),
    hooks=("environment",),
)
def _wrong_environment(app: App) -> Steps[None]:
    """A key of the environment that is not served is refused, whatever its scopes."""
    other = Environment.TEST if app.kit.environment is Environment.LIVE else Environment.LIVE
    app = yield from new_app(app.kit, environment=other)
    reader = yield from app.second_key(frozenset())
    for who in (app, reader):
        for name, build in OPERATIONS.items():
            where = f"{name} with a key of the environment {other}"
            details = yield from refusal(
                build(who, app.kit.names.uuid()), 403, "WRONG_ENVIRONMENT", where
            )
            same(dict(details), {"environment": str(other)}, "details", where)


@CHECKS.add("request.ownership", laws=(15,), rules=("request.ownership", "problem.not-found"))
def _others_ids(app: App) -> Steps[None]:
    """Another tenant's id is answered byte for byte like an unknown one, and nothing happens."""
    pending = id_of((yield from app.created()))
    revoked = yield from bring(app, Standing.REVOKED)
    account, app_id = app.wanted.customer_account_id, app.wanted.app_id
    sibling = yield from new_app(app.kit, account=account)
    cousin = yield from new_app(app.kit, app_id=app_id)
    strangers = [(sibling, "another app"), (cousin, "another customer account")]
    yield from _strangers(app.kit, app, strangers, (pending, revoked))
    where = "reconnect a connection after strangers tried to"
    made = yield from success(app.reconnect(revoked), CREATED, where)
    created = member(made, "connection.createdAt", where)
    same(member(made, "connection.updatedAt", where), created, "updatedAt", where)


@CHECKS.add("request.ownership.environment", laws=(15,), rules=("request.ownership",))
def _other_environments_ids(app: App) -> Steps[None]:
    """Test and live never meet."""
    if "environment" in app.kit.hooks:
        raise NotSeenError("the server serves one environment")
    pending = id_of((yield from app.created()))
    account, app_id = app.wanted.customer_account_id, app.wanted.app_id
    test = yield from new_app(app.kit, account=account, app_id=app_id, environment=Environment.TEST)
    yield from _strangers(app.kit, app, [(test, "the other environment")], (pending,))
    yield from send(app.initiate("user"))
    answer = yield from send(test.account_state("user"))
    where = "the same user in the other environment"
    same(member(expect(answer, OK, where), "lifecycleState", where), "UNLINKED", "it", where)


def _strangers(
    kit: Kit, app: App, strangers: list[tuple[App, str]], ids: tuple[str, ...]
) -> Steps[None]:
    for stranger, who in strangers:
        for name in ("get", "reconnect", "revoke"):
            for foreign in ids:
                theirs = yield from send(OPERATIONS[name](stranger, foreign))
                nobodys = yield from send(OPERATIONS[name](stranger, kit.names.uuid()))
                check_indistinguishable(
                    attrs.evolve(theirs, headers=_steady(theirs, kit)),
                    attrs.evolve(nobodys, headers=_steady(nobodys, kit)),
                )
                expect_problem(theirs, 404, "NOT_FOUND", f"{name} by {who}")
    yield from app.shows(ids[0], "PENDING", "its status", "after strangers tried to revoke it")


def _steady(answer: Response, kit: Kit) -> tuple[tuple[str, str], ...]:
    return lasting(answer, kit.varying).headers
