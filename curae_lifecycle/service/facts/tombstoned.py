"""The fact that the user of a coordinate is gone, which ends its connections and sessions."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules.binding import tombstone
from curae_lifecycle.rules.values import Coordinate
from curae_lifecycle.service.changes import tombstone_changes
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.members import (
    COORDINATE_MEMBERS,
    HAPPENED_AT,
    OPTIONAL_USER_ID,
    ParsedMembers,
)
from curae_lifecycle.service.snapshot import Snapshot


@attrs.frozen
class Tombstoned(fact.UserFact):
    """The fact that the user of a coordinate no longer exists [O].

    It can be recorded even if the platform has bound no user to the coordinate. Once the fact is
    recorded, no earlier connection or session of the coordinate is valid.
    `stores.serve.record` then stores these connections as REVOKED, in batches (`service.sweep`).

    Attributes:
        coordinate: The coordinate of the user.
        happened_at: When it happened, in UTC; `None` for the instant of recording. A fact with the
            `happened_at` of the last tombstone is a copy and is ignored. A fact without a
            `happened_at` is always a new tombstone: it ends the access of a user who was bound
            since the last one.
    """

    coordinate: Coordinate
    happened_at: datetime | None = None

    kind = "binding.tombstone"
    # A user id is read and ignored: the fact is about the coordinate.
    members = (*COORDINATE_MEMBERS, OPTIONAL_USER_ID, HAPPENED_AT)

    @classmethod
    def from_members(cls, parsed: ParsedMembers) -> Tombstoned:
        """Build the fact from its parsed members.

        Environment, app, account and app user become the field `coordinate`. A `userId` is ignored.
        """
        return cls(parsed.coordinate(), parsed[HAPPENED_AT])

    def judge(self, snapshot: Snapshot, now: datetime) -> fact.FactAnswer:
        """Return the changes that record that the coordinate's user is gone (a tombstone).

        They begin a new era: earlier connections and sessions have ended. A fact that repeats the
        last tombstone is a copy and is ignored.

        Raises:
            ArgumentError: `happened_at` is more than five minutes after `now`, and the fact is no
                copy.
        """
        binding = snapshot.binding
        answer = tombstone(binding, self.coordinate, now, happened_at=self.happened_at)
        return fact.to_fact_answer(answer, lambda after: tombstone_changes(binding, after))
