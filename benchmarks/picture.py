"""Draw the table's ratios as SVG: the time of each peer and each floor, divided by ours.

A peer is another library that is measured beside this one. A floor is the least code that could do
the work. The scale is logarithmic, so that twice the time is the same distance everywhere; ours is
the line at 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log10
from typing import Final, Protocol

LEFT: Final = 330
WIDE: Final = 560
RIGHT: Final = 90
STEP: Final = 20
TOP: Final = 72

_STYLE: Final = """
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.heading { font-weight: 600; }
.quiet { fill: #57606a; }
.grid { stroke: #d0d7de; }
.one { stroke: #24292f; stroke-width: 1.5; }
.peer { fill: #b35900; }
.floor { fill: #6e7781; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .quiet { fill: #9198a1; }
  .grid { stroke: #3d444d; }
  .one { stroke: #e6edf3; }
  .peer { fill: #f0a35e; }
  .floor { fill: #9198a1; }
}
"""


class Shown(Protocol):
    """The part of a table's line that the picture needs."""

    @property
    def family(self) -> str:
        """The heading of the line."""
        ...

    @property
    def name(self) -> str:
        """The operation."""
        ...

    @property
    def side(self) -> str:
        """The name of the side: `ours`, a floor or a peer."""
        ...

    @property
    def kind(self) -> str:
        """The kind of the side: `ours`, `peer` or `floor`."""
        ...

    @property
    def to_ours(self) -> float | None:
        """The time divided by ours, or None."""
        ...


def picture(lines: Sequence[Shown]) -> str:
    """Return the picture as SVG, which follows the reader's choice of light or dark."""
    beside = [each for each in lines if each.to_ours and each.kind != "ours"]
    factors = [each.to_ours for each in beside if each.to_ours]
    low = min(-2, int(log10(min(factors, default=1))) - 1)
    high = max(2, int(log10(max(factors, default=1))) + 1)

    def across(factor: float) -> float:
        return LEFT + WIDE * (log10(factor) - low) / (high - low)

    drawn: list[str] = []
    at = TOP
    operation = ("", "")
    for each in beside:
        if (each.family, each.name) != operation:
            operation = (each.family, each.name)
            at += STEP // 2
            title = escape(f"{each.family}: {each.name}")
            drawn.append(f'<text class="heading" x="12" y="{at + 4}">{title}</text>')
            at += STEP
        factor = each.to_ours or 1.0
        drawn += _bar(each, factor=factor, one=across(1.0), end=across(factor), at=at)
        at += STEP
    return _framed(drawn, low=low, high=high, bottom=at)


def _bar(line: Shown, factor: float, one: float, end: float, at: int) -> list[str]:
    said = f"{factor:.2f} ×" if factor < 10 else f"{factor:,.0f} ×"  # noqa: PLR2004 - three digits are enough
    whose, start, width = escape(line.side), min(one, end), max(abs(end - one), 1)
    # The number is placed beyond the bar's end, away from the line of ours.
    place = f'x="{end - 5:.1f}" text-anchor="end"' if end < one else f'x="{end + 5:.1f}"'
    box = f'x="{start:.1f}" y="{at - 6}" width="{width:.1f}" height="12" rx="2"'
    return [
        f'<text class="quiet" x="{LEFT - 12}" y="{at + 4}" text-anchor="end">{whose}</text>',
        f'<rect class="{line.kind}" {box}><title>{whose}: {said} ours</title></rect>',
        f'<text {place} y="{at + 4}">{said}</text>',
    ]


_NAMED: Final = """<title id="title">Time of peers and floors, in times of ours</title>
<desc id="desc">One bar for each peer and each floor of each operation, from the line of ours: to the
right it takes longer than ours, to the left less. The scale is logarithmic; the table beside the
picture has the same figures.</desc>"""
_HEADING: Final = "Processor time in times of ours: left of the line less, right of it more"


def _framed(drawn: list[str], low: int, high: int, bottom: int) -> str:
    height, width = bottom + 12, LEFT + WIDE + RIGHT
    grid: list[str] = []
    for power in range(low, high + 1):
        place = f"{LEFT + WIDE * (power - low) / (high - low):.1f}"
        kind, label = ("grid", f"{10.0**power:g} ×") if power else ("one", "ours")
        ends = f'x1="{place}" x2="{place}" y1="{TOP - 12}" y2="{bottom}"'
        middle = f'x="{place}" y="{TOP - 20}" text-anchor="middle"'
        grid += [f'<line class="{kind}" {ends}/>', f'<text class="quiet" {middle}>{label}</text>']
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
    parts = [
        f'{opening} aria-labelledby="title desc">',
        _NAMED,
        f"<style>{_STYLE}</style>",
        f'<text class="heading" x="12" y="24">{_HEADING}</text>',
        *grid,
        *drawn,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
