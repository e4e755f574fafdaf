"""The conformance kit's view of a server with a bug."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.testing.conformance import ApiKeyRequest, AsyncServer, Server
from curae_lifecycle.testing.conformance.fact_hooks import FactHooks, outcome_name
from tests.proof.bugs.service import Service
from tests.support.kit import Given, asynchronous


class Hooks(FactHooks):
    """The kit's hooks on a service."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def make_key(self, wanted: ApiKeyRequest) -> str:
        return self.service.make_key(wanted)

    def register_again(self, api_key: str, wanted: ApiKeyRequest) -> None:
        self.service.register_again(api_key, wanted)

    def pass_time(self, span: timedelta) -> None:
        self.service.pass_time(span)

    def clock(self) -> datetime:
        return self.service.clock

    def record_fact(self, fact: Fact) -> FactAnswer:
        return self.service.record(fact)

    def may_read(self, connection_id: str, package: str) -> bool:
        return self.service.may_read(ConnectionId(connection_id), package)

    def replace_buckets(self, buckets: tuple[Bucket, ...] | None) -> None:
        self.service.replace_buckets(() if buckets is None else buckets)


ROUNDS: Final = 4
"""The number of rounds of a race; the first action alternates."""


def server(service: Service) -> Server:
    """Return a server whose requests run one after the other."""
    plain = Hooks(service).as_server(service.send, service.settings.environment)
    return attrs.evolve(
        plain,
        turn_clock_back=service.turn_clock_back,
        change_key_id=service.change_key_id,
        withdraw=service.withdraw,
        finish=service.finish,
        cancel=service.cancel,
        purge=service.purge,
        outbox=service.outbox,
    )


def slow_server(service: Service) -> AsyncServer:
    """Return a server whose requests and facts overlap: all load before any commits."""
    noting = _Noting(service)
    return attrs.evolve(
        asynchronous(server(service)),
        send=service.send_slowly,
        authorize=noting.slowly(noting.authorize),
        authorize_late=noting.slowly(noting.authorize_late),
        require_action=noting.slowly(noting.require_action),
        expire=noting.slowly(noting.expire),
        revoke=noting.slowly(noting.revoke),
        revoke_late=noting.slowly(noting.revoke_late),
        complete_handoff=noting.slowly(noting.complete_handoff),
        graduate=noting.slowly(noting.graduate),
        tombstone=noting.slowly(noting.tombstone),
        race_rounds=ROUNDS,
    )


class _Noting(Hooks):
    """Hooks that note each fact, and record it in small steps."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.noted: Fact | None = None

    def record(self, fact: Fact) -> str:
        self.noted = fact
        return ""

    def slowly(self, hook: Callable[Given, str]) -> Callable[Given, Awaitable[str]]:
        """Turn a hook into a coroutine function."""

        async def recording(*args: Given.args, **kwargs: Given.kwargs) -> str:
            hook(*args, **kwargs)
            # No other coroutine runs in between.
            assert self.noted is not None
            return outcome_name(await self.service.record_slowly(self.noted))

        return recording
