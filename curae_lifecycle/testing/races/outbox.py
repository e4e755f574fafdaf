"""A store that remembers the messages of its commits, to compare them with its outbox.

The law of this module: **a store that keeps its messages in another form passes**. Messages of a
kind are compared only if the outbox has one of them exactly as `stores.outbox.messages` makes it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import cast

from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.stores.contract import Loaded, StoreUnavailableError
from curae_lifecycle.stores.outbox import messages
from curae_lifecycle.testing.blocking import method_of
from curae_lifecycle.testing.simulated_clock import SimulatedClockStore, StoreWithApiKeys


class OutboxRecorder(SimulatedClockStore):
    """A wrapper that runs a store on a simulated clock and remembers the messages of each commit.

    Messages are effects and events. Those of all commits are compared with the store's outbox.

    Args:
        store: The store. Its messages are compared if it has a method `outbox`, which returns them
            all as JSON, delivered or not.
        now: The first simulated instant.
    """

    def __init__(self, store: StoreWithApiKeys, now: datetime) -> None:
        super().__init__(store, now)
        self._outbox = method_of(store, "outbox")
        self._accepted: Counter[tuple[str, str]] = Counter()
        self._is_certain = True

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        """Commit changes to the store, and remember their messages if the store accepted them.

        `page` is the hosted page to register, as for `Store.commit`; `None` if there is none.

        Returns:
            Whether the store accepted the changes.

        Raises:
            StoreUnavailableError: The store failed, perhaps after it stored the changes. So the
                outbox cannot be compared any more.
        """
        try:
            accepted = super().commit(loaded, changes, page)
        except StoreUnavailableError:
            # The commit may have taken effect.
            self._is_certain = False
            raise
        if self._outbox is not None:
            for message in messages(changes):
                self._accepted[message.kind, _text(message.document)] += accepted
        return accepted

    def outbox_differences(self) -> tuple[str, ...]:
        """Return each message that the outbox holds more or less often than it was committed.

        A kind of message is left out if the outbox holds none of that kind in the form that
        `stores.outbox.messages` makes, since a store may keep its messages in another form.

        Returns:
            The differences, each as "message: count, not expected count". Empty if there are none
            or nothing could be compared; `reason_not_compared` tells which.
        """
        found = self._found()
        kinds = {kind for kind, text in self._accepted if found[text]}
        return tuple(
            [
                f"{text}: {found[text]} times, not {number}"
                for (kind, text), number in self._accepted.items()
                if kind in kinds and found[text] != number
            ]
        )

    def reason_not_compared(self) -> str | None:
        """Return the reason why `outbox_differences` can compare nothing; None if it can.

        The reason is one of three: the store has no method `outbox`; a commit raised
        `StoreUnavailableError`, so its messages may be stored or not; the outbox holds none of the
        committed messages in the form that `stores.outbox.messages` makes.
        """
        if self._outbox is None:
            return "the store has no method outbox"
        if not self._is_certain:
            return "it is unknown which commits took effect"
        found = self._found()
        if self._accepted and not any(found[text] for _, text in self._accepted):
            return "the outbox holds none of them in the form of stores.outbox.messages"
        return None

    def _found(self) -> Counter[str]:
        # Returns how often the outbox holds each message; nothing if it cannot be compared.
        if self._outbox is None or not self._is_certain:
            return Counter()
        return Counter(map(_text, cast("Iterable[object]", self._outbox())))


def _text(document: object) -> str:
    return json.dumps(document, sort_keys=True)
