"""Tests of the store of `docs/stores.md`: it runs, is short and keeps its promises."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Final, Protocol, cast

import pytest

import curae_lifecycle as curae
from curae_lifecycle import ApiKey, Request, StoreUnavailableError, record, serve
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.hosted_page import HostedPage, PageKind
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import ConnectionWrite, Write
from curae_lifecycle.stores.contract import Loaded, Store
from curae_lifecycle.stores.run_sync import run_sync
from curae_lifecycle.stores.serve import as_async_store
from curae_lifecycle.testing.races import SCENARIOS, StoreArena, race_all
from tests.support.memory import revoked_chain
from tests.support.page_rows import check_pages
from tests.support.paths import ROOT
from tests.support.replaced_pages import check_replaced_pages
from tests.support.server import API_KEY, CALLER, ID, request
from tests.support.serving import DIGEST, Clock, Numbered
from tests.support.strategies import COORDINATE, TICK, at, pending, uuid

PAGE: Final = (ROOT / "docs/stores.md").read_text(encoding="utf-8")
BLOCKS: Final = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


class PageStore(Store, Protocol):
    """The other members of the page's store."""

    database: sqlite3.Connection
    clock: Callable[[], datetime]

    def register(self, api_key: ApiKey, caller: Caller) -> None: ...
    def hosted_page(self, url: str) -> HostedPage | None: ...
    def purge(self) -> None: ...


class MakeStore(Protocol):
    def __call__(self, path: str, clock: Callable[[], datetime]) -> PageStore: ...


@cache
def make_store() -> MakeStore:
    """Return the class of the page's first two blocks."""
    namespace: dict[str, object] = {}
    for block in BLOCKS[:2]:
        exec(block, namespace)  # noqa: S102 - the page's own code
    return cast("MakeStore", namespace["SqliteStore"])


def test_stores_docs_page_runs_as_one_program() -> None:
    assert len(BLOCKS) == 3
    namespace: dict[str, object] = {}
    for block in BLOCKS:
        exec(block, namespace)  # noqa: S102 - the page's own code


def test_example_store_is_under_100_lines() -> None:
    lines = [line for block in BLOCKS[:2] for line in block.splitlines() if line.strip()]
    code = [line for line in lines if not line.startswith(("import ", "from "))]
    assert 80 < len(code) < 100
    assert max(map(len, lines)) <= 100


# --- The one command ------------------------------------------------------------------------


def blocks_of(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def checked(directory: Path, *options: str) -> list[str]:
    """Run the page's command on the page's module; return its output."""
    (end,) = blocks_of("py")
    (directory / "my_store.py").write_text("".join([*BLOCKS[:2], end]), encoding="utf-8")
    path = os.pathsep.join([str(directory), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "curae_lifecycle", "check", "my_store:empty", *options],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        check=False,
        timeout=900,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def shown() -> list[str]:
    (console,) = blocks_of("console")
    return console.splitlines()


@pytest.mark.heavy
def test_check_command_prints_what_the_stores_docs_page_shows(tmp_path: Path) -> None:
    asked, *told = shown()
    assert asked == "$ python -m curae_lifecycle check my_store:empty --strict"
    assert checked(tmp_path, "--strict") == told


@pytest.mark.slow
def test_races_on_the_example_store_equal_some_serial_order() -> None:
    store = make_store()(":memory:", Clock())
    every = [*race_all(StoreArena(store), SCENARIOS["the key has one request left"])]
    store.database.close()
    assert len(every) == 121
    assert [each for each in every if each.differences] == []


# --- Promises of the page -------------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[PageStore, PageStore, Clock]]:
    """The stores of two workers on one database."""
    clock = Clock()
    one, other = (make_store()(str(tmp_path / "curae.db"), clock) for _ in range(2))
    one.register(ApiKey(API_KEY), CALLER)
    yield one, other, clock
    one.database.close()
    other.database.close()


def ask(store: Store, asked: Request, first: int = 1) -> Response:
    return serve(store, asked, Numbered(first)).response


def count_of(store: PageStore, table: str) -> int:
    (count,) = store.database.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - our own words
    assert isinstance(count, int)
    return count


def test_example_store_worker_reads_a_commit_of_another_worker(
    two: tuple[PageStore, PageStore, Clock],
) -> None:
    one, other, _ = two
    made = ask(one, request("create"))
    assert (made.status, ask(other, request("create"), 2)) == (201, made)
    assert other.caller_of(DIGEST) == CALLER
    assert other.caller_of("nobody") is None


class Overtaken:
    """A store with one hook between load and commit."""

    def __init__(self, store: PageStore, meanwhile: Callable[[], object]) -> None:
        self.store = store
        self.meanwhile: Callable[[], object] | None = meanwhile
        self.commits: list[bool] = []

    def caller_of(self, key_digest: str) -> Caller | None:
        return self.store.caller_of(key_digest)

    def load(self, needs: Needs, key_digest: str | None = None) -> Loaded:
        loaded = self.store.load(needs, key_digest)
        self._overtake()
        return loaded

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        self.commits.append(self.store.commit(loaded, changes, page))
        return self.commits[-1]

    def _overtake(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()


def ready(store: PageStore, *asked: Request) -> None:
    for number, each in enumerate(asked, 1):
        assert ask(store, each, number).status in {200, 201}


CREATE, REVOKE = request("create", key="first"), request("revoke", key="second")
SIGN_UP = b'{"appUserId": "user-1", "preferSignup": true}'
INITIATE = request("initiate", key="first", body=SIGN_UP)
LANDED = curae.HandoffCompleted(curae.SessionId(uuid(1001)), curae.UserId("u-1"))

Doing = Request | Fact

RACES: Final[dict[str, tuple[tuple[Request, ...], Doing, Doing]]] = {
    "a key, twice": ((), request("create"), request("create")),
    "two reconnects": (
        (CREATE, REVOKE),
        request("reconnect", key="k-1"),
        request("reconnect", key="k-2"),
    ),
    "an authorization and a revocation": ((CREATE,), curae.Authorized(ID), request("revoke")),
    "a landing and a tombstone": ((INITIATE,), LANDED, curae.Tombstoned(COORDINATE)),
    "a landing, twice": ((INITIATE,), LANDED, LANDED),
    "two initiates": ((), request("initiate", key="k-1"), request("initiate", key="k-2")),
}
"""The stored data and two racing actions; each race meets at another kind of row."""


@pytest.mark.parametrize("race", RACES)
def test_example_store_conflict_makes_the_slower_worker_retry(
    race: str, two: tuple[PageStore, PageStore, Clock]
) -> None:
    one, other, _ = two
    before, first, second = RACES[race]
    ready(one, *before)
    overtaken = Overtaken(one, lambda: do(other, first, 20))
    do(overtaken, second, 30)
    assert overtaken.commits[:1] == [False]


def do(store: Store, what: Doing, first: int) -> None:
    if isinstance(what, Fact):
        record(store, what)
    else:
        ask(store, what, first)


def test_failed_commit_of_the_example_store_stores_nothing(
    two: tuple[PageStore, PageStore, Clock],
) -> None:
    one, other, _ = two
    loaded = one.load(Needs(), DIGEST)
    made: tuple[Write, ...] = (ConnectionWrite(None, pending()),)
    assert other.commit(other.load(Needs(), DIGEST), Changes(made))
    two_writes = (ConnectionWrite(None, pending(number=2)), *made)
    page = HostedPage(digest="digest", kind=PageKind.CONNECTION, subject=uuid(2), expires_at=at(30))
    assert not one.commit(loaded, Changes(two_writes), page)
    assert [count_of(one, table) for table in ("stored", "outbox")] == [2, 0]


def test_example_store_raises_unavailable_only_if_it_is_locked(
    two: tuple[PageStore, PageStore, Clock],
) -> None:
    one, other, _ = two
    one.database.execute("PRAGMA busy_timeout = 0")
    other.database.execute("BEGIN IMMEDIATE")
    loaded = one.load(Needs(), DIGEST)
    with pytest.raises(StoreUnavailableError, match="SQLITE_BUSY"):
        one.commit(loaded, Changes((ConnectionWrite(None, pending()),)))
    other.database.execute("ROLLBACK")
    assert one.commit(loaded, Changes((ConnectionWrite(None, pending()),)))
    one.database.execute("DROP TABLE stored")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        one.load(Needs(), DIGEST)


def test_example_store_replaces_an_earlier_hosted_page(
    two: tuple[PageStore, PageStore, Clock],
) -> None:
    one, _, clock = two
    ready(one, CREATE, REVOKE)
    url = "https://connect.example/{}".format
    ask(one, request("reconnect", key="k-1"), 20)
    ask(one, request("reconnect", key="k-2"), 21)
    assert one.hosted_page(url(20)) is None
    found = one.hosted_page(url(21))
    assert found is not None
    assert (found.kind, found.subject, found.expires_at) == ("connection", uuid(20), at(30))
    clock.now = at(30) - TICK
    assert one.hosted_page(url(21)) == found
    clock.now = at(30)
    assert one.hosted_page(url(21)) is None


def test_example_store_outbox_has_a_row_per_effect_and_event(
    two: tuple[PageStore, PageStore, Clock],
) -> None:
    one, _, _ = two
    ready(one, CREATE, REVOKE, request("get"))
    told = one.database.execute("SELECT kind, document FROM outbox ORDER BY number").fetchall()
    kinds = ["connection.created", "HandoffCancelled", "connection.revoked"]
    assert [kind for kind, _ in told] == kinds
    assert {json.loads(document)["kind"] for _, document in told} == set(kinds)


def kinds(store: PageStore) -> list[object]:
    select = "SELECT kind FROM stored ORDER BY kind"
    return [kind for (kind,) in store.database.execute(select).fetchall()]


def test_example_store_purges_hosted_page_5_minutes_after_end() -> None:
    clock = Clock()
    one = make_store()(":memory:", clock)
    kept = "SELECT * FROM stored WHERE kind = 'HostedPage'"
    set_clock = partial(setattr, clock, "now")
    check_pages(one, set_clock, lambda: [*map(str, one.database.execute(kept))])
    one.database.close()


def test_example_store_purges_rows_five_minutes_after_expiry(
    two: tuple[PageStore, PageStore, Clock],
) -> None:
    one, _, clock = two
    ready(one, CREATE, request("initiate"))
    clock.now = at(24 * 60 + 5) - TICK
    one.purge()
    assert "Record" in kinds(one)
    clock.now = at(24 * 60 + 5)
    one.purge()
    assert kinds(one) == ["Caller", "Connection", "CuraeConnectSession", "LimitedAccountAppBinding"]


@pytest.mark.slow
def test_replaced_hosted_page_on_example_store_changes_nothing(
    two: tuple[PageStore, PageStore, Clock],
) -> None:
    run_sync(check_replaced_pages(as_async_store(two[0])))


def test_example_store_loads_the_whole_chain_only_if_requested(
    two: tuple[PageStore, PageStore, Clock],
) -> None:
    one, _, _ = two
    chain = revoked_chain(200)
    writes = tuple(ConnectionWrite(None, each) for each in chain)
    assert one.commit(one.load(Needs(), DIGEST), Changes(writes))
    loaded = one.load(Needs(chain=chain[50].id)).snapshot
    assert (loaded.connection, loaded.following) == (chain[50], tuple(chain[51:]))
    line = one.load(Needs(connection=chain[50].id))
    assert line.snapshot.head == chain[-1]
    assert isinstance(line.seen, dict)
    assert len(line.seen) == 3, "what is loaded does not grow with the chain"


def test_example_store_finds_every_row_through_an_index() -> None:
    store = make_store()(":memory:", Clock())
    asked: list[str] = []
    store.database.set_trace_callback(asked.append)
    store.load(Needs(), DIGEST)
    store.database.set_trace_callback(None)
    (query,) = [text for text in asked if text.startswith("SELECT")]
    plan = store.database.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
    steps = [str(step) for *_, step in plan]
    store.database.close()
    assert any("users" in step for step in steps)
    assert [step for step in steps if step.startswith("SCAN stored")] == []
