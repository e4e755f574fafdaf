"""The picture of a connection's life."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

from curae_lifecycle.rules.access import GRANT
from curae_lifecycle.rules.chain import Mint
from curae_lifecycle.rules.connection import (
    DeadlineState,
    EraState,
    RevocationState,
    Standing,
    Status,
)
from curae_lifecycle.rules.outcomes import RefuseWith
from curae_lifecycle.rules.triggers import Recover, SuccessorState, Trigger
from curae_lifecycle.service.rulebook import TABLES
from docs.generate.drawing import Arrow, Box, Picture, Route, RouteKey, merge_arrows
from docs.generate.pictures.moves import move_arrows

LEGEND: Final = (
    "Solid: a request or a fact. Dashed, blue: the clock. Dotted, violet: another connection comes. "
    "Green: access is granted."
)
ANOTHER: Final = "another connection"
START: Final = "nothing"


def draw_connection() -> Picture:
    """Draw a connection's life: its creation, triggers, clocks and recoveries."""
    arrows = [*_creation(), *move_arrows(TABLES["connection"]), *_clock(), *_late()]
    arrows += _recoveries()
    access = TABLES["access"].cells()
    granting = {standing for (standing, _), row in access if row.outcome == GRANT}
    boxes = [Box(name=START, at=(134, 22), size=(14, 14), lines=(), kind="start")]
    for name, (at, size) in _BOXES.items():
        kind = "live" if name in granting else "state"
        lines = (f"{ANOTHER}, which begins {Standing.PENDING}" if name == ANOTHER else name,)
        boxes.append(Box(name=name, at=at, size=size, lines=lines, kind=kind))
    words = "Every move of a connection: what is stored, and what the clock makes of it."
    size, held = (1000, 500), merge_arrows(arrows)
    return Picture(
        name="connection",
        title=words,
        size=size,
        boxes=tuple(boxes),
        arrows=held,
        routes=_ROUTES,
        legend=LEGEND,
        notes=tuple(_refusals()),
    )


def _refusals() -> Iterator[str]:
    for (successor,), row in TABLES["authorization"].cells():
        if isinstance(row.outcome, RefuseWith):
            yield f"{Trigger.AUTHORIZE}, {successor} → {row.outcome}"


def _creation() -> Iterator[Arrow]:
    stands = TABLES["standing"][
        Status.PENDING, RevocationState.NEVER, EraState.THIS, DeadlineState.BEFORE
    ]
    for (name,), row in TABLES["operation"].cells():
        if name == "create-connection":
            yield Arrow(
                source=START, target=str(stands.outcome), words=name, kind="move", rules=row.rules
            )


def _clock() -> Iterator[Arrow]:
    standing = TABLES["standing"]
    for status in Status:
        before = standing[
            status, RevocationState.NEVER, EraState.THIS, DeadlineState.BEFORE
        ].outcome
        reached = standing[status, RevocationState.NEVER, EraState.THIS, DeadlineState.REACHED]
        deadline = TABLES["deadline"][status, RevocationState.NEVER, EraState.THIS]
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
    # A fact is judged at the instant at which it happened, and an authorization sets a new end. So
    # an authorization that happened before the deadline undoes the lapse of a pending connection.
    row = TABLES["connection"][Trigger.AUTHORIZE, Standing.PENDING]
    to = getattr(row.outcome, "to", None)
    for arrow in _clock():
        if arrow.source == Standing.PENDING and to is not None:
            words = f"{Trigger.AUTHORIZE} that happened before {arrow.words.removesuffix(' is reached')}"
            yield Arrow(
                source=arrow.target, target=str(to), words=words, kind="move", rules=row.rules
            )


def _recoveries() -> Iterator[Arrow]:
    for (trigger, at), row in TABLES["connection"].cells():
        if isinstance(row.outcome, Recover):
            made = TABLES["recovery"][cast("Standing", at), SuccessorState.NONE]
            if isinstance(made.outcome, Mint):
                yield Arrow(
                    source=str(at),
                    target=ANOTHER,
                    words=str(trigger),
                    kind="again",
                    rules=(*row.rules, *made.rules),
                )


_BOXES: Final = {
    ANOTHER: ((270, 20), (660, 34)),
    "PENDING": ((70, 130), (140, 40)),
    "ACTIVE": ((400, 130), (130, 40)),
    "ACTION_REQUIRED": ((760, 130), (160, 40)),
    "LAPSED": ((120, 270), (110, 40)),
    "EXPIRED": ((590, 270), (120, 40)),
    "REVOKED": ((70, 430), (860, 36)),
}
_ROUTES: Final[dict[RouteKey, Route]] = {
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
