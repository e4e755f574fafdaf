"""The lifecycle of patient-data connections, as pure rules.

Most servers use only the names below. Import them from here, by name: each
is loaded at its first use, and `import *` loads none. For help on one of
them, use help(curae_lifecycle.serve). The subpackages hold the rest.

Requests
    `serve` answers a `Request` with a `Response`: it loads, decides and
    commits, with retries. `serve_with_external_call` does so if another
    service makes the next action. `serve_async` and
    `serve_with_external_call_async` do the same with an async store.

Facts: what happened outside of requests
    `record` and `record_async` record one: `Authorized`, `ActionRequired`,
    `Expired`, `Revoked`, `HandoffCompleted`, `Graduated` or `Tombstoned`.
    The outcome is `Done`, `Ignored` or `Refused`; a refusal has a
    `ProblemCode`. An `Actor` revokes. A `Coordinate` identifies a user of
    the app: environment, app, customer account and `AppUserId`.

Stores
    `MemoryStore` to begin with. `SqlStore` and `AsyncSqlStore` for SQLite,
    PostgreSQL and MariaDB; help("curae_lifecycle.stores.sql") shows how to
    open one. `Store` is the contract for a store of your own; it may raise
    `StoreUnavailableError` and `StoreUnchangedError`.

Callers
    `ApiKey` identifies a `Caller`, which has an `ApiKeyId`, an `AppId`, a
    `CustomerAccountId`, an `Environment` and scopes.

Settings
    `Settings` of a server, with rate limits (`Bucket`). `RetryPolicy`: how
    often and how long to retry. `RandomIds` mints `NewIds`: a
    `ConnectionId`, a `SessionId`, a `UserId` and a `NextAction`.

Questions
    `decide_access` returns `Granted`, or a denial with its reason.
    `standing` returns the `Standing` of a connection at an instant. Both
    need the coordinate's era: when its last `Tombstoned` was recorded.
    `present_era` reads the era from the coordinate's stored binding.

A running server
    help("curae_lifecycle.servers"): an endpoint with health checks, a log,
    counters and hosted pages.

A loop of your own: the steps of `serve`, in this order
    1. `bearer` finds the API key of a request.
    2. `read` parses the request into a call, or returns a `Decision` that
       refuses it.
    3. `call.needs` says what to load into a `Snapshot`.
    4. `decide` returns a `Decision`.
    5. `respond` returns the response, and the changes to commit with it in
       one transaction.
    For a fact, `fact.needs()` says what to load; `record_fact` judges it.
    `dump` turns a stored value into JSON, and `load` turns it back.

Mistakes
    `ArgumentError` names a wrong argument, and says what it must be.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

    from curae_lifecycle.rules.access import Granted, decide_access
    from curae_lifecycle.rules.binding import present_era
    from curae_lifecycle.rules.connection import Actor, Standing, standing
    from curae_lifecycle.rules.credentials import ApiKey, Caller
    from curae_lifecycle.rules.errors import ArgumentError
    from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
    from curae_lifecycle.rules.problems import ProblemCode
    from curae_lifecycle.rules.ratelimit import Bucket
    from curae_lifecycle.rules.values import (
        ApiKeyId,
        AppId,
        AppUserId,
        ConnectionId,
        Coordinate,
        CustomerAccountId,
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
    from curae_lifecycle.stores.sql.store import AsyncSqlStore, SqlStore
    from curae_lifecycle.web.read import read
    from curae_lifecycle.web.request import Request, bearer
    from curae_lifecycle.web.respond import respond

    # For type checkers alone: with `__all__`, `help` would print each of these names in full.
    __all__ = [
        "ActionRequired",
        "Actor",
        "ApiKey",
        "ApiKeyId",
        "AppId",
        "AppUserId",
        "ArgumentError",
        "AsyncSqlStore",
        "Authorized",
        "Bucket",
        "Caller",
        "ConnectionId",
        "Coordinate",
        "CustomerAccountId",
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
        "SqlStore",
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
        "present_era",
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

__version__ = "0.1.0"

_MODULES: Final = {
    "rules.access": ("Granted", "decide_access"),
    "rules.binding": ("present_era",),
    "rules.connection": ("Actor", "Standing", "standing"),
    "rules.credentials": ("ApiKey", "Caller"),
    "rules.errors": ("ArgumentError",),
    "rules.outcomes": ("Done", "Ignored", "Refused"),
    "rules.problems": ("ProblemCode",),
    "rules.ratelimit": ("Bucket",),
    "rules.values": (
        "ApiKeyId",
        "AppId",
        "AppUserId",
        "ConnectionId",
        "Coordinate",
        "CustomerAccountId",
        "Environment",
        "NextAction",
        "SessionId",
        "UserId",
    ),
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
    "stores.sql.store": ("AsyncSqlStore", "SqlStore"),
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
    return sorted({*globals(), *_HOMES})
