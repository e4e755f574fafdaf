"""Choose the mutants that a short run tries: from some modules, half of them in changed ones."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath


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


def choose(
    modules: Sequence[str], number: int, *, seed: int, changed: Collection[str]
) -> list[int]:
    """Choose mutants, half of them in changed modules if these have enough.

    Args:
        modules: The module of each mutant.
        number: The number of mutants to choose.
        seed: The same seed gives the same choice.
        changed: The changed modules.

    Returns:
        The indexes of the chosen mutants in `modules`, in ascending order.
    """
    chooser = random.Random(seed)  # noqa: S311 - a choice, not a secret
    recent = [place for place, module in enumerate(modules) if module in changed]
    chosen = set(chooser.sample(recent, min(number // 2, len(recent))))
    others = [place for place in range(len(modules)) if place not in chosen]
    chosen.update(chooser.sample(others, min(number - len(chosen), len(others))))
    return sorted(chosen)


def modules_of(files: Iterable[str]) -> set[str]:
    """Return the names within the package of the modules among files that `git log` lists."""
    return {
        ".".join(path.with_suffix("").parts[1:])
        for path in map(PurePosixPath, files)
        if path.suffix == ".py" and path.parts[0] == "curae_lifecycle"
    }
