"""Servers with wrong responses: members, formats or headers."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.response import Response
from curae_lifecycle.web.request import Request, header_values
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import (
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
        if '"account"' in header_values(request, "if-none-match"):
            return attrs.evolve(with_header(response, "etag", '"account"'), status=304, body=b"")
        return with_header(response, "etag", '"account"')


class TagNeverMatches(Service):
    def read(self, request: Request, now: datetime) -> Call | Decision:
        kept = tuple(pair for pair in request.headers if pair[0].lower() != "if-none-match")
        return super().read(attrs.evolve(request, headers=kept), now)


class _TagsRead(Service):
    """A server with its own parser of `If-None-Match`."""

    def tags(self, values: list[str]) -> list[str]:
        return values

    def read(self, request: Request, now: datetime) -> Call | Decision:
        others = tuple(pair for pair in request.headers if pair[0].lower() != "if-none-match")
        tags = tuple(
            ("if-none-match", value) for value in self.tags(header_values(request, "if-none-match"))
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


class ConnectionPublic(Service):
    def sent(self, request: Request, response: Response) -> Response:
        if request.method != "GET" or "connection" not in document(response):
            return response
        return with_header(response, "cache-control", "public, max-age=60")


class TagIsWeak(Service):
    def answered(self, response: Response) -> Response:
        tag = header_of(response, "etag")
        return with_header(response, "etag", f"W/{tag}") if tag else response


BUGS: Final = (
    VisibleBug(
        name="naive-times",
        wrong="Times on the wire have no time zone.",
        breaks="section 1, times end in Z",
        found_by=("connection.expire.pending",),
        make=NaiveTimes,
    ),
    VisibleBug(
        name="times-with-offset",
        wrong="Times on the wire end in +00:00.",
        breaks="section 1, times end in Z",
        found_by=("connection.expire.pending",),
        make=TimesWithOffset,
    ),
    VisibleBug(
        name="times-in-seconds",
        wrong="A time on the wire is a number of seconds.",
        breaks="section 1, times are RFC 3339",
        found_by=("standing.pending",),
        make=TimesInSeconds,
    ),
    VisibleBug(
        name="internals-on-the-wire",
        wrong="A connection shows its app and environment.",
        breaks="law 13",
        found_by=(
            "operation.get-connection",
            "law-13.every-standing",
        ),
        make=InternalsOnTheWire,
    ),
    VisibleBug(
        name="revoker-on-the-wire",
        wrong="A revoked connection shows who revoked it.",
        breaks="law 13",
        found_by=(
            "connection.revoke.pending",
            "law-13.every-standing",
        ),
        make=RevokerOnTheWire,
    ),
    VisibleBug(
        name="predecessor-on-the-wire",
        wrong="A recovered connection shows its predecessor wherever it is answered.",
        breaks="law 13",
        found_by=(
            "operation.reconnect",
            "law-13.every-standing",
        ),
        make=PredecessorOnTheWire,
    ),
    VisibleBug(
        name="effects-on-the-wire",
        wrong="The answer of a revoke shows what the server tore down.",
        breaks="law 13",
        found_by=(
            "law-02.revoked-once",
            "law-13.every-standing",
        ),
        make=EffectsOnTheWire,
    ),
    VisibleBug(
        name="next-action-of-get",
        wrong="Reading a connection gives a next action.",
        breaks="law 13; operation.get-connection",
        found_by=("operation.get-connection",),
        make=NextActionOfGet,
    ),
    VisibleBug(
        name="user-on-the-wire",
        wrong="A session shows the platform's own user id.",
        breaks="law 13",
        found_by=("operation.initiate",),
        make=UserOnTheWire,
    ),
    VisibleBug(
        name="nulls-left-out",
        wrong="Members that are null are left out.",
        breaks="law 13",
        seen="fineract#5674: null and missing are mixed up",
        found_by=(
            "standing.pending",
            "law-13.every-standing",
        ),
        make=NullsLeftOut,
    ),
    VisibleBug(
        name="next-action-renamed",
        wrong="A next action has a type of its own.",
        breaks="section 1, a next action is open_webview",
        found_by=("entry-path.unlinked.sign-up",),
        make=NextActionTypeRenamed,
    ),
    VisibleBug(
        name="url-cacheable",
        wrong="An answer with a hand-off URL may be stored by a cache.",
        breaks="section 6, no-store",
        found_by=("operation.create-connection",),
        make=UrlCacheable,
    ),
    VisibleBug(
        name="created-is-200",
        wrong="What mints something answers 200.",
        breaks="operation.create-connection",
        found_by=(
            "operation.create-connection",
            "idempotency.absent",
        ),
        make=CreatedIs200,
    ),
    VisibleBug(
        name="tag-per-user",
        wrong="The entity tag of an account state differs from user to user.",
        breaks="section 6, the ETag of an account state",
        found_by=("account-state.tag-of-the-state",),
        make=TagPerUser,
    ),
    VisibleBug(
        name="tag-constant",
        wrong="The entity tag stays when the account state moves on, so the client never hears of it.",
        breaks="operation.account-state",
        found_by=("account-state.moved",),
        make=TagConstant,
    ),
    VisibleBug(
        name="tag-never-matches",
        wrong="If-None-Match is not looked at.",
        breaks="operation.account-state",
        found_by=("account-state.not-modified",),
        make=TagNeverMatches,
    ),
    VisibleBug(
        name="weak-tags-not-compared",
        wrong="A weak entity tag never matches.",
        breaks="section 6, weak comparison",
        found_by=("account-state.not-modified",),
        make=WeakTagsNotCompared,
    ),
    VisibleBug(
        name="lists-of-tags-not-read",
        wrong="A list of entity tags never matches.",
        breaks="section 6, lists of tags",
        found_by=("account-state.not-modified",),
        make=ListsOfTagsNotRead,
    ),
    VisibleBug(
        name="star-not-read",
        wrong="If-None-Match: `*` never matches.",
        breaks="section 6, the tag `*`",
        found_by=("account-state.not-modified",),
        make=StarNotRead,
    ),
    VisibleBug(
        name="not-modified-with-body",
        wrong="A 304 has a body.",
        breaks="law 16",
        found_by=("account-state.not-modified",),
        make=NotModifiedWithBody,
    ),
    VisibleBug(
        name="not-modified-without-tag",
        wrong="A 304 has no entity tag.",
        breaks="section 6, account state",
        found_by=("account-state.not-modified",),
        make=NotModifiedWithoutTag,
    ),
    VisibleBug(
        name="account-state-public",
        wrong="An account state may be shared by caches.",
        breaks="section 6, private and no-cache",
        found_by=("operation.account-state",),
        make=AccountStatePublic,
    ),
    VisibleBug(
        name="connection-public",
        wrong="A connection may be shared by caches.",
        breaks="section 5, headers",
        found_by=("operation.get-connection",),
        make=ConnectionPublic,
    ),
    VisibleBug(
        name="tag-is-weak",
        wrong="The entity tag of an account state is a weak one.",
        breaks="section 3, a strong ETag",
        found_by=("account-state.tag-of-the-state",),
        make=TagIsWeak,
    ),
)
"""The seeded bugs about responses."""
