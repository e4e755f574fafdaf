"""How the conformance kit sees a server with a bug."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.testing.conformance import AsyncServer, KeyWanted, Server
from tests.bugs.service import Service
from tests.fact_hooks import FactHooks

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Hooks(FactHooks):
    """The kit's hooks, over a service."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def make_key(self, wanted: KeyWanted) -> str:
        return self.service.make_key(
            wanted.app_id, wanted.customer_account_id, wanted.environment, wanted.scopes
        )

    def pass_time(self, span: timedelta) -> None:
        self.service.pass_time(span)

    def clock(self) -> datetime:
        return self.service.clock

    def recorded(self, fact: Fact) -> FactAnswer:
        return self.service.record(fact)

    def may_read(self, connection_id: str, package: str) -> bool:
        return self.service.may_read(ConnectionId(connection_id), package)

    def replace_buckets(self, buckets: tuple[Bucket, ...] | None) -> None:
        self.service.replace_buckets(() if buckets is None else buckets)


def server(service: Service) -> Server:
    """A service whose requests run one after the other."""
    hooks = Hooks(service)
    return Server(
        service.send,
        hooks.make_key,
        hooks.pass_time,
        hooks.authorize,
        hooks.authorize_late,
        hooks.require_action,
        hooks.expire,
        hooks.revoke,
        hooks.complete_handoff,
        hooks.graduate,
        hooks.tombstone,
        hooks.may_read,
        hooks.replace_buckets,
        service.settings.environment,
    )


def slow_server(service: Service) -> AsyncServer:
    """A service whose requests overlap: every one loads before any of the others stores."""
    hooks = Hooks(service)
    return AsyncServer(
        service.send_slowly,
        _coroutine(hooks.make_key),
        _coroutine(hooks.pass_time),
        _coroutine(hooks.authorize),
        _coroutine(hooks.authorize_late),
        _coroutine(hooks.require_action),
        _coroutine(hooks.expire),
        _coroutine(hooks.revoke),
        _coroutine(hooks.complete_handoff),
        _coroutine(hooks.graduate),
        _coroutine(hooks.tombstone),
        _coroutine(hooks.may_read),
        _coroutine(hooks.replace_buckets),
        service.settings.environment,
    )


def _coroutine(
    function: Callable[Arguments, Result],
) -> Callable[Arguments, Coroutine[None, None, Result]]:
    async def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return function(*args, **kwargs)

    return call
