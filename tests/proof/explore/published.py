"""The explorations with published figures, which show a run that has shrunk.

The law of this module: **a run has one name, one meaning and one set of figures**; the tests repeat
the runs and compare them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Final, Generic, TypeVar

import attrs

from curae_lifecycle.rules.idempotency import LostLeaseAction
from tests.proof.explore.account import Account
from tests.proof.explore.chain import Chain
from tests.proof.explore.clients import Clients, Rules, World
from tests.proof.explore.engine import Model, explore
from tests.proof.explore.key import Held
from tests.proof.explore.limit import LimitState, SmallLimit
from tests.proof.explore.races import Races
from tests.proof.explore.single import Single, SingleState

State = TypeVar("State", bound=Hashable)
Store = TypeVar("Store", bound=Hashable)
Client = TypeVar("Client", bound=Hashable)

EITHER: Final = tuple(LostLeaseAction)


@attrs.frozen
class Figures:
    """The figures of a run.

    Attributes:
        states: The number of distinct states.
        transitions: The number of steps between them.
        depth: The distance of the farthest state.
    """

    states: int
    transitions: int
    depth: int


@attrs.frozen
class Run(Generic[State]):
    """An exploration of one model.

    Attributes:
        model: The model, which starts without results.
        depth: The most steps to take; None for no limit.
        most: The approximate number of states to visit; None for all.
    """

    model: Callable[[], Model[State]]
    depth: int | None = None
    most: int | None = None

    def __call__(self) -> Figures:
        """Explore the model."""
        return self.of(self.model())

    def of(self, model: Model[State]) -> Figures:
        """Explore a model that may already have results."""
        done = explore(model, depth=self.depth, most=self.most)
        return Figures(done.states, done.transitions, done.depth)


def _clients(rules: Rules[Store, Client], most: int | None = None) -> Run[World]:
    return Run(lambda: Clients(rules), most=most)


def _single(length: int | None, most: int | None = None) -> Run[SingleState]:
    return Run(Single, depth=length, most=most)


def _limit(limit: int, most: int | None = None) -> Run[LimitState]:
    return Run(lambda: SmallLimit(limit), most=most)


Runs = Mapping[str, Run[World] | Run[SingleState] | Run[LimitState]]

FEW: Final = 12_000
"""The limit of a small run: a broken rule may make a world infinite."""

SMALL: Final[Runs] = {
    "one connection, 4 steps": _single(4, FEW),
    "one key, 1 client, 1 fault": _clients(Held(1, 1), FEW),
    "one key, 2 clients, 1 fault": _clients(Held(2, 1, lost_leases=EITHER, forgets=True), FEW),
    "one key, 2 clients, a day": _clients(Held(2, 0, days=1), FEW),
    "one key, 2 clients, 1 fault, clocks step back": _clients(
        Held(2, 1, lost_leases=EITHER, at_once=True, steps_back=True), FEW
    ),
    "one key, one transaction, 2 clients, 1 fault": _clients(
        Chain(2, 1, shared_key=True, page=False, happens=False), FEW
    ),
    "one predecessor, 2 clients": _clients(Chain(2, 0, happens=False, follows=1), FEW),
    "one predecessor, 1 client, everybody acts": _clients(Chain(1, 0), FEW),
    "one predecessor, 2 clients, everybody acts, clocks step back": _clients(
        Chain(2, 0, page=False, steps_back=True, roots=("LAPSED",)), FEW
    ),
    "one coordinate, 2 clients": _clients(Account(2, 0), FEW),
    "one coordinate, 1 client, 2 faults": _clients(Account(1, 2), FEW),
    "one user, 2 workers": _clients(Races(2), FEW),
    "one user, 2 workers, one chain, clocks apart": _clients(
        Races(2, apart=True, roots=(("LAPSED",),)), FEW
    ),
    "limit of 2": _limit(2, FEW),
}
"""The explorations of every test run."""

LARGEST: Final = (
    "one predecessor, 1 client, everybody acts",
    "one predecessor, 2 clients, everybody acts, clocks step back",
    "one user, 2 workers",
)
"""Those of them that take more than a second, which only the heavy run makes."""

PUBLISHED: Final[Runs] = {
    "one connection, 9 steps": _single(9),
    "one connection, any number of steps": _single(None),
    "one key, 3 clients, 2 attempts, 2 faults": _clients(
        Held(3, 2, lost_leases=EITHER, forgets=True)
    ),
    "one key, 2 clients, 2 attempts, 2 faults, clocks step back": _clients(
        Held(2, 2, lost_leases=EITHER, forgets=True, at_once=True, steps_back=True)
    ),
    "one predecessor, 2 clients, 1 fault": _clients(Chain(2, 1, happens=False, follows=1)),
    "one predecessor, 2 clients, everybody acts": _clients(Chain(2, 0)),
    "one coordinate, 2 clients, 1 fault": _clients(Account(2, 1)),
    "one coordinate, 3 clients": _clients(Account(3, 0, tombstones=0)),
    "one user, 3 workers": _clients(Races(3)),
    "one user, 2 workers, clocks apart": _clients(Races(2, apart=True, ticks=1)),
    "limit of 3": _limit(3),
}
"""The further explorations of continuous integration: more than a million states."""

LONG: Final[Runs] = {
    "one key, 3 clients, 2 attempts, 3 faults": _clients(Held(3, 3)),
    "one key, 4 clients, 2 attempts, 2 faults": _clients(
        Held(4, 2, lost_leases=EITHER, forgets=True)
    ),
    "one predecessor, 2 clients, 1 fault, everybody acts": _clients(Chain(2, 1)),
    "one coordinate, 3 clients, 1 fault": _clients(Account(3, 1)),
    "one user, 3 workers, clocks apart": _clients(Races(3, apart=True)),
}
"""The explorations of `benchmarks/explore.py`, as far as time and memory allow."""

FIGURES: Final[Mapping[str, Figures]] = {
    "one connection, 4 steps": Figures(379, 1_568, 4),
    "one key, 1 client, 1 fault": Figures(275, 419, 17),
    "one key, 2 clients, 1 fault": Figures(6_957, 15_428, 19),
    "one key, 2 clients, a day": Figures(1_507, 3_041, 21),
    "one key, 2 clients, 1 fault, clocks step back": Figures(9_825, 22_404, 19),
    "one key, one transaction, 2 clients, 1 fault": Figures(1_384, 2_804, 12),
    "one predecessor, 2 clients": Figures(1_449, 2_409, 18),
    "one predecessor, 1 client, everybody acts": Figures(5_952, 10_207, 13),
    "one predecessor, 2 clients, everybody acts, clocks step back": Figures(10_106, 16_908, 15),
    "one coordinate, 2 clients": Figures(2_863, 5_435, 12),
    "one coordinate, 1 client, 2 faults": Figures(2_061, 3_345, 17),
    "one user, 2 workers": Figures(7_181, 9_705, 10),
    "one user, 2 workers, one chain, clocks apart": Figures(9_293, 13_096, 10),
    "limit of 2": Figures(3_315, 29_835, 11),
    "one connection, 9 steps": Figures(10_603, 90_354, 9),
    "one connection, any number of steps": Figures(15_379, 192_104, 13),
    "one key, 3 clients, 2 attempts, 2 faults": Figures(1_092_330, 3_580_785, 29),
    "one key, 2 clients, 2 attempts, 2 faults, clocks step back": Figures(249_498, 691_874, 27),
    "one predecessor, 2 clients, 1 fault": Figures(16_942, 36_355, 20),
    "one predecessor, 2 clients, everybody acts": Figures(79_657, 161_579, 18),
    "one coordinate, 2 clients, 1 fault": Figures(39_110, 85_591, 17),
    "one coordinate, 3 clients": Figures(58_542, 139_002, 16),
    "one user, 3 workers": Figures(130_217, 205_305, 14),
    "one user, 2 workers, clocks apart": Figures(165_674, 234_252, 11),
    "limit of 3": Figures(22_197, 199_773, 15),
    "one key, 3 clients, 2 attempts, 3 faults": Figures(990_114, 3_352_589, 37),
    "one key, 4 clients, 2 attempts, 2 faults": Figures(5_240_544, 19_861_847, 31),
    "one predecessor, 2 clients, 1 fault, everybody acts": Figures(1_126_908, 2_787_087, 20),
    "one coordinate, 3 clients, 1 fault": Figures(2_331_247, 6_729_636, 22),
    "one user, 3 workers, clocks apart": Figures(1_015_938, 1_613_344, 14),
}
"""The figures of each run. The tests repeat those of the small and published runs."""
