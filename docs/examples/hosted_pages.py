"""A stand-in for the platform's hosted pages: a person finishes or cancels a hand-off.

The law of this module: **a page decides nothing**. It reports what happened, as a fact,
and shows what the rules made of it. A real page would first find out who the person is.
"""

from __future__ import annotations

import html
import json
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from store import Store

from curae_lifecycle import (
    Actor,
    Authorized,
    ConnectionId,
    Done,
    Environment,
    Graduated,
    HandoffCompleted,
    Ignored,
    Refused,
    Request,
    Response,
    Revoked,
    SessionId,
    UserId,
    fact_needs,
    record_fact,
)
from curae_lifecycle.rules.values import AppId, AppUserId, Coordinate, CustomerAccountId
from curae_lifecycle.service.facts.fact import Fact, FactAnswer

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


def record(store: Store, fact: Fact, at: datetime) -> FactAnswer:
    """Record one fact, and store what follows, in the transaction of the store."""
    answered = record_fact(fact, store.load_fact(fact_needs(fact)), at)
    if isinstance(answered, Done):
        store.store(answered.value)
    return answered


def serve(store: Store, request: Request, at: datetime, public_url: str) -> Response:
    """Show a page, or record what its person did."""
    _, _, secret, *action = request.target.partition("?")[0].split("/")
    path = f"/pages/{secret}"
    subject = store.page(public_url + path)
    if subject is None:
        return _show(404, "Nothing here", "This page is unknown, or a newer one replaced it.")
    match (request.method, action):
        case ("GET", []):
            buttons = _BUTTONS.format(path=html.escape(path))
            return _show(200, "Share your records", f"About {subject.split()[0]}.", buttons)
        case ("POST", ["finish"]):
            return _show_outcome(_finish(store, subject, at))
        case ("POST", ["cancel"]):
            return _show_outcome(_cancel(store, subject, at))
        case _:
            return _show(404, "Nothing here", "There is no such page.")


def _finish(store: Store, subject: str, at: datetime) -> FactAnswer:
    kind, _, name = subject.partition(" ")
    match kind:
        case "connection":
            return record(store, Authorized(ConnectionId(name), at + AUTHORIZED_FOR), at)
        case "session":
            user = UserId(f"user-{uuid4()}")
            return record(store, HandoffCompleted(SessionId(name), user), at)
        case _:
            environment, app, account, app_user = json.loads(name)
            coordinate = Coordinate(
                Environment(environment),
                AppId(app),
                CustomerAccountId(account),
                AppUserId(app_user),
            )
            return record(store, Graduated(coordinate), at)


def _cancel(store: Store, subject: str, at: datetime) -> FactAnswer | None:
    # A patient who says no to a connection ends it; a session or a graduation just waits.
    kind, _, name = subject.partition(" ")
    if kind != "connection":
        return None
    return record(store, Revoked(ConnectionId(name), Actor.PATIENT), at)


def _show_outcome(answer: FactAnswer | None) -> Response:
    match answer:
        case Done() | None:
            return _show(200, "Done", "You can go back to the app.")
        case Ignored():
            return _show(200, "Done", "This was done before. You can go back to the app.")
        case Refused(problem):
            return _show(409, problem.title, problem.detail)


def _show(status: int, title: str, text: str, buttons: str = "") -> Response:
    page = _PAGE.format(title=html.escape(title), text=html.escape(text), buttons=buttons)
    return Response(status, _HEADERS, page.encode())
