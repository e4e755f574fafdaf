"""Checks of what must stay apart: environments, a grant and its end, an answer and its date.

The law of this module: **what looks alike is told apart**. Each check shows two things that a
server could easily take for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import attrs

from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.buckets import SMALL, emptied
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, require, same, success
from curae_lifecycle.testing.conformance.idempotency import REUSE_RULES, expect_key_reused
from curae_lifecycle.testing.conformance.server import ApiKeyRequest
from curae_lifecycle.testing.conformance.standings import expect_readable
from curae_lifecycle.testing.conformance.steps import NotSeenError, Steps, send, use, wait

_GAP: Final = timedelta(minutes=1)
"""Longer than two requests are apart by themselves."""


CHECKS: Final = Checks()


TWINS: Final = (
    ("0 Ada", "0 ada"),
    ("1 J\u00fcrgen", "1 Ju\u0308rgen"),
    ("2 \u212bke", "2 \u00c5ke"),
    ("3 Ad\u0430", "3 Ada"),
    ("4 ada", "4 ada."),
    ("5 ada", "5 ada\u200b"),
)
"""App users that differ in case, in Unicode normalization, by a look-alike, by a last character; no
user is in two pairs."""


@CHECKS.add("account.twins", rules=("request.limit",))
def _twins(app: App) -> Steps[None]:
    """Users whose ids look alike are two: their accounts, limits, connections and tombstones."""
    for one, other in TWINS:
        yield from app.filled(one)
        same((yield from app.state(other)), "UNLINKED", "the account state")
        yield from app.initiated(other)
        made = yield from app.created(other)
        same(made.get("appUserId"), other, "appUserId")
        if "tombstone" in app.context.hooks:
            yield from client.happens("tombstone", app.coordinate(one))
            yield from app.shows(client.id_of(made), "PENDING")


@CHECKS.add("idempotency.other-request.twins", laws=(12,), rules=REUSE_RULES)
def _twins_in_a_body(app: App) -> Steps[None]:
    """A used key for a user whose id looks alike is another request's."""
    for one, other in TWINS:
        key = app.new_key()
        yield from success(app.create(one, key=key), client.CREATED)
        expect_key_reused((yield from send(app.create(other, key=key))), "values")


def _registered_again(app: App) -> Iterator[ApiKeyRequest]:
    # Each differs from the one before in one part of the owner.
    other = attrs.evolve(app.key_request, app_id=app.names.word("app"))
    return iter((other, attrs.evolve(other, customer_account_id=app.names.uuid())))


@CHECKS.add(
    "idempotency.scope.owner",
    laws=(12, 15),
    rules=("idempotency.absent",),
    hooks=("register_again",),
)
def _keys_of_an_owner(app: App) -> Steps[None]:
    """An API key that is registered again for another app or account replays nothing."""
    request, seen = app.create("user", key=app.new_key()), set[str]()
    for wanted in (app.key_request, *_registered_again(app)):
        yield from use("register_again", app.api_key, wanted)
        answer = yield from success(request, client.CREATED)
        made = client.text(answer, "connection.id")
        require(made not in seen, "it got the answer of the owner before")
        seen.add(made)


@CHECKS.add("bucket.owner", rules=("request.buckets",), hooks=("replace_buckets", "register_again"))
def _buckets_of_an_owner(app: App) -> Steps[None]:
    """An API key that is registered again for another app or account has full buckets."""
    yield from use("replace_buckets", (SMALL,))
    for wanted in (app.key_request, *_registered_again(app)):
        yield from use("register_again", app.api_key, wanted)
        yield from emptied(app)


@CHECKS.add("limit.environments", laws=(10,), rules=("request.limit",))
def _limits_of_environments(app: App) -> Steps[None]:
    """A user's test traffic does not count against the live limit."""
    test = yield from app.in_test()
    yield from test.filled("user")
    yield from app.initiated("user")


@CHECKS.add(
    "access.ends-with-a-revocation",
    laws=(5,),
    rules=("access.active", "access.revoked"),
    hooks=("may_read", "authorize"),
)
def _granted_before(app: App) -> Steps[None]:
    """A connection that was read before it was revoked is not read again."""
    connection_id = client.id_of((yield from app.created()))
    yield from use("authorize", connection_id, None)
    yield from expect_readable(connection_id, True)
    yield from app.revoked(connection_id)
    yield from expect_readable(connection_id, False)


@CHECKS.add(
    "idempotency.dates",
    laws=(9,),
    rules=("idempotency.completed.same",),
    hooks=("pass_time",),
    time_needed=_GAP,
)
def _date_of_a_replay(app: App) -> Steps[None]:
    """A replay carries no Date of the first answer."""
    request = app.create("user")
    first = yield from client.answered(request, client.CREATED)
    plain = _date((yield from send(app.account_state("user"))))
    yield from wait(_GAP)
    moved = _date((yield from send(app.account_state("user"))))
    # A front that tells the time of its own clock moves too, but not by as much.
    if moved - plain < _GAP:
        raise NotSeenError("the Date follows another clock than pass_time moves")
    again = yield from send(request)
    dates = client.headers(first, "date")
    require(client.headers(again, "date") != dates, f"the Date is still {dates}")


def _date(answer: Response) -> datetime:
    for told in client.headers(answer, "date"):
        with suppress(ValueError):
            return parsedate_to_datetime(told).replace(tzinfo=UTC)
    raise NotSeenError("the server sends no Date")
