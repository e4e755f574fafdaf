"""A visitor of hosted pages, who presses buttons of forms with their hidden fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urlencode, urljoin, urlsplit

from attrs import Factory, define, frozen

from curae_lifecycle.service.response import Response
from curae_lifecycle.stores.hosted_pages import csrf_token
from curae_lifecycle.web.request import Request

GONE: Final = "gone"
"""The result for a URL without a page, or a page without such a button."""


@define
class Form(HTMLParser):
    """The form of a page: its hidden fields, and the target of each button."""

    hidden: list[tuple[str, str]] = Factory(list)
    buttons: dict[str, tuple[str, list[tuple[str, str]]]] = Factory(dict)
    action: str = ""

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given.get("action", "")
        elif tag == "input" and given.get("type") == "hidden":
            self.hidden.append((given["name"], given.get("value", "")))
        elif tag == "button":
            sent = [(given["name"], given.get("value", ""))] if "name" in given else []
            self.buttons[given.get("id", "")] = (given.get("formaction", self.action), sent)


def pressed(url: str, button: str) -> Request:
    """Return the request of a browser for a button of a page opened before."""
    return _posted(url, f"{url}/{button}", [("token", csrf_token(url))])


def pressed_on(shown: Response, url: str, button: str) -> Request | None:
    """Return the request for a button of a page as it is shown, or None without it."""
    form = Form()
    form.feed(shown.body.decode())
    if button not in form.buttons:
        return None
    where, more = form.buttons[button]
    return _posted(url, urljoin(url, where), [*form.hidden, *more], *_cookies(shown))


def _posted(
    page: str, url: str, fields: Iterable[tuple[str, str]], *cookies: tuple[str, str]
) -> Request:
    headers = (
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Origin", "{0.scheme}://{0.netloc}".format(urlsplit(page))),
        ("Sec-Fetch-Site", "same-origin"),
        *cookies,
    )
    return Request(
        method="POST", target=target_of(url), headers=headers, body=urlencode([*fields]).encode()
    )


@frozen
class Visitor:
    """A visitor of the URLs of next actions.

    Args:
        send: A function that sends a request to the server.
    """

    send: Callable[[Request], Response]

    def finish(self, url: str) -> str | None:
        """Finish a page; return `gone` if it has nothing to finish."""
        return self.press(url, "finish")

    def cancel(self, url: str) -> str | None:
        """Cancel a page; return `gone` if it has nothing to cancel."""
        return self.press(url, "cancel")

    def press(self, url: str, button: str) -> str | None:
        """Open a page and press a button, without a result."""
        asked = pressed_on(self.send(Request("GET", target_of(url))), url, button)
        if asked is None:
            return GONE
        answer = self.send(asked)
        assert answer.status < 500, answer
        return None


def target_of(url: str) -> str:
    """Return the request target of a URL."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _cookies(shown: Response) -> list[tuple[str, str]]:
    sets = [value.partition(";")[0] for name, value in shown.headers if name == "set-cookie"]
    return [("Cookie", "; ".join(sets))] if sets else []
