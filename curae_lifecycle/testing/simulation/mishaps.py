"""What may go wrong, and how often in one world.

The law of this module: **a seed decides everything**. Each world draws its own mix of mishaps from
its seed: some never happen, some often, so that worlds differ more than one world's days do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from random import Random
from typing import Final

import attrs

from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.settings import Settings


class Mishap(StrEnum):
    """What may go wrong."""

    REQUEST_LOST = "the request is lost"
    ANSWER_LOST = "the answer is lost"
    DUPLICATED = "the request arrives twice"
    DELAYED = "the request is late"
    SLOW_WORKER = "the worker is slow"
    CRASH_BEFORE_STORE = "the worker dies before it stores"
    CRASH_AFTER_STORE = "the worker dies after it stored"
    CLOCK_MOVED = "a worker's clock is set anew"
    CLOCKS_APART = "a worker's clock is minutes ahead or behind"
    CALLS_OUT = "the worker calls out in between"
    CALL_DIED = "the worker dies while it calls out"
    ANSWER_ERASED = "the operator erases an answer"
    KEY_REUSED = "the key comes with another body"
    KEY_OLD = "the key comes again a day later"
    DOUBLE_CLICK = "the app asks twice at once"
    BURST = "the app asks a dozen times at once"
    BROKEN_REQUEST = "the request is broken"
    STRANGER_ID = "the id is nobody's or another tenant's"
    STRANGER_KEY = "the API key is unknown or may not"
    RECORDED_LATE = "a fact is recorded late"
    RECORDED_TWICE = "a fact is recorded twice"
    OUT_OF_TURN = "a fact comes out of turn"
    CROSSED = "the app asks while a fact is recorded"


_ABSENT: Final = 0.25
_RAREST: Final = 0.003
_OFTENEST: Final = 0.12
_BUCKETS: Final = (
    (),
    (Bucket(name="platform", capacity=100, refill=50, seconds=1),),
    (
        Bucket(name="second", capacity=6, refill=3, seconds=1),
        Bucket(name="hour", capacity=400, refill=400, seconds=3600),
    ),
)


@attrs.frozen
class WorldProfile:
    """What one world is like, and what its server chose.

    Attributes:
        rates: How likely each mishap is where it may happen; the absent ones never happen.
        requests_per_hour: How busy one client is at noon.
        users: How many app users an account has at a time.
        days_of_a_user: How long an app user stays, on average.
    """

    rates: Mapping[Mishap, float]
    requests_per_hour: int
    users: int
    days_of_a_user: float
    settings: Settings

    @classmethod
    def draw(cls, chance: Random) -> WorldProfile:
        """Draw the mix of one world."""
        rates: dict[Mishap, float] = {}
        for mishap in Mishap:
            drawn = math.exp(chance.uniform(math.log(_RAREST), math.log(_OFTENEST)))
            if chance.random() >= _ABSENT:
                rates[mishap] = drawn
        environment = chance.choice((None, None, Environment.LIVE))
        buckets = chance.choice(_BUCKETS)
        spelling = chance.choice(("ACTIVE", "ACTIVE", "AUTHORIZED"))
        settings = Settings(environment, buckets, active_spelling=spelling)
        busy, users = chance.randint(40, 250), chance.randint(3, 15)
        return cls(
            rates=rates,
            requests_per_hour=busy,
            users=users,
            days_of_a_user=chance.choice((0.1, 1, 10)),
            settings=settings,
        )


@attrs.define
class Dice:
    """The one source of chance of a world, which counts how often each mishap happened."""

    chance: Random
    mix: WorldProfile
    thrown: dict[Mishap, int] = attrs.field(factory=dict[Mishap, int])

    def strikes(self, mishap: Mishap) -> bool:
        """Whether the mishap happens now; it is counted if so."""
        rate = self.mix.rates.get(mishap)
        if rate is None or self.chance.random() >= rate:
            return False
        self.thrown[mishap] = self.thrown.get(mishap, 0) + 1
        return True

    def likely(self, probability: float) -> bool:
        """Whether something of that probability happens, which is no mishap."""
        return self.chance.random() < probability

    def around(self, mean: float) -> float:
        """A waiting time in seconds whose mean is given, seldom long."""
        return self.chance.expovariate(1 / mean)
