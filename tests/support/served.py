"""A store with the loop of `serve` as a server for the conformance kit, on a movable clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Protocol

import attrs

from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.binding import present_era
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import ConnectionId, Environment
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.contract import Store
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.retry import RetryPolicy
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.stores.sql.statement import Dialect, Rows, Statement
from curae_lifecycle.testing.conformance import ApiKeyRequest, Server
from curae_lifecycle.testing.conformance.fact_hooks import FactHooks, caller_of
from curae_lifecycle.web.request import Request
from tests.support.sql.databases import Forwarding

MINT = RandomIds("https://connect.example/")

PATIENCE = RetryPolicy(attempts=1000, seconds=60, attempt_seconds=60)
"""A retry policy for slow machines."""


RACES = 3
"""The number of rounds of a race."""

NOT_THERE = ("change_key_id", "withdraw", "finish", "cancel", "purge", "outbox")
"""The hooks that are missing here."""


class Clock:
    """The time of this machine plus an offset."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead  # noqa: TID251 - a server's own

    @property
    def micros(self) -> int:
        return self.ahead // timedelta(microseconds=1)


@attrs.define
class MovedDatabase(Forwarding):
    """A database with a movable clock."""

    clock: Clock

    def rows(self, statement: Statement) -> Rows:
        if self.dialect is Dialect.SQLITE:
            # It gets the time as its first value.
            now = time.time_ns() // 1000 + self.clock.micros
            return super().rows(statement._replace(values=(now, *statement.values[1:])))
        moved = f"(clock_timestamp() + INTERVAL '{self.clock.micros} microseconds')"
        text = statement.text.replace("clock_timestamp()", moved)
        return super().rows(statement._replace(text=text))


class Registry(Protocol):
    """The registration of API keys."""

    def register(self, api_key: ApiKey, caller: Caller) -> None: ...


class Served(FactHooks):
    """A store with the loop of `serve`.

    Args:
        store: The store.
        registry: The registration of API keys.
        clock: The clock of the store.
        fill: A function that fills every bucket.
    """

    def __init__(
        self, store: Store, registry: Registry, clock: Clock, fill: Callable[[], object]
    ) -> None:
        self.store = store
        self.registry = registry
        self.moved = clock
        self.fill = fill
        self.settings = Settings()
        self.numbers = count(1)

    def send(self, request: Request) -> Response:
        return serve(
            self.store,
            request=request,
            id_factory=MINT,
            settings=self.settings,
            retry_policy=PATIENCE,
        ).response

    def make_key(self, wanted: ApiKeyRequest) -> str:
        text = f"cae_{wanted.environment}_{next(self.numbers)}"
        self.register_again(text, wanted)
        return text

    def register_again(self, api_key: str, wanted: ApiKeyRequest) -> None:
        self.registry.register(ApiKey(api_key), caller_of(api_key, wanted))

    def pass_time(self, span: timedelta) -> None:
        self.moved.ahead += span

    def turn_clock_back(self, span: timedelta) -> None:
        self.moved.ahead -= span

    def replace_buckets(self, buckets: tuple[Bucket, ...] | None) -> None:
        self.settings = Settings(buckets=buckets or ())
        self.fill()

    def clock(self) -> datetime:
        return self.moved()

    def record_fact(self, fact: Fact) -> FactAnswer:
        return record(self.store, fact, retry_policy=PATIENCE)

    def may_read(self, connection_id: str, package: str) -> bool:
        loaded = self.store.load(Needs(connection=ConnectionId(connection_id)))
        assert loaded.snapshot.connection is not None
        return isinstance(
            decide_access(
                loaded.snapshot.connection,
                package,
                loaded.now,
                era=present_era(loaded.snapshot.binding),
            ),
            Granted,
        )

    def server(self, environment: Environment | None = None) -> Server:
        return attrs.evolve(
            self.as_server(self.send, environment),
            turn_clock_back=self.turn_clock_back,
            race_rounds=RACES,
        )
