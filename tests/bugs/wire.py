"""Servers that answer wrong: which members, in which form, under which headers."""

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
        connection = self.memory.connection(shown)
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
        "A connection shows its app and environment.",
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
        "A revoked connection shows who revoked it.",
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
        "A recovered connection shows its predecessor wherever it is answered.",
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
        "The answer of a revoke shows what the server tore down.",
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
        "A session shows the platform's own user id.",
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
        "If-None-Match: `*` never matches.",
        "section 6, the tag `*`",
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
)
"""What is wrong with answers."""
