"""The bound user is gone."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules.binding import tombstone
from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.triggers import revoke
from curae_lifecycle.rules.values import Coordinate, check_coordinate_members
from curae_lifecycle.service.changes import binding_changes, revocation_changes
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.members import (
    COORDINATE_MEMBERS,
    HAPPENED_AT,
    OPTIONAL_USER_ID,
    ParsedMembers,
)
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs, Snapshot


@attrs.frozen
class Tombstoned(fact.Fact):
    """The fact that the bound user no longer exists; every connection of the coordinate ends [O].

    Attributes:
        coordinate: The coordinate of the user.
        happened_at: When it happened, in UTC; `None` for the instant of recording.
    """

    coordinate: Coordinate
    happened_at: datetime | None = None

    kind = "binding.tombstone"
    # A user id is read and ignored: the fact is about the bound user.
    members = (*COORDINATE_MEMBERS, OPTIONAL_USER_ID, HAPPENED_AT)

    def __attrs_post_init__(self) -> None:
        """Check the coordinate and `happened_at`.

        Raises:
            ArgumentError: The coordinate is none that a request could name, or `happened_at` is no
                UTC instant.
        """
        check_coordinate_members("coordinate", self.coordinate)
        super().__attrs_post_init__()

    @classmethod
    def from_members(cls, parsed: ParsedMembers) -> Tombstoned:
        """Build the fact from parsed members; those of `COORDINATE_MEMBERS` become `coordinate`."""
        return cls(parsed.coordinate(), parsed[HAPPENED_AT])

    def needs(self) -> Needs:
        """Return needs that name the binding and every connection of the coordinate."""
        return Needs(binding=self.coordinate, connections=ConnectionsPage(self.coordinate))

    def judge(self, snapshot: Snapshot, now: datetime) -> fact.FactAnswer:
        """Move the binding to TOMBSTONED and revoke every connection of the coordinate.

        The fact is ignored if no user is bound or the binding was TOMBSTONED before.
        """
        binding, connections = snapshot.binding, snapshot.connections
        kind = EventKind.BINDING_TOMBSTONED
        gone = tombstone(binding, self.coordinate)
        answer = fact.to_fact_answer(
            gone, lambda after: binding_changes(kind, before=binding, after=after, now=now)
        )
        if not isinstance(answer, Done):
            return answer
        revoked = tuple(
            revoke(each, now, actor=Actor.PLATFORM, happened_at=self.happened_at)
            for each in connections
        )
        followed = {each.identity.predecessor_id for each in connections}
        heads = tuple(each for each in connections if each.id not in followed)
        rules = tuple(rule for each in revoked for rule in each.rules)
        changes = answer.value + revocation_changes(connections, revoked, heads)
        return Done(changes, answer.rules + rules)
