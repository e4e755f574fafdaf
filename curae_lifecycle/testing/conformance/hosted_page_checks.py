"""Checks of hosted pages: what happens when a person opens a hand-off URL and finishes or cancels.

The law of this module: **a page completes its own hand-off, once, and does nothing else**. It does
nothing once the hand-off has expired, once a reissue has replaced the page, and for the next user.
A fact that names the page holds only while the page's URL leads to what the fact is about.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.values import ConnectionId, SessionId, UserId
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.testing.conformance import client, connections
from curae_lifecycle.testing.conformance.check import Check, Checks
from curae_lifecycle.testing.conformance.client import App, Document, record_by_hook, require
from curae_lifecycle.testing.conformance.recovery import successor_of
from curae_lifecycle.testing.conformance.sessions import expect_state, session_id
from curae_lifecycle.testing.conformance.steps import Steps, later, use, wait

CHECKS: Final = Checks()


def url_of(answer: Document) -> str:
    """Return the hand-off URL, `nextAction.url`, from the body of a response.

    Raises:
        NotConformingError: The body has no such member, or it is not a string.
    """
    return client.text(answer, "nextAction.url")


def _expect_no_effect(hook: str, answer: Document) -> Steps[None]:
    outcome = yield from use(hook, url_of(answer))
    require(outcome != "done", f"{hook} returned done although the page must have no effect")


def _expect_unchanged(app: App, hook: str, answer: Document, connection_id: str) -> Steps[None]:
    before = yield from app.seen(connection_id)
    yield from later(app.context, connections.MOMENT)
    yield from _expect_no_effect(hook, answer)
    yield from connections.stays(app, before)


@CHECKS.add("page.finish", rules=("connection.authorize.pending",), hooks=("finish",))
def _finish_authorizes(app: App) -> Steps[None]:
    """Finishing the page of a connection authorizes the connection, once."""
    connection_id, answer = yield from connections.create_pending(app)
    yield from record_by_hook("finish", url_of(answer))
    yield from app.shows(connection_id, "ACTIVE")
    yield from _expect_unchanged(app, hook="finish", answer=answer, connection_id=connection_id)


def _expired_page(hook: str, app: App) -> Steps[None]:
    connection_id, answer = yield from connections.create_pending(app)
    yield from wait(client.lifetime(answer))
    yield from _expect_no_effect(hook, answer)
    yield from app.shows(connection_id, "EXPIRED")


CHECKS.extend(
    Check(
        f"page.{hook}.over",
        f"An expired page {does} nothing.",
        partial(_expired_page, hook),
        rules=rules,
        hooks=(hook, "pass_time"),
        time_needed=connections.HALF_AN_HOUR,
    )
    for hook, does, rules in (
        ("finish", "authorizes", ("connection.authorize.lapsed",)),
        ("cancel", "revokes", ()),
    )
)


@CHECKS.add(
    "page.finish.replaced", laws=(7,), rules=("recovery.revoked.pending",), hooks=("finish",)
)
def _replaced_page(app: App) -> Steps[None]:
    """Pages that a reissue replaced do nothing; the page of the reissue works."""
    old = yield from app.created_id()
    yield from app.revoked(old)
    earlier = yield from app.reconnected(old)
    newest = yield from app.reconnected(old)
    successor = successor_of(newest)
    yield from _expect_unchanged(app, hook="finish", answer=earlier, connection_id=successor)
    if "cancel" in app.context.hooks:
        yield from _expect_unchanged(app, hook="cancel", answer=earlier, connection_id=successor)
    yield from record_by_hook("finish", url_of(newest))
    yield from app.shows(successor, "ACTIVE")


@CHECKS.add(
    "page.fact.replaced",
    rules=("request.ownership", "recovery.revoked.pending"),
    hooks=("finish", "record_fact"),
)
def _fact_of_replaced_page(app: App) -> Steps[None]:
    """Facts that name a replaced, unknown or other page are refused; the newest page's fact acts."""
    _, other = yield from connections.create_pending(app)
    old = yield from app.created_id()
    yield from app.revoked(old)
    earlier = yield from app.reconnected(old)
    newest = yield from app.reconnected(old)
    successor = ConnectionId(successor_of(newest))
    for url in (url_of(earlier), url_of(other), f"{url_of(newest)}x"):
        for fact in (
            Authorized(successor, page_url=url),
            Revoked(successor, Actor.PATIENT, page_url=url),
        ):
            yield from record_by_hook("record_fact", fact, expected="NOT_FOUND")
    yield from app.shows(successor, "PENDING")
    authorized = Authorized(successor, page_url=url_of(newest))
    yield from record_by_hook("record_fact", authorized)
    yield from record_by_hook("record_fact", authorized, expected="ignored")
    yield from app.shows(successor, "ACTIVE")


@CHECKS.add(
    "page.fact.session",
    rules=("request.ownership", "binding.complete-sign-up.unlinked"),
    hooks=("finish", "record_fact"),
)
def _fact_of_session_page(app: App) -> Steps[None]:
    """Sign-ups that name a page act only for the page of their session."""
    answer = yield from app.initiated("user", prefer_signup=True)
    another = yield from app.initiated("user", prefer_signup=True)
    session, user = SessionId(session_id(answer)), UserId(app.names.word("platform-user"))
    wrong = HandoffCompleted(session, user, page_url=url_of(another))
    yield from record_by_hook("record_fact", wrong, expected="NOT_FOUND")
    yield from expect_state(app, "user", "UNLINKED")
    yield from record_by_hook(
        "record_fact", HandoffCompleted(session, user, page_url=url_of(answer))
    )
    yield from expect_state(app, "user", "ACTIVE")


@CHECKS.add(
    "page.finish.graduation-replaced",
    rules=("binding.graduate.limited.same",),
    hooks=("finish",),
)
def _replaced_graduation(app: App) -> Steps[None]:
    """Graduation pages that a newer one replaced do nothing; the newest page works."""
    earlier = yield from _start_graduation(app)
    newest = yield from client.success(app.graduate("user"), client.CREATED)
    yield from _expect_no_effect("finish", earlier)
    yield from expect_state(app, "user", "LIMITED")
    yield from record_by_hook("finish", url_of(newest))
    yield from expect_state(app, "user", "ACTIVE")


@CHECKS.add(
    "page.finish.revoked", laws=(1, 2), rules=("connection.authorize.revoked",), hooks=("finish",)
)
def _finish_of_revoked(app: App) -> Steps[None]:
    """Finishing the page of a connection that was revoked meanwhile changes nothing."""
    connection_id, answer = yield from connections.create_pending(app)
    yield from app.revoked(connection_id)
    yield from _expect_unchanged(app, hook="finish", answer=answer, connection_id=connection_id)


@CHECKS.add("page.finish.session", rules=("binding.complete-sign-up.unlinked",), hooks=("finish",))
def _finish_signs_up(app: App) -> Steps[None]:
    """Finishing a sign-up makes the account ACTIVE, and the next session lands at once."""
    answer = yield from app.initiated("user", prefer_signup=True)
    yield from record_by_hook("finish", url_of(answer))
    yield from expect_state(app, "user", "ACTIVE")
    yield from _expect_no_effect("finish", answer)
    again = yield from app.initiated("user", prefer_signup=True)
    client.same(client.member(again, "session.handoff"), "LANDED", "the next session's hand-off")


def _start_graduation(app: App) -> Steps[Document]:
    yield from app.initiated("user")
    return (yield from client.success(app.graduate("user"), client.CREATED))


@CHECKS.add("page.finish.graduation", rules=("binding.graduate.limited.same",), hooks=("finish",))
def _finish_graduates(app: App) -> Steps[None]:
    """Finishing a graduation makes the account ACTIVE, once."""
    answer = yield from _start_graduation(app)
    yield from record_by_hook("finish", url_of(answer))
    yield from expect_state(app, "user", "ACTIVE")
    yield from _expect_no_effect("finish", answer)


@CHECKS.add(
    "page.finish.graduation-of-before",
    rules=("binding.provision.tombstoned",),
    hooks=("finish", "tombstone"),
)
def _graduation_of_previous_user(app: App) -> Steps[None]:
    """Graduation pages of the previous user do not graduate the next user."""
    old = yield from _start_graduation(app)
    yield from record_by_hook("tombstone", app.coordinate("user"))
    yield from app.initiated("user")
    yield from _expect_no_effect("finish", old)
    yield from expect_state(app, "user", "LIMITED")
    own = yield from client.success(app.graduate("user"), client.CREATED)
    yield from record_by_hook("finish", url_of(own))
    yield from expect_state(app, "user", "ACTIVE")


@CHECKS.add(
    "page.finish.session-of-before",
    rules=("binding.complete-sign-up.limited",),
    hooks=("finish", "tombstone"),
)
def _sign_up_after_binding(app: App) -> Steps[None]:
    """Sign-up pages have no effect once another user was bound, even after a tombstone."""
    old = yield from app.initiated("user", prefer_signup=True)
    yield from app.initiated("user")
    yield from _expect_no_effect("finish", old)
    yield from expect_state(app, "user", "LIMITED")
    yield from record_by_hook("tombstone", app.coordinate("user"))
    yield from _expect_no_effect("finish", old)
    yield from expect_state(app, "user", "TOMBSTONED")


@CHECKS.add("page.cancel", laws=(2,), rules=("connection.revoke.pending",), hooks=("cancel",))
def _cancel_revokes(app: App) -> Steps[None]:
    """Cancelling the page of a connection revokes the connection, once and for ever."""
    connection_id, answer = yield from connections.create_pending(app)
    yield from record_by_hook("cancel", url_of(answer))
    yield from app.shows(connection_id, "REVOKED")
    for hook in sorted(app.context.hooks & {"cancel", "finish"}):
        yield from _expect_unchanged(app, hook=hook, answer=answer, connection_id=connection_id)


@CHECKS.add("page.cancel.finished", hooks=("finish", "cancel"))
def _cancel_after_finish(app: App) -> Steps[None]:
    """Cancelling a page that was finished changes nothing."""
    connection_id, answer = yield from connections.create_pending(app)
    yield from record_by_hook("finish", url_of(answer))
    yield from _expect_unchanged(app, hook="cancel", answer=answer, connection_id=connection_id)


@CHECKS.add("page.cancel.account", hooks=("cancel",))
def _cancel_keeps_account(app: App) -> Steps[None]:
    """Cancelling a sign-up or a graduation leaves the account as it was."""
    answer = yield from app.initiated("user", prefer_signup=True)
    yield from _expect_no_effect("cancel", answer)
    yield from expect_state(app, "user", "UNLINKED")
    yield from _expect_no_effect("cancel", (yield from _start_graduation(app)))
    yield from expect_state(app, "user", "LIMITED")
