"""Tests of the recipe of `docs/conformance.md` that moves a server's clock in PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final, cast

import attrs
import pytest
import sqlalchemy as sa

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.testing.conformance import CHECKS, ApiKeyRequest, Server, run
from curae_lifecycle.testing.conformance.fact_hooks import FactHooks, caller_of
from curae_lifecycle.web.request import Request
from tests.support.paths import ROOT

PAGE: Final = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")
PATIENT: Final = RetryPolicy(attempts=1000, seconds=60, attempt_seconds=60)
FAMILIES: Final = ("bucket", "standing", "limit", "access", "request")


class Recipe(FactHooks):
    """A server in PostgreSQL, with the hooks of the page."""

    def __init__(self, store: SqlStore, engine: sa.Engine) -> None:
        namespace: dict[str, object] = {"engine": engine}
        (program,) = re.findall(r"^```py\n(import json\n.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        exec(program, namespace)  # noqa: S102 - the page's own code
        self.settings = cast("Callable[[], Settings]", namespace["current_settings"])
        self.move = cast("Callable[[timedelta], None]", namespace["pass_time"])
        self.move_back = cast("Callable[[timedelta], None]", namespace["turn_clock_back"])
        self.replace = cast(
            "Callable[[tuple[Bucket, ...] | None], None]", namespace["replace_buckets"]
        )
        self.store = store
        self.numbers = count(1)

    def send(self, request: Request) -> Response:
        ids = RandomIds("https://connect.example/")
        answer = serve(self.store, request, ids, settings=self.settings(), retry_policy=PATIENT)
        return answer.response

    def make_key(self, wanted: ApiKeyRequest) -> str:
        text = f"cae_{wanted.environment}_{next(self.numbers)}"
        self.register_again(text, wanted)
        return text

    def register_again(self, api_key: str, wanted: ApiKeyRequest) -> None:
        self.store.register(ApiKey(api_key), caller_of(api_key, wanted))

    def pass_time(self, span: timedelta) -> None:
        self.move(span)

    def turn_clock_back(self, span: timedelta) -> None:
        self.move_back(span)

    def replace_buckets(self, buckets: tuple[Bucket, ...] | None) -> None:
        self.replace(buckets)

    def may_read(self, connection_id: str, package: str) -> bool:
        raise NotImplementedError(connection_id, package)  # no check of the page asks for access

    def clock(self) -> datetime:
        return self.store.load(Needs()).now

    def record_fact(self, fact: Fact) -> FactAnswer:
        return record(self.store, fact, retry_policy=PATIENT)

    def server(self) -> Server:
        """Return the server with the page's hooks."""
        return attrs.evolve(
            self.as_server(self.send, None),
            turn_clock_back=self.turn_clock_back,
            may_read=None,
        )


@pytest.fixture
def recipe(postgres_url: str) -> Iterator[Recipe]:
    (setup,) = re.findall(r"^```postgresql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    first = sa.create_engine(postgres_url)
    with first.begin() as connection:
        connection.exec_driver_sql(setup)
    first.dispose()
    served, testing = create_engine(postgres_url), sa.create_engine(postgres_url)
    store = SqlStore(SqlDatabase(served))
    store.create_tables()
    yield Recipe(store, testing)
    served.dispose()
    testing.dispose()


@pytest.mark.heavy
def test_kit_passes_server_with_the_documented_database_clock(recipe: Recipe) -> None:
    names = [
        each.name
        for each in CHECKS
        if each.name.partition(".")[0] in FAMILIES
        and {"pass_time", "replace_buckets"} & set(each.hooks)
        and "may_read" not in each.hooks
    ]
    report = run(recipe.server(), only=names, seed="1")
    assert not report.failed, str(report)
    assert not report.not_run, str(report)
    assert len(report.passed) > 15


@pytest.mark.slow
def test_documented_hook_moves_the_database_clock_three_days(recipe: Recipe) -> None:
    recipe.pass_time(timedelta(days=3))
    ahead = recipe.clock() - datetime.now(UTC)  # noqa: TID251 - what the database's is compared with
    assert timedelta(days=3) - timedelta(minutes=1) < ahead < timedelta(days=3, minutes=1)


@pytest.mark.slow
def test_documented_hook_replaces_and_restores_the_buckets(recipe: Recipe) -> None:
    bucket = Bucket(name="platform", capacity=1, refill=1, seconds=60)
    recipe.replace_buckets((bucket,))
    assert recipe.settings() == Settings(buckets=(bucket,))
    recipe.replace_buckets(None)
    assert recipe.settings() == Settings()
