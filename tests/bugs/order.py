"""Servers that ask a request's gates in another order, or leave one out."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId, Environment
from curae_lifecycle.service.call import Call, Decision, refused
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.operations.operation import ProblemReply
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, header
from tests.bugs.bug import VisibleBug
from tests.bugs.service import Service, with_members

SOMEBODY: Final = Caller(
    ApiKeyId("somebody"),
    AppId("app"),
    CustomerAccountId("00000000-0000-4000-8000-000000000000"),
    Environment.LIVE,
    frozenset({CONNECTION_WRITE}),
)


def _code(result: Call | Decision) -> ProblemCode | None:
    if isinstance(result, Decision) and isinstance(result.reply, ProblemReply):
        return result.reply.problem.code
    return None


class RouteBeforeCredentials(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        result = super().read(request, now)
        if _code(result) is ProblemCode.UNAUTHENTICATED:
            anyone = read(request, SOMEBODY, now, self.settings)
            if _code(anyone) is ProblemCode.NOT_FOUND:
                return anyone
        return result


class BodyBeforeScope(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        result = super().read(request, now)
        if _code(result) is ProblemCode.SCOPE_INSUFFICIENT:
            allowed = read(request, SOMEBODY, now, attrs.evolve(self.settings, environment=None))
            if _code(allowed) is ProblemCode.BAD_REQUEST:
                return allowed
        return result


class KeyBeforeBody(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        result = super().read(request, now)
        keyed = header(request, "idempotency-key") or request.method == "GET"
        if _code(result) is ProblemCode.BAD_REQUEST and not keyed:
            if request.target.endswith("graduation-handoff"):
                return result
            return refused(refuse_at(Gate.KEY_GIVEN), now, self.settings)
        return result


class OwnershipBeforeKey(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        result = super().read(request, now)
        if _code(result) is ProblemCode.IDEMPOTENCY_KEY_REQUIRED:
            keyed = attrs.evolve(request, headers=(*request.headers, ("idempotency-key", "k")))
            call = super().read(keyed, now)
            if isinstance(call, Call) and isinstance(call.operation, Reconnect | Revoke):
                found = self.memory.connection(call.operation.connection_id)
                if found is None or not call.caller.owns(found):
                    return refused(refuse_at(Gate.OWNERSHIP), now, self.settings)
        return result


class ScopeNotAsked(Service):
    def caller(self, request: Request) -> Caller | None:
        caller = super().caller(request)
        return None if caller is None else attrs.evolve(caller, scopes=SOMEBODY.scopes)


class ScopeForReads(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        result = super().read(request, now)
        if isinstance(result, Call) and CONNECTION_WRITE not in result.caller.scopes:
            problem = Problem(ProblemCode.SCOPE_INSUFFICIENT, (CONNECTION_WRITE,))
            answer = Refused(problem, ("permission.scope-missing",))
            return refused(answer, now, self.settings)
        return result


class EnvironmentNotAsked(Service):
    def __init__(self) -> None:
        super().__init__(Settings(environment=Environment.LIVE))

    def read(self, request: Request, now: datetime) -> Call | Decision:
        return read(
            request, self.caller(request), now, attrs.evolve(self.settings, environment=None)
        )


class ScopeBeforeEnvironment(Service):
    def __init__(self) -> None:
        super().__init__(Settings(environment=Environment.LIVE))

    def read(self, request: Request, now: datetime) -> Call | Decision:
        both = attrs.evolve(self.settings, environment=None)
        anywhere = read(request, self.caller(request), now, both)
        if _code(anywhere) is ProblemCode.SCOPE_INSUFFICIENT:
            return anywhere
        return super().read(request, now)


class SchemeNotAsked(Service):
    def caller(self, request: Request) -> Caller | None:
        others = tuple(pair for pair in request.headers if pair[0].lower() != "authorization")
        values = header(request, "authorization")
        secret = values[0].split()[-1:] if values else []
        if not secret:
            return None
        spelled = attrs.evolve(request, headers=(*others, ("authorization", f"Bearer {secret[0]}")))
        return super().caller(spelled)


class SchemeInOneCase(Service):
    def caller(self, request: Request) -> Caller | None:
        values = header(request, "authorization")
        exact = len(values) == 1 and values[0].startswith("Bearer ")
        return super().caller(request) if exact else None


class MethodNotAllowed(Service):
    def sent(self, request: Request, response: Response) -> Response:
        if response.status == 404 and request.method not in {"GET", "POST"}:
            return attrs.evolve(with_members(response, "", status=405), status=405)
        return response


BUGS: Final = (
    VisibleBug(
        "route-before-credentials",
        "A stranger is told that a path does not exist.",
        "request.credentials",
        "",
        ("order.credentials",),
        RouteBeforeCredentials,
    ),
    VisibleBug(
        "body-before-scope",
        "A key without the scope is told what is wrong with its body.",
        "request.permission",
        "",
        ("order.scope",),
        BodyBeforeScope,
    ),
    VisibleBug(
        "key-before-body",
        "A missing key is reported before a malformed body.",
        "request.body",
        "",
        ("order.body",),
        KeyBeforeBody,
    ),
    VisibleBug(
        "ownership-before-key",
        "An unknown id is reported before a missing key.",
        "request.key-required",
        "",
        ("order.key-missing",),
        OwnershipBeforeKey,
    ),
    VisibleBug(
        "scope-not-asked",
        "A key without the scope may change things.",
        "permission.scope-missing",
        "",
        ("permission.scope-missing",),
        ScopeNotAsked,
    ),
    VisibleBug(
        "scope-for-reads",
        "Reading needs the scope of writing.",
        "permission.granted",
        "",
        ("permission.granted",),
        ScopeForReads,
    ),
    VisibleBug(
        "environment-not-asked",
        "A live server takes test keys.",
        "permission.wrong-environment",
        "",
        ("permission.wrong-environment",),
        EnvironmentNotAsked,
    ),
    VisibleBug(
        "scope-before-environment",
        "Where both are wrong, the scope is named and not the environment.",
        "permission.wrong-environment",
        "",
        ("permission.wrong-environment",),
        ScopeBeforeEnvironment,
    ),
    VisibleBug(
        "scheme-not-asked",
        "An API key counts under any scheme of Authorization.",
        "request.credentials",
        "",
        ("request.credentials",),
        SchemeNotAsked,
    ),
    VisibleBug(
        "scheme-in-one-case",
        "The scheme of Authorization counts in one spelling alone.",
        "request.credentials",
        "",
        ("request.credentials.scheme",),
        SchemeInOneCase,
    ),
    VisibleBug(
        "method-not-allowed",
        "A known path with another method answers 405.",
        "law 16; request.route",
        "",
        ("request.route",),
        MethodNotAllowed,
    ),
)
"""What is wrong with the order of the gates."""
