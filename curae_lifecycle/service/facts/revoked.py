"""Somebody revoked outside the API."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules import chain, outcomes, values
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.service.changes import revocation_changes
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.members import ACTOR, HAPPENED_AT, KNOWN_CONNECTION


def _is_actor(_: Revoked, __: attrs.Attribute[Actor], value: object) -> None:
    if not isinstance(value, Actor):
        raise ArgumentError("actor", f"one of {', '.join(f'Actor.{each.name}' for each in Actor)}")


@attrs.frozen
class Revoked(fact.ConnectionFact):
    """Somebody revoked outside the API."""

    connection_id: values.ConnectionId
    actor: Actor = attrs.field(validator=_is_actor)
    happened_at: datetime | None = None

    kind = "connection.revoke"
    members = (KNOWN_CONNECTION, ACTOR, HAPPENED_AT)

    def judge(self, snapshot: fact.FactSnapshot, now: datetime) -> fact.FactAnswer:
        """REVOKED, as far as the actor's revocation reaches."""
        connection, following = fact.the_connection(snapshot), snapshot.following
        answers = chain.revoke_chain(
            connection, following, now, actor=self.actor, happened_at=self.happened_at
        )
        rules = tuple(rule for answer in answers for rule in answer.rules)
        changes = revocation_changes(connection, following, answers, now, self.actor)
        return outcomes.Done(changes, rules) if changes.writes else outcomes.Ignored(changes, rules)
