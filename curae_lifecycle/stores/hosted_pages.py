"""Hosted pages: what a URL that was given out is about, known by the URL's digest alone.

The laws of this module: **one page about one thing**: where a fresh next action is issued, its page
takes the place of the earlier one, whose URL leads nowhere from then on; **a page about a user is
about that user alone**, and never about who comes after them.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import json
from datetime import datetime
from enum import StrEnum
from itertools import count

import attrs

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import (
    CLOCK_TOLERANCE,
    AppId,
    AppUserId,
    Coordinate,
    CustomerAccountId,
    Environment,
    NextAction,
    UserId,
    add_microseconds,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.operations.operation import Reply


class PageKind(StrEnum):
    """What kind of thing a hosted page is about."""

    CONNECTION = "connection"
    SESSION = "session"
    USER = "user"


@attrs.frozen
class HostedPage:
    """A page that a URL leads to.

    Attributes:
        digest: The SHA-256 of its URL, in hex: whoever reads the database cannot open the page.
        kind: What it is about.
        subject: The connection's or the session's id; of a user, the coordinate and who was bound
            there, as JSON.
        expires_at: When it is no longer good; a store drops it then or later.
    """

    digest: str = attrs.field(repr=False)
    kind: PageKind
    subject: str = attrs.field(repr=False)
    expires_at: datetime

    @property
    def coordinate(self) -> Coordinate:
        """The user that a page of kind USER is about."""
        environment, app, account, user, _ = json.loads(self.subject)
        return Coordinate(
            environment=Environment(environment),
            app_id=AppId(app),
            customer_account_id=CustomerAccountId(account),
            app_user_id=AppUserId(user),
        )

    @property
    def user_id(self) -> UserId:
        """Who was bound when the URL of a page of kind USER was given out.

        Name them in the fact, so that an old URL graduates nobody who came later. Where nobody was
        bound it is the empty id, which is nobody's.
        """
        return UserId(json.loads(self.subject)[-1])


def url_digest(url: str) -> str:
    """What a page is found by."""
    return hashlib.sha256(url.encode()).hexdigest()


def csrf_token(url: str) -> str:
    """What the form of a page sends back, in hex: who posts it was shown the page.

    It follows from the page's URL, so that nothing is stored and no cookie is set, and not from
    the URL's digest: whoever reads the database cannot make it. Compare it with
    `hmac.compare_digest`.
    """
    return hmac.digest(url.encode(), b"form", "sha256").hex()


def hosted_page_for(
    call: Call, reply: Reply, binding: LimitedAccountAppBinding | None
) -> HostedPage | None:
    """The page that a reply sends its user to; `None` where it sends them nowhere.

    Args:
        call: The call.
        reply: What was decided.
        binding: Of the call's coordinate, as it was loaded for the call.
    """
    members = [getattr(reply, name) for name in reply.__match_args__]
    actions = [member for member in members if isinstance(member, NextAction)]
    if not actions:
        return None
    digest, until = url_digest(actions[0].url), actions[0].expires_at
    for member in members:
        match member:
            case Connection():
                return HostedPage(
                    digest=digest, kind=PageKind.CONNECTION, subject=member.id, expires_at=until
                )
            case CuraeConnectSession():
                return HostedPage(
                    digest=digest, kind=PageKind.SESSION, subject=member.id, expires_at=until
                )
            case _:
                pass
    coordinate = call.needs.binding
    if coordinate is None:
        return None
    bound = UserId("") if binding is None else binding.user_id
    return HostedPage(
        digest=digest, kind=PageKind.USER, subject=user_subject(coordinate, bound), expires_at=until
    )


def user_subject(coordinate: Coordinate, bound: UserId) -> str:
    """The subject of a page of kind USER, by whose it is and who was bound then.

    Args:
        coordinate: Whose page it is.
        bound: Who was bound when its URL was given out.
    """
    # Without escapes, which would make the longest id six times as long.
    return json.dumps((*attrs.astuple(coordinate), bound), ensure_ascii=False)


class HostedPageTable:
    """The pages of a store in memory, by their digests."""

    def __init__(self) -> None:
        self._found: dict[str, HostedPage] = {}
        self._about: dict[tuple[PageKind, str], HostedPage] = {}
        self._ends: list[tuple[datetime, int, HostedPage]] = []
        self._order = count()

    def add(self, page: HostedPage) -> None:
        """Let a page be found; an earlier one about the same is gone."""
        earlier = self._about.get((page.kind, page.subject))
        if earlier is not None:
            self._drop(earlier)
        self._found[page.digest] = self._about[page.kind, page.subject] = page
        heapq.heappush(self._ends, (page.expires_at, next(self._order), page))

    def find(self, url: str, now: datetime) -> HostedPage | None:
        """What a URL leads to; `None` for one that is unknown or over.

        Args:
            url: The page's whole URL.
            now: The instant at which it is asked, in UTC.
        """
        page = self._found.get(url_digest(url))
        return page if page is not None and now < page.expires_at else None

    def may_be_over(self, now: datetime) -> bool:
        """Whether any page is over; five minutes later it is dropped."""
        return bool(self._ends) and self._ends[0][0] < now

    def drop_over(self, now: datetime) -> None:
        """Drop the pages that are well over."""
        while self._ends and add_microseconds(self._ends[0][0], CLOCK_TOLERANCE) <= now:
            self._drop(heapq.heappop(self._ends)[2])

    def _drop(self, page: HostedPage) -> None:
        # Unless another one has its URL or its subject by now.
        if self._found.get(page.digest) is page:
            del self._found[page.digest]
        if self._about.get((page.kind, page.subject)) is page:
            del self._about[page.kind, page.subject]
