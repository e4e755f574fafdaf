"""Pictures of boxes, arrows and words, drawn as SVG.

The law of this module: **a file draws each box and each arrow of its picture once**. Its colours
follow the reader's light or dark mode. It holds no script, no font and no link to another file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

import attrs

LETTER_WIDTH: Final = 7
"""The widest letter of the monospace fonts, in the units of a picture."""

LINE_HEIGHT: Final = 16
"""The distance between two lines of words, in the units of a picture."""

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
"""The style sheet of every picture. On the site its light and dark modes are those of the page."""


@attrs.frozen
class Box:
    """A box: a state, a gate or an answer.

    Attributes:
        name: The name that arrows use.
        at: The left upper corner.
        size: Width and height.
        lines: The words in the box.
        kind: `state`, `live`, `frame`, `plain` or `start`.
    """

    name: str
    at: tuple[int, int]
    size: tuple[int, int]
    lines: tuple[str, ...]
    kind: str = "state"

    @property
    def middle(self) -> tuple[int, int]:
        """The centre of the box."""
        return self.at[0] + self.size[0] // 2, self.at[1] + self.size[1] // 2


@attrs.frozen
class Arrow:
    """An arrow from one box to another.

    Attributes:
        source: The name of the box where it starts.
        target: The name of the box where it ends.
        words: The words beside it: its cause.
        kind: `move` for a request or a fact, `clock`, `again` for another connection, `stop` for a
            refusal, or `link`.
        rules: The names of the rules that it shows.
        summary: Words for its boxes, if their names are not readable.
    """

    source: str
    target: str
    words: str
    kind: str
    rules: tuple[str, ...]
    summary: str = ""

    @property
    def sentence(self) -> str:
        """The arrow in words."""
        way = self.summary or f"{self.source} → {self.target}"
        return way + (f": {self.words}" if self.words else "")


@attrs.frozen
class Route:
    """The line of an arrow, and the position of its words.

    Attributes:
        points: The corners of the line, from its start to its end.
        words: The position of the first line of words.
        anchor: The part of the words at that position: `start`, `middle` or `end`.
        letters: The most letters in a line of words.
    """

    points: tuple[tuple[int, int], ...]
    words: tuple[int, int]
    anchor: str = "start"
    letters: int = 40


RouteKey = tuple[str, str, str]
"""The key of a route: the source, the target and the kind of its arrow."""


@attrs.frozen
class Picture:
    """A picture, drawn as one file.

    Attributes:
        name: The name of the file, without its ending.
        title: The title.
        size: Width and height.
        boxes: The boxes.
        arrows: The arrows.
        routes: The lines of arrows; an arrow without a route is a straight line.
        legend: The meaning of line styles and colours.
        notes: Facts that no arrow shows.
    """

    name: str
    title: str
    size: tuple[int, int]
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    routes: Mapping[RouteKey, Route] = attrs.field(factory=dict[RouteKey, Route], hash=False)
    legend: str = ""
    notes: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """The picture in words."""
        return (*(arrow.sentence for arrow in self.arrows), *self.notes)


def merge_arrows(arrows: Iterable[Arrow]) -> tuple[Arrow, ...]:
    """Merge arrows of one source, target and kind into one with the words of all."""
    found: dict[RouteKey, Arrow] = {}
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
    """Return the text of a picture's file."""
    name, (width, height) = picture.name, picture.size
    below = tuple(filter(None, (picture.legend, *picture.notes)))
    height += LINE_HEIGHT * len(below)
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
        *(_arrow(find_route(picture, arrow), arrow) for arrow in picture.arrows),
    ]
    first = picture.size[1]
    lines += [
        _words("note", (16, first + LINE_HEIGHT * at), (note,)) for at, note in enumerate(below)
    ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def find_route(picture: Picture, arrow: Arrow) -> Route:
    """Return the route of an arrow: its own, or a straight line or a loop."""
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


def wrap_words(words: str, letters: int) -> tuple[str, ...]:
    """Break words into lines of at most `letters` letters, unless one word is longer."""
    lines = [""]
    for word in words.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) <= letters:
            lines[-1] = longer
        else:
            lines.append(word)
    return tuple(filter(None, lines))


def _border(box: Box, towards: Box) -> tuple[int, int]:
    # The point where the line between two centres leaves the first box.
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
    first = box.middle[1] + 4 - LINE_HEIGHT * (len(box.lines) - 1) // 2
    words = _words("", at=(box.middle[0], first), lines=box.lines, anchor="middle")
    return f'<g class="box {box.kind}">{shape}{words}</g>'


def _arrow(route: Route, arrow: Arrow) -> str:
    way = "M" + " ".join(f"{x} {y}" for x, y in route.points)
    words = _words(
        "words", at=route.words, lines=wrap_words(arrow.words, route.letters), anchor=route.anchor
    )
    return (
        f'<g class="{arrow.kind}" data-rules="{" ".join(arrow.rules)}">'
        f'<path d="{way}"/><path class="tip" d="{_tip(*route.points[-2:])}"/>{words}</g>'
    )


def _tip(start: tuple[int, int], end: tuple[int, int]) -> str:
    # Browsers colour an SVG marker differently, so the tip is a path.
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
        f'<text x="{at[0]}" y="{at[1] + LINE_HEIGHT * number}"{looks}>{escape(line)}</text>'
        for number, line in enumerate(lines)
    )
