"""The kit's hooks that record a fact, for every server that records the library's own facts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime, timedelta

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.outcomes import Done, Refused
from curae_lifecycle.rules.values import ConnectionId, Coordinate, SessionId, UserId
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned


class FactHooks(ABC):
    @abstractmethod
    def clock(self) -> datetime:
        """The server's own time."""

    @abstractmethod
    def recorded(self, fact: Fact) -> FactAnswer:
        """Record a fact now, as the server does."""

    def record(self, fact: Fact) -> str:
        answer = self.recorded(fact)
        if isinstance(answer, Refused):
            return answer.problem.code
        return "done" if isinstance(answer, Done) else "ignored"

    def authorize(self, connection_id: str, lifetime: timedelta | None) -> str:
        end = None if lifetime is None else self.clock() + lifetime
        return self.record(Authorized(ConnectionId(connection_id), end))

    def authorize_late(self, connection_id: str, ago: timedelta) -> str:
        happened = self.clock() - ago
        return self.record(Authorized(ConnectionId(connection_id), happened_at=happened))

    def require_action(self, connection_id: str, reason: str) -> str:
        return self.record(ActionRequired(ConnectionId(connection_id), reason))

    def expire(self, connection_id: str) -> str:
        return self.record(Expired(ConnectionId(connection_id)))

    def revoke(self, connection_id: str, actor: Actor) -> str:
        return self.record(Revoked(ConnectionId(connection_id), actor))

    def complete_handoff(self, session_id: str, user_id: str) -> str:
        return self.record(HandoffCompleted(SessionId(session_id), UserId(user_id)))

    def graduate(self, coordinate: Coordinate, user_id: str | None) -> str:
        return self.record(Graduated(coordinate, None if user_id is None else UserId(user_id)))

    def tombstone(self, coordinate: Coordinate) -> str:
        return self.record(Tombstoned(coordinate))
