"""What every example does with a request and with a hosted page, whatever its framework.

The law of this module: **one transaction for one request**. It loads, asks the rules, and stores
what they say; nothing is decided here. A framework's part is to hand over the request as it came
and to run these functions in a transaction, again where somebody else was faster.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from typing import Final
from uuid import uuid4

import attrs
import hosted_pages
from store import Store

from curae_lifecycle import (
    ConnectionId,
    Decision,
    NewIds,
    NextAction,
    Request,
    Response,
    SessionId,
    Settings,
    UserId,
    bearer,
    decide,
    needs,
    read,
    respond,
)
from curae_lifecycle.service.call import Call, refused
from curae_lifecycle.service.gates import Gate, refuse_at
from curae_lifecycle.service.operations.create_connection import ConnectionCreated
from curae_lifecycle.service.operations.graduation_handoff import GraduationStarted, StartGraduation
from curae_lifecycle.service.operations.initiate import SessionInitiated
from curae_lifecycle.service.operations.operation import Reply
from curae_lifecycle.service.operations.reconnect import ConnectionReconnected
from curae_lifecycle.web.respond import Answer

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
REDIS_URL: Final = os.environ.get("REDIS_URL")
"""Where the rate limits are kept; in the database where there is none."""

_LOG: Final = logging.getLogger(__name__)


def now() -> datetime:
    """The server's clock."""
    return datetime.now(UTC)


def mint(at: datetime) -> NewIds:
    """Ids that nobody has, and the URL of a hosted page that nobody can guess."""
    return NewIds(
        ConnectionId(str(uuid4())),
        SessionId(str(uuid4())),
        UserId(str(uuid4())),
        NextAction(f"{PUBLIC_URL}/pages/{token_urlsafe(32)}", at + PAGE_LIFE),
    )


def answer(store: Store, request: Request, at: datetime) -> Answer:
    """Answer one request, and store what it decides, in the transaction of the store."""
    call = read(request, store.caller(bearer(request)), at, SETTINGS)
    if isinstance(call, Decision):
        return respond(call)
    new_ids = mint(at)
    decision = decide(call, store.load(needs(call)), at, new_ids)
    answered = respond(decision)
    store.store(answered.changes)
    open_page(store, call, decision.reply, new_ids)
    return answered


def open_page(store: Store, call: Call, reply: Reply, new_ids: NewIds) -> None:
    """Let the URL of a reply lead to its hosted page, where the reply has one."""
    subject = page_subject(call, reply)
    if subject is not None:
        store.open_page(new_ids.next_action.url, subject)


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
            # Without escapes: an index of PostgreSQL has no room for six letters instead of one.
            return f"graduation {json.dumps(attrs.astuple(coordinate), ensure_ascii=False)}"
        case _:
            return None


def serve(store: Store, request: Request, at: datetime) -> Response:
    """Answer whatever comes: a hosted page, or the API."""
    if request.target.startswith("/pages/"):
        return hosted_pages.serve(store, request, at, PUBLIC_URL)
    return answer(store, request, at).response


def limited(store: Store) -> Store:
    """The store itself, or with its rate limits in Redis where that is wanted."""
    if REDIS_URL is None:
        return store
    import redis_limits  # noqa: PLC0415 - needed only where it is wanted

    return redis_limits.RedisLimits(store, redis_limits.execute(REDIS_URL))


def failed(error: Exception) -> Response:
    """The answer of a server that could not; nothing was stored, so a retry runs.

    Only the kind of the error is logged: its text could repeat what a request held.
    """
    _LOG.error("a request failed: %s", type(error).__name__)
    return respond(refused(refuse_at(Gate.ROOM), now(), SETTINGS)).response


def whole(body: bytes) -> bytes:
    """A body as it is read: one that is too long is no JSON, whatever it holds."""
    return body if len(body) <= BODY_MAX else b"too long"
