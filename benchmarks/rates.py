"""Rates, ratios and processor time: the arithmetic of `benchmarks/servers.py`."""

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
        requests: The number of requests that it answered.
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
    """Return the median of the rates of some turns, each as a part of the other one's in its round.

    Both servers had the same machine in a round, so the ratio holds although rates do not.

    Args:
        turns: The turns of one server, one a round.
        others: The turns of the other server in the same rounds.
    """
    return statistics.median(
        [turn.rate / other.rate for turn, other in zip(turns, others, strict=True)]
    )


def microseconds(turns: Sequence[Turn]) -> tuple[float, float]:
    """Return the processor time of a request, in microseconds: the server's and the database's."""
    requests = sum(turn.requests for turn in turns)
    server = sum(turn.server for turn in turns)
    database = sum(turn.database for turn in turns)
    return server / requests * _MICROSECONDS, database / requests * _MICROSECONDS


def processor_ratio(turns: Sequence[Turn], others: Sequence[Turn]) -> float:
    """Return the processor time of the others' requests as a part of that of these requests.

    It counts server and database together. Where the processor is all that limits a rate, it is
    the ratio of the rates, and other programs on the machine disturb it less.
    """
    return sum(microseconds(others)) / sum(microseconds(turns))


def processor_time(processes: Iterable[int]) -> float:
    """Return the processor time in seconds that some processes, and their ended children, have used.

    A process that has ended counts nothing.
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
