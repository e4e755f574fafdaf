"""Checks of hosted pages: what becomes of a hand-off where a person follows its URL.

The law of this module: **a page does what its hand-off allows, once, and nothing for anybody
else**: not when it is over, not when another one took its place, not for the next user.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from curae_lifecycle.testing.conformance import client, connections
from curae_lifecycle.testing.conformance.check import Check, Checks
from curae_lifecycle.testing.conformance.client import App, Document, happens, require
from curae_lifecycle.testing.conformance.recovery import successor_of
from curae_lifecycle.testing.conformance.sessions import expect_state
from curae_lifecycle.testing.conformance.steps import Steps, later, use, wait

CHECKS: Final = Checks()


def url_of(answer: Document) -> str:
    """Where an answer sends its user."""
    return client.text(answer, "nextAction.url")


def _created(app: App) -> Steps[tuple[str, Document]]:
    made = yield from client.success(app.create(app.names.word("user")), client.CREATED)
    return client.text(made, "connection.id"), made


def _in_vain(hook: str, answer: Document) -> Steps[None]:
    said = yield from use(hook, url_of(answer))
    require(said != "done", f"{hook} did something")


def _changes_nothing(app: App, hook: str, answer: Document, connection_id: str) -> Steps[None]:
    before = yield from app.seen(connection_id)
    yield from later(app.context, connections.MOMENT)
    yield from _in_vain(hook, answer)
    yield from connections.stays(app, before)


@CHECKS.add("page.finish", rules=("connection.authorize.pending",), hooks=("finish",))
def _finished(app: App) -> Steps[None]:
    """Whoever finishes a connection's page authorizes it, once: the page is over then."""
    connection_id, answer = yield from _created(app)
    yield from happens("finish", url_of(answer))
    yield from app.shows(connection_id, "ACTIVE")
    yield from _changes_nothing(app, hook="finish", answer=answer, connection_id=connection_id)


def _late(hook: str, app: App) -> Steps[None]:
    connection_id, answer = yield from _created(app)
    yield from wait(client.lifetime(answer))
    yield from _in_vain(hook, answer)
    yield from app.shows(connection_id, "EXPIRED")


CHECKS.extend(
    Check(
        f"page.{hook}.over",
        f"A page that is over {does} nothing.",
        partial(_late, hook),
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
def _finished_the_earlier(app: App) -> Steps[None]:
    """A page in whose place a reissue put another one does nothing, and that other one does."""
    old = client.id_of((yield from app.created()))
    yield from app.revoked(old)
    earlier = yield from app.reconnected(old)
    newest = yield from app.reconnected(old)
    yield from _changes_nothing(
        app, hook="finish", answer=earlier, connection_id=successor_of(newest)
    )
    if "cancel" in app.context.hooks:
        yield from _changes_nothing(
            app, hook="cancel", answer=earlier, connection_id=successor_of(newest)
        )
    yield from happens("finish", url_of(newest))
    yield from app.shows(successor_of(newest), "ACTIVE")


@CHECKS.add(
    "page.finish.revoked", laws=(1, 2), rules=("connection.authorize.revoked",), hooks=("finish",)
)
def _finished_what_was_revoked(app: App) -> Steps[None]:
    """The page of a connection that was revoked meanwhile brings nothing back."""
    connection_id, answer = yield from _created(app)
    yield from app.revoked(connection_id)
    yield from _changes_nothing(app, hook="finish", answer=answer, connection_id=connection_id)


@CHECKS.add("page.finish.session", rules=("binding.complete-sign-up.unlinked",), hooks=("finish",))
def _signed_up(app: App) -> Steps[None]:
    """Whoever finishes a sign-up is ACTIVE, and the next session lands at once."""
    answer = yield from app.initiated("user", prefer_signup=True)
    yield from happens("finish", url_of(answer))
    yield from expect_state(app, "user", "ACTIVE")
    yield from _in_vain("finish", answer)
    again = yield from app.initiated("user", prefer_signup=True)
    client.same(client.member(again, "session.handoff"), "LANDED", "the next session's hand-off")


def _graduation(app: App) -> Steps[Document]:
    yield from app.initiated("user")
    return (yield from client.success(app.graduate("user"), client.CREATED))


@CHECKS.add("page.finish.graduation", rules=("binding.graduate.limited.same",), hooks=("finish",))
def _graduated(app: App) -> Steps[None]:
    """Whoever finishes a graduation is ACTIVE, once."""
    answer = yield from _graduation(app)
    yield from happens("finish", url_of(answer))
    yield from expect_state(app, "user", "ACTIVE")
    yield from _in_vain("finish", answer)


@CHECKS.add(
    "page.finish.graduation-of-before",
    rules=("binding.provision.tombstoned",),
    hooks=("finish", "tombstone"),
)
def _graduation_of_before(app: App) -> Steps[None]:
    """A graduation's page that was made for the user before does not graduate the next one."""
    old = yield from _graduation(app)
    yield from happens("tombstone", app.coordinate("user"))
    yield from app.initiated("user")
    yield from _in_vain("finish", old)
    yield from expect_state(app, "user", "LIMITED")
    own = yield from client.success(app.graduate("user"), client.CREATED)
    yield from happens("finish", url_of(own))
    yield from expect_state(app, "user", "ACTIVE")


@CHECKS.add(
    "page.finish.session-of-before",
    rules=("binding.complete-sign-up.limited",),
    hooks=("finish", "tombstone"),
)
def _sign_up_of_before(app: App) -> Steps[None]:
    """A sign-up's page that was made before somebody else was bound signs nobody up."""
    old = yield from app.initiated("user", prefer_signup=True)
    yield from app.initiated("user")
    yield from _in_vain("finish", old)
    yield from expect_state(app, "user", "LIMITED")
    yield from happens("tombstone", app.coordinate("user"))
    yield from _in_vain("finish", old)
    yield from expect_state(app, "user", "TOMBSTONED")


@CHECKS.add("page.cancel", laws=(2,), rules=("connection.revoke.pending",), hooks=("cancel",))
def _cancelled(app: App) -> Steps[None]:
    """Whoever says no on a connection's page revokes it, once and for ever."""
    connection_id, answer = yield from _created(app)
    yield from happens("cancel", url_of(answer))
    yield from app.shows(connection_id, "REVOKED")
    for hook in sorted(app.context.hooks & {"cancel", "finish"}):
        yield from _changes_nothing(app, hook=hook, answer=answer, connection_id=connection_id)


@CHECKS.add("page.cancel.finished", hooks=("finish", "cancel"))
def _cancelled_what_was_finished(app: App) -> Steps[None]:
    """Nobody cancels on a page what was finished on it."""
    connection_id, answer = yield from _created(app)
    yield from happens("finish", url_of(answer))
    yield from _changes_nothing(app, hook="cancel", answer=answer, connection_id=connection_id)


@CHECKS.add("page.cancel.account", hooks=("cancel",))
def _account_cancelled(app: App) -> Steps[None]:
    """Whoever says no to a sign-up or a graduation is what they were."""
    answer = yield from app.initiated("user", prefer_signup=True)
    yield from _in_vain("cancel", answer)
    yield from expect_state(app, "user", "UNLINKED")
    yield from _in_vain("cancel", (yield from _graduation(app)))
    yield from expect_state(app, "user", "LIMITED")
