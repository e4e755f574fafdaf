"""How the conformance kit sees a server with a bug."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import ParamSpec, TypeVar

from curae_lifecycle.connection import Actor
from curae_lifecycle.facts import (
    ActionRequired,
    Authorized,
    Expired,
    Fact,
    Graduated,
    HandoffCompleted,
    Revoked,
    Tombstoned,
)
from curae_lifecycle.outcomes import Done, Refused
from curae_lifecycle.ratelimit import Bucket
from curae_lifecycle.testing.conformance import AsyncServer, KeyWanted, Server
from curae_lifecycle.values import ConnectionId, Coordinate, SessionId, UserId
from tests.bugs.service import Service

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Hooks:
    """The kit's hooks, over a service."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def make_key(self, wanted: KeyWanted) -> str:
        return self.service.make_key(
            wanted.app_id, wanted.customer_account_id, wanted.environment, wanted.scopes
        )

    def pass_time(self, span: timedelta) -> None:
        self.service.pass_time(span)

    def authorize(self, connection_id: str, span: timedelta | None) -> str:
        end = None if span is None else self.service.clock + span
        return self._record(Authorized(ConnectionId(connection_id), end))

    def authorize_late(self, connection_id: str, ago: timedelta) -> str:
        happened = self.service.clock - ago
        return self._record(Authorized(ConnectionId(connection_id), None, happened))

    def require_action(self, connection_id: str, reason: str) -> str:
        return self._record(ActionRequired(ConnectionId(connection_id), reason))

    def expire(self, connection_id: str) -> str:
        return self._record(Expired(ConnectionId(connection_id)))

    def revoke(self, connection_id: str, actor: Actor) -> str:
        return self._record(Revoked(ConnectionId(connection_id), actor))

    def complete_handoff(self, session_id: str, user_id: str) -> str:
        return self._record(HandoffCompleted(SessionId(session_id), UserId(user_id)))

    def graduate(self, coordinate: Coordinate, user_id: str | None) -> str:
        return self._record(Graduated(coordinate, None if user_id is None else UserId(user_id)))

    def tombstone(self, coordinate: Coordinate) -> str:
        return self._record(Tombstoned(coordinate))

    def may_read(self, connection_id: str, package: str) -> bool:
        return self.service.may_read(ConnectionId(connection_id), package)

    def replace_buckets(self, buckets: tuple[Bucket, ...] | None) -> None:
        self.service.replace_buckets(() if buckets is None else buckets)

    def _record(self, fact: Fact) -> str:
        answer = self.service.record(fact)
        if isinstance(answer, Refused):
            return answer.problem.code
        return "done" if isinstance(answer, Done) else "ignored"


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
