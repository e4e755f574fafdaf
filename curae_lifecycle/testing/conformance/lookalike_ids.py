"""Checks of look-alike ids: apps, accounts and users whose ids look alike stay separate.

The law of this module: **an id is compared exactly**, in case, normalization and every character.
"""

from __future__ import annotations

from typing import Final

from curae_lifecycle.testing.conformance import client
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import App, record_by_hook, refusal, same
from curae_lifecycle.testing.conformance.limits import expect_initiate_limited
from curae_lifecycle.testing.conformance.operation_requests import (
    build_request,
    has_connection_id,
    member_values,
    operations_where,
)
from curae_lifecycle.testing.conformance.separation import TWINS
from curae_lifecycle.testing.conformance.sessions import expect_state, session_id
from curae_lifecycle.testing.conformance.steps import Steps, send

CHECKS: Final = Checks()


def _expect_separate(number: int, one: App, other: App) -> Steps[None]:
    # Users, connections, accounts and idempotency keys of two apps are separate.
    user, key = f"user-{number}", one.new_key()
    connection_id = yield from client.created_id(one.create(user, key=key))
    yield from one.initiated(user)
    yield from expect_state(other, user, "UNLINKED")
    made = yield from client.created_id(other.create(user, key=key))
    client.require(
        made != connection_id, "the app with the look-alike id got the other app's connection"
    )
    for kind in operations_where(one, has_connection_id):
        yield from refusal(
            build_request(other, kind, member_values(connection_id)), 404, "NOT_FOUND"
        )
    yield from one.shows(connection_id, "PENDING")


@CHECKS.add("app.twins", laws=(15,), rules=("request.ownership",))
def _apps_apart(app: App) -> Steps[None]:
    """Apps whose ids look alike have separate users, connections and idempotency keys."""
    account, word = app.key_request.customer_account_id, app.names.word("App")
    pairs = (
        (word, word.lower()),
        (f"{word}-J\u00fcrgen", f"{word}-Ju\u0308rgen"),
        (word, f"{word}."),
    )
    for number, (first, second) in enumerate(pairs):
        one = yield from client.new_app(app.context, account=account, app_id=first)
        other = yield from client.new_app(app.context, account=account, app_id=second)
        yield from _expect_separate(number, one, other)
        # All apps of an account share the limit of an app user.
        yield from one.use_up_initiates(f"full-{number}")
        yield from expect_initiate_limited(other, f"full-{number}")


@CHECKS.add("customer-account.twins", laws=(10, 15), rules=("request.ownership", "request.limit"))
def _accounts_apart(app: App) -> Steps[None]:
    """Customer accounts that differ in one digit have separate users, connections and limits."""
    account = app.key_request.customer_account_id
    last, first = ("0" if digit != "0" else "1" for digit in (account[-1], account[0]))
    for number, twin in enumerate((account[:-1] + last, first + account[1:])):
        other = yield from client.new_app(app.context, account=twin, app_id=app.key_request.app_id)
        yield from _expect_separate(number, app, other)
        yield from app.use_up_initiates(f"full-{number}")
        yield from other.initiated(f"full-{number}")


@CHECKS.add(
    "account.twins.graduation", rules=("binding.graduate.limited.same",), hooks=("graduate",)
)
def _graduations_apart(app: App) -> Steps[None]:
    """Graduating a user affects no user whose id looks alike, and has a separate limit."""
    for one, other in TWINS:
        for user in (one, other):
            yield from app.initiated(user)
        for _ in range(client.INITIATES_PER_MINUTE):
            yield from client.success(app.graduate(one), client.CREATED)
        yield from client.success(app.graduate(other), client.CREATED)
        yield from record_by_hook("graduate", app.coordinate(one), None)
        yield from expect_state(app, one, "ACTIVE")
        yield from expect_state(app, other, "LIMITED")


@CHECKS.add(
    "account.twins.sign-up",
    rules=("binding.complete-sign-up.active.other", "binding.complete-sign-up.unlinked"),
    hooks=("complete_handoff",),
)
def _sign_ups_apart(app: App) -> Steps[None]:
    """Signing up binds one app user to one platform user, and none whose id looks alike."""
    for one, other in TWINS:
        sessions: list[str] = []
        for _ in range(2):
            sessions += [session_id((yield from app.initiated(one, prefer_signup=True)))]
        yield from record_by_hook("complete_handoff", sessions[0], one)
        yield from record_by_hook(
            "complete_handoff", sessions[1], other, expected="BINDING_CONFLICT"
        )
        yield from expect_state(app, one, "ACTIVE")
        yield from expect_state(app, other, "UNLINKED")


@CHECKS.add("account.twins.tag", rules=("operation.account-state",))
def _reads_apart(app: App) -> Steps[None]:
    """Requests about a user never return the data of a user whose id looks alike."""
    for one, other in TWINS:
        answer = yield from app.initiated(one)
        same(client.member(answer, "session.appUserId"), one, "appUserId")
        tag = client.headers((yield from send(app.account_state(one))), "etag")
        given = [("If-None-Match", each) for each in tag]
        answer = yield from client.success(app.account_state(other, *given), client.OK)
        same(client.text(answer, "lifecycleState"), "UNLINKED", "the account state")
