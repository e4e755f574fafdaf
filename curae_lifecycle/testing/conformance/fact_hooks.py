"""The kit's hooks, for every server that records the library's own facts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timedelta

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.outcomes import Done, Refused
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    Environment,
    SessionId,
    UserId,
)
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance.server import ApiKeyRequest, Server
from curae_lifecycle.web.request import Request


def caller_of(api_key: str, wanted: ApiKeyRequest) -> Caller:
    """Whom an API key stands for; its id follows from its text."""
    return Caller(
        api_key_id=ApiKeyId(f"key-{api_key.rpartition('_')[2]}"),
        app_id=AppId(wanted.app_id),
        customer_account_id=CustomerAccountId(wanted.customer_account_id),
        environment=wanted.environment,
        scopes=wanted.scopes,
    )


def outcome_name(answer: FactAnswer) -> str:
    """What became of a fact, as a hook says it."""
    if isinstance(answer, Refused):
        return answer.problem.code
    return "done" if isinstance(answer, Done) else "ignored"


class FactHooks(ABC):
    """Every hook of a server that records facts, of those few that are its own."""

    @abstractmethod
    def make_key(self, wanted: ApiKeyRequest) -> str:
        """As `Server.make_key`."""

    @abstractmethod
    def register_again(self, api_key: str, wanted: ApiKeyRequest) -> None:
        """As `Server.register_again`."""

    @abstractmethod
    def pass_time(self, span: timedelta) -> None:
        """As `Server.pass_time`."""

    @abstractmethod
    def may_read(self, connection_id: str, package: str) -> bool:
        """As `Server.may_read`."""

    @abstractmethod
    def replace_buckets(self, buckets: tuple[Bucket, ...] | None) -> None:
        """As `Server.replace_buckets`."""

    @abstractmethod
    def clock(self) -> datetime:
        """The server's own time."""

    @abstractmethod
    def record_fact(self, fact: Fact) -> FactAnswer:
        """Record a fact now, as the server does."""

    def as_server(
        self, send: Callable[[Request], Response], environment: Environment | None
    ) -> Server:
        """What the kit is given: every hook."""
        return Server(
            send,
            self.make_key,
            pass_time=self.pass_time,
            authorize=self.authorize,
            authorize_late=self.authorize_late,
            require_action=self.require_action,
            expire=self.expire,
            revoke=self.revoke,
            revoke_late=self.revoke_late,
            complete_handoff=self.complete_handoff,
            graduate=self.graduate,
            tombstone=self.tombstone,
            may_read=self.may_read,
            replace_buckets=self.replace_buckets,
            register_again=self.register_again,
            environment=environment,
        )

    def record(self, fact: Fact) -> str:
        """Record a fact; what became of it, in a word."""
        return outcome_name(self.record_fact(fact))

    def authorize(self, connection_id: str, lifetime: timedelta | None) -> str:
        """As `Server.authorize`."""
        end = None if lifetime is None else self.clock() + lifetime
        return self.record(Authorized(ConnectionId(connection_id), end))

    def authorize_late(self, connection_id: str, ago: timedelta) -> str:
        """As `Server.authorize_late`."""
        happened = self.clock() - ago
        return self.record(Authorized(ConnectionId(connection_id), happened_at=happened))

    def require_action(self, connection_id: str, reason: str) -> str:
        """As `Server.require_action`."""
        return self.record(ActionRequired(ConnectionId(connection_id), reason))

    def expire(self, connection_id: str) -> str:
        """As `Server.expire`."""
        return self.record(Expired(ConnectionId(connection_id)))

    def revoke(self, connection_id: str, actor: Actor) -> str:
        """As `Server.revoke`."""
        return self.record(Revoked(ConnectionId(connection_id), actor))

    def revoke_late(self, connection_id: str, actor: Actor, ago: timedelta) -> str:
        """As `Server.revoke_late`."""
        return self.record(Revoked(ConnectionId(connection_id), actor, self.clock() - ago))

    def complete_handoff(self, session_id: str, user_id: str) -> str:
        """As `Server.complete_handoff`."""
        return self.record(HandoffCompleted(SessionId(session_id), UserId(user_id)))

    def graduate(self, coordinate: Coordinate, user_id: str | None) -> str:
        """As `Server.graduate`."""
        return self.record(Graduated(coordinate, None if user_id is None else UserId(user_id)))

    def tombstone(self, coordinate: Coordinate) -> str:
        """As `Server.tombstone`."""
        return self.record(Tombstoned(coordinate))
