"""Steps of traffic that are played by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import AppUserId, ConnectionId
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.testing.strategies import (
    NEXT_ACTION_LIFETIME,
    AccessQuestion,
    Exchange,
    Interaction,
    RecordedFact,
    traffic,
    values,
)
from curae_lifecycle.testing.strategies.connection import FactTemplate
from curae_lifecycle.testing.strategies.traffic import StepKind, TrafficStep

NOW: Final = timedelta(0)
USER: Final = AppUserId("user-1")
USER_2: Final = AppUserId("user-2")
UNKNOWN: Final = ConnectionId(values.uuid_of(9999))
LAPSED: Final = NEXT_ACTION_LIFETIME + timedelta(minutes=1)
AUTHORIZE: Final = FactTemplate(Authorized)
REVOKE: Final = FactTemplate(Revoked, field_values=(("actor", Actor.PATIENT),))
BUCKETS: Final = (Bucket(name="platform", capacity=5, refill=1, seconds=1),)


def step(
    kind: StepKind,
    offset: timedelta = NOW,
    *,
    nth_newest: int = 0,
    key: int = 0,
    user: int = 1,
    caller: int = 0,
) -> TrafficStep:
    return TrafficStep(
        offset=offset, kind=kind, nth_newest=nth_newest, key=key, user=user, caller=caller
    )


def play(*steps: TrafficStep) -> tuple[Interaction, ...]:
    return traffic.play_traffic((), list(steps)).interactions


def exchange_of(interaction: Interaction) -> Exchange:
    assert isinstance(interaction, Exchange)
    return interaction


def fact_of(interaction: Interaction) -> RecordedFact:
    assert isinstance(interaction, RecordedFact)
    return interaction


def question_of(interaction: Interaction) -> AccessQuestion:
    assert isinstance(interaction, AccessQuestion)
    return interaction


def status_of(interaction: Interaction) -> int:
    return exchange_of(interaction).answer.response.status
