"""Races: any two that meet in a store end as if one had come after the other.

The law of this package: **what two leave is what one after the other leaves**, in the order in
which they were taken, whichever row or chain they met on.

`race_all` lets every ordered pair of happenings meet in one scene. What it asks of an `Arena` is a
stage and two handles of one store; `StageArena` is one of any store that keeps the contract, and
`one_by_one` lets one commit after the other's load. Whoever knows how two transactions of their
database really overlap gives another `Meeting`.
"""

from __future__ import annotations

from curae_lifecycle.testing.races.arena import Arena, Content, StageArena
from curae_lifecycle.testing.races.racing import Meeting, Raced, one_by_one, race_all
from curae_lifecycle.testing.races.works import (
    SCENES,
    Decided,
    Scene,
    Stage,
    Work,
    commit,
    happens,
    settle,
)

__all__ = [
    "SCENES",
    "Arena",
    "Content",
    "Decided",
    "Meeting",
    "Raced",
    "Scene",
    "Stage",
    "StageArena",
    "Work",
    "commit",
    "happens",
    "one_by_one",
    "race_all",
    "settle",
]
