"""A scene: what is stored, the input, and a way to run it.

The law of this module: **the result of a scene is computed, never written**. A request goes through
`read`, `decide` and `respond`, a fact through `record_fact`. Only a rule that neither of them asks is
called through its own function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import attrs

from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.values import SessionId, UserId
from curae_lifecycle.service.call import Decision
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, record_fact
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.service.snapshot import NewIds, Snapshot
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.serve import serve
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer, respond
from docs.generate.vectors.cases import connection_id, next_action
from docs.generate.vectors.connections import NOW
from docs.generate.vectors.texts import CALLER

SESSION: Final = SessionId("22222222-2222-4222-8222-222222222222")
NOTHING: Final = Snapshot()


@attrs.frozen
class RequestScene:
    """A request. `caller` is `None` for an unknown API key."""

    request: Request
    snapshot: Snapshot = NOTHING
    now: datetime = NOW
    caller: Caller | None = CALLER
    settings: Settings = DEFAULT_SETTINGS

    def run(self) -> Answer:
        """Return the answer of the three functions that a server calls."""
        call = read(self.request, caller=self.caller, now=self.now, settings=self.settings)
        if not isinstance(call, Decision):
            call = decide(call, snapshot=self.snapshot, now=self.now, new_ids=new_ids(self.now))
        return respond(call)


@attrs.frozen
class FullStoreScene(RequestScene):
    """A request to a store without room."""

    def run(self) -> Answer:
        """Return the answer of such a store."""
        store = MemoryStore(capacity=0, clock=lambda: self.now)
        store.register(ApiKey("k"), CALLER)
        sent = (*self.request.headers, ("Authorization", "Bearer k"))
        request = attrs.evolve(self.request, headers=sent)
        return serve(store, request, new_ids)


@attrs.frozen
class FactScene:
    """A fact."""

    fact: Fact
    snapshot: Snapshot
    now: datetime = NOW

    def run(self) -> FactAnswer:
        """Record the fact and return the answer."""
        return record_fact(self.fact, self.snapshot, self.now)


@attrs.frozen
class CallScene:
    """A call of a function that no request and no fact makes.

    Attributes:
        name: The call as text.
        given: The arguments that the page shows.
        run: Makes the call.
    """

    name: str
    given: Mapping[str, object]
    run: Callable[[], object]


Scene = RequestScene | FactScene | CallScene


def new_ids(now: datetime) -> NewIds:
    """Return the ids that a server mints before a decision."""
    return NewIds(
        connection_id=connection_id(9),
        session_id=SESSION,
        user_id=UserId("u-9"),
        next_action=next_action(now),
    )
