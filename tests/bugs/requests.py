"""Servers that read bodies, ids and queries wrong."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Final, cast

import attrs

from curae_lifecycle.rules.values import AppUserId
from curae_lifecycle.service.call import Call, Decision, refused
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import ProblemReply
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.web.json import Json
from curae_lifecycle.web.request import BODY_MAX, ParsedBody, Request
from tests.bugs.bug import VisibleBug
from tests.bugs.service import Service, collated, with_members

# --- Bodies ----------------------------------------------------------------------------------


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


class WhiteSpaceUncounted(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        body = request.body
        stripped = body.strip() if isinstance(body, bytes) else body
        return super().read(attrs.evolve(request, body=stripped), now)


class LongestBodyRefused(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        longest = isinstance(request.body, bytes) and len(request.body) == BODY_MAX
        return super().read(attrs.evolve(request, body=b"{") if longest else request, now)


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


class AccountsByCollation(Service):
    compares = False

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        own = self.asked(call).binding
        if snapshot.binding is not None or own is None:
            return snapshot
        for bound in self.memory._bindings.values():
            if collated(bound.coordinate) == collated(own):
                return attrs.evolve(snapshot, binding=attrs.evolve(bound, coordinate=own))
        return snapshot


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


# --- Ids and queries -------------------------------------------------------------------------


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


BUGS: Final = (
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
        "white-space-uncounted",
        "White space does not count towards the length of a body.",
        "section 6, a body has at most 65,536 bytes",
        "",
        ("request.body.no-json",),
        WhiteSpaceUncounted,
    ),
    VisibleBug(
        "longest-body-refused",
        "A body of exactly 65,536 bytes is refused.",
        "section 6, a body has at most 65,536 bytes",
        "",
        ("request.body.empty",),
        LongestBodyRefused,
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
        "accounts-by-collation",
        "A database compares users by a collation: one's account is also that of a look-alike.",
        "section 1, appUserId is compared exactly",
        "",
        ("account.twins",),
        AccountsByCollation,
    ),
)
"""What is wrong with reading a request."""
