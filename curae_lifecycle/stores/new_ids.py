"""What a server draws: ids, URLs that nobody can guess, and what tells two attempts apart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from secrets import randbelow, token_urlsafe
from typing import Final
from uuid import uuid4  # noqa: TID251 - here is where ids come from

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import (
    SECOND,
    ConnectionId,
    NextAction,
    SessionId,
    UserId,
    add_microseconds,
)
from curae_lifecycle.service.snapshot import NewIds

NEXT_ACTION_LIFETIME: Final = timedelta(minutes=30)
"""How long a next action lives, unless the server says otherwise [O]."""

_TICK: Final = timedelta(microseconds=1)

IdFactory = Callable[[datetime], NewIds]
"""Makes the ids and the next action of one request, at its instant."""


@attrs.frozen
class RandomIds:
    """Mints UUIDs, and URLs of a base and 256 random bits.

    Attributes:
        hosted_page_base_url: What the URL of every hosted page begins with, such as `https://connect.example/`.
        lifetime: How long a next action lives; none lives longer than a datetime can say.
    """

    hosted_page_base_url: str
    lifetime: timedelta = NEXT_ACTION_LIFETIME

    def __attrs_post_init__(self) -> None:
        """Refuse a life that would be over at once."""
        if self.lifetime <= timedelta(0):
            raise ArgumentError("lifetime", "longer than nothing")

    def __call__(self, now: datetime) -> NewIds:
        """The ids and the next action of one request."""
        return NewIds(
            connection_id=ConnectionId(str(uuid4())),
            session_id=SessionId(str(uuid4())),
            user_id=UserId(str(uuid4())),
            next_action=NextAction(
                self.hosted_page_base_url + token_urlsafe(32),
                add_microseconds(now, self.lifetime // _TICK),
            ),
        )


def random_microseconds() -> int:
    """A random part of a second, in microseconds."""
    return randbelow(SECOND)
