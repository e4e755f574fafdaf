"""The lifecycle of patient-data connections: pure rules, for any server.

This module exports the names that most servers need. The subpackages hold the rest.

Most servers call these functions:

- `serve` answers a request: it loads, decides and commits, with retries.
- `serve_with_external_call` answers a request whose next action another service makes.
- `record` records a fact: it loads, judges and commits, with retries.
- `serve_async`, `serve_with_external_call_async` and `record_async` do the same with an async store.
- `decide_access` returns `Granted`, or a denial with its reason.
- `standing` returns the `Standing` of a connection at an instant.

`serve` takes a `Store` (`MemoryStore` to begin with), an ID factory such as `RandomIds`, `Settings`
with its `Bucket`s, and a `RetryPolicy`. The store finds the `Caller` of an `ApiKey`.

A fact is something that happened outside of requests: `Authorized`, `ActionRequired`, `Expired`,
`Revoked`, `HandoffCompleted`, `Graduated` or `Tombstoned`. The outcome of a fact is `Done`,
`Ignored` or `Refused`.

A server with its own loop calls the steps of `serve` itself, in this order:

1. `bearer` finds the API key of a `Request`.
2. `read` parses and validates the request without any stored value. It returns a call, or a
   `Decision` that refuses the request.
3. `call.needs` says what to load into a `Snapshot`.
4. `decide` returns a `Decision`. `NewIds` and `NextAction` are the new values that the server mints.
5. `respond` returns the `Response` and the changes to commit with it in one transaction.

For a fact, `fact.needs()` says what to load into a `Snapshot`, and `record_fact` judges the fact.

`dump` turns a stored value into JSON, and `load` turns the JSON back into the value.

The package imports a name's module when the name is first used.
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
"""The exported names of each module of the package."""

_HOMES: Final = {name: home for home, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
