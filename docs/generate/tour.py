"""The tour as an animated picture of a terminal.

The picture shows each step for a few seconds and stops at the last one. For readers who prefer
reduced motion it shows one step without animation.
"""

from __future__ import annotations

from html import escape
from typing import Final

from curae_lifecycle.cli.terminal import wrap_line
from curae_lifecycle.cli.tour import lines, steps

COLUMNS: Final = 104
SECONDS: Final = 4
STILL: Final = 9
"""The step that is shown without animation: the reconnect that starts a recovery."""

_WIDE: Final = 7.83
_HIGH: Final = 18
_LEFT: Final = 16
_TOP: Final = 62

_STYLE: Final = f"""
text {{ font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #d0d7de;
  white-space: pre; }}
.title {{ fill: #ffffff; font-weight: 600; }}
.time, .prompt {{ fill: #9ea7b3; }}
.asked {{ fill: #6cc7f5; }}
.answered {{ fill: #7ee787; }}
.refused {{ fill: #ff9a92; }}
.body {{ fill: #9ea7b3; }}
.rule {{ fill: #f2cc60; font-weight: 600; }}
.step {{ visibility: hidden; }}
.still {{ visibility: visible; }}
@media (prefers-reduced-motion: no-preference) {{
  .step {{ visibility: hidden; animation: shown {SECONDS}s steps(1) 1; }}
  .last {{ animation-fill-mode: forwards; }}
}}
@keyframes shown {{ from, to {{ visibility: visible; }} }}
"""


def files() -> dict[str, str]:
    """Return the text of the picture by its file name."""
    return {"tour.svg": to_svg()}


def frames() -> list[list[tuple[str, str]]]:
    """Return the lines of each step, wrapped as on a terminal, each with its role."""
    return [
        [(part, role) for text, role in lines(number, step) for part in wrap_line(text, COLUMNS)]
        for number, step in enumerate(steps(), 1)
    ]


def to_svg() -> str:
    """Return the text of the picture."""
    shown = frames()
    wide = round(COLUMNS * _WIDE) + 2 * _LEFT
    high = _TOP + _HIGH * max(map(len, shown))
    said = "; ".join(frame[0][0] for frame in shown)
    size = f'viewBox="0 0 {wide} {high}" width="{wide}" height="{high}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title desc">',
        '<title id="title">The tour, on a terminal</title>',
        f'<desc id="desc">{escape(said)}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect width="{wide}" height="{high}" rx="8" fill="#161b22"/>',
        f'<text x="{_LEFT}" y="30" class="prompt">$ python -m curae_lifecycle tour</text>',
    ]
    for number, frame in enumerate(shown, 1):
        names = "step" + " still" * (number == STILL) + " last" * (number == len(shown))
        parts.append(f'<g class="{names}" style="animation-delay:{(number - 1) * SECONDS}s">')
        parts += [
            f'<text x="{_LEFT}" y="{_TOP + _HIGH * at}" class="{role}">{escape(text, quote=False)}</text>'
            for at, (text, role) in enumerate(frame)
            if text
        ]
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])
