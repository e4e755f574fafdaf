"""Where races happen: a stage whose past has happened, two handles of a store, and what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Protocol, TypeVar

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.rules.idempotency import Record
from curae_lifecycle.service.rate_keys import BucketKey, LimitKey
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs
from curae_lifecycle.service.writes import RateWrite, RecordWrite, SessionWrite, Write
from curae_lifecycle.stores.codec import Storable, dump
from curae_lifecycle.stores.contract import Store
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.races.scenarios import (
    START,
    RaceTenant,
    Scenario,
    at,
    commit_with_retries,
)
from curae_lifecycle.testing.simulated_clock import SimulatedClockStore, StoreWithApiKeys
from curae_lifecycle.web.json import Json

Content = Mapping[str, str]
"""What is stored, by the names of its parts."""

AnyStore = TypeVar("AnyStore", bound=Store, covariant=True)


class Arena(Protocol[AnyStore]):
    """Where races happen, one after the other."""

    def set_up(self, scene: Scenario) -> RaceTenant:
        """A stage on which a scene's past has happened and nothing else, at the race's instant."""
        ...

    def stores(self) -> tuple[AnyStore, AnyStore]:
        """Two handles of the one store."""
        ...

    def content(self, stage: RaceTenant, touched: Iterable[Write]) -> Content:
        """All that is stored there now, as far as these writes may have touched it."""
        ...

    def reference(self) -> Arena[Store]:
        """Where nobody races: in a store that is right."""
        ...


class StoreArena:
    """Races in any store that keeps the contract, each on a stage of its own in it.

    What they leave is held to what the store in memory has after one and then the other.

    Args:
        store: The store; both handles are this one.
    """

    def __init__(self, store: StoreWithApiKeys) -> None:
        self._store = SimulatedClockStore(store, START)
        self._numbers = count(1)

    def set_up(self, scene: Scenario) -> RaceTenant:
        """As `Arena.stage`."""
        stage = RaceTenant.of(next(self._numbers), Settings(buckets=scene.buckets))
        self._store.register(ApiKey(stage.api_key), stage.caller)
        for minutes, work in scene.before(stage):
            self._store.now = at(minutes)
            commit_with_retries(self._store, work)
        self._store.now = at(scene.race_minute)
        return stage

    def stores(self) -> tuple[Store, Store]:
        """As `Arena.stores`."""
        return self._store, self._store

    def reference(self) -> Arena[Store]:
        """As `Arena.right`."""
        return StoreArena(MemoryStore())

    def content(self, stage: RaceTenant, touched: Iterable[Write]) -> Content:
        """What the store itself tells of the user, their connections, and all that was touched."""
        found: dict[str, str] = {}
        for name, value in _seen(self._store, stage, touched):
            document = dump(value)
            if isinstance(value, Record):
                # It ends in a digest and holds bytes, which no mark can be taken out of.
                document["fingerprint"] = value.fingerprint.operation
                answer = value.response
                bodies = [answer.body.decode()] if isinstance(answer, Response) else []
                document["response"] = [str(getattr(answer, "status", None)), *bodies]
            found.update(_flat(name, document))
        blank = "x" * len(stage.id_prefix)
        return {
            name.replace(stage.id_prefix, blank): text.replace(stage.id_prefix, blank)
            for name, text in found.items()
        }


def _seen(
    store: Store, stage: RaceTenant, touched: Iterable[Write]
) -> Iterator[tuple[str, Storable]]:
    every = Needs(binding=stage.coordinate, connections=ConnectionsPage(stage.coordinate))
    loaded = store.load(every).snapshot
    if loaded.binding is not None:
        yield "binding", loaded.binding
    for each in loaded.connections:
        yield f"connection {each.id}", each
        line = store.load(Needs(connection=each.id)).snapshot
        for name, other in (("successor", line.successor), ("head", line.head)):
            if other is not None:
                yield f"{name} of {each.id}", other
    for write in touched:
        name, value = _named(store, stage, write)
        if value is not None:
            yield name, value


def _named(store: Store, stage: RaceTenant, write: Write) -> tuple[str, Storable | None]:
    match write:
        case SessionWrite(_, after):
            asked = Needs(session=after.id)
            return f"session {after.id}", store.load(asked).snapshot.session
        case RecordWrite(key):
            needs = Needs(record=key)
            return f"record {key.key}", store.load(needs, stage.digest).snapshot.record
        case RateWrite(LimitKey() as key):
            needs = Needs(limit=key)
            return f"limit {key.policy}", store.load(needs, stage.digest).snapshot.limit
        case RateWrite(BucketKey() as key):
            needs = Needs(buckets=(key,))
            return f"bucket {key.policy}", store.load(needs, stage.digest).snapshot.buckets[0]
        case _:
            return "", None


def _flat(name: str, value: Json) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for member, inner in value.items():
            yield from _flat(f"{name}.{member}", inner)
    else:
        yield name, str(value)
