"""The lifecycle of patient-data connections: pure rules, for any server.

Here is what a server needs; the rooms behind it hold the rest.

- `serve` answers a request whole, `serve_with_external_call` one whose next action another service makes,
  and `record` records a fact whole; each has a twin that is awaited. They need a `Store`
  (`MemoryStore` to begin with), `RandomIds` or another mint, `Settings` with its `Bucket`s, and as
  much `RetryPolicy` as the server has. A store knows callers (`Caller`) by their keys (`ApiKey`).
- A fact is what happens outside of requests: `Authorized`, `ActionRequired`, `Expired`, `Revoked`,
  `HandoffCompleted`, `Graduated`, `Tombstoned`. Recording it is `Done`, `Ignored` or `Refused`.
- `decide_access` says who may read (`Granted`, or a denial with its reason), `standing` what a
  connection is at an instant.

Who writes the loop instead calls what is in it, in the order of a request:

- `bearer` finds the API key, `read` reads the request (`Request`) as far as nothing stored is
  needed, `call.needs` says what to load (`Snapshot`), `decide` decides (`Decision`), `respond` gives
  the response (`Response`) with all that is to be stored in one transaction.
- `fact.needs()` says what to load for a fact (`Snapshot`), `record_fact` judges it.
- `NewIds` and `NextAction` are what a server mints; `dump` and `load` turn values to JSON and back.

Each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from curae_lifecycle.rules.access import Granted, decide_access
    from curae_lifecycle.rules.connection import Actor, Standing, standing
    from curae_lifecycle.rules.credentials import ApiKey, Caller
    from curae_lifecycle.rules.errors import ArgumentError
    from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
    from curae_lifecycle.rules.problems import ProblemCode
    from curae_lifecycle.rules.ratelimit import Bucket
    from curae_lifecycle.rules.values import (
        ConnectionId,
        Environment,
        NextAction,
        SessionId,
        UserId,
    )
    from curae_lifecycle.service.call import Decision
    from curae_lifecycle.service.decide import decide
    from curae_lifecycle.service.facts.action_required import ActionRequired
    from curae_lifecycle.service.facts.authorized import Authorized
    from curae_lifecycle.service.facts.expired import Expired
    from curae_lifecycle.service.facts.fact import record_fact
    from curae_lifecycle.service.facts.graduated import Graduated
    from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
    from curae_lifecycle.service.facts.revoked import Revoked
    from curae_lifecycle.service.facts.tombstoned import Tombstoned
    from curae_lifecycle.service.response import Response
    from curae_lifecycle.service.settings import Settings
    from curae_lifecycle.service.snapshot import NewIds, Snapshot
    from curae_lifecycle.stores.codec import dump, load
    from curae_lifecycle.stores.contract import Store, StoreUnavailableError, StoreUnchangedError
    from curae_lifecycle.stores.memory import MemoryStore
    from curae_lifecycle.stores.new_ids import RandomIds
    from curae_lifecycle.stores.retry import RetryPolicy
    from curae_lifecycle.stores.serve import (
        record,
        record_async,
        serve,
        serve_async,
        serve_with_external_call,
        serve_with_external_call_async,
    )
    from curae_lifecycle.web.read import read
    from curae_lifecycle.web.request import Request, bearer
    from curae_lifecycle.web.respond import respond

__version__ = "0.1.0"

__all__ = [
    "ActionRequired",
    "Actor",
    "ApiKey",
    "ArgumentError",
    "Authorized",
    "Bucket",
    "Caller",
    "ConnectionId",
    "Decision",
    "Done",
    "Environment",
    "Expired",
    "Graduated",
    "Granted",
    "HandoffCompleted",
    "Ignored",
    "MemoryStore",
    "NewIds",
    "NextAction",
    "ProblemCode",
    "RandomIds",
    "Refused",
    "Request",
    "Response",
    "RetryPolicy",
    "Revoked",
    "SessionId",
    "Settings",
    "Snapshot",
    "Standing",
    "Store",
    "StoreUnavailableError",
    "StoreUnchangedError",
    "Tombstoned",
    "UserId",
    "bearer",
    "decide",
    "decide_access",
    "dump",
    "load",
    "read",
    "record",
    "record_async",
    "record_fact",
    "respond",
    "serve",
    "serve_async",
    "serve_with_external_call",
    "serve_with_external_call_async",
    "standing",
]

_MODULES: Final = {
    "rules.access": ("Granted", "decide_access"),
    "rules.connection": ("Actor", "Standing", "standing"),
    "rules.credentials": ("ApiKey", "Caller"),
    "rules.errors": ("ArgumentError",),
    "rules.outcomes": ("Done", "Ignored", "Refused"),
    "rules.problems": ("ProblemCode",),
    "rules.ratelimit": ("Bucket",),
    "rules.values": ("ConnectionId", "Environment", "NextAction", "SessionId", "UserId"),
    "service.call": ("Decision",),
    "service.decide": ("decide",),
    "service.facts.action_required": ("ActionRequired",),
    "service.facts.authorized": ("Authorized",),
    "service.facts.expired": ("Expired",),
    "service.facts.fact": ("record_fact",),
    "service.facts.graduated": ("Graduated",),
    "service.facts.handoff_completed": ("HandoffCompleted",),
    "service.facts.revoked": ("Revoked",),
    "service.facts.tombstoned": ("Tombstoned",),
    "service.response": ("Response",),
    "service.settings": ("Settings",),
    "service.snapshot": ("NewIds", "Snapshot"),
    "stores.codec": ("dump", "load"),
    "stores.contract": ("Store", "StoreUnavailableError", "StoreUnchangedError"),
    "stores.memory": ("MemoryStore",),
    "stores.new_ids": ("RandomIds",),
    "stores.retry": ("RetryPolicy",),
    "stores.serve": (
        "record",
        "record_async",
        "serve",
        "serve_async",
        "serve_with_external_call",
        "serve_with_external_call_async",
    ),
    "web.read": ("read",),
    "web.request": ("Request", "bearer"),
    "web.respond": ("respond",),
}
"""The names that come from each module, within the package."""

_HOMES: Final = {name: home for home, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
