"""The settings of an outbox worker, and the order and size of its next batch."""

from __future__ import annotations

from math import ceil
from typing import Final

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import check_type


@attrs.frozen(kw_only=True)
class DeliverySettings:
    """The settings of an outbox worker, which delivers effects and events to a handler.

    A worker claims messages before it delivers them, so that no other worker delivers them too.

    Attributes:
        batch: The most messages that a worker claims at once, from 1 to 1,000. With a slow handler
            it claims fewer: as many as it can start in half a lease at the pace of its last batch.
        lease: How many seconds a claim lasts. The messages of a crashed worker wait that long. A
            handler should return within half the lease. The message of a slower handler may be
            delivered a second time while that handler still runs.
        attempts: How many attempts a message has, from 1 to 1,000. After the last one failed, the
            message is dead: it is tried again only if an operator revives it. With the default
            pauses, the default number takes about five hours.
        pause: The limit of the pause before the second attempt, in seconds. The limit doubles with
            each further attempt. The pause is random, between half of its limit and the limit.
        longest_pause: The largest value to which that limit doubles, in seconds.
        poll_seconds: How many seconds a worker waits after it found no due message.

    Raises:
        ArgumentError: A number is out of range or of another type, or a duration is not above 0 or
            exceeds a year.
    """

    batch: int = 100
    lease: float = 60.0
    attempts: int = 50
    pause: float = 1.0
    longest_pause: float = 600.0
    poll_seconds: float = 1.0

    def __attrs_post_init__(self) -> None:
        """Check that the worker can deliver, and that it pauses.

        Raises:
            ArgumentError: A value is out of range or of another type. The error names it.
        """
        allowed = f"an integer from 1 to {_MAX_COUNT}"
        for name in ("batch", "attempts"):
            check_type(name, getattr(self, name), int, allowed=allowed)
            if not 1 <= getattr(self, name) <= _MAX_COUNT:
                raise ArgumentError(name, allowed)
        allowed = "a number of seconds, more than 0 and at most a year"
        for name in ("lease", "pause", "longest_pause", "poll_seconds"):
            check_type(name, getattr(self, name), (int, float), allowed=allowed)
            if not 0 < getattr(self, name) <= _MAX_SECONDS:
                raise ArgumentError(name, allowed)

    def pause_after(self, attempt: int) -> float:
        """Return the longest pause after a failed attempt, in seconds.

        The worker draws the pause itself at random, between half of the result and the result.

        Args:
            attempt: The number of the failed attempt, from 1.
        """
        return min(self.longest_pause, self.pause * 2.0 ** min(attempt - 1, 64))


_MAX_COUNT: Final = 1000
"""The limit of `batch` and `attempts`. Every database takes a statement with so many values."""

_MAX_SECONDS: Final = 366 * 24 * 3600.0

DEFAULT_DELIVERY_SETTINGS: Final = DeliverySettings()
"""The default settings of an outbox worker."""


@attrs.define
class NextBatch:
    """The order and size of an outbox worker's next batch, learned from its last one.

    Attributes:
        urgent_first: Whether the next message is a due `AccessEnded`, if there is one. After one,
            the next message is taken in the usual order.
        seconds_each: How many seconds the last batch took for each message; 0 before the first batch.
    """

    urgent_first: bool = True
    seconds_each: float = 0.0

    def size(self, settings: DeliverySettings) -> int:
        """Return how many messages to claim: as many as can be started in half a lease.

        More would be kept from other workers, and would not count in the age of the backlog.
        """
        if self.seconds_each == 0:
            return settings.batch
        return min(settings.batch, ceil(settings.lease / 2 / self.seconds_each))
