"""What happened in a world, how often, and which law did not hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import attrs

from curae_lifecycle.rules.values import Environment


@attrs.frozen
class Violation:
    """A law that did not hold at an instant of the world.

    Attributes:
        message: The law, what was seen and where, in words.
        log: What led there: JSON lines for `replay`, what was committed for the app user.
        environment: The one that the server serves, which `replay` has to know; `None` for both.
    """

    message: str
    law: int
    at: datetime
    log: tuple[str, ...]
    environment: Environment | None


@attrs.define
class Summary:
    """What happened in a world, how often.

    Attributes:
        asked: Requests by operation.
        answers: Answers by status and code; `replays` of them were replays.
        facts: Facts by outcome.
        access: Questions for access by answer.
        mishaps: Mishaps by kind.
        conflicts: How often a transaction started again because somebody was faster.
        purged: How many records and rate limits were dropped.
        violation: What went wrong; `None` where every law held.
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
        """Clients times hours."""
        return self.clients * self.hours

    def add(self, other: Summary) -> None:
        """Count in what happened in another world of as many clients."""
        self.hours += other.hours
        self.requests += other.requests
        self.replays += other.replays
        self.conflicts += other.conflicts
        self.purged += other.purged
        for mine, theirs in zip(self._counts(), other._counts(), strict=True):
            mine.update(theirs)

    def headline(self) -> str:
        """How much happened, in one line."""
        return (
            f"seed {self.seed}: {self.client_hours:,} client-hours, {self.requests:,} requests, "
            f"{self.replays:,} replays, {self.conflicts:,} conflicts, {self.purged:,} purged"
        )

    def lines(self) -> Iterator[str]:
        """What happened how often, in lines of text that are the same for the same seed."""
        titles = ("requests", "answers", "facts", "access", "mishaps")
        for title, counts in zip(titles, self._counts(), strict=True):
            yield title
            for name, number in sorted(counts.items()):
                yield f"{number:>12,}  {name}"

    def _counts(self) -> tuple[Counter[str], ...]:
        return self.asked, self.answers, self.facts, self.access, self.mishaps
