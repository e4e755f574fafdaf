"""Mishaps of a world, and the profile of how often each happens.

The law of this module: **the seed decides everything**. Each world draws its own mix of mishaps
from its seed: some never happen, some happen often. So two worlds differ more than two days of one
world.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from random import Random
from typing import Final

import attrs

from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.settings import Settings


class Mishap(StrEnum):
    """The failures and odd events of a simulated world; a member's value says it in words."""

    REQUEST_LOST = "the request is lost"
    ANSWER_LOST = "the answer is lost"
    DUPLICATED = "the request arrives twice"
    DELAYED = "the request is late"
    SLOW_WORKER = "the worker is slow"
    CRASH_BEFORE_STORE = "the worker dies before it stores"
    CRASH_AFTER_STORE = "the worker dies after it stored"
    CLOCK_MOVED = "a worker's clock jumps"
    CLOCKS_APART = "a worker's clock is minutes ahead or behind"
    CLOCKS_STEPPED = "all clocks are stepped by a minute, an hour or a year"
    EXTERNAL_CALL = "the worker makes an external call"
    DIED_DURING_CALL = "the worker dies during an external call"
    ANSWER_ERASED = "an operator erases a response"
    KEY_REUSED = "the key is reused with another body"
    KEY_OLD = "the key is reused a day later"
    DOUBLE_CLICK = "the app sends two requests at once"
    BURST = "the app sends a dozen requests at once"
    BROKEN_REQUEST = "the request is malformed"
    FOREIGN_ID = "the id is unknown or another tenant's"
    WRONG_API_KEY = "an unknown or another API key is used"
    RECORDED_LATE = "a fact is recorded late"
    RECORDED_TWICE = "a fact is recorded twice"
    UNEXPECTED_FACT = "an unexpected fact happens"
    SHIPPER_DIED = "an outbox worker dies"
    CONCURRENT_REQUEST = "a request runs while a fact is recorded"
    CONCURRENT_TOMBSTONE = "a tombstone is recorded during a request or a fact"


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
    """The profile of one simulated world: its mishaps, its load and its server's settings.

    Attributes:
        rates: The probability of each mishap at each step at which it can happen. A mishap is a
            failure or an odd event. A mishap without a rate never happens.
        requests_per_hour: The mean number of acts of one client, a simulated app, in an hour by
            day; by night it is a quarter. An act is a request or an access question.
        users: The number of app users that a customer account has at a time.
        days_of_a_user: The mean number of days for which an app user uses the apps.
        settings: The settings of the server.
    """

    rates: Mapping[Mishap, float]
    requests_per_hour: int
    users: int
    days_of_a_user: float
    settings: Settings

    @classmethod
    def draw(cls, chance: Random) -> WorldProfile:
        """Draw the mishaps, the load and the settings of a world from a random generator."""
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
    """The only source of random decisions in a simulated world.

    Attributes:
        chance: The random number generator.
        profile: The profile of the world.
        counts: The number of times that each mishap has happened.
    """

    chance: Random
    profile: WorldProfile
    counts: Counter[Mishap] = attrs.field(factory=Counter[Mishap])

    def strikes(self, mishap: Mishap) -> bool:
        """Draw whether a mishap (a failure or an odd event) happens now; count it if so.

        Its rate in the profile is its probability.
        """
        rate = self.profile.rates.get(mishap)
        if rate is None or self.chance.random() >= rate:
            return False
        self.counts[mishap] += 1
        return True

    def likely(self, probability: float) -> bool:
        """Draw an ordinary event: return True with this probability, from 0 to 1.

        Unlike `strikes`, it counts nothing.
        """
        return self.chance.random() < probability

    def around(self, mean: float) -> float:
        """Draw a positive number from the exponential distribution with this mean."""
        return self.chance.expovariate(1 / mean)
