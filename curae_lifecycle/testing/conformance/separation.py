"""Checks of values that a server could confuse, such as look-alike users or two environments.

The law of this module: **similar values stay separate**. Each check uses two values that a server
could easily treat as one.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import attrs

from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.buckets import SMALL, use_up_bucket
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, require, same, success
from curae_lifecycle.testing.conformance.idempotency import REUSE_RULES, expect_key_reused
from curae_lifecycle.testing.conformance.server import ApiKeyRequest
from curae_lifecycle.testing.conformance.standings import expect_readable
from curae_lifecycle.testing.conformance.steps import NotSeenError, Steps, send, use, wait

_GAP: Final = timedelta(minutes=1)
"""A span that `pass_time` adds between two requests, longer than they take by themselves."""


CHECKS: Final = Checks()


TWINS: Final = (
    ("0 Ada", "0 ada"),
    ("1 J\u00fcrgen", "1 Ju\u0308rgen"),
    ("2 \u212bke", "2 \u00c5ke"),
    ("3 Ad\u0430", "3 Ada"),
    ("4 ada", "4 ada."),
    ("5 ada", "5 ada\u200b"),
)
"""Pairs of app users whose ids look alike.

They differ in case, in Unicode normalization, by a look-alike letter or by a last character.
No user is in two pairs.
"""


@CHECKS.add("account.twins", rules=("request.limit",))
def _users_apart(app: App) -> Steps[None]:
    """Users whose ids look alike have separate accounts, limits, connections and tombstones."""
    for one, other in TWINS:
        yield from app.use_up_initiates(one)
        same((yield from app.state(other)), "UNLINKED", "the account state")
        yield from app.initiated(other)
        made = yield from app.created(other)
        same(made.get("appUserId"), other, "appUserId")
        if "tombstone" in app.context.hooks:
            yield from client.record_by_hook("tombstone", app.coordinate(one))
            yield from app.shows(client.id_of(made), "PENDING")


@CHECKS.add("idempotency.other-request.twins", laws=(12,), rules=REUSE_RULES)
def _bodies_apart(app: App) -> Steps[None]:
    """Reusing a key for a user whose id looks alike is refused."""
    for one, other in TWINS:
        key = app.new_key()
        yield from success(app.create(one, key=key), client.CREATED)
        yield from expect_key_reused(app.create(other, key=key), "values")


def _owners(app: App) -> tuple[ApiKeyRequest, ...]:
    # Registrations of one API key: each changes one part of the owner.
    other_app = attrs.evolve(app.key_request, app_id=app.names.word("app"))
    other_account = attrs.evolve(other_app, customer_account_id=app.names.uuid())
    return app.key_request, other_app, other_account


@CHECKS.add(
    "idempotency.scope.owner",
    laws=(12, 15),
    rules=("idempotency.absent",),
    hooks=("register_again",),
)
def _owners_share_no_keys(app: App) -> Steps[None]:
    """Registering an API key for another app or account replays no response of the first owner."""
    request, seen = app.create("user"), set[str]()
    for wanted in _owners(app):
        yield from use("register_again", app.api_key, wanted)
        answer = yield from success(request, client.CREATED)
        made = client.text(answer, "connection.id")
        require(made not in seen, "the API key got the response of its previous owner")
        seen.add(made)


@CHECKS.add("bucket.owner", rules=("request.buckets",), hooks=("replace_buckets", "register_again"))
def _owners_share_no_buckets(app: App) -> Steps[None]:
    """Registering an API key for another app or account gives it full buckets."""
    yield from use("replace_buckets", (SMALL,))
    for wanted in _owners(app):
        yield from use("register_again", app.api_key, wanted)
        yield from use_up_bucket(app)


@CHECKS.add("limit.environments", laws=(10,), rules=("request.limit",))
def _environments_share_no_limit(app: App) -> Steps[None]:
    """Initiates in the test environment do not count against the live limit."""
    test = yield from app.in_test()
    yield from test.use_up_initiates("user")
    yield from app.initiated("user")


@CHECKS.add(
    "access.ends-with-a-revocation",
    laws=(5,),
    rules=("access.active", "access.revoked"),
    hooks=("may_read", "authorize"),
)
def _revocation_ends_access(app: App) -> Steps[None]:
    """Revoking a connection ends access, even if the server granted access before."""
    connection_id = yield from app.created_id()
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
def _replay_has_new_date(app: App) -> Steps[None]:
    """Replays do not contain the Date header of the first response."""
    request = app.create("user")
    first = yield from client.expect_answer(request, client.CREATED)
    plain = _date((yield from send(app.account_state("user"))))
    yield from wait(_GAP)
    moved = _date((yield from send(app.account_state("user"))))
    # A proxy with another clock sends a later Date too, but it moves by less than `pass_time`.
    if moved - plain < _GAP:
        raise NotSeenError("the Date header does not follow the clock that pass_time moves")
    again = yield from send(request)
    dates = client.headers(first, "date")
    require(
        client.headers(again, "date") != dates,
        f"the replay has the Date of the first response, {dates}",
    )


def _date(answer: Response) -> datetime:
    for value in client.headers(answer, "date"):
        with suppress(ValueError):
            return parsedate_to_datetime(value).replace(tzinfo=UTC)
    raise NotSeenError("the server sends no valid Date header")
