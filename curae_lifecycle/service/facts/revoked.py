"""The fact that a connection was revoked outside the API."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules import outcomes, values
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.errors import ArgumentError, describe
from curae_lifecycle.rules.triggers import Trigger
from curae_lifecycle.service.changes import NO_CHANGES
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.members import ACTOR, FACT_CONNECTION_ID, HAPPENED_AT, PAGE_URL
from curae_lifecycle.service.revocation import join_rules, revocation_needs, revoke_by_actor
from curae_lifecycle.service.snapshot import Needs, Snapshot


def _check_actor(_: Revoked, __: attrs.Attribute[Actor], value: object) -> None:
    if not isinstance(value, Actor):
        allowed = f"one of {', '.join(f'Actor.{each.name}' for each in Actor)}"
        raise ArgumentError("actor", allowed, describe(value))


@attrs.frozen
class Revoked(fact.ConnectionFact):
    """The fact that a connection was revoked outside the API, such as by the patient.

    Attributes:
        connection_id: The connection's id.
        actor: The actor that revoked. For PATIENT and PLATFORM, later connections of the chain are
            revoked, too.
        happened_at: When the revocation happened, in UTC; `None` for the instant of recording.
        page_url: The URL of the hosted page that the fact comes from; `None` if it comes from no
            page. No repr shows it.
    """

    connection_id: values.ConnectionId
    actor: Actor = attrs.field(validator=_check_actor)
    happened_at: datetime | None = None
    page_url: str | None = attrs.field(default=None, repr=False)

    kind = "connection.revoke"
    trigger = Trigger.REVOKE
    members = (FACT_CONNECTION_ID, ACTOR, HAPPENED_AT, PAGE_URL)

    def needs(self) -> Needs:
        """Return the keys to load: the connection's id, and the digest of the fact's page, if any.

        For the actors PATIENT and PLATFORM the store also loads the later connections of the chain.
        """
        reached = revocation_needs(self.connection_id, self.actor)
        return attrs.evolve(reached, page=self.page_digest())

    def judge(self, snapshot: Snapshot, now: datetime) -> fact.FactAnswer:
        """Return the changes that revoke the connection.

        For the actors PATIENT and PLATFORM the later connections of its chain are revoked, too. The
        fact is ignored if all of these connections were revoked before. It is never refused.
        """
        answers, changes = revoke_by_actor(
            fact.require_connection(snapshot),
            snapshot,
            now,
            actor=self.actor,
            happened_at=self.happened_at,
        )
        if changes is NO_CHANGES:
            return outcomes.Ignored(NO_CHANGES, join_rules(answers))
        return outcomes.Done(changes, join_rules(answers))
