"""Time the sides of a row in turns in one process, and compute their figures.

A row is one operation. Its sides are the library (`ours`), peers (other libraries that are measured
beside it) and floors (the least code that could do the work).

The law of this module: **sides that are compared are timed interleaved**. In each round every side
of a row gets a batch of calls, one side after the other, and a ratio is taken within its round.
Other load on the machine affects all sides alike, so ratios hold where times do not.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from itertools import repeat
from statistics import median, quantiles
from typing import Final

import attrs

Work = Callable[[], object]
"""A timed call, with everything that it needs prepared."""


class Kind(StrEnum):
    """The owner of a side's code: this library, a peer, or code that was written as a floor."""

    OURS = "ours"
    PEER = "peer"
    FLOOR = "floor"


@attrs.frozen
class Side:
    """One way to do the operation of a row.

    Attributes:
        name: `ours`, a name that starts with `floor`, or the peer's name.
        make: Prepares a number of calls and returns their work. It is not timed.
        says: Describes a result of the work, in the words of the row.
        lacks: The features of ours that the side leaves out, or how it differs.
        package: The distribution of a peer; `None` for ours and for floors.
    """

    name: str
    make: Callable[[int], Work]
    says: Callable[[object], str]
    lacks: str = ""
    package: str | None = None

    @property
    def kind(self) -> Kind:
        """The owner of the side's code."""
        if self.package is not None:
            return Kind.PEER
        return Kind.FLOOR if self.name.startswith(Kind.FLOOR) else Kind.OURS


@attrs.frozen
class Row:
    """One operation, done by each of its sides.

    Attributes:
        family: The heading of the row in the table.
        name: The operation.
        answer: The result that every side must give, in words.
        sides: The sides, ours first.
    """

    family: str
    name: str
    answer: str
    sides: tuple[Side, ...]


@attrs.frozen
class Figure:
    """The figures of a side.

    Attributes:
        side: The side.
        microseconds: The processor time of a call, the median of all rounds.
        in_f: The time in units of F, the construction of one value: the median of the ratios.
        spread: The interquartile range of the ratios to F, divided by `in_f`.
        to_ours: The time divided by ours: the median of the ratios.
        to_ours_spread: The interquartile range of the ratios to ours, divided by `to_ours`.
    """

    side: Side
    microseconds: float
    in_f: float
    spread: float
    to_ours: float
    to_ours_spread: float


@attrs.frozen
class Quantity:
    """A figure that is not the time of one call: a size, an import, a rate.

    Attributes:
        family: The heading of the figure in the table.
        name: The measured thing.
        side: The name of the side.
        value: The amount.
        unit: The unit of `value`.
        spread: The interquartile range of the rounds, divided by their median; 0 if it is exact.
        lacks: The features of ours that the side leaves out, or an explanation of the figure.
    """

    family: str
    name: str
    side: str
    value: float
    unit: str
    spread: float = 0.0
    lacks: str = ""


@attrs.frozen
class How:
    """The number and the length of the batches.

    Attributes:
        rounds: The number of batches of each side.
        batch: The approximate length of a batch, in seconds; 0 for one call.
    """

    rounds: int = 15
    batch: float = 0.005


DEFAULT: Final = How()
ONCE: Final = How(rounds=1, batch=0)
_LARGEST: Final = 200_000


@contextmanager
def without_collector() -> Iterator[None]:
    """Disable the garbage collector in the block, since it would run in any side's batch."""
    gc.collect()
    # Later collections then skip the many objects of the peers' modules.
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def spent(work: Work, calls: int) -> int:
    """Return the processor time of a number of calls in this thread alone, in nanoseconds.

    A thread that a peer started would run during the next side's batch, too.
    """
    each = repeat(None, calls)
    begun = time.thread_time_ns()
    for _ in each:
        work()
    return time.thread_time_ns() - begun


def check(row: Row, side: Side) -> None:
    """Raise unless a side gives the result of its row in two calls, one after the other.

    Raises:
        AssertionError: A result differs.
    """
    work = side.make(2)
    for _ in range(2):
        said = side.says(work())
        if said != row.answer:
            raise AssertionError(f"{row.name}: {side.name} answers {said}, not {row.answer}")


def calls_in(side: Side, seconds: float) -> int:
    """Return how many calls of a side take about this long; 1 for 0 seconds."""
    calls = 1
    while seconds > 0 and calls < _LARGEST:
        took = spent(side.make(calls), calls) / 1e9
        if took >= seconds / 4:
            return max(1, min(_LARGEST, round(calls * seconds / took)))
        calls *= 4
    return calls


def times(sides: Sequence[Side], how: How) -> list[list[float]]:
    """Return for each side the nanoseconds of a call in each round."""
    calls = [calls_in(side, how.batch) for side in sides]
    seen: list[list[float]] = [[] for _ in sides]
    for number in range(how.rounds):
        # Each round starts with another side, so that no side always follows the same one.
        for place in range(len(sides)):
            at = (number + place) % len(sides)
            work = sides[at].make(calls[at])
            with without_collector():
                seen[at].append(spent(work, calls[at]) / calls[at])
    return seen


def spread(values: Sequence[float]) -> float:
    """Return the interquartile range of the values, divided by their median."""
    middle = median(values)
    if len(values) < 2 or middle == 0:  # noqa: PLR2004 - one value has no quartiles
        return 0.0
    low, _, high = quantiles(values, n=4, method="inclusive")
    return (high - low) / middle


def measured(row: Row, unit: Side, how: How) -> list[Figure]:
    """Check the sides of a row, time them, and return their figures."""
    for side in row.sides:
        check(row, side)
    in_unit, ours, *others = times((unit, *row.sides), how)
    figures: list[Figure] = []
    for side, nanoseconds in zip(row.sides, (ours, *others), strict=True):
        in_f = ratios(nanoseconds, in_unit)
        to_ours = ratios(nanoseconds, ours)
        figures.append(
            Figure(
                side=side,
                microseconds=median(nanoseconds) / 1000,
                in_f=median(in_f),
                spread=spread(in_f),
                to_ours=median(to_ours),
                to_ours_spread=spread(to_ours),
            )
        )
    return figures


def ratios(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """Return the ratio of the two values of each round; 0 if the divisor is 0."""
    return [value / other if other else 0.0 for value, other in zip(values, others, strict=True)]
