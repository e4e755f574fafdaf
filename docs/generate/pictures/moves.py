"""Pictures of tables that move a state."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from curae_lifecycle.rules.tables import AnyTable, Row
from docs.generate.drawing import LETTER_WIDTH, Arrow, Box, Picture, Route, RouteKey, merge_arrows


def draw_moves(table: AnyTable) -> Picture:
    """Draw the moves of a table between the values of its state axis."""
    (states,) = (axis.values for axis in table.axes if axis.name == table.state)
    places = _STATES.get(table.name, {})
    boxes: list[Box] = []
    for number, state in enumerate(states):
        at = places.get(state, (40, 30 + 90 * number))
        boxes.append(
            Box(name=state, at=at, size=(LETTER_WIDTH * len(state) + 40, 40), lines=(str(state),))
        )
    arrows = merge_arrows(move_arrows(table))
    routes = _ROUTES.get(table.name, {})
    width = max(box.at[0] + box.size[0] for box in boxes) + (
        260 if any(arrow.words for arrow in arrows) and not routes else 30
    )
    height = max(box.at[1] for box in boxes) + 70
    return Picture(
        name=table.name,
        title=table.law,
        size=(width, height),
        boxes=tuple(boxes),
        arrows=arrows,
        routes=routes,
    )


def move_arrows(table: AnyTable) -> Iterator[Arrow]:
    """Yield an arrow for each move of a table's state, with the words of its cause."""
    state = [axis.name for axis in table.axes].index(str(table.state))
    further = [axis.values for axis in table.axes[:state] + table.axes[state + 1 :]][1:]
    found: dict[tuple[str, str, str], tuple[Row[object], list[str]]] = {}
    for key, row in table.cells():
        to = getattr(row.outcome, "to", None)
        if to is not None:
            trigger, *others = (*key[:state], *key[state + 1 :], "")
            way = (str(key[state]), str(to), str(trigger))
            found.setdefault(way, (row, []))[1].append(" ".join(map(str, others)))
    for (before, to, trigger), (row, when) in found.items():
        # A move in every case needs no words for its case.
        cases = [] if len(when) == math.prod(map(len, further)) else [" or ".join(when)]
        again = [f": {row.outcome}"] if before == to else []
        words = "".join([" ".join([trigger, *cases]).strip(), *again])
        yield Arrow(source=before, target=to, words=words, kind="move", rules=row.rules)


_STATES: Final[dict[str, dict[str, tuple[int, int]]]] = {
    "binding": {
        "UNLINKED": (30, 130),
        "LIMITED": (330, 30),
        "ACTIVE": (330, 230),
        "TOMBSTONED": (680, 130),
    },
    "expiry-record": {"ACTIVE": (40, 20), "ACTION_REQUIRED": (40, 90), "EXPIRED": (380, 55)},
}
_ROUTES: Final[dict[str, dict[RouteKey, Route]]] = {
    "binding": {
        ("UNLINKED", "LIMITED", "move"): Route(
            ((78, 130), (78, 50), (330, 50)), (200, 43), "middle"
        ),
        ("UNLINKED", "ACTIVE", "move"): Route(
            ((78, 170), (78, 250), (330, 250)), (200, 243), "middle"
        ),
        ("UNLINKED", "TOMBSTONED", "move"): Route(((126, 150), (680, 150)), (560, 143), "middle"),
        ("LIMITED", "ACTIVE", "move"): Route(((370, 70), (370, 230)), (378, 110)),
        ("LIMITED", "TOMBSTONED", "move"): Route(
            ((419, 60), (700, 60), (700, 130)), (560, 78), "middle"
        ),
        ("TOMBSTONED", "LIMITED", "move"): Route(
            ((760, 130), (760, 40), (419, 40)), (560, 33), "middle"
        ),
        ("ACTIVE", "TOMBSTONED", "move"): Route(
            ((412, 250), (700, 250), (700, 170)), (560, 243), "middle"
        ),
        ("TOMBSTONED", "TOMBSTONED", "move"): Route(
            ((735, 170), (735, 190), (765, 190), (765, 170)), (750, 206), "middle", letters=11
        ),
    }
}
