"""Sides of a row, timed in turns in one process, and what is said of the figures.

The law of this module: **what is compared is timed interleaved**: in each round every side of a row
gets a batch of calls, one after the other, and a ratio is taken within its round. What else the
machine does meets all sides alike, so ratios hold where times do not.
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
"""What is timed: one call, with all that it needs at hand."""


class Kind(StrEnum):
    """Whose code a side is."""

    OURS = "ours"
    PEER = "peer"
    FLOOR = "floor"


@attrs.frozen
class Side:
    """One way to do what a row is about.

    Attributes:
        name: `ours`, `floor` or the peer's name.
        make: Makes the work for so many calls, with what they need; it is not timed.
        says: What an answer of the work comes to, in the words of the row.
        lacks: What it does not do that ours does; or how it differs.
        package: The distribution that it needs, where that is a peer's.
    """

    name: str
    make: Callable[[int], Work]
    says: Callable[[object], str]
    lacks: str = ""
    package: str | None = None

    @property
    def kind(self) -> Kind:
        """Whose code it is."""
        if self.package is not None:
            return Kind.PEER
        return Kind.FLOOR if self.name.startswith(Kind.FLOOR) else Kind.OURS


@attrs.frozen
class Row:
    """One operation, done by each of its sides.

    Attributes:
        family: The heading that it stands under.
        name: What is done.
        answer: What every side must answer, in words.
        sides: Ours first.
    """

    family: str
    name: str
    answer: str
    sides: tuple[Side, ...]


@attrs.frozen
class Figure:
    """What was seen of a side.

    Attributes:
        microseconds: Processor time of a call, the median of all rounds.
        in_f: The same in values constructed (F).
        spread: The middle half of the rounds, as a part of the median: of `in_f`.
        to_ours: How many times as long as ours; `to_ours_spread` as above.
    """

    side: Side
    microseconds: float
    in_f: float
    spread: float
    to_ours: float
    to_ours_spread: float


@attrs.frozen
class Quantity:
    """What was seen of something that is not one call: a size, an import, a rate.

    Attributes:
        family: The heading that it stands under.
        name: What it is of.
        side: Whose.
        value: How much, of the unit.
        spread: The middle half of the rounds, as a part of the median; 0 where it is exact.
        lacks: What it does not do that ours does, or what is meant.
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
    """How long is measured.

    Attributes:
        rounds: How many batches of each side.
        batch: How long a batch takes about, in seconds; 0 for one call.
    """

    rounds: int = 15
    batch: float = 0.005


DEFAULT: Final = How()
ONCE: Final = How(rounds=1, batch=0)
_LARGEST: Final = 200_000


@contextmanager
def without_collector() -> Iterator[None]:
    """No cyclic garbage is collected meanwhile: it would meet whoever is at work by chance."""
    gc.collect()
    # What lives already is not looked at again: the peers' modules are many.
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def spent(work: Work, calls: int) -> int:
    """The processor time of so many calls, in nanoseconds, of this thread alone.

    A thread that a peer started would be at work in the batch of the next side, too.
    """
    each = repeat(None, calls)
    begun = time.thread_time_ns()
    for _ in each:
        work()
    return time.thread_time_ns() - begun


def check(row: Row, side: Side) -> None:
    """Raise unless a side answers what the row says, the first time and the second."""
    work = side.make(2)
    for _ in range(2):
        said = side.says(work())
        if said != row.answer:
            raise AssertionError(f"{row.name}: {side.name} answers {said}, not {row.answer}")


def calls_in(side: Side, seconds: float) -> int:
    """How many calls take about so long."""
    calls = 1
    while seconds > 0 and calls < _LARGEST:
        took = spent(side.make(calls), calls) / 1e9
        if took >= seconds / 4:
            return max(1, min(_LARGEST, round(calls * seconds / took)))
        calls *= 4
    return calls


def times(sides: Sequence[Side], how: How) -> list[list[float]]:
    """Of each side the nanoseconds of a call in each round."""
    calls = [calls_in(side, how.batch) for side in sides]
    seen: list[list[float]] = [[] for _ in sides]
    for number in range(how.rounds):
        # Each round begins with another side, so that none always follows the same one.
        for place in range(len(sides)):
            at = (number + place) % len(sides)
            work = sides[at].make(calls[at])
            with without_collector():
                seen[at].append(spent(work, calls[at]) / calls[at])
    return seen


def spread(values: Sequence[float]) -> float:
    """How wide the middle half of the values is, as a part of their median."""
    middle = median(values)
    if len(values) < 2 or middle == 0:  # noqa: PLR2004 - one value has no middle half
        return 0.0
    low, _, high = quantiles(values, n=4, method="inclusive")
    return (high - low) / middle


def measured(row: Row, unit: Side, how: How) -> list[Figure]:
    """The figures of a row's sides, checked before they are timed."""
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
    """Of each round how many times as much the one is as the other; 0 where nothing was seen."""
    return [value / other if other else 0.0 for value, other in zip(values, others, strict=True)]
