"""A stand-in for the platform's hosted pages: a person finishes or cancels a hand-off.

The laws of this module: **a page decides nothing**: it shows what the rules would decide on a
finish, and records the pressed button as a fact; **only a page's own form records a fact**. A real
page would first identify the person. docs/pages.md lists what a page promises.
"""

from __future__ import annotations

import hmac
import re
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

import attrs
from page_html import BACK, CHANGED, NOWHERE, REFUSED, show, show_question
from settings import PUBLIC_URL

from curae_lifecycle import (
    Actor,
    Authorized,
    ConnectionId,
    Done,
    Graduated,
    HandoffCompleted,
    Ignored,
    ProblemCode,
    Refused,
    Request,
    Response,
    Revoked,
    SessionId,
    Snapshot,
    UserId,
    record_fact,
)
from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.service.changes import NO_CHANGES
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, require_connection
from curae_lifecycle.service.hosted_page import HostedPage, PageKind
from curae_lifecycle.stores.contract import AsyncStore, Loaded, Store
from curae_lifecycle.stores.hosted_pages import csrf_token
from curae_lifecycle.stores.request_loop import log_error
from curae_lifecycle.stores.serve import record, record_async
from curae_lifecycle.web.request import header_values

AUTHORIZED_FOR: Final = timedelta(days=90)

_PATH: Final = re.compile(r"/pages/([\w-]{1,128})(?:/(finish|cancel))?", re.ASCII)


@attrs.frozen
class Declined(Revoked):
    """The patient declined on the page: a revocation, unless a connection was authorized before."""

    def judge(self, snapshot: Snapshot, now: datetime) -> FactAnswer:
        """Judge within the transaction, so that no finish comes between the check and the commit."""
        reached = (require_connection(snapshot), *snapshot.following)
        if any(each.authorized_at is not None for each in reached):
            return Ignored(NO_CHANGES, ("a finished page cancels nothing",))
        return super().judge(snapshot, now)


class PageStore(Store, Protocol):
    """A blocking store that finds hosted pages."""

    def hosted_page(self, url: str) -> HostedPage | None:
        """Return the hosted page of a URL; `None` if the URL is unknown or the page has expired."""
        ...


class AsyncPageStore(AsyncStore, Protocol):
    """An async store that finds hosted pages."""

    async def hosted_page(self, url: str) -> HostedPage | None:
        """Return the hosted page of a URL, as `PageStore.hosted_page` does."""
        ...


class _Asked(NamedTuple):
    url: str
    action: str = ""


def serve(store: PageStore, request: Request) -> Response | None:
    """Show a page, or record what the person did; return None if the request is for no page."""
    asked = _read(request)
    if not isinstance(asked, _Asked):
        return asked
    try:
        page = store.hosted_page(asked.url)
        if page is None:
            return show(*NOWHERE)
        fact = _pressed(asked, page)
        answer = None if fact is None else record(store, fact)
        if isinstance(answer, Done):
            return _show_done(asked)
        loaded = store.load(_finish(asked, page).needs())
        return _look(asked, page=page, answer=answer, loaded=loaded)
    except Exception as error:  # noqa: BLE001 - whatever it was, the person gets a page
        return _later(error)


async def serve_async(store: AsyncPageStore, request: Request) -> Response | None:
    """Serve a page as `serve` does, with an async store."""
    asked = _read(request)
    if not isinstance(asked, _Asked):
        return asked
    try:
        page = await store.hosted_page(asked.url)
        if page is None:
            return show(*NOWHERE)
        fact = _pressed(asked, page)
        answer = None if fact is None else await record_async(store, fact)
        if isinstance(answer, Done):
            return _show_done(asked)
        loaded = await store.load(_finish(asked, page).needs())
        return _look(asked, page=page, answer=answer, loaded=loaded)
    except Exception as error:  # noqa: BLE001 - whatever it was, the person gets a page
        return _later(error)


def _read(request: Request) -> _Asked | Response | None:
    # Returns the requested page and the pressed button. Other requests never reach the store.
    path = request.target.partition("?")[0]
    if not path.startswith("/pages/"):
        return None
    found = _PATH.fullmatch(path)
    if found is None:
        return show(*NOWHERE)
    url, action = f"{PUBLIC_URL}/pages/{found[1]}", found[2]
    if request.method in {"GET", "HEAD"}:
        return _Asked(url)
    if request.method != "POST" or action is None:
        allow = "GET, HEAD" if action is None else "GET, HEAD, POST"
        return show(405, "Nothing done", "A page is only shown.", ("allow", allow))
    # The body is compared as a whole: the form has one field, whose value needs no escapes.
    form = f"token={csrf_token(url)}".encode()
    own = header_values(request, "sec-fetch-site") in ([], ["same-origin"], ["none"])
    if not (own and isinstance(request.body, bytes) and hmac.compare_digest(request.body, form)):
        return show(403, "Nothing done", "Please open the page again, and press the button there.")
    return _Asked(url, action)


def _finish(asked: _Asked, page: HostedPage) -> Fact:
    # Each fact names the page, so that it is refused if a newer page has replaced this one.
    url = asked.url
    match page.kind:
        case PageKind.CONNECTION:
            end = page.expires_at + AUTHORIZED_FOR
            return Authorized(ConnectionId(page.subject), end, page_url=url)
        case PageKind.SESSION:
            # The id depends only on the page, so that finishing it twice signs up one user.
            user_id = UserId(f"user-{page.digest}")
            return HandoffCompleted(SessionId(page.subject), user_id, page_url=url)
        case PageKind.USER:
            return Graduated(page.coordinate, page.user_id, page_url=url)


def _pressed(asked: _Asked, page: HostedPage) -> Fact | None:
    match asked.action, page.kind:
        case "finish", _:
            return _finish(asked, page)
        case "cancel", PageKind.CONNECTION:
            return Declined(ConnectionId(page.subject), Actor.PATIENT, page_url=asked.url)
        case _:
            # A cancelled sign-up or graduation stays open.
            return None


def _look(asked: _Asked, page: HostedPage, answer: FactAnswer | None, loaded: Loaded) -> Response:
    # Shows the present state: what the rules would decide on a finish, without recording one.
    cancelled = asked.action == "cancel"
    match record_fact(_finish(asked, page), loaded.snapshot, loaded.now):
        case Done():
            connection = loaded.snapshot.connection
            packages = () if connection is None else connection.identity.data_packages
            return show_question(asked.url, page.kind, packages, cancelled=cancelled)
        case Ignored() if _is_still_bound(loaded.snapshot):
            before = "This was done before" + ", and nothing was cancelled" * cancelled
            return show(200, "Done", f"{before}. {BACK}")
        case Ignored():
            return show(*CHANGED)
        case Refused(problem):
            status, title, text = REFUSED[problem.code]
            is_known = problem.code is not ProblemCode.NOT_FOUND
            return show(409 if is_known and isinstance(answer, Refused) else status, title, text)


def _show_done(asked: _Asked) -> Response:
    return show(200, "Done", BACK if asked.action == "finish" else f"Nothing is shared. {BACK}")


def _is_still_bound(snapshot: Snapshot) -> bool:
    # Returns whether the user who signed up is still bound. Other pages' facts check that themselves.
    session, bound = snapshot.session, snapshot.binding
    if session is None or bound is None or bound.state is AccountState.TOMBSTONED:
        return session is None
    return bound.user_id == session.user_id


def _later(error: Exception) -> Response:
    # Logs the error's class and place, not its text, which could repeat the page's URL.
    log_error("a page failed", error)
    return show(503, "Not now", "Please try again in a moment.", ("retry-after", "1"))
