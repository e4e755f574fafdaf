"""Checks of who gets in: credentials, routes, scopes, environments, and whose an id is."""

from __future__ import annotations

import re
from itertools import product
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.operations.operation import BASE_PATH
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.asking import about, ask, those
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, Document, same, success
from curae_lifecycle.testing.conformance.connections import bring
from curae_lifecycle.testing.conformance.steps import NotSeenError, Steps, send
from curae_lifecycle.testing.laws import check_documented, check_indistinguishable
from curae_lifecycle.web.request import Request

CHECKS: Final = Checks()


def without(request: Request, *names: str) -> Request:
    """A request without some of its headers; names in lower case."""
    kept = tuple([pair for pair in request.headers if pair[0].lower() not in names])
    return attrs.evolve(request, headers=kept)


def having(request: Request, *extra: tuple[str, str]) -> Request:
    """A request with more headers."""
    return attrs.evolve(request, headers=(*request.headers, *extra))


def refused(request: Request, status: int, code: str, where: str) -> Steps[Document]:
    """Send a request that must be refused with a problem, whole and documented; its details."""
    answer = yield from send(request)
    details = client.expect_problem(answer, status, code, where)
    check_documented(answer)
    return details


@CHECKS.add(
    "request.credentials",
    rules=("problem-status.unknown-caller", "request.credentials", "problem.unauthenticated"),
)
def _stranger(app: App) -> Steps[None]:
    """Nobody without exactly one known key gets further, and learns nothing."""
    unknown = f"Bearer cae_{app.kit.environment}_{app.names.word('unknown')}"
    real = f"Bearer {app.api_key}"
    for kind in app.kit.operations:
        request = without(ask(app, kind, about(app.names.uuid())), "authorization")
        for how, given in (
            ("no key", ()),
            ("an unknown key", (unknown,)),
            ("no scheme", (app.api_key,)),
            ("another scheme", (f"Basic {app.api_key}",)),
            ("a key with more after it", (f"{real}-more",)),
            ("two keys", (real, real)),
        ):
            answer = yield from send(having(request, *[("Authorization", each) for each in given]))
            where = f"{kind.rule.name} with {how}"
            client.expect_problem(answer, 401, "UNAUTHENTICATED", where)
            check_documented(answer)
            same(client.headers(answer, "www-authenticate"), ["Bearer"], "WWW-Authenticate", where)


@CHECKS.add("request.credentials.scheme", rules=("request.credentials",))
def _scheme_in_any_case(app: App) -> Steps[None]:
    """The scheme of the Authorization header is read in any case."""
    request = without(app.account_state("user"), "authorization")
    for scheme in ("bearer", "BEARER"):
        yield from success(
            having(request, ("authorization", f"{scheme} {app.api_key}")),
            client.OK,
            f"a key after {scheme}",
        )


@CHECKS.add("request.route", rules=("request.route", "problem.not-found"))
def _unknown_routes(app: App) -> Steps[None]:
    """An unknown path or method is not found."""
    connection_id = client.id_of((yield from app.created()))
    served = {(kind.rule.method, kind.rule.path) for kind in app.kit.operations}
    paths = {path: None for _, path in sorted(served)}
    unknown = [("GET", f"{BASE_PATH}/nothing"), ("POST", f"{BASE_PATH}/connections/{{id}}:delete")]
    unknown += [each for each in product(_METHODS, paths) if each not in served]
    unknown += [(method, _capitals(path)) for method, path in sorted(served)]
    for method, path in unknown:
        target = re.sub(r"{\w+}", connection_id, path.removeprefix(BASE_PATH))
        where = f"{method} {BASE_PATH}{target}"
        yield from refused(app.request(method, target, key=app.new_key()), 404, "NOT_FOUND", where)
    what = "the connection's status"
    yield from app.shows(connection_id, "PENDING", what, "after unknown routes")


_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _capitals(path: str) -> str:
    # The last word of a path, after its last id, with a capital letter.
    return re.sub(r"[a-z]+(?=[^a-z]*$|/{\w+}$)", lambda word: word[0].capitalize(), path, count=1)


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
    connection_id = client.id_of((yield from app.created()))
    reader = yield from app.second_key(frozenset())
    other = yield from app.second_key(frozenset({"connection:read", "connection"}))
    for kind, who in product(those(app, lambda rule: rule.scope), (reader, other)):
        where = f"{kind.rule.name} with a key that lacks the scope"
        request = ask(who, kind, about(connection_id))
        details = yield from refused(request, 403, "SCOPE_INSUFFICIENT", where)
        same(dict(details), {"scope": kind.rule.scope}, "details", where)
    what = "the connection's status"
    yield from app.shows(connection_id, "PENDING", what, "nothing was executed")


@CHECKS.add("permission.granted", rules=("permission.granted",))
def _reads_need_no_scope(app: App) -> Steps[None]:
    """A read needs a valid key and no scope."""
    connection_id = client.id_of((yield from app.created()))
    reader = yield from app.second_key(frozenset())
    for kind in those(app, lambda rule: rule.scope is None):
        where = f"{kind.rule.name} without any scope"
        yield from success(ask(reader, kind, about(connection_id)), kind.rule.status, where)


@CHECKS.add(
    "permission.wrong-environment",
    rules=("permission.wrong-environment", "problem.wrong-environment", "request.permission"),
    hooks=("environment",),
)
def _wrong_environment(app: App) -> Steps[None]:
    """A key of the environment that is not served is refused, whatever its scopes."""
    other = Environment.TEST if app.kit.environment is Environment.LIVE else Environment.LIVE
    foreign = yield from client.new_app(app.kit, environment=other)
    reader = yield from foreign.second_key(frozenset())
    for who, kind in product((foreign, reader), app.kit.operations):
        where = f"{kind.rule.name} with a key of the environment {other}"
        request = ask(who, kind, about(app.names.uuid()))
        details = yield from refused(request, 403, "WRONG_ENVIRONMENT", where)
        same(dict(details), {"environment": str(other)}, "details", where)


@CHECKS.add("request.ownership", laws=(15,), rules=("request.ownership", "problem.not-found"))
def _others_ids(app: App) -> Steps[None]:
    """Another tenant's id is answered byte for byte like an unknown one, and nothing happens."""
    pending = client.id_of((yield from app.created()))
    revoked = yield from bring(app, Standing.REVOKED)
    sibling = yield from client.new_app(app.kit, account=app.wanted.customer_account_id)
    cousin = yield from client.new_app(app.kit, app_id=app.wanted.app_id)
    yield from _strange(app, sibling, "another app", pending, revoked)
    yield from _strange(app, cousin, "another customer account", pending, revoked)
    where = "reconnect a connection after strangers tried to"
    made = yield from success(app.reconnect(revoked), client.CREATED, where)
    created = client.member(made, "connection.createdAt", where)
    same(client.member(made, "connection.updatedAt", where), created, "updatedAt", where)


@CHECKS.add("request.ownership.environment", laws=(15,), rules=("request.ownership",))
def _other_environments_ids(app: App) -> Steps[None]:
    """Test and live never meet."""
    if "environment" in app.kit.hooks:
        raise NotSeenError("the server serves one environment")
    pending = client.id_of((yield from app.created()))
    account, app_id = app.wanted.customer_account_id, app.wanted.app_id
    test = yield from client.new_app(
        app.kit, account=account, app_id=app_id, environment=Environment.TEST
    )
    yield from _strange(app, test, "the other environment", pending)
    yield from send(app.initiate("user"))
    where = "the same user in the other environment"
    same((yield from test.state("user")), "UNLINKED", "it", where)


def _strange(app: App, stranger: App, who: str, pending: str, *others: str) -> Steps[None]:
    for kind, foreign in product(those(app, lambda rule: rule.ids), (pending, *others)):
        theirs = yield from send(ask(stranger, kind, about(foreign)))
        nobodys = yield from send(ask(stranger, kind, about(app.names.uuid())))
        client.expect_problem(theirs, 404, "NOT_FOUND", f"{kind.rule.name} by {who}")
        varying = app.kit.varying
        check_indistinguishable(client.lasting(theirs, varying), client.lasting(nobodys, varying))
    where = "after strangers tried to revoke it"
    yield from app.shows(pending, "PENDING", "its status", where)
