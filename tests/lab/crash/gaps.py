"""Spans without any response during a fault."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

_SECOND: Final = 1_000_000


def longest_gap(times: Iterable[int], first: int, last: int) -> float:
    """Return the longest span between two instants without any of the given times.

    Args:
        times: Instants, in microseconds.
        first: The first of the two.
        last: The last of the two.

    Returns:
        Its length in seconds.
    """
    inside = sorted(each for each in times if first < each < last)
    return max(later - earlier for earlier, later in pairwise([first, *inside, last])) / _SECOND
