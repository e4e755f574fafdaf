"""The bound user is gone."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules.binding import tombstone
from curae_lifecycle.rules.values import Coordinate
from curae_lifecycle.service.changes import EventKind, binding_changes
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.members import COORDINATE, HAPPENED_AT, NAMED_USER, Given


@attrs.frozen
class Tombstoned(fact.Fact):
    """The bound user is gone, whoever it is."""

    coordinate: Coordinate
    happened_at: datetime | None = None

    kind = "binding.tombstone"
    # Whoever is bound is gone; a user that is named is read, and decides nothing.
    members = (*COORDINATE, NAMED_USER, HAPPENED_AT)

    @classmethod
    def read(cls, given: Given) -> Tombstoned:
        """The fact of what was sent."""
        return cls(given.coordinate(), given[HAPPENED_AT])

    def needs(self) -> fact.FactNeeds:
        """The binding of the coordinate."""
        return fact.FactNeeds(binding=self.coordinate)

    def judge(self, snapshot: fact.FactSnapshot, now: datetime) -> fact.FactAnswer:
        """TOMBSTONED, where somebody was bound."""
        binding, kind = snapshot.binding, EventKind.BINDING_TOMBSTONED
        answer = tombstone(binding, self.coordinate)
        return fact.recorded(answer, lambda after: binding_changes(kind, binding, after, now))
