"""What a browser sends where a person presses a button of a hosted page."""

from __future__ import annotations

from urllib.parse import urlsplit

from curae_lifecycle.stores.pages import form_token
from curae_lifecycle.web.request import Request


def pressed(url: str, button: str) -> Request:
    """The form of the page of a URL, sent by one of its buttons."""
    headers = (
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Sec-Fetch-Site", "same-origin"),
    )
    return Request(
        "POST", f"{urlsplit(url).path}/{button}", headers, f"token={form_token(url)}".encode()
    )
