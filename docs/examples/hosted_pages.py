"""A stand-in for the platform's hosted pages: a person finishes or cancels a hand-off.

The law of this module: **a page decides nothing**. It reports what happened, as a fact,
and shows what the rules made of it. A real page would first find out who the person is.
"""

from __future__ import annotations

import html
import logging
from datetime import timedelta
from typing import Final, Protocol

from settings import PUBLIC_URL

from curae_lifecycle import (
    Actor,
    Authorized,
    ConnectionId,
    Done,
    Graduated,
    HandoffCompleted,
    Ignored,
    Refused,
    Request,
    Response,
    Revoked,
    SessionId,
    UserId,
)
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.stores.contract import AsyncStore, Store
from curae_lifecycle.stores.pages import HostedPage, PageKind
from curae_lifecycle.stores.serve import record, record_async

_LOG: Final = logging.getLogger(__name__)

AUTHORIZED_FOR: Final = timedelta(days=90)

_HEADERS: Final = (
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'"),
)
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 4rem auto; }}
  button {{ font: inherit; padding: .5rem 1.5rem; margin-right: 1rem; }}
</style>
<h1>{title}</h1>
<p id="outcome">{text}</p>
{buttons}
</html>
"""
_BUTTONS: Final = """<form method="post">
  <button formaction="{path}/finish" id="finish">Finish</button>
  <button formaction="{path}/cancel" id="cancel">Cancel</button>
</form>"""


class PageStore(Store, Protocol):
    """A store that finds hosted pages, and waits for its answers."""

    def page(self, url: str) -> HostedPage | None:
        """What a URL leads to; `None` for one that is unknown or over."""
        ...


class AsyncPageStore(AsyncStore, Protocol):
    """The same, awaited."""

    async def page(self, url: str) -> HostedPage | None:
        """As `PageStore.page`."""
        ...


def serve(store: PageStore, request: Request) -> Response | None:
    """Show a page, or record what its person did; `None` where no page is asked for."""
    url = _url(request)
    if url is None:
        return None
    try:
        seen = _visit(request, store.page(url))
        if isinstance(seen, Response):
            return seen
        return _show_outcome(record(store, seen))
    except Exception as error:  # noqa: BLE001 - whatever it was, the person gets a page
        return _later(error)


async def serve_async(store: AsyncPageStore, request: Request) -> Response | None:
    """The same with a store that is awaited."""
    url = _url(request)
    if url is None:
        return None
    try:
        seen = _visit(request, await store.page(url))
        if isinstance(seen, Response):
            return seen
        return _show_outcome(await record_async(store, seen))
    except Exception as error:  # noqa: BLE001 - whatever it was, the person gets a page
        return _later(error)


def _url(request: Request) -> str | None:
    # The URL that was given out, whatever is done there.
    if not request.target.startswith("/pages/"):
        return None
    secret = request.target.partition("?")[0].split("/")[2]
    return f"{PUBLIC_URL}/pages/{secret}"


def _visit(request: Request, page: HostedPage | None) -> Response | Fact:
    # What is shown, or what happened.
    if page is None:
        return _show(404, "Nothing here", "This page is over, or a newer one replaced it.")
    _, _, secret, *action = request.target.partition("?")[0].split("/")
    match request.method, action:
        case "GET", []:
            buttons = _BUTTONS.format(path=html.escape(f"/pages/{secret}"))
            return _show(200, "Share your records", f"About a {page.kind}.", buttons)
        case "POST", ["finish"]:
            return _finished(page)
        case "POST", ["cancel"] if page.kind is PageKind.CONNECTION:
            return Revoked(ConnectionId(page.subject), Actor.PATIENT)
        case "POST", ["cancel"]:
            # A session or a graduation just waits on.
            return _show(200, "Done", "You can go back to the app.")
        case _:
            return _show(404, "Nothing here", "There is no such page.")


def _finished(page: HostedPage) -> Fact:
    match page.kind:
        case PageKind.CONNECTION:
            return Authorized(ConnectionId(page.subject), page.expires_at + AUTHORIZED_FOR)
        case PageKind.SESSION:
            # Whoever signs up on this page, however often it is finished.
            return HandoffCompleted(SessionId(page.subject), UserId(f"user-{page.digest}"))
        case PageKind.USER:
            return Graduated(page.coordinate)


def _show_outcome(answer: FactAnswer) -> Response:
    match answer:
        case Done():
            return _show(200, "Done", "You can go back to the app.")
        case Ignored():
            return _show(200, "Done", "This was done before. You can go back to the app.")
        case Refused(problem):
            return _show(409, problem.title, problem.detail)


def _show(status: int, title: str, text: str, buttons: str = "") -> Response:
    page = _PAGE.format(title=html.escape(title), text=html.escape(text), buttons=buttons)
    return Response(status, _HEADERS, page.encode())


def _later(error: Exception) -> Response:
    # Its text could repeat the page's URL.
    _LOG.error("a page failed: %s", type(error).__name__)
    return _show(503, "Not now", "Please try again in a moment.")
