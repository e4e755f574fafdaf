"""Races: any two that meet in a store end as if one had come after the other.

The law of this package: **what two leave is what one after the other leaves**, in the order in
which they were taken, whichever row or chain they met on.

`race_all` lets every ordered pair of happenings meet in one scene. What it asks of an `Arena` is a
stage and two handles of one store; `StoreArena` is one of any store that keeps the contract, and
`commit_in_sequence` lets one commit after the other's load. Whoever knows how two transactions of their
database really overlap gives another `Interleaving`.
"""

from __future__ import annotations

from curae_lifecycle.testing.races.arena import Arena as Arena
from curae_lifecycle.testing.races.arena import Content as Content
from curae_lifecycle.testing.races.arena import StoreArena as StoreArena
from curae_lifecycle.testing.races.runner import Interleaving as Interleaving
from curae_lifecycle.testing.races.runner import RaceResult as RaceResult
from curae_lifecycle.testing.races.runner import commit_in_sequence as commit_in_sequence
from curae_lifecycle.testing.races.runner import race_all as race_all
from curae_lifecycle.testing.races.scenarios import SCENARIOS as SCENARIOS
from curae_lifecycle.testing.races.scenarios import Action as Action
from curae_lifecycle.testing.races.scenarios import PendingCommit as PendingCommit
from curae_lifecycle.testing.races.scenarios import RaceTenant as RaceTenant
from curae_lifecycle.testing.races.scenarios import Scenario as Scenario
from curae_lifecycle.testing.races.scenarios import commit as commit
from curae_lifecycle.testing.races.scenarios import commit_with_retries as commit_with_retries
from curae_lifecycle.testing.races.scenarios import fact_action as fact_action
