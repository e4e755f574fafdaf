"""An app and its user on a store with hooks, for tests of hosted pages."""

from __future__ import annotations

import asyncio
import base64
import copy
import hashlib
import html
import json
import re
from collections.abc import Callable

import attrs
import hosted_pages
from settings import IDS, PUBLIC_URL

from curae_lifecycle import ApiKey, MemoryStore, Request, Response, record, serve
from curae_lifecycle.rules.connection import Connection, Standing, standing
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.hosted_pages import csrf_token
from tests.support.server import API_KEY, CALLER, ID, request
from tests.support.serving import Awaited, Clock


class Meddled(MemoryStore):
    """A store that calls a hook once between a lookup and what follows.

    Attributes:
        found: Called after the next page was found.
        loaded: Called after the next fact was loaded.
        looked: How often a page was looked up.
    """

    found: Callable[[], object] | None = None
    loaded: Callable[[], object] | None = None
    looked: int = 0

    def hosted_page(self, url: str) -> HostedPage | None:
        self.looked += 1
        page, meanwhile, self.found = super().hosted_page(url), self.found, None
        happen(meanwhile)
        return page

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        loaded = super().load(needs, key_digest)
        if key_digest is None:
            meanwhile, self.loaded = self.loaded, None
            happen(meanwhile)
        return loaded


def happen(meanwhile: Callable[[], object] | None) -> None:
    if meanwhile is not None:
        meanwhile()


class AwaitedPages(Awaited):
    """The same store, async."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.pages = store

    async def hosted_page(self, url: str) -> HostedPage | None:
        await asyncio.sleep(0)
        return self.pages.hosted_page(url)


@attrs.define
class App:
    """An app that calls a server, and its user who opens pages."""

    awaited: bool
    clock: Clock = attrs.field(factory=Clock)
    asked: int = 0
    store: Meddled = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.store = Meddled(clock=self.clock)
        self.store.register(ApiKey(API_KEY), CALLER)

    def ask(self, operation: str, connection_id: str = ID, body: bytes | None = None) -> Response:
        self.asked += 1
        asked = request(operation, id=connection_id, key=f"k-{self.asked}", body=body)
        return serve(self.store, asked, IDS).response

    def sign_up(self) -> str:
        """Return the URL of a page for a sign-up."""
        body = b'{"appUserId": "user-1", "preferSignup": true}'
        return url_of(self.ask("initiate", body=body))

    def create(self) -> tuple[ConnectionId, str]:
        """Create a connection; return it and the URL of its page."""
        return made(self.ask("create"))

    def recover(self, connection_id: ConnectionId) -> tuple[ConnectionId, str]:
        """Reconnect a connection; return its successor and the URL of the page."""
        return made(self.ask("reconnect", connection_id))

    def revoke(self, connection_id: ConnectionId) -> None:
        assert self.ask("revoke", connection_id).status == 200

    def graduate(self) -> str:
        """Return the URL of a page that graduates the LIMITED user."""
        return url_of(self.ask("graduation"))

    def happens(self, fact: Fact) -> None:
        record(self.store, fact)

    def beside(self) -> App:
        """Return the same app in blocking mode, for use inside a store call."""
        other = copy.copy(self)
        other.awaited = False
        return other

    def send(self, asked: Request) -> Response | None:
        if self.awaited:
            return asyncio.run(hosted_pages.serve_async(AwaitedPages(self.store), asked))
        return hosted_pages.serve(self.store, asked)

    def shown(self, asked: Request) -> Response:
        answer = self.send(asked)
        assert answer is not None
        check_dress(answer)
        return answer

    def visit(self, url: str) -> tuple[int, str, str]:
        """Return what a page shows."""
        return seen(self.shown(Request("GET", path_of(url))))

    def press(self, url: str, button: str, token: str | None = None) -> tuple[int, str, str]:
        """Press a button of a page; return what the page shows."""
        body = f"token={csrf_token(url) if token is None else token}".encode()
        asked = Request(method="POST", target=f"{path_of(url)}/{button}", headers=(), body=body)
        return seen(self.shown(asked))

    def connection(self, connection_id: ConnectionId) -> Connection:
        held = self.store.connection(connection_id)
        assert held is not None
        return held

    def is_now(self, connection_id: ConnectionId) -> Standing:
        return standing(self.connection(connection_id), self.clock.now, era=None)

    def account(self) -> str:
        return str(json.loads(self.ask("account-state").body)["lifecycleState"])


def made(answer: Response) -> tuple[ConnectionId, str]:
    assert answer.status == 201, answer
    return ConnectionId(json.loads(answer.body)["connection"]["id"]), url_of(answer)


def url_of(answer: Response) -> str:
    assert answer.status == 201, answer
    return str(json.loads(answer.body)["nextAction"]["url"])


def path_of(url: str) -> str:
    return url.removeprefix(PUBLIC_URL)


def seen(answer: Response) -> tuple[int, str, str]:
    """Return the status, the heading and the paragraph of a page."""
    page = html.unescape(answer.body.decode())
    (heading,) = re.findall("<h1>(.*)</h1>", page)
    (text,) = re.findall('<p id="outcome">(.*)</p>', page)
    return answer.status, heading, text


def check_dress(answer: Response) -> None:
    """Check the headers of a page."""
    headers = dict(answer.headers)
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{hash_of_style(answer.body.decode())}'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]


def hash_of_style(page: str) -> str:
    (style,) = re.findall("<style>(.*)</style>", page, re.DOTALL)
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
