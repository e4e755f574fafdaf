"""The HTML, the texts and the headers of the hosted pages."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from curae_lifecycle import ProblemCode, Response
from curae_lifecycle.service.hosted_page import PageKind
from curae_lifecycle.stores.hosted_pages import csrf_token

_STYLE: Final = """
:root { color-scheme: light dark; font: 1.1rem/1.5 system-ui, sans-serif; }
main { max-width: 32rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
button { font: inherit; min-height: 3rem; padding: 0 1.5rem; margin: 0 1rem 1rem 0; }
:focus-visible { outline: .2rem solid; outline-offset: .2rem; }
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = (
    "default-src 'none'",
    f"style-src 'sha256-{_STYLE_HASH}'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
)
_HEADERS: Final = (
    ("content-type", "text/html; charset=utf-8"),
    ("content-security-policy", "; ".join(_POLICY)),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
)
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
<main>
<h1>{title}</h1>
<p id="outcome">{text}</p>
{form}</main>
</html>
"""
_FORM: Final = """<form method="post">
<input type="hidden" name="token" value="{token}">
<button formaction="{path}/finish" id="finish">Finish</button>
<button formaction="{path}/cancel" id="cancel">Cancel</button>
</form>
"""

BACK: Final = "You can go back to the app."
QUESTIONS: Final = {
    PageKind.CONNECTION: (
        "Share your records?",
        "An app asks to read these records of yours for 90 days: {}. You can end it in the app at any time.",
    ),
    PageKind.SESSION: ("Sign up?", "The app goes on with your new account."),
    PageKind.USER: ("Complete your account?", "The app goes on with it."),
}
NOWHERE: Final = (404, "Nothing here", "This page is over, or a newer one took its place.")
_OVER: Final = (410, "This page is over", "The app can ask you again.")
_ENDED: Final = "It was ended, or has to be renewed: nothing is shared here now."
CHANGED: Final = (410, "The account changed", "This page was about one that is gone.")
REFUSED: Final = {
    ProblemCode.NOT_FOUND: NOWHERE,
    ProblemCode.CONNECTION_NOT_PENDING: (410, "Nothing to share", _ENDED),
    ProblemCode.CONNECTION_SUPERSEDED: (410, "Asked again", "A newer page took this one's place."),
    ProblemCode.HANDOFF_LAPSED: _OVER,
    ProblemCode.SESSION_EXPIRED: _OVER,
    ProblemCode.HANDOFF_NOT_REQUIRED: (200, "All set", f"Nothing is asked of you. {BACK}"),
    ProblemCode.BINDING_CHANGED: CHANGED,
    ProblemCode.BINDING_CONFLICT: CHANGED,
}
"""The page to show if a finish would be refused, by problem code: status, heading and text."""


def show(status: int, title: str, text: str, *more: tuple[str, str], form: str = "") -> Response:
    """Return a page with a heading, one paragraph and a form if given; `more` are more headers."""
    title, text = html.escape(title), html.escape(text)
    page = _PAGE.format(title=title, text=text, style=_STYLE, form=form)
    return Response(status, (*_HEADERS, *more), page.encode())


def show_question(
    url: str, kind: PageKind, packages: Iterable[str], *, cancelled: bool
) -> Response:
    """Return a page with a question, two buttons and a hidden token against forged requests."""
    title, text = QUESTIONS[kind]
    text = text.format(", ".join(packages).replace("_", " "))
    if cancelled:
        text = f"Nothing was cancelled, and nothing is done before you finish. {BACK}"
    form = _FORM.format(path=html.escape(urlsplit(url).path), token=csrf_token(url))
    return show(200, title, text, form=form)
