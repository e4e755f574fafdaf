"""Both kinds of store and outbox worker on one database, under one interface."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import attrs

from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.stores.outbox import AnyDelivery, Delivery
from curae_lifecycle.stores.serve import record, record_async
from curae_lifecycle.stores.sql.delivery_settings import DeliverySettings
from curae_lifecycle.stores.sql.engine import AsyncSqlDatabase, create_engine_async
from curae_lifecycle.stores.sql.outbox_worker import AsyncOutbox, Outbox
from curae_lifecycle.stores.sql.statement import Statement
from curae_lifecycle.stores.sql.store import AsyncDatabase, AsyncSqlStore, SqlStore
from tests.support.patiently import PATIENCE, PATIENT
from tests.support.sql.databases import AsyncClocked, Clocked

Answer = TypeVar("Answer")


class Kind(Protocol):
    """The actions of a test, on either kind of store."""

    def load(self, needs: Needs) -> Snapshot: ...
    def commit(self, changes: Changes) -> bool: ...
    def record(self, fact: Fact) -> FactAnswer: ...
    def purge(self) -> None: ...
    def run_transaction(self, statements: Sequence[Statement]) -> bool: ...
    def deliver(self, settings: DeliverySettings, seen: list[Delivery]) -> int: ...
    def dead(self, after: int = 0) -> Sequence[AnyDelivery]: ...


@attrs.frozen
class Blocking:
    """A blocking store."""

    database: Clocked

    def load(self, needs: Needs) -> Snapshot:
        return SqlStore(self.database).load(needs).snapshot

    def commit(self, changes: Changes) -> bool:
        store = SqlStore(self.database)
        return store.commit(store.load(Needs()), changes)

    def record(self, fact: Fact) -> FactAnswer:
        return record(SqlStore(self.database), fact, retry_policy=PATIENT)

    def purge(self) -> None:
        SqlStore(self.database).purge()

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        return self.database.run_transaction(statements)

    def deliver(self, settings: DeliverySettings, seen: list[Delivery]) -> int:
        return Outbox(self.database, settings).deliver_batch(seen.append)

    def dead(self, after: int = 0) -> Sequence[AnyDelivery]:
        return Outbox(self.database).list_dead(after)


@attrs.frozen
class Async:
    """An async store on the same database, with the clock of the blocking one."""

    clock: Clocked
    url: str

    def load(self, needs: Needs) -> Snapshot:
        async def load(database: AsyncDatabase) -> Snapshot:
            return (await AsyncSqlStore(database).load(needs)).snapshot

        return self._run(load)

    def commit(self, changes: Changes) -> bool:
        async def commit(database: AsyncDatabase) -> bool:
            store = AsyncSqlStore(database)
            return await store.commit(await store.load(Needs()), changes)

        return self._run(commit)

    def record(self, fact: Fact) -> FactAnswer:
        return self._run(
            lambda database: record_async(AsyncSqlStore(database), fact, retry_policy=PATIENT)
        )

    def purge(self) -> None:
        self._run(lambda database: AsyncSqlStore(database).purge())

    def run_transaction(self, statements: Sequence[Statement]) -> bool:
        return self._run(lambda database: database.run_transaction(statements))

    def deliver(self, settings: DeliverySettings, seen: list[Delivery]) -> int:
        async def handle(delivery: Delivery) -> None:
            seen.append(delivery)

        return self._run(lambda database: AsyncOutbox(database, settings).deliver_batch(handle))

    def dead(self, after: int = 0) -> Sequence[AnyDelivery]:
        return self._run(lambda database: AsyncOutbox(database).list_dead(after))

    def _run(self, act: Callable[[AsyncDatabase], Awaitable[Answer]]) -> Answer:
        async def run() -> Answer:
            engine = create_engine_async(self.url, timeout=PATIENCE)
            try:
                return await act(AsyncClocked(AsyncSqlDatabase(engine), self.clock))
            finally:
                await engine.dispose()

        return asyncio.run(run())
