"""A model of rate limits: every admission ever made, and buckets with fractions of tokens."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction

Policy = tuple[str, str, int, int, int]
"""The kind (log or bucket), name, capacity, refill, and seconds."""

MICROSECOND = timedelta(microseconds=1)


def rounded_up(exact: Fraction) -> int:
    return -(-exact.numerator // exact.denominator)


class LogModel:
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
        return (young[too_many - 1] + self.window - now) // MICROSECOND

    def charge(self, now: datetime, cost: int) -> None:
        self.admitted += [now] * cost

    def as_new_at(self) -> datetime | None:
        return max(self.admitted) + self.window if self.admitted else None


class BucketModel:
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


class LimitsModel:
    """Several rules, all or nothing."""

    def __init__(self, policies: list[Policy]) -> None:
        self.rules: dict[str, LogModel | BucketModel] = {}
        for kind, name, most, refill, seconds in policies:
            rule = LogModel(most, seconds) if kind == "log" else BucketModel(most, refill, seconds)
            self.rules[name] = rule

    def admit(self, now: datetime, cost: int) -> tuple[str, str, int]:
        """Return admitted; limited, by which rule and for how long; never; or mistake."""
        if cost < 1:
            return "mistake", "", 0
        for name, rule in self.rules.items():
            if cost > rule.limit:
                return "never", name, 0
        waits = {name: rule.wait(now, cost) for name, rule in self.rules.items()}
        longest = max(waits.values())
        for name, wait in waits.items():
            if wait == longest and wait > 0:
                return "limited", name, wait
        for rule in self.rules.values():
            rule.charge(now, cost)
        return "admitted", "", 0
