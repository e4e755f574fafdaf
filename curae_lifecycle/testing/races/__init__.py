"""Races: a check that two concurrent actions in a store end as if they had run one by one.

The law of this package: **two concurrent actions leave the same contents as the two in sequence**,
in an order that fits which of their commits the store accepted.

`race_all` races every ordered pair of actions in one scenario, and `race_three` three actions in
every order of their loads and commits. Both need an `Arena`, which sets up scenarios and gives two
handles of one store. `StoreArena` is an arena for any store that keeps the contract. The default
interleaving of two, `commit_in_sequence`, lets both actions load before either commits. Pass
another `Interleaving` to overlap real transactions of your database.
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
from curae_lifecycle.testing.races.three_way import THREE_WAY_RACES as THREE_WAY_RACES
from curae_lifecycle.testing.races.three_way import ThreeWayResult as ThreeWayResult
from curae_lifecycle.testing.races.three_way import race_three as race_three
