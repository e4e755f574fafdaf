"""The kit's hooks for any server that records the library's own facts."""

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
    """Return the caller of an API key.

    Args:
        api_key: The text of the key. The caller's API key id is derived from it.
        wanted: The request that the key was made for.
    """
    return Caller(
        api_key_id=ApiKeyId(f"key-{api_key.rpartition('_')[2]}"),
        app_id=AppId(wanted.app_id),
        customer_account_id=CustomerAccountId(wanted.customer_account_id),
        environment=wanted.environment,
        scopes=wanted.scopes,
    )


def outcome_name(answer: FactAnswer) -> str:
    """Return the word of a hook for the outcome of a fact: done, ignored or a problem code."""
    if isinstance(answer, Refused):
        return answer.problem.code
    return "done" if isinstance(answer, Done) else "ignored"


class FactHooks(ABC):
    """The hooks of a server that records the library's own facts.

    A subclass implements the abstract methods. The other hooks record a fact with `record_fact`.
    """

    @abstractmethod
    def make_key(self, wanted: ApiKeyRequest) -> str:
        """Make a new API key and return its text."""

    @abstractmethod
    def register_again(self, api_key: str, wanted: ApiKeyRequest) -> None:
        """Let an API key stand for another app from now on, under the id that it had."""

    @abstractmethod
    def pass_time(self, span: timedelta) -> None:
        """Move the server's clock on, or wait."""

    @abstractmethod
    def may_read(self, connection_id: str, package: str) -> bool:
        """Return whether the server lets a data package be read over a connection now."""

    @abstractmethod
    def replace_buckets(self, buckets: tuple[Bucket, ...] | None) -> None:
        """Give every key these standard buckets alone, full; None restores the server's own."""

    @abstractmethod
    def clock(self) -> datetime:
        """Return the server's current time."""

    @abstractmethod
    def record_fact(self, fact: Fact) -> FactAnswer:
        """Record a fact now and return the server's answer."""

    def as_server(
        self, send: Callable[[Request], Response], environment: Environment | None
    ) -> Server:
        """Return a server for the kit with every hook of this class.

        Args:
            send: Answers a request.
            environment: The one environment that the server serves, or None if it serves both.
        """
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
            record_fact=self.record,
            may_read=self.may_read,
            replace_buckets=self.replace_buckets,
            register_again=self.register_again,
            environment=environment,
        )

    def record(self, fact: Fact) -> str:
        """Record a fact and return the outcome in a word; see `outcome_name`."""
        return outcome_name(self.record_fact(fact))

    def authorize(self, connection_id: str, lifetime: timedelta | None) -> str:
        """Record that the patient authorized a connection, for `lifetime` or without an end."""
        end = None if lifetime is None else self.clock() + lifetime
        return self.record(Authorized(ConnectionId(connection_id), end))

    def authorize_late(self, connection_id: str, ago: timedelta) -> str:
        """Record that the patient authorized a connection without an end, `ago` before now."""
        happened = self.clock() - ago
        return self.record(Authorized(ConnectionId(connection_id), happened_at=happened))

    def require_action(self, connection_id: str, reason: str) -> str:
        """Record that the patient must act on a connection."""
        return self.record(ActionRequired(ConnectionId(connection_id), reason))

    def expire(self, connection_id: str) -> str:
        """Record that the upstream ended the authorization of a connection."""
        return self.record(Expired(ConnectionId(connection_id)))

    def revoke(self, connection_id: str, actor: Actor) -> str:
        """Record that an actor other than the app revoked a connection."""
        return self.record(Revoked(ConnectionId(connection_id), actor))

    def revoke_late(self, connection_id: str, actor: Actor, ago: timedelta) -> str:
        """Record that an actor revoked a connection `ago` before now."""
        return self.record(Revoked(ConnectionId(connection_id), actor, self.clock() - ago))

    def complete_handoff(self, session_id: str, user_id: str) -> str:
        """Record that the sign-up page of a session landed for a platform user."""
        return self.record(HandoffCompleted(SessionId(session_id), UserId(user_id)))

    def graduate(self, coordinate: Coordinate, user_id: str | None) -> str:
        """Record that the LIMITED user of a coordinate became ACTIVE; None means the bound user."""
        return self.record(Graduated(coordinate, None if user_id is None else UserId(user_id)))

    def tombstone(self, coordinate: Coordinate) -> str:
        """Record that the platform user of a coordinate is gone."""
        return self.record(Tombstoned(coordinate))
