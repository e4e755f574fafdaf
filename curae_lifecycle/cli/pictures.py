"""Pictures of the tables: which boxes and arrows the rows of a table are.

The law of this module: **a picture shows what the tables say, all of it and nothing else**. Only
where a box stands and where an arrow runs is written here; an arrow that has no route yet is drawn
straight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, cast

import attrs

from curae_lifecycle.cli.drawing import (
    LETTER,
    LINE,
    Arrow,
    Box,
    Picture,
    Place,
    Route,
    lines_of,
    merged,
)
from curae_lifecycle.rules.chain import Life, Mint
from curae_lifecycle.rules.connection import Clock, Revocation, Standing, Status
from curae_lifecycle.rules.idempotency import (
    RETENTION,
    Execute,
    Lease,
    LostLease,
    Match,
    RecordStanding,
    RecordState,
)
from curae_lifecycle.rules.outcomes import Is, RefuseWith
from curae_lifecycle.rules.problems import ProblemType
from curae_lifecycle.rules.session import Enter, EntryPath
from curae_lifecycle.rules.tables import AnyTable, Row
from curae_lifecycle.rules.triggers import Recover, Successor, Trigger
from curae_lifecycle.rules.values import HOUR
from curae_lifecycle.service.gates import Ask
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.service.status import HttpStatus

LEGEND: Final = (
    "Solid: a request or a fact. Dashed, blue: the clock. Dotted, violet: another connection comes. "
    "Green: alive."
)
ANOTHER: Final = "another connection"
START: Final = "nothing"


def pictures() -> dict[str, Picture]:
    """Every picture by the table whose page shows it."""
    drawn = (life(), chain(), paths(), key_record(), gates())
    found = {picture.name: picture for picture in drawn}
    for table in TABLES.values():
        if table.state is not None and table.name not in found:
            found[table.name] = moves(table)
    return found


# --- A connection ------------------------------------------------------------------------------


def life() -> Picture:
    """A connection's life: what triggers, clocks and recoveries do to it, and its beginning."""
    arrows = [*_born(), *_moved(TABLES["connection"]), *_clock(), *_late()]
    arrows += _recovered()
    alive = {at: row.outcome for (at,), row in TABLES["life"].cells()}
    boxes = [Box(name=START, at=(134, 22), size=(14, 14), lines=(), kind="start")]
    for name, (at, size) in _LIFE.items():
        kind = "live" if alive.get(name) == Is(Life.LIVE) else "state"
        lines = (f"{ANOTHER}, which begins {Standing.PENDING}" if name == ANOTHER else name,)
        boxes.append(Box(name=name, at=at, size=size, lines=lines, kind=kind))
    words = "Every move of a connection: what is stored, and what the clock makes of it."
    size, held = (1000, 500), merged(arrows)
    return Picture(
        name="connection",
        title=words,
        size=size,
        boxes=tuple(boxes),
        arrows=held,
        routes=_LIFE_ROUTES,
        legend=LEGEND,
        notes=tuple(_superseded()),
    )


def _superseded() -> Iterator[str]:
    for (successor,), row in TABLES["authorization"].cells():
        if isinstance(row.outcome, RefuseWith):
            yield f"{Trigger.AUTHORIZE}, {successor} → {row.outcome}"


def _born() -> Iterator[Arrow]:
    stands = TABLES["standing"][Status.PENDING, Revocation.NEVER, Clock.BEFORE]
    for (name,), row in TABLES["operation"].cells():
        if name == "create-connection":
            yield Arrow(
                source=START, target=str(stands.outcome), words=name, kind="move", rules=row.rules
            )


def _moved(table: AnyTable) -> Iterator[Arrow]:
    at = [axis.name for axis in table.axes].index(str(table.state))
    further = [axis.values for axis in table.axes[:at] + table.axes[at + 1 :]][1:]
    found: dict[tuple[str, str, str], tuple[Row[object], list[str]]] = {}
    for key, row in table.cells():
        to = getattr(row.outcome, "to", None)
        if to is not None:
            trigger, *others = (*key[:at], *key[at + 1 :], "")
            way = (str(key[at]), str(to), str(trigger))
            found.setdefault(way, (row, []))[1].append(" ".join(map(str, others)))
    for (before, to, trigger), (row, when) in found.items():
        # What holds in every case needs no word.
        cases = [] if len(when) == math.prod(map(len, further)) else [" or ".join(when)]
        again = [f": {row.outcome}"] if before == to else []
        words = "".join([" ".join([trigger, *cases]).strip(), *again])
        yield Arrow(source=before, target=to, words=words, kind="move", rules=row.rules)


def _clock() -> Iterator[Arrow]:
    standing = TABLES["standing"]
    for status in Status:
        before = standing[status, Revocation.NEVER, Clock.BEFORE].outcome
        reached = standing[status, Revocation.NEVER, Clock.REACHED]
        deadline = TABLES["deadline"][status, Revocation.NEVER]
        if reached.outcome != before:
            rules = (*reached.rules, *deadline.rules)
            words = f"{deadline.outcome} is reached"
            yield Arrow(
                source=str(before),
                target=str(reached.outcome),
                words=words,
                kind="clock",
                rules=rules,
            )


def _late() -> Iterator[Arrow]:
    # A fact is judged at the instant at which it happened, and an authorization sets a new end: so
    # what the clock brought to a pending connection is taken back by one that happened before.
    row = TABLES["connection"][Trigger.AUTHORIZE, Standing.PENDING]
    to = getattr(row.outcome, "to", None)
    for arrow in _clock():
        if arrow.source == Standing.PENDING and to is not None:
            words = f"{Trigger.AUTHORIZE} that happened before {arrow.words.removesuffix(' is reached')}"
            yield Arrow(
                source=arrow.target, target=str(to), words=words, kind="move", rules=row.rules
            )


def _recovered() -> Iterator[Arrow]:
    for (trigger, at), row in TABLES["connection"].cells():
        if isinstance(row.outcome, Recover):
            made = TABLES["recovery"][cast("Standing", at), Successor.NONE]
            if isinstance(made.outcome, Mint):
                yield Arrow(
                    source=str(at),
                    target=ANOTHER,
                    words=str(trigger),
                    kind="again",
                    rules=(*row.rules, *made.rules),
                )


_LIFE: Final = {
    ANOTHER: ((270, 20), (660, 34)),
    "PENDING": ((70, 130), (140, 40)),
    "ACTIVE": ((400, 130), (130, 40)),
    "ACTION_REQUIRED": ((760, 130), (160, 40)),
    "LAPSED": ((120, 270), (110, 40)),
    "EXPIRED": ((590, 270), (120, 40)),
    "REVOKED": ((70, 430), (860, 36)),
}
_LIFE_ROUTES: Final[dict[Place, Route]] = {
    (START, "PENDING", "move"): Route(((141, 36), (141, 130)), (149, 88)),
    ("PENDING", "ACTIVE", "move"): Route(((210, 150), (400, 150)), (345, 143), "middle"),
    ("PENDING", "LAPSED", "clock"): Route(((150, 170), (150, 270)), (158, 203), letters=15),
    ("PENDING", "REVOKED", "move"): Route(((90, 170), (90, 430)), (84, 408), "end"),
    ("LAPSED", ANOTHER, "again"): Route(((230, 282), (285, 282), (285, 54)), (292, 100)),
    ("LAPSED", "ACTIVE", "move"): Route(
        ((230, 298), (425, 298), (425, 170)), (240, 318), letters=24
    ),
    ("LAPSED", "REVOKED", "move"): Route(((175, 310), (175, 430)), (182, 408)),
    ("ACTIVE", "ACTION_REQUIRED", "move"): Route(((530, 150), (760, 150)), (612, 143), "middle"),
    ("ACTIVE", "EXPIRED", "clock"): Route(
        ((515, 170), (515, 280), (590, 280)), (522, 205), letters=10
    ),
    ("ACTIVE", "EXPIRED", "move"): Route(((490, 170), (490, 300), (590, 300)), (497, 320)),
    ("ACTIVE", "REVOKED", "move"): Route(((455, 170), (455, 430)), (462, 408)),
    ("EXPIRED", ANOTHER, "again"): Route(((690, 270), (690, 54)), (697, 100)),
    ("EXPIRED", "EXPIRED", "move"): Route(
        ((668, 310), (668, 334), (700, 334), (700, 310)), (690, 352), letters=24
    ),
    ("EXPIRED", "REVOKED", "move"): Route(((630, 310), (630, 430)), (637, 408)),
    ("ACTION_REQUIRED", ANOTHER, "again"): Route(((840, 130), (840, 54)), (847, 100)),
    ("ACTION_REQUIRED", "EXPIRED", "clock"): Route(
        points=((785, 170), (785, 280), (710, 280)), words=(778, 205), anchor="end", letters=10
    ),
    ("ACTION_REQUIRED", "EXPIRED", "move"): Route(((810, 170), (810, 300), (710, 300)), (722, 320)),
    ("ACTION_REQUIRED", "REVOKED", "move"): Route(((880, 170), (880, 430)), (873, 408), "end"),
    ("REVOKED", ANOTHER, "again"): Route(
        ((930, 448), (975, 448), (975, 37), (930, 37)), (968, 230), "end"
    ),
}


# --- A chain -----------------------------------------------------------------------------------


def chain() -> Picture:
    """A recovery chain: what a reconnect makes of it, one line for each answer."""
    lanes: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}
    for (trigger, at), row in TABLES["connection"].cells():
        if trigger == Trigger.RECONNECT and not isinstance(row.outcome, Recover):
            lanes.setdefault(("any successor", str(row.outcome)), {})[str(at)] = row.rules
    for (at, successor), row in TABLES["recovery"].cells():
        lanes.setdefault((str(successor), str(row.outcome)), {})[str(at)] = row.rules
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    routes: dict[Place, Route] = {}
    top = 40
    for number, ((successor, outcome), stands) in enumerate(lanes.items()):
        ours, after, answer = (f"{each} {number}" for each in ("this", "next", "answer"))
        height = 12 + LINE * max(2, len(stands))
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
                lines=lines_of(outcome, 36),
                kind="plain",
            ),
        ]
        kind = "stop" if outcome.startswith("refuse") else "again"
        said = f"{' or '.join(stands)}, {successor} → {outcome}"
        rules = tuple(rule for names in stands.values() for rule in names)
        arrows.append(
            Arrow(source=after, target=answer, words="reconnect", kind=kind, rules=rules, said=said)
        )
        way = ((520, middle), (690, middle))
        routes[after, answer, kind] = Route(way, (605, middle - 7), "middle")
        if successor in _RECOVERS:
            # Which one recovers another is stored on the one that came later.
            arrows.append(
                Arrow(
                    source=after,
                    target=ours,
                    words="recovers",
                    kind="link",
                    rules=(),
                    said=f"{successor} → {' or '.join(stands)}",
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


_RECOVERS: Final = frozenset(map(str, Successor)) - {str(Successor.NONE)}
_NEXT: Final = {str(Successor.NONE): "frame", str(Successor.PENDING): "live"}


# --- Entry paths -------------------------------------------------------------------------------


def paths() -> Picture:
    """The three entry paths: which account takes which, and how its hand-off is completed."""
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
                    lines=lines_of(end, 32),
                    kind="plain",
                )
            )
            kind = "stop" if isinstance(row.outcome, RefuseWith) else "move"
            said = f"{name}, completeHandoff → {end}"
            arrows.append(
                Arrow(source=path, target=target, words="", kind=kind, rules=row.rules, said=said)
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
    routes = _paths_routes(boxes, arrows)
    return Picture(
        name="entry-path",
        title=title,
        size=size,
        boxes=tuple(boxes),
        arrows=tuple(arrows),
        routes=routes,
    )


def _by_first(table: AnyTable) -> list[tuple[str, str, Row[object]]]:
    # Of a table of two axes: a value of the first, those of the second if not all, and what holds.
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


def _paths_routes(boxes: list[Box], arrows: list[Arrow]) -> dict[Place, Route]:
    # From the right side of one to the left side of the other, level where words stand.
    places = {box.name: box for box in boxes}
    routes: dict[Place, Route] = {}
    for arrow in arrows:
        source, target = places[arrow.source], places[arrow.target]
        start = (source.at[0] + source.size[0], source.middle[1])
        end = (target.at[0], target.middle[1])
        corner = (end[0] - 50, start[1]) if arrow.words else (end[0] - 20, end[1])
        words = (start[0] + 8, start[1] - 6)
        routes[arrow.source, arrow.target, arrow.kind] = Route((start, corner, end), words)
    return routes


# --- A key's record ----------------------------------------------------------------------------


def key_record() -> Picture:
    """The life of a key's record: requests, attempts, the server's acts, and the clock."""
    stands = TABLES["record-standing"]

    def stored(state: str) -> str:
        held = cast("RecordState", state)
        return str(stands[held, Lease.RUNNING, LostLease.EXECUTE].outcome)

    arrows: list[Arrow] = []
    for (record, match), row in TABLES["idempotency"].cells():
        if isinstance(row.outcome, Execute) and match == Match.SAME:
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
        if lease == Lease.OVER and str(row.outcome) != before:
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
    absent = TABLES["idempotency"][RecordStanding.ABSENT, Match.SAME]
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
            lines=lines_of(name, size[0] // LETTER - 2),
            kind="frame" if name == KEPT else "state",
        )
        for name, (at, size) in _RECORD.items()
    ]
    boxes[0] = attrs.evolve(boxes[0], lines=())
    title = "The life of a key's record, from its first request until it is gone."
    legend = "Solid: a request, its attempt or the server. Dashed, blue: the clock."
    return Picture(
        name="idempotency",
        title=title,
        size=(1120, 482),
        boxes=tuple(boxes),
        arrows=merged(arrows),
        routes=_RECORD_ROUTES,
        legend=legend,
    )


KEPT: Final = "any record"
_RECORD: Final = {
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
_RECORD_ROUTES: Final[dict[Place, Route]] = {
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


# --- A request ---------------------------------------------------------------------------------


def gates() -> Picture:
    """What a request passes, in the order of the table of gates, and where it is turned away."""
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
                size=(LETTER * len(said) + 20, 34),
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
                said=f"{gate} → {said}",
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
    title = "What a request passes, in this order, and what it is answered where it does not."
    size = (700, 110 + 56 * len(order))
    return Picture(name="request", title=title, size=size, boxes=tuple(boxes), arrows=tuple(arrows))


def _status(refusal: RefuseWith) -> str:
    kind = cast("ProblemType", TABLES["problems"][refusal.code].outcome).kind
    return str(cast("HttpStatus", TABLES["problem-status"][kind].outcome).status)


def _statuses(table: str) -> list[str]:
    # What a request may be answered by the tables that a gate leaves it to.
    asked = (table,) if table else tuple(name for kind in OPERATIONS for name in kind.rule.asks)
    rows = [row for each in TABLES.values() for row in each.values() if row.rule.startswith(asked)]
    said = {_status(row.outcome) for row in rows if isinstance(row.outcome, RefuseWith)}
    return sorted(said)


# --- Any table that moves a state --------------------------------------------------------------


def moves(table: AnyTable) -> Picture:
    """The moves of a table, between the values of the axis that is its state."""
    (states,) = (axis.values for axis in table.axes if axis.name == table.state)
    places = _STATES.get(table.name, {})
    boxes: list[Box] = []
    for number, state in enumerate(states):
        at = places.get(state, (40, 30 + 90 * number))
        boxes.append(
            Box(name=state, at=at, size=(LETTER * len(state) + 40, 40), lines=(str(state),))
        )
    arrows = merged(_moved(table))
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


_STATES: Final[dict[str, dict[str, tuple[int, int]]]] = {
    "binding": {
        "UNLINKED": (30, 130),
        "LIMITED": (330, 30),
        "ACTIVE": (330, 230),
        "TOMBSTONED": (680, 130),
    },
    "expiry-record": {"ACTIVE": (40, 20), "ACTION_REQUIRED": (40, 90), "EXPIRED": (380, 55)},
}
_ROUTES: Final[dict[str, dict[Place, Route]]] = {
    "binding": {
        ("UNLINKED", "LIMITED", "move"): Route(
            ((78, 130), (78, 50), (330, 50)), (200, 43), "middle"
        ),
        ("UNLINKED", "ACTIVE", "move"): Route(
            ((78, 170), (78, 250), (330, 250)), (200, 243), "middle"
        ),
        ("LIMITED", "ACTIVE", "move"): Route(((370, 70), (370, 230)), (378, 155)),
        ("LIMITED", "TOMBSTONED", "move"): Route(
            ((419, 60), (700, 60), (700, 130)), (560, 78), "middle"
        ),
        ("TOMBSTONED", "LIMITED", "move"): Route(
            ((760, 130), (760, 40), (419, 40)), (560, 33), "middle"
        ),
        ("ACTIVE", "TOMBSTONED", "move"): Route(
            ((412, 250), (735, 250), (735, 170)), (560, 243), "middle"
        ),
    }
}
