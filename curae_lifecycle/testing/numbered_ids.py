"""Ids in a fixed order, so that two servers that get the same requests give the same responses.

The law of this module: **the ids depend on nothing but the number of the call**. No random number
is drawn, so a failing test repeats, and Hypothesis shrinks it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count

from curae_lifecycle.rules.values import ConnectionId, NextAction, SessionId, UserId
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.stores.new_ids import NEXT_ACTION_LIFETIME


class NumberedIds:
    """A maker of new ids and page URLs for requests, numbered 1, 2 and so on.

    Pass it to `serve` as `new_ids` in a test. It is not for servers: the URLs can be guessed.

    Args:
        hosted_page_base_url: The beginning of every hosted page's URL.
        lifetime: How long each hosted page can be opened, from the creation of its URL.
    """

    def __init__(
        self,
        hosted_page_base_url: str = "https://connect.example/",
        lifetime: timedelta = NEXT_ACTION_LIFETIME,
    ) -> None:
        self._hosted_page_base_url = hosted_page_base_url
        self._lifetime = lifetime
        self._numbers = count(1)

    def __call__(self, now: datetime) -> NewIds:
        """Return ids and a next action made from the number of this call: 1, 2 and so on.

        Args:
            now: The instant from which the lifetime of the next action counts.
        """
        number = next(self._numbers)
        return NewIds(
            connection_id=ConnectionId(f"00000000-0000-4000-8000-{number:012x}"),
            session_id=SessionId(f"00000000-0000-4000-9000-{number:012x}"),
            user_id=UserId(f"limited-{number}"),
            next_action=NextAction(f"{self._hosted_page_base_url}{number}", now + self._lifetime),
        )
