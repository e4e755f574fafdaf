"""Tests of the facts that simulated patients and upstreams cause: which, when and how often.

A seed must cause the same facts in every release, so the order of the draws is pinned, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar

import pytest

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.values import ConnectionId, NextAction, SessionId, UserId
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, user_subject
from curae_lifecycle.service.settings import DEFAULT_SETTINGS
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.testing.simulation import Mishap, WorldProfile
from curae_lifecycle.testing.simulation.hosted_pages import DelayedFact, FactSource
from curae_lifecycle.testing.simulation.mishaps import Dice
from tests.support.strategies import COORDINATE, START, at, pending, uuid

if TYPE_CHECKING:
    from _typeshed import SupportsLenAndGetItem

Member = TypeVar("Member")

URL: Final = "https://connect.example/1"
ONE: Final = ConnectionId(uuid(1))
TWO: Final = ConnectionId(uuid(2))
DAYS: Final = 86_400 * 0.5
"""The mean number of seconds from an authorization to the next fact."""


class Chance(Random):
    """Chance whose draws are written down; a span is always as long as its mean."""

    def __init__(self, draws: Iterable[float], places: Iterable[int]) -> None:
        super().__init__(0)
        self._draws = iter(draws)
        self._places = iter(places)
        self.offered: list[int] = []

    def random(self) -> float:
        return next(self._draws)

    def choice(self, seq: SupportsLenAndGetItem[Member]) -> Member:
        self.offered.append(len(seq))
        return seq[next(self._places)]

    def expovariate(self, lambd: float = 1.0) -> float:
        return round(1 / lambd, 6)

    def is_used_up(self) -> bool:
        return [*self._draws, *self._places] == []


def source(chance: Chance, rate: float | None = None) -> FactSource:
    """Return a source in a world in which an unexpected fact happens at this rate, or never."""
    rates = {} if rate is None else {Mishap.UNEXPECTED_FACT: rate}
    profile = WorldProfile(
        rates, requests_per_hour=100, users=5, days_of_a_user=1, settings=DEFAULT_SETTINGS
    )
    return FactSource(Dice(chance, profile), count(7))


def drawing(
    *draws: float, choices: Iterable[int] = (), rate: float | None = None
) -> tuple[FactSource, Chance]:
    chance = Chance(draws, choices)
    return source(chance, rate), chance


def test_new_ids_are_made_from_the_next_unused_number() -> None:
    pages, _ = drawing()
    lifetime = timedelta(minutes=30, seconds=2)
    assert [pages.new_ids(START), pages.new_ids(at(1))] == [
        NewIds(
            connection_id=ConnectionId(f"0000000c-0000-4000-8000-00000000000{number}"),
            session_id=SessionId(f"00000005-0000-4000-8000-00000000000{number}"),
            user_id=UserId(f"limited-{number}"),
            next_action=NextAction(f"https://connect.example/{number}", now + lifetime),
        )
        for number, now in ((7, START), (8, at(1)))
    ]


@pytest.mark.parametrize(
    ("fate", "seconds"),
    [(0.0, None), (0.199, None), (0.2, 245), (0.899, 245), (0.9, 2500), (0.999, 2500)],
)
def test_patient_authorizes_soon_or_too_late_or_not_at_all(
    fate: float, seconds: float | None
) -> None:
    pages, _ = drawing(fate)
    assert pages.seconds_on_page() == seconds


@pytest.mark.parametrize(("draw", "named"), [(0.0, URL), (0.699, URL), (0.7, None), (0.999, None)])
def test_70_percent_of_simulated_facts_name_their_hosted_page(
    draw: float, named: str | None
) -> None:
    pages, _ = drawing(draw, draw)
    assert pages.maybe_name(URL) == named
    assert pages.maybe_name(None) is None


@pytest.mark.parametrize(
    ("place", "length"),
    [(0, None), (1, timedelta(hours=1)), (2, timedelta(days=1)), (3, timedelta(days=30))],
)
@pytest.mark.parametrize(("now", "begins"), [(at(5), at(5)), (at(-60), START)])
def test_authorization_ends_after_1_hour_1_day_30_days_or_never(
    place: int, length: timedelta | None, now: datetime, begins: datetime
) -> None:
    pages, chance = drawing(choices=[place])
    identity = pending(START).identity
    ends = None if length is None else begins + length
    assert pages.authorization(identity, now, URL) == Authorized(ONE, ends, now, page_url=URL)
    assert chance.offered == [4]


@pytest.mark.parametrize(("draw", "named"), [(0.69, URL), (0.7, None)])
def test_simulated_graduation_names_its_page_at_draw_below_0_7(
    draw: float, named: str | None
) -> None:
    page = HostedPage(
        "d", kind=PageKind.USER, subject=user_subject(COORDINATE, UserId("u-1")), expires_at=at(30)
    )
    pages, _ = drawing(draw)
    fact = Graduated(COORDINATE, UserId("u-1"), page_url=named)
    assert pages.graduation(page, URL) == (300, fact)


def session(handoff: HandoffState) -> CuraeConnectSession:
    return CuraeConnectSession(
        id=SessionId(uuid(3)),
        coordinate=COORDINATE,
        path=EntryPath.NEW_ACTIVE_SIGNUP_HANDOFF,
        handoff=handoff,
        created_at=START,
        expires_at=at(30),
        landed_at=None,
        user_id=None,
    )


def sign_ups(
    *draws: float, handoff: HandoffState = HandoffState.AWAITED, rate: float | None = None
) -> list[DelayedFact]:
    """Return the facts about a session; all of the draws are used, and no more."""
    pages, chance = drawing(*draws, rate=rate)
    facts = [*pages.sign_ups(COORDINATE.app_user_id, session(handoff), URL)]
    assert chance.is_used_up()
    return facts


def landing(user: str, page_url: str | None = None) -> HandoffCompleted:
    return HandoffCompleted(SessionId(uuid(3)), UserId(user), page_url=page_url)


@pytest.mark.parametrize(
    ("draws", "seconds", "page_url"),
    [
        ((0.849, 0.69), 305, URL),
        ((0.849, 0.7), 305, None),
        ((0.85, 0.69), 1900, URL),
    ],
)
def test_sign_up_completes_an_awaited_hand_off(
    draws: tuple[float, float], seconds: float, page_url: str | None
) -> None:
    assert sign_ups(*draws) == [(seconds, landing("patient-user-1", page_url))]


def test_mishap_completes_a_session_again_by_another_user() -> None:
    first = (305, landing("patient-user-1", URL))
    assert sign_ups(0.0, 0.0, 0.49, rate=0.5) == [first, (405, landing("patient-7"))]
    assert sign_ups(0.0, 0.0, 0.5, rate=0.5) == [first]


@pytest.mark.parametrize("handoff", [HandoffState.LANDED, HandoffState.NOT_REQUIRED])
def test_session_awaiting_no_hand_off_completes_only_by_mishap(handoff: HandoffState) -> None:
    assert sign_ups(handoff=handoff) == []
    assert sign_ups(0.5, handoff=handoff, rate=0.5) == []
    first = (305, landing("patient-user-1", URL))
    assert sign_ups(0.49, 0.0, 0.0, 0.5, handoff=handoff, rate=0.5) == [first]


ABOUT_USERS: Final = (
    Tombstoned(COORDINATE),
    Graduated(COORDINATE),
    Graduated(COORDINATE, UserId("patient-other")),
)
REASONS: Final = ("portal_login", "consent_renewal")
ACTORS: Final = (Actor.PATIENT, Actor.PATIENT, Actor.PLATFORM, Actor.UPSTREAM, Actor.UPSTREAM)


@pytest.mark.parametrize(("place", "fact"), [*enumerate(ABOUT_USERS)])
def test_unexpected_fact_without_connections_is_about_the_user(place: int, fact: Fact) -> None:
    pages, chance = drawing(choices=[place])
    assert pages.unexpected_fact(COORDINATE, []) == (60, fact)
    assert chance.offered == [3]


@pytest.mark.parametrize(
    ("places", "fact"),
    [
        *(((0, 0, 0, place), fact) for place, fact in enumerate(ABOUT_USERS)),
        ((0, 0, 0, 3), Authorized(ONE)),
        ((1, 0, 0, 3), Authorized(TWO)),
        *(((1, each, 0, 4), ActionRequired(TWO, reason)) for each, reason in enumerate(REASONS)),
        ((1, 0, 0, 5), Expired(TWO)),
        *(((1, 0, each, 6), Revoked(TWO, actor)) for each, actor in enumerate(ACTORS)),
    ],
)
def test_unexpected_fact_is_about_the_user_or_a_known_connection(
    places: tuple[int, ...], fact: Fact
) -> None:
    pages, chance = drawing(choices=places)
    assert pages.unexpected_fact(COORDINATE, [ONE, TWO]) == (60, fact)
    assert chance.offered == [2, len(REASONS), len(ACTORS), 7]


@pytest.mark.parametrize(
    ("draws", "places", "facts"),
    [
        ((0.0, 0.3), (0,), [(DAYS, ActionRequired(ONE, "portal_login"))]),
        ((0.499, 0.3), (1,), [(DAYS, ActionRequired(ONE, "consent_renewal"))]),
        (
            (0.499, 0.299),
            (0,),
            [(2 * DAYS, Expired(ONE)), (DAYS, ActionRequired(ONE, "portal_login"))],
        ),
        ((0.5,), (), [(DAYS, Expired(ONE))]),
        ((0.699,), (), [(DAYS, Expired(ONE))]),
        *(((0.7,), (each,), [(DAYS, Revoked(ONE, actor))]) for each, actor in enumerate(ACTORS)),
        ((0.899,), (0,), [(DAYS, Revoked(ONE, Actor.PATIENT))]),
        ((0.9,), (), []),
    ],
)
def test_random_draw_picks_what_follows_an_authorization(
    draws: tuple[float, ...], places: tuple[int, ...], facts: list[DelayedFact]
) -> None:
    pages, chance = drawing(*draws, choices=places)
    assert [*pages.after_authorization(ONE)] == facts
    assert chance.is_used_up()
