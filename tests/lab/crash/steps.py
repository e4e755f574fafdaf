"""The steps of a database's clock, and what they mean for the operations of clients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from tests.lab.crash.history import Operation


@attrs.frozen(kw_only=True)
class Step:
    """One step of the clock, in microseconds.

    Attributes:
        first: The last instant of the true clock that is surely before it.
        last: The first instant of the true clock that is surely after it.
        before: How far the database's clock was ahead of the true one.
        after: How far it has been ahead since.
    """

    first: int
    last: int
    before: int
    after: int


@attrs.define
class Steps:
    """All steps of a database's clock, which began as the true clock."""

    taken: list[Step] = attrs.field(factory=list[Step])

    def offsets(self, first: int, last: int) -> tuple[int, int]:
        """Return how far the clock was ahead between two instants: at least, and at most."""
        earlier = [each.after for each in self.taken if each.last < first]
        possible = [earlier[-1] if earlier else 0]
        for each in self._within(first, last):
            possible += [each.before, each.after]
        return min(possible), max(possible)

    def forward(self, first: int, last: int) -> int:
        """Return the sum of the steps forward between two instants."""
        return sum(max(0, each.after - each.before) for each in self._within(first, last))

    def _within(self, first: int, last: int) -> Iterator[Step]:
        return (each for each in self.taken if each.first <= last and each.last >= first)

    def applied(self, operations: Iterable[Operation], until: int) -> list[Operation]:
        """Return operations with the offsets of the database's clock meanwhile.

        Args:
            operations: The operations.
            until: The end of those without a response.
        """
        return [
            attrs.evolve(each, offsets=self.offsets(each.invoked, each.returned or until))
            for each in operations
        ]
