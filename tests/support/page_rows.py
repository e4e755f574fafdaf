"""Checks of the hosted pages of any store, from a new URL to the purge."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from curae_lifecycle import ApiKey, Tombstoned, record, serve
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.service.hosted_page import HostedPage, PageKind
from curae_lifecycle.stores.contract import Store
from curae_lifecycle.stores.hosted_pages import csrf_token
from curae_lifecycle.stores.new_ids import RandomIds
from tests.support.server import API_KEY, CALLER, request
from tests.support.strategies import COORDINATE, TICK, at

MINT: Final = RandomIds("https://connect.example/")


class PagesStore(Store, Protocol):
    """A store with callers, pages and purges."""

    def register(self, api_key: ApiKey, caller: Caller) -> None: ...
    def hosted_page(self, url: str) -> HostedPage | None: ...
    def purge(self) -> object: ...


def check_pages(
    store: PagesStore, set_clock: Callable[[datetime], None], rows: Callable[[], list[str]]
) -> None:
    """Check a store against all promises about its pages.

    Args:
        store: An empty store, at `START`.
        set_clock: A function that sets its clock.
        rows: A function that returns all stored page rows as text.
    """
    store.register(ApiKey(API_KEY), CALLER)

    def ask(operation: str, key: str) -> str:
        answer = serve(store, request(operation, key=key), MINT).response
        assert answer.status == 201
        return str(json.loads(answer.body)["nextAction"]["url"])

    connecting, entering = ask("create", "k-1"), ask("initiate", "k-2")
    earlier, first = ask("graduation", ""), ask("graduation", "")
    record(store, Tombstoned(COORDINATE))
    entering_again = ask("initiate", "k-3")
    second = ask("graduation", "")
    urls = (connecting, entering, first, entering_again, second)

    assert store.hosted_page(earlier) is None
    found = [store.hosted_page(url) for url in urls]
    pages = [each for each in found if each is not None]
    connection, session, user = PageKind
    assert [each.kind for each in pages] == [connection, session, user, session, user]
    assert {each.expires_at for each in pages} == {at(30)}
    # Each of the two users of the coordinate has a page that names them.
    assert pages[2].coordinate == pages[4].coordinate == COORDINATE
    named = pages[2].user_id, pages[4].user_id
    assert named[0] != named[1]
    assert "" not in named

    kept = rows()
    assert len(kept) == 5
    for url in (*urls, earlier):
        for secret in (url, url.rpartition("/")[2], csrf_token(url)):
            assert secret not in "".join(kept)
    for now, then in ((at(30) - TICK, found), (at(30), [None] * 5), (at(35) - TICK, [None] * 5)):
        set_clock(now)
        store.purge()
        assert len(rows()) == 5
        assert [store.hosted_page(url) for url in urls] == then
    assert COORDINATE.app_user_id in "".join(rows())
    # Nothing of the user or the pages is left.
    set_clock(at(35))
    store.purge()
    assert rows() == []
