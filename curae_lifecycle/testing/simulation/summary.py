"""Summaries of simulated worlds: counts of what happened, and the violation of a law."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import attrs

from curae_lifecycle.rules.errors import LifecycleError
from curae_lifecycle.rules.values import Environment


class RuleBrokenError(LifecycleError, AssertionError):
    """The error of a simulation in which a rule was broken that is none of the numbered laws.

    An example is a wrong order of the outbox's messages.

    Attributes:
        what: A phrase that says what was observed.
        where: The place of the observation.
    """

    def __init__(self, what: str, where: str) -> None:
        """Store the observation and its place."""
        super().__init__(what, where)
        self.what = what
        self.where = where

    def __str__(self) -> str:
        return f"a rule is broken: {self.what}\n  where: {self.where}"


@attrs.frozen
class Violation:
    """The broken law or rule that ended a simulated world.

    Attributes:
        message: The text of the error: the law, the observation and its place.
        law: The number of the law; `None` for a rule that is no numbered law, such as the order of
            the outbox.
        at: The simulated instant at which the law was broken.
        log: The log of the app user whose step broke the law, as JSON lines that `replay` reads:
            the registrations of API keys, then the committed requests and facts. If the commit of a
            request or fact broke the law, the last line is that request or fact. For a message of
            the outbox there are only the registrations.
        environment: The environment that the server serves, which `replay` needs to know; `None`
            if the server serves both.
    """

    message: str
    law: int | None
    at: datetime
    log: tuple[str, ...]
    environment: Environment | None


@attrs.define
class Summary:
    """The counts of what happened in a simulated world.

    Attributes:
        seed: The seed of the world.
        clients: The number of apps.
        hours: The number of hours that have ended.
        requests: The number of requests that reached the server.
        asked: The number of requests by operation.
        answers: The number of responses by status and problem code.
        replays: The number of responses that were replays.
        facts: The number of judged facts by kind and outcome.
        access: The number of access decisions by result: "200" if access was granted, "404" for an
            unknown connection, otherwise the HTTP status and the reason of the denial.
        mishaps: The number of failures and odd events, such as a lost answer, by kind.
        conflicts: The number of commits that the store refused because of a conflict.
        purged: The number of expired values that the store reported as dropped.
        shipped: The number of messages that the outbox shipped.
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
    shipped: int = 0
    violation: Violation | None = None

    @property
    def client_hours(self) -> int:
        """The number of clients times the number of hours that have ended."""
        return self.clients * self.hours

    def add(self, other: Summary) -> None:
        """Add the counts of another world to this summary, but not that world's violation.

        Both worlds must have the same number of clients, or `client_hours` is wrong.
        """
        self.hours += other.hours
        self.requests += other.requests
        self.replays += other.replays
        self.conflicts += other.conflicts
        self.purged += other.purged
        self.shipped += other.shipped
        for mine, theirs in zip(self._counts(), other._counts(), strict=True):
            mine.update(theirs)

    def headline(self) -> str:
        """Return the seed and the totals of the simulated world as one line of text."""
        return (
            f"seed {self.seed}: {self.client_hours:,} client-hours, {self.requests:,} requests, "
            f"{self.replays:,} replays, {self.conflicts:,} conflicts, {self.purged:,} purged"
        )

    def lines(self) -> Iterator[str]:
        """Yield the counts of what happened as lines of text, under a title for each group.

        Worlds with the same seed and arguments yield the same lines.
        """
        titles = ("requests", "answers", "facts", "access", "mishaps")
        for title, counts in zip(titles, self._counts(), strict=True):
            yield title
            for name, number in sorted(counts.items()):
                yield f"{number:>12,}  {name}"

    def _counts(self) -> tuple[Counter[str], ...]:
        return self.asked, self.answers, self.facts, self.access, self.mishaps
