"""Places for the checks of similar ids: a store, and a server with a database."""

from __future__ import annotations

from typing import Final

import attrs

from curae_lifecycle import ApiKey, Bucket, Caller, ConnectionId, Request, Response, Settings
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.values import Coordinate
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.serve import record, serve
from curae_lifecycle.stores.sql.store import SqlStore
from tests.support.wire.running import Behind, RunningServer

MINT: Final = RandomIds("https://connect.example/")


@attrs.define
class Stored:
    """A store that is used without a server."""

    store: SqlStore
    settings: Settings = attrs.field(factory=Settings)

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        self.store.register(api_key, caller)

    def send(self, request: Request) -> Response:
        return serve(self.store, request=request, id_factory=MINT, settings=self.settings).response

    def record_fact(self, fact: Fact) -> FactAnswer:
        return record(self.store, fact)

    def replace_buckets(self, buckets: tuple[Bucket, ...]) -> None:
        self.settings = Settings(buckets=buckets)

    def connection(self, connection_id: ConnectionId) -> Connection | None:
        asked = Needs(connection=connection_id)
        return self.store.load(asked).snapshot.connection

    def binding(self, coordinate: Coordinate) -> LimitedAccountAppBinding | None:
        return self.store.load(Needs(binding=coordinate)).snapshot.binding


@attrs.frozen
class Served:
    """A server in its own process, and its database."""

    server: RunningServer
    behind: Behind

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        self.behind.store.register(api_key, caller)

    def send(self, request: Request) -> Response:
        answer = self.server.send(request)
        # Headers that a server adds are not compared.
        kept = tuple([each for each in answer.headers if each[0] in {"etag", "retry-after"}])
        return Response(answer.status, kept, answer.body)

    def record_fact(self, fact: Fact) -> FactAnswer:
        return self.behind.record_fact(fact)

    def replace_buckets(self, buckets: tuple[Bucket, ...]) -> None:
        self.behind.replace_buckets(buckets)

    def connection(self, connection_id: ConnectionId) -> Connection | None:
        asked = Needs(connection=connection_id)
        return self.behind.store.load(asked).snapshot.connection

    def binding(self, coordinate: Coordinate) -> LimitedAccountAppBinding | None:
        return self.behind.store.load(Needs(binding=coordinate)).snapshot.binding
