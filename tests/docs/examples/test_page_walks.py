"""Random walks of an app and a person over hosted pages."""

from __future__ import annotations

import json
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from page_html import show

from curae_lifecycle import ConnectionId, Request, Response, Tombstoned, UserId
from curae_lifecycle.rules.connection import Connection
from tests.docs.examples.visits import App, path_of
from tests.support.strategies import COORDINATE

DONE: Final = (200, "Done", "You can go back to the app.")


class Walk:
    """An app and a person who act in any order."""

    def __init__(self) -> None:
        self.app = App(awaited=False)
        self.made: list[ConnectionId] = []
        self.urls: list[str] = []
        # The user that was bound when each graduation page was issued.
        self.bound: dict[str, UserId] = {}

    def act(self, step: str, number: int) -> None:
        made = self.made[number % len(self.made)] if self.made else None
        url = self.urls[number % len(self.urls)] if self.urls else None
        match step:
            case "create":
                self._take(self.app.ask("create"))
            case "enter":
                self._take(self.app.ask("initiate"))
            case "sign up":
                self.urls.append(self.app.sign_up())
            case "graduate":
                self.graduates()
            case "tombstone":
                self.app.happens(Tombstoned(COORDINATE))
            case "wait":
                self.app.clock.pass_time(11 * 60)
            case "reconnect" | "revoke" if made is not None:
                self._take(self.app.ask(step, made))
            case "finish" if url is not None:
                self.finishes(url)
            case "cancel" if url is not None:
                self.cancels(url)
            case _:
                pass

    def graduates(self) -> None:
        answer, bound = self.app.ask("graduation"), self.app.store.binding(COORDINATE)
        self._take(answer)
        if answer.status == 201 and bound is not None and bound.user_id is not None:
            self.bound[self.urls[-1]] = bound.user_id

    def finishes(self, url: str) -> None:
        """Check that a page offers a form exactly if finishing it changes something."""
        before = self.state()
        asked = self.app.shown(Request("GET", path_of(url)))
        assert self.state() == before
        shows_a_form = "<form" in asked.body.decode()
        assert (self.app.press(url, "finish") == DONE) == shows_a_form
        assert (self.state() != before) == shows_a_form
        bound = self.app.store.binding(COORDINATE)
        if shows_a_form and url in self.bound:
            assert bound is not None
            assert bound.user_id == self.bound[url]
        # A second finish changes nothing, and a finished page offers no form.
        after = self.state()
        assert self.app.press(url, "finish") != DONE
        assert self.state() == after
        assert "<form" not in self.app.shown(Request("GET", path_of(url))).body.decode()

    def cancels(self, url: str) -> None:
        """Check that a cancel changes no authorized connection and no account."""
        before, account = self.authorized(), self.app.store.binding(COORDINATE)
        self.app.press(url, "cancel")
        assert (self.authorized(), self.app.store.binding(COORDINATE)) == (before, account)

    def authorized(self) -> list[Connection]:
        held = [self.app.connection(each) for each in self.made]
        return [each for each in held if each.authorized_at is not None]

    def state(self) -> object:
        held = [self.app.connection(each) for each in self.made]
        return held, self.app.store.binding(COORDINATE), dict(self.app.store._sessions)

    def _take(self, answer: Response) -> None:
        members = json.loads(answer.body)
        if answer.status == 201:
            self.urls.append(members["nextAction"]["url"])
            if "connection" in members:
                self.made.append(ConnectionId(members["connection"]["id"]))


STEPS: Final = (
    *("create", "enter", "sign up", "graduate", "tombstone", "wait"),
    *("reconnect", "revoke", "finish", "cancel"),
)


@pytest.mark.slow
# Cases that every run must include: a finish before a cancel, and a later user.
@example([("create", 0), ("finish", 0), ("cancel", 0)])
@example([("enter", 0), ("graduate", 0), ("tombstone", 0), ("enter", 0)])
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9)), max_size=25))
def test_cancel_after_random_steps_keeps_authorized_connections(
    steps: list[tuple[str, int]],
) -> None:
    walk = Walk()
    for step, number in steps:
        walk.act(step, number)
    for url in walk.urls:
        walk.finishes(url)
        walk.cancels(url)


def test_hosted_page_escapes_its_text() -> None:
    page = show(200, '<b>One & "two"', "<script>alert(1)</script> & so on").body.decode()
    assert "<b>" not in page
    assert "<script" not in page
    assert page.count("&lt;b&gt;One &amp; &quot;two&quot;") == 2
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; so on" in page
