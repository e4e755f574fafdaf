"""Compute rates, ratios and processor time for `benchmarks/servers.py`."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import attrs

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_MICROSECONDS: Final = 1e6


@attrs.frozen
class Turn:
    """The work of one server in one turn.

    Attributes:
        requests: The number of requests that it served.
        seconds: The length of the turn.
        server: The processor time of the server, in seconds.
        database: The processor time of the database, in seconds.
    """

    requests: int
    seconds: float
    server: float
    database: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def median_rate(turns: Iterable[Turn]) -> float:
    """Return the median of the rates of some turns."""
    return statistics.median([turn.rate for turn in turns])


def median_ratio(turns: Sequence[Turn], others: Sequence[Turn]) -> float:
    """Return the median over the rounds of one server's rate divided by another server's.

    In a round, the state of the machine affects both servers alike. So the ratio holds although
    rates do not.

    Args:
        turns: The turns of one server, one for each round.
        others: The turns of the other server in the same rounds.
    """
    return statistics.median(
        [turn.rate / other.rate for turn, other in zip(turns, others, strict=True)]
    )


def microseconds(turns: Sequence[Turn]) -> tuple[float, float]:
    """Return the processor time of a request in microseconds, of the server and of the database."""
    requests = sum(turn.requests for turn in turns)
    server = sum(turn.server for turn in turns)
    database = sum(turn.database for turn in turns)
    return server / requests * _MICROSECONDS, database / requests * _MICROSECONDS


def processor_ratio(turns: Sequence[Turn], others: Sequence[Turn]) -> float:
    """Return the others' processor time per request, divided by that of these turns.

    Server and database count together. If only the processor limits the rates, the result equals
    the ratio of the rates, and other programs on the machine disturb it less.
    """
    return sum(microseconds(others)) / sum(microseconds(turns))


def processor_time(processes: Iterable[int]) -> float:
    """Return the seconds of processor time of some processes and their ended children.

    A process that has ended counts as 0.
    """
    return sum(map(_ticks, processes)) / _TICKS


def _ticks(process: int) -> int:
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The name before the last `)` may hold spaces. utime, stime, cutime and cstime are fields 14
    # to 17 of the line.
    fields = text.rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))
