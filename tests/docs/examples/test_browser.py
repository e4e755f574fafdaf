"""Tests of the hosted pages in a real browser, from start to end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import attrs
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.ui import WebDriverWait

from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.hosted_pages import csrf_token
from curae_lifecycle.testing.conformance import ApiKeyRequest
from curae_lifecycle.web.request import Request
from tests.docs.browser import chromium
from tests.support.wire.running import (
    PATIENCE,
    Behind,
    RunningServer,
    engine_of,
    running_server,
    sqlite,
)

pytestmark = pytest.mark.browser

BASE = "/api/sdk/v1"
ENDED = "It was ended, or has to be renewed: nothing is shared here now."
ACCOUNT = "0f6c3c1a-7a52-4c3e-9a4e-5d1b2c3d4e5f"


def test_hosted_page_visits_in_a_browser_set_connection_status(phone: Phone) -> None:
    body: dict[str, object] = {"appUserId": "ada", "preferSignup": True}
    assert phone.account() == "UNLINKED"
    signing_up = phone.asks("POST", "/curae-connect/initiate", body, key="sign-up")
    assert phone.visits(signing_up, "finish") == "You can go back to the app."
    assert phone.account() == "ACTIVE"

    body = {"appUserId": "ada", "dataPackages": ["labs"]}
    created = phone.asks("POST", "/connections", body, key="create")
    first = json.loads(created.body)["connection"]["id"]
    assert phone.status(first) == "PENDING"
    assert phone.visits(created, "finish") == "You can go back to the app."
    assert phone.status(first) == "ACTIVE"

    phone.behind.pass_time(timedelta(days=91))
    assert phone.status(first) == "EXPIRED"
    recovered = phone.asks("POST", f"/connections/{first}:reconnect", key="recover")
    second = json.loads(recovered.body)["connection"]["id"]
    again = phone.asks("POST", f"/connections/{first}:reconnect", key="recover-again")
    # A newer page of the same recovery replaces the earlier one.
    phone.browser.get(json.loads(recovered.body)["nextAction"]["url"])
    assert phone.browser.title == "Nothing here"
    assert phone.visits(again, "finish") == "You can go back to the app."
    assert (phone.status(first), phone.status(second)) == ("EXPIRED", "ACTIVE")

    refused = phone.asks("POST", "/connections", body, key="create-another")
    third = json.loads(refused.body)["connection"]["id"]
    assert phone.visits(refused, "cancel") == "Nothing is shared. You can go back to the app."
    assert phone.status(third) == "REVOKED"
    # Sending the form again changes nothing.
    phone.reload()
    assert phone.says() == ("Nothing to share", ENDED)

    phone.asks("POST", f"/connections/{second}:revoke", key="revoke")
    assert phone.status(second) == "REVOKED"
    assert phone.opens(again) == ("Nothing to share", ENDED)
    assert phone.buttons() == []


def test_finishing_a_hosted_page_twice_shows_already_done(phone: Phone) -> None:
    body = {"appUserId": "ada", "dataPackages": ["clinical_summary", "labs"]}
    created = phone.asks("POST", "/connections", body, key="create")
    first = json.loads(created.body)["connection"]["id"]
    title, text = phone.opens(created)
    assert title == "Share your records?"
    assert "clinical summary, labs" in text
    assert phone.buttons() == ["Finish", "Cancel"]
    # The style applies, so its hash is right, and the page fits a phone.
    (button, _) = phone.browser.find_elements(By.TAG_NAME, "button")
    assert button.size["height"] >= 44
    width = "return document.documentElement.scrollWidth <= window.innerWidth"
    assert phone.browser.execute_script(width)
    phone.presses_by_key()
    assert phone.status(first) == "ACTIVE"
    phone.reload()
    assert phone.says() == ("Done", "This was done before. You can go back to the app.")
    assert phone.opens(created)[0] == "Done"
    assert phone.buttons() == []
    assert phone.status(first) == "ACTIVE"


def test_other_sites_cannot_frame_or_post_to_a_hosted_page(phone: Phone, tmp_path: Path) -> None:
    body = {"appUserId": "ada", "dataPackages": ["labs"]}
    created = phone.asks("POST", "/connections", body, key="create")
    first = json.loads(created.body)["connection"]["id"]
    url = json.loads(created.body)["nextAction"]["url"]
    other = tmp_path / "other.html"
    # The other site knows the URL and the token, which no site does.
    other.write_text(
        f"""<!doctype html><title>Win</title>
        <iframe src="{url}"></iframe>
        <form id="form" method="post" action="{url}/cancel">
        <input name="token" value="{csrf_token(url)}"><button id="win">Win</button></form>"""
    )
    phone.browser.get(other.as_uri())
    phone.browser.switch_to.frame(phone.browser.find_element(By.TAG_NAME, "iframe"))
    assert phone.browser.find_elements(By.TAG_NAME, "button") == []
    phone.browser.switch_to.default_content()
    phone.browser.find_element(By.ID, "win").click()
    wait = WebDriverWait(phone.browser, PATIENCE)
    wait.until(expected_conditions.url_contains("/cancel"))
    assert phone.says()[0] == "Nothing done"
    assert phone.status(first) == "PENDING"


@attrs.frozen
class Phone:
    """An app, and the browser of its user."""

    server: RunningServer
    behind: Behind
    api_key: str
    browser: webdriver.Chrome

    def asks(self, method: str, path: str, body: object = None, key: str = "") -> Response:
        """Send a request of the app to the API."""
        headers = [("Authorization", f"Bearer {self.api_key}")]
        if key:
            headers.append(("Idempotency-Key", key))
        sent = b"" if body is None else json.dumps(body).encode()
        return self.server.send(
            Request(method=method, target=BASE + path, headers=tuple(headers), body=sent)
        )

    def visits(self, answer: Response, button: str) -> str:
        """Open the page of a response, press a button, and return the message."""
        assert answer.status == 201, answer
        self.opens(answer)
        self.browser.find_element(By.ID, button).click()
        self.waits_for(button)
        return self.says()[1]

    def opens(self, answer: Response) -> tuple[str, str]:
        """Open the page of a response; return its heading and message."""
        self.browser.get(json.loads(answer.body)["nextAction"]["url"])
        return self.says()

    def presses_by_key(self) -> None:
        """Move to the first button with Tab and press it with Enter."""
        keys = ActionChains(self.browser)
        keys.send_keys(Keys.TAB).send_keys(Keys.ENTER).perform()
        self.waits_for("finish")

    def waits_for(self, button: str) -> None:
        """Wait for the page that a click leads to."""
        wait = WebDriverWait(self.browser, PATIENCE)
        wait.until(expected_conditions.url_contains(f"/{button}"))

    def reload(self) -> None:
        """Reload the page and let the browser send its form again."""
        shown = self.browser.find_element(By.ID, "outcome")
        self.browser.refresh()
        WebDriverWait(self.browser, PATIENCE).until(expected_conditions.staleness_of(shown))

    def says(self) -> tuple[str, str]:
        """Return the heading and the message of the open page."""
        wait = WebDriverWait(self.browser, PATIENCE)
        text = wait.until(expected_conditions.presence_of_element_located((By.ID, "outcome")))
        heading = self.browser.find_element(By.TAG_NAME, "h1").text
        assert self.browser.title == heading
        return heading, text.text

    def buttons(self) -> list[str]:
        """Return the labels of the buttons of the open page."""
        return [each.text for each in self.browser.find_elements(By.TAG_NAME, "button")]

    def status(self, connection_id: str) -> str:
        """Return the status of a connection, as the app sees it."""
        shown = json.loads(self.asks("GET", f"/connections/{connection_id}").body)
        return str(shown["connection"]["status"])

    def account(self) -> str:
        """Return the account state of the user, as the app sees it."""
        shown = self.asks("GET", "/curae-connect/account-state?appUserId=ada")
        return str(json.loads(shown.body)["lifecycleState"])


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Phone]:
    url = sqlite(tmp_path)
    with running_server("fastapi", url, tmp_path) as server, engine_of(url) as engine:
        behind = Behind(server.control, engine)
        # The width of a phone.
        with chromium(tmp_path / "profile", "--window-size=500,900") as browser:
            yield Phone(
                server=server,
                behind=behind,
                api_key=behind.make_key(ApiKeyRequest("app-1", ACCOUNT)),
                browser=browser,
            )
