"""Random ids, URLs that cannot be guessed, and the random part of a lease."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from secrets import randbelow, token_urlsafe
from typing import Final
from uuid import uuid4  # noqa: TID251 - the one place that makes ids

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import (
    SECOND,
    TICK,
    ConnectionId,
    NextAction,
    SessionId,
    UserId,
    add_microseconds,
    check_type,
)
from curae_lifecycle.service.snapshot import NewIds

NEXT_ACTION_LIFETIME: Final = timedelta(minutes=30)
"""The default lifetime of a next action: the URL of a hosted page that an app must show [O]."""

_SLASHES: Final = len("///")
"""The number of slashes in a URL that ends after its host and `/`."""

IdFactory = Callable[[datetime], NewIds]
"""A function that makes the ids and the next action of a request, given the request's instant.

The next action is what the app must show the user: the URL of a hosted page, and its expiry.
"""


@attrs.frozen
class RandomIds:
    """A maker of new ids, an `IdFactory`: random UUIDs, and page URLs that end in 256 random bits.

    Attributes:
        hosted_page_base_url: The beginning of every hosted page's URL, such as
            `https://connect.example/`.
        lifetime: How long each hosted page can be opened, longer than 0. The page expires at the
            latest at the last instant that a `datetime` can hold.

    Raises:
        ArgumentError: The base URL is no text or has no path, or the lifetime is not above 0.
    """

    hosted_page_base_url: str
    lifetime: timedelta = NEXT_ACTION_LIFETIME

    def __attrs_post_init__(self) -> None:
        """Check the base URL and the lifetime.

        Raises:
            ArgumentError: The base URL is no text or has no path, or the lifetime is no `timedelta`
                above zero.
        """
        base, allowed = self.hosted_page_base_url, "a URL such as https://connect.example/"
        check_type("hosted_page_base_url", base, str, allowed=allowed)
        if base.count("/") < _SLASHES:
            # The random part of a URL would become a part of the host's name.
            raise ArgumentError("hosted_page_base_url", allowed)
        check_type("lifetime", self.lifetime, timedelta, allowed="a timedelta longer than 0")
        if self.lifetime <= timedelta(0):
            raise ArgumentError("lifetime", "longer than 0")

    def __call__(self, now: datetime) -> NewIds:
        """Return new ids for one request, and a next action that expires `lifetime` after `now`.

        The next action is what the app must show the user: the URL of a hosted page.
        """
        return NewIds(
            connection_id=ConnectionId(str(uuid4())),
            session_id=SessionId(str(uuid4())),
            user_id=UserId(str(uuid4())),
            next_action=NextAction(
                self.hosted_page_base_url + token_urlsafe(32),
                add_microseconds(now, self.lifetime // TICK),
            ),
        )


def random_microseconds() -> int:
    """Return a random number of microseconds, from 0 to less than one second.

    A request with an external call adds them to its lease. So two attempts almost never have equal
    idempotency records, and each recognizes its own after a commit whose result was lost.
    """
    return randbelow(SECOND)
