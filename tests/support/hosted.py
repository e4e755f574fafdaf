"""Hosted pages of a server without its own, built from its responses.

The law of this module: **one page per subject, which ends when it is finished or cancelled**. A
page of a graduation is about the user who was bound when it was made, and no later one.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from threading import RLock
from typing import Final

import attrs

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.values import (
    AppUserId,
    ConnectionId,
    Coordinate,
    SessionId,
    UserId,
    parse_time,
)
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest, user_subject
from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.web.request import Request, bearer
from tests.support.instants import caller_at

LASTS: Final = timedelta(days=90)
"""The duration of an authorization."""


@attrs.frozen
class Page:
    """A page that a URL leads to."""

    subject: ConnectionId | SessionId | Coordinate
    until: datetime
    session: bool = False
    user: UserId | None = None


def page_row(url: str, page: Page) -> HostedPage:
    """Return a page as a store keeps it."""
    if isinstance(page.subject, Coordinate):
        kind, subject = PageKind.USER, user_subject(page.subject, page.user)
    else:
        kind = PageKind.SESSION if page.session else PageKind.CONNECTION
        subject = str(page.subject)
    return HostedPage(digest=url_digest(url), kind=kind, subject=subject, expires_at=page.until)


class Hosted:
    """The pages of a server over a store in memory; a bug replaces one of its steps."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.found: dict[str, Page] = {}
        self.about: dict[object, str] = {}
        self.given: set[str] = set()
        self.lock = RLock()

    def note(self, request: Request, answer: Response) -> str | None:
        """Open the page of a response if its URL is new, and return the URL; else return None."""
        if answer.status != 201:
            return None
        body = json.loads(answer.body)
        url = body.get("nextAction", {}).get("url")
        with self.lock:
            if isinstance(url, str) and url not in self.given:
                self.given.add(url)
                self.open(url, self.page_of(request, body))
                return url
        return None

    def page_of(self, request: Request, body: dict[str, dict[str, str]]) -> Page:
        """Return the page of a response."""
        until = parse_time("expiresAt", body["nextAction"]["expiresAt"])
        if "connection" in body:
            return Page(ConnectionId(body["connection"]["id"]), until)
        if "session" in body:
            return Page(SessionId(body["session"]["id"]), until, session=True)
        caller = caller_at(self.store, bearer(request))
        assert caller is not None
        assert isinstance(request.body, bytes)
        coordinate = caller.coordinate(AppUserId(json.loads(request.body)["appUserId"]))
        bound = self.store.binding(coordinate)
        return Page(coordinate, until, user=None if bound is None else bound.user_id)

    def open(self, url: str, page: Page) -> None:
        """Add a page; an earlier one with the same subject is removed."""
        self.found.pop(self.about.get(page.subject, ""), None)
        self.found[url] = page
        self.about[page.subject] = url

    def find(self, url: str, now: datetime) -> Page | None:
        """Return the page of a URL now, or None."""
        page = self.found.get(url)
        return page if page is not None and now < page.until else None

    def close(self, url: str) -> None:
        """Remove a page."""
        self.found.pop(url, None)

    def finished(self, page: Page, now: datetime) -> Fact:
        """Return the fact of a finished page."""
        match page.subject:
            case Coordinate() as coordinate:
                return Graduated(coordinate, page.user)
            case subject if page.session:
                return HandoffCompleted(SessionId(subject), UserId(f"user-{subject}"))
            case subject:
                return Authorized(ConnectionId(subject), now + LASTS)

    def cancelled(self, page: Page) -> Fact | None:
        """Return the fact of a cancelled page, or None if the hand-off keeps waiting."""
        if page.session or isinstance(page.subject, Coordinate):
            return None
        return Revoked(ConnectionId(page.subject), Actor.PATIENT)
