"""The picture of the entry paths."""

from __future__ import annotations

from typing import Final, cast

from curae_lifecycle.rules.outcomes import RefuseWith
from curae_lifecycle.rules.session import Enter, EntryPath
from curae_lifecycle.rules.tables import AnyTable, Row
from curae_lifecycle.service.rulebook import TABLES
from docs.generate.drawing import Arrow, Box, Picture, Route, RouteKey, wrap_words


def draw_entry_paths() -> Picture:
    """Draw the three entry paths: the accounts that take each, and its completion."""
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    names: dict[str, str] = {}
    entered = _by_first(TABLES["entry-path"])
    for number, (state, preference, row) in enumerate(entered):
        enter = cast("Enter", row.outcome)
        lines = (f"account {state}", preference or "any preference")
        source, path = ", ".join(lines), f"{enter.path}, hand-off {enter.handoff}"
        names[path] = str(enter.path)
        boxes.append(Box(name=source, at=(16, 40 + 76 * number), size=(230, 48), lines=lines))
        arrows.append(
            Arrow(source=source, target=path, words=str(enter.user), kind="move", rules=row.rules)
        )
    heights = {box.name: box.middle[1] for box in boxes}
    for path, name in names.items():
        sources = [heights[arrow.source] for arrow in arrows if arrow.target == path]
        words = (_LETTERS[name], *path.split(", "))
        boxes.append(
            Box(name=path, at=(470, sum(sources) // len(sources) - 32), size=(220, 64), lines=words)
        )
    top = 40
    completions = _by_first(TABLES["completion"])
    for path, name in names.items():
        for _, state, row in (each for each in completions if each[0] == name):
            end = f"{state or 'at any time'}: {row.outcome}"
            target = f"{name}, {state}"
            boxes.append(
                Box(
                    name=target,
                    at=(790, top),
                    size=(244, 48),
                    lines=wrap_words(end, 32),
                    kind="plain",
                )
            )
            kind = "stop" if isinstance(row.outcome, RefuseWith) else "move"
            said = f"{name}, completeHandoff → {end}"
            arrows.append(
                Arrow(
                    source=path, target=target, words="", kind=kind, rules=row.rules, summary=said
                )
            )
            top += 76
    title = (
        "The three entry paths: which account takes which, whose session it is, and its completion."
    )
    heads = (("initiate", 340), ("completeHandoff", 730))
    boxes += [
        Box(name=word, at=(x - 60, 10), size=(120, 20), lines=(word,), kind="plain")
        for word, x in heads
    ]
    size = (1050, max(76 * len(entered) + 40, top))
    routes = _routes(boxes, arrows)
    return Picture(
        name="entry-path",
        title=title,
        size=size,
        boxes=tuple(boxes),
        arrows=tuple(arrows),
        routes=routes,
    )


def _by_first(table: AnyTable) -> list[tuple[str, str, Row[object]]]:
    # For a table of two axes: a value of the first, the values of the second or "" for all, a row.
    found: dict[tuple[str, Row[object]], list[str]] = {}
    for (first, second), row in table.cells():
        found.setdefault((str(first), row), []).append(str(second))
    every, order = len(table.axes[-1].values), [row.rule for row in table.rows]
    cases = [
        (first, "" if len(seconds) == every else " or ".join(seconds), row)
        for (first, row), seconds in found.items()
    ]
    return sorted(cases, key=lambda case: order.index(case[2].rule))


_LETTERS: Final = dict(zip(map(str, EntryPath), ("Path A", "Path B", "Path C"), strict=True))


def _routes(boxes: list[Box], arrows: list[Arrow]) -> dict[RouteKey, Route]:
    # From the right side of one box to the left side of the other; words need a level line.
    places = {box.name: box for box in boxes}
    routes: dict[RouteKey, Route] = {}
    for arrow in arrows:
        source, target = places[arrow.source], places[arrow.target]
        start = (source.at[0] + source.size[0], source.middle[1])
        end = (target.at[0], target.middle[1])
        corner = (end[0] - 50, start[1]) if arrow.words else (end[0] - 20, end[1])
        words = (start[0] + 8, start[1] - 6)
        routes[arrow.source, arrow.target, arrow.kind] = Route((start, corner, end), words)
    return routes
