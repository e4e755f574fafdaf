"""Checks of any store that a hosted page which was replaced, or is gone, cannot act."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final

import attrs

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.values import AppUserId, ConnectionId, Coordinate
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.hosted_page import HostedPage, url_digest
from curae_lifecycle.service.settings import DEFAULT_SETTINGS
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import AsyncStore, Loaded
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.request_loop import answer_fact, answer_request
from curae_lifecycle.stores.retry import (
    DEFAULT_RETRY_POLICY,
    Retrier,
    async_retrier,
    blocking_retrier,
)
from tests.support.server import request
from tests.support.strategies import COORDINATE

_MINT: Final = RandomIds("https://connect.example/")
_KEYS: Final = count(1)

Meanwhile = Callable[[], Awaitable[object]]


@attrs.define
class Interrupted:
    """A store with one hook before the next load, and one before the next commit, of a fact."""

    store: AsyncStore
    before_load: Meanwhile | None = None
    before_commit: Meanwhile | None = None

    async def caller_of(self, key_digest: str) -> Caller | None:
        return await self.store.caller_of(key_digest)

    async def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        meanwhile, self.before_load = self.before_load, None
        if meanwhile is not None:
            await meanwhile()
        return await self.store.load(needs, key_digest)

    async def commit(
        self, loaded: Loaded, changes: Changes, page: HostedPage | None = None
    ) -> bool:
        meanwhile, self.before_commit = self.before_commit, None
        if meanwhile is not None:
            await meanwhile()
        return await self.store.commit(loaded, changes, page)


@attrs.frozen
class Opened:
    """A page that an app opened, and how it opens a newer page about the same.

    Attributes:
        url: The URL of the page.
        fact: Builds the fact that a press on the page with a URL reports.
        again: Opens a newer page and returns its URL.
        revoke: Revokes the connection of the page; `None` for a graduation.
    """

    url: str
    fact: Callable[[str], Fact]
    again: Callable[[], Awaitable[str]]
    revoke: Meanwhile | None = None


def _retrier() -> Retrier:
    # A blocking store runs without an event loop, as in `serve` and `record`.
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return blocking_retrier(DEFAULT_RETRY_POLICY)
    return async_retrier(DEFAULT_RETRY_POLICY)


async def _record(store: AsyncStore, fact: Fact) -> FactAnswer:
    return await answer_fact(store, fact, _retrier())


async def _ask(store: AsyncStore, operation: str, user: str, id_: str = "") -> dict[str, object]:
    asked = request(operation, id=id_, user=user, key=f"k-{next(_KEYS)}")
    answer = await answer_request(
        store, request=asked, id_factory=_MINT, settings=DEFAULT_SETTINGS, retrier=_retrier()
    )
    assert answer.response.status in {200, 201}, answer
    found: dict[str, object] = json.loads(answer.response.body)
    return found


def _member(answer: dict[str, object], outer: str, inner: str) -> str:
    held = answer[outer]
    assert isinstance(held, dict)
    return str(held[inner])


async def _open_recovery(
    store: AsyncStore, user: str, fact: Callable[[ConnectionId, str], Fact]
) -> Opened:
    first = _member(await _ask(store, "create", user), "connection", "id")
    await _ask(store, "revoke", user, id_=first)

    async def reconnect() -> dict[str, object]:
        return await _ask(store, "reconnect", user, id_=first)

    recovered = await reconnect()
    successor = ConnectionId(_member(recovered, "connection", "id"))

    async def again() -> str:
        return _member(await reconnect(), "nextAction", "url")

    return Opened(
        url=_member(recovered, "nextAction", "url"),
        fact=lambda url: fact(successor, url),
        again=again,
        revoke=lambda: _ask(store, "revoke", user, id_=successor),
    )


async def _open_authorization(store: AsyncStore, user: str) -> Opened:
    return await _open_recovery(store, user, lambda id_, url: Authorized(id_, page_url=url))


async def _open_cancellation(store: AsyncStore, user: str) -> Opened:
    return await _open_recovery(
        store, user, lambda id_, url: Revoked(id_, Actor.PATIENT, page_url=url)
    )


def _coordinate(user: str) -> Coordinate:
    return attrs.evolve(COORDINATE, app_user_id=AppUserId(user))


async def _open_graduation(store: AsyncStore, user: str) -> Opened:
    await _ask(store, "initiate", user)
    bound = (await store.load(Needs(binding=_coordinate(user)))).snapshot.binding
    assert bound is not None

    async def again() -> str:
        return _member(await _ask(store, "graduation", user), "nextAction", "url")

    return Opened(
        url=await again(),
        fact=lambda url: Graduated(_coordinate(user), bound.user_id, page_url=url),
        again=again,
    )


_OPENERS: Final = (_open_authorization, _open_cancellation, _open_graduation)
_HOOKS: Final = ("before_load", "before_commit")


def _expect_refused(answer: FactAnswer, code: str) -> None:
    assert isinstance(answer, Refused), answer
    assert answer.problem.code == code
    if code == "NOT_FOUND":
        assert answer.rules == ("request.ownership",)


async def check_replaced_pages(store: AsyncStore, prefix: str = "user") -> None:
    """Check every kind of page, replaced before the load and between the load and the commit.

    Args:
        store: A store in which `API_KEY` is registered for `CALLER`. For a blocking store, run the
            check with `run_sync`, on what `as_async_store` returns.
        prefix: The first part of the ids of the app users that the check makes.
    """
    users = (f"{prefix}-{number}" for number in count(1))
    for open_page in _OPENERS:
        for hook in _HOOKS:
            opened = await open_page(store, next(users))
            await _check_replaced(store, opened, hook)
            opened = await open_page(store, next(users))
            await _check_live(store, opened)
    for open_page in _OPENERS[:2]:
        for hook in _HOOKS:
            await _check_revoked(store, await open_page(store, next(users)), hook)


async def _check_replaced(store: AsyncStore, opened: Opened, hook: str) -> None:
    newer: list[str] = []

    async def replace() -> None:
        newer.append(await opened.again())

    before = (await store.load(opened.fact(opened.url).needs())).snapshot
    interrupted = Interrupted(store)
    setattr(interrupted, hook, replace)
    _expect_refused(await _record(interrupted, opened.fact(opened.url)), "NOT_FOUND")
    (url,) = newer
    after = (await store.load(opened.fact(url).needs())).snapshot
    # Nothing acted: the connection is still pending, and the user still LIMITED.
    assert after.page is not None
    assert (after.page.digest, after.page.version) == (url_digest(url), 1)
    if before.connection is not None and after.connection is not None:
        assert after.connection.status == before.connection.status == "PENDING"
    else:
        assert after.binding == before.binding
        assert after.binding is not None
        assert after.binding.state is AccountState.LIMITED
    assert isinstance(await _record(store, opened.fact(url)), Done)
    assert isinstance(await _record(store, opened.fact(url)), Ignored)
    _expect_refused(await _record(store, opened.fact(opened.url)), "NOT_FOUND")


async def _check_live(store: AsyncStore, opened: Opened) -> None:
    fact = opened.fact(opened.url)
    assert isinstance(await _record(store, fact), Done)
    acted = (await store.load(fact.needs())).snapshot.page
    assert acted is not None
    assert (acted.digest, acted.version) == (url_digest(opened.url), 2)
    assert isinstance(await _record(store, fact), Ignored)
    assert (await store.load(fact.needs())).snapshot.page == acted
    _expect_refused(await _record(store, opened.fact(f"{opened.url}x")), "NOT_FOUND")


async def _check_revoked(store: AsyncStore, opened: Opened, hook: str) -> None:
    # The page of a revoked connection is still there; once it is replaced, it is not.
    assert opened.revoke is not None
    interrupted, fact = Interrupted(store), opened.fact(opened.url)
    setattr(interrupted, hook, opened.revoke)
    answer = await _record(interrupted, fact)
    if isinstance(fact, Authorized):
        _expect_refused(answer, "CONNECTION_NOT_PENDING")
    else:
        assert isinstance(answer, Ignored)
    found = (await store.load(fact.needs())).snapshot
    assert found.connection is not None
    assert (found.connection.status, found.connection.revoked_by) == ("REVOKED", Actor.APP)
