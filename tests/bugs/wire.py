"""Servers that answer wrong: what is told, in which words and under which headers."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.response import Response
from curae_lifecycle.web.request import Request, header
from tests.bugs.bug import VisibleBug
from tests.bugs.service import (
    Service,
    code_of,
    document,
    header_of,
    part,
    with_body,
    with_header,
    with_members,
    without_header,
)

_TIMES: Final = ("authorizedAt", "expiresAt", "revokedAt", "createdAt", "updatedAt", "landedAt")


def _with_times(response: Response, old: str, new: str) -> Response:
    body = document(response)
    for name in ("connection", "session", "nextAction"):
        if name not in body:
            continue
        members = part(body, name)
        for member in _TIMES:
            value = members.get(member)
            if isinstance(value, str):
                members[member] = value.replace(old, new)
        body[name] = members
    return with_body(response, body)


class NaiveTimes(Service):
    def answered(self, response: Response) -> Response:
        return _with_times(response, "Z", "") if response.status < 300 else response


class TimesWithOffset(Service):
    def answered(self, response: Response) -> Response:
        return _with_times(response, "Z", "+00:00") if response.status < 300 else response


class TimesInSeconds(Service):
    def answered(self, response: Response) -> Response:
        if "connection" not in document(response):
            return response
        return with_members(response, "connection", createdAt=self.now().timestamp())


class InternalsOnTheWire(Service):
    def answered(self, response: Response) -> Response:
        return with_members(response, "connection", environment="live", appId="app")


class RevokerOnTheWire(Service):
    def answered(self, response: Response) -> Response:
        if part(document(response), "connection").get("revokedAt") is None:
            return response
        return with_members(response, "connection", revokedBy="PATIENT")


class PredecessorOnTheWire(Service):
    def answered(self, response: Response) -> Response:
        shown = ConnectionId(str(part(document(response), "connection").get("id")))
        connection = self.world.connection(shown)
        if connection is None or connection.identity.predecessor_id is None:
            return response
        previous = connection.identity.predecessor_id
        return with_members(response, "connection", predecessorId=previous)


class EffectsOnTheWire(Service):
    def answered(self, response: Response) -> Response:
        if "revokedNow" not in document(response):
            return response
        return with_members(response, "", enforcement={"grantsDropped": 1})


class NextActionOfGet(Service):
    def sent(self, request: Request, response: Response) -> Response:
        if request.method != "GET" or "connection" not in document(response):
            return response
        action = {
            "type": "open_webview",
            "url": "https://connect.example/again",
            "expiresAt": "2030-01-01T00:00:00Z",
        }
        return with_members(response, "", nextAction=action)


class UserOnTheWire(Service):
    def answered(self, response: Response) -> Response:
        return with_members(response, "session", userId="u-1")


class NullsLeftOut(Service):
    def answered(self, response: Response) -> Response:
        body = document(response)
        for name in ("connection", "session"):
            if name in body:
                members = part(body, name)
                body[name] = {key: each for key, each in members.items() if each is not None}
        return with_body(response, body) if response.body else response


class NextActionTypeRenamed(Service):
    def answered(self, response: Response) -> Response:
        return with_members(response, "nextAction", type="redirect")


class UrlCacheable(Service):
    def answered(self, response: Response) -> Response:
        if "nextAction" in document(response):
            return without_header(response, "cache-control")
        return response


class CreatedIs200(Service):
    def answered(self, response: Response) -> Response:
        return attrs.evolve(response, status=200) if response.status == 201 else response


# --- Account state ----------------------------------------------------------------------------


def _is_account_state(request: Request) -> bool:
    return "account-state" in request.target


class TagPerUser(Service):
    def sent(self, request: Request, response: Response) -> Response:
        if not _is_account_state(request) or response.status not in {200, 304}:
            return response
        digest = hashlib.sha256(request.target.encode()).hexdigest()
        tag = header_of(response, "etag").strip('"')
        return with_header(response, "etag", f'"{tag}-{digest[:8]}"')


class TagConstant(Service):
    def sent(self, request: Request, response: Response) -> Response:
        if not _is_account_state(request) or response.status not in {200, 304}:
            return response
        if '"account"' in header(request, "if-none-match"):
            return attrs.evolve(with_header(response, "etag", '"account"'), status=304, body=b"")
        return with_header(response, "etag", '"account"')


class TagNeverMatches(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        kept = tuple(pair for pair in request.headers if pair[0].lower() != "if-none-match")
        return super().read(attrs.evolve(request, headers=kept), now)


class _TagsRead(Service):
    """Reads `If-None-Match` in its own way."""

    def tags(self, values: list[str]) -> list[str]:
        return values

    def read(self, request: Request, now: datetime) -> Call | Decision:
        others = tuple(pair for pair in request.headers if pair[0].lower() != "if-none-match")
        tags = tuple(
            ("if-none-match", value) for value in self.tags(header(request, "if-none-match"))
        )
        return super().read(attrs.evolve(request, headers=(*others, *tags)), now)


class WeakTagsNotCompared(_TagsRead):
    def tags(self, values: list[str]) -> list[str]:
        return [value for value in values if "W/" not in value]


class ListsOfTagsNotRead(_TagsRead):
    def tags(self, values: list[str]) -> list[str]:
        return [value for value in values if "," not in value]


class StarNotRead(_TagsRead):
    def tags(self, values: list[str]) -> list[str]:
        return [value for value in values if value != "*"]


class NotModifiedWithBody(Service):
    def answered(self, response: Response) -> Response:
        if response.status != 304:
            return response
        return attrs.evolve(response, body=b'{"lifecycleState":"ACTIVE"}')


class NotModifiedWithoutTag(Service):
    def answered(self, response: Response) -> Response:
        return without_header(response, "etag") if response.status == 304 else response


class AccountStatePublic(Service):
    def sent(self, request: Request, response: Response) -> Response:
        if not _is_account_state(request) or response.status >= 400:
            return response
        return with_header(response, "cache-control", "public, max-age=60")


class TagIsWeak(Service):
    def answered(self, response: Response) -> Response:
        tag = header_of(response, "etag")
        return with_header(response, "etag", f"W/{tag}") if tag else response


# --- Problems ---------------------------------------------------------------------------------


class _Problems(Service):
    """Does something to every problem."""

    def told(self, response: Response) -> Response:
        return response

    def answered(self, response: Response) -> Response:
        return self.told(response) if response.status >= 400 else response


class ProblemIsPlainJson(_Problems):
    def told(self, response: Response) -> Response:
        return with_header(response, "content-type", "application/json")


class ProblemWithoutCode(_Problems):
    def told(self, response: Response) -> Response:
        body = document(response)
        del body["code"]
        return with_body(response, body)


class ProblemWithoutDetails(_Problems):
    def told(self, response: Response) -> Response:
        body = document(response)
        del body["details"]
        return with_body(response, body)


class ProblemStatusOff(_Problems):
    def told(self, response: Response) -> Response:
        return with_members(response, "", status=400)


class ProblemAlwaysRetryable(_Problems):
    def told(self, response: Response) -> Response:
        return with_members(response, "", retryable=True)


class ProblemTypeBlank(_Problems):
    def told(self, response: Response) -> Response:
        return with_members(response, "", type="about:blank")


class ProblemWithATrace(_Problems):
    def told(self, response: Response) -> Response:
        return with_members(response, "", trace="File server.py, line 1")


class UnknownHasAnInstance(Service):
    def sent(self, request: Request, response: Response) -> Response:
        if code_of(response) != "NOT_FOUND":
            return response
        return with_members(response, "", instance=request.target)


class NoChallenge(_Problems):
    def told(self, response: Response) -> Response:
        return without_header(response, "www-authenticate")


class KeyInTheProblem(Service):
    def sent(self, request: Request, response: Response) -> Response:
        if response.status != 401:
            return response
        said = " ".join(header(request, "authorization"))
        return with_members(response, "", detail=f"{said} is no API key.")


class MalformedIs422(_Problems):
    def told(self, response: Response) -> Response:
        if code_of(response) != "BAD_REQUEST":
            return response
        return attrs.evolve(with_members(response, "", status=422), status=422)


class ValueInTheProblem(Service):
    def sent(self, request: Request, response: Response) -> Response:
        if code_of(response) != "BAD_REQUEST":
            return response
        body = request.body.decode(errors="replace") if isinstance(request.body, bytes) else ""
        return with_members(response, "details", value=body)


class ProblemInHtml(_Problems):
    def told(self, response: Response) -> Response:
        if response.status != 404:
            return response
        page = attrs.evolve(response, body=b"<h1>Not Found</h1>")
        return with_header(page, "content-type", "text/html")


BUGS: Final = (
    VisibleBug(
        "naive-times",
        "Times on the wire have no time zone.",
        "section 1, times end in Z",
        "",
        ("connection.expire.pending",),
        NaiveTimes,
    ),
    VisibleBug(
        "times-with-offset",
        "Times on the wire end in +00:00.",
        "section 1, times end in Z",
        "",
        ("connection.expire.pending",),
        TimesWithOffset,
    ),
    VisibleBug(
        "times-in-seconds",
        "A time on the wire is a number of seconds.",
        "section 1, times are RFC 3339",
        "",
        ("standing.pending",),
        TimesInSeconds,
    ),
    VisibleBug(
        "internals-on-the-wire",
        "A connection tells its app and environment.",
        "law 13",
        "",
        (
            "operation.get-connection",
            "law-13.every-standing",
        ),
        InternalsOnTheWire,
    ),
    VisibleBug(
        "revoker-on-the-wire",
        "A revoked connection tells who revoked it.",
        "law 13",
        "",
        (
            "connection.revoke.pending",
            "law-13.every-standing",
        ),
        RevokerOnTheWire,
    ),
    VisibleBug(
        "predecessor-on-the-wire",
        "A recovered connection tells its predecessor wherever it is shown.",
        "law 13",
        "",
        (
            "operation.reconnect",
            "law-13.every-standing",
        ),
        PredecessorOnTheWire,
    ),
    VisibleBug(
        "effects-on-the-wire",
        "A revoke tells what the server tore down.",
        "law 13",
        "",
        (
            "law-02.revoked-once",
            "law-13.every-standing",
        ),
        EffectsOnTheWire,
    ),
    VisibleBug(
        "next-action-of-get",
        "Reading a connection gives a next action.",
        "law 13; operation.get-connection",
        "",
        ("operation.get-connection",),
        NextActionOfGet,
    ),
    VisibleBug(
        "user-on-the-wire",
        "A session tells the platform's own user id.",
        "law 13",
        "",
        ("operation.initiate",),
        UserOnTheWire,
    ),
    VisibleBug(
        "nulls-left-out",
        "Members that are null are left out.",
        "law 13",
        "fineract#5674: null and missing are mixed up",
        (
            "standing.pending",
            "law-13.every-standing",
        ),
        NullsLeftOut,
    ),
    VisibleBug(
        "next-action-renamed",
        "A next action has a type of its own.",
        "section 1, a next action is open_webview",
        "",
        ("entry-path.unlinked.sign-up",),
        NextActionTypeRenamed,
    ),
    VisibleBug(
        "url-cacheable",
        "An answer with a hand-off URL may be stored by a cache.",
        "section 6, no-store",
        "",
        ("operation.create-connection",),
        UrlCacheable,
    ),
    VisibleBug(
        "created-is-200",
        "What mints something answers 200.",
        "operation.create-connection",
        "",
        (
            "operation.create-connection",
            "idempotency.absent",
        ),
        CreatedIs200,
    ),
    VisibleBug(
        "tag-per-user",
        "The entity tag of an account state differs from user to user.",
        "section 10, the ETag of an account state",
        "",
        ("account-state.tag-of-the-state",),
        TagPerUser,
    ),
    VisibleBug(
        "tag-constant",
        "The entity tag stays when the account state moves on, so the client never hears of it.",
        "operation.account-state",
        "",
        ("account-state.moved",),
        TagConstant,
    ),
    VisibleBug(
        "tag-never-matches",
        "If-None-Match is not looked at.",
        "operation.account-state",
        "",
        ("account-state.not-modified",),
        TagNeverMatches,
    ),
    VisibleBug(
        "weak-tags-not-compared",
        "A weak entity tag never matches.",
        "section 6, weak comparison",
        "",
        ("account-state.not-modified",),
        WeakTagsNotCompared,
    ),
    VisibleBug(
        "lists-of-tags-not-read",
        "A list of entity tags never matches.",
        "section 6, lists of tags",
        "",
        ("account-state.not-modified",),
        ListsOfTagsNotRead,
    ),
    VisibleBug(
        "star-not-read",
        "If-None-Match: * never matches.",
        "section 6, the tag *",
        "",
        ("account-state.not-modified",),
        StarNotRead,
    ),
    VisibleBug(
        "not-modified-with-body",
        "A 304 has a body.",
        "law 16",
        "",
        ("account-state.not-modified",),
        NotModifiedWithBody,
    ),
    VisibleBug(
        "not-modified-without-tag",
        "A 304 has no entity tag.",
        "section 6, account state",
        "",
        ("account-state.not-modified",),
        NotModifiedWithoutTag,
    ),
    VisibleBug(
        "account-state-public",
        "An account state may be shared by caches.",
        "section 6, private and no-cache",
        "",
        ("operation.account-state",),
        AccountStatePublic,
    ),
    VisibleBug(
        "tag-is-weak",
        "The entity tag of an account state is a weak one.",
        "section 3, a strong ETag",
        "",
        ("account-state.tag-of-the-state",),
        TagIsWeak,
    ),
    VisibleBug(
        "problem-is-plain-json",
        "A problem has the media type of JSON.",
        "law 16",
        "",
        (
            "request.body.no-object",
            "law-16.problems",
        ),
        ProblemIsPlainJson,
    ),
    VisibleBug(
        "problem-without-code",
        "A problem has no code, so clients parse its sentence.",
        "laws 13 and 16",
        "plaid/plaid-link-ios#25",
        (
            "graduation-handoff.unlinked",
            "law-16.problems",
        ),
        ProblemWithoutCode,
    ),
    VisibleBug(
        "problem-without-details",
        "A problem has no details.",
        "laws 13 and 16",
        "",
        (
            "graduation-handoff.unlinked",
            "law-16.problems",
        ),
        ProblemWithoutDetails,
    ),
    VisibleBug(
        "problem-status-off",
        "The status in a problem's body is not the response's.",
        "law 16",
        "",
        (
            "request.credentials",
            "law-16.problems",
        ),
        ProblemStatusOff,
    ),
    VisibleBug(
        "problem-always-retryable",
        "Every problem says that a retry may help.",
        "law 16; problems",
        "",
        (
            "request.body.no-object",
            "law-16.problems",
        ),
        ProblemAlwaysRetryable,
    ),
    VisibleBug(
        "problem-type-blank",
        "The type of every problem is about:blank.",
        "section 7, type is a base and the code",
        "",
        ("law-16.problems",),
        ProblemTypeBlank,
    ),
    VisibleBug(
        "problem-with-a-trace",
        "A problem tells where in the server it arose.",
        "law 13",
        "",
        ("request.body.no-object",),
        ProblemWithATrace,
    ),
    VisibleBug(
        "unknown-has-an-instance",
        "A 404 has an instance.",
        "section 7, a 404 never has one",
        "",
        ("request.route",),
        UnknownHasAnInstance,
    ),
    VisibleBug(
        "no-challenge",
        "A 401 has no WWW-Authenticate.",
        "section 6, a 401 carries a challenge",
        "",
        ("request.credentials",),
        NoChallenge,
    ),
    VisibleBug(
        "key-in-the-problem",
        "A 401 repeats the API key that was sent.",
        "section 6, keys are in no problem",
        "",
        ("law-13.nothing-internal",),
        KeyInTheProblem,
    ),
    VisibleBug(
        "malformed-is-422",
        "A malformed body is answered 422.",
        "problem.bad-request",
        "frameworks' default; IETF idempotency draft #42 on the collision",
        ("idempotency.not-kept.400",),
        MalformedIs422,
    ),
    VisibleBug(
        "value-in-the-problem",
        "A problem repeats what was sent.",
        "law 13",
        "",
        ("request.body.no-object",),
        ValueInTheProblem,
    ),
    VisibleBug(
        "problem-in-html",
        "A 404 is a page in HTML.",
        "law 16",
        "",
        (
            "request.route",
            "law-16.problems",
        ),
        ProblemInHtml,
    ),
)
"""What is wrong with answers."""
