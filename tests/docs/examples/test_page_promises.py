"""Tests of each promise of the example hosted pages, one request after another.

`docs/pages.md` names a test of this module for each promise.
"""

from __future__ import annotations

import logging
import re
from typing import Final

import hosted_pages
import pytest
from page_html import REFUSED
from settings import PUBLIC_URL

from curae_lifecycle import ApiKey, Expired, ProblemCode, Request, StoreUnavailableError, Tombstoned
from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.binding import BINDING, AccountState, BindingTrigger, UserMatch
from curae_lifecycle.rules.connection import Actor, Standing
from curae_lifecycle.rules.outcomes import RefuseWith
from curae_lifecycle.rules.session import COMPLETION
from curae_lifecycle.rules.triggers import AUTHORIZATION, TRIGGERS, Trigger
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.hosted_pages import csrf_token
from curae_lifecycle.web.request import ParsedBody
from tests.docs.examples.visits import App, Meddled, path_of, seen, url_of
from tests.support.server import API_KEY, CALLER
from tests.support.strategies import COORDINATE, TICK, at

DONE: Final = (200, "Done", "You can go back to the app.")
NO: Final = (200, "Done", "Nothing is shared. You can go back to the app.")
BEFORE: Final = (200, "Done", "This was done before. You can go back to the app.")
KEPT: Final = (
    200,
    "Done",
    "This was done before, and nothing was cancelled. You can go back to the app.",
)
ENDED: Final = "It was ended, or has to be renewed: nothing is shared here now."
CHANGED: Final = "This page was about one that is gone."
NOWHERE: Final = (404, "Nothing here", "This page is over, or a newer one took its place.")


@pytest.fixture(params=["waits", "awaited"])
def app(request: pytest.FixtureRequest) -> App:
    return App(request.param == "awaited")


# --- CSRF protection ------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_viewing_a_hosted_page_changes_no_stored_value(app: App, method: str) -> None:
    connection_id, url = app.create()
    before = app.connection(connection_id)
    for target in ("", "?token=1", "/finish", "/cancel", f"/finish?token={csrf_token(url)}"):
        for headers in ((), (("Sec-Purpose", "prefetch"),)):
            body = f"token={csrf_token(url)}".encode()
            shown = app.shown(
                Request(method=method, target=path_of(url) + target, headers=headers, body=body)
            )
            assert shown.status == 200
            assert 'id="finish"' in shown.body.decode()
    assert app.connection(connection_id) == before


def test_unsupported_method_on_a_hosted_page_gives_405_and_allow(app: App) -> None:
    connection_id, url = app.create()
    body = f"token={csrf_token(url)}".encode()
    for method, action, allowed in (
        ("POST", "", "GET, HEAD"),
        ("PUT", "", "GET, HEAD"),
        ("post", "/finish", "GET, HEAD, POST"),
        ("DELETE", "/finish", "GET, HEAD, POST"),
        ("OPTIONS", "/cancel", "GET, HEAD, POST"),
    ):
        answer = app.shown(
            Request(method=method, target=path_of(url) + action, headers=(), body=body)
        )
        assert (answer.status, dict(answer.headers)["allow"]) == (405, allowed)
    assert app.is_now(connection_id) is Standing.PENDING


def test_hosted_page_form_has_csrf_token_and_posts_to_its_page(app: App) -> None:
    _, url = app.create()
    page = app.shown(Request("GET", path_of(url))).body.decode()
    assert re.findall('<input type="hidden" name="(.*)" value="(.*)">', page) == [
        ("token", csrf_token(url))
    ]
    assert re.findall('formaction="(.*)" id', page) == [
        f"{path_of(url)}/finish",
        f"{path_of(url)}/cancel",
    ]
    assert '<form method="post">' in page


@pytest.mark.parametrize("button", ["finish", "cancel"])
def test_hosted_page_post_without_the_csrf_token_gives_403(app: App, button: str) -> None:
    connection_id, url = app.create()
    _, another = app.create()
    token, target = csrf_token(url), f"{path_of(url)}/{button}"
    bodies: list[bytes | ParsedBody] = [
        b"",
        b"token=",
        token.encode(),
        f"token={csrf_token(another)}".encode(),
        f"token={csrf_token(path_of(url))}".encode(),
        f"token={token[:-1]}".encode(),
        f"token={token.upper()}".encode(),
        f"token={token}&token={token}".encode(),
        f"token={token}&".encode(),
        f"Token={token}".encode(),
        f"token={token}\r\n".encode(),
        b"token=" + b"a" * 70_000,
        b"token=\xff",
        ParsedBody({"token": token}),
    ]
    for body in bodies:
        looked = app.store.looked
        refused = seen(app.shown(Request(method="POST", target=target, headers=(), body=body)))
        assert refused == (
            403,
            "Nothing done",
            "Please open the page again, and press the button there.",
        )
        # A request without the token does not reach the store.
        assert app.store.looked == looked
    assert app.is_now(connection_id) is Standing.PENDING


@pytest.mark.parametrize("button", ["finish", "cancel"])
def test_cross_site_post_to_a_hosted_page_gives_403(app: App, button: str) -> None:
    connection_id, url = app.create()
    body = f"token={csrf_token(url)}".encode()
    target = f"{path_of(url)}/{button}"
    for sites in (("cross-site",), ("same-site",), ("same-origin", "cross-site"), ("",)):
        headers = tuple([("sec-fetch-site", site) for site in sites])
        assert (
            app.shown(Request(method="POST", target=target, headers=headers, body=body)).status
            == 403
        )
    assert app.is_now(connection_id) is Standing.PENDING
    own = (("Sec-Fetch-Site", "same-origin"),)
    taken = seen(app.shown(Request(method="POST", target=target, headers=own, body=body)))
    assert taken == {"finish": DONE, "cancel": NO}[button]


def test_hosted_page_post_with_sec_fetch_site_none_is_accepted(app: App) -> None:
    _, url = app.create()
    body = f"token={csrf_token(url)}".encode()
    again = Request(
        method="POST",
        target=f"{path_of(url)}/finish",
        headers=(("sec-fetch-site", "none"),),
        body=body,
    )
    assert seen(app.shown(again)) == DONE


def test_guessed_hosted_page_url_gives_404(app: App) -> None:
    app.create()
    guessed = f"{PUBLIC_URL}/pages/{'A' * 43}"
    assert app.visit(guessed) == NOWHERE
    assert app.press(guessed, "finish") == NOWHERE
    looked = app.store.looked
    for path in ("/pages/", "/pages//", "/pages/a/b", "/pages/%41", "/pages/" + "a" * 129):
        assert seen(app.shown(Request("GET", path))) == NOWHERE
    assert app.store.looked == looked
    for path in ("/pages", "/", "/api/sdk/v1/connections", "*", "/page/a"):
        assert app.send(Request("GET", path)) is None


# --- Finished once --------------------------------------------------------------------------


def test_finishing_a_hosted_page_twice_changes_connection_once(app: App) -> None:
    connection_id, url = app.create()
    status, title, text = app.visit(url)
    assert (status, title) == (200, "Share your records?")
    assert "records of yours for 90 days: clinical summary, labs." in text
    assert app.press(url, "finish") == DONE
    assert app.is_now(connection_id) is Standing.ACTIVE
    finished = app.connection(connection_id)
    assert finished.expires_at == at(30) + hosted_pages.AUTHORIZED_FOR
    app.clock.now = at(30) - TICK
    assert app.press(url, "finish") == BEFORE
    assert app.visit(url) == BEFORE
    assert app.connection(connection_id) == finished
    app.clock.now = at(30)
    assert app.visit(url) == NOWHERE
    assert app.press(url, "finish") == NOWHERE
    assert app.press(url, "cancel") == NOWHERE
    assert app.connection(connection_id) == finished


def test_cancelling_a_finished_hosted_page_changes_nothing(app: App) -> None:
    connection_id, url = app.create()
    app.press(url, "finish")
    finished = app.connection(connection_id)
    assert app.press(url, "cancel") == KEPT
    assert app.connection(connection_id) == finished


def test_finish_of_a_hosted_page_wins_over_a_racing_cancel(app: App) -> None:
    connection_id, url = app.create()
    app.store.loaded = lambda: app.beside().press(url, "finish")
    assert app.press(url, "cancel") == KEPT
    assert app.is_now(connection_id) is Standing.ACTIVE


def test_old_hosted_page_cannot_cancel_an_authorized_successor(app: App) -> None:
    first, url = app.create()
    app.revoke(first)
    second, newer = app.recover(first)
    assert app.press(newer, "finish") == DONE
    assert app.press(url, "cancel")[1] == "Asked again"
    assert app.is_now(second) is Standing.ACTIVE


def test_finished_hosted_page_cannot_cancel_a_later_successor(app: App) -> None:
    first, url = app.create()
    app.press(url, "finish")
    app.revoke(first)
    second, newer = app.recover(first)
    assert app.press(url, "cancel") == (410, "Asked again", "A newer page took this one's place.")
    assert app.is_now(second) is Standing.PENDING
    assert app.press(newer, "finish") == DONE


def test_finishing_a_hosted_page_after_the_deadline_gives_409(app: App) -> None:
    connection_id, url = app.create()
    app.store.found = lambda: app.clock.pass_time(30 * 60)
    over = "This page is over"
    assert app.press(url, "finish") == (409, over, "The app can ask you again.")
    assert app.connection(connection_id).authorized_at is None


# --- Said no --------------------------------------------------------------------------------


def test_cancelling_a_hosted_page_stores_revoked_by_patient(app: App) -> None:
    connection_id, url = app.create()
    assert app.press(url, "cancel") == NO
    revoked = app.connection(connection_id)
    assert revoked.revoked_by is Actor.PATIENT
    assert app.press(url, "cancel") == (410, "Nothing to share", ENDED)
    assert app.press(url, "finish") == (409, "Nothing to share", ENDED)
    assert app.visit(url) == (410, "Nothing to share", ENDED)
    assert app.connection(connection_id) == revoked


def test_cancel_on_old_hosted_page_revokes_the_pending_successor(app: App) -> None:
    first, url = app.create()
    app.revoke(first)
    second, _ = app.recover(first)
    app.revoke(second)
    third, newest = app.recover(second)
    before = [app.connection(each) for each in (first, second)]
    assert app.press(url, "cancel") == NO
    assert app.connection(third).revoked_by is Actor.PATIENT
    # Earlier revocations are unchanged.
    after = [app.connection(each) for each in (first, second)]
    assert [each.revoked_by for each in after] == [Actor.APP, Actor.APP]
    assert [each.revoked_at for each in after] == [each.revoked_at for each in before]
    assert app.press(newest, "finish") == (409, "Nothing to share", ENDED)


# --- Shown is what is true ------------------------------------------------------------------


def test_hosted_page_of_revoked_connection_cannot_be_finished(app: App) -> None:
    first, url = app.create()
    app.revoke(first)
    assert app.visit(url) == (410, "Nothing to share", ENDED)
    assert "form" not in app.shown(Request("GET", path_of(url))).body.decode()
    assert app.press(url, "finish") == (409, "Nothing to share", ENDED)
    app.recover(first)
    assert app.visit(url) == (410, "Asked again", "A newer page took this one's place.")


def test_hosted_page_after_revocation_or_expiry_gives_410(app: App) -> None:
    for ends in (app.revoke, lambda each: app.happens(Expired(each))):
        connection_id, url = app.create()
        app.press(url, "finish")
        ends(connection_id)
        assert app.visit(url) == (410, "Nothing to share", ENDED)


def test_reissued_hosted_page_replaces_the_earlier_page(app: App) -> None:
    first, _ = app.create()
    app.revoke(first)
    second, url = app.recover(first)
    again, newer = app.recover(first)
    assert again == second
    for answer in (app.visit(url), app.press(url, "finish"), app.press(url, "cancel")):
        assert answer == NOWHERE
    assert app.is_now(second) is Standing.PENDING
    assert app.press(newer, "finish") == DONE


def test_hosted_page_of_a_path_c_session_has_nothing_to_finish(app: App) -> None:
    url = url_of(app.ask("initiate"))
    all_set = ("All set", "Nothing is asked of you. You can go back to the app.")
    assert app.visit(url) == (200, *all_set)
    assert app.press(url, "finish") == (409, *all_set)
    assert app.account() == "LIMITED"


# --- About one user alone -------------------------------------------------------------------


def test_finishing_a_sign_up_twice_binds_one_user(app: App) -> None:
    url = app.sign_up()
    assert app.visit(url) == (200, "Sign up?", "The app goes on with your new account.")
    waits = "Nothing was cancelled, and nothing is done before you finish."
    assert app.press(url, "cancel")[2].startswith(waits)
    assert app.account() == "UNLINKED"
    assert app.press(url, "finish") == DONE
    assert app.account() == "ACTIVE"
    bound = app.store.binding(COORDINATE)
    assert app.press(url, "finish") == BEFORE
    assert app.press(url, "cancel") == KEPT
    assert app.store.binding(COORDINATE) == bound


def test_second_sign_up_page_does_not_rebind_the_user(app: App) -> None:
    first, second = app.sign_up(), app.sign_up()
    assert app.press(first, "finish") == DONE
    bound = app.store.binding(COORDINATE)
    assert app.press(second, "finish") == (409, "The account changed", CHANGED)
    assert app.visit(second) == (410, "The account changed", CHANGED)
    assert app.store.binding(COORDINATE) == bound


def test_sign_up_finish_gives_409_if_a_limited_user_is_bound(app: App) -> None:
    url = app.sign_up()
    app.ask("initiate")
    assert app.press(url, "finish") == (409, "The account changed", CHANGED)
    assert app.account() == "LIMITED"


def test_account_graduation_page_gives_410_if_the_user_changed(app: App) -> None:
    app.ask("initiate")
    url = app.graduate()
    assert app.visit(url) == (200, "Complete your account?", "The app goes on with it.")
    app.happens(Tombstoned(COORDINATE))
    assert app.visit(url) == (410, "The account changed", CHANGED)
    assert app.press(url, "finish") == (409, "The account changed", CHANGED)
    app.ask("initiate")
    assert app.visit(url) == (410, "The account changed", CHANGED)
    assert app.press(url, "finish") == (409, "The account changed", CHANGED)
    assert app.account() == "LIMITED"
    newer = app.graduate()
    assert app.press(newer, "finish") == DONE
    assert app.account() == "ACTIVE"
    # The earlier page does not count as finished by the later one.
    assert app.visit(url) == (410, "The account changed", CHANGED)
    assert app.visit(newer) == BEFORE
    assert app.press(newer, "finish") == BEFORE
    assert app.press(newer, "cancel") == KEPT


def test_newer_account_graduation_page_replaces_the_earlier_one(app: App) -> None:
    app.ask("initiate")
    first, second = app.graduate(), app.graduate()
    assert app.visit(first) == NOWHERE
    assert app.press(second, "finish") == DONE


def test_hosted_pages_of_a_tombstoned_user_change_nothing(app: App) -> None:
    signed = app.sign_up()
    app.press(signed, "finish")
    connection_id, url = app.create()
    waits, waiting = app.create()
    app.press(url, "finish")
    app.happens(Tombstoned(COORDINATE))
    assert app.visit(signed) == (410, "The account changed", CHANGED)
    assert app.press(signed, "finish") == (410, "The account changed", CHANGED)
    for page in (url, waiting):
        assert app.visit(page) == (410, "Nothing to share", ENDED)
        assert app.press(page, "finish") == (409, "Nothing to share", ENDED)
    for each in (connection_id, waits):
        held = app.connection(each)
        assert not isinstance(decide_access(held, "labs", app.clock.now, era=None), Granted)
    # A new user is bound, and the earlier sign-up page does not apply to it.
    app.ask("initiate")
    assert app.visit(signed) == (410, "The account changed", CHANGED)
    assert app.account() == "LIMITED"


def test_purge_after_a_tombstone_removes_user_from_hosted_pages(app: App) -> None:
    app.ask("initiate")
    app.graduate()
    app.happens(Tombstoned(COORDINATE))
    held = app.store._pages
    assert "user-1" in "".join(each.subject for each in held._by_digest.values())
    app.clock.now = at(35)
    app.store.purge()
    assert (held._by_digest, held._by_subject, held._expiries) == ({}, {}, [])


# --- Contents of a page ---------------------------------------------------------------------


def test_hosted_page_has_no_script_and_its_heading_as_title(app: App) -> None:
    _, url = app.create()
    asked = app.shown(Request("GET", path_of(url))).body.decode()
    gone = app.shown(Request("GET", path_of(url) + "x")).body.decode()
    for page in (asked, gone):
        assert page.startswith('<!doctype html>\n<html lang="en">\n')
        assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
        titles = re.findall("<title>(.*)</title>", page)
        assert titles == re.findall("<h1>(.*)</h1>", page)
        for foreign in ("<script", "src=", "http", "<link", " on", "style="):
            assert foreign not in page.replace(" one", "")
    assert re.findall("<button.*>(.*)</button>", asked) == ["Finish", "Cancel"]


class Fails(Meddled):
    """A store whose page lookup fails with an error that contains the URL."""

    def hosted_page(self, url: str) -> HostedPage | None:
        raise StoreUnavailableError(url)


class FailsLater(Meddled):
    """A store whose commit fails with an error that contains the changes."""

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        if page is None:
            raise OSError(f"{changes} {loaded}")
        return super().commit(loaded, changes, page)


@pytest.mark.parametrize("store", [Fails, FailsLater])
def test_hosted_page_error_gives_503_and_logs_no_secret(
    app: App, store: type[Meddled], caplog: pytest.LogCaptureFixture
) -> None:
    app.store = store(clock=app.clock)
    app.store.register(ApiKey(API_KEY), CALLER)
    with caplog.at_level(logging.DEBUG):
        connection_id, url = app.create()
        body = f"token={csrf_token(url)}".encode()
        answer = app.shown(
            Request(method="POST", target=f"{path_of(url)}/finish", headers=(), body=body)
        )
    assert seen(answer) == (503, "Not now", "Please try again in a moment.")
    assert dict(answer.headers)["retry-after"] == "1"
    (line,) = caplog.messages
    error = "StoreUnavailableError" if store is Fails else "OSError"
    assert re.match(f"a page failed: {error} at hosted_pages:[0-9]+ > ", line)
    for secret in (url.rpartition("/")[2], csrf_token(url), connection_id, "user-1"):
        assert secret not in line


def test_every_refusal_has_a_hosted_page_text() -> None:
    authorizing = [TRIGGERS[Trigger.AUTHORIZE, each].outcome for each in Standing]
    binding = [
        BINDING[trigger, account, user].outcome
        for trigger in (BindingTrigger.COMPLETE_SIGN_UP, BindingTrigger.GRADUATE)
        for account in AccountState
        for user in UserMatch
    ]
    tables = [row.outcome for table in (AUTHORIZATION, COMPLETION) for row in table.rows]
    codes = {
        each.code for each in [*authorizing, *binding, *tables] if isinstance(each, RefuseWith)
    }
    # An unknown id is refused before any table is read.
    assert codes | {ProblemCode.NOT_FOUND} == REFUSED.keys()
    assert {status for status, _, _ in REFUSED.values()} == {200, 404, 410}
