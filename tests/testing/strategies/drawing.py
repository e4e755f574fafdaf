"""Searches of strategies for any value that fits, or for the smallest one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Final, TypeVar, cast, get_args

from hypothesis import Phase, find, settings
from hypothesis import strategies as st

from curae_lifecycle.stores.codec import Storable, dump, load

Drawn = TypeVar("Drawn")

HOUR = timedelta(hours=1)

QUICK: Final = settings(
    database=None,
    derandomize=True,
    deadline=None,
    max_examples=5_000,
    phases=(Phase.generate,),
)
"""Settings of a deterministic search."""


def reached(strategy: st.SearchStrategy[Drawn], wanted: Callable[[Drawn], bool]) -> Drawn:
    """Return the first drawn value that fits."""
    return find(strategy, wanted, settings=QUICK)


_SEEN: Final[defaultdict[Callable[[], object], list[object]]] = defaultdict(list)


def among(
    strategy: Callable[[], st.SearchStrategy[Drawn]], wanted: Callable[[Drawn], bool]
) -> Drawn:
    """Return a fitting value among those drawn before, or a new one."""
    seen = cast("list[Drawn]", _SEEN[strategy])
    found = next(filter(wanted, seen), None)
    if found is not None:
        return found

    def is_wanted(value: Drawn) -> bool:
        seen.append(value)
        return wanted(value)

    # Another seed draws values that were not seen.
    chance = Random(len(seen))  # noqa: S311 - nothing here is a secret
    return find(strategy(), is_wanted, settings=QUICK, random=chance)


def smallest(strategy: st.SearchStrategy[Drawn], wanted: Callable[[Drawn], bool]) -> Drawn:
    """Return the smallest fitting value of a few searches, since one may get stuck."""
    exact = settings(QUICK, phases=(Phase.generate, Phase.shrink))
    seeds = map(Random, range(2))
    found = [find(strategy, wanted, settings=exact, random=seed) for seed in seeds]
    return min(found, key=lambda each: len(repr(each)))


def check_storable(drawn: object) -> None:
    # A storable value survives dump and load.
    if isinstance(drawn, get_args(Storable)):
        stored = cast("Storable", drawn)
        assert load(type(stored), dump(stored)) == stored
