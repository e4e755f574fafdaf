"""Tests that no secret is logged, and that every failure is logged with its request id."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from typing import Final

import attrs
import pytest
import sqlalchemy as sa

from curae_lifecycle import ApiKey, ArgumentError, NewIds, Request, Response, RetryPolicy
from curae_lifecycle.servers.endpoint import Endpoint
from curae_lifecycle.servers.metrics import Metrics
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.new_ids import IdFactory
from curae_lifecycle.stores.serve import record
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.testing.conformance import run
from tests.servers.searching import Secrets
from tests.support import patiently
from tests.support.asking import KINDS, MINT, Asking, Log, header, logged
from tests.support.kit import Reference
from tests.support.patiently import PATIENCE, PATIENT
from tests.support.server import API_KEY, CALLER, KEYED, OPERATIONS, request
from tests.support.serving import BEFORE, faulty

SHORT: Final = RetryPolicy(seconds=0.2, attempts=3)
"""A retry policy for requests that must fail."""

THRICE: Final = RetryPolicy(seconds=60, attempts=3)
SECRET: Final = "a-secret-of-somebody"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@attrs.define
class Watched:
    """A server on a database, its requests and the failures injected into them.

    Attributes:
        store: The store in use.
        patience: The retry policy in use.
        mint: The id factory in use.
        pages: The handler of pages in use.
        injected: The failure that the log must have for each request id.
    """

    store: SqlStore
    log: Log
    mint: IdFactory = MINT
    pages: Callable[[Request], Response | None] = lambda _: None
    secrets: Secrets = attrs.field(factory=Secrets)
    injected: list[tuple[str, str]] = attrs.field(factory=list[tuple[str, str]])
    asked: int = 0
    patience: RetryPolicy = PATIENT
    metrics: Metrics = attrs.field(factory=Metrics)

    def __call__(self, asked: Request, failure: str | None = None) -> Response:
        endpoint = Endpoint(
            self.store,
            self.mint,
            hosted_pages=self.pages,
            counters=self.metrics,
            retry_policy=self.patience,
        )
        answer = endpoint(asked)
        self.asked += 1
        self.secrets.saw(asked, answer)
        named = header(answer, "x-request-id")
        assert named is not None
        if failure is not None:
            assert answer.status >= 500, answer
            self.injected.append((named, failure))
        return answer

    def missing(self) -> list[tuple[str, str]]:
        """Return the injected failures that the log lacks, each with its request id."""
        told = [
            (line.get("requestId"), str(line["message"]))
            for line in self.log.lines
            if line["level"] in {"WARNING", "ERROR"}
        ]
        return [
            (named, failure)
            for named, failure in self.injected
            if not [said for by, said in told if by == named and failure in said]
        ]


@pytest.fixture
def watched(url: str) -> Iterator[tuple[Watched, sa.Engine]]:
    engine = create_engine(url, timeout=PATIENCE)
    store = SqlStore(SqlDatabase(engine))
    store.create_tables()
    store.register(ApiKey(API_KEY), CALLER)
    with logged() as log:
        yield Watched(store, log), engine
    engine.dispose()


@pytest.mark.slow
def test_log_of_many_requests_has_every_failure_and_no_secret(
    watched: tuple[Watched, sa.Engine], url: str
) -> None:
    ask, engine = watched
    ordinary(ask)
    wrong(ask)
    failing(ask, engine, url)
    assert ask.secrets.in_log(ask.log) == set()
    assert ask.missing() == []
    assert len(ask.log.requests) == ask.asked
    assert {each["requestId"] for each in ask.log.lines if "requestId" in each} == {
        each["requestId"] for each in ask.log.requests
    }
    # No other request failed.
    failed = [each["requestId"] for each in ask.log.requests if str(each["status"]) >= "500"]
    assert sorted(map(str, failed)) == sorted(named for named, _ in ask.injected)


def key_of(word: str) -> str:
    return f"idempotency-{word}-{SECRET}"


def ordinary(ask: Watched) -> None:
    """Send every operation twice."""
    for operation in OPERATIONS:
        asked = request(operation, key=key_of(operation), user="ada-of-the-hill")
        for _ in range(2):
            assert ask(asked).status < 500


def wrong(ask: Watched) -> None:
    """Send requests that are refused: unknown callers, bad bodies, keys, paths and ids."""
    ada = "ada-of-the-hill"
    create = request("create", key=key_of("wrong"), user=ada)
    bodies = (b"{", b'"%s"' % SECRET.encode(), b'{"appUserId": 7}', b'{"%s": 1}' % SECRET.encode())
    for body in bodies:
        ask(attrs.evolve(create, body=body))
    for operation in KEYED:
        ask(request(operation, key=None, user=ada))
        ask(request(operation, key=SECRET * 20, user=ada))
    strange = (("Authorization", f"Bearer cae_live_{SECRET}"), ("X-Request-Id", SECRET))
    for headers in (strange, (("Authorization", SECRET),), ()):
        ask(attrs.evolve(create, headers=headers))
    for target in (f"/{SECRET}", f"/pages/{SECRET}", f"/api/sdk/v1/connections/{SECRET}?{SECRET}"):
        for method in ("GET", "POST", SECRET):
            ask(attrs.evolve(create, target=target, method=method))
    # Another request under a used key.
    ask(request("create", key=key_of("initiate"), user="somebody-else-there"))


def failing(ask: Watched, engine: sa.Engine, url: str) -> None:
    """Send requests that fail: locks, connections, tables, programs, pages."""
    create = request("create", key=key_of("failing"), user="ada-of-the-hill")
    with short_timeouts(ask, url), locked(url):
        ask(create, "the store cannot be used now")
        ask(attrs.evolve(create, method="POST"), "gave up after attempt")
    if engine.dialect.name == "postgresql":
        ended(url)
        said = len(ask.log.text)
        # The first attempt fails, and the request succeeds.
        assert ask(create).status == 201
        failed = ask.log.text[said:]
        assert "57P01" in failed or "OperationalError of postgresql" in failed
    renamed = "ALTER TABLE {} RENAME TO {}"
    with engine.begin() as connection:
        connection.exec_driver_sql(renamed.format("curae_connection", "elsewhere"))
    again = request("create", key=key_of("again"), user="ada-of-the-hill")
    ask(again, "a request failed: ")

    with engine.begin() as connection:
        connection.exec_driver_sql(renamed.format("elsewhere", "curae_connection"))
    ask.mint = mistaken
    ask(again, "programming error: ArgumentError")
    ask.mint = unforeseen
    ask(again, "a request failed: KeyError")
    ask.mint = MINT
    ask.pages = broken_page
    ask(Request("GET", f"/pages/{SECRET}"), "a page failed: KeyError")
    ask.pages = lambda _: None
    assert ask(again).status == 201


def mistaken(_: datetime) -> NewIds:
    raise ArgumentError("url", SECRET)


def unforeseen(_: datetime) -> NewIds:
    raise KeyError(SECRET)


def broken_page(_: Request) -> Response | None:
    raise KeyError(SECRET)


@contextmanager
def short_timeouts(ask: Watched, url: str) -> Iterator[None]:
    """Use short timeouts within the block."""
    patient, engine = ask.store, create_engine(url, timeout=0.1)
    ask.store, ask.patience = SqlStore(SqlDatabase(engine)), SHORT
    # It is connected already, so that a statement fails.
    patiently.run(lambda: ask.store.caller_of(""), 0.1)
    yield
    ask.store, ask.patience = patient, PATIENT
    engine.dispose()


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Hold the lock that every commit needs."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    engine = sa.create_engine(url)
    with engine.begin() as other:
        other.exec_driver_sql("LOCK TABLE curae_record IN EXCLUSIVE MODE")
        yield
    engine.dispose()


def ended(url: str) -> None:
    """End every other connection, as a restarted server does."""
    engine = sa.create_engine(url)
    with engine.begin() as other:
        other.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    engine.dispose()


@pytest.mark.parametrize("kind", KINDS)
def test_full_or_failing_store_logs_no_secret(kind: str) -> None:
    secrets = Secrets()
    create = request("create", key=key_of("full"), user="ada-of-the-hill")
    with logged() as log:
        for store in (faulty(capacity=0), faulty(callers=[BEFORE] * 9), faulty(loads=[BEFORE] * 9)):
            answer = Asking(kind=kind, store=store, patience=THRICE)(create)
            assert answer.status == 500
            secrets.saw(create, answer)
    assert secrets.in_log(log) == set()
    assert CALLER.customer_account_id not in log.text
    assert "no room" in log.text
    assert log.text.count("gave up after attempt 3") == 2


# --- Every kind of refusal --------------------------------------------------------------------


class Behind(Reference):
    """The kit's server behind an endpoint, which records the secrets sent and answered."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets = Secrets()
        self.world.clock = lambda: self.now
        stored = self.world.commit

        def commit(loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
            is_done = stored(loaded, changes, page)
            if is_done:
                self.changes.append(changes)
            return is_done

        self.world.commit = commit  # type: ignore[method-assign]  # as the outbox would be told

    def record_fact(self, fact: Fact) -> FactAnswer:
        self.tick()
        return record(self.world, fact)

    def send(self, request: Request) -> Response:
        self.tick()
        endpoint = Endpoint(
            self.world, partial(self.new_ids, next(self.numbers)), self.world.settings
        )
        answer = endpoint(request)
        self.secrets.saw(request, answer)
        self.hosted.note(request, answer)
        return answer


@pytest.mark.heavy
def test_server_under_the_conformance_checks_logs_no_secret() -> None:
    with logged() as log:
        behind = Behind()
        server = attrs.evolve(behind.server(), varying_headers=frozenset({"x-request-id"}))
        report = run(server, seed="1")
    assert not report.failed, str(report)
    assert behind.secrets.in_log(log) == set()
    refused = [each for each in log.requests if each["code"] is not None]
    kinds = {f"{each['operation']} {each['code']} {each['rules']}" for each in refused}
    assert len(refused) >= 1000
    assert len(kinds) >= 45
    assert all(each["level"] == "INFO" for each in log.lines)


def test_search_of_a_log_finds_each_kind_of_secret() -> None:
    """Find each kind of secret in a log that contains it."""
    create = request("create", key="k-1", user="ada-of-the-hill")
    holds: Mapping[str, str] = {
        "the API key": API_KEY,
        "its digest": ApiKey(API_KEY).digest(),
        "the idempotency key": "k-1",
        "the user": "ada-of-the-hill",
        "the path": "/api/sdk/v1/connections",
        "the body": '{"appUserId": "ada-of-the-hill"',
        "the page": "https://connect.example/page",
    }
    for what, text in holds.items():
        secrets = Secrets()
        answer = Response(201, (), b'{"nextAction": {"url": "https://connect.example/page"}}')
        secrets.saw(create, answer)
        with logged() as log:
            log.stream.write(f"said {text}\n")
        assert secrets.in_log(log), what
        log.stream.truncate(0)
        assert not secrets.in_log(log)
