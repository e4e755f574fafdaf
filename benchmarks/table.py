"""Measure the library beside its peers and floors, and print one table.

    python -m benchmarks.table [--json FILE] [--svg FILE] [--write docs/benchmarks.md] [--million]

Peers are other libraries, from the dependency group `peers`; the table names those that are not
installed. A floor is the least code that could do the work. To compare two interpreters, measure on
the other one with `--json`, and pass that file to `--beside`. `--from FILE` measures nothing and
shows the figures of a file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Final

import attrs

from benchmarks.measure import (
    DEFAULT,
    ONCE,
    Figure,
    How,
    Quantity,
    Row,
    measured,
    spread,
    times,
)
from benchmarks.picture import picture
from benchmarks.rows import (
    connections,
    idempotency,
    imports,
    limits,
    replays,
    requests,
    scale,
    sizes,
    stores,
)
from benchmarks.rows.subjects import F

FAMILIES: Final[tuple[Callable[[], list[Row]], ...]] = (
    connections.rows,
    limits.rows,
    idempotency.rows,
    requests.rows,
    stores.rows,
)

PEERS: Final = (
    "transitions",
    "python-statemachine",
    "automat",
    "django-fsm-2",
    "limits",
    "token-bucket",
    "fastapi-idempotency-key",
    "idempotency",
    "aws-lambda-powertools",
    "pydantic",
)

SIZES: Final = (1_000, 10_000, 100_000)
MILLION: Final = 1_000_000
BEGIN: Final = "<!-- figures: begin; `python -m benchmarks.table --write` writes them -->"
END: Final = "<!-- figures: end -->"


@attrs.frozen
class Line:
    """One line of the table: the figure of one side of one row.

    Attributes:
        kind: `ours`, `peer` or `floor`.
        value: Microseconds of a call, or the amount in the unit.
        in_f: The time of a call in the unit F; `None` if the figure is not of a call.
        to_ours: The time of a call divided by ours; `None` if the figure is not of a call.
    """

    family: str
    name: str
    side: str
    kind: str
    value: float
    unit: str
    spread: float
    lacks: str
    in_f: float | None = None
    to_ours: float | None = None
    to_ours_spread: float | None = None


@attrs.frozen
class Report:
    """All figures, and the machine that they are from.

    Attributes:
        about: The machine and the versions, by name.
        left_out: The peers that are not installed.
    """

    about: dict[str, str]
    left_out: list[str]
    lines: list[Line]


def installed(package: str) -> str | None:
    """Return the version of a distribution; `None` if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def all_rows(peers: tuple[str, ...]) -> list[Row]:
    """Return every row, with ours, the floors and these peers."""
    rows = [row for family in FAMILIES for row in family()]
    return [
        attrs.evolve(
            row,
            sides=tuple(
                each for each in row.sides if each.package is None or each.package in peers
            ),
        )
        for row in rows
    ]


def _of_call(row: Row, figure: Figure) -> Line:
    side = figure.side
    return Line(
        family=row.family,
        name=row.name,
        side=side.name,
        kind=side.kind,
        value=figure.microseconds,
        unit="µs",
        spread=figure.spread,
        lacks=side.lacks,
        in_f=figure.in_f,
        to_ours=figure.to_ours,
        to_ours_spread=figure.to_ours_spread,
    )


def _of_quantity(seen: Quantity) -> Line:
    kind = "ours" if seen.side == "ours" else "floor" if "floor" in seen.side else "peer"
    return Line(
        family=seen.family,
        name=seen.name,
        side=seen.side,
        kind=kind,
        value=seen.value,
        unit=seen.unit,
        spread=seen.spread,
        lacks=seen.lacks,
    )


def _unit_line(how: How) -> Line:
    (seen,) = times((F,), how)
    value = median(seen) / 1000
    what = "a value of eleven fields, frozen by attrs, found in a dict and the next one made"
    return Line(
        family="unit",
        name="F",
        side="F",
        kind="floor",
        value=value,
        unit="µs",
        spread=spread(seen),
        lacks=what,
        in_f=1.0,
    )


def _quantities(how: How, peers: tuple[str, ...], *, million: bool) -> list[Quantity]:
    once = how == ONCE
    many, lines, rounds = (200, 160, 1) if once else (20_000, 20_000, 7)
    users = (20, 40) if once else (*SIZES, MILLION) if million else SIZES
    powertools = "aws-lambda-powertools" in peers
    return [
        *sizes.quantities(many),
        *([sizes.of_powertools(many)] if powertools else []),
        *imports.quantities(rounds, pydantic="pydantic" in peers),
        *replays.quantities(lines, rounds),
        *scale.quantities(users, 1000, max(1, 2 * rounds - 1)),
    ]


def measure(how: How, peers: tuple[str, ...], *, million: bool = False) -> Report:
    """Measure every row, one after the other; the sides of a row take turns."""
    lines = [_unit_line(how)]
    for row in all_rows(peers):
        print(f"{row.family}: {row.name}", file=sys.stderr)
        lines += [_of_call(row, figure) for figure in measured(row, F, how)]
    print("sizes, imports, replay, scale", file=sys.stderr)
    lines += map(_of_quantity, _quantities(how, peers, million=million))
    return Report(about(peers), [each for each in PEERS if each not in peers], lines)


def about(peers: tuple[str, ...]) -> dict[str, str]:
    """Return the machine, the interpreter and the versions, by name."""
    compiler = platform.python_compiler()
    found = {
        "Python": f"{platform.python_implementation()} {platform.python_version()}, {compiler}"
    }
    found["machine"] = f"{_processor()}, {os.cpu_count()} cores, {platform.system()}"
    versions = {each: installed(each) for each in ("attrs", *peers)}
    return found | {name: text for name, text in versions.items() if text is not None}


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    named = re.search(r"^model name\s*: (.*)$", text, flags=re.MULTILINE)
    return named[1] if named else platform.machine()


# --- Printing ---------------------------------------------------------------------------------


def _number(value: float) -> str:
    if value >= 100:  # noqa: PLR2004 - three digits are enough
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004 - as above


def _percent(part: float | None) -> str:
    return "" if not part else f" ±{part / 2:.0%}"


def markdown(report: Report, beside: Report | None = None) -> str:
    """Return a report as Markdown; `beside` is a report of another interpreter."""
    versions = [f"{name} {text}" for name, text in report.about.items() if name[0].islower()]
    versions = [each for each in versions if not each.startswith("machine ")]
    text = [
        f"Seen on {report.about['Python']}, {report.about['machine']}; {', '.join(versions)}.",
        *(
            [f"Not installed and left out: {', '.join(report.left_out)}."]
            if report.left_out
            else []
        ),
        "",
        "| operation | whose | seen | in F | to ours | how it differs |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    family, name = "", ""
    for line in report.lines:
        if line.family != family:
            text.append(f"| **{line.family}** | | | | | |")
            name = ""
        family, shown = line.family, "" if line.name == name else line.name
        name = line.name
        in_f = "" if line.in_f is None else _number(line.in_f)
        to_ours = (
            ""
            if line.to_ours is None or line.kind == "ours"
            else f"{_number(line.to_ours)} ×{_percent(line.to_ours_spread)}"
        )
        seen = f"{_number(line.value)} {line.unit}{_percent(line.spread)}"
        text.append(f"| {shown} | {line.side} | {seen} | {in_f} | {to_ours} | {line.lacks} |")
    if beside is not None:
        text += ["", *_beside(report, beside)]
    return "\n".join(text) + "\n"


def _beside(report: Report, other: Report) -> list[str]:
    theirs = {(each.family, each.name, each.side, each.unit): each for each in other.lines}
    here, there = (each.about["Python"].split(",")[0].split()[-1] for each in (report, other))
    text = [
        f"Ours on {report.about['Python']} and on {other.about['Python']}, one after the other:",
        "",
        f"| operation | {here} | {there} | in times of {here} | in F, {here} | in F, {there} |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for line in report.lines:
        found = theirs.get((line.family, line.name, line.side, line.unit))
        if found is None or line.in_f is None or (line.kind != "ours" and line.side != "F"):
            continue
        in_f = "" if found.in_f is None else _number(found.in_f)
        text.append(
            f"| {line.family}: {line.name} | {_number(line.value)} µs | {_number(found.value)} µs "
            f"| {_number(found.value / line.value)} × | {_number(line.in_f)} | {in_f} |"
        )
    return text


def write(page: Path, text: str) -> None:
    """Replace the figures between the marks of a page."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{page} has no place for the figures: {BEGIN} … {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def dumped(report: Report) -> str:
    """Return a report as JSON."""
    return json.dumps(attrs.asdict(report), indent=1, ensure_ascii=False) + "\n"


def loaded(file: Path) -> Report:
    """Load a report from a JSON file."""
    held = json.loads(file.read_text(encoding="utf-8"))
    return Report(held["about"], held["left_out"], [Line(**each) for each in held["lines"]])


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write the requested files."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write a picture of the ratios")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into a page")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="source", help="measure nothing")
    parser.add_argument("--beside", type=Path, metavar="FILE", help="another interpreter's JSON")
    parser.add_argument("--million", action="store_true", help="also a store of a million users")
    parser.add_argument("--once", action="store_true", help="one call each, to see that it runs")
    parser.add_argument("--rounds", type=int, default=DEFAULT.rounds)
    asked = parser.parse_args(arguments)
    if asked.source is not None:
        report = loaded(asked.source)
    else:
        how = ONCE if asked.once else How(asked.rounds)
        peers = tuple(each for each in PEERS if installed(each) is not None)
        report = measure(how, peers, million=asked.million)
    text = markdown(report, None if asked.beside is None else loaded(asked.beside))
    print(text)
    if asked.json is not None:
        asked.json.write_text(dumped(report), encoding="utf-8")
    if asked.svg is not None:
        asked.svg.write_text(picture(report.lines), encoding="utf-8")
    if asked.write is not None:
        write(asked.write, text)


if __name__ == "__main__":
    main()
