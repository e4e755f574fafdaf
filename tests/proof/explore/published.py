"""The explorations with published figures, which show a run that has shrunk.

The law of this module: **a run has one name and one meaning**; the page states its figures, and
the tests compare them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from curae_lifecycle.rules.idempotency import LostLeaseAction
from tests.proof.explore.account import Account
from tests.proof.explore.chain import Chain
from tests.proof.explore.clients import Clients
from tests.proof.explore.engine import explore
from tests.proof.explore.key import Held
from tests.proof.explore.limit import SmallLimit
from tests.proof.explore.races import Races
from tests.proof.explore.single import Single

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


def _held(model: Held, most: int | None = None) -> Figures:
    done = explore(Clients(model), most=most)
    return Figures(done.states, done.transitions, done.depth)


def _chain(model: Chain, most: int | None = None) -> Figures:
    done = explore(Clients(model), most=most)
    return Figures(done.states, done.transitions, done.depth)


def _account(model: Account, most: int | None = None) -> Figures:
    done = explore(Clients(model), most=most)
    return Figures(done.states, done.transitions, done.depth)


def _races(model: Races, most: int | None = None) -> Figures:
    done = explore(Clients(model), most=most)
    return Figures(done.states, done.transitions, done.depth)


def _single(length: int | None, most: int | None = None) -> Figures:
    done = explore(Single(), depth=length, most=most)
    return Figures(done.states, done.transitions, done.depth)


def _limit(limit: int, most: int | None = None) -> Figures:
    done = explore(SmallLimit(limit), most=most)
    return Figures(done.states, done.transitions, done.depth)


Runs = Mapping[str, Callable[[], Figures]]

FEW: Final = 12_000
"""The limit of a small run: a broken rule may make a world infinite."""

SMALL: Final[Runs] = {
    "one connection, 4 steps": lambda: _single(4, FEW),
    "one key, 1 client, 1 fault": lambda: _held(Held(1, 1), FEW),
    "one key, 2 clients, 1 fault": lambda: _held(Held(2, 1, lost_leases=EITHER, forgets=True), FEW),
    "one key, 2 clients, a day": lambda: _held(Held(2, 0, days=1), FEW),
    "one key, 2 clients, 1 fault, clocks step back": lambda: _held(
        Held(2, 1, lost_leases=EITHER, at_once=True, steps_back=True), FEW
    ),
    "one key, one transaction, 2 clients, 1 fault": lambda: _chain(
        Chain(2, 1, shared_key=True, page=False, happens=False), FEW
    ),
    "one predecessor, 2 clients": lambda: _chain(Chain(2, 0, happens=False, follows=1), FEW),
    "one predecessor, 1 client, everybody acts": lambda: _chain(Chain(1, 0), FEW),
    "one predecessor, 2 clients, everybody acts, clocks step back": lambda: _chain(
        Chain(2, 0, page=False, steps_back=True, roots=("LAPSED",)), FEW
    ),
    "one coordinate, 2 clients": lambda: _account(Account(2, 0), FEW),
    "one coordinate, 1 client, 2 faults": lambda: _account(Account(1, 2), FEW),
    "one user, 2 workers": lambda: _races(Races(2), FEW),
    "one user, 2 workers, one chain, clocks apart": lambda: _races(
        Races(2, apart=True, roots=(("LAPSED",),)), FEW
    ),
    "limit of 2": lambda: _limit(2, FEW),
}
"""The explorations whose figures the page shows first."""

LARGEST: Final = (
    "one predecessor, 1 client, everybody acts",
    "one predecessor, 2 clients, everybody acts, clocks step back",
    "one user, 2 workers",
)
"""Those of them that take more than a second, which only the heavy run makes."""

PUBLISHED: Final[Runs] = {
    "one connection, 9 steps": lambda: _single(9),
    "one connection, any number of steps": lambda: _single(None),
    "one key, 3 clients, 2 attempts, 2 faults": lambda: _held(
        Held(3, 2, lost_leases=EITHER, forgets=True)
    ),
    "one key, 2 clients, 2 attempts, 2 faults, clocks step back": lambda: _held(
        Held(2, 2, lost_leases=EITHER, forgets=True, at_once=True, steps_back=True)
    ),
    "one predecessor, 2 clients, 1 fault": lambda: _chain(Chain(2, 1, happens=False, follows=1)),
    "one predecessor, 2 clients, everybody acts": lambda: _chain(Chain(2, 0)),
    "one coordinate, 2 clients, 1 fault": lambda: _account(Account(2, 1)),
    "one coordinate, 3 clients": lambda: _account(Account(3, 0, tombstones=0)),
    "one user, 3 workers": lambda: _races(Races(3)),
    "one user, 2 workers, clocks apart": lambda: _races(Races(2, apart=True, ticks=1)),
    "limit of 3": lambda: _limit(3),
}
"""The further explorations of continuous integration: more than a million states."""

LONG: Final[Runs] = {
    "one key, 3 clients, 2 attempts, 3 faults": lambda: _held(Held(3, 3)),
    "one key, 4 clients, 2 attempts, 2 faults": lambda: _held(
        Held(4, 2, lost_leases=EITHER, forgets=True)
    ),
    "one predecessor, 2 clients, 1 fault, everybody acts": lambda: _chain(Chain(2, 1)),
    "one coordinate, 3 clients, 1 fault": lambda: _account(Account(3, 1)),
    "one user, 3 workers, clocks apart": lambda: _races(Races(3, apart=True)),
}
"""The explorations of `benchmarks/explore.py`, as far as time and memory allow."""
