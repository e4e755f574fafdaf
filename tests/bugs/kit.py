"""How the conformance kit sees a server with a bug."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs

from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import ConnectionId
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.testing.conformance import AsyncServer, KeyWanted, Server
from curae_lifecycle.testing.conformance.fact_hooks import FactHooks
from tests.bugs.service import Service
from tests.kit import asynchronous


class Hooks(FactHooks):
    """The kit's hooks, over a service."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def make_key(self, wanted: KeyWanted) -> str:
        return self.service.make_key(wanted)

    def register_again(self, api_key: str, wanted: KeyWanted) -> None:
        self.service.register_again(api_key, wanted)

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
    return Hooks(service).as_server(service.send, service.settings.environment)


def slow_server(service: Service) -> AsyncServer:
    """A service whose requests overlap: every one loads before any of the others stores."""
    return attrs.evolve(asynchronous(server(service)), send=service.send_slowly)
