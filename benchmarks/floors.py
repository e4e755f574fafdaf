"""Measure how much of a call's time goes into constructing its values.

    python -m benchmarks.floors

A profiler records each attrs value that a call constructs, with its arguments. The script then
constructs the same values again, in turns with the call. The rest of the call's time goes into
deciding, reading and writing. The last column is the row's floor from `benchmarks.table`, the least
code that could do the work: it is written by hand, checks nothing and constructs none of these
values. Times are in F, the unit of that table.
"""

from __future__ import annotations

import sys
from statistics import median
from types import FrameType
from typing import Final, cast

from benchmarks.measure import How, Row, Side, Work, ratios, times
from benchmarks.rows import connections, idempotency, limits, requests, stores
from benchmarks.rows.subjects import F

HOW: Final = How(rounds=9, batch=0.003)
_Made = tuple[type, tuple[object, ...]]
"""The class of a value, and the arguments that it was constructed from."""


def made_by(work: Work) -> list[_Made]:
    """Return the class and the arguments of each value that a call constructs, in order."""
    found: list[_Made] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event != "call" or code.co_name != "__init__":
            return
        self, *arguments = [frame.f_locals[name] for name in code.co_varnames[: code.co_argcount]]
        if hasattr(type(self), "__attrs_attrs__"):
            found.append((type(self), tuple(arguments)))

    work()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


def _again(made: list[_Made]) -> Work:
    def work() -> None:
        for make, arguments in made:
            make(*arguments)

    return work


def _line(row: Row) -> str:
    ours = row.sides[0]
    made = made_by(ours.make(4))
    alone = Side("values", lambda _calls: _again(made), str)
    floors = [each for each in row.sides[1:] if each.kind == "floor"]
    unit, whole, values, *rest = times((F, ours, alone, *floors), HOW)
    seen = [median(ratios(each, unit)) for each in (whole, values, *rest)]
    floor = f"{seen[2]:.2f} F" if rest else ""
    return (
        f"| {row.family}: {row.name} | {len(made)} | {seen[0]:.2f} F | {seen[1]:.2f} F "
        f"| {seen[1] / seen[0]:.0%} | {floor} |"
    )


def main() -> None:
    """Print a line for each row, except for stored values."""
    families = (connections, limits, idempotency, requests, stores)
    print(
        "| operation | values | ours | the same values alone | of ours | its floor in the table |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for row in [row for family in families for row in cast("list[Row]", family.rows())]:
        if row.family != "stored values":
            print(_line(row), flush=True)


if __name__ == "__main__":
    main()
