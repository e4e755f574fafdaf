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
    """Return the caller that an API key stands for.

    Args:
        api_key: The text of the key. Its part after the last underscore gives the caller's key id.
        wanted: The kit's request for the key: the caller's app, account, environment and scopes.
    """
    return Caller(
        api_key_id=ApiKeyId(f"key-{api_key.rpartition('_')[2]}"),
        app_id=AppId(wanted.app_id),
        customer_account_id=CustomerAccountId(wanted.customer_account_id),
        environment=wanted.environment,
        scopes=wanted.scopes,
    )


def outcome_name(answer: FactAnswer) -> str:
    """Return the answer to a fact as the kit's hooks report it: done, ignored or a problem code.

    A hook is a function by which the kit does what no request can, such as recording a fact.
    """
    if isinstance(answer, Refused):
        return answer.problem.code
    return "done" if isinstance(answer, Done) else "ignored"


class FactHooks(ABC):
    """The hooks of a server that can record the facts of this library, for the kit.

    A hook is a function of a test server by which the kit does what no request can, such as
    recording that the patient authorized. A subclass implements the abstract methods. Each other
    hook builds a fact, records it with `record_fact` and returns the outcome: `done`, `ignored` or
    a problem code.

    A *coordinate* is one user of one SDK app, in the test or live environment.
    """

    @abstractmethod
    def make_key(self, wanted: ApiKeyRequest) -> str:
        """Make a new API key and return its text.

        `wanted` holds the app, account, environment and scopes that the key stands for.
        """

    @abstractmethod
    def register_again(self, api_key: str, wanted: ApiKeyRequest) -> None:
        """Change the app, account or scopes of an existing API key to those of `wanted`.

        The key keeps its id.
        """

    @abstractmethod
    def pass_time(self, span: timedelta) -> None:
        """Move the server's clock forward by `span`, or wait for that long."""

    @abstractmethod
    def may_read(self, connection_id: str, package: str) -> bool:
        """Return whether the server would now let a data package of a connection be read."""

    @abstractmethod
    def replace_buckets(self, buckets: tuple[Bucket, ...] | None) -> None:
        """Replace the standard rate limits of every API key with `buckets`, all full.

        `None` restores the server's own rate limits.
        """

    @abstractmethod
    def clock(self) -> datetime:
        """Return the server's current time."""

    @abstractmethod
    def record_fact(self, fact: Fact) -> FactAnswer:
        """Record a fact now and return the answer: done, ignored or refused."""

    def as_server(
        self, send: Callable[[Request], Response], environment: Environment | None
    ) -> Server:
        """Return a `Server`, which holds the functions that the kit calls, with this class's hooks.

        A hook is a function by which the kit does what no request can, such as `expire`. The hooks
        that this class does not have are `None`, so the checks that need them are not run.

        Args:
            send: Sends a request to the server and returns the response.
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
        """Record a fact and return the outcome: `done`, `ignored` or a problem code."""
        return outcome_name(self.record_fact(fact))

    def authorize(self, connection_id: str, lifetime: timedelta | None) -> str:
        """Record that the patient authorized a connection, until `lifetime` from now.

        `None` as `lifetime` means without an end.

        Returns:
            The outcome: `done`, `ignored`, or the code of the problem that refused the fact.
        """
        end = None if lifetime is None else self.clock() + lifetime
        return self.record(Authorized(ConnectionId(connection_id), end))

    def authorize_late(self, connection_id: str, ago: timedelta) -> str:
        """Record now that the patient authorized a connection some time ago.

        `ago` says how long ago; a negative span comes from a clock that is ahead. The authorization
        has no end.

        Returns:
            The outcome: `done`, `ignored`, or the code of the problem that refused the fact.
        """
        happened = self.clock() - ago
        return self.record(Authorized(ConnectionId(connection_id), happened_at=happened))

    def require_action(self, connection_id: str, reason: str) -> str:
        """Record that the patient must act on a connection, for a reason such as `portal_login`.

        Returns:
            The outcome: `done`, `ignored`, or the code of the problem that refused the fact.
        """
        return self.record(ActionRequired(ConnectionId(connection_id), reason))

    def expire(self, connection_id: str) -> str:
        """Record that the upstream ended the authorization of a connection.

        Returns:
            The outcome: `done`, `ignored`, or the code of the problem that refused the fact.
        """
        return self.record(Expired(ConnectionId(connection_id)))

    def revoke(self, connection_id: str, actor: Actor) -> str:
        """Record that an actor other than the app revoked a connection.

        Returns:
            The outcome: `done`, `ignored`, or the code of the problem that refused the fact.
        """
        return self.record(Revoked(ConnectionId(connection_id), actor))

    def revoke_late(self, connection_id: str, actor: Actor, ago: timedelta) -> str:
        """Record now that an actor other than the app revoked a connection some time ago.

        `ago` says how long ago; a negative span comes from a clock that is ahead.

        Returns:
            The outcome: `done`, `ignored`, or the code of the problem that refused the fact.
        """
        return self.record(Revoked(ConnectionId(connection_id), actor, self.clock() - ago))

    def complete_handoff(self, session_id: str, user_id: str) -> str:
        """Record that a platform user completed the sign-up page of a session.

        Returns:
            The outcome: `done`, `ignored`, or the code of the problem that refused the fact.
        """
        return self.record(HandoffCompleted(SessionId(session_id), UserId(user_id)))

    def graduate(self, coordinate: Coordinate, user_id: str | None) -> str:
        """Record that the LIMITED user of a coordinate became ACTIVE.

        A coordinate is one user of one SDK app. `user_id` is the platform's id of the user who
        became ACTIVE; `None` means the user who is bound to the coordinate.

        Returns:
            The outcome: `done`, `ignored`, or the code of the problem that refused the fact.
        """
        return self.record(Graduated(coordinate, None if user_id is None else UserId(user_id)))

    def tombstone(self, coordinate: Coordinate) -> str:
        """Record that the user who is bound to a coordinate is gone.

        A coordinate is one user of one SDK app.

        Returns:
            The outcome: `done`, `ignored`, or the code of the problem that refused the fact.
        """
        return self.record(Tombstoned(coordinate))
