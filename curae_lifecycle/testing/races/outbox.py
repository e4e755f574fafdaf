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
    """A store on a simulated clock that remembers the messages of each commit.

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
        """Commit changes and return whether the store accepted them; see `Store.commit`."""
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

        Returns:
            The differences, each as "message: count, not expected count". Empty if the store has no
            method `outbox`, or if it is unknown which commits took effect.
        """
        if self._outbox is None or not self._is_certain:
            return ()
        found = Counter(map(_text, cast("Iterable[object]", self._outbox())))
        kinds = {kind for kind, text in self._accepted if found[text]}
        return tuple(
            [
                f"{text}: {found[text]} times, not {number}"
                for (kind, text), number in self._accepted.items()
                if kind in kinds and found[text] != number
            ]
        )


def _text(document: object) -> str:
    return json.dumps(document, sort_keys=True)
