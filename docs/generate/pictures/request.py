"""The picture of the gates that a request passes."""

from __future__ import annotations

from typing import cast

from curae_lifecycle.rules.outcomes import RefuseWith
from curae_lifecycle.rules.problems import ProblemType
from curae_lifecycle.service.gates import Ask
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.service.status import HttpStatus
from docs.generate.drawing import LETTER_WIDTH, Arrow, Box, Picture


def draw_gates() -> Picture:
    """Draw the gates of a request in their order, and the refusal of each."""
    order = TABLES["request"]
    boxes = [Box(name="a request", at=(16, 12), size=(280, 28), lines=("a request",), kind="plain")]
    arrows: list[Arrow] = []
    before = "a request"
    rules: tuple[str, ...] = ()
    for number, ((gate,), row) in enumerate(order.cells()):
        top = 62 + 56 * number
        boxes.append(Box(name=gate, at=(16, top), size=(280, 34), lines=(f"{number + 1} {gate}",)))
        arrows.append(Arrow(source=before, target=gate, words="", kind="move", rules=rules))
        before, rules = gate, row.rules
        end, said = f"answer {number}", str(row.outcome)
        if isinstance(row.outcome, RefuseWith):
            said = f"{_status(row.outcome)} {row.outcome.code}"
        else:
            statuses = _statuses(row.outcome.table) if isinstance(row.outcome, Ask) else []
            said += f": {' or '.join(statuses)}" if statuses else ""
        boxes.append(
            Box(
                name=end,
                at=(400, top),
                size=(LETTER_WIDTH * len(said) + 20, 34),
                lines=(said,),
                kind="plain",
            )
        )
        stops = "stop" if isinstance(row.outcome, RefuseWith) else "move"
        arrows.append(
            Arrow(
                source=gate,
                target=end,
                words="",
                kind=stops,
                rules=row.rules,
                summary=f"{gate} → {said}",
            )
        )
    boxes.append(
        Box(
            name="the answer",
            at=(16, 62 + 56 * len(order)),
            size=(280, 28),
            lines=("the answer",),
            kind="plain",
        )
    )
    arrows.append(Arrow(source=before, target="the answer", words="", kind="move", rules=rules))
    title = "The gates of a request, in order, and the answer of each gate that refuses it."
    size = (700, 110 + 56 * len(order))
    return Picture(name="request", title=title, size=size, boxes=tuple(boxes), arrows=tuple(arrows))


def _status(refusal: RefuseWith) -> str:
    kind = cast("ProblemType", TABLES["problems"][refusal.code].outcome).kind
    return str(cast("HttpStatus", TABLES["problem-status"][kind].outcome).status)


def _statuses(table: str) -> list[str]:
    # The statuses of the refusals in the tables that a gate asks.
    asked = (table,) if table else tuple(name for kind in OPERATIONS for name in kind.rule.asks)
    rows = [row for each in TABLES.values() for row in each.values() if row.rule.startswith(asked)]
    said = {_status(row.outcome) for row in rows if isinstance(row.outcome, RefuseWith)}
    return sorted(said)
