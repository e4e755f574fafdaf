"""Summaries of simulated worlds: counts of what happened, and the violation of a law."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import attrs

from curae_lifecycle.rules.values import Environment


@attrs.frozen
class Violation:
    """A broken law.

    Attributes:
        message: The text of the error: the law, the observation and its place.
        law: The number of the law.
        at: The simulated instant.
        log: The commits for the app user before the violation, as JSON lines that `replay` reads.
        environment: The environment that the server serves, which `replay` needs to know; `None`
            if it serves both.
    """

    message: str
    law: int
    at: datetime
    log: tuple[str, ...]
    environment: Environment | None


@attrs.define
class Summary:
    """Counts of what happened in a world.

    Attributes:
        seed: The seed of the world.
        clients: The number of apps.
        hours: The number of hours that have ended.
        requests: The number of requests that reached the server.
        asked: Requests by operation.
        answers: Responses by status and problem code.
        replays: The number of responses that were replays.
        facts: Facts by kind and outcome.
        access: Access questions by status and reason.
        mishaps: Mishaps by kind.
        conflicts: The number of commits that the store refused because of a conflict.
        purged: The number of expired records and rate limits that the store dropped.
        violation: The broken law; `None` if every law held.
    """

    seed: int
    clients: int
    hours: int = 0
    requests: int = 0
    asked: Counter[str] = attrs.field(factory=Counter[str])
    answers: Counter[str] = attrs.field(factory=Counter[str])
    replays: int = 0
    facts: Counter[str] = attrs.field(factory=Counter[str])
    access: Counter[str] = attrs.field(factory=Counter[str])
    mishaps: Counter[str] = attrs.field(factory=Counter[str])
    conflicts: int = 0
    purged: int = 0
    violation: Violation | None = None

    @property
    def client_hours(self) -> int:
        """The number of clients times the number of hours."""
        return self.clients * self.hours

    def add(self, other: Summary) -> None:
        """Add the counts of another world, which must have the same number of clients."""
        self.hours += other.hours
        self.requests += other.requests
        self.replays += other.replays
        self.conflicts += other.conflicts
        self.purged += other.purged
        for mine, theirs in zip(self._counts(), other._counts(), strict=True):
            mine.update(theirs)

    def headline(self) -> str:
        """Return the totals as one line of text."""
        return (
            f"seed {self.seed}: {self.client_hours:,} client-hours, {self.requests:,} requests, "
            f"{self.replays:,} replays, {self.conflicts:,} conflicts, {self.purged:,} purged"
        )

    def lines(self) -> Iterator[str]:
        """Yield all counts as lines of text, which are the same for the same seed."""
        titles = ("requests", "answers", "facts", "access", "mishaps")
        for title, counts in zip(titles, self._counts(), strict=True):
            yield title
            for name, number in sorted(counts.items()):
                yield f"{number:>12,}  {name}"

    def _counts(self) -> tuple[Counter[str], ...]:
        return self.asked, self.answers, self.facts, self.access, self.mishaps
