"""Races: any two that meet in a store end as if one had come after the other.

The law of this package: **what two leave is what one after the other leaves**, in the order in
which they were taken, whichever row or chain they met on.

`race_all` lets every ordered pair of happenings meet in one scene. What it asks of an `Arena` is a
stage and two handles of one store; `StageArena` is one of any store that keeps the contract, and
`one_by_one` lets one commit after the other's load. Whoever knows how two transactions of their
database really overlap gives another `Meeting`.
"""

from __future__ import annotations

from curae_lifecycle.testing.races.arena import Arena as Arena
from curae_lifecycle.testing.races.arena import Content as Content
from curae_lifecycle.testing.races.arena import StageArena as StageArena
from curae_lifecycle.testing.races.racing import Meeting as Meeting
from curae_lifecycle.testing.races.racing import Raced as Raced
from curae_lifecycle.testing.races.racing import one_by_one as one_by_one
from curae_lifecycle.testing.races.racing import race_all as race_all
from curae_lifecycle.testing.races.works import SCENES as SCENES
from curae_lifecycle.testing.races.works import Decided as Decided
from curae_lifecycle.testing.races.works import Scene as Scene
from curae_lifecycle.testing.races.works import Stage as Stage
from curae_lifecycle.testing.races.works import Work as Work
from curae_lifecycle.testing.races.works import commit as commit
from curae_lifecycle.testing.races.works import happens as happens
from curae_lifecycle.testing.races.works import settle as settle
