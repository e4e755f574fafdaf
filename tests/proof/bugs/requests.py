"""Servers that misread bodies, ids and queries."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Final, cast

import attrs

from curae_lifecycle.rules.values import AppUserId
from curae_lifecycle.service.call import Call, Decision, decision_from_refusal
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import ProblemReply
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.web.request import BODY_MAX, ParsedBody, Request
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import Service, collated, with_members

# --- Bodies ----------------------------------------------------------------------------------


class _Lenient(Service):
    """A server with its own parser of bodies."""

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
        # The depth limit of Python's own reader differs between releases.
        if isinstance(request.body, bytes) and request.body.count(b"[") > sys.getrecursionlimit():
            raise RecursionError
        return super().send(request)


class NaNTaken(_Lenient):
    def lenient(self, members: dict[str, Json]) -> dict[str, Json]:
        return {name: value for name, value in members.items() if not isinstance(value, float)}


# --- Ids and queries -------------------------------------------------------------------------


class _RewrittenTarget(Service):
    """A server with its own parser of the target."""

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
        if isinstance(reply, ProblemReply) and reply.problem.detail_values[:1] == ("connectionId",):
            return decision_from_refusal(refuse_at(Gate.OWNERSHIP), now, self.settings)
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


class Utf16Taken(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        body = request.body if isinstance(request.body, bytes) else b""
        try:
            # `json.loads` does the same with bytes.
            decoded = body.decode(json.detect_encoding(body)).encode() if body else body
        except UnicodeError:
            return super().read(request, now)
        return super().read(attrs.evolve(request, body=decoded), now)


class Utf8Refused(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        is_ascii = not isinstance(request.body, bytes) or request.body.isascii()
        return super().read(request if is_ascii else attrs.evolve(request, body=b"{"), now)


BUGS: Final = (
    VisibleBug(
        name="unknown-members-ignored",
        wrong="A mistyped member is ignored, and a user is provisioned that nobody wanted.",
        breaks="request.body",
        found_by=(
            "request.body.member-unknown",
            "idempotency.not-kept.400",
        ),
        make=UnknownMembersIgnored,
    ),
    VisibleBug(
        name="null-is-absent",
        wrong="A member that is null counts as absent.",
        breaks="request.body",
        seen="fineract#5674",
        found_by=("request.body.member-unknown",),
        make=NullIsAbsent,
    ),
    VisibleBug(
        name="last-of-repeated",
        wrong="Of a repeated member the last one counts.",
        breaks="request.body",
        found_by=("request.body.member-repeated",),
        make=LastOfRepeated,
    ),
    VisibleBug(
        name="flag-coerced",
        wrong="The text false and the number 0 are taken for a preference.",
        breaks="request.body",
        found_by=("request.body.member-repeated",),
        make=FlagCoerced,
    ),
    VisibleBug(
        name="user-trimmed",
        wrong="White space around appUserId is dropped, so two users become one.",
        breaks="request.body",
        found_by=(
            "request.body.member-repeated",
            "request.body.app-user",
        ),
        make=UserTrimmed,
    ),
    VisibleBug(
        name="user-number-taken",
        wrong="A number is taken for an appUserId.",
        breaks="request.body",
        found_by=(
            "request.body.member-repeated",
            "request.body.app-user",
        ),
        make=UserNumberTaken,
    ),
    VisibleBug(
        name="long-user-cut",
        wrong="An appUserId of more than 256 code points is cut.",
        breaks="request.body",
        found_by=(
            "request.body.member-repeated",
            "request.body.app-user",
        ),
        make=LongUserCut,
    ),
    VisibleBug(
        name="unknown-packages-dropped",
        wrong="A malformed package is dropped and the others are granted.",
        breaks="request.body",
        found_by=("request.body.member-repeated",),
        make=UnknownPackagesDropped,
    ),
    VisibleBug(
        name="no-packages-taken",
        wrong="An empty list of packages stands for all of them.",
        breaks="request.body",
        found_by=(
            "request.body.member-repeated",
            "request.body.packages",
        ),
        make=NoPackagesTaken,
    ),
    VisibleBug(
        name="body-of-revoke-ignored",
        wrong="The body of a revoke or a reconnect is never read.",
        breaks="request.body",
        found_by=("request.body.not-empty",),
        make=BodyOfRevokeIgnored,
    ),
    VisibleBug(
        name="empty-body-refused",
        wrong="A revoke without a body is malformed.",
        breaks="section 10, an absent body is {}",
        found_by=("request.body.empty",),
        make=EmptyBodyRefused,
    ),
    VisibleBug(
        name="packages-as-given",
        wrong="Data packages come back in the order and number in which they were sent.",
        breaks="section 3, packages are a sorted set",
        found_by=("request.body.accepted",),
        make=PackagesAsGiven,
    ),
    VisibleBug(
        name="user-case-folded",
        wrong="Two appUserIds that differ in their case are one user.",
        breaks="section 1, appUserId is compared exactly",
        found_by=("account.exact-user",),
        make=UserCaseFolded,
    ),
    VisibleBug(
        name="surrogate-crashes",
        wrong="A lone surrogate in a body raises.",
        breaks="law 16",
        seen="idemkit raises UnicodeEncodeError",
        found_by=("request.body.app-user",),
        make=SurrogateCrashes,
    ),
    VisibleBug(
        name="depth-crashes",
        wrong="A body of a hundred thousand brackets raises.",
        breaks="law 16",
        seen="idemkit raises RecursionError",
        found_by=("request.body.no-json",),
        make=DepthCrashes,
    ),
    VisibleBug(
        name="white-space-uncounted",
        wrong="White space does not count towards the length of a body.",
        breaks="section 6, a body has at most 65,536 bytes",
        found_by=("request.body.no-json",),
        make=WhiteSpaceUncounted,
    ),
    VisibleBug(
        name="longest-body-refused",
        wrong="A body of exactly 65,536 bytes is refused.",
        breaks="section 6, a body has at most 65,536 bytes",
        found_by=("request.body.empty",),
        make=LongestBodyRefused,
    ),
    VisibleBug(
        name="nan-taken",
        wrong="NaN is read as JSON.",
        breaks="request.body",
        found_by=("request.body.member-repeated",),
        make=NaNTaken,
    ),
    VisibleBug(
        name="utf-16-taken",
        wrong="A body in UTF-16 is read as JSON.",
        breaks="request.body",
        found_by=("request.body.no-json",),
        make=Utf16Taken,
    ),
    VisibleBug(
        name="utf-8-refused",
        wrong="A body with unescaped text that is not ASCII is refused.",
        breaks="request.body",
        found_by=("request.body.accepted",),
        make=Utf8Refused,
    ),
    VisibleBug(
        name="hex-id-taken",
        wrong="A UUID without hyphens is taken.",
        breaks="section 10, a UUID has hyphens",
        found_by=("request.body.malformed-id",),
        make=HexIdTaken,
    ),
    VisibleBug(
        name="upper-case-id-unknown",
        wrong="A UUID in upper case is another id.",
        breaks="section 1, any case is read",
        found_by=("request.body.id-in-any-case",),
        make=UpperCaseIdUnknown,
    ),
    VisibleBug(
        name="malformed-id-is-404",
        wrong="A malformed id answers 404.",
        breaks="section 6, a malformed id is 400",
        found_by=("request.body.malformed-id",),
        make=MalformedIdIs404,
    ),
    VisibleBug(
        name="repeated-query-taken",
        wrong="Of a repeated appUserId in a query the first one counts.",
        breaks="section 10, a repeated appUserId is 400",
        found_by=("request.body.query",),
        make=RepeatedQueryTaken,
    ),
    VisibleBug(
        name="plus-stays-plus",
        wrong="A plus sign in a query is no space.",
        breaks="section 10, a plus is a space",
        found_by=("request.body.query",),
        make=PlusStaysPlus,
    ),
    VisibleBug(
        name="path-case-folded",
        wrong="A path in upper case is the same path.",
        breaks="request.route",
        found_by=("request.route",),
        make=PathCaseFolded,
    ),
    VisibleBug(
        name="accounts-by-collation",
        wrong="A database compares users by a collation: one's account is also that of a look-alike.",
        breaks="section 1, appUserId is compared exactly",
        found_by=("account.twins",),
        make=AccountsByCollation,
    ),
)
"""The seeded bugs about parsing requests."""
