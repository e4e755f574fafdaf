"""How long API keys were refused by their buckets, by the clock that the workers share.

The law of this module: **a key is admitted if it was not used for as long as the clock stepped
back, and for one token more**.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import attrs

from curae_lifecycle.rules.values import SECOND
from curae_lifecycle.service.response import Response
from tests.lab.crash.doubt import LOOP
from tests.lab.crash.history import Operation
from tests.lab.crash.judging import is_admitted
from tests.lab.crash.load import Load
from tests.lab.crash.search import is_turned_away
from tests.lab.crash.world import Asked
from tests.support.wire.serve import read_control

_MARGIN: Final = SECOND
"""Microseconds for what a worker needs between a charge and its clock."""


@attrs.define
class Refusals:
    """The refusals of API keys in a run.

    Attributes:
        buckets: The standard buckets.
        stepped: The longest step back of the clock, in microseconds.
        refused: The number of refused requests.
        longest: The longest time from an admission to a refusal without another admission between
            them, in microseconds.
        told: The longest `Retry-After`, in seconds.
    """

    buckets: tuple[tuple[str, int, int, int], ...]
    stepped: int
    refused: int = 0
    longest: int = 0
    told: int = 0
    broken: list[str] = attrs.field(factory=list[str])
    _heard: list[Operation] = attrs.field(factory=list[Operation])
    _charged: dict[str, int] = attrs.field(factory=dict[str, int])

    @property
    def most(self) -> int:
        """The longest time that the rules allow, in microseconds."""
        return self.stepped + max(
            seconds * SECOND // refill for _, _, refill, seconds in self.buckets
        )

    @contextmanager
    def over(self, load: Load) -> Generator[None, None, None]:
        """Hear every operation within the block, and judge them at its end."""
        others = load.heard
        self._heard.clear()

        def hear(operation: Operation) -> None:
            self._heard.append(operation)
            others(operation)

        load.heard = hear
        try:
            yield
        finally:
            load.heard = others
        self.judge(self._heard, read_control(load.behind.control).ahead)

    def judge(self, operations: list[Operation], ahead: int) -> None:
        """Judge the operations between two rests.

        Args:
            operations: The operations.
            ahead: How far the workers' clock was ahead of the true one, but for the steps.
        """
        asked = [each for each in operations if isinstance(each.work, Asked)]
        for each in sorted(asked, key=lambda each: each.invoked):
            assert isinstance(each.work, Asked), "chosen above"
            key = each.work.caller.api_key_id
            if each.answer is None or is_admitted(each):
                # Without a response it may be charged as long as its worker retries.
                ended = each.returned or each.invoked + LOOP
                self._charged[key] = max(self._charged.get(key, 0), ended + ahead)
            elif is_turned_away(each):
                self._refuse(each, key, each.invoked + ahead)

    def _refuse(self, operation: Operation, key: str, now: int) -> None:
        assert isinstance(operation.answer, Response), "it was refused"
        wait = int(dict(operation.answer.headers)["retry-after"])
        since = max(0, now - self._charged.get(key, now))
        self.refused += 1
        self.longest, self.told = max(self.longest, since), max(self.told, wait)
        if since > self.most + _MARGIN or wait * SECOND > self.most + _MARGIN:
            self.broken.append(
                f"law 10: {key} is refused {since / SECOND:.1f} s after its last admission, "
                f"and for {wait} s more"
            )

    def __str__(self) -> str:
        return (
            f"{self.refused} requests refused by a bucket, at most {self.longest / SECOND:.1f} s "
            f"after an admission of the same key and for {self.told} s more, "
            f"of {self.most / SECOND:.1f} s allowed"
        )
