"""Choose the mutants that a short run tries: from some modules, by a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping


def choose_modules(sizes: Mapping[str, int], number: int, *, seed: int) -> set[str]:
    """Choose the modules to mutate, since making the mutants of all modules takes minutes.

    Args:
        sizes: The size of each module; a module of twice the size is about twice as likely.
        number: The number of modules to choose.
        seed: The same seed gives the same choice.
    """
    chooser = random.Random(seed)  # noqa: S311 - a choice, not a secret
    drawn = {name: chooser.random() ** (1 / size) for name, size in sizes.items()}
    return set(sorted(drawn, key=drawn.__getitem__)[-number:])


def choose(total: int, number: int, *, seed: int) -> list[int]:
    """Choose some of a number of mutants, and return their indexes in ascending order.

    Args:
        total: The number of mutants.
        number: How many of them to choose.
        seed: The same seed gives the same choice.
    """
    chooser = random.Random(seed)  # noqa: S311 - a choice, not a secret
    return sorted(chooser.sample(range(total), min(number, total)))
