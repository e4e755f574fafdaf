"""The picture of a recovery chain."""

from __future__ import annotations

from typing import Final

from curae_lifecycle.rules.triggers import Recover, SuccessorState, Trigger
from curae_lifecycle.service.rulebook import TABLES
from docs.generate.drawing import LINE_HEIGHT, Arrow, Box, Picture, Route, RouteKey, wrap_words


def draw_recovery() -> Picture:
    """Draw a recovery chain: a line for each answer of a reconnect."""
    lanes: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}
    for (trigger, at), row in TABLES["connection"].cells():
        if trigger == Trigger.RECONNECT and not isinstance(row.outcome, Recover):
            lanes.setdefault(("any successor", str(row.outcome)), {})[str(at)] = row.rules
    for (at, successor), row in TABLES["recovery"].cells():
        lanes.setdefault((str(successor), str(row.outcome)), {})[str(at)] = row.rules
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    routes: dict[RouteKey, Route] = {}
    top = 40
    for number, ((successor, outcome), stands) in enumerate(lanes.items()):
        ours, after, answer = (f"{each} {number}" for each in ("this", "next", "answer"))
        height = 12 + LINE_HEIGHT * max(2, len(stands))
        middle = top + height // 2
        boxes += [
            Box(name=ours, at=(20, top), size=(160, height), lines=tuple(stands)),
            Box(
                name=after,
                at=(330, middle - 20),
                size=(190, 40),
                lines=(successor,),
                kind=_NEXT.get(successor, "state"),
            ),
            Box(
                name=answer,
                at=(690, middle - 22),
                size=(290, 44),
                lines=wrap_words(outcome, 36),
                kind="plain",
            ),
        ]
        kind = "stop" if outcome.startswith("refuse") else "again"
        said = f"{' or '.join(stands)}, {successor} → {outcome}"
        rules = tuple(rule for names in stands.values() for rule in names)
        arrows.append(
            Arrow(
                source=after, target=answer, words="reconnect", kind=kind, rules=rules, summary=said
            )
        )
        way = ((520, middle), (690, middle))
        routes[after, answer, kind] = Route(way, (605, middle - 7), "middle")
        if successor in _RECOVERS:
            # A successor stores the connection that it recovers.
            arrows.append(
                Arrow(
                    source=after,
                    target=ours,
                    words="recovers",
                    kind="link",
                    rules=(),
                    summary=f"{successor} → {' or '.join(stands)}",
                )
            )
        top += height + 22
    heads = (("this connection", 100), ("its successor", 425), ("the answer", 835))
    boxes += [
        Box(name=word, at=(x - 80, 8), size=(160, 24), lines=(word,), kind="plain")
        for word, x in heads
    ]
    title = (
        "A recovery chain: what a reconnect makes, by the connection's standing and its successor."
    )
    return Picture(
        name="recovery",
        title=title,
        size=(1000, top),
        boxes=tuple(boxes),
        arrows=tuple(arrows),
        routes=routes,
    )


_RECOVERS: Final = frozenset(map(str, SuccessorState)) - {str(SuccessorState.NONE)}
_NEXT: Final = {str(SuccessorState.NONE): "frame", str(SuccessorState.PENDING): "live"}
