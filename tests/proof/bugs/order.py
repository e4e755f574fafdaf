"""Servers that run the request gates in another order, or skip one."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId, Environment
from curae_lifecycle.service.call import Call, Decision, decision_from_refusal
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.operations.operation import ProblemReply
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request, header_values
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import Service, with_members

SOMEBODY: Final = Caller(
    api_key_id=ApiKeyId("somebody"),
    app_id=AppId("app"),
    customer_account_id=CustomerAccountId("00000000-0000-4000-8000-000000000000"),
    environment=Environment.LIVE,
    scopes=frozenset({CONNECTION_WRITE}),
)


def _code(result: Call | Decision) -> ProblemCode | None:
    if isinstance(result, Decision) and isinstance(result.reply, ProblemReply):
        return result.reply.problem.code
    return None


class RouteBeforeCredentials(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        result = super().read(request, now)
        if _code(result) is ProblemCode.UNAUTHENTICATED:
            anyone = read(request, caller=SOMEBODY, now=now, settings=self.settings)
            if _code(anyone) is ProblemCode.NOT_FOUND:
                return anyone
        return result


class BodyBeforeScope(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        result = super().read(request, now)
        if _code(result) is ProblemCode.SCOPE_INSUFFICIENT:
            allowed = read(
                request,
                caller=SOMEBODY,
                now=now,
                settings=attrs.evolve(self.settings, environment=None),
            )
            if _code(allowed) is ProblemCode.BAD_REQUEST:
                return allowed
        return result


class KeyBeforeBody(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        result = super().read(request, now)
        keyed = header_values(request, "idempotency-key") or request.method == "GET"
        if _code(result) is ProblemCode.BAD_REQUEST and not keyed:
            if request.target.endswith("graduation-handoff"):
                return result
            return decision_from_refusal(refuse_at(Gate.KEY_GIVEN), now, self.settings)
        return result


class OwnershipBeforeKey(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        result = super().read(request, now)
        if _code(result) is ProblemCode.IDEMPOTENCY_KEY_REQUIRED:
            keyed = attrs.evolve(request, headers=(*request.headers, ("idempotency-key", "k")))
            call = super().read(keyed, now)
            if isinstance(call, Call) and isinstance(call.operation, Reconnect | Revoke):
                found = self.memory.connection(call.operation.connection_id)
                if found is None or not call.caller.owns(found.identity.coordinate):
                    return decision_from_refusal(refuse_at(Gate.OWNERSHIP), now, self.settings)
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
            return decision_from_refusal(answer, now, self.settings)
        return result


class EnvironmentNotAsked(Service):
    def __init__(self) -> None:
        super().__init__(Settings(environment=Environment.LIVE))

    def read(self, request: Request, now: datetime) -> Call | Decision:
        return read(
            request,
            caller=self.caller(request),
            now=now,
            settings=attrs.evolve(self.settings, environment=None),
        )


class ScopeBeforeEnvironment(Service):
    def __init__(self) -> None:
        super().__init__(Settings(environment=Environment.LIVE))

    def read(self, request: Request, now: datetime) -> Call | Decision:
        both = attrs.evolve(self.settings, environment=None)
        anywhere = read(request, caller=self.caller(request), now=now, settings=both)
        if _code(anywhere) is ProblemCode.SCOPE_INSUFFICIENT:
            return anywhere
        return super().read(request, now)


class SchemeNotAsked(Service):
    def caller(self, request: Request) -> Caller | None:
        others = tuple(pair for pair in request.headers if pair[0].lower() != "authorization")
        values = header_values(request, "authorization")
        secret = values[0].split()[-1:] if values else []
        if not secret:
            return None
        spelled = attrs.evolve(request, headers=(*others, ("authorization", f"Bearer {secret[0]}")))
        return super().caller(spelled)


class SchemeInOneCase(Service):
    def caller(self, request: Request) -> Caller | None:
        values = header_values(request, "authorization")
        exact = len(values) == 1 and values[0].startswith("Bearer ")
        return super().caller(request) if exact else None


class MethodNotAllowed(Service):
    def sent(self, request: Request, response: Response) -> Response:
        if response.status == 404 and request.method not in {"GET", "POST"}:
            return attrs.evolve(with_members(response, "", status=405), status=405)
        return response


class TrailingSlashTaken(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        target = request.target.rstrip("/")
        return super().read(attrs.evolve(request, target=target), now)


BUGS: Final = (
    VisibleBug(
        name="trailing-slash-taken",
        wrong="A path that ends in a slash is the path without it.",
        breaks="request.route",
        found_by=("request.route",),
        make=TrailingSlashTaken,
    ),
    VisibleBug(
        name="route-before-credentials",
        wrong="A stranger is told that a path does not exist.",
        breaks="request.credentials",
        found_by=("order.credentials",),
        make=RouteBeforeCredentials,
    ),
    VisibleBug(
        name="body-before-scope",
        wrong="A key without the scope is told what is wrong with its body.",
        breaks="request.permission",
        found_by=("order.scope",),
        make=BodyBeforeScope,
    ),
    VisibleBug(
        name="key-before-body",
        wrong="A missing key is reported before a malformed body.",
        breaks="request.body",
        found_by=("order.body",),
        make=KeyBeforeBody,
    ),
    VisibleBug(
        name="ownership-before-key",
        wrong="An unknown id is reported before a missing key.",
        breaks="request.key-required",
        found_by=("order.key-missing",),
        make=OwnershipBeforeKey,
    ),
    VisibleBug(
        name="scope-not-asked",
        wrong="A key without the scope may change things.",
        breaks="permission.scope-missing",
        found_by=("permission.scope-missing",),
        make=ScopeNotAsked,
    ),
    VisibleBug(
        name="scope-for-reads",
        wrong="Reading needs the scope of writing.",
        breaks="permission.granted",
        found_by=("permission.granted",),
        make=ScopeForReads,
    ),
    VisibleBug(
        name="environment-not-asked",
        wrong="A live server takes test keys.",
        breaks="permission.wrong-environment",
        found_by=("permission.wrong-environment",),
        make=EnvironmentNotAsked,
    ),
    VisibleBug(
        name="scope-before-environment",
        wrong="Where both are wrong, the scope is named and not the environment.",
        breaks="permission.wrong-environment",
        found_by=("permission.wrong-environment",),
        make=ScopeBeforeEnvironment,
    ),
    VisibleBug(
        name="scheme-not-asked",
        wrong="An API key counts under any scheme of Authorization.",
        breaks="request.credentials",
        found_by=("request.credentials",),
        make=SchemeNotAsked,
    ),
    VisibleBug(
        name="scheme-in-one-case",
        wrong="The scheme of Authorization counts in one spelling alone.",
        breaks="request.credentials",
        found_by=("request.credentials.scheme",),
        make=SchemeInOneCase,
    ),
    VisibleBug(
        name="method-not-allowed",
        wrong="A known path with another method answers 405.",
        breaks="law 16; request.route",
        found_by=("request.route",),
        make=MethodNotAllowed,
    ),
)
"""The seeded bugs about the order of the gates."""
