"""Endpoints on a stopped clock, with ids by number: equal requests get equal responses."""

from __future__ import annotations

from datetime import datetime
from itertools import count
from typing import Final

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.servers.endpoint import AsyncEndpoint, Endpoint
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.stores.memory import MemoryStore
from tests.support.server import API_KEY, CALLER, new_ids
from tests.support.serving import Awaited
from tests.support.strategies import START

_NUMBERS: Final = count()


def _next_ids(_: datetime) -> NewIds:
    return new_ids(next(_NUMBERS))


_STORE: Final = MemoryStore(clock=lambda: START)
_STORE.register(ApiKey(API_KEY), CALLER)

endpoint: Final = Endpoint(_STORE, _next_ids)
async_endpoint: Final = AsyncEndpoint(Awaited(_STORE), _next_ids)
