"""The picture of the record of an idempotency key."""

from __future__ import annotations

from typing import Final, cast

import attrs

from curae_lifecycle.rules.idempotency import (
    RETENTION,
    Execute,
    FingerprintMatch,
    LeaseState,
    LostLeaseAction,
    RecordStanding,
    RecordState,
)
from curae_lifecycle.rules.values import HOUR
from curae_lifecycle.service.rulebook import TABLES
from docs.generate.drawing import (
    LETTER_WIDTH,
    Arrow,
    Box,
    Picture,
    Route,
    RouteKey,
    merge_arrows,
    wrap_words,
)


def draw_key_record() -> Picture:
    """Draw the life of a key's record: requests, attempts, acts of the server, and the clock."""
    stands = TABLES["record-standing"]

    def stored(state: str) -> str:
        held = cast("RecordState", state)
        return str(stands[held, LeaseState.RUNNING, LostLeaseAction.EXECUTE].outcome)

    arrows: list[Arrow] = []
    for (record, match), row in TABLES["idempotency"].cells():
        if isinstance(row.outcome, Execute) and match == FingerprintMatch.SAME:
            words = f"a request: {row.outcome}"
            arrows.append(
                Arrow(
                    source=record,
                    target=stored(RecordState.IN_FLIGHT),
                    words=words,
                    kind="move",
                    rules=row.rules,
                )
            )
    for name in ("attempt", "record-upkeep"):
        for (act, record, *_), row in TABLES[name].cells():
            to = getattr(row.outcome, "to", None)
            if to is not None:
                arrows.append(
                    Arrow(
                        source=str(record),
                        target=stored(to),
                        words=str(act),
                        kind="move",
                        rules=row.rules,
                    )
                )
    for (state, lease, lost), row in stands.cells():
        before = stored(state)
        if lease == LeaseState.OVER and str(row.outcome) != before:
            words = f"{lease}, which means {lost}"
            arrows.append(
                Arrow(
                    source=before,
                    target=str(row.outcome),
                    words=words,
                    kind="clock",
                    rules=row.rules,
                )
            )
    gone = str(RecordStanding.ABSENT)
    absent = TABLES["idempotency"][RecordStanding.ABSENT, FingerprintMatch.SAME]
    arrows.append(
        Arrow(
            source=KEPT,
            target=gone,
            words=f"{RETENTION // HOUR} hours are over",
            kind="clock",
            rules=absent.rules,
        )
    )
    boxes = [
        Box(
            name=name,
            at=at,
            size=size,
            lines=wrap_words(name, size[0] // LETTER_WIDTH - 2),
            kind="frame" if name == KEPT else "state",
        )
        for name, (at, size) in _BOXES.items()
    ]
    boxes[0] = attrs.evolve(boxes[0], lines=())
    title = "The life of a key's record, from its first request until it is gone."
    legend = "Solid: a request, its attempt or the server. Dashed, blue: the clock."
    return Picture(
        name="idempotency",
        title=title,
        size=(1120, 482),
        boxes=tuple(boxes),
        arrows=merge_arrows(arrows),
        routes=_ROUTES,
        legend=legend,
    )


KEPT: Final = "any record"
_BOXES: Final = {
    KEPT: ((280, 10), (824, 450)),
    "absent, or retention over": ((20, 180), (160, 44)),
    "in flight, lease running": ((320, 180), (160, 44)),
    "released": ((600, 50), (140, 40)),
    "in flight, lease over": ((610, 180), (160, 44)),
    "unknown": ((570, 310), (150, 40)),
    "completed": ((960, 182), (120, 40)),
    "forgotten": ((320, 412), (760, 34)),
}
_ABSENT, _BUSY, _LOST = (
    "absent, or retention over",
    "in flight, lease running",
    "in flight, lease over",
)
_ROUTES: Final[dict[RouteKey, Route]] = {
    (_ABSENT, _BUSY, "move"): Route(((180, 202), (320, 202)), (190, 180), letters=10),
    (_BUSY, _BUSY, "move"): Route(((330, 180), (330, 152), (350, 152), (350, 180)), (326, 145)),
    (_BUSY, "released", "move"): Route(((390, 180), (390, 62), (600, 62)), (384, 110), "end"),
    ("released", _BUSY, "move"): Route(((600, 78), (450, 78), (450, 180)), (457, 120)),
    (_BUSY, "completed", "move"): Route(
        ((370, 180), (370, 30), (1050, 30), (1050, 182)), (700, 24)
    ),
    (_BUSY, _LOST, "clock"): Route(
        points=((480, 192), (610, 192)), words=(545, 153), anchor="middle", letters=16
    ),
    (_LOST, _BUSY, "move"): Route(
        points=((610, 214), (480, 214)), words=(545, 230), anchor="middle", letters=12
    ),
    (_BUSY, "unknown", "clock"): Route(
        ((440, 224), (440, 330), (570, 330)), (448, 290), letters=16
    ),
    (_BUSY, "forgotten", "move"): Route(((350, 224), (350, 412)), (357, 390)),
    ("released", "forgotten", "move"): Route(((740, 80), (800, 80), (800, 412)), (807, 390)),
    (_LOST, "completed", "move"): Route(((770, 196), (960, 196)), (808, 168), letters=14),
    (_LOST, "released", "move"): Route(((680, 180), (680, 90)), (687, 118), letters=14),
    (_LOST, "forgotten", "move"): Route(((755, 224), (755, 412)), (748, 390), "end"),
    ("unknown", "completed", "move"): Route(
        ((720, 322), (1000, 322), (1000, 222)), (810, 298), letters=14
    ),
    ("unknown", "released", "move"): Route(
        ((720, 340), (925, 340), (925, 62), (740, 62)), (815, 100), letters=14
    ),
    ("unknown", "forgotten", "move"): Route(((640, 350), (640, 412)), (647, 390)),
    ("completed", "forgotten", "move"): Route(((1055, 222), (1055, 412)), (1048, 390), "end"),
    (KEPT, _ABSENT, "clock"): Route(((280, 300), (100, 300), (100, 224)), (108, 293)),
}
