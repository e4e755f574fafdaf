"""The rate limits of the model: tokens as exact fractions, and a list of instants."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from fractions import Fraction
from typing import TypedDict

from tests.proof.reference.requests import ProblemReply, limited
from tests.proof.reference.values import MINUTE, Broken, members, require_text, seconds_up

Holder = tuple[str, str, str, str]
"""An API key with its owner: the key, environment, app and account."""


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
        self.tokens: dict[tuple[str, Holder], tuple[Fraction, datetime]] = {}
        self.charged: dict[tuple[str, str, str, str], list[datetime]] = {}

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

    def _tokens(self, bucket: Bucket, holder: Holder, now: datetime) -> Fraction:
        capacity = Fraction(bucket["capacity"])
        if (bucket["name"], holder) not in self.tokens:
            return capacity
        tokens, since = self.tokens[(bucket["name"], holder)]
        passed = Fraction((now - since) // timedelta.resolution, 10**6)
        return min(capacity, tokens + passed * bucket["refill"] / bucket["seconds"])

    def _ask_buckets(self, holder: Holder, now: datetime) -> None:
        longest = Fraction(0)
        refusal: ProblemReply | None = None
        for bucket in self.buckets:
            missing = 1 - self._tokens(bucket, holder, now)
            wait = missing * bucket["seconds"] / bucket["refill"]
            if wait > longest:
                longest = wait
                full = Fraction(bucket["capacity"] * bucket["seconds"], bucket["refill"])
                refusal = limited(
                    bucket["name"], quota=bucket["capacity"], window=seconds_up(full), wait=wait
                )
        if refusal is not None:
            raise refusal

    def _charge_buckets(self, holder: Holder, now: datetime) -> None:
        for bucket in self.buckets:
            tokens = self._tokens(bucket, holder, now) - 1
            self.tokens[(bucket["name"], holder)] = (tokens, now)

    def _charge_user(
        self, operation: str, environment: str, account: str, user: str, now: datetime
    ) -> None:
        place = (operation, environment, account, user)
        recent = [time for time in self.charged.get(place, []) if now - time < MINUTE]
        if len(recent) >= 10:
            raise limited(operation, quota=10, window=60, wait=MINUTE - (now - recent[0]))
        self.charged[place] = [*recent, now]
