"""The bound user is gone."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import attrs

from curae_lifecycle.rules.binding import tombstone
from curae_lifecycle.rules.values import Coordinate
from curae_lifecycle.service.changes import EventKind
from curae_lifecycle.service.facts.fact import (
    Fact,
    FactAnswer,
    FactNeeds,
    FactSnapshot,
    moved_binding,
)
from curae_lifecycle.service.members import COORDINATE, HAPPENED_AT, NAMED_USER, Given


@attrs.frozen
class Tombstoned(Fact):
    """The bound user is gone, whoever it is."""

    coordinate: Coordinate
    happened_at: datetime | None = None

    kind: ClassVar = "binding.tombstone"
    # Whoever is bound is gone; a user that is named is read, and decides nothing.
    members: ClassVar = (*COORDINATE, NAMED_USER, HAPPENED_AT)

    @classmethod
    def read(cls, given: Given) -> Tombstoned:
        """The fact of what was sent."""
        return cls(given.coordinate(), given[HAPPENED_AT])

    def needs(self) -> FactNeeds:
        """The binding of the coordinate."""
        return FactNeeds(binding=self.coordinate)

    def judge(self, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
        """TOMBSTONED, where somebody was bound."""
        answer = tombstone(snapshot.binding, self.coordinate)
        return moved_binding(EventKind.BINDING_TOMBSTONED, snapshot.binding, answer, now)
