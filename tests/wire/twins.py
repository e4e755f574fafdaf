"""Places in databases: what has to keep twins apart in the stores of the examples.

`python -m tests.wire.twins few|all` runs every check on Django's own store, in the database
that DATABASE_URL names: Django is set up once for a whole process, so it gets one of its own.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Final

import attrs
import hosted_pages
import service
from store import Store

from curae_lifecycle import (
    ApiKey,
    Bucket,
    Caller,
    ConnectionId,
    Decision,
    Request,
    Response,
    Settings,
    bearer,
    decide,
    needs,
    read,
    respond,
)
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.values import Coordinate
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, FactNeeds
from tests.twins import FEW, TWINS, check_all
from tests.wire.running import Behind, RunningServer, transact

# Later than any clock, since a cache drops by its own what is over.
NOW: Final = datetime(2040, 1, 5, 9, tzinfo=UTC)


@attrs.define
class Stored:
    """A store in a transaction that is open, where time stands still."""

    store: Store
    settings: Settings = attrs.field(factory=Settings)

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        self.store.register(api_key, caller)

    def send(self, request: Request) -> Response:
        call = read(request, self.store.caller(bearer(request)), NOW, self.settings)
        if isinstance(call, Decision):
            return respond(call).response
        snapshot = self.store.load(needs(call))
        answer = respond(decide(call, snapshot, NOW, service.mint(NOW)))
        self.store.store(answer.changes)
        return answer.response

    def recorded(self, fact: Fact) -> FactAnswer:
        return hosted_pages.record(self.store, fact, NOW)

    def replace_buckets(self, buckets: tuple[Bucket, ...]) -> None:
        self.settings = Settings(buckets=buckets)

    def connection(self, connection_id: ConnectionId) -> Connection | None:
        return self.store.load_fact(FactNeeds(connection=connection_id)).connection

    def binding(self, coordinate: Coordinate) -> LimitedAccountAppBinding | None:
        return self.store.load_fact(FactNeeds(binding=coordinate)).binding


@attrs.frozen
class Served:
    """A server in a process of its own, and the database behind it."""

    server: RunningServer
    behind: Behind

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        transact(self.behind.engine, lambda store: store.register(api_key, caller))

    def send(self, request: Request) -> Response:
        answer = self.server.send(request)
        # What a server adds of its own is no part of the answer.
        kept = tuple([each for each in answer.headers if each[0] in {"etag", "retry-after"}])
        return Response(answer.status, kept, answer.body)

    def recorded(self, fact: Fact) -> FactAnswer:
        return self.behind.recorded(fact)

    def replace_buckets(self, buckets: tuple[Bucket, ...]) -> None:
        self.behind.replace_buckets(buckets)

    def connection(self, connection_id: ConnectionId) -> Connection | None:
        asked = FactNeeds(connection=connection_id)
        return transact(self.behind.engine, lambda store: store.load_fact(asked)).connection

    def binding(self, coordinate: Coordinate) -> LimitedAccountAppBinding | None:
        asked = FactNeeds(binding=coordinate)
        return transact(self.behind.engine, lambda store: store.load_fact(asked)).binding


def main(twins: str) -> None:
    import django_app  # noqa: F401, PLC0415 - sets Django up, for this process alone
    from django.core.management import call_command  # noqa: PLC0415 - only once it is set up
    from django.db import transaction  # noqa: PLC0415 - the same
    from django_curae.store import DjangoStore  # noqa: PLC0415 - the same

    call_command("migrate", verbosity=0)
    with transaction.atomic():
        check_all(Stored(DjangoStore()), {"few": FEW, "all": TWINS}[twins])


if __name__ == "__main__":
    main(*sys.argv[1:])
