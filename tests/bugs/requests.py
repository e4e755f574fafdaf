"""Servers that read requests wrong: the order of the gates, bodies, ids, queries, tenants."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Final, cast

import attrs

from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    Environment,
)
from curae_lifecycle.service.call import Call, Decision, refused
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import ProblemReply
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.web.json import Json
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import ParsedBody, Request, header
from tests.bugs.bug import VisibleBug
from tests.bugs.service import Service, with_header, with_members

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


# --- The order of the gates -------------------------------------------------------------------


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
                found = self.world.connection(call.operation.connection_id)
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


# --- Bodies -----------------------------------------------------------------------------------


class _Lenient(Service):
    """Reads bodies in its own way, and hands on what it made of them."""

    def lenient(self, members: dict[str, Json]) -> dict[str, Json]:
        return members

    def read(self, request: Request, now: datetime) -> Call | Decision:
        try:
            value: Json = json.loads(request.body if isinstance(request.body, bytes) else b"")
        except (ValueError, RecursionError):
            return super().read(request, now)
        if not isinstance(value, dict):
            return super().read(request, now)
        body = ParsedBody(self.lenient(value))
        return super().read(attrs.evolve(request, body=body), now)


class UnknownMembersIgnored(_Lenient):
    def lenient(self, members: dict[str, Json]) -> dict[str, Json]:
        known = ("appUserId", "dataPackages" if "dataPackages" in members else "preferSignup")
        return {name: value for name, value in members.items() if name in known}


class NullIsAbsent(_Lenient):
    def lenient(self, members: dict[str, Json]) -> dict[str, Json]:
        return {name: value for name, value in members.items() if value is not None}


class LastOfRepeated(_Lenient):
    def lenient(self, members: dict[str, Json]) -> dict[str, Json]:
        return members


class FlagCoerced(_Lenient):
    def lenient(self, members: dict[str, Json]) -> dict[str, Json]:
        flag = members.get("preferSignup")
        if flag in ("true", "false", 0, 1):
            return {**members, "preferSignup": flag in ("true", 1)}
        return members


class UserTrimmed(_Lenient):
    def lenient(self, members: dict[str, Json]) -> dict[str, Json]:
        user = members.get("appUserId")
        return {**members, "appUserId": user.strip()} if isinstance(user, str) else members


class UserNumberTaken(_Lenient):
    def lenient(self, members: dict[str, Json]) -> dict[str, Json]:
        user = members.get("appUserId")
        return {**members, "appUserId": str(user)} if isinstance(user, int) else members


class LongUserCut(_Lenient):
    def lenient(self, members: dict[str, Json]) -> dict[str, Json]:
        user = members.get("appUserId")
        return {**members, "appUserId": user[:256]} if isinstance(user, str) else members


class UnknownPackagesDropped(_Lenient):
    def lenient(self, members: dict[str, Json]) -> dict[str, Json]:
        packages = members.get("dataPackages")
        if not isinstance(packages, list):
            return members
        good = [each for each in packages if isinstance(each, str) and each.islower()]
        return {**members, "dataPackages": cast("Json", good)}


class NoPackagesTaken(_Lenient):
    def lenient(self, members: dict[str, Json]) -> dict[str, Json]:
        return (
            {**members, "dataPackages": ["all"]} if members.get("dataPackages") == [] else members
        )


class BodyOfRevokeIgnored(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        if request.target.endswith((":revoke", ":reconnect")):
            request = attrs.evolve(request, body=b"")
        return super().read(request, now)


class EmptyBodyRefused(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        if request.target.endswith((":revoke", ":reconnect")) and request.body == b"":
            request = attrs.evolve(request, body=b"null")
        return super().read(request, now)


class PackagesAsGiven(Service):
    def sent(self, request: Request, response: Response) -> Response:
        if response.status != 201 or not request.target.endswith("/connections"):
            return response
        body = json.loads(request.body if isinstance(request.body, bytes) else b"{}")
        return with_members(response, "connection", dataPackages=body.get("dataPackages"))


class UserCaseFolded(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        result = super().read(request, now)
        if isinstance(result, Decision):
            return result
        operation = result.operation
        if isinstance(operation, Initiate | GetAccountState | CreateConnection):
            folded = AppUserId(operation.app_user_id.lower())
            operation = attrs.evolve(operation, app_user_id=folded)
        return attrs.evolve(result, operation=operation)


class SurrogateCrashes(Service):
    def send(self, request: Request) -> Response:
        body = request.body if isinstance(request.body, bytes) else b""
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return super().send(request)
        json.dumps(value, ensure_ascii=False).encode()
        return super().send(request)


class DepthCrashes(Service):
    def send(self, request: Request) -> Response:
        # How deep Python's own reader goes differs from release to release.
        if isinstance(request.body, bytes) and request.body.count(b"[") > sys.getrecursionlimit():
            raise RecursionError
        return super().send(request)


class NaNTaken(_Lenient):
    def lenient(self, members: dict[str, Json]) -> dict[str, Json]:
        return {name: value for name, value in members.items() if not isinstance(value, float)}


# --- Ids and queries --------------------------------------------------------------------------


class _RewrittenTarget(Service):
    """Reads the target in its own way."""

    def target(self, target: str) -> str:
        return target

    def read(self, request: Request, now: datetime) -> Call | Decision:
        return super().read(attrs.evolve(request, target=self.target(request.target)), now)


class HexIdTaken(_RewrittenTarget):
    def target(self, target: str) -> str:
        head, slash, last = target.rpartition("/")
        bare, colon, action = last.partition(":")
        if len(bare) == 32 and head.endswith("connections"):
            parts = (bare[:8], bare[8:12], bare[12:16], bare[16:20], bare[20:])
            bare = "-".join(parts)
        return f"{head}{slash}{bare}{colon}{action}"


class UpperCaseIdUnknown(Service):
    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        return attrs.evolve(snapshot, connection=None) if self.upper else snapshot

    def read(self, request: Request, now: datetime) -> Call | Decision:
        path = request.target.partition("?")[0].partition("connections/")[2].partition(":")[0]
        self.upper = path != path.lower()
        return super().read(request, now)

    upper = False


class MalformedIdIs404(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        result = super().read(request, now)
        reply = result.reply if isinstance(result, Decision) else None
        if isinstance(reply, ProblemReply) and reply.problem.values[:1] == ("connectionId",):
            return refused(refuse_at(Gate.OWNERSHIP), now, self.settings)
        return result


class RepeatedQueryTaken(_RewrittenTarget):
    def target(self, target: str) -> str:
        path, mark, query = target.partition("?")
        parts = query.split("&")
        named = [part for part in parts if part.startswith("appUserId=")]
        return f"{path}{mark}{named[0] if named else query}"


class PlusStaysPlus(_RewrittenTarget):
    def target(self, target: str) -> str:
        path, mark, query = target.partition("?")
        return f"{path}{mark}{query.replace('+', '%2B')}"


class PathCaseFolded(_RewrittenTarget):
    def target(self, target: str) -> str:
        path, mark, query = target.partition("?")
        return f"{path.lower()}{mark}{query}"


# --- Tenants ----------------------------------------------------------------------------------


class _Misattributed(Service):
    """Shows the rules a connection of another coordinate than its own."""

    compares = False

    def coordinate(self, call: Call, own: Coordinate) -> Coordinate:
        del call
        return own

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        connection = snapshot.connection
        if connection is None or not isinstance(call.operation, GetConnection):
            return snapshot
        identity = connection.identity
        moved = attrs.evolve(identity, coordinate=self.coordinate(call, identity.coordinate))
        return attrs.evolve(snapshot, connection=attrs.evolve(connection, identity=moved))


class AppsSeeEachOther(_Misattributed):
    def coordinate(self, call: Call, own: Coordinate) -> Coordinate:
        return attrs.evolve(own, app_id=call.caller.app_id)


class AccountsSeeEachOther(_Misattributed):
    def coordinate(self, call: Call, own: Coordinate) -> Coordinate:
        account = call.caller.customer_account_id
        return attrs.evolve(own, app_id=call.caller.app_id, customer_account_id=account)


class TestSeesLive(_Misattributed):
    def coordinate(self, call: Call, own: Coordinate) -> Coordinate:
        return attrs.evolve(own, environment=call.caller.environment)


class _TellsStrangers(Service):
    """Answers a stranger's id in another way than one that nobody has."""

    def tell(self, response: Response) -> Response:
        return response

    def sent(self, request: Request, response: Response) -> Response:
        path = request.target.partition("connections/")[2].partition(":")[0]
        found = self.world.connection(ConnectionId(path.lower()))
        caller = self.caller(request)
        if response.status != 404 or found is None or caller is None or caller.owns(found):
            return response
        return self.tell(response)


class StrangersForbidden(_TellsStrangers):
    def tell(self, response: Response) -> Response:
        forbidden = with_members(
            response,
            "",
            type="https://example.com/problems/scope-insufficient",
            status=403,
            code="SCOPE_INSUFFICIENT",
            details={"scope": CONNECTION_WRITE},
        )
        return attrs.evolve(forbidden, status=403)


class StrangersToldInWords(_TellsStrangers):
    def tell(self, response: Response) -> Response:
        return with_members(response, "", detail="The connection belongs to somebody else.")


class StrangersToldByAHeader(_TellsStrangers):
    def tell(self, response: Response) -> Response:
        return with_header(response, "cache-control", "private")


class RevokeOfStrangersWorks(_Misattributed):
    def load(self, call: Call) -> Snapshot:
        snapshot = super(_Misattributed, self).load(call)
        connection = snapshot.connection
        if connection is None or not isinstance(call.operation, Revoke):
            return snapshot
        coordinate = call.caller.coordinate(connection.identity.coordinate.app_user_id)
        moved = attrs.evolve(connection.identity, coordinate=coordinate)
        return attrs.evolve(snapshot, connection=attrs.evolve(connection, identity=moved))


class AccountStateAcrossApps(Service):
    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        if not isinstance(call.operation, GetAccountState) or snapshot.binding is not None:
            return snapshot
        own = call.caller.coordinate(call.operation.app_user_id)
        for coordinate, binding in self.world._bindings.items():
            if coordinate.app_user_id == own.app_user_id:
                return attrs.evolve(snapshot, binding=attrs.evolve(binding, coordinate=own))
        return snapshot


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
        "A missing key is told before a malformed body.",
        "request.body",
        "",
        ("order.body",),
        KeyBeforeBody,
    ),
    VisibleBug(
        "ownership-before-key",
        "An unknown id is told before a missing key.",
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
        "Where both are wrong, the scope is told and not the environment.",
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
    VisibleBug(
        "unknown-members-ignored",
        "A mistyped member is ignored, and a user is provisioned that nobody wanted.",
        "request.body",
        "",
        (
            "request.body.member-unknown",
            "idempotency.not-kept.400",
        ),
        UnknownMembersIgnored,
    ),
    VisibleBug(
        "null-is-absent",
        "A member that is null counts as absent.",
        "request.body",
        "fineract#5674",
        ("request.body.member-unknown",),
        NullIsAbsent,
    ),
    VisibleBug(
        "last-of-repeated",
        "Of a repeated member the last one counts.",
        "request.body",
        "",
        ("request.body.member-repeated",),
        LastOfRepeated,
    ),
    VisibleBug(
        "flag-coerced",
        "The text false and the number 0 are taken for a preference.",
        "request.body",
        "",
        ("request.body.member-repeated",),
        FlagCoerced,
    ),
    VisibleBug(
        "user-trimmed",
        "White space around appUserId is dropped, so two users become one.",
        "request.body",
        "",
        (
            "request.body.member-repeated",
            "request.body.app-user",
        ),
        UserTrimmed,
    ),
    VisibleBug(
        "user-number-taken",
        "A number is taken for an appUserId.",
        "request.body",
        "",
        (
            "request.body.member-repeated",
            "request.body.app-user",
        ),
        UserNumberTaken,
    ),
    VisibleBug(
        "long-user-cut",
        "An appUserId of more than 256 code points is cut.",
        "request.body",
        "",
        (
            "request.body.member-repeated",
            "request.body.app-user",
        ),
        LongUserCut,
    ),
    VisibleBug(
        "unknown-packages-dropped",
        "A malformed package is dropped and the others are granted.",
        "request.body",
        "",
        ("request.body.member-repeated",),
        UnknownPackagesDropped,
    ),
    VisibleBug(
        "no-packages-taken",
        "An empty list of packages stands for all of them.",
        "request.body",
        "",
        (
            "request.body.member-repeated",
            "request.body.packages",
        ),
        NoPackagesTaken,
    ),
    VisibleBug(
        "body-of-revoke-ignored",
        "The body of a revoke or a reconnect is never read.",
        "request.body",
        "",
        ("request.body.not-empty",),
        BodyOfRevokeIgnored,
    ),
    VisibleBug(
        "empty-body-refused",
        "A revoke without a body is malformed.",
        "section 10, an absent body is {}",
        "",
        ("request.body.empty",),
        EmptyBodyRefused,
    ),
    VisibleBug(
        "packages-as-given",
        "Data packages come back in the order and number in which they were sent.",
        "section 3, packages are a sorted set",
        "",
        ("request.body.accepted",),
        PackagesAsGiven,
    ),
    VisibleBug(
        "user-case-folded",
        "Two appUserIds that differ in their case are one user.",
        "section 1, appUserId is compared exactly",
        "",
        ("account.exact-user",),
        UserCaseFolded,
    ),
    VisibleBug(
        "surrogate-crashes",
        "A lone surrogate in a body raises.",
        "law 16",
        "idemkit raises UnicodeEncodeError",
        ("request.body.app-user",),
        SurrogateCrashes,
    ),
    VisibleBug(
        "depth-crashes",
        "A body of a hundred thousand brackets raises.",
        "law 16",
        "idemkit raises RecursionError",
        ("request.body.no-json",),
        DepthCrashes,
    ),
    VisibleBug(
        "nan-taken",
        "NaN is read as JSON.",
        "request.body",
        "",
        ("request.body.member-repeated",),
        NaNTaken,
    ),
    VisibleBug(
        "hex-id-taken",
        "A UUID without hyphens is taken.",
        "section 10, a UUID has hyphens",
        "",
        ("request.body.malformed-id",),
        HexIdTaken,
    ),
    VisibleBug(
        "upper-case-id-unknown",
        "A UUID in upper case is another id.",
        "section 1, any case is read",
        "",
        ("request.body.id-in-any-case",),
        UpperCaseIdUnknown,
    ),
    VisibleBug(
        "malformed-id-is-404",
        "A malformed id answers 404.",
        "section 6, a malformed id is 400",
        "",
        ("request.body.malformed-id",),
        MalformedIdIs404,
    ),
    VisibleBug(
        "repeated-query-taken",
        "Of a repeated appUserId in a query the first one counts.",
        "section 10, a repeated appUserId is 400",
        "",
        ("request.body.query",),
        RepeatedQueryTaken,
    ),
    VisibleBug(
        "plus-stays-plus",
        "A plus sign in a query is no space.",
        "section 10, a plus is a space",
        "",
        ("request.body.query",),
        PlusStaysPlus,
    ),
    VisibleBug(
        "path-case-folded",
        "A path in upper case is the same path.",
        "request.route",
        "",
        ("request.route",),
        PathCaseFolded,
    ),
    VisibleBug(
        "apps-see-each-other",
        "An app reads the connections of another app of its customer.",
        "law 15; request.ownership",
        "",
        ("request.ownership",),
        AppsSeeEachOther,
    ),
    VisibleBug(
        "accounts-see-each-other",
        "A customer reads the connections of another.",
        "law 15; request.ownership",
        "",
        ("request.ownership",),
        AccountsSeeEachOther,
    ),
    VisibleBug(
        "test-sees-live",
        "A test key reads live connections.",
        "law 15; request.ownership",
        "",
        ("request.ownership.environment",),
        TestSeesLive,
    ),
    VisibleBug(
        "strangers-forbidden",
        "Another's id is answered 403 where an unknown one is 404.",
        "law 15; request.ownership",
        "",
        (
            "request.ownership",
            "order.ownership",
        ),
        StrangersForbidden,
    ),
    VisibleBug(
        "strangers-told-in-words",
        "The sentence of a 404 says that the connection is somebody else's.",
        "law 15; request.ownership",
        "",
        (
            "request.ownership",
            "request.ownership.environment",
        ),
        StrangersToldInWords,
    ),
    VisibleBug(
        "strangers-told-by-a-header",
        "A header of a 404 tells another's id from an unknown one.",
        "law 15; request.ownership",
        "",
        (
            "request.ownership",
            "request.ownership.environment",
        ),
        StrangersToldByAHeader,
    ),
    VisibleBug(
        "revoke-of-strangers-works",
        "Whoever knows an id may revoke it.",
        "law 15; request.ownership",
        "",
        (
            "request.ownership",
            "request.ownership.environment",
        ),
        RevokeOfStrangersWorks,
    ),
    VisibleBug(
        "account-state-across-apps",
        "The account state of a user is that of any app.",
        "law 15; section 1, the coordinate",
        "",
        ("account.own",),
        AccountStateAcrossApps,
    ),
)
"""What is wrong with the reading of requests."""
