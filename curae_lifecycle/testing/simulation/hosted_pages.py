"""The hosted pages and the upstreams: which facts come of what, and after how long.

The law of this module: **it decides nothing**; whoever asks it plans the facts and records them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import AppUserId, ConnectionId, Coordinate, UserId
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.testing.simulation.mishaps import Dice, Mishap

Planned = tuple[float, Fact]
"""In how many seconds a fact happens."""

_ENDS: Final = (None, timedelta(hours=1), timedelta(days=1), timedelta(days=30))
_REASONS: Final = ("portal_login", "consent_renewal")
_ACTORS: Final = (Actor.PATIENT, Actor.PATIENT, Actor.PLATFORM, Actor.UPSTREAM, Actor.UPSTREAM)


class HostedPages:
    """What patients and upstreams do."""

    def __init__(self, dice: Dice, numbers: Iterator[int]) -> None:
        """Chance, and the numbers that no two things share."""
        self._dice = dice
        self._numbers = numbers

    def seconds_on_page(self) -> float | None:
        """How long a patient takes on the hosted page; `None` for one who walks away."""
        fate = self._dice.chance.random()
        if fate < 0.2:  # noqa: PLR2004 - one in five walks away
            return None
        # One in ten comes back to a page that is over.
        return 5 + self._dice.around(240) if fate < 0.9 else 1900 + self._dice.around(600)  # noqa: PLR2004

    def authorization(self, connection_id: ConnectionId, now: datetime) -> Authorized:
        """A patient authorizes now, for some time or without an end."""
        ends = self._dice.chance.choice(_ENDS)
        return Authorized(connection_id, None if ends is None else now + ends, now)

    def sign_ups(self, user: AppUserId, session: CuraeConnectSession) -> Iterator[Planned]:
        """Who completes the hand-off of a session, where somebody does."""
        dice = self._dice
        if session.handoff != "AWAITED" and not dice.strikes(Mishap.OUT_OF_TURN):
            return
        seconds = 5 + dice.around(300) if dice.likely(0.85) else 1900
        yield seconds, HandoffCompleted(session.id, UserId(f"patient-{user}"))
        if dice.strikes(Mishap.OUT_OF_TURN):
            other = UserId(f"patient-{next(self._numbers)}")
            yield seconds + dice.around(100), HandoffCompleted(session.id, other)

    def out_of_turn(self, coordinate: Coordinate, known: list[ConnectionId]) -> Planned:
        """A fact that nobody expects."""
        facts: list[Fact] = [
            Tombstoned(coordinate),
            Graduated(coordinate),
            Graduated(coordinate, UserId("patient-other")),
        ]
        chance = self._dice.chance
        if known:
            connection_id = chance.choice(known)
            facts += [
                Authorized(connection_id),
                ActionRequired(connection_id, chance.choice(_REASONS)),
                Expired(connection_id),
                Revoked(connection_id, chance.choice(_ACTORS)),
            ]
        return self._dice.around(60), chance.choice(facts)

    def after_authorization(self, connection_id: ConnectionId) -> Iterator[Planned]:
        """What becomes of an authorization some day."""
        chance = self._dice.chance
        fate = chance.random()
        days = 86_400 * self._dice.around(0.5)
        if fate < 0.5:  # noqa: PLR2004 - half of all upstreams ask again some day
            asked = ActionRequired(connection_id, chance.choice(_REASONS))
            if self._dice.likely(0.3):
                yield 2 * days, Expired(connection_id)
            yield days, asked
        elif fate < 0.7:  # noqa: PLR2004 - a fifth ends
            yield days, Expired(connection_id)
        elif fate < 0.9:  # noqa: PLR2004 - a fifth is revoked
            yield days, Revoked(connection_id, chance.choice(_ACTORS))
