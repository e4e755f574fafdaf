"""Checks of access to operations: credentials, routes, scopes, environments and ownership."""

from __future__ import annotations

import re
from itertools import product
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.operations.operation import BASE_PATH
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, Document, same, success
from curae_lifecycle.testing.conformance.connections import create_in_standing
from curae_lifecycle.testing.conformance.operation_requests import (
    build_request,
    build_successful_request,
    has_connection_id,
    member_values,
    operations_where,
)
from curae_lifecycle.testing.conformance.steps import Steps, send
from curae_lifecycle.testing.laws import check_documented, check_indistinguishable
from curae_lifecycle.web.request import Request

CHECKS: Final = Checks()


def without(request: Request, *names: str) -> Request:
    """Return a copy of a request without the headers in `names`, which are in lower case."""
    kept = tuple([pair for pair in request.headers if pair[0].lower() not in names])
    return attrs.evolve(request, headers=kept)


def having(request: Request, *extra: tuple[str, str]) -> Request:
    """Return a copy of a request with the headers `extra` added, as pairs of name and value."""
    return attrs.evolve(request, headers=(*request.headers, *extra))


def expect_documented_refusal(request: Request, status: int, code: str) -> Steps[Document]:
    """Send a request that a documented problem must refuse, and return the problem's `details`.

    Args:
        request: The request.
        status: The expected status.
        code: The expected problem code.

    Raises:
        NotConformingError: The response has another status or code.
        LawBrokenError: The problem differs from what is documented for its code.
    """
    answer = yield from send(request)
    details = client.expect_problem(answer, status, code)
    check_documented(answer)
    return details


@CHECKS.add(
    "request.credentials",
    rules=("problem-status.unknown-caller", "request.credentials", "problem.unauthenticated"),
)
def _one_known_key(app: App) -> Steps[None]:
    """Requests without exactly one known API key get a 401 and nothing else."""
    unknown = f"Bearer cae_{app.context.environment}_{app.names.word('unknown')}"
    real = f"Bearer {app.api_key}"
    for kind in app.context.operations:
        request = without(
            build_request(app, kind, member_values(app.names.uuid())), "authorization"
        )
        other = f"Basic {app.api_key}"
        for given in ((), (unknown,), (app.api_key,), (other,), (f"{real}-more",), (real, real)):
            answer = yield from send(having(request, *[("Authorization", each) for each in given]))
            client.expect_problem(answer, 401, "UNAUTHENTICATED")
            check_documented(answer)
            same(client.headers(answer, "www-authenticate"), ["Bearer"], "WWW-Authenticate")


@CHECKS.add("request.credentials.scheme", rules=("request.credentials",))
def _scheme_in_any_case(app: App) -> Steps[None]:
    """Authorization headers may spell the scheme Bearer in any case."""
    request = without(app.account_state("user"), "authorization")
    for scheme in ("bearer", "BEARER"):
        yield from success(having(request, ("authorization", f"{scheme} {app.api_key}")), client.OK)


@CHECKS.add("request.route", rules=("request.route", "problem.not-found"))
def _unknown_routes(app: App) -> Steps[None]:
    """Requests with an unknown path or method get a 404."""
    connection_id = yield from app.created_id()
    served = {(kind.rule.method, kind.rule.path) for kind in app.context.operations}
    paths = {path: None for _, path in sorted(served)}
    unknown = [("GET", f"{BASE_PATH}/nothing"), ("POST", f"{BASE_PATH}/connections/{{id}}:delete")]
    unknown += [each for each in product(_METHODS, paths) if each not in served]
    unknown += [(method, _capitalize(path)) for method, path in sorted(served)]
    unknown += [(method, f"{path}/") for method, path in sorted(served)]
    unknown += [
        (method, path.replace(":", "%3A"))
        for method, path in sorted(served)
        # Without its colon, the path ends in an id, whose operation would refuse it otherwise.
        if ":" in path and (method, path.partition(":")[0]) not in served
    ]
    for method, path in unknown:
        target = re.sub(r"{\w+}", connection_id, path.removeprefix(BASE_PATH))
        yield from expect_documented_refusal(
            app.request(method, target, key=app.new_key()), 404, "NOT_FOUND"
        )
    yield from app.shows(connection_id, "PENDING")


_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _capitalize(path: str) -> str:
    """Return a path whose last word, not counting ids, starts with a capital letter."""
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
    """Mutations need the scope connection:write."""
    connection_id = yield from app.created_id()
    scoped = operations_where(app, lambda rule: rule.scope)
    unneeded = {"connection:read", "connection"} - {kind.rule.scope for kind in scoped}
    reader = yield from app.second_key(frozenset())
    other = yield from app.second_key(frozenset(unneeded))
    for kind, caller in product(scoped, (reader, other)):
        request = build_request(caller, kind, member_values(connection_id))
        details = yield from expect_documented_refusal(request, 403, "SCOPE_INSUFFICIENT")
        same(dict(details), {"scope": kind.rule.scope}, "details")
    yield from app.shows(connection_id, "PENDING")


@CHECKS.add("permission.granted", rules=("permission.granted",))
def _reads_need_no_scope(app: App) -> Steps[None]:
    """Reads need a valid API key and no scope."""
    reader = yield from app.second_key(frozenset())
    for kind in operations_where(app, lambda rule: rule.scope is None):
        request = yield from build_successful_request(app, kind)
        bearer = ("Authorization", f"Bearer {reader.api_key}")
        by_reader = having(without(request, "authorization"), bearer)
        yield from success(by_reader, kind.rule.status)


@CHECKS.add(
    "permission.wrong-environment",
    rules=("permission.wrong-environment", "problem.wrong-environment", "request.permission"),
    hooks=("environment",),
)
def _wrong_environment(app: App) -> Steps[None]:
    """API keys of an environment that is not served are refused, whatever their scopes."""
    other = Environment.TEST if app.context.environment is Environment.LIVE else Environment.LIVE
    foreign = yield from client.new_app(app.context, environment=other)
    reader = yield from foreign.second_key(frozenset())
    for caller, kind in product((foreign, reader), app.context.operations):
        request = build_request(caller, kind, member_values(app.names.uuid()))
        details = yield from expect_documented_refusal(request, 403, "WRONG_ENVIRONMENT")
        same(dict(details), {"environment": str(other)}, "details")


@CHECKS.add("request.ownership", laws=(15,), rules=("request.ownership", "problem.not-found"))
def _foreign_ids(app: App) -> Steps[None]:
    """Ids of another owner get the 404 of an unknown id, byte for byte, and nothing changes."""
    pending = yield from app.created_id()
    revoked = yield from create_in_standing(app, Standing.REVOKED)
    sibling = yield from client.new_app(app.context, account=app.key_request.customer_account_id)
    cousin = yield from client.new_app(app.context, app_id=app.key_request.app_id)
    yield from _expect_hidden(app, sibling, pending, revoked)
    yield from _expect_hidden(app, cousin, pending, revoked)
    # Equal times show a new successor, so no reconnect by a stranger has made one before.
    made = yield from success(app.reconnect(revoked), client.CREATED)
    created = client.member(made, "connection.createdAt")
    same(client.member(made, "connection.updatedAt"), created, "updatedAt")


@CHECKS.add("request.ownership.environment", laws=(15,), rules=("request.ownership",))
def _ids_of_another_environment(app: App) -> Steps[None]:
    """In the test environment, live connections and accounts do not exist."""
    test = yield from app.in_test()
    pending = yield from app.created_id()
    yield from _expect_hidden(app, test, pending)
    yield from send(app.initiate("user"))
    same((yield from test.state("user")), "UNLINKED", "lifecycleState")


def _expect_hidden(app: App, stranger: App, pending: str, *others: str) -> Steps[None]:
    varying = app.context.varying
    for kind, id_ in product(operations_where(app, has_connection_id), (pending, *others)):
        foreign = yield from send(build_request(stranger, kind, member_values(id_)))
        unknown = yield from send(build_request(stranger, kind, member_values(app.names.uuid())))
        client.expect_problem(foreign, 404, "NOT_FOUND")
        check_indistinguishable(client.lasting(foreign, varying), client.lasting(unknown, varying))
    yield from app.shows(pending, "PENDING")
