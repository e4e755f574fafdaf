"""How the tests of the strategies search: for any value that is wanted, or for the smallest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import TypeVar, cast, get_args

from hypothesis import Phase, find, settings
from hypothesis import strategies as st

from curae_lifecycle.stores.codec import Storable, dump, load

Drawn = TypeVar("Drawn")

HOUR = timedelta(hours=1)


def reached(strategy: st.SearchStrategy[Drawn], wanted: Callable[[Drawn], bool]) -> Drawn:
    """A value drawn that is wanted, as soon as there is one."""
    quick = settings(
        database=None,
        derandomize=True,
        deadline=None,
        max_examples=5_000,
        phases=(Phase.generate,),
    )
    return find(strategy, wanted, settings=quick)


def smallest(strategy: st.SearchStrategy[Drawn], wanted: Callable[[Drawn], bool]) -> Drawn:
    """The smallest value drawn that is wanted, of a few searches: one of them may get stuck."""
    exact = settings(
        database=None,
        derandomize=True,
        deadline=None,
        max_examples=5_000,
        phases=(Phase.generate, Phase.shrink),
    )
    seeds = map(Random, range(4))
    found = [find(strategy, wanted, settings=exact, random=seed) for seed in seeds]
    return min(found, key=lambda each: len(repr(each)))


def check_storable(drawn: object) -> None:
    # It survives a store, where a store holds such a value.
    if isinstance(drawn, get_args(Storable)):
        stored = cast("Storable", drawn)
        assert load(type(stored), dump(stored)) == stored
