"""Drawing: boxes, arrows and words, as one SVG file.

The law of this module: **what is drawn is what is handed in**, each arrow once. A picture is a value:
its places are numbers, its colours follow the reader's, light or dark, and it holds no script, no
font and no address of anything else. An arrow without a route is a straight line between two boxes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

import attrs

LETTER: Final = 7
"""How wide a letter is at most, in the units of a picture: all are of one width."""

LINE: Final = 16
"""From one line of words to the next."""

_LIGHT: Final = (
    "--paper:#ffffff;--ink:#1f2328;--quiet:#57606a;--line:#57606a;--fill:#f6f8fa;--live:#dafbe1;"
    "--clock:#0550ae;--again:#8250df;--stop:#a40e26"
)
_DARK: Final = (
    "--paper:#0d1117;--ink:#e6edf3;--quiet:#9198a1;--line:#9198a1;--fill:#1c2128;--live:#12331d;"
    "--clock:#79c0ff;--again:#d2a8ff;--stop:#ff7b72"
)
STYLE: Final = f"""\
.picture{{{_LIGHT}}}
@media (prefers-color-scheme:dark){{.picture{{{_DARK}}}}}
body[data-theme=light] .picture{{{_LIGHT}}}
body[data-theme=dark] .picture{{{_DARK}}}
.picture .paper{{fill:var(--paper);stroke:none}}
.picture rect{{fill:var(--fill);stroke:var(--line)}}
.picture .live rect{{fill:var(--live);stroke-width:2}}
.picture .frame rect{{fill:none;stroke-dasharray:2 4}}
.picture .plain rect{{fill:none;stroke:none}}
.picture .start circle{{fill:var(--ink)}}
.picture text{{font:11.5px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:var(--ink)}}
.picture .box text{{font-weight:600}}
.picture .plain text{{font-weight:400}}
.picture .words{{stroke:var(--paper);stroke-width:5;stroke-linejoin:round;paint-order:stroke}}
.picture .note{{fill:var(--quiet)}}
.picture path{{fill:none;stroke:var(--line);stroke-width:1.4}}
.picture .clock path{{stroke:var(--clock);stroke-dasharray:7 4}}
.picture .clock .words{{fill:var(--clock)}}
.picture .again path{{stroke:var(--again);stroke-dasharray:2 3}}
.picture .again .words{{fill:var(--again)}}
.picture .stop path{{stroke:var(--stop)}}
.picture .link path{{stroke-width:1}}
.picture .stop .words{{fill:var(--stop)}}
.picture path.tip{{fill:var(--line);stroke:none}}
.picture .clock path.tip{{fill:var(--clock)}}
.picture .again path.tip{{fill:var(--again)}}
.picture .stop path.tip{{fill:var(--stop)}}"""
"""How every picture looks; the site's switch of light and dark is that of its page."""


@attrs.frozen
class Box:
    """Something that is: a state, a gate, an answer.

    Attributes:
        name: How arrows name it.
        at: The left upper corner.
        size: Width and height.
        lines: What stands in it.
        kind: `state`, `live`, `frame`, `plain` or `start`.
    """

    name: str
    at: tuple[int, int]
    size: tuple[int, int]
    lines: tuple[str, ...]
    kind: str = "state"

    @property
    def middle(self) -> tuple[int, int]:
        """Its centre."""
        return self.at[0] + self.size[0] // 2, self.at[1] + self.size[1] // 2


@attrs.frozen
class Arrow:
    """Something that moves, from one box to another.

    Attributes:
        source: The box that it leaves.
        target: The box that it leads to.
        words: What stands beside it, and what makes it happen.
        kind: `move` for a request or a fact, `clock`, `again` for another connection, or `stop`.
        rules: The rules that say so.
        said: The same in words, where the names of the boxes are none.
    """

    source: str
    target: str
    words: str
    kind: str
    rules: tuple[str, ...]
    said: str = ""

    @property
    def sentence(self) -> str:
        """What the arrow shows, in words."""
        way = self.said or f"{self.source} → {self.target}"
        return way + (f": {self.words}" if self.words else "")


@attrs.frozen
class Route:
    """Where an arrow runs, and its words.

    Attributes:
        points: Its corners, from the first to the last.
        words: Where the first line of its words stands.
        anchor: Which end of the words that is: `start`, `middle` or `end`.
        letters: How many letters stand in a line at most.
    """

    points: tuple[tuple[int, int], ...]
    words: tuple[int, int]
    anchor: str = "start"
    letters: int = 40


Place = tuple[str, str, str]
"""An arrow as routes go by it: the boxes that it leaves and leads to, and its kind."""


@attrs.frozen
class Picture:
    """All that one file shows.

    Attributes:
        name: The file's name, without its ending.
        title: What it is of.
        size: Width and height.
        boxes: What is.
        arrows: What moves.
        routes: Where the arrows run.
        legend: What its lines and colours mean.
        notes: What else holds.
    """

    name: str
    title: str
    size: tuple[int, int]
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    routes: Mapping[Place, Route] = attrs.field(factory=dict[Place, Route], hash=False)
    legend: str = ""
    notes: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that it shows, in words."""
        return (*(arrow.sentence for arrow in self.arrows), *self.notes)


def merged(arrows: Iterable[Arrow]) -> tuple[Arrow, ...]:
    """Arrows with those of one way and kind made one, which says the words of all."""
    found: dict[Place, Arrow] = {}
    for arrow in arrows:
        place = (arrow.source, arrow.target, arrow.kind)
        known = found.get(place)
        if known is not None:
            words = dict.fromkeys((*known.words.split(" / "), arrow.words))
            rules = tuple(dict.fromkeys((*known.rules, *arrow.rules)))
            arrow = attrs.evolve(arrow, words=" / ".join(words), rules=rules)  # noqa: PLW2901
        found[place] = arrow
    return tuple(found.values())


def to_svg(picture: Picture) -> str:
    """A picture as the text of its file."""
    name, (width, height) = picture.name, picture.size
    below = tuple(filter(None, (picture.legend, *picture.notes)))
    height += LINE * len(below)
    said = " ".join(f"{sentence}." for sentence in picture.sentences)
    looks = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img"'
    lines = [
        f'<svg class="picture" xmlns="http://www.w3.org/2000/svg" {looks}',
        f'aria-labelledby="{name}-title {name}-words">',
        f'<title id="{name}-title">{escape(picture.title)}</title>',
        f'<desc id="{name}-words">{escape(said)}</desc>',
        f"<style>\n{STYLE}\n</style>",
        f'<rect class="paper" width="{width}" height="{height}" rx="6"/>',
        *map(_box, picture.boxes),
        *(_arrow(route_of(picture, arrow), arrow) for arrow in picture.arrows),
    ]
    first = picture.size[1]
    lines += [_words("note", (16, first + LINE * at), (note,)) for at, note in enumerate(below)]
    return "\n".join([*lines, "</svg>"]) + "\n"


def route_of(picture: Picture, arrow: Arrow) -> Route:
    """Where an arrow of a picture runs: as its route says, or straight."""
    known = picture.routes.get((arrow.source, arrow.target, arrow.kind))
    if known is not None:
        return known
    boxes = {box.name: box for box in picture.boxes}
    source, target = boxes[arrow.source], boxes[arrow.target]
    if source == target:
        x, y = source.at[0] + source.size[0], source.middle[1]
        loop = ((x, y - 8), (x + 22, y - 8), (x + 22, y + 8), (x, y + 8))
        return Route(loop, (x + 28, y + 4))
    ends = _border(source, target), _border(target, source)
    (x, y), (to_x, to_y) = ends
    return Route(ends, ((x + to_x) // 2, (y + to_y) // 2 - 6), "middle")


def lines_of(words: str, letters: int) -> tuple[str, ...]:
    """Words in lines of so many letters, unless one word is longer."""
    lines = [""]
    for word in words.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) <= letters:
            lines[-1] = longer
        else:
            lines.append(word)
    return tuple(filter(None, lines))


def _border(box: Box, towards: Box) -> tuple[int, int]:
    # Where the line between two middles leaves a box.
    (x, y), (to_x, to_y) = box.middle, towards.middle
    across, down = to_x - x, to_y - y
    share = min(
        box.size[0] / 2 / abs(across) if across else 1, box.size[1] / 2 / abs(down) if down else 1
    )
    return round(x + across * share), round(y + down * share)


def _box(box: Box) -> str:
    (x, y), (width, height) = box.at, box.size
    if box.kind == "start":
        shape = f'<circle cx="{box.middle[0]}" cy="{box.middle[1]}" r="{width // 2}"/>'
        return f'<g class="start">{shape}</g>'
    shape = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'
    first = box.middle[1] + 4 - LINE * (len(box.lines) - 1) // 2
    words = _words("", at=(box.middle[0], first), lines=box.lines, anchor="middle")
    return f'<g class="box {box.kind}">{shape}{words}</g>'


def _arrow(route: Route, arrow: Arrow) -> str:
    way = "M" + " ".join(f"{x} {y}" for x, y in route.points)
    words = _words(
        "words", at=route.words, lines=lines_of(arrow.words, route.letters), anchor=route.anchor
    )
    return (
        f'<g class="{arrow.kind}" data-rules="{" ".join(arrow.rules)}">'
        f'<path d="{way}"/><path class="tip" d="{_tip(*route.points[-2:])}"/>{words}</g>'
    )


def _tip(start: tuple[int, int], end: tuple[int, int]) -> str:
    # A marker would need its own colour in each browser.
    across, down = end[0] - start[0], end[1] - start[1]
    far = math.hypot(across, down) or 1
    x, y = across / far * 8, down / far * 8
    corners = ((end[0] - x - y / 2, end[1] - y + x / 2), (end[0] - x + y / 2, end[1] - y - x / 2))
    sides = " ".join(f"{round(left, 1)} {round(top, 1)}" for left, top in corners)
    return f"M{end[0]} {end[1]} {sides}z"


def _words(kind: str, at: tuple[int, int], lines: tuple[str, ...], anchor: str = "start") -> str:
    looks = (f' class="{kind}"' if kind else "") + (
        f' text-anchor="{anchor}"' if anchor != "start" else ""
    )
    return "".join(
        f'<text x="{at[0]}" y="{at[1] + LINE * number}"{looks}>{escape(line)}</text>'
        for number, line in enumerate(lines)
    )
