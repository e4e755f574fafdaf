"""Hosted pages of a store: the page of each reply, the token of its form, and a table in memory.

The law of this module: **a page is about the subject of the reply that handed out its URL**.
"""

from __future__ import annotations

import heapq
import hmac
from datetime import datetime
from itertools import count
from typing import Final

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import CLOCK_TOLERANCE, TICK
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest, user_subject
from curae_lifecycle.service.operations.operation import Reply
from curae_lifecycle.web.wire_format import find_next_action

_TOLERANCE: Final = CLOCK_TOLERANCE * TICK


def csrf_token(url: str) -> str:
    """Return the CSRF token of a hosted page, in hex; the page's form sends it back.

    The token proves that the sender of the form was shown the page. The token is derived from the
    page's URL, so nothing is stored and no cookie is set. The database holds only a digest of the
    URL, so access to the database is not enough to forge a token. Compare tokens with
    `hmac.compare_digest`.
    """
    return hmac.digest(url.encode(), b"form", "sha256").hex()


def hosted_page_for(
    call: Call, reply: Reply, binding: LimitedAccountAppBinding | None
) -> HostedPage | None:
    """Return the hosted page to register for a reply; None if the reply has no next action.

    A next action is what the app must show the user: the URL of a hosted page, and its expiry.

    If the reply has several next actions, the page is that of the first one. The page is about the
    connection or session in the reply. If there is none, the page is about the connection or
    session that the call names, else about the user of the call.

    Args:
        call: The request, as it was read, that the reply was decided for.
        reply: The reply: the answer to the request as a value, from which the response is built.
        binding: The binding of the call's coordinate, as it was loaded for the call; `None` if no
            user is bound.

    Raises:
        ArgumentError: The reply has a next action, but neither the reply nor the call names a
            connection, session or user.
    """
    action = find_next_action(reply)
    if action is None:
        return None
    members = [getattr(reply, name) for name in reply.__match_args__]
    kind, subject = _page_key(call, members, binding)
    return HostedPage(
        digest=url_digest(action.url), kind=kind, subject=subject, expires_at=action.expires_at
    )


def _page_key(
    call: Call, members: list[object], binding: LimitedAccountAppBinding | None
) -> tuple[PageKind, str]:
    for member in members:
        match member:
            case Connection():
                return PageKind.CONNECTION, member.id
            case CuraeConnectSession():
                return PageKind.SESSION, member.id
            case _:
                pass
    needs = call.needs
    connection = needs.connection or needs.chain
    if connection is not None:
        return PageKind.CONNECTION, connection
    if needs.session is not None:
        return PageKind.SESSION, needs.session
    if needs.binding is not None:
        bound = None if binding is None else binding.user_id
        return PageKind.USER, user_subject(needs.binding, bound)
    allowed = "one with a connection or session, or needs that name one or a binding"
    raise ArgumentError("reply", f"{allowed}, since it has a next action")


class HostedPageCollection:
    """The part of the store in memory that keeps the hosted pages until they expire.

    A page is found by its URL's digest. It has an expiry and a subject, which is the connection,
    session or user that it is about, but no content.
    """

    def __init__(self) -> None:
        self._by_digest: dict[str, HostedPage] = {}
        self._by_subject: dict[tuple[PageKind, str], HostedPage] = {}
        # A heap by expiry. The number decides between pages that expire at the same instant.
        self._expiries: list[tuple[datetime, int, HostedPage]] = []
        self._numbers = count()

    def add(self, page: HostedPage) -> None:
        """Add a page or a new version of it, and drop the earlier page of the same subject.

        The subject is the connection, session or user that the page is about.
        """
        earlier = self._by_subject.get((page.kind, page.subject))
        if earlier is not None:
            self._drop(earlier)
        self._by_digest[page.digest] = self._by_subject[page.kind, page.subject] = page
        heapq.heappush(self._expiries, (page.expires_at, next(self._numbers), page))

    def find(self, url: str, now: datetime) -> HostedPage | None:
        """Return the page of a URL, or None if the URL is unknown or the page has expired.

        Args:
            url: The whole URL of the page.
            now: The current instant, in UTC.
        """
        page = self._by_digest.get(url_digest(url))
        return page if page is not None and now < page.expires_at else None

    def get(self, digest: str) -> HostedPage | None:
        """Return the page whose URL has this digest, expired or not, or None if there is none."""
        return self._by_digest.get(digest)

    def may_have_expired(self, now: datetime) -> bool:
        """Return whether a page may have expired before `now`; False means that none has.

        The check is cheap, but it counts replaced pages, too. So True may be wrong.
        """
        return bool(self._expiries) and self._expiries[0][0] < now

    def drop_expired(self, now: datetime) -> None:
        """Drop the pages that expired at least five minutes before `now`."""
        while self._expiries and now - self._expiries[0][0] >= _TOLERANCE:
            self._drop(heapq.heappop(self._expiries)[2])

    def _drop(self, page: HostedPage) -> None:
        # A later page may have the same URL or the same subject; that page stays.
        if self._by_digest.get(page.digest) is page:
            del self._by_digest[page.digest]
        if self._by_subject.get((page.kind, page.subject)) is page:
            del self._by_subject[page.kind, page.subject]
