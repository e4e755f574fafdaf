"""The registry of facts, in the order of the pages; a new fact gets its line here."""

from __future__ import annotations

from typing import Final

from curae_lifecycle.rules.triggers import Trigger
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned

FACTS: Final[tuple[type[Fact], ...]] = (
    Authorized,
    ActionRequired,
    Expired,
    Revoked,
    HandoffCompleted,
    Graduated,
    Tombstoned,
)
"""Every class of facts in the package."""

FACT_BY_TRIGGER: Final[dict[Trigger, type[Fact]]] = {
    each.trigger: each for each in FACTS if each.trigger is not None
}
"""The class of the fact that fires each trigger; triggers that no fact fires are missing."""
