"""What every example does with a request and with a hosted page, whatever its framework.

The law of this module: **one transaction for one request**. It loads, asks the rules, and stores
what they say; nothing is decided here. A framework's part is to hand over the request as it came
and to run these functions in a transaction, again where somebody else was faster.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from secrets import token_urlsafe
from typing import Final, TypeVar
from uuid import uuid4

import attrs
import hosted_pages
import sqlalchemy as sa
from sql_store import METADATA, Conflict, SqlStore, is_passing, prepare
from sqlalchemy.exc import DBAPIError

from curae_lifecycle.changes import NO_CHANGES
from curae_lifecycle.http import Answer, Request, Response, bearer, read, respond
from curae_lifecycle.operations import (
    Call,
    ConnectionCreated,
    ConnectionReconnected,
    Decision,
    Fresh,
    Gate,
    GraduationStarted,
    Refusal,
    Reply,
    SessionInitiated,
    Settings,
    StartGraduation,
    decide,
    needs,
    refuse_at,
)
from curae_lifecycle.values import ConnectionId, NextAction, SessionId, UserId

SETTINGS: Final = Settings()
PAGE_LIFE: Final = timedelta(minutes=30)
BODY_MAX: Final = 65_536
"""The longest body that is read, in bytes; the longest valid one has about five thousand."""

TRIES: Final = 50
"""How often a transaction is run before the server gives up on it."""

PORT: Final = int(os.environ.get("PORT", "8000"))
PUBLIC_URL = os.environ.get("PUBLIC_URL", f"http://127.0.0.1:{PORT}")
"""Where a browser finds this server."""

DATABASE_URL: Final = os.environ.get("DATABASE_URL", "sqlite:///curae.db")

_LOG: Final = logging.getLogger(__name__)

Result = TypeVar("Result")


def now() -> datetime:
    """The server's clock."""
    return datetime.now(UTC)


def mint(at: datetime) -> Fresh:
    """Ids that nobody has, and the URL of a hosted page that nobody can guess."""
    return Fresh(
        ConnectionId(str(uuid4())),
        SessionId(str(uuid4())),
        UserId(str(uuid4())),
        NextAction(f"{PUBLIC_URL}/pages/{token_urlsafe(32)}", at + PAGE_LIFE),
    )


def answer(store: SqlStore, request: Request, at: datetime) -> Answer:
    """Answer one request, and store what it decides, in the transaction of the store."""
    call = read(request, store.caller(bearer(request)), at, SETTINGS)
    if isinstance(call, Decision):
        return respond(call, SETTINGS)
    fresh = mint(at)
    decision = decide(call, store.load(needs(call, SETTINGS)), at, fresh, SETTINGS)
    answered = respond(decision, SETTINGS)
    store.store(answered.changes)
    subject = page_subject(call, decision.reply)
    if subject is not None:
        store.open_page(fresh.next_action.url, subject)
    return answered


def page_subject(call: Call, reply: Reply) -> str | None:
    """What the hosted page of a reply is about, where the reply has one."""
    match reply:
        case ConnectionCreated(connection) | ConnectionReconnected(connection):
            return f"connection {connection.id}"
        case SessionInitiated(session):
            return f"session {session.id}"
        case GraduationStarted():
            assert isinstance(call.operation, StartGraduation)  # noqa: S101 - what it answers
            coordinate = call.caller.coordinate(call.operation.app_user_id)
            return f"graduation {json.dumps(attrs.astuple(coordinate))}"
        case _:
            return None


def serve(store: SqlStore, request: Request, at: datetime) -> Response:
    """Answer whatever comes: a hosted page, or the API."""
    if request.target.startswith("/pages/"):
        return hosted_pages.serve(store, request, at, PUBLIC_URL)
    return answer(store, request, at).response


def failed(error: Exception) -> Response:
    """The answer of a server that could not; nothing was stored, so a retry runs.

    Only the kind of the error is logged: its text could repeat what a request held.
    """
    _LOG.error("a request failed: %s", type(error).__name__)
    refused = refuse_at(Gate.ROOM)
    problem = refused.problem
    decision = Decision(Refusal(problem), problem.type.status, now(), NO_CHANGES, refused.rules)
    return respond(decision, SETTINGS).response


def whole(body: bytes) -> bytes:
    """A body as it is read: one that is too long is no JSON, whatever it holds."""
    return body if len(body) <= BODY_MAX else b"too long"


@cache
def engine() -> sa.Engine:
    """The database of a server that is not asynchronous, its tables made."""
    # Parameters of a failed statement can hold the URL of a hosted page: no log shows them.
    made = sa.create_engine(DATABASE_URL, hide_parameters=True)
    prepare(made)
    METADATA.create_all(made)
    return made


def transact(work: Callable[[SqlStore], Result]) -> Result:
    """Run work in a transaction, and again for as long as somebody else is faster."""
    for _ in range(TRIES):
        try:
            with engine().begin() as connection:
                return work(SqlStore(connection))
        except (Conflict, DBAPIError) as error:
            if not is_passing(error):
                raise
    raise Conflict


def respond_to(request: Request) -> Response:
    """Answer one request, in a transaction of its own."""
    try:
        return transact(lambda store: serve(store, request, now()))
    except Exception as error:  # noqa: BLE001 - whatever it was, the client gets an answer
        return failed(error)
