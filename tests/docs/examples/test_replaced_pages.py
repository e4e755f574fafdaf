"""Tests that an example hosted page which is replaced during a press cannot act."""

from __future__ import annotations

import pytest

from curae_lifecycle.rules.connection import Actor, Standing
from tests.docs.examples.test_page_promises import DONE, ENDED, NO, NOWHERE
from tests.docs.examples.visits import App


@pytest.fixture(params=["waits", "awaited"])
def app(request: pytest.FixtureRequest) -> App:
    return App(request.param == "awaited")


def check_replaced_page(app: App, hook: str, button: str) -> None:
    """Replace a page of a connection at one point of a press, and expect that nothing acts."""
    first, _ = app.create()
    app.revoke(first)
    second, url = app.recover(first)
    newer: list[str] = []
    setattr(app.store, hook, lambda: newer.append(app.recover(first)[1]))
    assert app.press(url, button) == NOWHERE
    assert app.is_now(second) is Standing.PENDING
    (newest,) = newer
    assert app.press(newest, button) == {"finish": DONE, "cancel": NO}[button]
    assert app.visit(url) == NOWHERE


def check_replaced_graduation(app: App, hook: str) -> None:
    """Replace a graduation page at one point of a press, and expect that nothing acts."""
    app.ask("initiate")
    url = app.graduate()
    newer: list[str] = []
    setattr(app.store, hook, lambda: newer.append(app.graduate()))
    assert app.press(url, "finish") == NOWHERE
    assert app.account() == "LIMITED"
    (newest,) = newer
    assert app.press(newest, "finish") == DONE
    assert app.account() == "ACTIVE"


def test_hosted_page_replaced_before_store_load_gives_404(app: App) -> None:
    for button in ("finish", "cancel"):
        check_replaced_page(app, "found", button)
    check_replaced_graduation(app, "found")


def test_hosted_page_replaced_before_store_commit_gives_404(app: App) -> None:
    for button in ("finish", "cancel"):
        check_replaced_page(app, "loaded", button)
    check_replaced_graduation(app, "loaded")


@pytest.mark.parametrize("hook", ["found", "loaded"])
def test_finish_gives_409_if_connection_is_revoked_before_commit(app: App, hook: str) -> None:
    first, _ = app.create()
    app.revoke(first)
    second, url = app.recover(first)
    setattr(app.store, hook, lambda: app.revoke(second))
    assert app.press(url, "finish") == (409, "Nothing to share", ENDED)
    assert app.connection(second).revoked_by is Actor.APP
    # The next recovery has another connection and page.
    third, newest = app.recover(second)
    asked_again = (409, "Asked again", "A newer page took this one's place.")
    assert app.press(url, "finish") == asked_again
    assert app.press(newest, "finish") == DONE
    assert app.is_now(third) is Standing.ACTIVE
