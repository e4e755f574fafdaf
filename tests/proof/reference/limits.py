"""The rate limits of the model: every admission ever made, and buckets with fractions of tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from typing import TypedDict

from tests.proof.reference.requests import limited
from tests.proof.reference.values import Broken, members, require_text, seconds_up

Holder = tuple[str, str, str, str]
"""An API key with its owner: the key, environment, app and account."""

MICROSECOND = timedelta.resolution


def rounded_up(exact: Fraction) -> int:
    return -(-exact.numerator // exact.denominator)


class Log:
    """An exact log: a limit in any half-open window, over all admissions."""

    def __init__(self, limit: int, seconds: int) -> None:
        self.limit = limit
        self.window = timedelta(seconds=seconds)
        self.admitted: list[datetime] = []

    def young(self, now: datetime) -> list[datetime]:
        """Return the admissions that count against `now`: in the window, or from a clock ahead."""
        return sorted(each for each in self.admitted if now - each < self.window)

    def available(self, now: datetime) -> int:
        return max(0, self.limit - len(self.young(now)))

    def wait(self, now: datetime, cost: int) -> int:
        """Return the microseconds until it fits, or 0."""
        young = self.young(now)
        too_many = len(young) + cost - self.limit
        if too_many <= 0:
            return 0
        return (young[too_many - 1] - now + self.window) // MICROSECOND

    def charge(self, now: datetime, cost: int) -> None:
        self.admitted = [*self.admitted, *[now] * cost]

    def as_new_at(self) -> datetime | None:
        return max(self.admitted) + self.window if self.admitted else None


class TokenBucket:
    """A bucket of tokens that refill steadily; a clock behind the latest charge sees fewer."""

    def __init__(self, capacity: int, refill: int, seconds: int) -> None:
        self.limit = capacity
        self.per_microsecond = Fraction(refill, seconds * 1_000_000)
        self.tokens = Fraction(capacity)
        self.at: datetime | None = None

    def level(self, now: datetime) -> Fraction:
        if self.at is None:
            return Fraction(self.limit)
        passed = (now - self.at) // MICROSECOND
        return min(Fraction(self.limit), self.tokens + passed * self.per_microsecond)

    def available(self, now: datetime) -> int:
        return max(0, int(self.level(now) // 1))

    def wait(self, now: datetime, cost: int) -> int:
        missing = cost - self.level(now)
        return rounded_up(missing / self.per_microsecond) if missing > 0 else 0

    def charge(self, now: datetime, cost: int) -> None:
        self.tokens, self.at = self.level(now) - cost, now

    def as_new_at(self) -> datetime | None:
        if self.at is None:
            return None
        return self.at + rounded_up((self.limit - self.tokens) / self.per_microsecond) * MICROSECOND


Rules = Mapping[str, Log | TokenBucket]


def longest_wait(rules: Rules, now: datetime, cost: int) -> tuple[str, int]:
    """Return the first rule with the longest wait, and its microseconds; 0 if all admit."""
    waits = {name: rule.wait(now, cost) for name, rule in rules.items()}
    name = max(waits, key=waits.__getitem__, default="")
    return name, waits.get(name, 0)


def admit(rules: Rules, now: datetime, cost: int) -> tuple[str, str, int]:
    """Charge all rules or none: admitted; limited, by which and how long; never; or mistake."""
    if cost < 1:
        return "mistake", "", 0
    for name, rule in rules.items():
        if cost > rule.limit:
            return "never", name, 0
    name, wait = longest_wait(rules, now, cost)
    if wait > 0:
        return "limited", name, wait
    for rule in rules.values():
        rule.charge(now, cost)
    return "admitted", "", 0


class Bucket(TypedDict):
    """One of the platform's token buckets, as configured."""

    name: str
    capacity: int
    refill: int
    seconds: int


class Limits:
    """The state of each bucket, and the charges of each app user."""

    def __init__(self) -> None:
        super().__init__()
        self.buckets: list[Bucket] = []
        self.tokens: dict[tuple[str, Holder], TokenBucket] = {}
        self.charged: dict[tuple[str, str, str, str], Log] = {}

    def _set_buckets(self, value: object) -> dict[str, object]:
        if not isinstance(value, list):
            raise Broken("buckets are a list")
        buckets: list[Bucket] = []
        for item in value:
            given = members(item, ["name", "capacity", "refill", "seconds"], [])
            name = require_text(given["name"])
            if not re.fullmatch(r"[!-~]+", name) or name in [one["name"] for one in buckets]:
                raise Broken("a bucket's name is visible ASCII and unique")
            numbers: list[int] = []
            for member in ["capacity", "refill", "seconds"]:
                number = given[member]
                if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                    raise Broken("a bucket's numbers are positive integers")
                numbers.append(number)
            buckets.append(
                {
                    "name": name,
                    "capacity": numbers[0],
                    "refill": numbers[1],
                    "seconds": numbers[2],
                }
            )
        # Reading: all buckets are full from here on, even one whose name and numbers are unchanged.
        self.buckets = buckets
        self.tokens = {}
        return {"outcome": "done"}

    def _of(self, holder: Holder) -> dict[str, TokenBucket]:
        """Return the buckets of a holder; one that was never charged is full."""
        return {
            bucket["name"]: self.tokens.setdefault(
                (bucket["name"], holder),
                TokenBucket(bucket["capacity"], bucket["refill"], bucket["seconds"]),
            )
            for bucket in self.buckets
        }

    def _ask_buckets(self, holder: Holder, now: datetime) -> None:
        name, wait = longest_wait(self._of(holder), now, 1)
        if wait > 0:
            (bucket,) = [bucket for bucket in self.buckets if bucket["name"] == name]
            full = Fraction(bucket["capacity"] * bucket["seconds"], bucket["refill"])
            raise limited(
                name, quota=bucket["capacity"], window=seconds_up(full), wait=wait * MICROSECOND
            )

    def _charge_buckets(self, holder: Holder, now: datetime) -> None:
        for bucket in self._of(holder).values():
            bucket.charge(now, 1)

    def _charge_user(
        self, operation: str, environment: str, account: str, user: str, now: datetime
    ) -> None:
        log = self.charged.setdefault((operation, environment, account, user), Log(10, 60))
        wait = log.wait(now, 1)
        if wait > 0:
            raise limited(operation, quota=10, window=60, wait=wait * MICROSECOND)
        log.charge(now, 1)
