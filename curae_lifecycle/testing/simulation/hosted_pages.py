"""The behaviour of patients and upstreams: the facts that they cause, and when.

The law of this module: **it records nothing**. It returns facts with delays, and the caller
schedules and records them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from curae_lifecycle.rules.connection import Actor, ConnectionIdentity
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import (
    AppUserId,
    ConnectionId,
    Coordinate,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.testing.simulation.clients import uuid_of
from curae_lifecycle.testing.simulation.mishaps import Dice, Mishap

DelayedFact = tuple[float, Fact]
"""The seconds until a fact happens, and the fact."""

_LIFETIME: Final = timedelta(minutes=30, seconds=2)
_ENDS: Final = (None, timedelta(hours=1), timedelta(days=1), timedelta(days=30))
_NAMED: Final = 0.7
"""The probability that a fact of a hosted page names the page."""

_REASONS: Final = ("portal_login", "consent_renewal")
_ACTORS: Final = (Actor.PATIENT, Actor.PATIENT, Actor.PLATFORM, Actor.UPSTREAM, Actor.UPSTREAM)


class FactSource:
    """A source of random facts: the acts of patients on pages, and the reports of upstreams.

    Args:
        dice: The source of all random decisions.
        numbers: An iterator of unused numbers, from which unique ids are made.
    """

    def __init__(self, dice: Dice, numbers: Iterator[int]) -> None:
        self._dice = dice
        self._numbers = numbers

    def new_ids(self, now: datetime) -> NewIds:
        """Return unused ids for a request, and a next action with the URL of a new page.

        The page expires two seconds more than half an hour after `now`.
        """
        number = next(self._numbers)
        return NewIds(
            connection_id=ConnectionId(uuid_of(0xC, number)),
            session_id=SessionId(uuid_of(0x5, number)),
            user_id=UserId(f"limited-{number}"),
            next_action=NextAction(f"https://connect.example/{number}", now + _LIFETIME),
        )

    def seconds_on_page(self) -> float | None:
        """Draw how long a patient takes on a page to authorize, in seconds; None if never."""
        fate = self._dice.chance.random()
        if fate < 0.2:  # noqa: PLR2004 - one in five leaves
            return None
        # One in ten authorizes after the page has expired.
        return 5 + self._dice.around(240) if fate < 0.9 else 1900 + self._dice.around(600)  # noqa: PLR2004

    def maybe_name(self, url: str | None) -> str | None:
        """Return the URL by which a fact names its page: mostly `url`, at random `None` for none.

        A fact need not name the page that it comes from. If `url` is `None`, the result is, too.
        """
        return url if self._dice.likely(_NAMED) else None

    def authorization(
        self, identity: ConnectionIdentity, now: datetime, url: str | None
    ) -> Authorized:
        """Draw the fact that the patient authorizes a connection now.

        The authorization ends an hour, a day or 30 days later, or never.

        Args:
            identity: The identity of the connection.
            now: The instant of the authorization. If the clocks were put back since the connection
                was made, the authorization counts from when the connection was made.
            url: The URL of the page that the fact names; `None` if it names none.
        """
        ends = self._dice.chance.choice(_ENDS)
        begins = max(now, identity.created_at)
        return Authorized(
            identity.id,
            expires_at=None if ends is None else begins + ends,
            happened_at=now,
            page_url=url,
        )

    def graduation(self, page: HostedPage, url: str | None) -> DelayedFact:
        """Draw the fact that a user became ACTIVE on a hosted page.

        Args:
            page: The page.
            url: The URL of the page; `None` if it is not known. The fact names the URL or, at
                random, no page.

        Returns:
            The delay until the fact happens, in seconds, and the fact.
        """
        return self._dice.around(300), Graduated(
            page.coordinate, page.user_id, page_url=self.maybe_name(url)
        )

    def sign_ups(
        self, user: AppUserId, session: CuraeConnectSession, url: str | None
    ) -> Iterator[DelayedFact]:
        """Yield facts that complete the hand-off of a session.

        A session that awaits no hand-off yields none, unless the mishap `UNEXPECTED_FACT` happens.

        Args:
            user: The id of the app user.
            session: The session.
            url: The URL of the page about the session; `None` if it has none.

        Yields:
            The completion by the patient, and sometimes a later one by another user. Each is a
            pair: the seconds until the fact happens, and the fact.
        """
        dice = self._dice
        if session.handoff != "AWAITED" and not dice.strikes(Mishap.UNEXPECTED_FACT):
            return
        seconds = 5 + dice.around(300) if dice.likely(0.85) else 1900
        signed_up = UserId(f"patient-{user}")
        yield seconds, HandoffCompleted(session.id, signed_up, page_url=self.maybe_name(url))
        if dice.strikes(Mishap.UNEXPECTED_FACT):
            other = UserId(f"patient-{next(self._numbers)}")
            yield seconds + dice.around(100), HandoffCompleted(session.id, other)

    def unexpected_fact(self, coordinate: Coordinate, known: list[ConnectionId]) -> DelayedFact:
        """Draw a random fact about an app user, whatever happened before.

        Args:
            coordinate: The coordinate of the app user.
            known: The ids of the user's connections; may be empty.

        Returns:
            The seconds until the fact happens, and the fact.
        """
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

    def after_authorization(self, connection_id: ConnectionId) -> Iterator[DelayedFact]:
        """Yield later facts about an authorized connection, if any.

        The facts are a required action, an expiry, both, or a revocation. Each is a pair: the delay
        in seconds, and the fact.
        """
        chance = self._dice.chance
        fate = chance.random()
        days = 86_400 * self._dice.around(0.5)
        if fate < 0.5:  # noqa: PLR2004 - half need an action later
            action_required = ActionRequired(connection_id, chance.choice(_REASONS))
            if self._dice.likely(0.3):
                yield 2 * days, Expired(connection_id)
            yield days, action_required
        elif fate < 0.7:  # noqa: PLR2004 - a fifth expires
            yield days, Expired(connection_id)
        elif fate < 0.9:  # noqa: PLR2004 - a fifth is revoked
            yield days, Revoked(connection_id, chance.choice(_ACTORS))
