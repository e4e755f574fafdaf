"""The LIMITED user became ACTIVE."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import attrs

from curae_lifecycle.rules.binding import graduate
from curae_lifecycle.rules.values import Coordinate, UserId
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
class Graduated(Fact):
    """The LIMITED user became ACTIVE; `user_id` is the bound one where absent."""

    coordinate: Coordinate
    user_id: UserId | None = attrs.field(default=None, repr=False)
    happened_at: datetime | None = None

    kind: ClassVar = "binding.graduate"
    members: ClassVar = (*COORDINATE, NAMED_USER, HAPPENED_AT)

    @classmethod
    def read(cls, given: Given) -> Graduated:
        """The fact of what was sent."""
        return cls(given.coordinate(), given[NAMED_USER], given[HAPPENED_AT])

    def needs(self) -> FactNeeds:
        """The binding of the coordinate."""
        return FactNeeds(binding=self.coordinate)

    def judge(self, snapshot: FactSnapshot, now: datetime) -> FactAnswer:
        """ACTIVE, where the user is the one that is bound."""
        binding = snapshot.binding
        # Where nobody is bound the table refuses, whoever is named.
        bound = UserId("") if binding is None else binding.user_id
        user_id = bound if self.user_id is None else self.user_id
        answer = graduate(binding, self.coordinate, user_id)
        return moved_binding(EventKind.BINDING_GRADUATED, binding, answer, now)
